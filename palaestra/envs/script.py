"""`ScriptedEnv`: an environment written as one generator that reads like the rules of the game.

    class Pick(ScriptedEnv):
        seats = ("a_0", "b_0")
        def script(self, rng):
            moves = yield self.turn(self.seats, "pick 1..3", default="pick 1")
            ...

The same object has two doors. The native one is `start(seed)`, `waiting`, `submit(answers)`, `transcript`; every
driver of palaestra uses it. The other is PettingZoo's AEC interface (`reset`, `step`, `observe`, `last`), which is
the native one plus `settle()`. Save, load, replay, fork, `deepcopy` and pickle are one mechanism: the episode is
its seed and what was answered, so say it again.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import json
import math
import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple, Self

from gymnasium.spaces import Dict
from pettingzoo import AECEnv

from palaestra.envs import transcript as record
from palaestra.envs.grammar import clean, default_move, grammar
from palaestra.envs.spaces import TextSpace
from palaestra.envs.transcript import Event, Transcript
from palaestra.errors import EnvError, nearest

SPLITS = ("train", "test", "ood")


class Forfeit(Exception):
    """Thrown into a script where seats had no legal move, retry or default left.

    `seats` are those seats; `moves` the answers of the other seats of the same yield. A script may catch it and
    apply a rule of its own; uncaught, it costs each forfeiter `forfeit_reward` and ends the episode.
    """

    def __init__(self, seats: tuple[str, ...], moves: dict[str, Any]) -> None:
        super().__init__(seats)
        self.seats, self.moves = seats, moves


class Turn:
    """A seat is to act. Made by `ScriptedEnv.turn`."""

    __slots__ = ("commands", "default", "seat")

    def __init__(self, seat: str, commands: tuple[str, ...] = (), default: str | None = None) -> None:
        self.seat, self.commands, self.default = seat, commands, default


class Probe:
    """A question aside, outside the transcript. Made by `ScriptedEnv.probe`."""

    __slots__ = ("question", "seat")

    def __init__(self, seat: str, question: str) -> None:
        self.seat, self.question = seat, question


class Effect:
    """A tool call. Made by `ScriptedEnv.effect`."""

    __slots__ = ("args", "key", "name")

    def __init__(self, name: str, args: tuple[Any, ...], key: str) -> None:
        self.name, self.args, self.key = name, args, key


Ask = Turn | Probe | Effect
Script = Generator[Any, Any, Any]
Player = Callable[["Request"], str]


class Request:
    """One thing that somebody outside must answer: a seat's turn, a probe of a seat, or an effect."""

    __slots__ = ("ask", "env", "key")

    def __init__(self, env: ScriptedEnv, key: str, ask: Ask) -> None:
        self.env, self.key, self.ask = env, key, ask

    @property
    def kind(self) -> str:
        """ "turn", "probe" or "effect"."""
        return "turn" if type(self.ask) is Turn else "probe" if type(self.ask) is Probe else "effect"

    @property
    def seat(self) -> str:
        """The seat that is asked; for an effect the empty string."""
        return "" if isinstance(self.ask, Effect) else self.ask.seat

    @property
    def turn(self) -> int:
        """How many turns the seat has taken before this reply, retries counted."""
        return self.env._said.get(self.seat, 0)

    @property
    def told(self) -> tuple[str, ...]:
        """The messages since the seat last spoke; for a probe its question after them."""
        told = tuple(self.env._inbox[self.seat])
        return (*told, self.ask.question) if isinstance(self.ask, Probe) else told

    @property
    def text(self) -> str:
        """`told` as one text."""
        return "\n".join(self.told)

    @property
    def view(self) -> list[tuple[str, str]]:
        """All that the seat has been told and has said: ("told" | "said", text). Players are pure functions of it."""
        return self.env.view(self.seat)

    @property
    def heard(self) -> list[str]:
        """Every message that the seat has been told so far, in order."""
        return [text for who, text in self.view if who == "told"]

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that this turn accepts; empty for free speech."""
        return self.ask.commands if isinstance(self.ask, Turn) else ()

    @property
    def legal_actions(self) -> tuple[str, ...]:
        """The legal moves where there are at most 64, else patterns; empty for free speech."""
        return grammar(self.commands).legal if self.commands else ()

    @property
    def enumerable(self) -> bool:
        """Whether `legal_actions` are the moves themselves."""
        return bool(self.commands) and grammar(self.commands).enumerable

    @property
    def default(self) -> str | None:
        return self.ask.default if isinstance(self.ask, Turn) else None

    @property
    def rng(self) -> random.Random:
        """A stream for a scripted player, fixed by seed, seat and turn. It begins anew at each access: bind it once."""
        return self.env.stream("player", self.seat, self.turn)

    @property
    def facts(self) -> dict[str, Any]:
        """Every secret and note so far, by name. For oracles and referees; an honest player never looks."""
        return self.env.facts

    @property
    def history(self) -> list[tuple[list[Any], Any]]:
        """For an effect: earlier (args, result) of the same name, so that a workspace can be rebuilt."""
        assert isinstance(self.ask, Effect)
        name = self.ask.name
        return [
            (e.args, e.result)
            for e in self.env._events
            if isinstance(e, record.Effect) and e.key.partition(":")[0] == name
        ]

    def run(self) -> Any:
        """Execute an effect, here and now."""
        assert isinstance(self.ask, Effect)
        return self.env.run_effect(self)


def stateful(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an effect function that wants the earlier calls: it is called with `history` as a keyword argument."""
    function.wants_history = True  # type: ignore[attr-defined]
    return function


