"""An environment that an OpenEnv server plays: `openenv/localhost:8000`, or a subclass with an address.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | up to `turns`, or until the server says that it is done |
| hidden | what the server hides |
| reward | the server's own |
| gold outcome | total, steps, truncated, and `outcome` where the observation has one |
| needs | `palaestra[openenv]` |

The seat is told the observation: its only text, or all of it as JSON. It replies with a text where the server's action
has one field and that is a text, and else with `[act {"field": value}]`; the fields are told first, and JSON that holds
brackets goes into a fenced block before `[act]`. Where observations list `legal_actions` in brackets, as those of
palaestra's own server do, these are the turn's commands. A subclass may word both differently:

    class Maze(OpenEnv):
        address = "localhost:8000"
        def shown(self, observation): return f"You see {observation['view']}."
        def action(self, move, fields): return {"direction": move.speech}

Every episode has a session of its own. It begins with two resets by one seed, which must show the same; a server that
takes no seed is not reproducible and is refused, unless nothing at its start is random. All that the server says is
recorded, so replay needs no server; `replay --verify` plays there again.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import urllib.request
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Foreign, library, made
from palaestra.envs.adapters.live import Sessions
from palaestra.envs.adapters.mcp_tools import fields_of, read_object
from palaestra.envs.grammar import Move
from palaestra.envs.script import Script, stateful
from palaestra.errors import EnvError, UnknownNameError

_VARYING = ("episode_id", "metadata")  # parts of an observation that name the session, not the world


def _connect(address: str) -> AbstractAsyncContextManager[Any]:
    client: AbstractAsyncContextManager[Any] = library("openenv.core", "openenv").GenericEnvClient(f"http://{address}")
    return client


async def _ask(client: Any, request: list[Any]) -> dict[str, Any]:
    """The first observation and the schema of actions, `["reset", address, seed]`, or what `["step", action]` gives."""
    kind, *about = request
    if kind == "step":
        return _seen(await client.step(about[0]))
    address, seed = about
    first, second = [_seen(await client.reset(seed=seed)) for _ in range(2)]
    schema = await asyncio.to_thread(_read, f"http://{address}/schema")
    return {**second, "repeats": first == second, "schema": schema["action"]}


def _seen(result: Any) -> dict[str, Any]:
    observation = {key: value for key, value in result.observation.items() if key not in _VARYING}
    return {"observation": observation, "reward": float(result.reward or 0.0), "done": bool(result.done)}


def _read(url: str) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # as OpenEnv's client: no proxy in between
    with direct.open(url, timeout=10) as reply:
        return json.load(reply)


_sessions = Sessions(_connect, _ask)


@stateful
async def server(address: str, *request: Any, history: list[tuple[list[Any], Any]]) -> Any:
    """`["reset", address, seed]`, `["step", action]`, or `["close"]`."""
    earlier = [args[1:] for args, result in history if "error" not in result]
    if request == ("close",):
        await _sessions.close(address, earlier)
        return {}
    return await _sessions.call(address, earlier, list(request))


class OpenEnv(Foreign):
    """An environment on an OpenEnv server."""

    turns: int = 100

    address: ClassVar[str] = ""
    """Host and port."""
    seats = ("player_0",)
    effects = {"server": server}
    rules = "Act in the environment that the messages describe."

    def shown(self, observation: dict[str, Any]) -> str:
        """What the seat is told of an observation."""
        texts = [value for value in observation.values() if isinstance(value, str)]
        return texts[0] if len(texts) == 1 else json.dumps(observation, ensure_ascii=False)

    def action(self, move: Move, fields: dict[str, str]) -> dict[str, Any]:
        """The action that a reply stands for, given the fields (name -> type) of the server's actions.

        Raises:
            ValueError: the reply is no action; the seat is told so and loses the turn.
        """
        if one := _only_text(fields):
            return {one: move.raw}
        return read_object(move.args[0] if move.args else "", move)

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        if not self.address:
            raise EnvError(f'{self.name()}: no server\n  declare its address: address = "localhost:8000"')
        seen = yield self.effect("server", self.address, "reset", self.address, rng.getrandbits(31))
        if "error" in seen:
            raise EnvError(f"{self.name()}: no OpenEnv server at {self.address}\n  {seen['error']}")
        if not seen["repeats"]:
            raise EnvError(
                f"{self.name()}: two resets by one seed differ\n  the server takes no seed, or not all of it"
            )
        fields = {name: kind for name, kind in fields_of(seen["schema"]).items() if name != "metadata?"}
        if not _only_text(fields):
            self.tell(
                f"An action is [act JSON] with {', '.join(f'{n}: {kind}' for n, kind in fields.items())}.", to=seat
            )

        total, steps = seen["reward"], 0
        if total:
            self.reward({seat: total})
        while not seen["done"] and steps < self.turns:
            self.tell(self.shown(seen["observation"]), to=seat)
            move = yield self.turn(seat, *_commands(seen["observation"], fields))
            steps += 1
            try:
                action = self.action(move, fields)
            except (ValueError, RecursionError) as error:
                self.tell(f"That is no action: {error}.", to=seat)
                continue
            now = yield self.effect("server", self.address, "step", action)
            if "error" in now:  # the server refused the action, and stands where it stood
                self.tell(f"The server: {now['error']}", to=seat)
                continue
            seen = now
            total += seen["reward"]
            if seen["reward"]:
                self.reward({seat: seen["reward"]})
        yield self.effect("server", self.address, "close")
        self.reveal(f"{self.shown(seen['observation'])} It is over: {total:g}.", to=seat)
        told = seen["observation"].get("outcome") or {}
        self.outcome(**{**told, "total": total, "steps": steps, "truncated": not seen["done"]})


def _only_text(fields: dict[str, str]) -> str:
    """The name of the only field, if it is a text."""
    return next(iter(fields), "") if list(fields.values()) == ["string"] else ""


def _commands(observation: dict[str, Any], fields: dict[str, str]) -> tuple[str, ...]:
    """The turn's commands: those that the server lists, or the general one; none is free speech."""
    legal = observation.get("legal_actions")
    if isinstance(legal, list) and legal and all(re.fullmatch(r"\[[^\[\]]+\]", str(move)) for move in legal):
        return tuple(move[1:-1] for move in legal)
    return () if _only_text(fields) else ("act ...", "act")


def member(name: str) -> type[OpenEnv]:
    """The class of the environment at `host:port`."""
    if not re.fullmatch(r"[\w.-]+:\d+(/[\w./-]*)?", name):
        raise UnknownNameError(
            f"openenv has no {name!r}\n  openenv/HOST:PORT is the server there, openenv/localhost:8000"
        )
    return made(OpenEnv, f"openenv/{name}", address=name)
