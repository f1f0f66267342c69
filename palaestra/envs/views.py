"""The other doors of an environment: PettingZoo's Parallel interface, and Gymnasium for one learner.

`ScriptedEnv` itself is a PettingZoo AEC environment. `ParallelView` is for environments in which all living seats
act at once; `SingleView` puts one learner in a seat and fills the others.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, SupportsFloat

import gymnasium
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Dict
from gymnasium.vector.utils.shared_memory import create_shared_memory
from pettingzoo import ParallelEnv

from palaestra.envs.registry import env_class
from palaestra.envs.script import Request, ScriptedEnv, play_random
from palaestra.envs.spaces import TextSpace
from palaestra.errors import EnvError, nearest

Other = str | Callable[[Request], str | Awaitable[str]]
"""A partner: the name of a scripted player, or a function of the request, which may be a coroutine function."""


class ParallelView(ParallelEnv):  # type: ignore[type-arg]
    """A declared simultaneous environment behind PettingZoo's Parallel interface.

    It holds an environment of its own with the parameters of `env` and no retries (a retry would be a turn of one
    seat alone). A missing action is the empty text. Effects run in place, probes stay unanswered. What is paid
    before anybody acts comes with the first step.

    Raises:
        EnvError: the environment does not declare `simultaneous`.
    """

    def __init__(self, env: ScriptedEnv) -> None:
        if not env.simultaneous:
            raise EnvError(
                f"{env.name()}: not declared simultaneous, so it has no parallel interface\n"
                "  use it as an AEC environment, or declare `simultaneous = True` if all living seats act at once"
            )
        self.env = type(env)(**{**env.params, "retries": 0})
        self.env._seeds.setstate(env._seeds.getstate())
        self.metadata = dict(self.env.metadata)
        self.possible_agents = list(self.env.possible_agents)
        self.agents: list[str] = []
        self.observation_spaces = self.env.observation_spaces
        self.action_spaces = self.env.action_spaces
        self.render_mode = None

    def observation_space(self, agent: str) -> Dict:
        return self.env.observation_space(agent)

    def action_space(self, agent: str) -> TextSpace:
        return self.env.action_space(agent)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, Any]]]:
        """(observations, infos) of all seats. Unknown options are ignored."""
        env = self.env
        env.start(env.next_seed(seed))
        env.settle()
        self.agents = [] if env.over else list(env.living)
        self._all_act()
        return {a: env.observe(a) for a in env.seats}, {a: env.info(a) for a in env.seats}

    def step(self, actions: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """(observations, rewards, terminations, truncations, infos) of the seats that were alive."""
        env, alive = self.env, self.agents
        env.submit({a: actions.get(a, "") for a in alive})
        env.settle()
        paid, living = env.take_paid(), env.living
        self.agents = [] if env.over else list(living)
        self._all_act()
        return (
            {a: env.observe(a) for a in alive},
            {a: paid.get(a, 0.0) for a in alive},
            {a: env.over or a not in living for a in alive},
            dict.fromkeys(alive, False),
            {a: env.info(a) for a in alive},
        )

    def _all_act(self) -> None:
        if self.agents and self.env.waiting.keys() != set(self.agents):
            raise EnvError(
                f"{self.env.name()}: declared simultaneous, but only {', '.join(self.env.waiting)} may act "
                f"(seed {self.env.transcript.seed})\n  yield a turn of every living seat: {', '.join(self.agents)}"
            )

    def render(self) -> str:
        return self.env.render()

    def close(self) -> None:
        self.env.close()


class SingleView(gymnasium.Env):  # type: ignore[type-arg]
    """One seat of an environment as a Gymnasium environment; the other seats are filled.

    Args:
        env: any scripted environment; the view plays on this object.
        seat: the learner's; None: the first.
        others: who fills the other seats: a player for all, or {seat: player}; seats left out play at random.
            A player is a name from `env.players`, or a function Request -> text. Coroutine functions run together
            on one background loop of the process.

    Observations are {"text": what the seat was told since it last acted}; rewards what it was paid since, what was
    paid before its first turn included. Episodes terminate and are never truncated. Where an episode ends before
    the seat ever acts, its first step, whatever the action, returns the end. The last info holds "outcome".
    """

    def __init__(
        self, env: ScriptedEnv, seat: str | None = None, others: Other | Mapping[str, Other] = "random"
    ) -> None:
        self.env = env
        self.seat = env.seats[0] if seat is None else seat
        if self.seat not in env.seats:
            raise EnvError(f"{env.name()}: no seat {seat!r}\n  {nearest(str(seat), env.seats)}")
        chosen = dict(others) if isinstance(others, Mapping) else dict.fromkeys(env.seats, others)
        if unknown := chosen.keys() - set(env.seats):
            raise EnvError(f"{env.name()}: no seat {min(unknown)!r}\n  {nearest(min(unknown), env.seats)}")
        self.players = {s: _player(env, chosen.get(s, "random")) for s in env.seats if s != self.seat}
        self.metadata = dict(env.metadata)
        self.observation_space = env.observation_space(self.seat)
        self.action_space = env.action_space(self.seat)
        self.render_mode = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        super().reset(seed=seed)
        self.env.start(self.env.next_seed(seed))
        self._reward = 0.0
        self._play_on()
        return self.env.observe(self.seat), self._info()

    def step(self, action: Any) -> tuple[dict[str, str], SupportsFloat, bool, bool, dict[str, Any]]:
        if self.seat in self.env.waiting:
            self.env.submit({self.seat: str(action)})  # vector environments hand over numpy strings
            self._play_on()
        reward, self._reward = self._reward, 0.0
        return self.env.observe(self.seat), reward, self._done(), False, self._info()

    def _done(self) -> bool:
        return self.env.over or self.seat not in self.env.living

    def _play_on(self) -> None:
        """Let everything else answer until the learner is to act, or is done."""
        while not self._done() and (rest := self._rest()):
            answers = {key: self._answer(request) for key, request in rest.items()}
            later = {key: answer for key, answer in answers.items() if inspect.isawaitable(answer)}
            self.env.submit({**answers, **_together(later)})
        self._reward += self.env.take_paid().get(self.seat, 0.0)

    def _rest(self) -> dict[str, Request]:
        return {k: r for k, r in self.env.waiting.items() if r.kind != "turn" or r.seat != self.seat}

    def _answer(self, request: Request) -> Any:
        if request.kind == "turn":
            return self.players[request.seat](request)
        return request.run() if request.kind == "effect" else None

    def _info(self) -> dict[str, Any]:
        info = self.env.info(self.seat)
        if self._done():
            info["outcome"] = copy.deepcopy(self.env.transcript.outcome())
        return info

    def render(self) -> str:  # type: ignore[override]
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def _player(env: ScriptedEnv, player: Other) -> Callable[[Request], Any]:
    if not isinstance(player, str):
        return player
    known = {"random": play_random, **env.players}
    if player not in known:
        raise EnvError(f"{env.name()}: no player {player!r}\n  {nearest(player, known)}")
    return known[player]


@functools.lru_cache(1)
def _loop(process: int) -> asyncio.AbstractEventLoop:
    """The background loop of this process (a forked child has to make its own: threads are not forked)."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="palaestra-others", daemon=True).start()
    return loop


