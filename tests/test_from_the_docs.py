"""A world that only the documents taught how to write is loaded by its path, checked, played, replayed and learned."""

from pathlib import Path

import pytest

import palaestra
from palaestra.cli import main
from palaestra.envs.conformance import QUICK, check

PACKAGE = Path(__file__).parent / "packages" / "palaestra-nighttrain" / "nighttrain"
ENV = f"{PACKAGE / 'env.py'}:NightTrain"


def caught(cast: str, **params: object) -> float:
    """How often the rider is caught in a hundred journeys."""
    outcomes = [palaestra.play(ENV, cast, seed=seed, params=params).outcome for seed in range(100)]
    return sum(bool(outcome["caught"]) for outcome in outcomes) / len(outcomes)


def test_the_night_train_holds_what_every_environment_holds() -> None:
    report = check(ENV, effort=QUICK)
    assert report.ok, report.table()


@pytest.mark.parametrize("level", [0, 1])
def test_greedy_passengers_help_a_greedy_inspector_only_where_they_are_heard(level: int) -> None:
    assert caught("oracle", level=level) == 1
    assert caught("greedy", level=level) > 0.6
    assert caught("random", level=level) < 0.4
    assert caught("greedy", level=level, silent=True) < 0.4


@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_a_journey_replays_bit_for_bit_from_its_record(split: str) -> None:
    journey = palaestra.play(ENV, "greedy", seed=7, params={"level": 1, "split": split})
    assert palaestra.verify(journey) == []
    again = palaestra.make(ENV, level=1, split=split).replay(journey.transcript)
    assert not again.waiting and again.transcript == journey.transcript


def test_a_tiny_inspector_takes_a_few_steps_and_its_record_agrees_with_the_rules(tmp_path: Path) -> None:
    small = ("env=env.py:NightTrain", "recipe.steps=2", "recipe.episodes=8", "eval.every=0", "eval.instances=2")
    small += ("policies.inspector.tiny.width=16", "policies.inspector.tiny.layers=1")
    command = ["train", str(PACKAGE / "nighttrain.toml"), "--out", str(tmp_path / "run")]
    assert main([*command, *(word for setting in small for word in ("--set", setting))]) == 0

    journeys = list(palaestra.read_episodes(tmp_path / "run"))
    assert len(journeys) == 2 * 8
    assert {journey.cast["inspector_0"] for journey in journeys} == {"inspector@0", "inspector@1"}
    assert not [difference for journey in journeys for difference in palaestra.verify(journey)]
