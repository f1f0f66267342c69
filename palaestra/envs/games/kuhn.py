"""Kuhn poker: three cards, two players, one bet.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | 2 or 3 |
| hidden | each seat's card, from the other |
| reward | chips won or lost: -2 to 2; zero-sum |
| gold outcome | cards, pot, winner |
| theory | value of the first seat -1/18; NashConv of uniform play 11/12 |
| source | H. W. Kuhn, A simplified two-person poker (1950) |

Rules: both ante one chip and hold one card of J, Q, K. The first seat checks or bets one chip; a bet is called or
folded; after a check the second seat may bet in its turn. The higher card wins the pot.

Level 1 lets the seats hear each other's speech beside the move (table talk); the rules stay.
"""

from __future__ import annotations

import random
from typing import Any

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

CARDS = ("J", "Q", "K")


def _deal(rng: random.Random) -> dict[str, str]:
    first, second = rng.sample(CARDS, 2)
    return {"player_0": first, "player_1": second}


def _card(request: Request) -> str:
    return request.view[0][1].split("card is ")[1][0]


def _greedy(request: Request) -> str:
    """Bets and calls with the king, checks and folds otherwise."""
    strong = _card(request) == "K"
    return request.legal_actions[1 if strong == ("[bet]" in request.legal_actions) else 0]


def _soft(request: Request) -> str:
    """A beginner that has looked at its card: bets and calls with J, Q, K in 1, 2, 3 of 4 hands."""
    strong = request.rng.random() < (CARDS.index(_card(request)) + 1) / 4
    return request.legal_actions[1 if strong == ("[bet]" in request.legal_actions) else 0]


def _oracle(request: Request) -> str:
    """Knows both cards: calls exactly when it wins; bets when it wins, and bluffs a queen with the jack."""
    deal: dict[str, Any] = request.facts["cards"]
    mine = deal[request.seat]
    (other,) = (card for seat, card in deal.items() if seat != request.seat)
    wins = CARDS.index(mine) > CARDS.index(other)
    if "[bet]" in request.legal_actions:
        return "[bet]" if wins or other == "Q" else "[check]"
    return "[call]" if wins else "[fold]"


class Kuhn(ScriptedEnv):
    """Kuhn poker in words."""

    env_id = "kuhn"
    seats = ("player_0", "player_1")
    levels = (0, 1)
    rules = (
        "Kuhn poker. The deck is J, Q, K. Both players ante one chip and hold one card. The first player checks or "
        "bets one chip. A bet is called or folded; after a check the second player may bet. The higher card wins."
    )
    reward_range = (-2.0, 2.0)
    zero_sum = True
    players = {"random": play_random, "soft": _soft, "greedy": _greedy, "oracle": _oracle}

    def script(self, rng: random.Random) -> Script:
        cards = self.secrets("cards", _deal)
        for seat in self.seats:
            self.tell(f"You are {seat}. Your card is {cards[seat]}.", to=seat)
        first, second = self.seats

        def act(seat: str, other: str, *moves: str) -> Script:
            move = yield self.turn(seat, *moves, default=moves[0] if "check" in moves else "fold")
            talk = f' and says: "{move.said(1000)}"' if self.level and move.speech else ""
            self.tell(f"Your opponent chose {move.verb}{talk}.", to=other)
            return move.verb

        line = [(yield from act(first, second, "check", "bet"))]
        line.append((yield from act(second, first, *(("check", "bet") if line == ["check"] else ("call", "fold")))))
        if line == ["check", "bet"]:
            line.append((yield from act(first, second, "call", "fold")))

        stake = 2 if line[-1] == "call" else 1
        if line[-1] == "fold":
            winner = second if len(line) == 3 else first
        else:
            winner = max(self.seats, key=lambda seat: CARDS.index(cards[seat]))
            self.reveal(f"Showdown: {first} holds {cards[first]}, {second} holds {cards[second]}.")
        loser = second if winner == first else first
        self.reward({winner: stake, loser: -stake})
        self.outcome(cards=dict(cards), line=line, pot=2 * stake, winner=winner)