def _together(waited: dict[str, Awaitable[Any]]) -> dict[str, Any]:
    """The results of coroutines that ran at the same time on the background loop."""
    if not waited:
        return {}

    async def gather() -> list[Any]:
        return await asyncio.gather(*waited.values())

    results: Coroutine[Any, Any, list[Any]] = gather()
    done = asyncio.run_coroutine_threadsafe(results, _loop(os.getpid())).result()
    return dict(zip(waited, done, strict=True))


@create_shared_memory.register(TextSpace)
def _no_shared_memory(space: TextSpace, n: int = 1, ctx: Any = None) -> Any:
    # Gymnasium would hand out texts of zeros, and nobody would be told.
    raise CustomSpaceError("texts of any characters do not fit into shared memory; pass shared_memory=False")


# -- entry points of the registries: they import an environment when it is made, not before ------------------------
def _split(env: str, params: dict[str, Any]) -> ScriptedEnv:
    params.pop("render_mode", None)  # gymnasium passes one that is None
    return env_class(env)(**params)


def make_aec(*, env: str, **params: Any) -> ScriptedEnv:
    """PettingZoo's `make("aec", "palaestra/<name>-v0", **params)`."""
    return _split(env, params)


def make_parallel(*, env: str, **params: Any) -> ParallelView:
    """PettingZoo's `make("parallel", "palaestra/<name>-v0", **params)`."""
    return ParallelView(_split(env, params))


def make_single(
    *, env: str, seat: str | None = None, others: Other | Mapping[str, Other] = "random", **params: Any
) -> SingleView:
    """Gymnasium's `make("palaestra/<name>-v0", seat=..., others=..., **params)`."""
    return SingleView(_split(env, params), seat, others)
