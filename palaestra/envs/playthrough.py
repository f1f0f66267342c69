"""Golden playthroughs: one seeded play of an environment as a text that a person reviews and a test compares.

A playthrough shows the facts of the environment, then event by event who was told what, the replies, pay and outcome.
A change of the rules shows as a difference in this text.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from palaestra.envs import registry
from palaestra.envs.script import Request, ScriptedEnv, lines, play_random
from palaestra.envs.script import _now as wait_for
from palaestra.envs.transcript import Event, Instance, Noted, Said, Secret

FOLDER = Path("tests/playthroughs")
"""Where golden playthroughs lie, below the root of the repository."""


def write(name: str, level: int, seed: int = 0) -> str:
    """One play of level `level` by a mix of the random, greedy and oracle players, as a text. Effects run in place."""
    cls = registry.env_class(name)
    env = cls(level=level)
    rng = random.Random(f"playthrough|{seed}")
    env.start(seed)
    body: list[str] = []
    shown = 0
    while True:
        events = env.events if env.over else env._events
        body += [line for e in events[shown:] for line in _event(e)]
        shown = len(events)
        if not (waiting := env.waiting):
            break
        for key, request in waiting.items():
            if request.commands:
                body.append(f"   {key} may {' '.join(request.legal_actions)}")
        answers = {key: _answer(cls, request, rng) for key, request in waiting.items()}
        env.submit(answers)
    return "\n".join([*_facts(env, seed), "", *body, *_returns(env), ""])


def golden(name: str, level: int, folder: Path = FOLDER) -> Path:
    """The file of an environment's level."""
    return folder / f"{registry.env_class(name).name().replace('/', '_').replace(':', '_')}-{level}.txt"


def update(names: str | Iterable[str], folder: Path = FOLDER) -> list[Path]:
    """Write the golden playthroughs of all levels of one or more environments again; the files that changed."""
    changed = []
    folder.mkdir(parents=True, exist_ok=True)
    for name in [names] if isinstance(names, str) else names:
        for level in registry.env_class(name).levels:
            path, text = golden(name, level, folder), write(name, level)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
                changed.append(path)
    return changed


def _answer(cls: type[ScriptedEnv], request: Request, rng: random.Random) -> Any:
    if request.kind == "effect":
        return wait_for(request.run())
    if request.kind == "probe":
        return "I cannot tell."
    if request.commands and rng.random() < 0.15:
        return "Let me think about it."  # no legal move
    player = cls.players.get(rng.choice(("random", "greedy", "oracle")), play_random)
    return player(request)


def _facts(env: ScriptedEnv, seed: int) -> list[str]:
    cls = type(env)
    facts = {
        "env": env.name(),
        "seats": ", ".join(env.seats),
        "levels": ", ".join(map(str, cls.levels)),
        "splits": ", ".join(cls.splits),
        "controls": ", ".join(cls.controls) or "none",
        "effects": ", ".join(cls.effects) or "none",
        "players": ", ".join(cls.players) or "none",
        "rewards": "{:g} to {:g}".format(*cls.reward_range) if cls.reward_range else "not bounded",
        "zero-sum": "yes" if cls.zero_sum else "no",
        "at once": "yes" if cls.simultaneous else "no",
        "rules": cls.rules or "not given",
        "parameters": json.dumps(env.params),
        "seed": str(seed),
    }
    return [f"{name + ':':<12}{fact}" for name, fact in facts.items()]


def _event(event: Event) -> list[str]:
    """The lines of one event, those of the referee (secrets, notes, instances) included."""
    if isinstance(event, Secret):
        return [f"   secret {event.name}: {json.dumps(event.parts)}"]
    if isinstance(event, Noted):
        return [f"   note: {json.dumps(event.facts)}"]
    if isinstance(event, Instance):
        return [f"   instance {event.key}"]
    first, *more = (line for text in lines([event]) for line in text.splitlines() or [""])
    prefix = "     | " if isinstance(event, Said) else "   "
    return [first, *(prefix + line for line in more)]


def _returns(env: ScriptedEnv) -> list[str]:
    returns = env.transcript.returns()
    return ["   returns: " + ", ".join(f"{s} {returns.get(s, 0.0):+g}" for s in env.seats)]
