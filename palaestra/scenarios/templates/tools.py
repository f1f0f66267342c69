"""One coin is heavy; scales find it, at a price.

| fact | value |
|---|---|
| seats | `finder_0` |
| turns | at most 2 at level 0, 5 at level 1 |
| hidden | nothing is another seat's; which coin is heavy is not told |
| reward | 1 for the heavy coin, minus 0.05 a weighing |
| gold outcome | right, weighings, heavy |
| controls | `no_tool`: the scales are out of order |

Rules: `[weigh ...]` asks the scales, `[answer COIN]` ends the episode.

Level 0 has three coins, and the scales take all of them at once. Level 1 has five coins, to be weighed one by one, with
one weighing fewer than coins.
"""

from __future__ import annotations

import random
from typing import Any

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

COINS = ("abc", "abcde")
COST = 0.05


def scales(coins: list[str], heavy: str) -> dict[str, Any]:
    """The heavy coin among `coins`, or None. A tool is a function of plain JSON arguments; its result is recorded."""
    return {"heavy": heavy if heavy in coins else None}


def _greedy(request: Request) -> str:
    """Weighs while that may help, and answers the coin that was found, or the one that is left."""
    results = [text for kind, text in request.view if kind == "told" and text.startswith("The scales")]
    found = [text for text in results if "find" in text and "nothing" not in text]
    weighings = [move for move in request.legal_actions if move.startswith("[weigh")]
    if not found and weighings and not any("out of order" in text for text in results):
        return weighings[len(results)]
    return f"[answer {found[-1][16] if found else COINS[request.env.level][-1]}]"


def _oracle(request: Request) -> str:
    """Knows the heavy coin."""
    return f"[answer {request.facts['heavy']}]"


def _mixed(request: Request) -> str:
    """For demonstrations: uses the scales in 30 episodes of 100, guesses in the others."""
    if request.turn > 0 or request.rng.random() < 0.3:
        return _greedy(request)
    return f"[answer {request.rng.choice(COINS[request.env.level])}]"


class Template(ScriptedEnv):
    """One coin is heavy; scales find it."""

    no_tool: bool = False
    """Control: the scales are out of order."""

    seats = ("finder_0",)
    levels = (0, 1)
    controls = ("no_tool",)
    rules = "One coin is heavier than the others. [weigh ...] uses the scales, [answer COIN] ends the search."
    reward_range = (-1.0, 1.0)
    effects = {"scales": scales}
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "mixed": _mixed}

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        coins = COINS[self.level]
        heavy = rng.choice(coins)
        self.note(heavy=heavy)
        self.tell(f"One of the coins {', '.join(coins)} is heavy. Which?")

        weighings, answer = 0, ""
        while not answer:
            commands = [f"answer {'|'.join(coins)}"]
            if weighings < (len(coins) - 1 if self.level else 1):
                commands.append(f"weigh {'|'.join(coins) if self.level else 'all'}")
            move = yield self.turn(seat, *commands, default=f"answer {coins[0]}")
            if move.verb == "answer":
                answer = move.args[0]
                continue
            weighings += 1
            if self.no_tool:
                self.tell("The scales are out of order.")
                continue
            weighed = list(coins) if move.args[0] == "all" else [move.args[0]]
            result = yield self.effect("scales", weighed, heavy)
            self.tell(f"The scales find {result['heavy'] or 'nothing'}.")

        right = answer == heavy
        self.reward({seat: right - COST * weighings})
        self.outcome(right=right, weighings=weighings, heavy=heavy)
