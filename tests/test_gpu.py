"""The same loop on an accelerator; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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
