"""`python -m tools.environments`: writes docs/environments.md from the classes, their bounds and some plays."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from palaestra.envs import registry
from palaestra.envs.checks.bounds import ALL, recorded_bounds
from palaestra.envs.script import ScriptedEnv, play_random
from palaestra.envs.transcript import Revealed, Said, Told

PAGE = Path(__file__).parents[1] / "docs" / "environments.md"
CLONES = PAGE.parent / "proofs" / "cells" / "clones.jsonl"
FOLDERS = ("social", "debate", "negotiation", "games", "tools", "embodied")
SEEDS = 10
_TOKEN = re.compile(r"\w+|[^\w\s]")

HEAD = f"""# Environments

Written by `python -m tools.environments` from the classes, `palaestra/envs/bounds` and {SEEDS} plays by random players;
do not edit. Each environment's own page is the docstring of its module.

Bounds are means over 1,000 seeds (100 where there are tools), the player in one seat and the others at random, averaged
over the seats; where a class names a common `skill`, that outcome with the player in all seats. *Clone* is a language
model of 0.2 million weights in the same place, which has imitated the greedy player in 1,600 episodes at level 0, in
160 above, and in 40 where episodes are longest; of episodes of more than 2,048 tokens it reads the newest turns:
`python -m proofs clones`. *Seat* is the difference between the best and the worst seat of a random
player. Tokens are words and marks that one seat is told and says in an episode.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE}")


def page() -> str:
    """The whole text."""
    parts = [HEAD]
    for folder in FOLDERS:
        names = [n for n, target in sorted(registry.BUILTIN.items()) if f".envs.{folder}." in target]
        parts.append(f"## {folder}\n\n{summary(names)}\n\n{figures(names)}\n")
    return "\n".join(parts)


def summary(names: list[str]) -> str:
    """What each one is."""
    lines = ["| id | what | seats | controls |", "|---|---|---|---|"]
    for name in names:
        cls = registry.env_class(name)
        seats, module = cls().seats, sys.modules[cls.__module__]
        about = (module.__doc__ or "").partition("\n")[0]
        controls = ", ".join(f"`{c}`" for c in cls.controls) or "none"
        shown = ", ".join(f"`{s}`" for s in seats) if len(seats) < 4 else f"`{seats[0]}` ... `{seats[-1]}`"
        lines.append(f"| [`{name}`]({link(cls)}) | {about} | {shown} | {controls} |")
    return "\n".join(lines)


def link(cls: type[ScriptedEnv]) -> str:
    return "../" + cls.__module__.replace(".", "/") + ".py"


def figures(names: list[str]) -> str:
    """Bounds and lengths by level."""
    lines = [
        "| id | level | random | clone | greedy | oracle | of | seat | turns | tokens |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    cloned = clones()
    for name in names:
        cls, bounds = registry.env_class(name), recorded_bounds(name)
        for level in cls.levels:
            found = bounds.get(str(level), {})
            means = [_mean(found.get(p, {}), cls.skill) for p in ("random", "greedy", "oracle")]
            by_seat = [v[0] for seat, v in found.get("random", {}).items() if seat != ALL]
            edge = f"{max(by_seat) - min(by_seat):.2f}" if len(by_seat) > 1 else ""
            turns, tokens = lengths(cls, level)
            means.insert(1, cloned.get(f"{name} level {level}", ""))
            cells = (*means, cls.skill or "return", edge, f"{turns:.1f}", f"{tokens:.0f}")
            lines.append(f"| `{name}` | {level} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def clones() -> dict[str, str]:
    """What tiny clones scored, by name and level."""
    found = map(json.loads, CLONES.read_text().splitlines()) if CLONES.exists() else []
    scores = {c["label"]: c["curve"][0].get(f"eval/{c['measure']}") for c in found}
    return {label: "-" if score is None else f"{score:.2f}" for label, score in scores.items()}


def _mean(seats: dict[str, Any], skill: str) -> str:
    if not seats:
        return ""
    values = [seats[ALL][0]] if skill else [v[0] for seat, v in seats.items() if seat != ALL]
    return f"{fmean(values):.2f}"


def lengths(cls: type[ScriptedEnv], level: int) -> tuple[float, float]:
    """Replies an episode, and tokens that a seat reads and writes in one, when all play at random."""
    turns, tokens = [], []
    play = cls.players.get("random", play_random)
    for seed in range(SEEDS):
        env = cls(level=level)
        env.start(seed)
        env.settle()
        while waiting := env.waiting:
            env.submit({key: play(request) for key, request in waiting.items()})
            env.settle()
        turns.append(sum(isinstance(e, Said) for e in env.events))
        seen = [(e.to if isinstance(e, Told | Revealed) else (e.seat,), e.text) for e in env.events
                if isinstance(e, Told | Revealed | Said)]  # fmt: skip
        tokens += [sum(len(_TOKEN.findall(text)) for to, text in seen if seat in to) for seat in env.seats]
    return fmean(turns), fmean(tokens)


if __name__ == "__main__":
    main()
