"""Hidden dice and bids about all of them: what counts, what may follow, how it is worded and read, how likely it is.

`Made` and `habits` look back at who bid and doubted what.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.envs.common.measures import share

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


def roll(count: int, faces: int) -> Callable[[random.Random], list[int]]:
    """A roll of so many dice, sorted."""
    return lambda rng: sorted(rng.randint(1, faces) for _ in range(count))


def rolled(seat: str, number: int, dice: Sequence[int], left: Mapping[str, int], wording: int) -> str:
    """How a seat is told what it has rolled in a round, and how many dice the seats have left."""
    begins = f"You are {seat}. " if number == 1 else f"Round {number}. "
    counts = ", ".join(f"{s} {n}" for s, n in left.items() if n)
    text = ROLLS[wording].format(dice=" ".join(map(str, dice)))
    return begins + text + (f" Dice left: {counts}." if sum(left.values()) > 2 else "")


def counting(dice: Iterable[int], face: int, faces: int) -> int:
    """How many dice count for a face: those that show it, and those that show the highest."""
    return sum(d in (face, faces) for d in dice)


def holding(dice: Sequence[int], faces: int) -> list[Bid]:
    """The bids that are true of the dice."""
    return [(n, f) for f in range(1, faces + 1) for n in range(1, counting(dice, f, faces) + 1)]


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


# -- hindsight ---------------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """A bid in hindsight."""

    seat: str
    bid: Bid
    false: bool
    """It was more than there were."""
    bluff: bool
    """The bidder had no die that counts for it."""


def habits(seats: Sequence[str], bids: Sequence[Made], doubts: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    """By seat: how many bids and doubts, and which share of them was a bluff, false, right. A doubt: who, and right."""
    return {
        "bids": {s: sum(b.seat == s for b in bids) for s in seats},
        "bluffs": {s: share(b.bluff for b in bids if b.seat == s) for s in seats},
        "false_bids": {s: share(b.false for b in bids if b.seat == s) for s in seats},
        "doubts": {s: sum(d == s for d, _ in doubts) for s in seats},
        "doubts_right": {s: share(right for d, right in doubts if d == s) for s in seats},
    }


# -- for players -------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    dice: list[int]
    total: int
    bid: Bid | None
    """The one that stands."""


def seen(heard: Sequence[str]) -> Seen:
    """The own dice, how many there are, and the last bid, from all that a seat was told."""
    start = max(n for n, text in enumerate(heard) if re.match(r"You are|Round \d", text))
    roll, *since = heard[start:]
    dice, _, counts = roll.partition(". ")[2].partition(" Dice left:")
    left = [int(n) for n in re.findall(r"player_\d+ (\d+)", counts)]
    last = [found for text in since if (found := _BID.match(text))][-1:]
    bid = (int(last[0][1]), int(last[0][2])) if last else None
    return Seen([int(d) for d in re.findall(r"\d+", dice)], sum(left) or 2, bid)


def likely(seen: Seen, bid: Bid, faces: int) -> float:
    """How likely a bid is true, from one's own dice alone."""
    others, need = seen.total - len(seen.dice), bid[0] - counting(seen.dice, bid[1], faces)
    p = (1 if bid[1] == faces else 2) / faces
    return sum(math.comb(others, k) * p**k * (1 - p) ** (others - k) for k in range(max(0, need), others + 1))
