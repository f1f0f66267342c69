"""Rooms on a square grid: walls, doors, things, one who walks there, and what it sees, in words.

The walls are rows of text (`#` and `.`); all that changes is in `State`, so plans can be searched over it and JSON can
hold it. The six actions are those of BabyAI; one that is not possible leaves the state as it is. Unlocking a door
uses up the key.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple

Cell = tuple[int, int]
Rows = tuple[str, ...]
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""East, south, west, north: a turn to the right is the next one."""
ACTIONS = ("turn left", "turn right", "go forward", "pick up", "drop", "toggle")
DEPTH, SIDE = 6, 3
"""How far the walker sees, ahead and to each side."""


class Thing(NamedTuple):
    cell: Cell | None
    """None: the walker holds it."""
    name: str


class Door(NamedTuple):
    cell: Cell
    color: str
    status: str = "closed"
    """ "open", "closed" or "locked"; a locked one opens to whoever holds the key of its color."""

    @property
    def name(self) -> str:
        return f"{self.color} door"

    @property
    def key(self) -> str:
        return f"{self.color} key"


class State(NamedTuple):
    at: Cell
    facing: int
    things: tuple[Thing, ...]
    doors: tuple[Door, ...] = ()

    @property
    def ahead(self) -> Cell:
        return self.at[0] + STEPS[self.facing][0], self.at[1] + STEPS[self.facing][1]

    @property
    def contents(self) -> tuple[Thing | Door, ...]:
        return (*self.things, *self.doors)

    @property
    def held(self) -> Thing | None:
        return next((t for t in self.things if t.cell is None), None)

    def thing(self, cell: Cell) -> Thing | None:
        return next((t for t in self.things if t.cell == cell), None)

    def door(self, cell: Cell) -> Door | None:
        return next((d for d in self.doors if d.cell == cell), None)

    def moved(self, thing: Thing, cell: Cell | None) -> State:
        """The same with one thing elsewhere."""
        return self._replace(things=tuple(t._replace(cell=cell) if t is thing else t for t in self.things))


def act(rows: Rows, state: State, action: str) -> State:
    """The state after one of `ACTIONS`; the same object where it changes nothing."""
    front, held = state.ahead, state.held
    door, thing = state.door(front), state.thing(front)
    if action.startswith("turn"):
        return state._replace(facing=(state.facing + (1 if action == "turn right" else -1)) % 4)
    if action == "go forward":
        open_way = transparent(rows, state, front) and thing is None
        return state._replace(at=front) if open_way else state
    if action == "pick up":
        return state.moved(thing, None) if thing and not held else state
    if action == "drop":
        free = rows[front[1]][front[0]] == "." and not thing and not door
        return state.moved(held, front) if held and free else state
    if not door or (door.status == "locked" and (held is None or held.name != door.key)):
        return state
    turned = door._replace(status="closed" if door.status == "open" else "open")
    left = tuple(t for t in state.things if door.status != "locked" or t.cell is not None)
    return state._replace(things=left, doors=tuple(turned if d is door else d for d in state.doors))


def transparent(rows: Rows, state: State, cell: Cell) -> bool:
    """Whether one sees through the cell: neither a wall nor a door that is not open."""
    door = state.door(cell)
    return rows[cell[1]][cell[0]] == "." and (door is None or door.status == "open")


# -- seeing ------------------------------------------------------------------------------------------------------


class Sight(NamedTuple):
    """Something in view: steps ahead, and steps to the right (to the left where negative)."""

    ahead: int
    right: int
    what: Thing | Door | None
    """None: the wall straight ahead."""


def seen(rows: Rows, state: State) -> list[Sight]:
    """What the walker sees, the nearest first: things and doors in a straight line of sight, and the wall ahead."""
    (x, y), (dx, dy) = state.at, STEPS[state.facing]
    found = []
    for what in state.contents:
        if what.cell is not None:
            east, south = what.cell[0] - x, what.cell[1] - y
            ahead, right = east * dx + south * dy, south * dx - east * dy
            if 0 <= ahead <= DEPTH and abs(right) <= SIDE and (ahead or right) and _clear(rows, state, what.cell):
                found.append(Sight(ahead, right, what))
    wall = next((n for n in range(1, DEPTH + 1) if not transparent(rows, state, (x + n * dx, y + n * dy))), 0)
    if wall and not state.door((x + wall * dx, y + wall * dy)):
        found.append(Sight(wall, 0, None))
    return sorted(found, key=lambda s: (s.ahead + abs(s.right), s.ahead, s.right))


