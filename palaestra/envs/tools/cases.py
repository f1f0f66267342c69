"""Questions with a memory that may be wrong and a library that is right: what `critic` asks, and how it is read.

`recalled` is the answer of who trusts the memory; `next_check` leads who trusts the library from search to search.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from palaestra.envs.common.words import pools
from palaestra.envs.tools.calculator import calculator, integer

QUESTIONS = (
    ("How many sacks of {goods} do {a} and {b} hold together?", "{an} * {am} + {bn} * {bm}"),
    ("How many more sacks of {goods} does {a} hold than {b}? (fewer: below 0)", "{an} * {am} - {bn} * {bm}"),
    ("What is the number of sacks of {goods} in {a} and {b}, all told?", "{an} * {am} + {bn} * {bm}"),
    ("By how many sacks of {goods} does {a} exceed {b}? (below 0 if it does not)", "{an} * {am} - {bn} * {bm}"),
)
BARNS = ("{town} keeps {n} barns.", "There are {n} barns in {town}.")
OLD = ("Before the flood {town} kept {n} barns.", "There were {n} barns in {town} before the flood.")
SACKS = ("Each barn of {town} holds {m} sacks of {goods}.",)


class Case(NamedTuple):
    """A question with all that can be known about it."""

    question: str
    memory: str
    library: list[str]
    answer: str
    memory_right: bool
    options: tuple[str, ...] = ()
    """Answers among which the right one is; empty for numbers."""
    things: tuple[str, ...] = ()
    """What may be searched; empty for anything."""

    @property
    def key(self) -> str:
        """What train and test do not share."""
        return f"{self.question} {self.answer}"

    def right(self, given: str) -> bool:
        """Whether an answer is the right one: the same word, or the same number however it is spaced."""
        return given == self.answer or (integer(given) is not None and integer(given) == integer(self.answer))


def draw_case(rng: random.Random, level: int, split: str) -> Case:
    """A question of a level."""
    return draw_stores(rng, level, split) if level else draw_color(rng, split)


def draw_color(rng: random.Random, split: str) -> Case:
    """The color of one of three things."""
    usual, right = pools(split), rng.random() < 0.5
    things, colors = rng.sample(usual.objects, 3), rng.sample(usual.colors, 3)
    memory = colors[0] if right else rng.choice(colors[1:])
    library = [f"The {things[0]} is {colors[0]}.", *(f"The {t} is {rng.choice(colors)}." for t in things[1:])]
    question = f"What color is the {things[0]}?"
    answer, options, asked = colors[0], tuple(rng.sample(colors, 3)), tuple(rng.sample(things, 3))
    return Case(question, f"{memory}.", library, answer, right, options, asked)


def draw_stores(rng: random.Random, level: int, split: str) -> Case:
    """What two towns hold; the memory of one of four numbers may be wrong."""
    usual, right = pools(split), rng.random() < 0.5
    goods, towns = rng.choice(usual.goods), rng.sample(usual.towns, 4)
    numbers = rng.sample(range(12, 99), 8)  # no town keeps as many barns as before the flood
    barns, old = dict(zip(towns, numbers, strict=False)), dict(zip(towns, numbers[4:], strict=True))
    sacks = {town: rng.randrange(50, 500) for town in towns}
    people = rng.sample(usual.people, 4)
    library = []
    for town, born, person in zip(towns, towns[1:] + towns[:1], people, strict=True):
        library.append(rng.choice(BARNS).format(town=town, n=barns[town]))
        library.append(rng.choice(OLD).format(town=town, n=old[town]))
        library.append(rng.choice(SACKS).format(town=town, m=sacks[town], goods=goods))
        if level > 1:
            library += [f"{person} lives in {town}.", f"{person} was born in {born}."]
    rng.shuffle(library)

    a, b = towns[:2]
    wording, expression = rng.choice(QUESTIONS)
    called = {a: f"the town where {people[0]} lives" if level > 1 else a, b: b}
    known = {(town, what): numbers[town] for town in (a, b) for what, numbers in (("n", barns), ("m", sacks))}
    answer = calculator(expression.format(an=barns[a], am=sacks[a], bn=barns[b], bm=sacks[b]))["value"]
    if not right:
        town, what = rng.choice(list(known))
        known[town, what] = old[town] if what == "n" else sacks[town] + rng.choice((-20, -9, 9, 20))
    told = (f"{called[t]} has {known[t, 'n']} barns with {known[t, 'm']} sacks each" for t in (a, b))
    question = wording.format(goods=goods, a=called[a], b=called[b])
    return Case(question, "; ".join(told) + ".", library, answer, right)


# -- reading -----------------------------------------------------------------------------------------------------


def recalled(told: str) -> str:
    """The answer that follows from what is remembered."""
    memory = told.rpartition("You remember: ")[2]
    numbers = re.findall(r"[0-9]+", memory)
    return calculator(_expression(told, numbers))["value"] if numbers else memory.rstrip(".")


def _expression(told: str, numbers: list[str]) -> str:
    """Barns times sacks of the first town, plus or minus those of the second."""
    sign = "-" if re.search(r"\bmore\b|exceed", told) else "+"
    return "{} * {} {sign} {} * {}".format(*numbers, sign=sign)


def next_check(told: str, found: str, barns: tuple[str, ...] = BARNS) -> tuple[str, str]:
    """What to check after what was found: ("search", words), ("calc", expression), or ("", answer) if nothing is left.

    `barns` are the sentences that are believed about the number of barns.
    """
    if things := re.findall(r"^What color is the (\w+)\?", told):
        color = re.findall(rf"The {things[0]} is (\w+)\.", found)
        return ("", color[0]) if color else ("search", things[0])
    numbers: list[str] = []
    for town in re.findall(r"(the town where \w+ lives|\w+) has", told.rpartition("You remember: ")[2]):
        if " " in town:
            person = town.split()[-2]
            lives = re.findall(rf"{person} lives in (\w+)\.", found)
            if not lives:
                return "search", f"{person} lives"
            town = lives[0]
        for what, patterns in (("barns", barns), ("sacks", SACKS)):
            pattern = "|".join(p.format(town=town, n="([0-9]+)", m="([0-9]+)", goods=r"\w+") for p in patterns)
            seen = re.search(pattern, found)
            if not seen:
                return "search", f"{town} {what}"
            numbers += [number for number in seen.groups() if number]
    return "calc", _expression(told, numbers)
