"""Who acts. A policy takes a seat for one episode; whoever sits there answers that seat's turns and probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from palaestra.agents.episode import Trajectory
from palaestra.envs.script import Player, Request, ScriptedEnv, play_random
from palaestra.errors import UnknownNameError, nearest


class Sitter(Protocol):
    """A policy in a seat, for one episode."""

    async def answer(self, request: Request) -> str | None:
        """The reply to a turn, or to a probe (None: it does not answer probes)."""
        ...

    def trajectories(self) -> list[Trajectory]:
        """The tokens told, sampled and forced so far; empty for whoever is no language model."""
        ...


class Policy(Protocol):
    """Anything that can take a seat. `label` goes into the record: `debater@12`, `player:random`, `human`."""

    @property
    def label(self) -> str: ...

    def sit(self, seat: str, key: str) -> Sitter:
        """Take `seat` in the episode named by `key`; every draw is fixed by key, seat and turn."""
        ...


Cast = dict[str, Policy]
"""seat -> policy"""


class Scripted:
    """A policy that is a pure function of the request, and its own sitter."""

    def __init__(self, name: str, player: Player) -> None:
        self.label = f"player:{name}"
        self._player = player

    def sit(self, seat: str, key: str) -> Scripted:
        return self

    async def answer(self, request: Request) -> str | None:
        return self._player(request) if request.kind == "turn" else None

    def trajectories(self) -> list[Trajectory]:
        return []


class Human:
    """Somebody who types. `ask` shows a request and returns the reply; by default the terminal."""

    label = "human"

    def __init__(self, ask: Callable[[Request], str]) -> None:
        self._ask = ask

    def sit(self, seat: str, key: str) -> Human:
        return self

    async def answer(self, request: Request) -> str | None:
        return self._ask(request)

    def trajectories(self) -> list[Trajectory]:
        return []


def player(env: type[ScriptedEnv], name: str) -> Scripted:
    """A scripted player of an environment, by name. `random` exists everywhere.

    Raises:
        UnknownNameError: the environment has no such player.
    """
    known: dict[str, Player] = {"random": play_random, **env.players}
    if name not in known:
        raise UnknownNameError(f"{env.name()} has no player {name!r}\n  {nearest(name, known)}")
    return Scripted(name, known[name])
