"""What an environment must hold if it declares or does it."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from palaestra.envs import transcript as record
from palaestra.envs.checks import Finding, NotApplicable, Verdict, register
from palaestra.envs.checks.always import farama_says
from palaestra.envs.checks.evidence import MAX_ANSWERS, Endless, Play, Subject, word_lists
from palaestra.envs.checks.where import many, replies, short, show, waiting_line, watch_lines
from palaestra.envs.script import Hold, ScriptedEnv, play_random
from palaestra.envs.transcript import Transcript


@register
def parallel(subject: Subject) -> Verdict:
    """Simultaneous as declared"""
    from pettingzoo.test import parallel_api_test

    from palaestra.envs.views import ParallelView

    if not subject.cls.simultaneous:
        raise NotApplicable("not declared simultaneous")
    found: list[Finding] = []
    for params in subject.sets:
        with farama_says(subject, params, found):
            parallel_api_test(ParallelView(subject.make(params)), num_cycles=40)
    return Verdict(many(len(subject.sets), "parameter set"), found[:3])


@register
def legal(subject: Subject) -> Verdict:
    """Declared legal actions are accepted"""
    found: list[Finding] = []
    count = 0
    for play in subject.some:

        def accepts(env: ScriptedEnv, play: Play = play) -> None:
            nonlocal count
            if len(env._events) % max(1, len(play.transcript.events) // 10):  # about ten times an episode
                return
            for seat, request in list(env.waiting.items())[:1]:
                rng = env.stream("legal", request.turn)
                few = request.enumerable and len(request.legal_actions) <= 12
                moves = list(request.legal_actions) if few else [play_random(request, rng) for _ in range(6)]
                for move in moves if request.commands else ():
                    count += 1
                    if seen := _refused(env, seat, move):
                        found.append(Finding(play.seed, replies(env.events), seen, waiting_line(env), play.params))

        subject.again(play, accepts)
    if not count:
        raise NotApplicable("free speech only")
    return Verdict(many(count, "move"), found[:3])


def _refused(env: ScriptedEnv, seat: str, move: str) -> str:
    """What is wrong with a fork after `seat` gave `move`; empty if it was accepted."""
    twin = env.fork()
    try:
        twin.submit({seat: move})
    except Exception as error:
        return f"{seat}: {move} raised {type(error).__name__}: {error}"
    for kind in (record.Malformed, record.Defaulted, record.Forfeited):
        if twin.transcript.count(kind, seat) > env.transcript.count(kind, seat):
            return f"{seat}: {move} is listed as legal and was {kind.__name__.lower()}"
    return ""


@register
def hidden(subject: Subject) -> Verdict:
    """Hidden information stays hidden"""
    found: list[Finding] = []
    count = 0
    for play in subject.some:
        secrets = [e for e in play.transcript.events if isinstance(e, record.Secret)]
        for seat in subject.make(play.params).seats:
            if not any(set(s.parts) != {seat} for s in secrets):
                continue
            base = _seen_by(subject, play, seat, None)
            for salt in range(3):
                count += 1
                held = _seen_by(subject, play, seat, Hold(seat, salt))
                if leak := _leak(base, held):
                    found.append(_leak_found(subject, play, seat, salt, base, held, leak))
                    break
        if len(found) > 2:
            break
    if not count:
        seat = _told_alone(subject)
        warning = (
            f"no secret is declared, yet what only {seat} is told differs by seed: draw what is hidden with self.secret"
        )
        raise NotApplicable(warning if seat else "nothing is hidden")
    return Verdict(many(count, "episode pair"), found[:3])


def _told_alone(subject: Subject) -> str:
    """The first seat that, before anybody has spoken, is told what some other never is and what differs by seed."""
    seen: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for play in subject.some:
        events, seats = play.transcript.events, subject.make(play.params).seats
        known: dict[str, set[str]] = {}
        for e in events:
            if isinstance(e, record.Told):
                known.setdefault(e.text, set()).update(e.to)
        opening = list(itertools.takewhile(lambda e: not isinstance(e, record.Said), events))
        told = [e for e in opening if isinstance(e, record.Told) and known[e.text] != {*seats}]
        for seat in seats:
            key = json.dumps(play.params, default=str), seat
            seen.setdefault(key, set()).add(tuple(e.text for e in told if seat in e.to))
    return next((seat for (_, seat), texts in seen.items() if len(texts) > 1), "")


class _Seen(NamedTuple):
    """What one observer could notice in an episode."""

    items: list[tuple[str, str, int]]
    """(kind, text, number of the event); kinds: told, revealed, asked, status (of another seat's reply)."""
    env: ScriptedEnv


def _seen_by(subject: Subject, play: Play, observer: str, hold: Hold | None) -> _Seen:
    """Play the recorded words of every seat again, all but the observer's secrets redrawn where held.

    A word that was a legal move may be none in a world with other secrets; then the defaults play on.
    """
    env = subject.make(play.params)
    env._hold = hold
    words, asides = word_lists(play.transcript), _asides(play.transcript)
    asked: list[tuple[str, str, int]] = []
    env.start(play.seed)
    for _ in range(MAX_ANSWERS):
        if not (waiting := env.waiting):
            break
        for key, request in waiting.items():
            if request.kind == "turn" and key == observer:
                asked.append(("asked", " ".join(request.legal_actions), len(env._events)))
            if request.kind == "effect":
                answer = request.run()
            else:
                answer = next(words[key], "") if request.kind == "turn" else next(asides[key], None)
            env.submit({key: answer})
    items = list(asked)
    for n, e in enumerate(env.events):
        if isinstance(e, record.Told | record.Revealed) and observer in e.to:
            items.append((type(e).__name__.lower(), e.text, n))
        elif isinstance(e, record.Malformed | record.Defaulted | record.Forfeited) and e.seat != observer:
            items.append(("status", f"{e.seat} {type(e).__name__}", n))
    items.sort(key=lambda item: item[2])  # stable: what is asked comes before the events that follow from it
    return _Seen(items, env)


def _asides(transcript: Transcript) -> dict[str, Iterator[str | None]]:
    given: dict[str, list[str | None]] = {}
    for e in transcript.events:
        if isinstance(e, record.Probe):
            given.setdefault(e.seat, []).append(e.answer)
    return Endless((s, iter(answers)) for s, answers in given.items())


def _leak(base: _Seen, held: _Seen) -> tuple[Any, Any] | None:
    """The first two items that differ, unless a declared revelation, or the legality of a word, came first."""
    for was, now in itertools.zip_longest(base.items, held.items):
        if was is None or now is None or was[:2] != now[:2]:
            excused = any(item and item[0] in ("revealed", "status") for item in (was, now))
            return None if excused else (was, now)
    return None


def _leak_found(
    subject: Subject, play: Play, seat: str, salt: int, base: _Seen, held: _Seen, leak: tuple[Any, Any]
) -> Finding:
    changed = _changed_secret(base.env, held.env, seat)
    was, now = (f"{item[0]}: {item[1]}" if item else "(nothing more)" for item in leak)
    seen = f"{changed}, and {seat} was told something different:\n  - {was[:300]}\n  + {now[:300]}"
    item, hold = (leak[0], None) if leak[0] else (leak[1], Hold(seat, salt))
    watched = subject.make(play.params)
    watched._hold = hold
    found = watch_lines(watched)
    with contextlib.suppress(Exception):
        subject.again(play, env=watched)
    turn = replies((base if leak[0] else held).env.events[: item[2]])
    return Finding(play.seed, turn, seen, found.get(item[2], ""), play.params)


def _changed_secret(base: ScriptedEnv, held: ScriptedEnv, observer: str) -> str:
    pairs = zip(_secrets(base), _secrets(held), strict=False)
    for was, now in pairs:
        for holder in was.parts:
            if holder != observer and was.parts[holder] != now.parts.get(holder):
                return f"{holder}'s {was.name!r} changed {short(was.parts[holder])} -> {short(now.parts.get(holder))}"
    return "secrets of others were redrawn"


def _secrets(env: ScriptedEnv) -> list[record.Secret]:
    return [e for e in env.events if isinstance(e, record.Secret)]


@register
def probes(subject: Subject) -> Verdict:
    """Probes steer nothing"""
    found = []
    count = 0
    for play in subject.some:
        asked = [e for e in play.transcript.events if isinstance(e, record.Probe)]
        for other in (None, "no", "I would say 3.") if asked else ():
            count += 1
            env = subject.make(play.params)
            words = word_lists(play.transcript)
            env.start(play.seed)
            while (waiting := env.waiting) and replies(env.events) < MAX_ANSWERS:
                for key, request in waiting.items():
                    kind = request.kind
                    answer = request.run() if kind == "effect" else other if kind == "probe" else next(words[key], "")
                    env.submit({key: answer})
            steered = record.Told | record.Revealed | record.Paid | record.Out | record.Said
            for was, now in itertools.zip_longest(
                [(n, e) for n, e in enumerate(play.transcript.events) if isinstance(e, steered)],
                [(n, e) for n, e in enumerate(env.events) if isinstance(e, steered)],
            ):
                if was is None or now is None or was[1] != now[1]:
                    seen = f"with {other!r} as the answer to every probe:\n  - "
                    seen += f"{show(was and was[1])}\n  + {show(now and now[1])}"
                    n = (was or now)[0]
                    turn = replies(play.transcript.events[:n])
                    found.append(Finding(play.seed, turn, seen, subject.line(play, n), play.params))
                    break
    if not count:
        raise NotApplicable("no probes")
    return Verdict(many(count, "episode"), found[:3])


@register
def rewards(subject: Subject) -> Verdict:
    """Returns within the declared range"""
    bounds = subject.cls.reward_range
    if bounds is None:
        raise NotApplicable("no range declared")
    found = []
    for play in _no_forfeits(subject):
        for seat, total in play.transcript.returns().items():
            if not bounds[0] - 1e-9 <= total <= bounds[1] + 1e-9:
                seen = f"{seat} got {total:g} in all, declared are {bounds[0]:g} to {bounds[1]:g}"
                found.append(_about_pay(subject, play, seen))
    return Verdict(f"in [{bounds[0]:g}, {bounds[1]:g}]", found[:3])


@register
def zero_sum(subject: Subject) -> Verdict:
    """Zero-sum as declared"""
    if not subject.cls.zero_sum:
        raise NotApplicable("not declared zero-sum")
    found = []
    for play in _no_forfeits(subject):
        total = math.fsum(play.transcript.returns().values())
        if abs(total) > 1e-9:
            found.append(_about_pay(subject, play, f"the returns of all seats sum to {total:g}"))
    return Verdict(subject.detail, found[:3])


@register
def outcome(subject: Subject) -> Verdict:
    """Gold outcome complete"""
    plays = list(_no_forfeits(subject))
    keys: dict[str, set[str]] = {}
    for play in plays:
        keys.setdefault(json.dumps(play.params, default=str), set()).update(play.transcript.outcome())
    if not any(keys.values()):
        raise NotApplicable("no outcome is ever reported")
    found = []
    for play in plays:
        missing = keys[json.dumps(play.params, default=str)] - play.transcript.outcome().keys()
        if missing:
            seen = f"the outcome lacks {', '.join(sorted(missing))}, which other episodes report"
            found.append(_about_pay(subject, play, seen))
    return Verdict(many(len(set().union(*keys.values())), "fact"), found[:3])


def _no_forfeits(subject: Subject) -> Iterator[Play]:
    """Plays that no forfeit ended: a forfeit is exempt from the range, the sum and the outcome."""
    for play in subject.some:
        if not any(isinstance(e, record.Forfeited) for e in play.transcript.events):
            yield play


def _about_pay(subject: Subject, play: Play, seen: str) -> Finding:
    events = play.transcript.events
    last = max((n for n, e in enumerate(events) if isinstance(e, record.Paid | record.Outcome)), default=-1)
    return Finding(play.seed, replies(events), seen, subject.line(play, last), play.params)


@register
def splits(subject: Subject) -> Verdict:
    """Splits never share an instance"""
    names = subject.cls.splits
    if len(names) < 2:
        raise NotApplicable("one split")
    found: list[Finding] = []
    total = 0
    for level in subject.cls.levels:
        owner: dict[str, tuple[str, int]] = {}
        for split in names:
            env = subject.make({**subject.given, "level": level, "split": split})
            keys = 0
            for seed in range(subject.effort.split_seeds):
                env.start(seed)
                for key in [e.key for e in env.events if isinstance(e, record.Instance)]:
                    keys += 1
                    first, by = owner.setdefault(key, (split, seed))
                    if first != split and len(found) < 3:
                        seen = f"{short(key)} is an instance of {split!r}, and of {first!r} (seed {by})"
                        found.append(Finding(seed, 0, seen, params={"level": level, "split": split}))
            if not keys and subject.effort.split_seeds:
                seen = f"split {split!r}: no instance is recorded; draw what differs between episodes with self.item"
                found.append(Finding(0, 0, seen, params={"level": level, "split": split}))
        total += len(owner)
    return Verdict(f"{total} instances, {', '.join(names)}", found[:3])