class Hold(NamedTuple):
    """Redraw every secret that `observer` does not hold, from streams salted with `salt` (conformance check)."""

    observer: str
    salt: int


class ScriptedEnv(AECEnv):  # type: ignore[type-arg]
    """Subclass it with parameters as annotated class attributes, `seats`, and a generator `script(self, rng)`.

    A script yields a seat (free speech), `self.turn(...)`, `self.probe(...)`, `self.effect(...)`, or a tuple of
    these (all at once; the answer is a dict by seat, for effects a list). A turn answers a `Move`, a probe a text or
    None, an effect its result. State belongs in the script's local variables: what it leaves on `self` is deleted at
    the next `start`.

    Every environment takes the parameters `split` ("train", "test", "ood": disjoint items) and `level` (ordered
    difficulty, one of `levels`), and `retries`.
    """

    # -- what a subclass may declare
    seats: tuple[str, ...] = ()
    """Names of the seats, `role_0` and so on. May be a property that depends on the parameters."""
    effects: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    """name -> function of plain JSON arguments, returning plain JSON data; may be a coroutine function."""
    players: ClassVar[Mapping[str, Player]] = {}
    """Scripted players by name; bundled environments have `random`, `greedy` and `oracle`."""
    levels: ClassVar[tuple[int, ...]] = (0,)
    splits: ClassVar[tuple[str, ...]] = ("train",)
    rules: ClassVar[str] = ""
    """The rules in a few sentences, for models that were not trained on this environment; a policy may show them."""
    controls: ClassVar[tuple[str, ...]] = ()
    """Names of boolean parameters that are controls (blind, oracle, no_tool ...)."""
    reward_range: ClassVar[tuple[float, float] | None] = None
    """Bounds of a seat's return, forfeits aside."""
    zero_sum: ClassVar[bool] = False
    skill: ClassVar[str] = ""
    """The outcome, a number, that the player `oracle` makes large where it sits in every seat; empty: the return of
    the one seat that it sits in."""
    simultaneous: ClassVar[bool] = False
    """Declared: every living seat acts at every turn; `ParallelView` is allowed."""
    forfeit_reward: ClassVar[float] = -1.0
    max_chars: ClassVar[int] = 4000
    max_told_chars: ClassVar[int] = 1_000_000
    env_id: ClassVar[str] = ""
    """The registered id; empty: `module:Class`."""

    # -- parameters of every environment
    split: str = "train"
    level: int = 0
    retries: int = 1

    _defaults: ClassVar[dict[str, Any]] = {}
    _COMMON: ClassVar[tuple[str, ...]] = ("split", "level", "retries")
    _DECLARED: ClassVar[frozenset[str]] = frozenset(
        "seats effects players rules levels splits controls reward_range zero_sum skill simultaneous "
        "forfeit_reward max_chars max_told_chars env_id split level retries script render".split()
    )

    def __init_subclass__(cls, **kw: Any) -> None:
        super().__init_subclass__(**kw)
        names = {n for n in (*cls.__dict__, *inspect.get_annotations(cls)) if not n.startswith("__")}
        clash = names & {*dir(ScriptedEnv), *AECEnv.__annotations__, "params", "over"} - cls._DECLARED
        if clash:
            raise EnvError(f"{cls.__name__}: {', '.join(sorted(clash))} belong to the base class\n  choose other names")
        own = [c for c in reversed(cls.__mro__) if issubclass(c, ScriptedEnv) and c is not ScriptedEnv]
        fields = [n for c in own for n, kind in inspect.get_annotations(c).items() if "ClassVar" not in str(kind)]
        fields = [n for n in fields if n not in cls._DECLARED and not n.startswith("_")]
        if missing := [n for n in fields if not hasattr(cls, n)]:
            raise EnvError(f"{cls.__name__}: parameter {missing[0]!r} has no default\n  write `{missing[0]}: int = 3`")
        cls._defaults = {n: getattr(cls, n) for n in (*fields, *cls._COMMON)}

    def __init__(self, **params: Any) -> None:
        for name in params:
            if name not in self._defaults:
                raise EnvError(f"{self.name()}: no parameter {name!r}\n  {nearest(name, self._defaults)}")
        #: every parameter with its value
        self.params: dict[str, Any] = {**self._defaults, **params}
        if self.params["split"] not in self.splits:
            raise EnvError(f"{self.name()}: split = {self.params['split']!r}\n  it has {', '.join(self.splits)}")
        if self.params["level"] not in self.levels:
            raise EnvError(f"{self.name()}: level = {self.params['level']!r}\n  it has {self.levels}")
        self.__dict__.update(self.params)
        seats = tuple(self.seats)
        if not seats or len(set(seats)) < len(seats) or not all(isinstance(s, str) for s in seats):
            raise EnvError(f"{self.name()}: seats = {seats}\n  it must be one or more distinct names such as player_0")
        if not isinstance(inspect.getattr_static(type(self), "seats"), property):
            self.seats = seats
        self.metadata = {"name": self.name(), "render_modes": [], "is_parallelizable": self.simultaneous}
        self.possible_agents = list(seats)
        self.observation_spaces = {s: Dict(text=TextSpace(self.max_told_chars)) for s in seats}
        self.action_spaces = {s: TextSpace(self.max_chars) for s in seats}
        self.render_mode = None
        self._seeds = random.Random()  # seeds of resets that name none; follows the last named seed
        self._hold: Hold | None = None
        self._seed: int | None = None
        self._script: Script
        self._asked: dict[str, Ask] = {}
        self._keep = frozenset(self.__dict__) | {"_keep"}

    @classmethod
    def name(cls) -> str:
        """The id that finds this class again: registered, or `module:Class`."""
        own = cls.__dict__.get("env_id")  # a subclass is another environment
        return own or f"{cls.__module__}:{cls.__qualname__}"

    def script(self, rng: random.Random) -> Script:
        """The rules, as a generator. `rng` is the public stream of the episode."""
        raise NotImplementedError(f"{type(self).__name__} needs a generator `def script(self, rng)`")

    # -- for the script ------------------------------------------------------------------------------------------
    def turn(self, who: Any, *commands: str, default: str | None = None) -> Any:
        """A seat's turn that accepts `commands` (none: free speech). A tuple of seats gives a tuple of turns."""
        if default is not None:
            default_move(commands, default)  # a wrong default fails at once, not when it is needed
        elif commands:
            grammar(commands)
        if isinstance(who, str):
            return Turn(who, commands, default)
        return tuple(Turn(s, commands, default) for s in who)

    def probe(self, seat: str, question: str) -> Probe:
        """A question outside the transcript: recorded, in no seat's view, never trained on, steering nothing."""
        return Probe(seat, question)

    def effect(self, name: str, *args: Any) -> Effect:
        """A tool call: run off the script when live, recorded, fed from the record on replay."""
        if name not in self.effects:
            raise EnvError(f"{self.name()}: no effect {name!r}\n  {nearest(name, self.effects)}")
        try:
            plain = tuple(_plain(list(args)))
        except (TypeError, ValueError) as error:
            raise EnvError(f"{self.name()}: effect {name!r}: its arguments are no plain JSON data: {error}") from None
        self._effect_count += 1
        return Effect(name, plain, f"{name}:{self._effect_count}")

    def stream(self, *key: Any) -> random.Random:
        """A random stream of its own, fixed by seed and key and never by parameters: variants stay paired."""
        return random.Random("|".join(map(str, (self._seed, *key))))

    def item(self, name: str, draw: Callable[[random.Random], Any], key: Callable[[Any], Any] = repr) -> Any:
        """Draw what the episode is about, such that `train` and `test` never share an item.

        The drawn item's `key` is hashed into ten buckets; train owns eight, test two, and `draw` is repeated until
        the item lies in a bucket of this split. ("ood" takes any bucket: there the environment itself draws from
        another range.) The key is recorded as the episode's instance.
        """
        drawn = self._of_split(self.stream("item", name), name, draw, key)
        self._events.append(record.Instance(f"{name}:{key(drawn)}"))
        return drawn

    def _of_split(self, rng: random.Random, name: str, draw: Any, key: Any) -> Any:
        """Draw until the item lies in a bucket of this split."""
        for _ in range(10_000):
            drawn = draw(rng)
            bucket = random.Random(f"{name}:{key(drawn)}").randrange(10)
            if self.split == "ood" or (bucket >= 8) == (self.split == "test"):
                return drawn
        raise EnvError(f"{self.name()}: no item {name!r} of split {self.split!r} in 10000 draws (seed {self._seed})")

    def secret(self, seat: str, name: str, draw: Callable[[random.Random], Any]) -> Any:
        """A private fact of one seat, independent of every other secret."""
        return self.secrets(f"{name}@{seat}", lambda rng: {seat: draw(rng)})[seat]

    def secrets(
        self,
        name: str,
        draw: Callable[[random.Random], dict[str, Any]],
        redraw: Callable[[random.Random, str, Any], dict[str, Any]] | None = None,
        item: Callable[[Any], Any] | None = None,
    ) -> dict[str, Any]:
        """Private facts drawn jointly: `draw(rng) -> {seat: part}`, a part being all that its seat may know of it.

        Where the facts are what the episode is about, `item` gives their key, as in `item`: splits never share one.

        The conformance check holds one observer's part and redraws the rest from the conditional law: by rejection,
        or by `redraw(rng, observer, part)` where rejection would take too long.
        """
        if item:
            draw = functools.partial(self._of_split, name=name, draw=draw, key=item)
        parts = draw(self.stream("secret", name))
        if self._hold and set(parts) != {self._hold.observer}:
            parts = self._redrawn(self._hold, name, draw, redraw, parts)
        # The script may use up what it was dealt; the record keeps what was dealt.
        dealt = {s: p if isinstance(p, str | int | float) else copy.deepcopy(p) for s, p in parts.items()}
        self._events.append(record.Secret(name, dealt))
        if item:
            self._events.append(record.Instance(f"{name}:{item(parts)}"))
        return parts

    def _redrawn(self, hold: Hold, name: str, draw: Any, redraw: Any, parts: dict[str, Any]) -> dict[str, Any]:
        observer, rng = hold.observer, self.stream("redraw", hold.salt, name)
        for _ in range(10_000):
            if redraw and observer in parts:
                new: dict[str, Any] = redraw(rng, observer, parts[observer])
            else:
                new = draw(rng)
            if new.get(observer) == parts.get(observer):
                return new
        raise EnvError(
            f"{self.name()}: secrets({name!r}): 10000 draws never gave {observer} its part again\n  pass redraw="
        )

    def tell(self, text: str, to: str | Iterable[str] | None = None) -> None:
        """`text` goes to one seat, some seats, or (None) every living seat."""
        self._tell(record.Told, text, to)

    def reveal(self, text: str, to: str | Iterable[str] | None = None) -> None:
        """A telling that may depend on secrets that the receivers do not hold: a showdown, a verdict."""
        self._tell(record.Revealed, text, to)

    def _tell(self, kind: type[record.Told] | type[record.Revealed], text: str, to: Any) -> None:
        seats = self.living if to is None else (to,) if isinstance(to, str) else tuple(to)
        if not isinstance(text, str):
            raise EnvError(f"{self.name()}: told {text!r}, which is no text (seed {self._seed})")
        for seat in seats:
            if seat not in self._inbox:
                raise EnvError(f"{self.name()}: told {seat!r}, which is no seat\n  {nearest(seat, self._inbox)}")
            if seat in self._out:
                raise EnvError(
                    f"{self.name()}: {seat} was eliminated and can no longer be told\n"
                    "  tell it before, or do not eliminate it and ask it no more"
                )
            self._inbox[seat].append(text)
        self._events.append(kind(seats, text))

    def reward(self, by_seat: Mapping[str, float] | None = None, **more: float) -> None:
        """Pay seats, at any time, in the environment's own unit."""
        for seat, amount in {**(by_seat or {}), **more}.items():
            if seat not in self._inbox:
                raise EnvError(f"{self.name()}: paid {seat!r}, which is no seat\n  {nearest(seat, self._inbox)}")
            if seat in self._out:
                raise EnvError(
                    f"{self.name()}: {seat} was eliminated and can no longer be paid\n"
                    "  a seat that may still be paid is not eliminated, only no longer asked"
                )
            if not math.isfinite(amount):
                raise EnvError(f"{self.name()}: {seat} is paid {amount} (seed {self._seed})\n  rewards are finite")
            self._paid[seat] = self._paid.get(seat, 0.0) + float(amount)
            self._events.append(record.Paid(seat, float(amount)))

    def outcome(self, **facts: Any) -> None:
        """Gold facts of the episode, as plain JSON data; apart from reward and from any judge."""
        self._events.append(record.Outcome(_plain(facts)))

    def note(self, **facts: Any) -> None:
        """Facts for the referee alone: oracles may read them in `request.facts`, no seat is told."""
        self._events.append(record.Noted(_plain(facts)))

    def eliminate(self, *seats: str) -> None:
        """The seats leave for good: no more turns, tellings or pay."""
        for seat in seats:
            if seat not in self._inbox:
                raise EnvError(f"{self.name()}: eliminated {seat!r}, which is no seat\n  {nearest(seat, self._inbox)}")
            if seat not in self._out:
                self._out[seat] = True
                self._events.append(record.Out(seat))

    @property
    def living(self) -> tuple[str, ...]:
        """The seats that have not been eliminated."""
        return tuple(s for s in self.seats if s not in self._out) if self._out else self.seats

    # -- native interface ----------------------------------------------------------------------------------------
    def start(self, seed: int) -> None:
        """Begin an episode. Turns, probes and effects then wait to be answered."""
        if "_script" in self.__dict__:
            self._script.close()  # its `finally` must not speak into the new episode
        for name in self.__dict__.keys() - self._keep:  # whatever a script left on self
            del self.__dict__[name]
        self.__dict__.update(self.params)  # and whatever it did to a parameter
        self._seed = int(seed)
        self._events: list[Event] = []
        self._paid: dict[str, float] = {}
        self._out: dict[str, bool] = {}
        self._said: dict[str, int] = {}
        self._effect_count = self._effects_asked = 0
        self._drafts: dict[str, list[Event]] = {}
        self._failed: Exception | None = None
        self.over = False
        self._inbox: dict[str, list[str]] = {s: [] for s in self.seats}
        script = self.script(self.stream("public"))
        if not inspect.isgenerator(script):
            self._fail(f"{self.name()}: script() is no generator\n  it must `yield` the seats that are to act")
        self._script = script
        self._advance(None)

    @property
    def waiting(self) -> dict[str, Request]:
        """Who must answer now: {seat or effect key: Request}. Empty exactly when the episode is over."""
        self._running()
        if self._failed:
            raise EnvError(f"{self.name()}: the script has failed (seed {self._seed}): {self._failed!r}")
        return {key: Request(self, key, ask) for key, ask in self._asked.items() if key not in self._answers}

    def _running(self) -> None:
        if self._seed is None:
            raise EnvError(f"{self.name()}: no episode yet\n  call start(seed) or reset(seed=...) first")

    def submit(self, answers: Mapping[str, Any]) -> None:
        """Answers to some or all of `waiting`; the script goes on when the last is in. Any text is legal.

        The order in which simultaneous answers arrive changes nothing.
        """
        for key, value in answers.items():
            ask = self._asked.get(key)
            if ask is None or key in self._answers:
                raise EnvError(f"{self.name()}: {key!r} is not waited for\n  waiting: {', '.join(self.waiting)}")
            if type(ask) is Turn:
                self._read(ask, value)
            elif type(ask) is Probe:
                answer = None if value is None else clean(value, self.max_chars)
                self._answers[key] = answer
                self._drafts[key].append(record.Probe(key, ask.question, answer))
            else:
                assert isinstance(ask, Effect)
                try:
                    result = _plain(value)  # live and replayed results have the same shapes
                except (TypeError, ValueError) as error:
                    result = {"error": f"the result is no plain JSON data: {error}"}
                self._answers[key] = copy.deepcopy(result)  # the script may change its own, not the record's
                self._drafts[key].append(record.Effect(key, list(ask.args), result))
        if self._asked and len(self._answers) == len(self._asked):
            self._complete()

    def settle(self) -> None:
        """Serve what a plain PettingZoo or Gymnasium caller cannot: run effects in place, leave probes unanswered."""
        while rest := {k: a for k, a in self._asked.items() if type(a) is not Turn and k not in self._answers}:
            self.submit({k: _now(Request(self, k, a).run()) if type(a) is Effect else None for k, a in rest.items()})

    def run_effect(self, request: Request) -> Any:
        """The result of an effect's function; a coroutine where the function is one. Errors become results."""
        ask = request.ask
        assert isinstance(ask, Effect)
        function = self.effects[ask.name]
        try:
            more = {"history": request.history} if getattr(function, "wants_history", False) else {}
            result = function(*copy.deepcopy(ask.args), **more)
        except EnvError:
            raise
        except Exception as error:  # a tool that breaks is something that happened in the world
            return {"error": f"{type(error).__name__}: {error}"}
        return _awaited(result) if inspect.isawaitable(result) else result

    @property
    def events(self) -> list[Event]:
        """Everything that has happened, unfinished simultaneous turns included."""
        self._running()
        return self._events + [e for d in self._drafts.values() for e in d]

    @property
    def facts(self) -> dict[str, Any]:
        """Every secret (by name: its parts) and note so far."""
        self._running()
        out: dict[str, Any] = {}
        for e in self._events:
            if isinstance(e, record.Secret):
                out[e.name] = e.parts
            elif isinstance(e, record.Noted):
                out.update(e.facts)
        return out

    @property
    def transcript(self) -> Transcript:
        """The record of the episode so far; `replay` makes the environment from it again."""
        self._running()
        assert self._seed is not None
        return Transcript(self.name(), dict(self.params), self._seed, self.events)

    def view(self, seat: str) -> list[tuple[str, str]]:
        """All that a seat has been told and has said, its own unfinished turn included, other seats' not."""
        self._running()
        return record.view(self._events + self._drafts.get(seat, []), seat)

    @classmethod
    def replay(cls, transcript: Transcript, until: int | None = None) -> Self:
        """The environment after the first `until` recorded answers (None: all of them).

        Raises:
            EnvError: an answer is not waited for, because the rules have changed since.
        """
        env = cls(**transcript.params)
        env.start(transcript.seed)
        for key, value in transcript.answers()[:until]:
            env.submit({key: value})
        return env

    def fork(self) -> Self:
        """An independent copy in mid-episode."""
        rebuild, (cls, params, transcript, aec, seeds, hold) = self.__reduce__()
        made: Self = rebuild(cls, params, transcript, copy.deepcopy(aec), seeds, hold)
        return made

    def __deepcopy__(self, memo: Any) -> Self:
        return self.fork()

    def __copy__(self) -> Self:
        return self.fork()

    def __reduce__(self) -> tuple[Any, ...]:
        played = self._seed is not None
        aec = {n: self.__dict__[n] for n in self._AEC & self.__dict__.keys()} if played else {}
        transcript = self.transcript if played else None
        return _rebuild, (type(self), self.params, transcript, aec, self._seeds.getstate(), self._hold)

    # -- machinery -----------------------------------------------------------------------------------------------
    def _read(self, ask: Turn, value: Any) -> None:
        """One attempt of one seat: accepted, or a notice and a retry, or the default, or a forfeit."""
        seat = ask.seat
        text, draft = clean(value, self.max_chars), self._drafts[seat]
        rules = grammar(ask.commands)
        move = rules.parse(text)
        self._inbox[seat].clear()
        self._said[seat] = self._said.get(seat, 0) + 1
        draft.append(record.Said(seat, text))
        if move is None:
            draft.append(record.Malformed(seat))
            tries = self._tries[seat] = self._tries.get(seat, 0) + 1
            if tries <= self.retries:
                notice = "That is not a legal move. Answer with one of: " + " ".join(rules.legal)
                draft.append(record.Told((seat,), notice))
                self._inbox[seat].append(notice)
                return
            move = default_move(ask.commands, ask.default)
            if move is None:
                draft.append(record.Forfeited(seat))
                self._forfeits.add(seat)
            else:
                draft.append(record.Defaulted(seat))
        self._answers[seat] = move

    def _complete(self) -> None:
        """All answers are in: record them in the order of the yield, and hand them to the script."""
        for draft in self._drafts.values():
            self._events += draft
        answers = {key: self._answers[key] for key in self._asked}
        if self._forfeits:
            seats = tuple(k for k in answers if k in self._forfeits)
            self._advance(Forfeit(seats, {k: a for k, a in answers.items() if k not in seats}))
        elif self._group is None:
            self._advance(next(iter(answers.values())))
        else:
            self._advance(answers if self._group == "seats" else list(answers.values()))

    def _advance(self, value: Any) -> None:
        """Send answers into the script, up to the next thing that somebody outside must answer."""
        self._asked = {}
        self._answers: dict[str, Any] = {}
        self._tries: dict[str, int] = {}
        self._forfeits: set[str] = set()
        self._drafts = {}
        self._group: str | None = None
        try:
            asked = self._script.throw(value) if isinstance(value, Forfeit) else self._script.send(value)
            while asked == ():  # nobody left in the group: go on at once
                asked = self._script.send({})
            self._ask(asked)
        except StopIteration:
            self.over = True
            if self._effect_count != self._effects_asked:
                self._fail(f"{self.name()}: the script made an effect that it did not yield (seed {self._seed})")
        except Forfeit as forfeit:  # the script has no rule of its own for it
            if forfeit is not value:  # it raised this one itself
                self._events += [record.Forfeited(seat) for seat in forfeit.seats]
            self.reward(dict.fromkeys(forfeit.seats, self.forfeit_reward))
            self.over = True
        except Exception as error:
            self._asked, self._failed = {}, error
            raise

    def _fail(self, message: str) -> None:
        self._failed = EnvError(message)
        raise self._failed

    def _ask(self, asked: Any) -> None:
        many = isinstance(asked, tuple)
        effects = 0
        for a in asked if many else (asked,):
            if isinstance(a, str):
                a = Turn(a)
            if isinstance(a, Effect):
                key, self._effects_asked, effects = a.key, self._effects_asked + 1, effects + 1
            elif isinstance(a, Turn | Probe) and a.seat in self._inbox and a.seat not in self._out:
                key = a.seat
            else:
                what = f"{type(a).__name__} of {a.seat!r}" if isinstance(a, Turn | Probe) else repr(a)
                raise EnvError(
                    f"{self.name()}: the script yielded {what} (seed {self._seed})\n"
                    f"  it may yield a living seat ({', '.join(self.living)}), a turn, probe or effect, or a tuple"
                )
            if key in self._asked:
                raise EnvError(f"{self.name()}: one yield asks {key} twice (seed {self._seed})")
            self._asked[key], self._drafts[key] = a, []
        if 0 < effects < len(self._asked):
            raise EnvError(f"{self.name()}: one yield mixes effects with seats (seed {self._seed})")
        self._group = ("effects" if effects else "seats") if many else None

    # -- PettingZoo AEC ------------------------------------------------------------------------------------------
    _AEC = frozenset(
        "agents rewards terminations truncations infos _cumulative_rewards agent_selection _skip_agent_selection "
        "_paid".split()
    )

    def observation_space(self, agent: str) -> Dict:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> TextSpace:
        space: TextSpace = self.action_spaces[agent]
        return space

    def next_seed(self, seed: int | None = None) -> int:
        """The seed itself, or the next of the row that the last named seed began."""
        if seed is not None:
            self._seeds.seed(int(seed))
            return int(seed)
        return self._seeds.getrandbits(31)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """PettingZoo's door: start an episode and settle effects in place. Unknown options are ignored."""
        self.start(self.next_seed(seed))
        self.settle()
        self.agents = list(self.seats)
        self._skip_agent_selection = None
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.truncations = dict.fromkeys(self.agents, False)
        self._sync()

    def step(self, action: Any) -> None:
        """Submit the selected seat's text. A dead seat takes None, as everywhere in PettingZoo."""
        seat = self.agent_selection
        if self.terminations[seat] or self.truncations[seat]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[seat] = 0.0
        self.submit({seat: action})
        self.settle()
        self._sync()

    def _sync(self) -> None:
        """Bring PettingZoo's dictionaries up to date: the next live seat first, then the dead ones."""
        paid = self.take_paid()
        self.rewards = {a: paid.get(a, 0.0) for a in self.agents}
        for seat, amount in paid.items():
            self._cumulative_rewards[seat] += amount
        self.terminations = {a: self.over or a in self._out for a in self.agents}
        self.infos: dict[str, dict[str, Any]] = {a: {} for a in self.agents}
        self.agent_selection = self.agents[0]
        for key in self._asked:
            if key not in self._answers:
                self.agent_selection, self.infos[key] = key, self.info(key)
                break
        if self.over or self._out:
            self.agent_selection = self._deads_step_first()

    def info(self, seat: str) -> dict[str, Any]:
        """A fresh dict a call: the seat's own legal actions if it is to act, and nobody else's."""
        ask = self._asked.get(seat)
        if not isinstance(ask, Turn) or seat in self._answers:
            return {}
        legal = grammar(ask.commands).legal if ask.commands else ()
        self.action_spaces[seat].examples = legal
        return {"legal_actions": list(legal)}

    def take_paid(self) -> dict[str, float]:
        """Rewards since the last call, by seat."""
        paid, self._paid = self._paid, {}
        return paid

    def observe(self, agent: str) -> dict[str, str]:
        """What the seat has been told since it last acted."""
        return {"text": "\n".join(self._inbox[agent])}

    def render(self) -> str:
        """Everything said and told, as the referee sees it."""
        return "\n".join(lines(self.events))

    def close(self) -> None:
        pass


