"""Everyday words and what is commonly said of them: what riddles, hints and descriptions are made of.

Words of a kind share some of their features, so a feature alone seldom names its word. No feature is a word itself, in
any form, so whoever gives hints by features never says the word. "ood" has kinds of its own.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping

Kind = Mapping[str, tuple[str, ...]]
"""word -> its features."""


def _kind(text: str) -> dict[str, tuple[str, ...]]:
    rows = (line.split() for line in text.strip().splitlines())
    return {word: tuple(features) for word, *features in rows}


USUAL: dict[str, Kind] = {
    "animal": _kind(
        """
        cat pet soft hunts purrs whiskers
        dog pet loyal hunts barks leash
        sheep farm soft grass flock curly
        cow farm large grass milked horned
        horse farm large fast loyal saddle
        tiger large fast hunts striped whiskers
        """
    ),
    "drink": _kind(
        """
        tea hot cup leaves morning calm
        coffee hot cup beans morning bitter
        cocoa hot cup beans sweet winter
        juice cold glass squeezed morning sweet
        wine cold glass cellar evening bitter
        cider cold glass foam evening bitter
        """
    ),
    "instrument": _kind(
        """
        piano keys large concert grand black
        organ keys large pipes church loud
        violin strings small concert bow wooden
        guitar strings small campfire wooden chords
        flute breath small concert silver soft
        trumpet breath parade brass silver loud
        drum sticks parade beat loud wooden
        """
    ),
    "vehicle": _kind(
        """
        bus wheels road tickets crowded driver
        train wheels rails tickets crowded fast
        car wheels road motor driver garage
        bicycle wheels road pedals bell slow
        ferry water tickets crowded motor harbor
        canoe water paddle slow river wooden
        """
    ),
    "sport": _kind(
        """
        tennis ball racket net court sets
        football ball team goal grass boots
        hockey puck team goal ice stick
        golf ball holes grass stick walking
        skiing snow poles fast mountain boots
        skating ice fast winter blades turns
        """
    ),
    "fruit": _kind(
        """
        apple tree round crisp red pie
        pear tree green soft sweet autumn
        cherry tree round red stone sweet
        grape vine round bunch sweet autumn
        lemon tree yellow sour peel kitchen
        banana yellow bunch soft sweet peel
        """
    ),
    "garment": _kind(
        """
        coat winter warm buttons sleeves outdoors
        shirt buttons sleeves collar summer office
        scarf winter warm woolen neck long
        glove winter warm fingers pair leather
        shoe pair leather laces feet outdoors
        sock pair woolen feet warm indoors
        """
    ),
    "furniture": _kind(
        """
        chair legs wooden sit kitchen single
        sofa sit soft cushions guests wide
        bed soft pillow sleep night wide
        table legs wooden kitchen dinner flat
        lamp light night switch desk single
        candle light night flame wax dinner
        """
    ),
}
OOD: dict[str, Kind] = {
    "tool": _kind(
        """
        hammer handle heavy nails noisy iron
        axe handle heavy sharp forest iron
        knife handle sharp cutting drawer steel
        spade handle digging garden soil iron
        scissors sharp cutting drawer blades steel
        rake handle garden leaf teeth autumn
        """
    ),
    "building": _kind(
        """
        tower high stairs view bells stone
        castle high walls moat king stone
        temple pillars quiet prayer old stone
        school children lessons breaks desks bells
        library quiet shelves lessons old desks
        barn hay straw wooden village wide
        """
    ),
    "insect": _kind(
        """
        bee wings sting hive honey busy
        wasp wings sting nest summer angry
        ant tiny busy nest queen trail
        spider eight web patient silk corner
        moth wings silk night dusty lantern
        beetle shell tiny crawls shiny dusty
        """
    ),
}


def kinds(split: str) -> dict[str, Kind]:
    """The kinds of a split."""
    return OOD if split == "ood" else USUAL


@functools.cache
def features(word: str) -> tuple[str, ...]:
    """What is commonly said of a word; nothing of a word that is not here."""
    return next((kind[word] for kind in (*USUAL.values(), *OOD.values()) if word in kind), ())


def shared(one: str, other: str) -> int:
    """How many features two words have in common."""
    return len(set(features(one)) & set(features(other)))


@functools.cache
def siblings(split: str, least: int, most: int) -> tuple[tuple[str, str], ...]:
    """Pairs of words of one kind that share `least` to `most` features."""
    pairs = (pair for kind in kinds(split).values() for pair in itertools.combinations(kind, 2))
    return tuple(pair for pair in pairs if least <= shared(*pair) <= most)


def fitting(heard: str, kind: str = "") -> dict[str, int]:
    """For every word, or those of one kind, with any: how many of its features stand in a text."""
    found = set(re.findall(r"[a-z]+", heard.lower()))
    chosen = [words for name, words in (*USUAL.items(), *OOD.items()) if kind in ("", name)]
    counts = {word: len(found & set(said)) for words in chosen for word, said in words.items()}
    return {word: n for word, n in counts.items() if n}
