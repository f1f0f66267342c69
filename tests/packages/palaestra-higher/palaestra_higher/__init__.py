"""Higher or lower: find a hidden number.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | 1 to 4 |
| hidden | a number of 1 to 15 |
| reward | 1 for the number, else 0 |
| gold outcome | found, guesses |
| source | a parlour game |

After a wrong guess the player is told whether the number is higher or lower. Halving finds it in four guesses.
"""

from __future__ import annotations

import random

from palaestra import Request, Script, ScriptedEnv


def _halving(request: Request) -> str:
    """The middle of what is left."""
    low, high = 1, 15
    for text in request.heard:
        words = text.split()
        if "higher" in words:
            low = int(words[-1].strip(".")) + 1
        elif "lower" in words:
            high = int(words[-1].strip(".")) - 1
    return f"[guess {(low + high) // 2}]"


class Higher(ScriptedEnv):
    """Find a hidden number by asking whether it is higher or lower."""

    env_id = "higher"
    seats = ("player_0",)
    reward_range = (0.0, 1.0)
    players = {
        "greedy": _halving,
        "oracle": lambda request: f"[guess {request.facts['number']}]",
    }
    rules = "Find a number of 1 to 15 with [guess N]. After each guess you are told whether it is higher or lower."

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        number = rng.randint(1, 15)
        self.note(number=number)
        self.tell("Guess a number of 1 to 15, four times.")
        said = guesses = 0
        while said != number and guesses < 4:
            if guesses:
                self.tell(f"It is {'higher' if number > said else 'lower'} than {said}.")
            move = yield self.turn(seat, "guess 1..15", default="guess 1")
            said, guesses = int(move.args[0]), guesses + 1
        self.reward({seat: float(said == number)})
        self.outcome(found=said == number, guesses=guesses)
