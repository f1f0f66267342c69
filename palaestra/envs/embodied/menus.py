"""Menus: what is on the shelves and what is ordered; and a kitchen in words, which are also those of chores at home."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.common.words import made_up, pools
from palaestra.envs.embodied.cooking import Order, Work


class Size(NamedTuple):
    """What a level is like."""

    turns: int
    shelves: int
    orders: int
    foods: tuple[int, int]
    """The fewest and the most in a dish."""
    stove: bool = False


SIZES = (Size(16, 3, 1, (1, 2)), Size(30, 5, 2, (2, 2)), Size(45, 6, 2, (3, 3), stove=True))
"""By level."""


class Menu(NamedTuple):
    """What an episode is about."""

    shelves: tuple[str, ...]
    book: tuple[tuple[str, Order], ...]
    """Names of dishes, and what they are made of; empty where orders say it outright."""
    orders: tuple[Order, ...]


def draw(rng: random.Random, level: int, split: str) -> Menu:
    """Shelves, and dishes of what is on them; from level 1 on dishes have names, and one more than is ordered."""
    size = SIZES[level]
    shelves = rng.sample(pools(split).foods, size.shelves)
    ways = ("chopped", "cooked") if size.stove else ("chopped",)
    dishes: list[Order] = []
    while len(dishes) < size.orders + (level > 0):
        foods = rng.sample(shelves, rng.randint(*size.foods))
        dish = tuple(f"{rng.choice(ways)} {food}" for food in sorted(foods))
        dishes += [dish] if dish not in dishes else []
    names = made_up(rng, len(dishes), split) if level else []
    return Menu(tuple(shelves), tuple(zip(names, dishes, strict=False)), tuple(rng.sample(dishes, size.orders)))


# -- in words ----------------------------------------------------------------------------------------------------

HOME = {
    "get": "fetch", "chop": "wash", "chopped": "washed", "cook": "heat", "cooked": "warm", "fetch": "unload",
    "plate": "set", "serve": "bring", "bin": "drop", "dish": "tray", "board": "basin", "stove": "hearth", "pot": "oven",
    "Cookbook": "Habits", "Order": "Wish", "Shelves": "Cupboards", "Plate": "Tray", "Pot": "Oven", "Cooks": "Helpers",
}  # fmt: skip
"""The words of the kitchen, and those of the same work as a chore at home."""
BACK = {home: word for word, home in HOME.items()}


def reword(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\b[A-Za-z]+\b", lambda found: words.get(found[0], found[0]), text) if words else text


def opening(menu: Menu) -> str:
    """`Cookbook: bodak is chopped egg, cooked fish. Shelves: egg, fish, melon.`"""
    shelves = f"Shelves: {', '.join(menu.shelves)}."
    if not menu.book:
        return f"Order: {' and '.join(menu.orders[0])}. {shelves}"
    book = "; ".join(f"{name} is {', '.join(dish)}" for name, dish in menu.book)
    return f"Cookbook: {book}. {shelves}"


def seen(work: Work, menu: Menu, seats: Sequence[str], cook: int) -> str:
    """`Order 1 of 2: bodak. You hold chopped egg. cook_1 holds nothing. Plate: chopped fish.`"""
    names = [name for order in menu.orders for name, dish in menu.book if dish == order]
    lines = [f"Order {work.served + 1} of {len(names)}: {names[work.served]}."] if names else []
    lines.append(f"You hold {work.hands[cook] or 'nothing'}.")
    lines += [f"{s} holds {work.hands[n] or 'nothing'}." for n, s in enumerate(seats) if n != cook]
    lines.append(f"Plate: {', '.join(work.plate) or 'nothing'}.")
    if work.pot:
        lines.append(f"Pot: {work.pot.split()[1]}, ready{f' in {work.heat}' if work.heat else ''}.")
    return " ".join(lines)


class Heard(NamedTuple):
    """What a cook can read off all that it has heard, in the words of the kitchen."""

    order: list[str]
    held: str
    laid: list[str]
    """What is on the plate."""
    pot: str
    """`egg, ready in 1`; empty: nothing is in it."""

    @classmethod
    def of(cls, heard: Sequence[str]) -> Heard:
        now = next(text for text in reversed(heard) if "You hold" in text)
        order = _after("Order:", heard[0]).split(" and ")
        if "Cookbook" in heard[0]:
            order = _after(f"{_after('Order . of .:', now)} is", heard[0]).split(", ")
        held, plate, pot = (_after(cue, now).replace("nothing", "") for cue in ("You hold", "Plate:", "Pot:"))
        return cls(order, held, plate.split(", ") if plate else [], pot)


def _after(cue: str, text: str) -> str:
    found = re.search(rf"{cue} ([^.;]*)", text)
    return found[1] if found else ""
