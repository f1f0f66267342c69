"""What TextWorld and ScienceWorld share: a simulator that runs beside the script and is asked through one tool call.

`step(game, command)` gives what the simulator says to a command, and to the empty command what it says at the start.
The record holds it, so that replaying and forking an episode need no simulator; `replay --verify` asks it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import Any, TypedDict

from palaestra.envs import transcript as record
from palaestra.envs.adapters.foreign import Foreign
from palaestra.envs.script import Script
from palaestra.errors import EnvError


class Said(TypedDict):
    """What a simulator answers."""

    text: str
    score: int
    max_score: int
    won: bool
    over: bool
    commands: list[str]
    """What may be done now; empty: whatever the environment's own grammar allows."""
    plan: list[str]
    """What its own solver would do from here, for the oracle; empty: nothing new."""


World = Callable[[str], Said]


class Running:
    """The running simulators of this process, each under what was done in it, so that no step is done twice.

    An episode whose simulator has been put away, or was never here, gets a new one that does the same steps again.
    """

    def __init__(self, start: Callable[..., World], keep: int) -> None:
        self._start, self._keep = start, keep
        self._worlds: dict[tuple[int, str, tuple[str, ...]], World] = {}
        self.lock = RLock()

    def step(self, game: list[Any], command: str, history: Iterable[tuple[list[Any], Any]]) -> Said:
        """The answer to `command` after the commands of `history`."""
        done = tuple(args[1] for args, _ in history)
        here = os.getpid(), json.dumps(game)  # a forked child must not speak to its parent's simulators
        with self.lock:
            world = self._worlds.pop((*here, done), None)
            try:
                if world is None:
                    world = self._start(*game)
                    for earlier in done:
                        world(earlier)
                said = world(command)
            except EnvError:
                raise
            except Exception as error:  # a broken simulator is nothing that happened in the world
                self._worlds.clear()  # the others may have been broken with it
                raise EnvError(f"{json.dumps(game)}: the simulator broke: {type(error).__name__}: {error}") from error
            self._worlds[(*here, (*done, command))] = world
            while len(self._worlds) > self._keep:
                self._worlds.pop(next(iter(self._worlds)))
        return said


class Simulated(Foreign):
    """Base of the environments whose world is a simulator: one seat, a command a turn."""

    max_steps: int = 100
    """Commands after which the episode ends."""

    seats = ("player_0",)
    splits = ("train", "test")

    def game(self) -> list[Any]:
        """The arguments that start the simulator of this episode, which are its instance; splits share none."""
        raise NotImplementedError

    def verbs(self) -> Sequence[str]:
        """Commands that can be tried anywhere."""
        return ()

    def script(self, rng: Any) -> Script:
        (seat,) = self.seats
        game = self.game()
        self._events.append(record.Instance(json.dumps(game)))
        said: Said = yield self.effect("step", game, "")
        steps = paid = 0
        while True:
            self.tell(said["text"], to=seat)
            if said["score"] != paid:
                self.reward({seat: (said["score"] - paid) / said["max_score"]})
                paid = said["score"]
            if said["over"] or steps >= self.max_steps:
                break
            if said["plan"]:
                self.note(plan=said["plan"])
            commands = tuple(said["commands"]) or tuple(self.verbs())
            idle = next((c for c in commands if c in ("look", "wait1")), commands[0])
            move = yield self.turn(seat, *commands, default=idle)
            said = yield self.effect("step", game, " ".join((move.verb, *move.args)))
            steps += 1
        self.outcome(
            won=said["won"],
            score=said["score"],
            max_score=said["max_score"],
            steps=steps,
            truncated=not said["over"],
        )
