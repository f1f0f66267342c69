"""Questions with a memory that may be wrong and a library that is right: what `critic` asks."""

from __future__ import annotations

import random
from typing import NamedTuple

from palaestra.envs.common.words import pools
from palaestra.envs.tools.calculator import calculator

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
