"""Leduc poker: six cards, two rounds of bets, a card on the table between them.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | 2 to 8 |
| hidden | each seat's card, from the other; the card on the table until it is turned over |
| reward | chips won or lost: -13 to 13; zero-sum |
| gold outcome | cards, line of moves, pot, winner, regret of moves against an equilibrium |
| theory | 288 information sets, 936 with suits; value of the first seat -0.0856; NashConv of uniform play 4.7472 |
| source | F. Southey et al., Bayes' bluff: opponent modelling in poker (UAI 2005) |

Rules: the deck is two jacks, two queens, two kings. Both ante one chip and hold one card. In a round of bets the first
seat opens with a check or a bet; a bet is called, folded or raised, and a raise is called or folded. After the first
round a third card is turned over, then comes the second round. Bets and raises are two chips in the first round and
four in the second. Who pairs the card on the table wins, else the higher card; equal cards share the pot.

Level 0 is short. Level 1 speaks in sentences of several wordings, names the suits, says what is in the pot, and lets
the seats hear each other's speech (table talk). Parameter: `suits` (level 0 tells `Qh` and `Qs` apart, which never
matters). There is the one split "train": the deals are the game, and without some of them it would be another game.

Players: `random`, `greedy` (bets, raises and calls with a pair or the king, else checks and folds), `oracle` (sees all
cards and keeps to what wins), and `equilibrium`, which nobody can beat on average.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from palaestra.envs.common.cards import SAYINGS, Poker, deal, play_equilibrium, strength
from palaestra.envs.script import Request, Script, play_random

RANKS = {"J": "jack", "Q": "queen", "K": "king"}
SUITS = {"h": "hearts", "s": "spades"}

HOLDS = (
    "You are {seat}. Your card is {card}.",
    "You sit as {seat} at a table of Leduc poker. In your hand is the {card}. Each player has put in one chip.",
    "A hand of Leduc poker, two players, one chip each in the pot. You are {seat}, and you hold the {card}.",
    "You are {seat}. You look at your card: the {card}. Your opponent looks at another. The ante of one chip is paid.",
)
TABLE = (
    "The board is {card}.",
    "The dealer turns over the {card}. Bets are four chips from now on.",
    "On the table lies the {card} now. The second round begins, with bets of four.",
    "The third card is the {card}, for both to see. A bet costs four chips in this round.",
)


class Leduc(Poker):
    """Leduc poker in words."""

    env_id = "leduc"
    levels = (0, 1)
    rules = (
        "Leduc poker. The deck is two jacks, two queens and two kings. Both players ante one chip and hold one card. "
        "Then come two rounds of bets, of two chips in the first and four in the second, with one raise in each. "
        "Between them a card is turned over on the table. Who pairs it wins the pot, else the higher card."
    )
    reward_range = (-13.0, 13.0)

    suits: bool = False
    """Level 0 tells suits too."""

    def script(self, rng: random.Random) -> Script:
        deck = [r + s for r in RANKS for s in SUITS] if self.suits or self.level else [r for r in RANKS for _ in SUITS]
        hand = self.hand(self.secrets("cards", deal(deck, *self.seats, "board")))
        wording = rng.randrange(1, len(HOLDS)) if self.level else 0
        for seat in self.seats:
            self.tell(HOLDS[wording].format(seat=seat, card=self._named(hand.cards[seat])), to=seat)
        yield from self.betting(hand, size=2, most=2, saying=SAYINGS[wording])
        if not hand.folded:
            hand.board = hand.cards["board"]
            self.reveal(TABLE[wording].format(card=self._named(hand.board)))
            yield from self.betting(hand, size=4, most=2, saying=SAYINGS[wording])
        self.finish(hand)

    def _named(self, card: str) -> str:
        return f"{RANKS[card[0]]} of {SUITS[card[1]]}" if self.level else card


# -- players -----------------------------------------------------------------------------------------------------

_CARD = re.compile(r"\b(?:J|Q|K|jack|queen|king)")
_TABLE = tuple(text.partition("{")[0] for text in TABLE)


def seen(view: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The ranks of the own card and of the one on the table ("" while it lies face down), as a seat was told."""
    told = [view[0][1], *(text for who, text in view if who == "told" and text.startswith(_TABLE))]
    mine, board, *_ = [found[0][0].upper() for text in told if (found := _CARD.search(text))] + [""]
    return mine, board


def _keen(request: Request) -> str:
    """Put chips in: raise, else bet, else call."""
    return next(m for m in ("[raise]", "[bet]", "[call]") if m in request.legal_actions)


def _meek(request: Request) -> str:
    return "[check]" if "[check]" in request.legal_actions else "[fold]"


def _greedy(request: Request) -> str:
    card, board = seen(request.view)
    return _keen(request) if card in ("K", board) else _meek(request)


def _oracle(request: Request) -> str:
    """Knows all three cards: puts chips in exactly when it wins, and stays in where the pot will be shared."""
    cards = request.facts["cards"]
    mine, other = (
        strength(cards[s], cards["board"]) for s in sorted(request.env.seats, key=lambda s: s != request.seat)
    )
    if mine == other:
        return "[check]" if "[check]" in request.legal_actions else "[call]"
    return _keen(request) if mine > other else _meek(request)


def _equilibrium(request: Request) -> str:
    return play_equilibrium(request, *seen(request.view))


Leduc.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "equilibrium": _equilibrium}
