"""Words that instances are made of. Each pool has usual words and others for `split="ood"`; they share none."""

from __future__ import annotations

import functools
import random
from typing import NamedTuple


class Pools(NamedTuple):
    """One word each, in lower case but for names; no word stands in two pools."""

    objects: tuple[str, ...]
    people: tuple[str, ...]
    colors: tuple[str, ...]
    towns: tuple[str, ...]
    goods: tuple[str, ...]
    days: tuple[str, ...]
    hours: tuple[str, ...]
    counts: tuple[str, ...]
    chores: tuple[str, ...]
    trades: tuple[str, ...]
    virtues: tuple[str, ...]
    foods: tuple[str, ...]


USUAL = Pools(
    ("lamp", "coin", "book", "cup", "ring", "drum", "kite", "boat"),
    ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo"),
    ("red", "blue", "green", "black", "white", "brown"),
    ("Arlen", "Brack", "Corvo", "Dunmore", "Esker", "Fallow", "Gorse", "Hythe"),
    ("salt", "silk", "wool", "tin", "honey", "timber", "glass", "pepper"),
    ("monday", "tuesday", "wednesday", "thursday"),
    ("dawn", "noon", "dusk", "midnight"),
    ("two", "three", "four", "five", "six"),
    ("check", "pack", "order", "sign", "weigh", "seal", "wash", "print"),
    ("cook", "guard", "maid", "groom", "gardener", "miller", "nurse", "clerk"),
    tuple(
        (
            "calm wise bold neat loyal witty polite honest brave tidy clever gentle patient modest thrifty cheerful "
            "punctual generous lively reliable"
        ).split()
    ),
    ("apple", "egg", "potato", "tomato", "onion", "carrot", "fish", "melon"),
)
OOD = Pools(
    ("comb", "harp", "clock", "spoon", "glove", "mask"),
    ("Iris", "Jon", "Kemi", "Lars", "Mina", "Omar"),
    ("gray", "pink", "gold", "violet"),
    ("Ivel", "Jarrow", "Kelso", "Lorne", "Marl", "Nairn"),
    ("copper", "cheese", "paper", "tea", "ink", "amber"),
    ("friday", "saturday", "sunday"),
    ("morning", "lunchtime", "evening"),
    ("seven", "eight", "nine", "ten"),
    ("file", "load", "stamp", "wrap", "sort", "lock", "paint", "mend"),
    ("tailor", "cooper", "piper", "baker", "mason", "weaver"),
    tuple(
        (
            "adept agile amiable candid charming civil cordial daring diligent earnest eloquent faithful flexible "
            "friendly graceful helpful inventive merry noble prudent"
        ).split()
    ),
    ("pear", "leek", "beet", "corn", "plum", "mushroom"),
)


def pools(split: str) -> Pools:
    """The words of a split."""
    return OOD if split == "ood" else USUAL


def made_up(rng: random.Random, count: int, split: str, few: int = 0) -> list[str]:
    """Distinct words that mean nothing (`bodak`, `luzex`); those of "ood" share no syllable with the others.

    `few`: about so many words in all, always the same, which a small model can learn to tell apart.
    """
    words = _meaningless(*("nprtv", "gbw") if split == "ood" else ("bdlmz", "kxf"))
    return rng.sample(words[:: len(words) // few + 1] if few else words, count)


@functools.cache
def _meaningless(onsets: str, codas: str) -> list[str]:
    syllables = [onset + vowel for onset in onsets for vowel in "aeiou"]
    return [first + second + coda for first in syllables for second in syllables for coda in codas]
