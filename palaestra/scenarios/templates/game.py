"""A duel of hidden cards: stay and compare, or fold.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | one a round, both at once |
| hidden | each seat's card, from the other |
| reward | chips won or lost; zero-sum |
| gold outcome | rounds, won |

Rules: in each round both draw a card from 1 to 6, never the same. Both say at once whether they stay or fold. Two
that stay compare: the higher card wins two chips from the other. One that folds loses one chip to the one that stays.

Level 0 is one round, level 1 three.
"""

from __future__ import annotations

import random

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

CARDS = range(1, 7)
ROUNDS = (1, 3)


def _deal(rng: random.Random) -> dict[str, int]:
    first, second = rng.sample(CARDS, 2)
    return {"player_0": first, "player_1": second}


def _greedy(request: Request) -> str:
    """Stays with the upper half of the cards."""
    cards = [text for kind, text in request.view if kind == "told" and text.startswith("Your card is")]
    return "[stay]" if int(cards[-1].split()[3].rstrip(".")) > 3 else "[fold]"


def _oracle(request: Request) -> str:
    """Knows both cards."""
    cards = [parts for name, parts in request.facts.items() if name.startswith("cards")][-1]
    return "[stay]" if cards[request.seat] == max(cards.values()) else "[fold]"


class Template(ScriptedEnv):
    """A duel of hidden cards."""

    seats = ("player_0", "player_1")
    levels = (0, 1)
    rules = "Both players hold a card from 1 to 6. Both stay or fold, at once. The higher card wins."
    reward_range = (-6.0, 6.0)
    zero_sum = True
    simultaneous = True
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def script(self, rng: random.Random) -> Script:
        won = dict.fromkeys(self.seats, 0)
        for number in range(ROUNDS[self.level]):
            cards = self.secrets(f"cards {number}", _deal)
            for seat in self.seats:
                self.tell(f"Your card is {cards[seat]}.", to=seat)
            moves = yield self.turn(self.seats, "stay", "fold", default="fold")

            staying = [seat for seat in self.seats if moves[seat].verb == "stay"]
            if not staying:
                self.tell("Both fold.")
                continue
            winner = max(staying, key=lambda seat: cards[seat])
            loser = next(seat for seat in self.seats if seat != winner)
            stake = len(staying)
            if stake == 2:
                self.reveal(f"Both stay: {winner} holds {cards[winner]}, {loser} holds {cards[loser]}.")
            else:
                self.tell(f"{loser} folds.")
            self.reward({winner: stake, loser: -stake})
            won[winner] += 1
        self.outcome(rounds=ROUNDS[self.level], won=won)
