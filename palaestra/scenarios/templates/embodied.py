"""Walk through a room and take the lamp.

| fact | value |
|---|---|
| seats | `walker_0` |
| turns | at most 6 at level 0, 20 at level 1 |
| hidden | nothing is another seat's |
| reward | 1 for the lamp, minus 0.02 a turn: -0.4 to 1 |
| gold outcome | taken, steps, shortest |
| splits | train and test share no pair of start and lamp |

Rules: the room is a grid. `[go east]` and so on moves one field, unless there is a wall; `[take]` takes the lamp where
it is.

Level 0 is a corridor of 5 fields in which the lamp is always seen; level 1 a room of 5 by 5 in which it is seen only
from its own row and column.
"""

from __future__ import annotations

import random
import re

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

SIZES = ((1, 5), (5, 5))  # rows, columns
LIMITS = (6, 20)
STEPS = {"east": (0, 1), "west": (0, -1), "north": (-1, 0), "south": (1, 0)}
Field = tuple[int, int]


def _direction(start: Field, goal: Field) -> list[str]:
    """The directions from a field to another, north or south first."""
    rows, columns = goal[0] - start[0], goal[1] - start[1]
    return ["south"] * (rows > 0) + ["north"] * (rows < 0) + ["east"] * (columns > 0) + ["west"] * (columns < 0)


def _seen(request: Request) -> str:
    """What the walker was told of the field where it stands."""
    return [text for kind, text in request.view if kind == "told" and text.startswith(("Row ", "Column "))][-1]


def _greedy(request: Request) -> str:
    """Walks towards the lamp; while it is not seen, walks to the north wall and then south, past every row."""
    seen = _seen(request)
    if "The lamp is here" in seen:
        return "[take]"
    if "The lamp is to the" in seen:
        return f"[go {seen.partition('The lamp is to the ')[2].rstrip('.')}]"
    return "[go south]" if any("A wall to the north" in text for _, text in request.view) else "[go north]"


def _oracle(request: Request) -> str:
    """Knows where the lamp is."""
    row, column = ["0", *re.findall(r"[0-9]+", _seen(request))][-2:]
    way = _direction((int(row), int(column)), tuple(request.facts["lamp"]))
    return f"[go {way[0]}]" if way else "[take]"


class Template(ScriptedEnv):
    """Walk through a room and take the lamp."""

    seats = ("walker_0",)
    levels = (0, 1)
    splits = ("train", "test")
    rules = "You walk through a room of fields, one field a turn, and take the lamp when you stand where it is."
    reward_range = (-0.4, 1.0)
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        rows, columns = SIZES[self.level]
        fields = [(row, column) for row in range(rows) for column in range(columns)]
        ways = "|".join(STEPS) if rows > 1 else "east|west"
        start, lamp = self.item(f"room {rows} x {columns}", lambda r: r.sample(fields, 2))
        self.note(lamp=lamp)
        here, steps, taken = start, 0, False
        while not taken and steps < LIMITS[self.level]:
            self.tell(self._describe(here, lamp))
            move = yield self.turn(seat, f"go {ways}", "take", default="take")
            steps += 1
            if move.verb == "take":
                taken = here == lamp
            else:
                row, column = STEPS[move.args[0]]
                there = (here[0] + row, here[1] + column)
                here = there if there in fields else here
        self.reward({seat: taken - 0.02 * steps})
        shortest = abs(start[0] - lamp[0]) + abs(start[1] - lamp[1]) + 1
        self.outcome(taken=taken, steps=steps, shortest=shortest)

    def _describe(self, here: Field, lamp: Field) -> str:
        rows, columns = SIZES[self.level]
        row, column = here
        text = f"Row {row}, column {column}." if rows > 1 else f"Column {column}."
        if rows > 1:
            walls = {"north": row == 0, "south": row == rows - 1, "west": column == 0, "east": column == columns - 1}
            text += "".join(f" A wall to the {side}." for side, there in walls.items() if there)
        if here == lamp:
            return text + " The lamp is here."
        seen = rows == 1 or row == lamp[0] or column == lamp[1]
        return text + (f" The lamp is to the {_direction(here, lamp)[0]}." if seen else "")
