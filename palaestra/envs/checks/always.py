"""What every environment must hold."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from palaestra.envs import registry
from palaestra.envs import transcript as record
from palaestra.envs.checks import Effort, Finding, NotApplicable, Verdict, register
from palaestra.envs.checks.evidence import MAX_ANSWERS, Play, Subject, hostile_near, word_lists
from palaestra.envs.checks.outside import outside_watched
from palaestra.envs.checks.where import many, replies, waiting_line
from palaestra.envs.script import Request, ScriptedEnv, play_random
from palaestra.envs.transcript import Event, Transcript
from palaestra.errors import UnknownNameError

_USUAL = (
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be",
    "Action space for each agent probably should be",
    "Not able to test alternative render modes due to the environment not having a spec",
)  # what Farama's tests say of every environment of texts


@contextlib.contextmanager
def farama_says(subject: Subject, params: dict[str, Any], found: list[Finding]) -> Iterator[None]:
    """Every exception and every warning but the usual ones becomes a finding; what is printed is dropped."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            yield
        except Exception as error:
            found.append(subject.broke(error, params=params))
    found += [
        Finding(0, 0, f"warned: {w.message}", params=params)
        for w in caught
        if not any(usual in str(w.message) for usual in _USUAL)
    ][:1]


@register
def api(subject: Subject) -> Verdict:
    """PettingZoo's and Gymnasium's own tests"""
    from gymnasium.utils.env_checker import check_env
    from pettingzoo.test import api_test, seed_test

    from palaestra.envs.views import SingleView

    found: list[Finding] = []
    for params in subject.sets:
        with farama_says(subject, params, found):
            api_test(subject.make(params), num_cycles=40)
            seed_test(lambda params=params: subject.make(params), num_cycles=20)  # type: ignore[misc]
        # A seat that never acts, or an episode without end, would leave one learner waiting for ever.
        events = [e for play in subject.plays if play.params == params for e in play.transcript.events]
        acting = {e.seat for e in events if isinstance(e, record.Said)}
        for seat in sorted(acting)[:3]:
            with farama_says(subject, params, found):
                check_env(SingleView(subject.make(params), seat))
    return Verdict(many(len(subject.sets), "parameter set"), found[:3])


