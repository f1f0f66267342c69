"""A common pot: how members are told of it, what they earn by gifts and lose by punishment, and what came of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.common.measures import equality, reciprocity

HIT = 3  # what a point of punishment takes; it costs 1
POINTS = {"train": (range(2, 7), range(15, 31)), "ood": (range(7, 9), range(31, 41))}
"""The points that members may have in a round, by split: at level 0, and at the others."""
OPENINGS = (
    "You are {me}, one of {n}. {points} points a round; the pot is multiplied by {factor}.",
    "You are {me}, one of {n} members of a club. Every round each of you receives {points} points and may give any of "
    "them to a common pot. The pot is multiplied by {factor} and shared out equally; what you do not give is yours.",
    "Your name is {me}. You and your neighbors, {n} in all, get {points} points each in every round. Points given to "
    "the village chest grow by a factor of {factor} and come back to all {n} in equal parts. You keep the others.",
    "{me}, that is you, shares a fund with others; there are {n} of you. Out of {points} new points a round you decide "
    "how many go into the fund. Each receives an equal part of {factor} times the fund, given or not.",
)


def draw_pot(rng: random.Random, level: int, split: str) -> tuple[int, float]:
    """(points of a round, factor)."""
    points = POINTS["ood" if split == "ood" else "train"]
    return rng.choice(points[level > 0]), rng.randint(12, 24) / 10


def earned(gifts: Sequence[int], points: int, factor: float) -> list[float]:
    """What each has after a round: the points not given, and an equal part of the multiplied pot."""
    return [points - gift + factor * sum(gifts) / len(gifts) for gift in gifts]


def punishments(seat: str, seats: Sequence[str]) -> list[str]:
    """The commands with which a seat punishes any number of the others: `punish a_0 1..5 c_0 1..5`."""
    others = [s for s in seats if s != seat]
    some = [hit for k in range(1, len(others) + 1) for hit in itertools.combinations(others, k)]
    return [f"punish {' '.join(f'{s} 1..5' for s in hit)}" for hit in some]


def punished(have: Sequence[float], spent: Sequence[Sequence[int]]) -> list[float]:
    """What is left after punishment, `spent[i][j]` being the points that i spends on j."""
    received = [sum(row[j] for row in spent) for j in range(len(have))]
    return [max(0.0, h - HIT * hits) - sum(row) for h, hits, row in zip(have, received, spent, strict=True)]


def against_givers(gifts: Sequence[int], spent: Sequence[Sequence[int]]) -> int:
    """Points of punishment that hit those who gave no less than the punisher."""
    rows = zip(gifts, spent, strict=True)
    return sum(n for mine, row in rows for theirs, n in zip(gifts, row, strict=True) if theirs >= mine)


class Pot:
    """What has been given, earned and spent on punishment, round by round; lists are in the order of the seats."""

    def __init__(self, seats: Sequence[str], points: int, factor: float) -> None:
        self.seats, self.points, self.factor = seats, points, factor
        self.gifts, self.had = list[list[int]](), list[list[float]]()
        self.spent = self.antisocial = 0

    def give(self, gifts: Mapping[str, int]) -> dict[str, float]:
        """What each has after the gifts of a round."""
        self.gifts.append([gifts[s] for s in self.seats])
        self.had.append(earned(self.gifts[-1], self.points, self.factor))
        return dict(zip(self.seats, self.had[-1], strict=True))

    def punish(self, hits: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        """What each loses by punishment after the gifts; `hits[one][other]` are the points that one spends on other."""
        rows = [[hits[s].get(other, 0) for other in self.seats] for s in self.seats]
        self.had[-1] = punished(self.had[-1], rows)
        self.spent += sum(map(sum, rows))
        self.antisocial += against_givers(self.gifts[-1], rows)
        return {s: HIT * sum(row[i] for row in rows) for i, s in enumerate(self.seats)}

    def shares(self) -> dict[str, float]:
        """What each has had in all, over its endowments."""
        return {s: x / (len(self.had) * self.points) for s, x in zip(self.seats, self._total(), strict=True)}

    def welfare(self) -> float:
        """The mean of the shares."""
        return sum(self._total()) / self._endowed()

    def facts(self) -> dict[str, Any]:
        """What came of it all, as gold facts."""
        return {
            "gifts": self.gifts,
            "pot": sum(map(sum, self.gifts)) / self._endowed(),
            "welfare": self.welfare(),
            "equality": equality([max(0.0, x) for x in self._total()]),
            "reciprocity": reciprocity(self.gifts),
            "punishment": self.spent,
            "antisocial": self.antisocial / self.spent if self.spent else None,
        }

    def _endowed(self) -> int:
        return len(self.seats) * len(self.had) * self.points

    def _total(self) -> list[float]:
        total = [0.0] * len(self.seats)
        for have in self.had:
            total = [t + h for t, h in zip(total, have, strict=True)]
        return total
