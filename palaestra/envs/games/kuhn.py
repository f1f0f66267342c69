"""Kuhn poker: three cards, two players, one bet.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | 2 or 3 |
| hidden | each seat's card, from the other |
| reward | chips won or lost: -2 to 2; zero-sum |
| gold outcome | cards, line of moves, pot, winner, regret of moves against an equilibrium |
| theory | value of the first seat -1/18; NashConv of uniform play 11/12 |
| source | H. W. Kuhn, A simplified two-person poker (1950) |

Rules: both ante one chip and hold one card of J, Q, K. The first seat checks or bets one chip; a bet is called or
folded; after a check the second seat may bet in its turn. The higher card wins the pot.

Level 1 lets the seats hear each other's speech beside the move (table talk); the rules stay.

Players: `random`, `greedy` (bets and calls with the king), `soft` (a beginner), `oracle` (sees both cards), and
`equilibrium`, which nobody can beat on average.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from palaestra.envs.common.cards import Poker, deal, play_equilibrium
from palaestra.envs.script import Request, Script, play_random

CARDS = ("J", "Q", "K")


class Kuhn(Poker):
    """Kuhn poker in words."""

    env_id = "kuhn"
    levels = (0, 1)
    rules = (
        "Kuhn poker. The deck is J, Q, K. Both players ante one chip and hold one card. The first player checks or "
        "bets one chip. A bet is called or folded; after a check the second player may bet. The higher card wins."
    )
    reward_range = (-2.0, 2.0)

    def script(self, rng: random.Random) -> Script:
        hand = self.hand(self.secrets("cards", deal(CARDS, *self.seats)))
        for seat in self.seats:
            self.tell(f"You are {seat}. Your card is {hand.cards[seat]}.", to=seat)
        yield from self.betting(hand, size=1, most=1)
        self.finish(hand)


# -- players -----------------------------------------------------------------------------------------------------


def seen(view: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The own card, and none on the table, as a seat was told."""
    return view[0][1].split("card is ")[1][0], ""


def _card(request: Request) -> str:
    return seen(request.view)[0]


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


def _equilibrium(request: Request) -> str:
    return play_equilibrium(request, _card(request))


Kuhn.players = {
    "random": play_random,
    "soft": _soft,
    "greedy": _greedy,
    "oracle": _oracle,
    "equilibrium": _equilibrium,
}
