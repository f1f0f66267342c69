"""The environment under check, and recorded plays of it."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.envs import transcript as record
from palaestra.envs.checks import Effort, Finding, NotApplicable
from palaestra.envs.checks.where import error_line, many, replies, show, waiting_line, watch_lines
from palaestra.envs.script import Request, ScriptedEnv, _now, play_random
from palaestra.envs.transcript import Event, Transcript

MAX_ANSWERS = 5000
"""An episode that needs more is taken for endless."""


class Play(NamedTuple):
    """A recorded episode; `answers` alone make it again."""

    params: dict[str, Any]
    seed: int
    transcript: Transcript

    @property
    def answers(self) -> list[tuple[str, Any]]:
        return self.transcript.answers()


class Subject:
    """The class under check, its parameter sets, and recorded plays of it by scripted players."""

    def __init__(self, cls: type[ScriptedEnv], params: dict[str, Any], seeds: list[int], effort: Effort) -> None:
        self.cls, self.seeds, self.effort = cls, seeds, effort
        levels: list[dict[str, Any]] = [{"level": level} for level in cls.levels]
        self.sets = [{**one, **params} for one in levels + [{c: True} for c in cls.controls]]
        self.given = params
        self._results: dict[str, Any] = {}
        self.crashes: list[Finding] = []
        """Plays in which the script raised or did not end."""
        self.player_errors: list[Finding] = []

    def make(self, params: Mapping[str, Any] = {}) -> ScriptedEnv:
        """An environment whose effects run once: a tool called again with the same arguments answers the same."""
        env = self.cls(**params)
        env.__dict__["run_effect"] = functools.partial(self._effect, env)
        env._keep |= {"run_effect"}
        return env

    def _effect(self, env: ScriptedEnv, request: Request) -> Any:
        ask: Any = request.ask
        history = request.history if getattr(env.effects[ask.name], "wants_history", False) else None
        key = json.dumps([ask.name, ask.args, history])
        if key not in self._results:
            self._results[key] = _now(type(env).run_effect(env, request))
        return copy.deepcopy(self._results[key])

    @functools.cached_property
    def plays(self) -> list[Play]:
        """For each parameter set and seed an episode; in turn by noisy, mixed, named and random players."""
        found = []
        for params in self.sets:
            for n, seed in enumerate(self.seeds):
                if play := self.play(params, seed, self._style(n, seed)):
                    found.append(play)
        return found

    @property
    def some(self) -> list[Play]:
        """The plays, if there are any."""
        if not self.plays:
            raise NotApplicable("no episode could be played to its end")
        return self.plays

    def _style(self, n: int, seed: int) -> Callable[[Request], Any]:
        rng = random.Random(f"conformance|{seed}|{n}")
        named = sorted(self.cls.players)

        def answer(request: Request) -> Any:
            if request.kind == "effect":
                return request.run()
            if request.kind == "probe":
                return None if rng.random() < 0.2 else f"I would say {rng.randrange(10)}."
            if n % 4 == 0 and rng.random() < 0.25:
                return rng.choice(NOISE)
            if named and n % 4 in (1, 2):
                chosen = rng.choice(named) if n % 4 == 1 else named[seed % len(named)]
                return self.say(chosen, request)
            return self.say("random", request)

        return answer

    def say(self, player: str, request: Request) -> str:
        """A player's reply; where it breaks, that is noted and a random move stands in."""
        try:
            return self.cls.players.get(player, play_random)(request)
        except Exception as error:
            seed = request.env._seed or 0
            self.player_errors.append(
                Finding(seed, request.turn, f"player {player!r} raised {error!r}", error_line(error))
            )
            return play_random(request)

    def play(
        self, params: dict[str, Any], seed: int, answer: Callable[[Request], Any], env: ScriptedEnv | None = None
    ) -> Play | None:
        """One episode; None, and an entry in `crashes`, where the script breaks or does not end."""
        env = env or self.make(params)
        try:
            env.start(seed)
            for _ in range(MAX_ANSWERS):
                if not (waiting := env.waiting):
                    return Play(params, seed, env.transcript)
                for key, request in waiting.items():
                    env.submit({key: answer(request)})
        except Exception as error:
            self.crashes.append(self.broke(error, env, params))
            return None
        seen = f"no end after {MAX_ANSWERS} answers"
        self.crashes.append(Finding(seed, replies(env.events), seen, waiting_line(env), params))
        return None

    def again(
        self,
        play: Play,
        between: Callable[[ScriptedEnv], Any] = lambda env: None,
        env: ScriptedEnv | None = None,
        answers: Sequence[tuple[str, Any]] | None = None,
    ) -> ScriptedEnv:
        """The environment after the recorded answers were given again, `between` called before each of them.

        Answers that are no longer waited for end it early; `difference` then finds where.
        """
        env = env or self.make(play.params)
        env.start(play.seed)
        for key, value in play.answers if answers is None else answers:
            between(env)
            if key not in env.waiting:
                break
            env.submit({key: value})
        return env

    def difference(self, play: Play, events: list[Event], what: str) -> list[Finding]:
        """Nothing where the events are those of the play; else the first that is not."""
        pairs = itertools.zip_longest(play.transcript.events, events)
        for n, (was, now) in enumerate(pairs):
            if was != now:
                seen = f"{what}:\n  - {show(was)}\n  + {show(now)}"
                return [Finding(play.seed, replies(play.transcript.events[:n]), seen, self.line(play, n), play.params)]
        return []

    def line(self, play: Play, event: int) -> str:
        """The line of the script that made an event, found by playing the episode again under watch."""
        env = self.make(play.params)
        found = watch_lines(env)
        with contextlib.suppress(Exception):
            self.again(play, env=env)
        return found.get(event, "")

    def broke(self, error: Exception, env: ScriptedEnv | None = None, params: dict[str, Any] | None = None) -> Finding:
        """The finding for an exception."""
        started = env is not None and env._seed is not None
        seed, turn = (env._seed or 0, replies(env._events)) if env is not None and started else (0, 0)
        return Finding(seed, turn, f"raised {type(error).__name__}: {error}"[:500], error_line(error), params or {})

    def facts(self) -> str:
        """A short line about the environment."""
        turns = max((replies(p.transcript.events) for p in self.plays), default=0)
        seats = len(self.make(self.sets[0]).seats)
        seen = f"up to {many(turns, 'turn')} seen"
        return f"{many(seats, 'seat')}, {seen}, {many(len(self.sets), 'parameter set')}"

    @property
    def detail(self) -> str:
        return many(len(self.plays), "episode")


