"""Evaluation: the same held-out instances for everybody, every seat in turn, differences paired before averaging.

An instance is a seed. A focal policy plays each instance from every seat that it may take, against the same
opponents; its value on the instance is the mean over those seats. Two policies are compared instance by instance,
and intervals come from a bootstrap over instances, so games of one instance never count as independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from palaestra.agents.episode import Episode
from palaestra.agents.play import Job
from palaestra.agents.policy import Cast, Policy
from palaestra.agents.workers import Here, Workers
from palaestra.envs.script import SPLITS
from palaestra.envs.transcript import Defaulted, Forfeited, Malformed

EVAL_SEED = 1_000_000_007
"""Evaluation instances are counted from here, training instances from the run's own seed."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval and the number of instances behind it."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(values: Sequence[float], *, draws: int = 2000, seed: int = 0) -> Estimate:
    """Mean of one value an instance, with a percentile bootstrap interval over instances. NaN for no value."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    means = data[rng.integers(0, len(data), size=(draws, len(data)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(data.mean()), float(low), float(high), len(data))


def paired(after: Mapping[int, float], before: Mapping[int, float]) -> Estimate:
    """The mean difference over the instances that both have, paired instance by instance."""
    return bootstrap([after[i] - before[i] for i in sorted(after.keys() & before.keys())])


class Setting(NamedTuple):
    """One way to seat the focal policy on every instance: `cast`, and the seats where it sits."""

    cast: Cast
    focal: tuple[str, ...]


def rotations(cast: Cast, focal: Policy, seats: Iterable[str], opponent: Policy | None) -> list[Setting]:
    """The casts of an evaluation: `focal` in all `seats` at once, or, against an opponent, in each of them in turn.

    The other seats keep their policy of `cast`; against an opponent, the rest of `seats` is the opponent's.
    """
    seats = tuple(seats)
    if opponent is None:
        return [Setting({**cast, **dict.fromkeys(seats, focal)}, seats)]
    return [Setting({**cast, **dict.fromkeys(seats, opponent), seat: focal}, (seat,)) for seat in seats]


@dataclass
class Evaluation:
    """Values of the measures by instance, and what went wrong on the way."""

    values: dict[str, dict[int, float]]
    """measure -> instance seed -> value (mean over the focal seats and rotations)."""
    by_seat: dict[str, Estimate]
    """Return of the focal policy, by the seat it sat in."""
    episodes: int
    failed: int
    """Episodes that broke off; they are in no mean."""
    sample: list[Episode] = field(default_factory=list)

    def estimate(self, measure: str) -> Estimate:
        """The mean of a measure with its interval; n = 0 where no episode has it."""
        return bootstrap(list(self.values.get(measure, {}).values()))

    @property
    def summary(self) -> dict[str, Estimate]:
        return {name: self.estimate(name) for name in self.values}


def evaluate(
    env: str,
    params: dict[str, Any],
    settings: Mapping[str, Sequence[Setting]],
    instances: int,
    *,
    first: int = EVAL_SEED,
    workers: Workers | None = None,
    samples: int = 4,
) -> Evaluation:
    """Play `instances` seeds in every setting and collect the focal policy's measures.

    Measures are `return` (mean of the focal seats), every numeric or boolean gold fact, and the shares of focal
    turns that were malformed, defaulted or forfeited. `settings` maps a label (an opponent) to its rotations;
    `workers` play (default: this process).
    """
    jobs, sat = [], []
    for label, rotated in settings.items():
        for index, setting in enumerate(rotated):
            for i in range(instances):
                key = f"eval|{label}|{index}|{i}"
                jobs.append(Job(env, params, setting.cast, first + i, key, f"{first + i}", "eval"))
                sat.append(setting.focal)
    episodes = (workers or Here()).ready(jobs)()
    found: dict[str, dict[int, list[float]]] = {}
    seats: dict[str, dict[int, list[float]]] = {}
    failed = 0
    for job, focal, episode in zip(jobs, sat, episodes, strict=True):
        if episode.failure:
            failed += 1
            continue
        returns = episode.returns
        for seat in focal:
            seats.setdefault(seat, {}).setdefault(job.seed, []).append(returns[seat])
        for name, value in _measures(episode, focal).items():
            found.setdefault(name, {}).setdefault(job.seed, []).append(value)
    values = {name: {i: float(np.mean(v)) for i, v in by.items()} for name, by in found.items()}
    by_seat = {s: bootstrap([float(np.mean(v)) for v in by.values()]) for s, by in seats.items()}
    return Evaluation(values, by_seat, len(episodes), failed, episodes[:samples])


def _measures(episode: Episode, focal: tuple[str, ...]) -> dict[str, float]:
    returns = episode.returns
    out = {"return": float(np.mean([returns[s] for s in focal]))}
    for name, fact in episode.outcome.items():
        if isinstance(fact, bool | int | float):
            out[name] = float(fact)
    for kind in (Malformed, Defaulted, Forfeited):
        count = sum(episode.transcript.count(kind, s) for s in focal)
        out[kind.__name__.lower()] = float(count)
    return out


def held_out(splits: Sequence[str]) -> str:
    """The split that evaluation uses: test where there is one."""
    return "test" if "test" in splits else SPLITS[0]
