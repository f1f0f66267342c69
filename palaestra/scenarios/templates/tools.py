"""One coin is heavy; a pair of scales finds it, at a price.

| fact | value |
|---|---|
| seats | `finder_0` |
| turns | at most 3 at level 0, 5 at level 1 |
| hidden | nothing is another seat's; which coin is heavy is not told |
| reward | 1 for the heavy coin, minus 0.1 a weighing |
| gold outcome | right, weighings, heavy |
| controls | `no_tool`: the scales are out of order |

Rules: `[weigh COIN]` asks the scales, `[answer COIN]` ends the episode. There is one weighing fewer than coins.

Level 0 has three coins, level 1 five.
"""

from __future__ import annotations

import random
from typing import Any

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

COINS = (("a", "b", "c"), ("a", "b", "c", "d", "e"))
COST = 0.1


def scales(coin: str, heavy: str) -> dict[str, Any]:
    """The weight of a coin. A tool is a function of plain JSON arguments; its result is recorded."""
    return {"coin": coin, "grams": 12 if coin == heavy else 10}


def _greedy(request: Request) -> str:
    """Weighs coin after coin, and answers the heavy one, or the one that is left."""
    weighed = [text.split() for kind, text in request.view if kind == "told" and text.startswith("Coin ")]
    coins = COINS[request.env.level]
    for _, coin, _, grams, _ in weighed:
        if grams == "12":
            return f"[answer {coin}]"
    next_coin = coins[min(len(weighed), len(coins) - 1)]
    move = f"[weigh {next_coin}]"
    return move if move in request.legal_actions and next_coin != coins[-1] else f"[answer {next_coin}]"


def _oracle(request: Request) -> str:
    """Knows the heavy coin."""
    return f"[answer {request.facts['heavy']}]"


class Template(ScriptedEnv):
    """One coin is heavy; scales find it."""

    no_tool: bool = False
    """Control: the scales are out of order."""

    seats = ("finder_0",)
    levels = (0, 1)
    controls = ("no_tool",)
    rules = "One coin is heavier than the others. [weigh COIN] uses the scales, [answer COIN] ends the search."
    reward_range = (-1.0, 1.0)
    effects = {"scales": scales}
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        coins = COINS[self.level]
        heavy = rng.choice(coins)
        self.note(heavy=heavy)
        self.tell(f"One of the coins {', '.join(coins)} is heavy. Which?")

        weighings, answer = 0, ""
        while not answer:
            commands = [f"answer {'|'.join(coins)}"]
            if weighings < len(coins) - 1:
                commands.append(f"weigh {'|'.join(coins)}")
            move = yield self.turn(seat, *commands, default=f"answer {coins[0]}")
            if move.verb == "answer":
                answer = move.args[0]
                continue
            weighings += 1
            if self.no_tool:
                self.tell("The scales are out of order.")
                continue
            result = yield self.effect("scales", move.args[0], heavy)
            self.tell(f"Coin {result['coin']} weighs {result['grams']} grams.")

        right = answer == heavy
        self.reward({seat: right - COST * weighings})
        self.outcome(right=right, weighings=weighings, heavy=heavy)