def lines(events: Iterable[Event]) -> Iterator[str]:
    """A readable line for each event that carries words, pay or gold facts."""
    for e in events:
        if isinstance(e, record.Told | record.Revealed):
            mark = " (revealed)" if isinstance(e, record.Revealed) else ""
            yield f"-> {', '.join(e.to)}{mark}: {e.text}"
        elif isinstance(e, record.Said):
            yield f"{e.seat}: {e.text}"
        elif isinstance(e, record.Malformed | record.Defaulted | record.Forfeited | record.Out):
            yield f"   {e.seat} {type(e).__name__.lower()}"
        elif isinstance(e, record.Probe):
            yield f"   (aside) {e.seat} was asked: {e.question} -> {e.answer}"
        elif isinstance(e, record.Effect):
            yield f"   {e.key}({', '.join(map(json.dumps, e.args))}) = {json.dumps(e.result)}"
        elif isinstance(e, record.Paid):
            yield f"   {e.seat} is paid {e.amount:+g}"
        elif isinstance(e, record.Outcome):
            yield "   outcome: " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in e.facts.items())


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _plain(data: Any) -> Any:
    """JSON's own view of the data, so that what is live equals what is read back.

    Raises:
        TypeError, ValueError: the data is no JSON (NaN and infinities are none).
    """
    text = _encode(data)
    return json.loads(text if text.isascii() else text.encode("utf-8", "replace"))


