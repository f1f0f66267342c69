"""The same loop on an accelerator; skipped where there is none."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from palaestra.alignment.learner import Learner
from palaestra.alignment.rows import TokenRow
from palaestra.alignment.run import RunDir
from palaestra.scenarios import runs
from palaestra.scenarios.scenario import Scenario

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator: torch sees none"),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kuhn_is_trained_on_the_accelerator(tmp_path: Path, dtype: str) -> None:
    scenario = Scenario.load(
        "kuhn_selfplay",
        ["recipe.steps=20", "recipe.episodes=60", "engines.local.device=cuda", f'engines.local.dtype="{dtype}"'],
    )
    run = runs.train(scenario, tmp_path / "run")
    bound = 1e-3 if dtype == "float32" else 0.2
    assert all(m["mismatch/player"] < bound for m in RunDir(run.path).metrics()[1:])


def test_free_text_is_sampled_and_trained_on_the_accelerator(tmp_path: Path) -> None:
    scenario = Scenario.load(
        "tools_rl", ["recipe.steps=2", "policies.solver.clone.batches=5", "engines.local.device=cuda"]
    )
    metrics = runs.train(scenario, tmp_path / "run").metrics()
    assert metrics[-1]["mismatch/solver"] < 1e-3


def test_a_run_on_the_accelerator_resumes(tmp_path: Path) -> None:
    scenario = Scenario.load(
        "kuhn_selfplay",
        ["recipe.steps=4", "recipe.episodes=24", "engines.local.device=cuda", "run.checkpoint_every=2"],
    )

    class Stop(runs.Silent):
        def step(self, metrics: object) -> None:
            if metrics["step"] == 3:  # type: ignore[index]
                raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        runs.train(scenario, tmp_path / "run", show=Stop())
    assert [m["step"] for m in runs.resume(tmp_path / "run").metrics()] == list(range(5))


def test_a_training_step_waits_for_the_accelerator_only_to_report() -> None:
    """At most once to fetch the metrics, once for the norm, and once a forward, which is transformers' own question
    whether rows are packed; none where they are, with a mask."""
    size = gpu.DRY._replace(rows=6, told=12)
    rows = gpu.trajectories(size) + [gpu.trajectories(size)[0]]
    model = gpu.base(size)
    learner = Learner(model, dict(model.named_parameters()), tokens_per_micro_batch=256, autocast=torch.bfloat16)
    branching = [TokenRow.of("p", (*rows[0].ids[:60], *r.ids[60:]), r.mask, r.behavior, r.positive) for r in rows]
    for _ in range(2):  # the first step allocates
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                learner.forward_backward(branching, "ppo")
                learner.optim_step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in found if "synchroniz" in str(w.message)]
    assert len(waits) <= 3, [f"{w.filename}:{w.lineno}" for w in waits]


@pytest.mark.timeout(300)
def test_the_benchmark_of_one_accelerator_runs(tmp_path: Path) -> None:
    gpu.main(["--dry", "--out", str(tmp_path), "--parts", "learner", "rollout", "two_policies"])
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert any("their memory" in cells[0] for cells in result["rows"])
