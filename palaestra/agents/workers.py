"""Where episodes are played: in this process, or by workers elsewhere. Who asks does not see the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Protocol

from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.play import Envs, Job, rollout, wait_for


class Workers(Protocol):
    """Rollout workers."""

    def ready(self, jobs: Sequence[Job]) -> Callable[[], list[Episode]]:
        """Take what these jobs need (the weights of the versions that sit in them, as they are now).

        Returns:
            What plays them, in any thread; episodes in the order of the jobs.
        """
        ...

    def keep(self, versions: Iterable[PolicyRef]) -> None:
        """No others of the versions so far are asked for again."""
        ...

    def close(self) -> None:
        """Nothing more is played."""
        ...


class Here:
    """This process plays.

    Args:
        live: completions under way at once.
        parts: how many parts the jobs are cut into, played one after another: with as many parts as there are workers
            elsewhere, what is played is the same bit for bit.
    """

    def __init__(self, live: int = 256, parts: int = 1) -> None:
        self.live, self.parts = live, parts
        self._envs = Envs()

    def ready(self, jobs: Sequence[Job]) -> Callable[[], list[Episode]]:
        """The weights are here already."""
        return lambda: [episode for part in cut(jobs, self.parts) for episode in self._play(part)]

    def _play(self, jobs: Sequence[Job]) -> list[Episode]:
        return wait_for(rollout(jobs, live=self.live, envs=self._envs))

    def keep(self, versions: Iterable[PolicyRef]) -> None:
        """The engine keeps them."""

    def close(self) -> None:
        """Nothing runs."""


def cut(jobs: Sequence[Job], parts: int) -> list[Sequence[Job]]:
    """At most `parts` runs of neighbours of about equal length, none empty."""
    bounds = [len(jobs) * i // parts for i in range(parts + 1)]
    return [jobs[a:b] for a, b in pairwise(bounds) if a < b]