async def _awaited(result: Awaitable[Any]) -> Any:
    try:
        return await result
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _now(result: Any) -> Any:
    """The result of an effect, waited for in a thread of its own where it is a coroutine (a loop may run here)."""
    if not inspect.iscoroutine(result):
        return result
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, result).result()


def _rebuild(cls: Any, params: Any, transcript: Any, aec: Any, seeds: Any, hold: Any) -> Any:
    env = cls(**params)
    env._hold = hold
    if transcript is not None:
        env.start(transcript.seed)
        for key, value in transcript.answers():
            env.submit({key: value})
    env.__dict__.update(aec)
    env._seeds.setstate(seeds)
    return env


def play_random(request: Request, rng: random.Random | None = None) -> str:
    """A uniformly random legal move; for patterns, a random filling of one. `rng`: in place of the request's own."""
    if not request.commands:
        return "I have nothing to add."
    rng = rng or request.rng
    if request.enumerable:
        return rng.choice(request.legal_actions)
    verb, *args = rng.choice(request.commands).split()
    words = [verb]
    for arg in args:
        if arg == "...":
            words.append("something")
        elif ".." in arg:
            low, _, high = arg.partition("..")
            words.append(str(rng.randint(int(low), int(high))))
        else:
            words.append(rng.choice(arg.split("|")))
    return f"[{' '.join(words)}]"
