"""An environment that exists as PettingZoo or Gymnasium, with text in and out, behind the native door.

    Haiku = from_pettingzoo(HaikuEnv)             # a class, a function that makes one, or one object
    env = Haiku(); env.start(0); env.waiting ...  # replay, fork, records, schedulers: all as for a scripted one

The result is a `ScriptedEnv` whose script drives a fresh inner environment, so nothing of ours is subclassed.
Observations are texts, or dictionaries with the key `text`; other kinds need `observe`, other actions `act`:

    from_gymnasium(TaxiEnv, observe=lambda observation: f"You see {observation}.", act=lambda text: int(text))

Arguments of the class or function that have a plain default (a number, text, bool or None) become parameters. A
reply is passed on as it is, reasoning (`<think>...</think>`) cut out. Where the action space is a `Text` that does
not contain it, the seat is told so and asked again, and forfeits after its retries. Truncation ends an episode like
termination and is reported in the outcome, as is `info["outcome"]` if the inner environment gives one.
"""

from __future__ import annotations

import copy
import inspect
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import gymnasium
from gymnasium.spaces import Space, Text
from pettingzoo import AECEnv, ParallelEnv

from palaestra.envs import transcript as record
from palaestra.envs.grammar import Move
from palaestra.envs.script import Forfeit, Script, ScriptedEnv, Turn, _rebuild
from palaestra.errors import EnvError

_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.S)
_DEFAULT_CHARACTERS = Text(1).character_set
_classes: dict[Inner, type[Adapted]] = {}


class Inner(NamedTuple):
    """Where inner environments come from, and how they are read and written. Equal origins give one class."""

    factory: Any
    """A class or function that makes one, or one object that is copied for every episode."""
    observe: Callable[[Any], str] | None
    act: Callable[[str], Any] | None
    name: str

    def make(self, params: Mapping[str, Any]) -> Any:
        return self.factory(**params) if callable(self.factory) else copy.deepcopy(self.factory)

    def text(self, observation: Any) -> str:
        """What a seat is told of an observation."""
        if self.observe:
            return self.observe(observation)
        if isinstance(observation, Mapping) and "text" in observation:
            observation = observation["text"]
        if isinstance(observation, str):
            return str(observation)
        raise EnvError(
            f"{self.name}: an observation is {type(observation).__name__}, not text and no mapping with key 'text'\n"
            "  pass observe=, a function from an observation to a text"
        )

    def action(self, text: str) -> Any:
        return self.act(text) if self.act else text


class Adapted(ScriptedEnv):
    """Base of the classes made here."""

    inner: ClassVar[Inner]
    _own: ClassVar[tuple[str, ...]] = ()

    def _make(self) -> Any:
        return self.inner.make({n: self.params[n] for n in self._own})

    def _reply(self, seat: str, space: Space[Any] | None, move: Move) -> Script:
        """The action in a reply that has come; asks again while it lies outside a space of texts."""
        tries = 0
        while True:
            text = _THINK.sub("", move.raw) if "<think>" in move.raw else move.raw
            if self.inner.act or not isinstance(space, Text) or _contains(space, text):
                return self.inner.action(text)
            tries += 1
            self._events.append(record.Malformed(seat))
            if tries > self.retries:
                raise Forfeit((seat,), {})
            self.tell(
                f"That is not a legal move: {space.min_length} to {space.max_length} characters "
                f"of {''.join(space.characters)}",
                to=seat,
            )
            move = yield seat

    def _tell_observation(self, seat: str, observation: Any, *, again: bool = True) -> None:
        """Tell a seat its observation; with `again` false only if it is not what the seat was told last."""
        text = self.inner.text(observation)
        if again or (text and self._last.get(seat) != text):
            self.tell(text, to=seat)
        self._last[seat] = text

    def _report(self, truncated: list[str], infos: Mapping[str, Any]) -> None:
        """The gold facts at the end of an episode."""
        facts: dict[str, Any] = {"truncated": truncated}
        for info in infos.values():
            if isinstance(info, Mapping) and isinstance(info.get("outcome"), Mapping):
                facts.update(info["outcome"])
        self.outcome(**facts)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class made here has no name of its own to be found by; it is made again from its origin.
        _, (_, *rest) = super().__reduce__()
        return _rebuilt, (self.inner, *rest)


class _FromAEC(Adapted):
    """A PettingZoo AEC environment."""

    def script(self, rng: random.Random) -> Script:
        inner = self._make()
        inner.reset(seed=self._seed)
        self._last: dict[str, str] = {}
        truncated: list[str] = []
        infos: dict[str, Any] = {}
        while inner.agents:
            seat = inner.agent_selection
            observation, reward, terminated, cut, infos[seat] = inner.last()
            if reward:
                self.reward({seat: float(reward)})
            if terminated or cut:
                self._tell_observation(seat, observation, again=False)
                truncated += [seat] if cut else []
                alive = any(not (inner.terminations[a] or inner.truncations[a]) for a in inner.agents)
                inner.step(None)
                if alive:
                    self.eliminate(seat)
                continue
            self._tell_observation(seat, observation)
            move = yield Turn(seat)
            inner.step((yield from self._reply(seat, inner.action_space(seat), move)))
        self._report(truncated, infos)


