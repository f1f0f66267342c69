"""Games of two moves for two: equilibria, strategies for many rounds as automata, exact best responses to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

Cells = tuple[tuple[int, int], ...]
"""What oneself and the other get, at 2 * own move + the other's; a move is 0 or 1."""


def turned(cells: Cells) -> Cells:
    """The table as the other seat sees it."""
    return tuple((cells[2 * b + a][1], cells[2 * b + a][0]) for a in (0, 1) for b in (0, 1))


def cooperative(cells: Cells) -> int:
    """The move that, played by both, gives both together more; 0 where there is none."""
    return int(sum(cells[3]) > sum(cells[0]))


def pure_equilibria(cells: Cells) -> list[tuple[int, int]]:
    """The pairs of moves from which neither gains by moving alone."""
    theirs = turned(cells)
    return [
        (a, b)
        for a in (0, 1)
        for b in (0, 1)
        if cells[2 * a + b][0] >= cells[2 * (1 - a) + b][0] and theirs[2 * b + a][0] >= theirs[2 * (1 - b) + a][0]
    ]


def mixed_equilibrium(cells: Cells) -> tuple[float, float] | None:
    """How likely each makes its move 0 where both mix, which leaves the other no better move; None where none does."""
    p, q = _evens_out(turned(cells)), _evens_out(cells)
    return (p, q) if 0 < p < 1 and 0 < q < 1 else None


def _evens_out(cells: Cells) -> float:
    """How likely the other must make its move 0 for one's own moves to be equally good; -1 where it cannot."""
    on_0, on_1 = cells[0][0] - cells[2][0], cells[1][0] - cells[3][0]
    return on_1 / (on_1 - on_0) if on_0 != on_1 else -1.0


Rule = Callable[[str, str, str], str]
"""(last state, own last move, the other's) -> state. The state is the move to make: C, D, or ? for a coin."""

STRATEGIES: dict[str, tuple[str, Rule]] = {
    "allc": ("C", lambda state, own, other: "C"),
    "alld": ("D", lambda state, own, other: "D"),
    "tft": ("C", lambda state, own, other: other),
    "grim": ("C", lambda state, own, other: "C" if state == other == "C" else "D"),
    "wsls": ("C", lambda state, own, other: "C" if own == other else "D"),
    "random": ("?", lambda state, own, other: "?"),
}
"""Strategies by name: the first state, and the rule."""


class Automaton(NamedTuple):
    """A strategy at play."""

    strategy: str
    cells: Cells
    state: str

    @classmethod
    def of(cls, strategy: str, cells: Cells) -> Automaton:
        """It before the first round."""
        return cls(strategy, cells, STRATEGIES[strategy][0])

    @property
    def chance_of_1(self) -> float:
        """How likely its next move is move 1."""
        return 0.5 if self.state == "?" else float((self.state == "C") == (cooperative(self.cells) == 1))

    def after(self, own: int, other: int) -> Automaton:
        """It after a round with these moves."""
        good = cooperative(self.cells)
        rule = STRATEGIES[self.strategy][1]
        return self._replace(state=rule(self.state, "CD"[own != good], "CD"[other != good]))


def round_weights(rounds: int, stop: float) -> tuple[float, ...]:
    """What each round counts of the mean payoff, averaged over when the game ends: `stop` after each round."""
    ends = [(1 - stop) ** n * (stop if n < rounds - 1 else 1.0) for n in range(rounds)]
    return tuple(sum(ends[n] / (n + 1) for n in range(t, rounds)) for t in range(rounds))


@functools.lru_cache(100_000)
def worth(other: Automaton, noise: float, weights: tuple[float, ...], done: int = 0) -> tuple[float, float]:
    """What one's move 0 and move 1 are worth against a strategy, in the mean payoff, with best play afterwards.

    Args:
        noise: the chance that a move, of either seat, turns into the other one.
        weights: of the rounds, as `round_weights` gives them; `done` rounds have been played.
    """
    if done == len(weights):
        return 0.0, 0.0
    cells = turned(other.cells)

    def made(mine: int, theirs: int) -> float:
        later = worth(other.after(theirs, mine), noise, weights, done + 1)
        return weights[done] * cells[2 * mine + theirs][0] + max(later)

    plays_1 = other.chance_of_1 + noise * (1 - 2 * other.chance_of_1)
    value = [(1 - plays_1) * made(mine, 0) + plays_1 * made(mine, 1) for mine in (0, 1)]
    slip = noise * (value[1] - value[0])
    return value[0] + slip, value[1] - slip
