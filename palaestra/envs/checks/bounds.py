"""What scripted players reach: compared with each other, and with what was measured before."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.envs import registry
from palaestra.envs.checks import Effort, Finding, NotApplicable, Verdict, register
from palaestra.envs.checks.evidence import Subject
from palaestra.envs.checks.where import many
from palaestra.envs.script import Request, ScriptedEnv

BOUNDS = Path(__file__).parents[1] / "bounds"
"""A file an environment: {level: {player: {seat: [mean, standard error, seeds]}}}"""


def bounds_file(name: str) -> Path:
    """Where the bounds of an environment are written."""
    return BOUNDS / f"{name.replace('/', '_').replace(':', '_')}.json"


def recorded_bounds(name: str) -> dict[str, Any]:
    """What `update_bounds` has written of an environment; empty where nothing is."""
    path = bounds_file(name)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


@register
def players(subject: Subject) -> Verdict:
    """oracle >= greedy >= random, as recorded"""
    order = [p for p in ("random", "greedy", "oracle") if p in subject.cls.players]
    if not subject.cls.players:
        raise NotApplicable("no players declared")
    found: list[Finding] = []
    crashes = len(subject.crashes)
    if missing := sorted({"random", "greedy", "oracle"} - set(order)):
        found.append(Finding(0, 0, f"no player {', '.join(missing)}"))
    n = subject.effort.bound_seeds // (4 if subject.cls.effects else 1)
    recorded = recorded_bounds(subject.cls.name())
    for level in subject.cls.levels:
        params = {**subject.given, "level": level}
        env = subject.make(params)
        scores = {p: _skills(subject, params, p, range(n)) for p in order}
        for low, high in itertools.combinations(order, 2):
            # An oracle may serve all seats together, at its own cost; it is then compared by what it serves.
            for seat in [ALL] if subject.cls.skill and high == "oracle" else env.seats:
                gain = np.subtract(scores[high][seat], scores[low][seat])
                mean, error = float(gain.mean()), _stderr(gain)
                if mean < -4 * error - 1e-9:
                    seen = f"{seat}: {high} is worse than {low} by {-mean:.3f} ± {error:.3f} over {n} seeds"
                    found.append(Finding(0, 0, seen, params={"level": level}))
        for player, seats in recorded.get(str(level), {}).items() if not subject.given else ():
            for seat, (mean, error, count) in seats.items():
                if player not in scores:
                    found.append(Finding(0, 0, f"its recorded bounds have a player {player!r}, the class has none"))
                    continue
                now = float(np.mean(scores[player][seat]))
                if abs(now - mean) > 4 * error * math.sqrt(count / n) + 1e-6:
                    seen = (
                        f"{player} in {seat}: {now:.4f} over {n} seeds, recorded {mean:.4f} ± {error:.4f} over {count}"
                    )
                    found.append(Finding(0, 0, seen, params={"level": level}))
    found = subject.player_errors + subject.crashes[crashes:] + found
    return Verdict(f"{n} seeds a seat{'' if recorded else ', none recorded'}", found[:3])


@register
def scripted(subject: Subject) -> Verdict:
    """Scripted players repeat themselves"""
    if not subject.cls.players:
        raise NotApplicable("no players declared")
    found: list[Finding] = []
    pairs = list(itertools.product(subject.sets, subject.cls.players))
    for n, (params, player) in enumerate(pairs):
        seed = subject.seeds[n % len(subject.seeds)]
        first, second = (subject.play(params, seed, _by(subject, player)) for _ in range(2))
        if first and second:
            what = f"player {player!r} gave another reply to the same request; it may draw from request.rng alone"
            found += subject.difference(first, second.transcript.events, what)
    return Verdict(many(len(pairs), "episode pair"), found[:3])


ALL = "all seats"


def _skills(subject: Subject, params: dict[str, Any], player: str, seeds: Iterable[int]) -> dict[str, list[float]]:
    """By seat, for each seed: the return of `player` there, the other seats playing at random.

    Where the class names an outcome as its `skill`, also under "all seats" that outcome with the player in all.
    """
    env = subject.make(params)
    found = {seat: [_score(subject, env, seed, player, (seat,)) for seed in seeds] for seat in env.seats}
    if subject.cls.skill:
        found[ALL] = [_score(subject, env, seed, player, env.seats, subject.cls.skill) for seed in seeds]
    return found


def _score(
    subject: Subject, env: ScriptedEnv, seed: int, player: str, seats: tuple[str, ...], outcome: str = ""
) -> float:
    """The return of the first of `seats`, or an outcome, of one episode; not a number where it broke."""

    play = subject.play(env.params, seed, _by(subject, player, seats), env)
    if play is None:
        return math.nan
    return float(play.transcript.outcome()[outcome]) if outcome else play.transcript.returns().get(seats[0], 0.0)


def _by(subject: Subject, player: str, seats: tuple[str, ...] | None = None) -> Callable[[Request], Any]:
    """Answers of a scripted player in some seats (None: in all), the others playing at random."""

    def answer(request: Request) -> Any:
        if request.kind == "effect":
            return request.run()
        if request.kind == "probe":
            return None
        return subject.say(player if seats is None or request.seat in seats else "random", request)

    return answer


def _stderr(values: Any) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def measure_bounds(name: str, n: int = 1000) -> dict[str, Any]:
    """What each of random, greedy and oracle reaches: {level: {player: {seat: [mean, standard error, n]}}}.

    The player sits in one seat, the others play at random, seeds 0 to n - 1.
    """
    subject = Subject(registry.env_class(name), {}, [], Effort())
    out: dict[str, Any] = {}
    for level in subject.cls.levels:
        for player in ("random", "greedy", "oracle"):
            if player not in subject.cls.players:
                continue
            for seat, values in _skills(subject, {"level": level}, player, range(n)).items():
                entry = [round(float(np.mean(values)), 6), round(_stderr(values), 6), n]
                out.setdefault(str(level), {}).setdefault(player, {})[seat] = entry
    return out


def update_bounds(names: Iterable[str], n: int = 1000) -> None:
    """Measure these environments and write their bounds; a tenth of n where there are effects."""
    BOUNDS.mkdir(exist_ok=True)
    for name in names:
        cls = registry.env_class(name)
        bounds = measure_bounds(name, n // 10 if cls.effects else n)
        bounds_file(cls.name()).write_text(_a_line_a_player(bounds))


def _a_line_a_player(bounds: dict[str, Any]) -> str:
    levels = []
    for level, players in bounds.items():
        rows = ",\n".join(f"  {json.dumps(p)}: {json.dumps(seats)}" for p, seats in players.items())
        levels.append(f" {json.dumps(level)}: {{\n{rows}\n }}")
    return "{\n" + ",\n".join(levels) + "\n}\n"
