"""Solution concepts of bargaining and of coalitions: pure functions of payoffs, by enumeration."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

Point = Sequence[float]
"""What each seat gets, in a fixed order."""
Worths = Mapping[frozenset[str], float]
"""What every coalition of at least one player is worth."""


def undominated(point: Point, points: Collection[Point]) -> bool:
    """Whether none of `points` gives everyone as much as `point` and somebody more."""
    return not any(p != point and all(x >= y for x, y in zip(p, point, strict=True)) for p in points)


def frontier(points: Collection[Point]) -> list[Point]:
    """The Pareto-efficient ones of `points`."""
    return [p for p in points if undominated(p, points)]


def nash_product(point: Point, fallback: Point) -> float:
    """The product of the gains over `fallback`; 0 where somebody gains nothing or loses."""
    return math.prod(max(0.0, x - y) for x, y in zip(point, fallback, strict=True))


def coalitions(players: Sequence[str]) -> list[frozenset[str]]:
    """Every set of at least one player, the small ones first."""
    return [frozenset(c) for k in range(1, len(players) + 1) for c in itertools.combinations(players, k)]


def shapley(players: Sequence[str], worths: Worths) -> dict[str, float]:
    """What each player adds to those before it, on the average over all orders of the players.

    Source: L. S. Shapley, A value for n-person games (1953).
    """
    n, value = len(players), dict.fromkeys(players, 0.0)
    for group in coalitions(players):
        orders = math.factorial(len(group) - 1) * math.factorial(n - len(group))
        for player in group:
            value[player] += orders * (worths[group] - worths.get(group - {player}, 0.0)) / math.factorial(n)
    return value


def complaint(shares: Mapping[str, float], worths: Worths) -> float:
    """The most that any coalition could get beyond what its members are given."""
    return max(worths[group] - sum(shares[p] for p in sorted(group)) for group in coalitions(list(shares)))


def in_core(shares: Mapping[str, float], worths: Worths) -> bool:
    """Whether all that there is is given away and no coalition could do better alone (up to rounding)."""
    spent = abs(sum(shares.values()) - worths[frozenset(shares)]) < 1e-9
    return spent and complaint(shares, worths) < 1e-9
