"""The league: past versions of the trained policies, who meets whom, and how it went.

A version that was once taken into the pool may be an opponent, a reference in the loss, or a member of a mixture. Who
sits where is decided before an episode begins and never changes within it: matchmaking returns whole casts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any, Literal, NamedTuple

from palaestra.agents.episode import Episode, PolicyRef
from palaestra.errors import ScenarioError

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


class Interval(NamedTuple):
    """Bounds of a 95 % interval."""

    low: float
    high: float


def wilson(successes: float, n: int) -> Interval:
    """Wilson's score interval of a share; (0, 1) for no trials. Source: E. B. Wilson, JASA 22 (1927)."""
    if not n:
        return Interval(0.0, 1.0)
    p, z2 = successes / n, Z95**2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(max(center - half, 0.0), min(center + half, 1.0))


class Payoff(NamedTuple):
    """Returns of one side against another: a running mean with its spread, and wins."""

    games: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared deviations from the mean."""
    points: float = 0.0
    """1 for each return above the other's, 1/2 for equal ones."""

    def add(self, value: float, other: float) -> Payoff:
        """With one more game (Welford's update)."""
        games = self.games + 1
        gap = value - self.mean
        mean = self.mean + gap / games
        won = 1.0 if value > other else 0.5 if value == other else 0.0
        return Payoff(games, mean, self.squares + gap * (value - mean), self.points + won)

    @property
    def interval(self) -> Interval:
        """Of the mean return, by the normal approximation; unbounded below two games."""
        if self.games < 2:
            return Interval(-math.inf, math.inf)
        half = Z95 * math.sqrt(self.squares / (self.games - 1) / self.games)
        return Interval(self.mean - half, self.mean + half)

    @property
    def win_share(self) -> float:
        """Share of games won, draws as half."""
        return self.points / self.games if self.games else 0.5

    @property
    def win_interval(self) -> Interval:
        """Of the share of games won, by Wilson's method."""
        return wilson(self.points, self.games)


