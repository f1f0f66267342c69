"""Missions in rooms on a grid: how they are drawn, when they are done, and the shortest way to do them."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palaestra.envs.common import grids
from palaestra.envs.common.grids import ACTIONS, Cell, Door, Rows, State, Thing, act
from palaestra.envs.common.search import Guide
from palaestra.envs.common.words import Pools
from palaestra.errors import EnvError


class Shape(NamedTuple):
    """What a level is like."""

    across: int
    down: int
    size: int
    things: int
    steps: int
    verbs: tuple[str, ...]
    locked: bool = False
    tasks: int = 1
    colored: bool = True

    def resized(self, size: int, things: int) -> Shape:
        """With so large rooms and so many things; 0 leaves it as it is.

        Raises:
            EnvError: so few things are not enough for its tasks.
        """
        least = self.tasks * (2 if "put" in self.verbs else 1) + self.locked  # the key is no task's
        if 0 < things < least:
            raise EnvError(f"grid: things = {things}\n  the tasks of this level need at least {least}")
        return self._replace(size=size or self.size, things=things or self.things)


SHAPES = (
    Shape(1, 1, 4, 1, 16, ("go",), colored=False),
    Shape(1, 1, 6, 5, 40, ("go", "pick", "put")),
    Shape(2, 1, 5, 6, 80, ("go", "pick", "put", "open")),
    Shape(2, 2, 4, 8, 120, ("go", "pick", "put", "open"), locked=True),
    Shape(3, 3, 4, 12, 240, ("go", "pick", "put", "open"), locked=True, tasks=2),
)
"""By level."""


class Task(NamedTuple):
    verb: str
    a: str
    b: str = ""


def holds(task: Task, action: str, state: State) -> bool:
    """Whether an action that led to this state did the task: what is picked up or put must be so when it is due."""
    where = {t.name: t.cell for t in state.things}
    if task.verb == "go":
        return where[task.a] == state.ahead
    if task.verb == "open":
        return any(d.name == task.a and d.status == "open" for d in state.doors)
    if task.verb == "pick":
        return action == "pick up" and where[task.a] is None
    a, b = where[task.a], where[task.b]
    return action == "drop" and a == state.ahead and b is not None and abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1


def draw_world(rng: random.Random, shape: Shape, words: Pools) -> tuple[Rows, State]:
    """A map on which everything can be reached: things never part the floor, and none stands before a door.

    Where a door is locked, its key is on the walker's side and something else is not.
    """
    colors = words.colors if shape.colored else ("",)
    kinds = (*words.objects, "key") if shape.colored else words.objects  # a bare key would be the same in every split
    names = [f"{color} {kind}".strip() for color in colors for kind in kinds]
    for _ in range(1000):
        rows, gates = grids.rooms(rng, shape.across, shape.down, shape.size)
        beside = {(x + dx, y + dy) for x, y in gates for dx, dy in grids.STEPS}
        cells = [(x, y) for y, row in enumerate(rows) for x, c in enumerate(row) if c == "." and (x, y) not in gates]
        at, *free = rng.sample([c for c in cells if c not in beside], shape.things + 1)
        lock = rng.choice(gates) if shape.locked else None
        color, *others = rng.sample(colors, len(colors))
        named = rng.sample([n for n in names if n != f"{color} key"], shape.things)
        doors = [Door(gate, rng.choice(others)) for gate in gates if gate != lock]
        if lock:
            named[0] = f"{color} key"
            doors.append(Door(lock, color, "locked"))
            side = grids.distances(rows, at, [lock])
            if free[0] not in side or all(cell in side for cell in free):
                continue
        walked = grids.distances(rows, at, free)
        reached = all(any((x + dx, y + dy) in walked for dx, dy in grids.STEPS) for x, y in free)
        things = tuple(Thing(cell, name) for cell, name in zip(free, named, strict=True))
        state = State(at, rng.randrange(4), things, tuple(doors))
        if reached and len(walked) + len(free) == len(cells) + len(gates) and not state.thing(state.ahead):
            return rows, state
    raise EnvError(f"grid: {shape.things} things in rooms of {shape.size} cells leave no way\n  fewer, or larger rooms")


def draw_tasks(rng: random.Random, shape: Shape, rows: Rows, state: State) -> list[Task]:
    """Tasks about different things; the first is about one behind the locked door, where there is one."""
    lock = next((d for d in state.doors if d.status == "locked"), None)
    near = grids.distances(rows, state.at, [lock.cell]) if lock else {}
    far = [t.name for t in state.things if t.cell not in near]
    others = [t.name for t in state.things if t.cell in near and (not lock or t.name != lock.key)]
    things = [*rng.sample(far, len(far)), *rng.sample(others, len(others))]
    tasks = []
    for n in range(shape.tasks):
        verb = rng.choice(shape.verbs)
        a = things.pop(0) if verb != "open" else (lock if lock and not n else rng.choice(state.doors)).name
        tasks.append(Task(verb, a, things.pop(rng.randrange(len(things))) if verb == "put" else ""))
    return tasks


# -- the shortest way --------------------------------------------------------------------------------------------


class Stage(NamedTuple):
    """A state, and how many tasks are done."""

    state: State
    done: int


class Stop(NamedTuple):
    """Something to be reached: one of `cells`, at or beside it, must be straight ahead; then an action is due."""

    at: Cell
    cells: tuple[Cell, ...]
    action: str = ""


@functools.lru_cache(256)
def guide(rows: Rows, tasks: tuple[Task, ...]) -> Guide[Stage]:
    """Shortest ways to the end of a mission on one map; nothing is handled but what the next stop needs."""
    away = functools.cache(lambda cell: grids.distances(rows, cell))
    facing = functools.cache(lambda cells: grids.facing(rows, cells))
    between = functools.cache(lambda p, q: min(facing(q)[pose] for pose, n in facing(p).items() if n == 0))

    def passes(door: Door, legs: list[tuple[Cell, Cell]]) -> bool:
        return any(away(door.cell)[p] + away(door.cell)[q] == away(q)[p] for p, q in legs)

    def stops(stage: Stage) -> list[Stop]:
        """What lies on every way, in order: for the next task all of it, for the later ones where they lie now."""
        state = stage.state
        where = {what.name: what.cell for what in state.contents}
        way = _stops(tasks[stage.done], where, state)
        lock = next((d for d in state.doors if d.status == "locked"), None)
        if lock and passes(lock, list(itertools.pairwise([state.at, *(stop.at for stop in way)]))):
            key = where[lock.key]
            first = [Stop(key, (key,), "pick up")] if key else []
            way = [*first, Stop(lock.cell, (lock.cell,), "toggle"), *way]
        later = [t for t in tasks[stage.done + 1 :] if t.verb != "open" and where[t.a]]
        return way + [stop for t in later for stop in _stops(t, where, state)]

    def steps(stage: Stage) -> Iterator[tuple[str, Stage]]:
        state, stop = stage.state, stops(stage)[0]
        front, away = state.ahead, facing(stop.cells)
        door, there = state.door(front), front in stop.cells
        closer = door is not None and door.status != "open" and away[front, state.facing] < away[state.at, state.facing]
        useful = {
            "pick up": there and stop.action == "pick up",
            "drop": stop.action == "pick up" or (there and stop.action == "drop"),
            "toggle": closer or (there and stop.action == "toggle"),
        }
        for action in ACTIONS:
            after = act(rows, state, action) if useful.get(action, True) else state
            if after is not state:
                yield action, Stage(after, progress(tasks, stage.done, action, after))

    def estimate(stage: Stage) -> int:
        """The moves if there were walls alone, the actions that are due, and the closed doors on the way."""
        if stage.done == len(tasks):
            return 0
        state, way = stage.state, stops(stage)
        moves = facing(way[0].cells)[state.at, state.facing]
        moves += sum(between(p.cells, q.cells) for p, q in itertools.pairwise(way))
        legs = list(itertools.pairwise([state.at, *(stop.at for stop in way)]))
        due = {cell for stop in way for cell in stop.cells}  # doors to be opened are counted as actions
        doors = sum(d.status == "closed" and d.cell not in due and passes(d, legs) for d in state.doors)
        return moves + sum(stop.action != "" for stop in way) + doors

    return Guide(steps, lambda stage: stage.done == len(tasks), estimate=estimate)


def _stops(task: Task, where: dict[str, Cell | None], state: State) -> list[Stop]:
    if task.verb == "open":
        doors = tuple(d.cell for d in state.doors if d.name == task.a and d.status != "open")
        return [Stop(doors[0], doors, "toggle")]
    at, beside = where[task.a], where.get(task.b)
    put = []
    if beside:
        put = [Stop(beside, tuple((beside[0] + dx, beside[1] + dy) for dx, dy in grids.STEPS), "drop")]
    if at is None:
        return put or [Stop(state.at, (state.ahead,), "drop")]
    return [Stop(at, (at,), "" if task.verb == "go" else "pick up"), *put]


def progress(tasks: Sequence[Task], done: int, action: str, state: State) -> int:
    """How many tasks are done after an action, if `done` of them were."""
    while done < len(tasks) and holds(tasks[done], action, state):
        done += 1
    return done