@register
def repeat(subject: Subject) -> Verdict:
    """Same seed and words, same episode"""
    found: list[Finding] = []
    used: dict[str, ScriptedEnv] = {}
    for play in subject.some:
        found += subject.difference(play, subject.again(play).events, "a new object gave another episode")
        object_ = used.setdefault(json.dumps(play.params, default=str), subject.make(play.params))
        subject.again(play, env=object_, answers=play.answers[: len(play.answers) // 2])  # left in the middle
        found += subject.difference(play, subject.again(play, env=object_).events, "a used object gave another episode")
        first, second = (_through_aec(subject.make(play.params), play) for _ in range(2))
        for n, (one, two) in enumerate(zip(first, second, strict=False)):
            if one != two:
                seen = f"through step(), (seat, observation, reward, ended, info):\n  - {one}\n  + {two}"
                found.append(Finding(play.seed, n, seen, params=play.params))
                break
    return Verdict(subject.detail, found[:3])


def _through_aec(env: ScriptedEnv, play: Play) -> list[tuple[Any, ...]]:
    """All that the AEC interface shows in an episode, played with the words of `play`."""
    words = word_lists(play.transcript)
    env.reset(seed=play.seed)
    seen: list[tuple[Any, ...]] = []
    while env.agents and len(seen) < MAX_ANSWERS:
        seat = env.agent_selection
        observation, reward, ended, _, info = env.last()
        seen.append((seat, copy.deepcopy(observation), reward, ended, copy.deepcopy(info), dict(env.rewards)))
        env.step(None if ended else next(words[seat], ""))
    return seen


@register
def interleave(subject: Subject) -> Verdict:
    """Other episodes in between change nothing"""
    from palaestra.envs.games.kuhn import Kuhn

    found = []
    plays = subject.some
    for play, other in zip(plays, plays[1:] + plays[:1], strict=True):
        others = [_over_and_over(subject.make(other.params), other.answers), _over_and_over(Kuhn())]
        count = itertools.count()

        def between(env: ScriptedEnv, others: list[Iterator[None]] = others, count: Iterator[int] = count) -> None:
            n = next(count)
            random.seed(n)
            np.random.seed(n)
            for episode in others:
                next(episode)

        now = subject.again(play, between).events
        found += subject.difference(play, now, "with other episodes, and foreign random draws, in between")
    return Verdict(subject.detail, found[:3])


def _over_and_over(env: ScriptedEnv, answers: Sequence[tuple[str, Any]] = ()) -> Iterator[None]:
    """Episode after episode of an environment, an answer at each step: recorded ones first, then random ones."""
    for seed in itertools.count(1000):
        env.start(seed)
        yield
        given = iter(answers)
        while waiting := env.waiting:
            key, value = next(given, ("", None))
            if key not in waiting:
                key, request = next(iter(waiting.items()))
                value = request.run() if request.kind == "effect" else play_random(request)
            env.submit({key: value})
            yield


@register
def globals_(subject: Subject) -> Verdict:
    """Global random generators untouched"""
    found = []
    for play in subject.some:
        env = subject.make(play.params)
        before = _global_state()
        env.start(play.seed)
        for key, value in play.answers:
            if _global_state() != before or key not in env.waiting:
                break
            env.submit({key: value})
        if _global_state() != before:
            seen = "the state of `random` or `numpy.random` has changed; draw from the script's `rng`"
            found.append(Finding(play.seed, replies(env.events), seen, waiting_line(env), play.params))
    return Verdict(subject.detail, found)


def _global_state() -> tuple[Any, bytes]:
    return random.getstate(), pickle.dumps(np.random.get_state())


@register
def process(subject: Subject) -> Verdict:
    """Same in other processes, hash seeds"""
    name = subject.cls.name()
    try:
        if registry.env_class(name) is not subject.cls:
            raise NotApplicable(f"another class has the id {name}")
    except UnknownNameError:
        raise NotApplicable(f"another process cannot import {name}") from None
    plays = subject.some
    job = {"env": name, "plays": [{"params": p.params, "seed": p.seed, "answers": p.answers} for p in plays]}
    found = []
    with tempfile.TemporaryDirectory() as elsewhere, ThreadPoolExecutor() as at_once:
        there = at_once.map(functools.partial(_elsewhere, json.dumps(job), elsewhere), subject.effort.hash_seeds)
        for hash_seed, done in zip(subject.effort.hash_seeds, there, strict=True):
            if done.returncode:
                return Verdict("", [Finding(0, 0, f"PYTHONHASHSEED={hash_seed}: {done.stderr.strip()[-400:]}")])
            for play, events in zip(plays, json.loads(done.stdout.splitlines()[-1]), strict=True):
                theirs = msgspec.convert(events, list[Event])
                found += subject.difference(play, theirs, f"in another process, PYTHONHASHSEED={hash_seed}")
    return Verdict(f"{subject.detail}, {many(len(subject.effort.hash_seeds), 'hash seed')}", found[:3])


def _elsewhere(job: str, folder: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    """Play a job in another process, folder, locale and time zone."""
    path = os.pathsep.join(str(Path(p).resolve()) for p in sys.path)
    other = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path, "LC_ALL": "C", "PYTHONUTF8": "0", "TZ": "Asia/Tokyo"}
    return subprocess.run(
        [sys.executable, "-c", "from palaestra.envs.checks import always; always.serve()"],
        input=job,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, **other},
    )


def serve() -> None:
    """The other process: plays of a job from stdin, their events to stdout."""
    job = json.loads(sys.stdin.read())
    subject = Subject(registry.env_class(job["env"]), {}, [], Effort())
    out = []
    for p in job["plays"]:
        play = Play(p["params"], p["seed"], Transcript("", {}, 0, []))
        env = subject.again(play, answers=[(key, value) for key, value in p["answers"]])
        out.append(msgspec.to_builtins(env.events))
    print(json.dumps(out))


@register
def threads(subject: Subject) -> Verdict:
    """Episodes may move between threads"""
    found = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        for play in subject.some:
            # Two episodes side by side, every step of each in the other thread than the step before.
            pair = [subject.make(play.params) for _ in range(2)]
            hands = itertools.cycle((one, two))
            for env in pair:
                next(hands).submit(env.start, play.seed).result()
            for key, value in play.answers:
                for env, hand in zip(pair, (one, two) if next(hands) is one else (two, one), strict=True):
                    if key in env.waiting:
                        hand.submit(env.submit, {key: value}).result()
            found += subject.difference(play, pair[0].events, "stepped by two threads in turn")
    return Verdict(f"{subject.detail}, 2 threads", found)


@register
def replay(subject: Subject) -> Verdict:
    """The written record plays the same"""
    found = []
    for play in subject.some:
        written = msgspec.json.decode(msgspec.json.encode(play.transcript), type=Transcript)
        try:
            now = subject.cls.replay(written).events
        except Exception as error:
            found.append(subject.broke(error, params=play.params)._replace(seed=play.seed))
            continue
        found += subject.difference(play, now, "replayed from its record")
    return Verdict(subject.detail, found)


@register
def fork(subject: Subject) -> Verdict:
    """A fork at every turn plays on alone"""
    found: list[Finding] = []
    count = 0
    pickled = "<" not in subject.cls.__qualname__ + subject.cls.name()  # <locals> and <lambda> have no address
    ways: list[Callable[[ScriptedEnv], ScriptedEnv]] = [ScriptedEnv.fork, copy.deepcopy]
    ways += [lambda env: pickle.loads(pickle.dumps(env))] if pickled else []
    for nth, play in enumerate(subject.some):
        answers = play.answers
        stride = max(1, len(answers) // 40)
        env = subject.make(play.params)
        env.start(play.seed)
        for n, (key, value) in enumerate(answers):
            if n % stride == 0:
                count += 1
                twin = ways[(n // stride + nth) % len(ways)](env)
                for k, v in answers[n:]:
                    if k not in twin.waiting:
                        break
                    twin.submit({k: v})
                found += subject.difference(play, twin.events, f"forked after {n} answers")
            if found or key not in env.waiting:
                break
            env.submit({key: value})
        else:
            found += subject.difference(play, env.events, "after it was forked from")
        if found:
            break
    return Verdict(many(count, "fork"), found)


@register
def observe(subject: Subject) -> Verdict:
    """Looking changes nothing"""
    found: list[Finding] = []
    for play in subject.some:

        def look(env: ScriptedEnv, play: Play = play, found: list[Finding] = found) -> None:
            for seat in env.seats:
                first, info = env.observe(seat), env.info(seat)
                if (env.observe(seat), env.info(seat)) != (first, info):
                    seen = f"{seat} observed {first} and then, without a step, {env.observe(seat)}"
                    found.append(Finding(play.seed, replies(env.events), seen, params=play.params))
            for request in env.waiting.values():
                if request.kind == "turn":
                    _ = request.text, request.view, request.legal_actions, request.facts
                    if request.text != env.observe(request.seat)["text"]:
                        seen = f"observe({request.seat!r}) is not what the seat was told since it last acted"
                        found.append(Finding(play.seed, replies(env.events), seen, params=play.params))
            env.render()

        found += subject.difference(play, subject.again(play, look).events, "after everything was looked at")
    return Verdict(subject.detail, found[:3])


@register
def texts(subject: Subject) -> Verdict:
    """Any text is a legal answer"""
    subject.plays  # noqa: B018  (fills `crashes`)
    found = list(subject.crashes)
    total = 0
    for params in subject.sets:
        rng, env = random.Random("hostile"), subject.make(params)
        given = 0
        for seed in itertools.count():
            if given >= subject.effort.texts or len(found) > 2 or seed >= subject.effort.texts:
                break
            before = given

            def answer(request: Request, rng: random.Random = rng) -> Any:
                nonlocal given
                if request.kind == "effect":
                    return request.run()
                given += 1
                return hostile_near(rng, request) if rng.random() < 0.8 else play_random(request)

            crashes = len(subject.crashes)
            subject.play(params, seed, answer, env)
            found += subject.crashes[crashes:]
            if given == before:  # nobody is ever asked
                break
        total += given
    return Verdict(many(total, "text"), found[:3])


@register
def outside(subject: Subject) -> Verdict:
    """No clock, entropy, network, file"""
    found = []
    for play in subject.some:
        subject.again(play)  # what is imported or compiled on first use is so by now
        env = subject.make(play.params)
        with outside_watched(lambda env=env: replies(env.__dict__.get("_events", ()))) as seen:  # type: ignore[misc]
            subject.again(play, env=env)
        found += [Finding(play.seed, turn, f"the script used {what}", line, play.params) for what, turn, line in seen]
        if found:
            break
    return Verdict(subject.detail, found[:3])