NOISE = ["", "hm", "[", "[]", "[nothing]", "x" * 9000, "\x00\x1b[31m", "\ud800", "```[pass]```", "<think>", "[1] [2]"]


def hostile(rng: random.Random) -> Any:
    """A text that nobody should send: empty, huge, control characters, lone surrogates, brackets, no text at all."""
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(NOISE)
    if kind == 1:
        return rng.choice(["a", "[", "[a", "<think>", "```\n", "<quote>", "\n", "9"]) * rng.choice([1, 50, 20_000])
    if kind == 2:
        return "".join(chr(rng.randrange(32)) for _ in range(20))
    if kind == 3:
        return "".join(chr(rng.randrange(0xD800, 0xE000)) for _ in range(5)) + "[x]"
    if kind == 4:
        return rng.choice([None, 7, -1.5, b"[bytes]", ["[list]"], {"a": 1}, float("nan")])
    if kind == 5:
        return rng.choice(
            ["0", "-1", "1e999", "999999999999999999999", "NaN", "½", "²", "٣", "None", "{}", "%s", "{0}"]
        )
    if kind == 6:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(30))
    return "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randrange(60)))


def hostile_near(rng: random.Random, request: Request) -> Any:
    """A hostile text, or one that looks like a move of this turn."""
    if rng.random() < 0.5 or not request.commands:
        return hostile(rng)
    move = play_random(request)
    cut = rng.randrange(len(move) + 1)
    junk = str(hostile(rng))[:40]
    return rng.choice([move, move[:cut] + junk + move[cut:], move + junk, move.upper(), move.replace(" ", "\t")])


def word_lists(transcript: Transcript) -> dict[str, Iterator[str]]:
    """For each seat what it said, in order."""
    said: dict[str, list[str]] = {}
    for e in transcript.events:
        if isinstance(e, record.Said):
            said.setdefault(e.seat, []).append(e.text)
    return Endless((s, iter(texts)) for s, texts in said.items())


class Endless(dict[str, Iterator[Any]]):
    def __missing__(self, key: str) -> Iterator[Any]:
        return iter(())
