"""Measures of societies: equality, reciprocity, welfare, spread. Pure functions of numbers, None where undefined."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence


def gini(shares: Sequence[float]) -> float | None:
    """Gini coefficient of non-negative shares; None where they are all zero."""
    total = sum(shares)
    if not total:
        return None
    return sum(abs(a - b) for a in shares for b in shares) / (2 * len(shares) * total)


def equality(shares: Sequence[float]) -> float | None:
    """1 where all have the same, 1/n where one of n has everything: one minus the Gini coefficient."""
    inequality = gini(shares)
    return None if inequality is None else 1 - inequality


def share(facts: Iterable[bool]) -> float | None:
    """How many of them are true, from 0 to 1; None where there are none."""
    listed = list(facts)
    return sum(listed) / len(listed) if listed else None


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's correlation; None where one of them does not vary."""
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return statistics.correlation(xs, ys)


def reciprocity(rounds: Sequence[Sequence[float]]) -> float | None:
    """How much members give to whom gave: the correlation of a gift with the mean gift of the others a round before.

    `rounds[t][i]` is what member i gives in round t.
    """
    before, now = [], []
    for earlier, later in itertools.pairwise(rounds):
        for i, gift in enumerate(later):
            before.append((sum(earlier) - earlier[i]) / (len(earlier) - 1))
            now.append(gift)
    return correlation(before, now)
