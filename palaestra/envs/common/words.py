"""Words that instances are made of. Each pool has usual words and others for `split="ood"`; they share none."""

from __future__ import annotations

from typing import NamedTuple


class Pools(NamedTuple):
    """One word each, in lower case but for names; no word stands in two pools."""

    objects: tuple[str, ...]
    people: tuple[str, ...]
    colors: tuple[str, ...]
    towns: tuple[str, ...]
    goods: tuple[str, ...]


USUAL = Pools(
    ("lamp", "coin", "book", "cup", "ring", "drum", "kite", "boat"),
    ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo"),
    ("red", "blue", "green", "black", "white", "brown"),
    ("Arlen", "Brack", "Corvo", "Dunmore", "Esker", "Fallow", "Gorse", "Hythe"),
    ("salt", "silk", "wool", "tin", "honey", "timber", "glass", "pepper"),
)
OOD = Pools(
    ("comb", "harp", "clock", "spoon", "glove", "mask"),
    ("Iris", "Jon", "Kemi", "Lars", "Mina", "Omar"),
    ("gray", "pink", "gold", "violet"),
    ("Ivel", "Jarrow", "Kelso", "Lorne", "Marl", "Nairn"),
    ("copper", "cheese", "paper", "tea", "ink", "amber"),
)


def pools(split: str) -> Pools:
    """The words of a split."""
    return OOD if split == "ood" else USUAL
