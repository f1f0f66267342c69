"""A house in words: the task and what one finds at a place, in few words or several wordings, and read back."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.common.texts import a
from palaestra.envs.embodied.house import DONE, TREAT, House, State, Task, Thing, shut

USUAL = {
    "place": ("put {x} {to}", "move {x} so that it lies {to}", "see that {x} is {to}"),
    "light": (
        "look at {x} by the lamp",
        "examine {x} under the lamp",
        "see what {x} looks like in the light of the lamp",
    ),
    "clean": ("put {x} {to}, clean", "wash {x} and put it {to}", "clean {x}, then put it {to}"),
    "heat": ("put {x} {to}, hot", "heat {x} and put it {to}", "warm {x} up, then put it {to}"),
    "cool": ("put {x} {to}, cold", "cool {x} and put it {to}", "chill {x}, then put it {to}"),
    "two": ("put both {x} {to}", "move both {x} {to}", "gather both {x} {to}"),
}
OOD = {
    "place": ("let {x} end up {to}", "{x} belongs {to}"),
    "light": ("inspect {x} with the lamp on", "hold {x} to the lamp and switch it on"),
    "clean": ("rinse {x} and leave it {to}", "{x} is wanted {to}, rinsed"),
    "heat": ("leave {x} {to}, heated", "{x} is wanted {to}, steaming hot"),
    "cool": ("leave {x} {to}, cooled", "{x} is wanted {to}, ice-cold"),
    "two": ("let both {x} end up {to}", "both {x} belong {to}"),
}
VIEWS = ("You are at {place}. You see {things}.", "{place}: {things}.", "Here, at {place}, you find {things}.")
_CUES = {"clean": "clean|wash|rinse", "heat": "hot|heat|warm", "cool": "cold|cool|chill", "light": "lamp"}


def asked(rng: random.Random, house: House, task: Task, *, plain: bool, ood: bool) -> str:
    """`Chill an apple, then put it in cabinet.`"""
    kinds = [p.kind for p in house.places]
    (preposition,) = {p.preposition for p in house.places if p.kind == task.place}
    to = f"{preposition} {f'the {task.place}' if kinds.count(task.place) == 1 else a(task.place)}"
    if plain:
        return f"Put the {task.kind} {to}."
    x = f"{task.kind} 1 and {task.kind} 2" if task.verb == "two" else a(task.kind)
    text = rng.choice((OOD if ood else USUAL)[task.verb]).format(x=x, to=to)
    return text[0].upper() + text[1:] + "."


def seen(house: House, state: State, view: str) -> str:
    """`You are at cabinet 1. You see a hot apple. You hold a cup.`"""
    here, held = house.place(state.at), state.held
    hand = f" You hold {_label(held)}." if held else ""
    if here is None:
        return f"You are in the middle of the room.{hand}"
    if shut(state, here):
        return f"You are at {_the(here.name)}. It is closed.{hand}"
    lying = [_label(t) for t in state.things if t.where == here.name] + ["a lamp"] * (house.lamp == here.name)
    text = view.format(place=_the(here.name), things=", ".join(lying) or "nothing")
    return text[0].upper() + text[1:] + hand


def _label(thing: Thing) -> str:
    label = f"{thing.state} {thing.name}".strip()
    return label if label[-1].isdigit() else a(label)


def _the(name: str) -> str:
    return name if name[-1].isdigit() else f"the {name}"


class Heard(NamedTuple):
    """What a helper can read off all that it has heard."""

    mission: str
    verb: str
    places: list[str]
    held: str
    """The thing in its hand; empty: none."""
    treated: str
    """How that was treated last."""

    @classmethod
    def of(cls, heard: Sequence[str]) -> Heard:
        mission, _, listed = heard[0].lower().rstrip(".").partition(". places: ")
        verb = next((verb for verb, cue in _CUES.items() if re.search(cue, mission)), "place")
        now = next(text for text in reversed(heard) if not text.startswith("That is not"))
        held = re.search(r"You hold (?:an? )?(?:(clean|hot|cold) )?(.*)\.", now)
        treated, name = (held[1] or "", held[2]) if held else ("", "")
        return cls(mission, verb, listed.split(", "), name, treated)

    def names(self, name: str) -> bool:
        """Whether the mission speaks of a thing or place of that name."""
        return re.search(rf"\b{name.rstrip('0123456789 ')}\b", self.mission) is not None

    @property
    def due_at(self) -> str:
        """Where the thing in hand is yet to be treated; empty: nowhere."""
        return TREAT.get(self.verb, "") if self.treated != DONE.get(self.verb) else ""
