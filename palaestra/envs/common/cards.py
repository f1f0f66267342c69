"""Cards and betting: what the poker games share. Two seats, an ante of one chip, rounds of limited bets."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from palaestra.envs.grammar import clean, grammar
from palaestra.envs.script import Request, Script, ScriptedEnv

RANKS = "23456789TJQKA"
VERBS = ("check", "bet", "call", "fold", "raise")
SAYINGS = (
    ("Your opponent chose {verb}{talk}.", ""),
    ("Your opponent chose {verb}{talk}.", " With that the pot is {pot} chips, and you owe {owed}."),
    ("The other player plays {verb}{talk}.", " That makes {pot} chips in the pot; to call costs you {owed}."),
    ("From across the table comes a {verb}{talk}.", " Pot: {pot}. You owe: {owed}."),
)
"""How a seat is told of the other's move, and of what it then owes."""
_TOLD = re.compile(r"(?:Your opponent chose|The other player plays|From across the table comes a) (\w+)")
SOLVED = Path(__file__).parents[1] / "games"
"""Where equilibria lie, `<game>.json`, written by `tools/equilibria.py`; sound off their own path too."""


def deal(deck: Sequence[str], *holders: str) -> Callable[[random.Random], dict[str, str]]:
    """One card of a shuffled deck for each holder. A holder that is no seat is a place on the table, face down."""
    return lambda rng: dict(zip(holders, rng.sample(deck, len(holders)), strict=True))


def strength(card: str, board: str = "") -> int:
    """Higher is better: a pair with the board before all else, then the rank; suits do not count."""
    return RANKS.index(card[0]) + len(RANKS) * (card[0] == board[:1])


def situation(card: str, board: str, line: Iterable[str]) -> str:
    """Names what a seat knows, suits left out: `Q check bet`, `QK check check`."""
    return " ".join((card[0] + board[:1], *line))


@functools.cache
def equilibrium(game: str) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """By situation and move: how likely an equilibrium makes it, and what it gives away against one, in chips."""
    path = SOLVED / f"{game}.json"
    return json.loads(path.read_text()) if path.exists() else {}  # type: ignore[no-any-return]


@dataclass
class Hand:
    """A hand as it is being played."""

    cards: Mapping[str, str]
    """By holder."""
    chips: dict[str, int]
    """What each seat has put in."""
    regret: dict[str, float]
    """What each seat's moves gave away against an equilibrium."""
    board: str = ""
    """The card on the table once it lies open."""
    line: list[str] = field(default_factory=list)
    folded: str = ""
    """The seat that has folded."""


class Poker(ScriptedEnv):
    """Two seats with a hidden card each."""

    seats: tuple[str, ...] = ("player_0", "player_1")
    zero_sum: ClassVar[bool] = True

    def hand(self, cards: Mapping[str, str]) -> Hand:
        """A hand after the ante."""
        return Hand(cards, dict.fromkeys(self.seats, 1), dict.fromkeys(self.seats, 0.0))

    def betting(self, hand: Hand, size: int, most: int, saying: tuple[str, str] = SAYINGS[0]) -> Script:
        """A round of at most `most` bets of `size` chips. The first seat opens; a call, a fold or two checks end it."""
        seat, other = self.seats
        solved = equilibrium(self.name())
        bets = 0
        while True:
            owes = hand.chips[other] > hand.chips[seat]
            moves = ("call", "fold", *["raise"] * (bets < most)) if owes else ("check", "bet")
            verb = (move := (yield self.turn(seat, *moves, default="fold" if owes else "check"))).verb
            if solved:
                hand.regret[seat] += solved[situation(hand.cards[seat], hand.board, hand.line)][verb][1]
            hand.line.append(verb)
            if verb in ("bet", "raise"):
                bets += 1
                hand.chips[seat] = hand.chips[other] + size
            elif verb == "call":
                hand.chips[seat] = hand.chips[other]
            elif verb == "fold":
                hand.folded = seat
            talk = f' and says: "{move.said(1000)}"' if self.level and move.speech else ""
            owed = hand.chips[seat] - hand.chips[other]
            text = saying[0] + saying[1] if owed > 0 else saying[0]
            self.tell(text.format(verb=verb, talk=talk, pot=sum(hand.chips.values()), owed=owed), to=other)
            if verb in ("call", "fold") or (verb == "check" and seat == self.seats[1]):
                return
            seat, other = other, seat

    def finish(self, hand: Hand) -> None:
        """Show the cards if nobody has folded, pay the winner what the other seat has put in, and report."""
        first, second = self.seats
        if hand.folded:
            lead = -1 if hand.folded == first else 1
        else:
            cards, board = hand.cards, hand.board
            self.reveal(f"Showdown: {first} holds {cards[first]}, {second} holds {cards[second]}.")
            lead = strength(cards[first], board) - strength(cards[second], board)
        stake = min(hand.chips.values())
        won = stake if lead > 0 else -stake if lead else 0
        self.reward({first: won, second: -won})
        self.outcome(
            cards=dict(hand.cards),
            line=hand.line,
            pot=2 * stake,
            winner=(first if lead > 0 else second) if lead else None,
            regret={s: round(lost, 4) for s, lost in hand.regret.items()},
        )


# -- for players -----------------------------------------------------------------------------------------------------


def line_so_far(view: Sequence[tuple[str, str]]) -> list[str]:
    """All moves of the hand, as a seat can tell: its own were said, the other's told."""
    line: list[str] = []
    for (who, text), (_, after) in zip(view, [*view[1:], ("", "")], strict=True):
        if who == "told" and (found := _TOLD.match(text)):
            line.append(found[1])
        elif who == "said" and not after.startswith("That is not a legal move"):
            move = grammar(VERBS).parse(clean(text, 4000))
            line.append(move.verb if move and move.verb else "check")  # a defaulted fold would have ended the hand
    return line


def play_equilibrium(request: Request, card: str, board: str = "") -> str:
    """A move drawn as an equilibrium draws it."""
    known = equilibrium(request.env.name())[situation(card, board, line_so_far(request.view))]
    verb = request.rng.choices(list(known), [likely for likely, _ in known.values()])[0]
    return f"[{verb}]"
