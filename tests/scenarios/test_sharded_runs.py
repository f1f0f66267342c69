"""A run whose learner is two processes: the numbers of one, whoever is killed, and on with another number of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from palaestra.alignment import sharding
from palaestra.alignment.ranks import Process
from palaestra.alignment.run import RunDir
from palaestra.scenarios import runs
from palaestra.scenarios.scenario import Scenario

SMALL = (
    "recipe.steps=4",
    "recipe.episodes=24",
    "recipe.packing=true",
    "eval.instances=6",
    "eval.every=0",
    "run.checkpoint_every=2",
)


def small(*more: str) -> Scenario:
    return Scenario.load("kuhn_selfplay", (*SMALL, *more))


class KillsARank(runs.Silent):
    """After a step, once."""

    def __init__(self, step: int) -> None:
        self.at = step
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, metrics: Mapping[str, Any]) -> None:
        if metrics["step"] == self.at:
            self.at = -1
            [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())][-1].kill()


class Busy:
    """Answers from a process of its own."""

    def answer(self) -> int:
        return 7


def test_ctrl_c_is_the_drivers(tmp_path: Path) -> None:
    handle = Process(Busy)
    try:
        assert handle.call("answer").result(60) == 7
        assert handle.process.pid
        os.kill(handle.process.pid, signal.SIGINT)
        assert handle.call("answer").result(60) == 7
    finally:
        handle.close()


def gap(one: RunDir, two: RunDir) -> float:
    """The largest difference between the weights of two runs at their last checkpoints."""
    a, b = (run.peek()[2]["policies"]["player"]["weights"] for run in (one, two))
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def test_two_processes_learn_what_one_learns_and_a_killed_one_costs_nothing(tmp_path: Path) -> None:
    one = runs.train(small(), tmp_path / "one")
    show = KillsARank(3)
    two = runs.train(small("scale.learners=2"), tmp_path / "two", show=show)
    assert 0 < gap(one, two) < 5e-5
    assert any("rank 1 of 2" in n and "on from the last checkpoint" in n for n in show.notes)
    assert [m["step"] for m in two.metrics()] == [0, 1, 2, 3, 4]
    for a, b in zip(one.metrics()[1:], two.metrics()[1:], strict=True):
        assert abs(a["loss/player"] - b["loss/player"]) < 1e-5

    moments = sharding.read(two.checkpoint(4) / "learner-player")
    assert [int(n) for n in moments["step, skipped"]] == [4, 0] and any("exp_avg" in name for name in moments)

    # and on: what two have written is read by one, and what one has written by two
    after = runs.resume(two.path, ["recipe.steps=6", "scale.learners=0"])
    other = runs.resume(one.path, ["recipe.steps=6", "scale.learners=2"])
    assert 0 < gap(after, other) < 5e-5
