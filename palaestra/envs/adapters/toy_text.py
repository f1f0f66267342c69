"""Gymnasium's toy-text worlds in words: `gymnasium/FrozenLake-v1`, `gymnasium/Taxi-v4`, `gymnasium/CliffWalking-v1`,
`gymnasium/Blackjack-v1`.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | until the world ends the episode, or its time limit does |
| hidden | what the world hides |
| reward | the world's own |
| gold outcome | total, steps, truncated |
| needs | nothing more |

A move is one word in brackets, `[left]`. The text says where one is; the first message describes the world.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import gymnasium

from palaestra.envs.adapters.foreign import Foreign, known, made
from palaestra.envs.script import Script


class World(NamedTuple):
    """How a world is put into words."""

    rules: str
    moves: tuple[str, ...]
    """The words of actions 0, 1, ..."""
    tell: Callable[[Any, Any], str]
    """(the bare environment, observation) -> text."""
    start: Callable[[Any], str] = lambda env: ""
    """What is told before the first observation."""
    options: dict[str, Any] = {}


def _cell(observation: int, columns: int) -> str:
    row, column = divmod(int(observation), columns)
    return f"You are at row {row}, column {column}."


def _lake_map(env: Any) -> str:
    rows = ["".join(cell.decode() for cell in row) for row in env.desc]
    return "Map, row 0 on top: " + " / ".join(rows)


def _taxi(env: Any, observation: int) -> str:
    row, column, passenger, goal = env.decode(int(observation))
    names = ("red", "green", "yellow", "blue")
    where = "in the taxi" if passenger == 4 else f"at {names[passenger]}"
    return f"Taxi at row {row}, column {column}. Passenger {where}. Destination {names[goal]}."


def _taxi_map(env: Any) -> str:
    stops = ", ".join(
        f"{n} at row {r}, column {c}" for n, (r, c) in zip(("red", "green", "yellow", "blue"), env.locs, strict=True)
    )
    walls = [
        f"row {row} between columns {column} and {column + 1}"
        for row, line in enumerate(env.desc[1:-1])
        for column in range(4)
        if line[2 * column + 2] == b"|"
    ]
    return f"A city of 5 rows and 5 columns. Stops: {stops}. Walls: {'; '.join(walls)}."


def _cards(env: Any, observation: tuple[int, int, int]) -> str:
    mine, dealer, ace = observation
    return f"Your hand is worth {mine}{' with a usable ace' if ace else ''}. The dealer shows {dealer}."


WORLDS = {
    "FrozenLake-v1": World(
        "Walk over a frozen lake from S to G; H is a hole, F is ice, and the ice is slippery: you may slide sideways.",
        ("left", "down", "right", "up"),
        lambda env, o: _cell(o, env.ncol),
        _lake_map,
    ),
    "FrozenLake8x8-v1": World(
        "Walk over a frozen lake from S to G; H is a hole, F is ice, and the ice is slippery: you may slide sideways.",
        ("left", "down", "right", "up"),
        lambda env, o: _cell(o, env.ncol),
        _lake_map,
    ),
    "CliffWalking-v1": World(
        "Walk from row 3, column 0 to row 3, column 11 of 4 rows and 12 columns. The cells between them are a cliff: "
        "it costs 100 and takes you back to the start. Each step costs 1.",
        ("up", "right", "down", "left"),
        lambda env, o: _cell(o, 12),
        options={"max_episode_steps": 200},
    ),
    "CliffWalkingSlippery-v1": World(
        "Walk from row 3, column 0 to row 3, column 11 of 4 rows and 12 columns. The cells between them are a cliff: "
        "it costs 100 and takes you back to the start. Each step costs 1, and you may slide sideways.",
        ("up", "right", "down", "left"),
        lambda env, o: _cell(o, 12),
        options={"max_episode_steps": 200},
    ),
    "Taxi-v4": World(
        "Drive a taxi: pick up the passenger, drive to the destination, drop off. A step costs 1, a wrong pick-up or "
        "drop-off 10, and a passenger who arrives pays 20.",
        ("south", "north", "east", "west", "pickup", "dropoff"),
        _taxi,
        _taxi_map,
    ),
    "Blackjack-v1": World(
        "Blackjack against a dealer who stops at 17: come closer to 21 than the dealer, and never above it.",
        ("stick", "hit"),
        _cards,
    ),
}


class ToyText(Foreign):
    """One of Gymnasium's small worlds, told in words."""

    world: ClassVar[str] = ""
    seats = ("player_0",)

    def script(self, rng: random.Random) -> Script:
        words = WORLDS[self.world]
        (seat,) = self.seats
        env = gymnasium.make(self.world, disable_env_checker=True, **words.options)
        observation, _ = env.reset(seed=rng.getrandbits(31))
        if about := words.start(env.unwrapped):
            self.tell(about)
        total, steps, ended, cut = 0.0, 0, False, False
        while not (ended or cut):
            self.tell(words.tell(env.unwrapped, observation), to=seat)
            move = yield self.turn(seat, *words.moves)
            observation, reward, ended, cut, _ = env.step(words.moves.index(move.verb))
            if reward:
                self.reward({seat: float(reward)})
            total, steps = total + float(reward), steps + 1
        env.close()
        self.tell(f"{words.tell(env.unwrapped, observation)} It is over: {total:g} points.", to=seat)
        self.outcome(total=total, steps=steps, truncated=bool(cut and not ended))


def member(name: str) -> type[ToyText]:
    """The class of a world."""
    known(name, "gymnasium", list(WORLDS))
    return made(ToyText, f"gymnasium/{name}", world=name, rules=WORLDS[name].rules)
