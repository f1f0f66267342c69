"""Shortest plans over states that can be hashed: the oracles of the worlds that are walked through."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


def shortest(
    start: S,
    steps: Callable[[S], Iterable[tuple[str, S]]],
    goal: Callable[[S], bool],
    *,
    estimate: Callable[[S], int] = lambda state: 0,
    limit: int = 200_000,
) -> list[str] | None:
    """The actions of a shortest way from `start` to a state where `goal` holds; None where there is none.

    Args:
        steps: state -> (action, next state), in a fixed order: of equally short ways the first found is given.
        estimate: a lower bound of the steps left (A*); without one, breadth first.
        limit: states visited at most; beyond it, None.
    """
    order = itertools.count()
    heap = [(estimate(start), 0, next(order), start)]
    came: dict[S, tuple[S, str] | None] = {start: None}
    cost = {start: 0}
    done: set[S] = set()
    while heap and len(done) < limit:
        state = heapq.heappop(heap)[-1]
        if state in done:
            continue
        if goal(state):
            return _way(came, state)
        done.add(state)
        for action, after in steps(state):
            if after not in cost or cost[state] + 1 < cost[after]:
                cost[after], came[after] = cost[state] + 1, (state, action)
                left = estimate(after)  # of equally promising states the one nearest to the goal comes first
                heapq.heappush(heap, (cost[after] + left, left, next(order), after))
    return None


def _way(came: dict[S, tuple[S, str] | None], state: S) -> list[str]:
    actions = []
    while step := came[state]:
        state, action = step
        actions.append(action)
    return actions[::-1]


class Guide(Generic[S]):
    """The shortest way from whatever state; the ways that were found are remembered for every state on them."""

    def __init__(
        self,
        steps: Callable[[S], Iterable[tuple[str, S]]],
        goal: Callable[[S], bool],
        *,
        estimate: Callable[[S], int] = lambda state: 0,
        limit: int = 200_000,
    ) -> None:
        self.steps, self.goal, self.estimate, self.limit = steps, goal, estimate, limit
        self._ways: dict[S, list[str] | None] = {}

    def knows(self, state: S) -> bool:
        """Whether the state lies on a way that was found already."""
        return state in self._ways

    def way(self, state: S) -> list[str] | None:
        """As `shortest` gives it."""
        if state not in self._ways:
            way = shortest(state, self.steps, self.goal, estimate=self.estimate, limit=self.limit)
            self._ways[state], at = way, state
            for n, action in enumerate(way or (), start=1):
                at = next(after for name, after in self.steps(at) if name == action)
                self._ways[at] = way[n:] if way else None
        return self._ways[state]

    def ratio(self, start: S, taken: int) -> float:
        """The steps of the shortest way over those that were taken; 0 where there is no way."""
        return len(self.way(start) or ()) / taken
