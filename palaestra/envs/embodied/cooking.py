"""What happens in a work: hands, a board, a pot, one plate, and the shortest way to serve a row of orders."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from palaestra.envs.common.search import Guide

COOKING = 2
"""Turns until what is put into the pot is cooked."""
STATION = {"chop": "board", "cook": "stove", "fetch": "stove", "plate": "dish", "serve": "dish"}
"""Where only one cook can work at a time."""
Order = tuple[str, ...]
"""What a dish is made of, as `chopped egg` or `cooked egg`."""


class Work(NamedTuple):
    """What is under way."""

    hands: tuple[str, ...]
    """What each cook holds: `egg`, `chopped egg`, `cooked egg`, or nothing."""
    plate: tuple[str, ...] = ()
    pot: str = ""
    heat: int = 0
    """Turns until what is in the pot is cooked."""
    served: int = 0
    """Orders served."""
    chops: tuple[str, ...] = ()
    """What was chopped and needed: once for each time that the orders name it."""

    def with_hand(self, cook: int, item: str) -> Work:
        return self._replace(hands=(*self.hands[:cook], item, *self.hands[cook + 1 :]))


def possible(work: Work, cook: int, shelves: tuple[str, ...], stove: bool) -> list[str]:
    """What a cook can do, were it alone."""
    held = work.hands[cook]
    if not held:
        moves = [f"get {food}" for food in shelves]
        moves += ["fetch"] * bool(work.pot and not work.heat) + ["serve"] * bool(work.plate)
    else:
        moves = ["chop"] * (" " not in held) + ["plate", "bin"]
        moves += ["cook"] * (stove and held.startswith("chopped") and not work.pot)
    return [*moves, "wait"]


def act(work: Work, cook: int, move: str, orders: tuple[Order, ...]) -> tuple[Work, dict[str, int]]:
    """One cook's move: what is under way then, and what is to be counted."""
    held = work.hands[cook]
    verb, _, food = move.partition(" ")
    empty = work.with_hand(cook, "")
    if verb == "get":
        return work.with_hand(cook, food), {}
    if verb == "chop":
        needed = sum(item.endswith(f" {held}") for order in orders for item in order)
        right = work.chops.count(held) < needed
        after = work.with_hand(cook, f"chopped {held}")
        return (after._replace(chops=tuple(sorted((*work.chops, held)))), {"chops": 1}) if right else (after, {})
    if verb == "cook":
        return empty._replace(pot=held.replace("chopped", "cooked"), heat=COOKING), {}
    if verb == "fetch":
        return work.with_hand(cook, work.pot)._replace(pot=""), {}
    if verb == "plate":
        return empty._replace(plate=tuple(sorted((*work.plate, held)))), {}
    if verb == "bin":
        return empty, {"wasted": 1}
    if verb == "serve":
        if work.plate == tuple(sorted(orders[work.served])):
            return work._replace(plate=(), served=work.served + 1), {"dishes": 1}
        return work._replace(plate=()), {"wrong": 1, "wasted": len(work.plate)}
    return work, {"idle": 1}


class Turn(NamedTuple):
    work: Work
    counts: Counter[str]
    blocked: list[int]
    """Cooks who found their station taken."""


def turn(work: Work, moves: Sequence[str], orders: tuple[Order, ...], first: int = 0) -> Turn:
    """All cooks at once; of those who want one station the first from `first` on gets it, and the others stand idle."""
    counts, taken, blocked = Counter[str](), set[str](), []
    for cook in (*range(first, len(moves)), *range(first)):
        station = STATION.get(moves[cook])
        if work.served == len(orders):
            break
        if station in taken:
            blocked.append(cook)
            counts.update(idle=1, blocked=1)
        else:
            work, counted = act(work, cook, moves[cook], orders)
            counts.update(counted)
        taken |= {station} if station else set()
    return Turn(work._replace(heat=max(0, work.heat - 1)), counts, blocked)


# -- the shortest way --------------------------------------------------------------------------------------------

_WORK = {"": 0, "raw": 1, "chopped": 2, "cooked": 4}
"""Moves that have gone into what a hand holds; putting it on the plate is one more."""


def _kind(item: str) -> str:
    return item.partition(" ")[0] if " " in item else "raw" if item else ""


@functools.lru_cache(256)
def plan(orders: tuple[Order, ...], shelves: tuple[str, ...], stove: bool) -> Guide[Work]:
    """The fewest turns to serve every order, all cooks together; each turn's moves are joined by `|`."""

    def steps(work: Work) -> Iterator[tuple[str, Work]]:
        useful = [_useful(work, cook, orders, shelves, stove) for cook in range(len(work.hands))]
        for moves in itertools.product(*useful):
            stations = [STATION[move] for move in moves if move in STATION]
            if len(stations) == len(set(stations)):
                yield "|".join(moves), turn(work, moves, orders).work

    def estimate(work: Work) -> int:
        todo = sum(1 + sum(_WORK[_kind(item)] + 1 for item in order) for order in orders[work.served :])
        made = [_WORK[_kind(item)] for item in work.hands] + [3 * (work.pot != "")]
        made += [_WORK[_kind(item)] + 1 for item in work.plate]
        left = max(0, todo - sum(made))
        alone = min(2, left)  # laying the last thing on the plate, and serving it: nobody can help
        return alone + math.ceil((left - alone) / len(work.hands))

    return Guide(steps, lambda work: work.served == len(orders), estimate=estimate)


def part(joint: Guide[Work], work: Work, cook: int) -> str:
    """A cook's move of the joint plan as long as all have kept to it, else of a plan of its own."""
    joint.way(Work(("",) * len(work.hands)))
    if joint.knows(work):
        return (joint.way(work) or [""])[0].split("|")[cook]
    return (joint.way(work._replace(hands=(work.hands[cook],))) or ["wait"])[0]


def _useful(work: Work, cook: int, orders: tuple[Order, ...], shelves: tuple[str, ...], stove: bool) -> list[str]:
    """The moves of a cook that can help; the next order is begun once all of this one is under way."""
    if work.served == len(orders):
        return ["wait"]
    order = orders[work.served]
    spoiled = not set(work.plate) <= set(order) or len(set(work.plate)) < len(work.plate)
    missing = [item for item in order if spoiled or item not in work.plate]
    about = [item.split()[-1] for item in (*work.hands, work.pot) if item]
    lacking = [food for item in missing if (food := item.split()[1]) not in about]
    if not lacking and work.served + 1 < len(orders):
        later = list(orders[work.served + 1])
        lacking = [food for item in later if (food := item.split()[1]) not in about]
    held = work.hands[cook]
    wanted = {
        "serve": spoiled or not missing,
        "fetch": True,
        "chop": any(item.endswith(f" {held}") for o in orders[work.served :] for item in o),
        "cook": held.replace("chopped", "cooked") in [item for o in orders[work.served :] for item in o],
        "plate": held in missing and not spoiled,
        "bin": spoiled or not any(item.split()[1] in held for item in missing),
        "wait": True,
    }
    return [move for move in possible(work, cook, shelves, stove) if wanted.get(move, move[4:] in lacking)]
