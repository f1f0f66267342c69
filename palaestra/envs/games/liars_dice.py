"""Liar's dice: hidden dice, rising bids about all of them, and doubt.

| fact | value |
|---|---|
| seats | `player_0` to `player_4`: the first 2 at level 0, 3 at level 1, all 5 at level 2 |
| turns | one seat at a time, up to one for every bid there is and a doubt, a round |
| hidden | the dice of the others, until a bid is doubted |
| reward | 1 for the last seat that has dice, -1/(N - 1) for each other of N seats; zero-sum |
| gold outcome | winner, rounds, bids, bluffs and false bids, doubts and how many were right |
| theory | two seats with a die each: solved exactly; the second seat is ahead by 0.0271 |
| controls | `silent`: speech is not passed on |
| source | after the folk game (Perudo, Dudo) as OpenSpiel plays it, arXiv 1908.09453 |

Rules: every seat rolls its dice in secret. In turn a seat bids, `[bid 2 5]` (among all dice at least two count for 5),
more dice than the last bid or as many of a higher face, or doubts the last bid, `[liar]`. Then all dice are shown; the
highest face counts for every face. If the bid was true, who doubted loses a die, else who bid it. A seat without dice
is out; the loser, or the seat after it, begins the next round. The last seat with dice wins. A malformed move doubts,
or makes the lowest bid.

Level 0: two seats, a die each, so one round. Level 1: three seats, two dice each; who begins is drawn, sentences of
several wordings, and the seats hear what is said beside a bid. Level 2: five seats, five dice each. Parameters:
`seated`, `dice` (0: the level's own), `faces`. One split: the rolls are the game.

Players: `random`, `greedy` (bids what is likeliest from its own dice, doubts what is less likely than not), `oracle`
(sees all dice), `bluffer` (bids the least it can, and doubts only when nothing is left to bid).
"""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError

Bid = tuple[int, int]
"""(number of dice, face)."""
ROLLS = (
    "Your dice: {dice}.",
    "You look under your cup: {dice}.",
    "You have rolled {dice}.",
    "Under your hand lie {dice}.",
)
BIDS = (
    "{seat} bids {n} {face}",
    "{seat} bids that at least {n} dice count for {face}",
    "{seat} claims no fewer than {n} times {face}",
    "{seat} raises to {n} dice of {face}",
)
_BID = re.compile(r"player_\d+ (?:bids|claims|raises)\D*(\d+)\D*(\d+)")


def roll(rng: random.Random, count: int, faces: int) -> list[int]:
    return sorted(rng.randint(1, faces) for _ in range(count))


def counting(dice: Iterable[int], face: int, faces: int) -> int:
    """How many dice count for a face: those that show it, and those that show the highest."""
    return sum(d in (face, faces) for d in dice)


def higher(bid: Bid | None, total: int, faces: int) -> list[Bid]:
    """The bids that may follow, in order."""
    return [(n, f) for n in range(1, total + 1) for f in range(1, faces + 1) if bid is None or (n, f) > bid]


def commands(bid: Bid | None, total: int, faces: int) -> list[str]:
    """The same as a few commands, and doubt where there is a bid."""
    if bid is None:
        return [f"bid 1..{total} 1..{faces}"]
    n, f = bid
    same = [f"bid {n} {f + 1}..{faces}"] if f < faces else []
    more = [f"bid {n + 1}..{total} 1..{faces}"] if n < total else []
    return [*same, *more, "liar"]