class PayoffTable:
    """Mean returns of row against column, by label."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], Payoff] = {}

    def add(self, row: str, column: str, value: float, other: float) -> None:
        """One game: `value` is the row's return, `other` the column's."""
        self._cells[row, column] = self[row, column].add(value, other)

    def __getitem__(self, pair: tuple[str, str]) -> Payoff:
        """The cell; an empty one where they never met."""
        return self._cells.get(pair, Payoff())

    def cells(self) -> dict[tuple[str, str], Payoff]:
        """Every pair that has met, in the order of first meeting."""
        return dict(self._cells)

    def state_dict(self) -> list[list[Any]]:
        """Plain JSON data."""
        return [[row, column, *cell] for (row, column), cell in self._cells.items()]

    def load_state_dict(self, state: Sequence[Sequence[Any]]) -> None:
        self._cells = {(row, column): Payoff(*cell) for row, column, *cell in state}


class League:
    """Pool, matchmaking and payoff table.

    - `mirror`: every seat is held by the present versions.
    - `fixed`: in `share` of the groups one seat is held by `opponent`.
    - `uniform`: in `share` of the groups one seat is held by a past version of that seat's own policy, drawn
      uniformly from the pool; while there is none, the group is mirror play.

    The seat that the opponent takes alternates over the seats of trained policies.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        matchmaking: Literal["mirror", "fixed", "uniform"] = "mirror",
        share: float = 0.5,
        opponent: str = "",
        every: int = 5,
        limit: int = 20,
    ) -> None:
        """A league of the trained policies `names`.

        Args:
            share: of groups with an opponent, 0 to 1.
            opponent: for `fixed`: `name@version` or `player:name`.
            every: steps between snapshots.
            limit: most versions kept a policy; the oldest goes first.
        Raises:
            ScenarioError: `fixed` without an opponent, or a number out of range.
        """
        if matchmaking == "fixed" and not opponent:
            raise ScenarioError(
                'matchmaking = "fixed" needs an opponent\n  opponent = "player:random", or name@version'
            )
        if not 0 <= share <= 1 or every < 1 or limit < 1:
            raise ScenarioError(
                f"league: share = {share}, every = {every}, limit = {limit}\n  share is 0 to 1, the others at least 1"
            )
        self.names = tuple(names)
        self.matchmaking, self.share, self.opponent = matchmaking, share, opponent
        self.every, self.limit = every, limit
        self.pool: dict[str, list[int]] = {name: [] for name in self.names}
        self.payoffs = PayoffTable()
        self._seatings = 0

    # -- the pool
    def snapshot(self, step: int, names: Iterable[str] | None = None) -> list[PolicyRef]:
        """The versions that join the pool after `step` steps (every `every`), for the engine to freeze."""
        if step % self.every:
            return []
        return [self.add(PolicyRef(name, step)) for name in (self.names if names is None else names)]

    def add(self, ref: PolicyRef) -> PolicyRef:
        """Take a version into the pool; beyond the limit the oldest leaves."""
        versions = self.pool.setdefault(ref.name, [])
        if ref.version not in versions:
            versions.append(ref.version)
            del versions[: -self.limit]
        return ref

    def members(self, name: str | None = None) -> list[PolicyRef]:
        """The versions in the pool, of one policy or of all; whatever is not among them may be retired."""
        return [PolicyRef(n, v) for n, versions in self.pool.items() if name in (None, n) for v in versions]

    def mixture(self, name: str) -> list[tuple[PolicyRef, float]]:
        """The pool of one policy with equal weights that sum to 1."""
        members = self.members(name)
        return [(ref, 1.0 / len(members)) for ref in members]

    # -- who meets whom
    def casts(self, groups: int, present: Mapping[str, str], rng: random.Random) -> list[dict[str, str]]:
        """Casts for `groups` groups of episodes: seat -> `name@version` or `player:name`.

        The groups with an opponent are spread evenly. Deterministic given `rng` and the league's state.

        Args:
            present: who holds each seat by default, the trained policies at their present version.
        """
        seats = [seat for seat, label in present.items() if self._name(label) in self.names]
        out: list[dict[str, str]] = []
        for g in range(groups):
            cast = dict(present)
            share = 0.0 if self.matchmaking == "mirror" else self.share
            if seats and int((g + 1) * share) > int(g * share):
                seat = seats[self._seatings % len(seats)]
                self._seatings += 1
                cast[seat] = self._opponent(present[seat], rng)
            out.append(cast)
        return out

    def _opponent(self, label: str, rng: random.Random) -> str:
        if self.matchmaking == "fixed":
            return self.opponent
        members = self.members(self._name(label))
        return str(rng.choice(members)) if members else label

    @staticmethod
    def _name(label: str) -> str:
        return label.partition("@")[0]

    # -- how it went
    def record(self, episodes: Iterable[Episode], present: Iterable[str] = ()) -> None:
        """Add the returns of finished episodes to the payoff table, seat against each other seat.

        Labels in `present` (the versions that are training now) are counted under their bare name, so that the table
        does not grow with every step. Failed episodes are left out.
        """
        now = {label: self._name(label) for label in present}
        for episode in episodes:
            if episode.failure is None:
                returns = episode.returns
                for a, b in permutations(episode.cast, 2):
                    row, column = episode.cast[a], episode.cast[b]
                    self.payoffs.add(now.get(row, row), now.get(column, column), returns[a], returns[b])

    # -- state
    def state_dict(self) -> dict[str, Any]:
        """Plain JSON data: pool, payoffs, and whose turn to sit where."""
        pool = {name: list(versions) for name, versions in self.pool.items()}
        return {"pool": pool, "payoffs": self.payoffs.state_dict(), "seatings": self._seatings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self.pool = {name: list(versions) for name, versions in state["pool"].items()}
        self.payoffs.load_state_dict(state["payoffs"])
        self._seatings = state["seatings"]
