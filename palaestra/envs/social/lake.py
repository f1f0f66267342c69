"""A lake that five fish: how it grows and is shared out, the best joint plan, and how all is told and read."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

N = 5  # fishers
OPENINGS = (
    "You are {seat}. The lake holds at most {capacity}.",
    "You are {seat}, one of five fishers at a lake that can feed {capacity} fish.",
    "Your name is {seat}. Five of you fish here; the lake has room for {capacity} fish.",
)


def draw_lake(rng: random.Random, level: int, split: str) -> tuple[int, int]:
    """(capacity, fish at the start)."""
    capacity = 100 if level else rng.randrange(16, 25)
    half = capacity // 2
    return capacity, rng.randrange(capacity // 5, half) if split == "ood" else rng.randint(half, capacity)


# -- the fish ----------------------------------------------------------------------------------------------------


def grow(rest: int, capacity: int, factor: float = 2.0) -> int:
    """The fish of the next round: below a twentieth of the capacity they are gone."""
    return 0 if rest * 20 < capacity else min(capacity, int(rest * factor))


def share_out(wanted: Sequence[int], stock: int, first: int = 0) -> list[int]:
    """What each gets: all that is wanted, or the stock in proportion, in whole fish.

    Fish left over by rounding go to the largest remainders; equal ones by order, beginning with `first`.
    """
    total = sum(wanted)
    if total <= stock:
        return list(wanted)
    got = [w * stock // total for w in wanted]
    order = sorted(range(len(wanted)), key=lambda i: (-(wanted[i] * stock % total), (i - first) % len(wanted)))
    for i in order[: stock - sum(got)]:
        got[i] += 1
    return got


def fair_share(stock: int) -> int:
    """A fifth of what grows again (half of the fish), rounded up; who takes more over-uses the lake."""
    return -(-stock // (2 * N))


@functools.lru_cache(256)
def plan(capacity: int, rounds: int, most: int) -> list[list[tuple[int, int]]]:
    """The best joint plan: `plan(...)[r][s]` = (fish still to be had, fish to take now), r rounds left, stock s.

    `most` is the largest sum that can be taken in a round. Growth by two; of equal plans the one that takes less now.
    """
    table = [[(0, 0)] * (capacity + 1)]
    for left in range(1, rounds + 1):
        before = table[left - 1]
        row = []
        for stock in range(capacity + 1):
            options = ((take + before[grow(stock - take, capacity)][0], take) for take in range(min(stock, most) + 1))
            row.append(max(options, key=lambda o: (o[0], -o[1])))
        table.append(row)
    return table


# -- what a seat sees --------------------------------------------------------------------------------------------


def now(stock: int, turn: int) -> str:
    """How a round begins."""
    return f"Round {turn}: {stock} fish." if stock else "The fish are gone."


class Seen(NamedTuple):
    """The lake, as a seat was told that is to take fish."""

    capacity: int
    rounds: int
    turn: int
    stock: int
    takes: list[tuple[int, list[int]]]
    """For each round before: the fish that there were, and what all seats took of them, where that is told."""

    def planned(self, most: int) -> int:
        """What the best joint plan takes now in all, if no seat can take more than `most`."""
        left = self.rounds - self.turn + 1
        return plan(self.capacity, left, most * N)[left][self.stock][1]

    def part(self, total: int, seat: int) -> int:
        """A seat's part, by its place, of a joint take; odd fish go round by turns."""
        return total // N + ((seat - self.turn) % N < total % N)


def look(heard: Sequence[str]) -> Seen:
    """What a seat sees that has heard this."""
    opening = re.search(r"(?:at most|feed|room for) (\d+).* There are (\d+) rounds", heard[0])
    rounds = [found for text in heard if (found := re.search(r"Round (\d+): (\d+) fish\.\Z", text))]
    named = [re.findall(r"fisher_\d (\d+)", text) for text in heard if re.match(r"You got \d+\. All got \d+\.", text)]
    assert opening is not None
    takes = [(int(r[2]), list(map(int, all_))) for r, all_ in zip(rounds, named, strict=False)]
    return Seen(int(opening[1]), int(opening[2]), int(rounds[-1][1]), int(rounds[-1][2]), takes)
