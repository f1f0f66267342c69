"""Two words alike, one of them held by a single spy: how they are dealt and told, and what a seat makes of the talk."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from palaestra.envs.common.leaks import betrays
from palaestra.envs.common.lexicon import features, siblings
from palaestra.envs.common.measures import share
from palaestra.envs.common.texts import words as meaning
from palaestra.envs.common.votes import plurality
from palaestra.envs.script import Request


class Level(NamedTuple):
    seats: int
    rounds: int
    shared: tuple[int, int]
    """Features that the two words have in common, at least and at most."""


LEVELS = (Level(4, 1, (0, 1)), Level(5, 2, (0, 4)), Level(6, 3, (2, 4)))
OPENINGS = (
    "You are {seat}. Your word is {word}. One of you has another word. Describe yours without saying it.",
    "{seat}, your word: {word}. All have it but one, who may be you. Say something about it, never the word itself.",
    "Your seat is {seat} and your secret word {word}; somebody here holds a different one. Hint at yours.",
)


def opening(rng: random.Random, level: int) -> str:
    """How seats are told their word; at level 0 with its features."""
    text = rng.choice(OPENINGS)
    return text if level else "You are {seat}. Your word is {word}: {features}."


class Deals:
    """How words are dealt: to all the same but to one, the spy, a sibling of it."""

    def __init__(self, seats: Sequence[str], level: int, split: str) -> None:
        self.seats, self.listed = seats, level == 0
        self.pairs = siblings(split, *LEVELS[level].shared)

    def draw(self, rng: random.Random) -> dict[str, Any]:
        one, other = rng.sample(rng.choice(self.pairs), 2)
        return self._deal(one, other, rng.choice(self.seats))

    def redraw(self, rng: random.Random, observer: str, part: Mapping[str, Any]) -> dict[str, Any]:
        """Whoever holds a word may be the spy, and the other word any sibling (if listed: with the same features)."""
        pairs = [pair for pair in self.pairs if part["word"] in pair]
        deals = [
            self._deal(*pair, spy) for one, two in pairs for pair in ((one, two), (two, one)) for spy in self.seats
        ]
        return rng.choice([deal for deal in deals if deal[observer] == part])

    def _deal(self, word: str, spys: str, spy: str) -> dict[str, Any]:
        """What each seat holds; if listed, also all features of both words, the same for all."""
        listed = sorted({*features(word), *features(spys)}) if self.listed else []
        return {s: {"word": spys if s == spy else word, "listed": listed} for s in self.seats}


def pair_of(dealt: Mapping[str, Any]) -> str:
    """Both words, as the key of an instance."""
    return " ".join(sorted({part["word"] for part in dealt.values()}))


def spy_of(words: Mapping[str, str]) -> str:
    """The seat whose word nobody else has."""
    count = Counter(words.values())
    return next(seat for seat, word in words.items() if count[word] == 1)


def winner(alive: Sequence[str], spy: str) -> str | None:
    """The side that has won, if one has."""
    return "civilians" if spy not in alive else "spy" if len(alive) <= 2 else None


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of all words of two texts that stand in both."""
    return len(one & other) / max(1, len(one | other))


class Game:
    """Who is in, what was said and how it was voted."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words, self.spy = words, spy_of(words)
        self.alive, self._slips, self._right = list(words), list[str](), list[bool]()
        self._lines: dict[str, list[str]] = {seat: [] for seat in words}

    def winner(self) -> str | None:
        """The side that has won, if one has."""
        return winner(self.alive, self.spy)

    def slips(self, seat: str, line: str) -> bool:
        """Whether a seat is out by what it says."""
        self._lines[seat].append(line)
        if not betrays(line, self.words[seat]):
            return False
        self.alive.remove(seat)
        self._slips.append(seat)
        return True

    def votes_out(self, votes: Mapping[str, str]) -> str | None:
        """Who is out by a vote, if anybody is."""
        self._right += [votes.get(s) == self.spy for s in self.alive if s != self.spy]
        if out := plurality(votes.values()):
            self.alive.remove(out)
        return out

    def facts(self) -> dict[str, Any]:
        """What came of it, as gold facts."""
        said = {seat: meaning(" ".join(lines)) for seat, lines in self._lines.items()}
        won = self.winner() or "spy"
        return {
            "spy": self.spy,
            "words": self.words,
            "winner": won,
            "civilians_win": won == "civilians",
            "votes_right": share(self._right),
            "slips": self._slips,
            "overlap": mean(overlap(said[self.spy], said[s]) for s in self.words if s != self.spy),
        }


# -- what a seat sees --------------------------------------------------------------------------------------------


def own_word(request: Request) -> str:
    """The seat's word."""
    found = re.search(r"word(?: is|:)? ([a-z]+)[.;:]", request.heard[0])
    assert found is not None
    return found[1]


def fit(request: Request, seat: str) -> int:
    """How many features of the own word a seat has named."""
    lines = " ".join(text for text in request.heard if text.startswith(seat))
    return len(meaning(lines) & set(features(own_word(request))))


def suspect(request: Request, seats: Sequence[str]) -> str:
    """The seat that the own word fits least."""
    order = request.rng.sample(seats, len(seats))
    return min(order, key=lambda seat: fit(request, seat))
