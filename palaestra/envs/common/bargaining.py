"""Bargaining: seats make and answer offers in turn, until all agree or one walks away."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from palaestra.envs.grammar import Move
from palaestra.envs.script import Request, Script, ScriptedEnv


class Bargain(NamedTuple):
    """How a bargain went."""

    moves: list[tuple[str, Move]]
    """Who did what, in order."""
    deal: bool

    @property
    def offers(self) -> list[tuple[str, Move]]:
        return [(seat, move) for seat, move in self.moves if move.verb not in ("accept", "walk")]

    @property
    def last(self) -> str:
        """The seat that ended it."""
        return self.moves[-1][0]


class Bargaining(ScriptedEnv):
    """Parameters and controls that bargaining environments share, and the protocol of alternating offers.

    Source: A. Rubinstein, Perfect equilibrium in a bargaining model (1982), with a last round and no discount.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test", "ood")
    controls: ClassVar[tuple[str, ...]] = ("joint", "silent", "swap")

    rounds: int = 0
    """Offers that may be made; 0: the level's own."""
    joint: bool = False
    """Control: all are paid the mean of the rewards."""
    silent: bool = False
    """Control: speech is not passed on."""
    swap: bool = False
    """Control: the next seat begins."""

    def order(self, rng: random.Random) -> tuple[str, ...]:
        """The seats in the order in which they act; who begins is drawn."""
        first = (rng.randrange(len(self.seats)) + self.swap) % len(self.seats)
        return self.seats[first:] + self.seats[:first]

    def bargain(self, order: Sequence[str], rounds: int, offer: str, told: Callable[[str, Move, str], str]) -> Script:
        """Round after round each seat makes an offer, accepts the last one, or walks; returns a `Bargain`.

        It ends with a deal when all others have accepted the last offer, and without one when a seat walks.

        Args:
            offer: the command of an offer.
            told: (seat, its offer, hearer) -> how the hearer is told. What is left of the rounds, and what the seat
                said beside the move, are added.
        """
        moves: list[tuple[str, Move]] = []
        made = agreed = 0
        for seat in itertools.cycle(order):
            open_to = [offer] * (made < rounds) + ["accept"] * (made > 0) + ["walk"]
            move = yield self.turn(seat, *open_to, default="walk")
            moves.append((seat, move))
            accepts = move.verb == "accept"
            agreed = agreed + 1 if accepts else 1
            if move.verb == "walk" or agreed == len(order):
                return Bargain(moves, accepts)
            made += not accepts
            for other in order:
                if other != seat:
                    line = f"{seat} accepts." if accepts else told(seat, move, other)
                    self.tell(f"{line} {offers_left(rounds - made)}{self.talk(move)}", to=other)

    def talk(self, move: Move) -> str:
        """What was said beside a move, as an addition to a message; empty where nothing is passed on."""
        speech = "" if self.silent else move.said(1000)
        return f' They say: "{speech}"' if speech else ""

    def pay(self, gains: Mapping[str, float]) -> None:
        """To each its own gain; under `joint` the mean."""
        self.reward(dict.fromkeys(gains, sum(gains.values()) / len(gains)) if self.joint else gains)


def offers_left(n: int) -> str:
    return f"{n} offer{'' if n == 1 else 's'} left."


def read_left(request: Request) -> int:
    """How many offers may still be made, as the seat was last told."""
    return [int(found[1]) for text in request.heard if (found := re.search(r"(\d+) offers? left\.", text))][-1]
