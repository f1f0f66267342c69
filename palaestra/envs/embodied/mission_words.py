"""Missions in words: what a walker is told to do and what it sees, in few words or several wordings, and read back."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.common import grids
from palaestra.envs.common.grids import Door, Rows, State
from palaestra.envs.common.texts import a
from palaestra.envs.embodied.missions import Task

USUAL = {
    "go": ("go to the {a}", "walk up to the {a}", "find the {a} and face it"),
    "pick": ("pick up the {a}", "take the {a}", "get hold of the {a}"),
    "put": ("put the {a} next to the {b}", "lay the {a} beside the {b}", "take the {a} and set it down by the {b}"),
    "open": ("open the {a}", "see that the {a} is open", "get the {a} open"),
}
OOD = {
    "go": ("reach the {a}", "approach the {a}"),
    "pick": ("fetch the {a}", "grab the {a}"),
    "put": ("bring the {a} to the {b}", "leave the {a} adjacent to the {b}"),
    "open": ("unbar the {a}", "clear the way through the {a}"),
}
BOTH = ("First {0}, then {1}.", "Before you {1}, {0}.", "{0}; after that, {1}.")
VIEWS = ("You see {}.", "In view: {}.", "There is this before you: {}.")
_SEEING = tuple(view.partition("{")[0] for view in VIEWS)
_SIGHT = re.compile(r"an? ([a-z ]+?)((?: \d+ (?:ahead|left|right))+)")


def asked(rng: random.Random, tasks: Sequence[Task], *, plain: bool, ood: bool) -> str:
    """`First take the red lamp, then open the blue door.`"""
    if plain:
        return f"Go to the {tasks[0].a}."
    said = [rng.choice((OOD if ood else USUAL)[t.verb]).format(a=t.a, b=t.b) for t in tasks]
    text = said[0] + "." if len(said) == 1 else rng.choice(BOTH).format(*said)
    return text[0].upper() + text[1:]


def seen(rows: Rows, state: State, view: str, *, plain: bool) -> str:
    """`You see a red lamp 2 ahead 1 left, a wall 3 ahead. You carry nothing.` Plain: no walls, nothing carried."""
    found = []
    for sight in grids.seen(rows, state):
        what = "wall" if sight.what is None else sight.what.name
        status = f"{sight.what.status} " if isinstance(sight.what, Door) else ""
        found += [f"{a(status + what)} {grids.place(sight)}"] if sight.what or not plain else []
    text = view.format(", ".join(found) or "nothing")
    return text if plain else f"{text} You carry {f'the {state.held.name}' if state.held else 'nothing'}."


class Heard(NamedTuple):
    """What a walker can read off all that it has heard."""

    mission: str
    sights: list[tuple[str, tuple[int, int]]]
    """What is in view, with steps ahead and to the right."""
    held: str
    locked: list[str]
    """The colors of the locked doors seen lately, each with a space after it."""

    @classmethod
    def of(cls, heard: Sequence[str]) -> Heard:
        view = next(text for text in reversed(heard) if text.startswith(_SEEING))
        sights = [(what, _where(at)) for what, at in _SIGHT.findall(view)]
        held = view.partition("You carry the ")[2].rstrip(".")
        return cls(heard[0].lower(), sights, held, re.findall(r"a locked (\w+ )door", " ".join(heard[-20:])))


def _where(at: str) -> tuple[int, int]:
    """`2 ahead 1 left` as steps ahead and to the right."""
    steps = {way: int(n) for n, way in re.findall(r"(\d+) (\w+)", at)}
    return steps.get("ahead", 0), steps.get("right", 0) - steps.get("left", 0)