def _clear(rows: Rows, state: State, cell: Cell) -> bool:
    """Whether nothing stands on the straight line to a cell, its ends left out."""
    (x, y), (u, v) = state.at, cell
    n = max(abs(u - x), abs(v - y))
    line = (((2 * i * (u - x) + n) // (2 * n) + x, (2 * i * (v - y) + n) // (2 * n) + y) for i in range(1, n))
    return all(transparent(rows, state, between) for between in line)


def place(sight: Sight) -> str:
    """`2 ahead 1 left`."""
    side = f"{abs(sight.right)} {'right' if sight.right > 0 else 'left'}"
    return " ".join([f"{sight.ahead} ahead"] * (sight.ahead > 0) + [side] * (sight.right != 0))


def picture(rows: Rows, state: State) -> str:
    """The whole map from above, north at the top, with a letter for each thing and door, and what they mean."""
    cells = [list(row) for row in rows]
    legend = ["# wall", f"{'>v<^'[state.facing]} walker"]
    for letter, what in zip("abcdefghijklmnopqrstuvwxyz", state.contents, strict=False):
        name = what.name if isinstance(what, Thing) else f"{what.status} {what.name}"
        if what.cell is not None:
            cells[what.cell[1]][what.cell[0]] = letter
        legend.append(f"{letter if what.cell else 'held'} {name}")
    cells[state.at[1]][state.at[0]] = ">v<^"[state.facing]
    return "\n".join(["".join(row) for row in cells] + [", ".join(legend)])


# -- building ----------------------------------------------------------------------------------------------------


def rooms(rng: random.Random, across: int, down: int, size: int) -> tuple[Rows, list[Cell]]:
    """Square rooms side by side, and the cells of doors that join all of them to a tree."""
    pitch = size + 1
    cells = [["#" if x % pitch == 0 or y % pitch == 0 else "." for x in range(across * pitch + 1)]
             for y in range(down * pitch + 1)]  # fmt: skip
    joined, gates = {(rng.randrange(across), rng.randrange(down))}, []
    while len(joined) < across * down:
        ways = [(i, j, dx, dy) for i, j in sorted(joined) for dx, dy in STEPS if (i + dx, j + dy) not in joined]
        i, j, dx, dy = rng.choice([w for w in ways if 0 <= w[0] + w[2] < across and 0 <= w[1] + w[3] < down])
        along = rng.randint(1, size)
        gate = (
            (i + max(dx, 0)) * pitch if dx else i * pitch + along,
            (j + max(dy, 0)) * pitch if dy else j * pitch + along,
        )
        cells[gate[1]][gate[0]] = "."
        gates.append(gate)
        joined.add((i + dx, j + dy))
    return tuple("".join(row) for row in cells), gates


def distances(rows: Rows, start: Cell, blocked: Collection[Cell] = ()) -> dict[Cell, int]:
    """Steps from `start` to every cell that can be walked to, walls and blocked cells left out."""
    found, edge = {start: 0}, deque([start])
    while edge:
        x, y = edge.popleft()
        for dx, dy in STEPS:
            cell = (x + dx, y + dy)
            if cell not in found and cell not in blocked and rows[cell[1]][cell[0]] == ".":
                found[cell] = found[x, y] + 1
                edge.append(cell)
    return found


def facing(rows: Rows, cells: Iterable[Cell]) -> dict[tuple[Cell, int], int]:
    """For every place and direction, the moves until one of `cells` is straight ahead, were there walls alone."""
    floor = [(x, y) for x, y in cells if rows[y][x] == "."]
    near = [((x - dx, y - dy), f) for x, y in floor for f, (dx, dy) in enumerate(STEPS)]
    found = {(cell, f): 0 for cell, f in near if rows[cell[1]][cell[0]] == "."}
    edge = deque(found)
    while edge:
        (x, y), f = edge.popleft()
        back = (x - STEPS[f][0], y - STEPS[f][1])
        for pose in (((x, y), (f + 1) % 4), ((x, y), (f - 1) % 4), (back, f)):
            if pose not in found and rows[pose[0][1]][pose[0][0]] == ".":
                found[pose] = found[(x, y), f] + 1
                edge.append(pose)
    return found
