"""Where episodes are played does not change what is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from palaestra.agents.episode import Episode
from palaestra.agents.play import Job
from palaestra.agents.policy import player
from palaestra.agents.workers import Here, cut
from palaestra.envs.games.kuhn import Kuhn
from palaestra.scenarios import runs
from palaestra.scenarios.scenario import Scenario


def jobs(count: int) -> list[Job]:
    cast = {seat: player(Kuhn, "random") for seat in Kuhn.seats}
    return [Job("kuhn", {}, cast, seed, f"job {seed}", f"group {seed}", "train") for seed in range(count)]


@pytest.mark.parametrize(("count", "parts"), [(0, 3), (2, 3), (7, 3), (9, 3), (5, 1)])
def test_jobs_are_cut_into_runs_of_about_equal_length(count: int, parts: int) -> None:
    found = cut(jobs(count), parts)
    assert [job.key for part in found for job in part] == [job.key for job in jobs(count)]
    lengths = [len(part) for part in found]
    assert len(found) == min(count, parts) and (not lengths or max(lengths) - min(lengths) <= 1)


def test_episodes_come_in_the_order_of_the_jobs_whatever_the_parts() -> None:
    whole, parts = Here().ready(jobs(7))(), Here(parts=3).ready(jobs(7))()
    assert [e.id for e in whole] == [f"job {seed}" for seed in range(7)]
    assert [(e.transcript, e.group, e.purpose) for e in parts] == [(e.transcript, e.group, e.purpose) for e in whole]


def test_a_policy_says_the_same_whatever_the_parts(tmp_path: Path) -> None:
    settings = ("recipe.steps=1", "recipe.episodes=24", "eval.every=0", "eval.instances=4")
    one = runs.train(Scenario.load("kuhn_selfplay", settings), tmp_path / "one")
    two = runs.train(Scenario.load("kuhn_selfplay", (*settings, "scale.rollouts=2")), tmp_path / "two")
    pairs = list(zip(one.episodes(1), two.episodes(1), strict=True))
    assert len(pairs) == 24 and all(a.transcript == b.transcript for a, b in pairs)
    gaps = [abs(x - y) for a, b in pairs for x, y in zip(logprobs(a), logprobs(b), strict=True)]
    assert max(gaps) < 1e-5


def logprobs(episode: Episode) -> list[float]:
    return [p for t in episode.trajectories for span in t.spans for p in span.logprobs]
