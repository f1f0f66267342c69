"""A house: places that may be closed, things that are carried and treated, tasks, and the shortest way to do them."""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from palaestra.envs.common.search import Guide

HAND = "hand"
TREAT = {"clean": "sink", "heat": "microwave", "cool": "fridge"}
DONE = {"clean": "clean", "heat": "hot", "cool": "cold"}
OPEN = (("table", "shelf", "counter", "bench", "sofa"), ("rack", "stand", "desk", "mantel", "bed"))
CLOSED = (("cabinet", "drawer", "box"), ("locker", "crate", "trunk"))


class Size(NamedTuple):
    """What a level is like."""

    moves: int
    open: int
    closed: int
    things: int
    tasks: tuple[str, ...]


SIZES = (
    Size(12, 3, 0, 1, ("place",)),
    Size(16, 4, 2, 4, ("place", "light")),
    Size(20, 4, 3, 6, ("place", "light", "clean", "heat", "cool", "two")),
    Size(30, 7, 6, 10, ("place", "light", "clean", "heat", "cool", "two")),
)
"""By level."""


class Place(NamedTuple):
    name: str
    kind: str
    closes: bool = False

    @property
    def preposition(self) -> str:
        return "in" if self.closes or self.kind == "sink" else "on"


class Thing(NamedTuple):
    name: str
    kind: str
    where: str
    """The name of a place, or HAND."""
    state: str = ""
    """ "clean", "hot" or "cold": how it was treated last."""


class Task(NamedTuple):
    verb: str
    kind: str
    place: str
    """The kind of place where it is wanted."""


class House(NamedTuple):
    places: tuple[Place, ...]
    lamp: str
    """The place where the lamp stands."""

    def place(self, name: str) -> Place | None:
        return next((p for p in self.places if p.name == name), None)


class State(NamedTuple):
    at: str
    """The name of a place; empty: in the middle of the room."""
    things: tuple[Thing, ...]
    opened: tuple[str, ...] = ()
    lit: str = ""
    """The kind of thing that was looked at by the lamp last."""

    @property
    def held(self) -> Thing | None:
        return next((t for t in self.things if t.where == HAND), None)


def shut(state: State, place: Place) -> bool:
    """Whether one sees and takes nothing there."""
    return place.closes and place.name not in state.opened


def possible(house: House, state: State) -> list[str]:
    """Every move that is possible now."""
    here, held = house.place(state.at), state.held
    moves = [f"go to {p.name}" for p in house.places if p is not here]
    if here is None:
        return moves
    closed = shut(state, here)
    moves += [f"{'open' if closed else 'close'} {here.name}"] * here.closes
    if held is None:
        moves += [f"take {t.name} from {here.name}" for t in state.things if t.where == here.name and not closed]
    else:
        moves += [f"put {held.name} {here.preposition} {here.name}"] * (not closed)
        moves += [f"{verb} {held.name} with {kind}" for verb, kind in TREAT.items() if kind == here.kind]
    return moves + ["use lamp"] * (house.lamp == here.name)


def after(state: State, move: str) -> State:
    """The state after a move that was possible."""
    verb, _, rest = move.partition(" ")
    if verb == "go":
        return state._replace(at=rest.removeprefix("to "))
    if verb in ("open", "close"):
        others = tuple(name for name in state.opened if name != rest)
        return state._replace(opened=tuple(sorted((*others, rest))) if verb == "open" else others)
    if verb == "use":
        return state._replace(lit=state.held.kind if state.held else "")
    name = re.split(" (?:from|in|on|with) ", rest)[0]
    change = {"take": {"where": HAND}, "put": {"where": state.at}}.get(verb) or {"state": DONE[verb]}
    return state._replace(things=tuple(t._replace(**change) if t.name == name else t for t in state.things))


def done(house: House, task: Task, state: State) -> bool:
    """Whether the task is done."""
    if task.verb == "light":
        return state.lit == task.kind
    there = [p.name for p in house.places if p.kind == task.place]
    right = [t for t in state.things if t.kind == task.kind and t.where in there]
    return sum(t.state == DONE.get(task.verb, t.state) for t in right) >= (2 if task.verb == "two" else 1)


def draw(
    rng: random.Random, size: Size, ood: bool, things: tuple[str, ...], foods: tuple[str, ...]
) -> tuple[House, State, Task]:
    """A house, what lies where, and a task that is not done yet."""
    opens = _numbered(rng.sample(OPEN[ood] * (1 + size.open // 5), size.open))
    closed = _numbered(rng.sample(CLOSED[ood] * 2, size.closed))
    places = [Place(name, kind) for name, kind in opens] + [Place(name, kind, True) for name, kind in closed]
    wanted = sorted({p.kind for p in places})
    if "clean" in size.tasks:
        places += [Place("sink", "sink"), Place("fridge", "fridge", True), Place("microwave", "microwave", True)]
    rng.shuffle(places)
    verb = rng.choice(size.tasks)
    kind = rng.choice(foods if verb in ("heat", "cool") else (*things, *foods))
    task = Task(verb, kind, rng.choice(wanted))
    others = rng.sample([k for k in (*things, *foods) if k != kind], size.things - 1 - (verb == "two"))
    kinds = _numbered([kind, *([kind] if verb == "two" else []), *others])
    spots = {k: [p.name for p in places if k != kind or p.kind != task.place] for _, k in kinds}
    lying = [Thing(name, k, rng.choice(spots[k])) for name, k in kinds]
    rng.shuffle(lying)
    lamp = rng.choice([p.name for p in places if not p.closes]) if "light" in size.tasks else ""
    return House(tuple(places), lamp), State("", tuple(lying)), task


def _numbered(kinds: list[str]) -> list[tuple[str, str]]:
    """(name, kind): `table`, or `table 1` and `table 2` where there are two."""
    count = {k: itertools.count(1) for k in kinds}
    return [(f"{k} {next(count[k])}" if kinds.count(k) > 1 else k, k) for k in kinds]


@functools.lru_cache(256)
def guide(house: House, task: Task) -> Guide[State]:
    """Shortest ways to the end of a task in one house; nothing is handled but what the task needs."""
    kept = {p.name for p in house.places if p.kind in (task.place, TREAT.get(task.verb))} | {house.lamp}

    def steps(state: State) -> Iterator[tuple[str, State]]:
        mine = {t.name: t.where for t in state.things if t.kind == task.kind}
        for move in possible(house, state):
            verb, _, rest = move.partition(" ")
            useful = {
                "go": rest[3:] in kept or rest[3:] in mine.values(),
                "take": rest.partition(" from ")[0] in mine,
                "close": False,
                "use": task.verb == "light",
            }.get(verb, verb in ("open", "put", task.verb))
            if useful:
                yield move, after(state, move)

    return Guide(steps, lambda state: done(house, task, state))