class _FromParallel(Adapted):
    """A PettingZoo Parallel environment: all living agents act at once."""

    simultaneous = True

    def script(self, rng: random.Random) -> Script:
        inner = self._make()
        observations, infos = inner.reset(seed=self._seed)
        self._last: dict[str, str] = {}
        truncated: list[str] = []
        while inner.agents:
            seats = tuple(inner.agents)
            for seat in seats:
                self._tell_observation(seat, observations[seat])
            moves = yield seats
            actions = {}
            for seat in seats:
                actions[seat] = yield from self._reply(seat, inner.action_space(seat), moves[seat])
            observations, rewards, _, truncations, infos = inner.step(actions)
            self.reward({s: float(r) for s, r in rewards.items() if r})
            for seat in seats:
                truncated += [seat] if truncations.get(seat) else []
                if seat not in inner.agents:
                    self._tell_observation(seat, observations.get(seat, ""), again=False)
                    if inner.agents:
                        self.eliminate(seat)
        self._report(truncated, infos)


class _FromGymnasium(Adapted):
    """A Gymnasium environment: one seat."""

    seats = ("player_0",)

    def script(self, rng: random.Random) -> Script:
        inner = self._make()
        (seat,) = self.seats
        observation, info = inner.reset(seed=self._seed)
        self._last: dict[str, str] = {}
        terminated = cut = False
        while not (terminated or cut):
            self._tell_observation(seat, observation)
            move = yield seat
            action = yield from self._reply(seat, inner.action_space, move)
            observation, reward, terminated, cut, info = inner.step(action)
            if reward:
                self.reward({seat: float(reward)})
        self._tell_observation(seat, observation, again=False)
        self._report([seat] if cut and not terminated else [], {seat: info})


def _contains(space: Text, text: str) -> bool:
    """Whether a text is an action. gymnasium's default characters, which lack the space, are nobody's choice."""
    if space.character_set == _DEFAULT_CHARACTERS:
        return space.min_length <= len(text) <= space.max_length
    return space.contains(text)


def from_pettingzoo(
    env: Any,
    *,
    observe: Callable[[Any], str] | None = None,
    act: Callable[[str], Any] | None = None,
    name: str = "",
) -> type[Adapted]:
    """The environment class that plays a PettingZoo environment, AEC or Parallel.

    Args:
        env: a class, a function that makes an environment, or an environment (copied for every episode).
        observe: from an observation to the text that the seat is told.
        act: from a reply to an action.
        name: the id that finds the result again, `module:Class`; needed to load records where `observe` or `act`
            are given.
    """
    return _adapted(env, observe, act, name)


def from_gymnasium(
    env: Any,
    *,
    observe: Callable[[Any], str] | None = None,
    act: Callable[[str], Any] | None = None,
    name: str = "",
) -> type[Adapted]:
    """The environment class, with the one seat `player_0`, that plays a Gymnasium environment.

    The arguments are those of `from_pettingzoo`.
    """
    return _adapted(env, observe, act, name)


def adapt(thing: Any, name: str) -> type[ScriptedEnv]:
    """What the registry found under `name`, as an environment class of ours."""
    return _adapted(thing, None, None, name)


def _adapted(env: Any, observe: Any, act: Any, name: str) -> type[Adapted]:
    factory = env
    module, title = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
    name = name or (f"{module}:{title}" if callable(factory) and title else f"{type(env).__name__} object")
    origin = Inner(factory, observe, act, name)
    if origin not in _classes:
        _classes[origin] = _make_class(origin)
    return _classes[origin]


def _make_class(origin: Inner) -> type[Adapted]:
    defaults = _parameters(origin.factory)
    try:
        inner = origin.make({})
    except TypeError as error:
        raise EnvError(
            f"{origin.name}: cannot be made without arguments: {error}\n"
            "  pass a function of no arguments that makes it, or give the arguments defaults"
        ) from error
    base: type[Adapted]
    if isinstance(inner, gymnasium.Env):
        base, seats = _FromGymnasium, _FromGymnasium.seats
    elif isinstance(inner, AECEnv | ParallelEnv):
        base = _FromAEC if isinstance(inner, AECEnv) else _FromParallel
        seats = tuple(inner.possible_agents)
    else:
        raise EnvError(f"{origin.name}: makes a {type(inner).__name__}\n  no PettingZoo or Gymnasium environment")
    body: dict[str, Any] = {
        "__doc__": inspect.getdoc(type(inner)) or base.__doc__,
        "__annotations__": dict.fromkeys(defaults, Any),
        "inner": origin,
        "env_id": origin.name,
        "seats": seats,
        "_own": tuple(defaults),
        **defaults,
    }
    return type(type(inner).__name__, (base,), body)


def _parameters(factory: Any) -> dict[str, Any]:
    """The arguments of a factory that have a plain default, and names that are free."""
    try:
        arguments = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # an object, or something of C
        return {}
    taken = set(dir(ScriptedEnv)) | ScriptedEnv._DECLARED | {"params", "over", "inner"}
    return {
        n: p.default
        for n, p in arguments.items()
        if isinstance(p.default, str | int | float | None) and n not in taken and not n.startswith("_")
    }


def _rebuilt(inner: Inner, *rest: Any) -> ScriptedEnv:
    made: ScriptedEnv = _rebuild(_adapted(*inner), *rest)
    return made
