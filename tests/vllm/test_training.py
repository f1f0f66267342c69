"""A scenario of the library, with nothing changed but its engine: `make test-vllm`."""

from __future__ import annotations

from pathlib import Path

import pytest

import palaestra
from palaestra.alignment.run import RunDir
from palaestra.scenarios import runs
from palaestra.scenarios.scenario import Scenario

SMALL = (
    "engines.local.kind=vllm",
    "engines.local.vllm.requests=32",
    "policies.solver.tiny.heads=2",  # vLLM's attention on a CPU has no heads of 16
    "policies.solver.clone.batches=20",
    "recipe.steps=2",
    "recipe.episodes=32",
    "recipe.group_size=8",
    "eval.every=0",
    "eval.instances=20",
)


pytestmark = pytest.mark.timeout(400)


def healthy(run: RunDir) -> bool:
    """Nothing failed, and vLLM and the learner agreed at every step."""
    steps = run.metrics()[1:]
    return not run.alerts() and all(s["failed"] == 0 and s["mismatch/solver"] < 1e-4 for s in steps)


def test_whole_weights_are_sampled_by_vllm_learned_here_and_resumed(tmp_path: Path) -> None:
    run = runs.train(Scenario.load("tools_rl", SMALL), tmp_path / "run")
    episodes = list(palaestra.read_episodes(tmp_path / "run"))
    assert {e.cast["solver_0"] for e in episodes} == {"solver@0", "solver@1"}
    assert not [found for e in episodes for found in palaestra.verify(e)]
    after = runs.resume(tmp_path / "run", ["recipe.steps=4"])
    assert [line["step"] for line in after.metrics()] == [0, 1, 2, 3, 4] and healthy(after) and healthy(run)


def test_an_adapter_is_sampled_by_vllm_and_learned_here(tmp_path: Path) -> None:
    run = runs.train(Scenario.load("tools_rl", (*SMALL, "policies.solver.adapter.rank=4")), tmp_path / "run")
    assert len(run.metrics()) == 3 and healthy(run)
