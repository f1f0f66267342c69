"""Judge accuracy by protocol: the same passages under each, whoever sits in the seats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from palaestra.agents.policy import player
from palaestra.alignment.run import RunDir
from palaestra.envs.registry import env_class
from palaestra.errors import CheckpointError
from palaestra.scenarios import runs
from palaestra.scenarios.measures.debate import Protocols, protocols, protocols_of_run, rise
from palaestra.scenarios.scenario import Scenario

SMALL = ["recipe.steps=2", "recipe.episodes=16", "eval.instances=4", "eval.every=0"]
JUDGE = [
    'policies.judge={ model = "tiny", act = "score" }',
    'policies.judge.clone={ players = { judge_0 = "verified_quotes" }, batches = 3 }',
]


def scripted(debater: str, judge: str = "verified_quotes", instances: int = 40) -> Protocols:
    env = env_class("debate")
    debaters = dict.fromkeys(("debater_0", "debater_1"), player(env, debater))
    return protocols({**debaters, "judge_0": player(env, judge)}, instances=instances)


def test_quoting_debaters_let_truth_win_and_a_lone_one_may_mislead() -> None:
    found = scripted("quoter")
    assert found.accuracy["debate"].mean == found.accuracy["oracle"].mean == found.truth_wins.mean == 1.0
    assert found.accuracy["blind"].mean == 0.5
    assert 0.5 <= found.accuracy["consultancy"].mean < 1.0 and found.gain.low > 0


def test_protocols_share_their_passages() -> None:
    found = scripted("random", instances=12)
    passages = [set(by) for by in found.judge_right.values()]
    assert len(passages) == 4 and all(p == passages[0] and len(p) == 12 for p in passages)


def test_where_no_debate_is_decided_truth_has_no_win_rate() -> None:
    found = scripted("liar", instances=6)
    assert found.truth_wins.n == 0 and found.accuracy["debate"].mean == 0.5
    assert "truth wins" in found.text()


def test_the_rise_is_paired_passage_by_passage() -> None:
    assert rise(scripted("quoter", instances=6), scripted("liar", instances=6)).mean == 0.5


def test_a_run_is_measured_at_its_start_and_its_end(tmp_path: Path) -> None:
    run = runs.train(Scenario.load("debate_train", SMALL), tmp_path / "run")
    start, end = (protocols_of_run(run.path, version=v, instances=6) for v in (0, None))
    assert start.accuracy["oracle"].mean == end.accuracy["oracle"].mean == 1.0
    assert start.failed == end.failed == 0


def test_a_judge_may_be_a_fixed_model_cloned_before_the_run(tmp_path: Path) -> None:
    run = runs.train(Scenario.load("debate_train", [*SMALL, *JUDGE]), tmp_path / "run")
    assert [str(v) for v in run.versions() if v.name == "judge"] == ["judge@0"]
    _, online, _ = runs.open_run(run.path)
    kept = RunDir.open(run.path).load_version(next(v for v in run.versions() if v.name == "judge"))
    now = online.engine.state("judge")
    assert all(torch.equal(now[name], weights) for name, weights in kept.items())
    assert any(not torch.equal(now[name], w) for name, w in online.engine.state("debater").items())


def test_a_version_that_was_not_kept_is_refused(tmp_path: Path) -> None:
    run = runs.train(Scenario.load("debate_train", SMALL), tmp_path / "run")
    with pytest.raises(CheckpointError, match="no version debater@7"):
        protocols_of_run(run.path, version=7, instances=2)
