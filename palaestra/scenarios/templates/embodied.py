"""Walk through a room and take the lamp.

| fact | value |
|---|---|
| seats | `walker_0` |
| turns | at most 12 at level 0, 20 at level 1 |
| hidden | nothing is another seat's |
| reward | 1 for the lamp, minus 0.02 a turn: -0.4 to 1 |
| gold outcome | taken, steps, shortest |
| splits | train and test share no pair of start and lamp |

Rules: the room is a grid. `[go north]` and so on moves one field, unless there is a wall; `[take]` takes the lamp where
it is.

Level 0 is a room of 3 by 3 fields in which the lamp is always seen; level 1 one of 5 by 5 in which it is seen from its
own row and column only.
"""

from __future__ import annotations

import random
import re

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

SIZES = (3, 5)
STEPS = {"north": (-1, 0), "south": (1, 0), "east": (0, 1), "west": (0, -1)}
Field = tuple[int, int]


def _direction(start: Field, goal: Field) -> list[str]:
    """The directions from a field to another, north or south first."""
    rows, columns = goal[0] - start[0], goal[1] - start[1]
    return ["south"] * (rows > 0) + ["north"] * (rows < 0) + ["east"] * (columns > 0) + ["west"] * (columns < 0)


def _seen(request: Request) -> str:
    """What the walker was told of the field where it stands."""
    return [text for kind, text in request.view if kind == "told" and text.startswith("You are at")][-1]


def _greedy(request: Request) -> str:
    """Walks towards the lamp; while it is not seen, walks to the north wall and then south, past every row."""
    seen = _seen(request)
    if "The lamp is here" in seen:
        return "[take]"
    if "The lamp is to the" in seen:
        return f"[go {seen.partition('The lamp is to the ')[2].rstrip('.').split('-')[0]}]"
    return "[go south]" if any("wall to the north" in text for _, text in request.view) else "[go north]"


def _oracle(request: Request) -> str:
    """Knows where the lamp is."""
    row, column = re.findall(r"[0-9]+", _seen(request))
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
        size = SIZES[self.level]
        fields = [(row, column) for row in range(size) for column in range(size)]
        start, lamp = self.item(f"room {size}", lambda r: r.sample(fields, 2))
        self.note(lamp=lamp)
        here, steps, taken = start, 0, False
        while not taken and steps < 4 * size:
            self.tell(self._describe(here, lamp))
            move = yield self.turn(seat, f"go {'|'.join(STEPS)}", "take", default="take")
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
        last = SIZES[self.level] - 1
        text = f"You are at row {here[0]}, column {here[1]}."
        walls = ["north"] * (here[0] == 0) + ["south"] * (here[0] == last)
        walls += ["west"] * (here[1] == 0) + ["east"] * (here[1] == last)
        text += "".join(f" There is a wall to the {wall}." for wall in walls)
        if here == lamp:
            return text + " The lamp is here."
        seen = self.level == 0 or here[0] == lamp[0] or here[1] == lamp[1]
        return text + (f" The lamp is to the {'-'.join(_direction(here, lamp))}." if seen else "")