class LiarsDice(ScriptedEnv):
    """Bids about hidden dice."""

    env_id = "liars_dice"
    levels = (0, 1, 2)
    controls = ("silent",)
    rules = (
        "Everyone rolls dice in secret. In turn you bid how many of all dice count at least for a face: more than the "
        "last bid, or as many of a higher face. Or you call the last bidder a liar. The highest face counts for every "
        "face. If the bid was true the doubter loses a die, else the bidder. The last one with dice wins."
    )
    reward_range = (-1.0, 1.0)
    zero_sum = True

    seated: int = 0
    dice: int = 0
    faces: int = 6
    silent: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"player_{n}" for n in range(self.seated or (2, 3, 5)[self.level]))

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        for name, low, high in (("seated", 2, 9), ("dice", 1, 9), ("faces", 2, 9)):
            if (value := self.params[name]) and not low <= value <= high:
                raise EnvError(f"liars_dice: {name} = {value!r}\n  it is a number from {low} to {high}")

    def script(self, rng: random.Random) -> Script:
        left = dict.fromkeys(self.seats, self.dice or (1, 2, 5)[self.level])
        seat = self.seats[rng.randrange(len(self.seats)) if self.level else 0]
        wording = rng.randrange(1, len(ROLLS)) if self.level else 0
        bids: list[Made] = []
        doubts: list[tuple[str, bool]] = []
        while len(self.living) > 1:
            hands = self._roll(left, len(doubts) + 1, wording)
            thrown = [d for dice in hands.values() for d in dice]
            bid: Bid | None = None
            while True:
                allowed = commands(bid, len(thrown), self.faces)
                move = yield self.turn(seat, *allowed, default="liar" if bid else "bid 1 1")
                if move.verb == "liar":
                    break
                bid, bidder = (int(move.args[0]), int(move.args[1])), seat
                count = counting(thrown, bid[1], self.faces)
                bids.append(Made(seat, count < bid[0], not counting(hands[seat], bid[1], self.faces)))
                talk = f' and says: "{move.said()}"' if self.level and not self.silent and move.speech else ""
                others = [s for s in self.living if s != seat]
                self.tell(f"{BIDS[wording].format(seat=seat, n=bid[0], face=bid[1])}{talk}.", to=others)
                seat = self._next(seat)

            assert bid is not None
            right = counting(thrown, bid[1], self.faces) < bid[0]
            doubts.append((seat, right))
            loser = bidder if right else seat
            shown = ", ".join(f"{s} {' '.join(map(str, dice))}" for s, dice in hands.items())
            verdict = f"The bid {bid[0]} {bid[1]} is {'false' if right else 'true'}: {loser} loses a die"
            self.reveal(f"{seat} calls {bidder} a liar. Dice: {shown}. {verdict}.")
            left[loser] -= 1
            seat = loser if left[loser] else self._next(loser)
            if not left[loser]:
                self.reward({loser: -1 / (len(self.seats) - 1)})
                self.eliminate(loser)

        (winner,) = self.living
        self.reward({winner: 1})
        self.outcome(
            winner=winner,
            rounds=len(doubts),
            bids={s: sum(b.seat == s for b in bids) for s in self.seats},
            bluffs={s: share(b.bluff for b in bids if b.seat == s) for s in self.seats},
            false_bids={s: share(b.false for b in bids if b.seat == s) for s in self.seats},
            doubts={s: sum(d == s for d, _ in doubts) for s in self.seats},
            doubts_right={s: share(right for d, right in doubts if d == s) for s in self.seats},
        )

    def _roll(self, left: Mapping[str, int], number: int, wording: int) -> dict[str, list[int]]:
        """Every living seat rolls, and is told its dice and how many there are."""
        hands: dict[str, list[int]] = {}
        for seat in self.living:
            throw = functools.partial(roll, count=left[seat], faces=self.faces)
            hands[seat] = self.secret(seat, f"dice {number}", throw)
            text = ROLLS[wording].format(dice=" ".join(map(str, hands[seat])))
            begins = f"You are {seat}. " if number == 1 else f"Round {number}. "
            counts = ", ".join(f"{s} {left[s]}" for s in self.living)
            self.tell(begins + text + (f" Dice left: {counts}." if sum(left.values()) > 2 else ""), to=seat)
        return hands

    def _next(self, seat: str) -> str:
        """The living seat after one."""
        order = self.seats[self.seats.index(seat) + 1 :] + self.seats
        return next(s for s in order if s in self.living)


class Made(NamedTuple):
    """A bid in hindsight."""

    seat: str
    false: bool
    """It was more than there were."""
    bluff: bool
    """The bidder had no die that counts for it."""


def share(cases: Iterable[bool]) -> float | None:
    """How many of the cases hold; None where there is none."""
    found = list(cases)
    return fmean(found) if found else None


# -- players -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    dice: list[int]
    total: int
    bid: Bid | None
    """The one that stands."""


def _seen(request: Request) -> Seen:
    heard = request.heard
    start = max(n for n, text in enumerate(heard) if re.match(r"You are|Round \d", text))
    roll, *since = heard[start:]
    dice, _, counts = roll.partition(". ")[2].partition(" Dice left:")
    left = [int(n) for n in re.findall(r"player_\d+ (\d+)", counts)]
    last = [found for text in since if (found := _BID.match(text))][-1:]
    bid = (int(last[0][1]), int(last[0][2])) if last else None
    return Seen([int(d) for d in re.findall(r"\d+", dice)], sum(left) or 2, bid)


def _say(bid: Bid | None) -> str:
    return f"[bid {bid[0]} {bid[1]}]" if bid else "[liar]"


def likely(seen: Seen, bid: Bid, faces: int) -> float:
    """How likely a bid is true, from one's own dice alone."""
    others, need = seen.total - len(seen.dice), bid[0] - counting(seen.dice, bid[1], faces)
    p = (1 if bid[1] == faces else 2) / faces
    return sum(math.comb(others, k) * p**k * (1 - p) ** (others - k) for k in range(max(0, need), others + 1))


def _greedy(request: Request) -> str:
    seen, faces = _seen(request), request.env.params["faces"]
    options = higher(seen.bid, seen.total, faces)
    best = max(options, key=lambda bid: likely(seen, bid, faces), default=None)
    if seen.bid and (best is None or 1 - likely(seen, seen.bid, faces) >= likely(seen, best, faces)):
        return "[liar]"
    return _say(best)


def _oracle(request: Request) -> str:
    """Doubts what is false; bids as high as is true, and one higher where nothing else is left."""
    seen, faces, facts = _seen(request), request.env.params["faces"], request.facts
    latest = max(int(name.split("@")[0].split()[1]) for name in facts)
    hands = [part for name, part in facts.items() if name.startswith(f"dice {latest}@")]
    thrown = [d for part in hands for dice in part.values() for d in dice]
    true = [bid for bid in higher(None, seen.total, faces) if counting(thrown, bid[1], faces) >= bid[0]]
    if seen.bid and seen.bid not in true:
        return "[liar]"
    options = higher(seen.bid, seen.total, faces)
    return _say(max((b for b in options if b in true), default=options[0] if options else None))


def _bluffer(request: Request) -> str:
    seen = _seen(request)
    return _say(next(iter(higher(seen.bid, seen.total, request.env.params["faces"])), None))


LiarsDice.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "bluffer": _bluffer}
