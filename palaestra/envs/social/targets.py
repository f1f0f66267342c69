"""The word that one lures another into saying: how it is drawn and redrawn, how it is told, what a seat sees of it."""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

from palaestra.envs.common.lexicon import fitting, kinds
from palaestra.envs.script import Request

ATTACKER, DEFENDER = "attacker_0", "defender_0"
FEW = 2  # kinds of words at level 0
OPENINGS = (
    "Your word is {word}. Make the other say it, and do not say it yourself.",
    "The word is {word}. You win if the other says it in talk, and lose if you say it.",
    "Lead the talk to a word that the other must say and you must not: {word}.",
)
WARNINGS = (
    "The other knows a word that you must not say. If you know which it is, guess: [guess word], once.",
    "There is a word that you lose by saying. Talk, and if you are sure of it, write [guess word] once.",
    "Beware of saying a certain word. You may name it once, as [guess word]; a wrong guess loses.",
)


def draw(rng: random.Random, split: str, level: int) -> dict[str, Any]:
    """A target, its kind, and a list of four words of that kind with the target among them."""
    every = dict(list(kinds(split).items())[: None if level else FEW])
    word = rng.choice([w for kind in every.values() for w in kind])
    kind = next(name for name, words in every.items() if word in words)
    listed = [word, *rng.sample([w for w in every[kind] if w != word], 3)]
    public = {"kind": kind, "listed": rng.sample(listed, 4)}
    return {ATTACKER: {**public, "word": word}, DEFENDER: public}


def redraw(rng: random.Random, observer: str, part: dict[str, Any]) -> dict[str, Any]:
    """The defender knows the list and the kind; any word of the list may be the target."""
    public = {"kind": part["kind"], "listed": part["listed"]}
    word = part["word"] if observer == ATTACKER else rng.choice(part["listed"])
    return {ATTACKER: {**public, "word": word}, DEFENDER: public}


def key(case: dict[str, Any], level: int) -> str:
    """What the episode is about: the target.

    At level 0 it is the list alone: that no target of it is ever seen in training would give it away.
    """
    return str(case[ATTACKER]["word"]) if level else " ".join(sorted(case[ATTACKER]["listed"]))


def told(rng: random.Random, case: dict[str, Any], level: int) -> dict[str, str]:
    """What each seat is told at the beginning."""
    word, listed, kind = (case[ATTACKER][part] for part in ("word", "listed", "kind"))
    attacker, defender = (rng.choice(OPENINGS), rng.choice(WARNINGS)) if level else ("Your word is {word}.", "")
    known = {0: f"Words: {', '.join(listed)}.", 1: f"It is a kind of {kind}.", 2: ""}[level]
    return {
        ATTACKER: f"{known} {attacker.format(word=word)}".strip(),
        DEFENDER: f"{known} {defender}".strip(),
    }


# -- what a seat sees --------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view; all but the target at level 0 alone."""

    listed: list[str]
    word: str
    """The target; empty for the defender."""
    theirs: list[str]
    """What the other has said."""
    unsaid: list[str]
    """What nobody has said: whatever was said without an end is no target."""


def look(request: Request) -> Seen:
    """What the seat sees that is to act."""
    listed = re.findall(r"\w+", request.heard[0].partition(".")[0])[1:]
    word = re.findall(r"(?:word is|must not:) (\w+)", request.heard[0])
    theirs = [found[1] for text in request.heard if (found := re.match(r"They say (\w+)", text))]
    mine = {w for who, text in request.view if who == "said" for w in re.findall(r"\[say (\w+)\]", text)}
    return Seen(listed, word[-1] if word else "", theirs, [w for w in listed if w not in mine and w not in theirs])


def _talk(request: Request) -> str:
    """What the other has said, from level 1 on."""
    return " ".join(text for text in request.heard if text.startswith("They say"))


def by_fit(request: Request) -> list[str]:
    """From level 1: the words that fit what was heard, the best first."""
    counts = fitting(_talk(request))
    return sorted(counts, key=lambda word: -counts[word])


def best_fit(request: Request) -> list[str]:
    """From level 1: the words that fit most of what was heard, where that is more than one feature."""
    kind = re.search(r"kind of (\w+)", request.heard[0])
    counts = fitting(_talk(request), kind[1] if kind else "")
    return [w for w, n in counts.items() if n == max(counts.values()) > 1]
