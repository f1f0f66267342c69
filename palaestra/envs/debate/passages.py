"""Passages to argue about: generated from templates, or read from a user's JSON lines.

A passage is a handful of facts, a question, and two answers of which the facts support one. As a line of JSON:

    {"id": "p1", "facts": ["The lamp of Ana is red.", "The coin of Ana is blue."],
     "question": "What color is the lamp of Ana?", "answers": ["red", "blue"]}

`facts` are two or more texts (a sentence each; longer ones are cut into sentences), `answers` the right one first, then
the wrong one; `id` (any text, by default the line number) decides the split. Other keys are ignored.

Generated passages put a question of one hop at level 0 (four facts; the object decides, a fact about the same owner
lures) and of two or three hops at level 1 (twelve facts; a relation of another kind lures: "works in" where the
question asks "lives in"). Which of the two answers is right is a fair coin, whatever the question.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.common.texts import one_line, sentences, words
from palaestra.envs.common.words import OOD, USUAL, Pools
from palaestra.errors import EnvError


class Passage(NamedTuple):
    """What the debaters read. `topic` is what the question fixes and no more."""

    topic: tuple[str, ...]
    question: str
    answers: tuple[str, str]
    """In alphabetical order, so that the order tells nothing."""
    right: str
    facts: tuple[str, ...]


# one entry a kind of relation: in a fact, and in a question
_OWNED = (("belongs to", "belongs to"), ("was bought by", "was bought by"), ("was made by", "was made by"))
_HOME = (("lives in", "who lives in"), ("works in", "who works in"), ("was born in", "who was born in"))
_TRADE = (("trades in", "that trades in"), ("is known for", "that is known for"), ("taxes", "that taxes"))


def generate(rng: random.Random, level: int, ood: bool, like: Passage | None = None) -> Passage:
    """A passage; with `like`, another one with the same question and answers, in which either may be right."""
    return (_chain if level else _color)(rng, OOD if ood else USUAL, like)


def _color(rng: random.Random, pools: Pools, like: Passage | None) -> Passage:
    thing, owner = like.topic if like else (rng.choice(pools.objects), rng.choice(pools.people))
    first, second = like.answers if like else sorted(rng.sample(pools.colors, 2))
    right, wrong = rng.sample((first, second), 2)
    others = rng.sample([o for o in pools.objects if o != thing], 3)
    people = rng.sample([p for p in pools.people if p != owner], 2)
    rows = [(thing, owner, right), (others[0], owner, wrong), (others[1], people[0], right)]
    rows.append((others[2], people[1], wrong))
    rng.shuffle(rows)
    facts = tuple(f"The {o} of {p} is {c}." for o, p, c in rows)
    return Passage((thing, owner), f"What color is the {thing} of {owner}?", (first, second), right, facts)


def _chain(rng: random.Random, pools: Pools, like: Passage | None) -> Passage:
    if like:
        thing, hops, *kinds = like.topic
    else:
        thing, hops = rng.choice(pools.objects), rng.choice("23")
        kinds = [rng.choice("012") for _ in range(3)]
    owned, home, trade = (int(k) for k in kinds)
    ends = pools.towns if hops == "2" else pools.goods
    first, second = like.answers if like else sorted(rng.sample(ends, 2))
    right, wrong = rng.sample((first, second), 2)

    things = [thing, *rng.sample([o for o in pools.objects if o != thing], 2)]
    people = rng.sample(pools.people, 3)
    towns = rng.sample([t for t in pools.towns if t not in (first, second)], 4)
    goods = rng.sample([g for g in pools.goods if g not in (first, second)], 4)
    # the lure: the same person, another kind of relation, town 3
    (towns if hops == "2" else goods)[0], (towns if hops == "2" else goods)[3] = right, wrong
    facts = [f"The {o} {_OWNED[owned][0]} {p}." for o, p in zip(things, people, strict=True)]
    facts += [f"{p} {_HOME[home][0]} {t}." for p, t in zip(people, towns, strict=False)]
    facts += [f"{t} {_TRADE[trade][0]} {g}." for t, g in zip(towns, goods, strict=True)]
    facts.append(f"{people[0]} {_HOME[_another(rng, home)][0]} {towns[3]}.")
    facts.append(f"The {things[0]} {_OWNED[_another(rng, owned)][0]} {people[1]}.")
    rng.shuffle(facts)

    question = f"The {thing} {_OWNED[owned][1]} someone {_HOME[home][1]} "
    question += "which town?" if hops == "2" else f"a town {_TRADE[trade][1]} what?"
    return Passage((thing, hops, *kinds), question, (first, second), right, tuple(facts))


def _another(rng: random.Random, kind: int) -> int:
    return (kind + 1 + rng.randrange(2)) % 3


def load(path: str) -> tuple[Passage, ...]:
    """The passages of a file of JSON lines.

    Raises:
        EnvError: no such file, or a line that breaks the schema; the message names file, line and key.
    """
    try:
        stat = os.stat(path)
    except OSError as error:
        raise EnvError(f"passages = {path!r}: {error.strerror}") from None
    return _load(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(8)
def _load(path: str, mtime_ns: int, size: int) -> tuple[Passage, ...]:
    found: dict[str, Passage] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                name, passage = _read(f"{path}:{number}", str(number), line)
                if name in found:
                    raise EnvError(f"{path}:{number}: key 'id': {name!r} is there twice")
                found[name] = passage
    if not found:
        raise EnvError(f"{path}: no passage in it")
    return tuple(found.values())


def _read(where: str, number: str, line: str) -> tuple[str, Passage]:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise EnvError(f"{where}: no JSON: {error}") from None
    if not isinstance(data, dict):
        raise EnvError(f"{where}: a line is an object with the keys facts, question, answers")

    def texts(key: str, least: int, most: int | None) -> list[str]:
        value = data.get(key)
        texts = [x for x in value if isinstance(x, str) and x.strip()] if isinstance(value, list) else []
        if texts != value or len(texts) < least or (most is not None and len(texts) > most):
            many = f"{least}" if most == least else f"{least} or more"
            raise EnvError(f"{where}: key {key!r}: got {value!r}\n  it must be a list of {many} non-empty texts")
        return [one_line(x) for x in texts]

    facts, (right, wrong) = texts("facts", 2, None), texts("answers", 2, 2)
    if right == wrong:
        raise EnvError(f"{where}: key 'answers': both are {right!r}\n  the right answer comes first, then a wrong one")
    question = data.get("question")
    if not isinstance(question, str) or not question.strip():
        raise EnvError(f"{where}: key 'question': got {question!r}\n  it must be a non-empty text")
    name = str(data.get("id", number))
    first, second = sorted((right, wrong))
    cut = tuple(s for fact in facts for s in sentences(fact))
    return name, Passage((name,), one_line(question), (first, second), right, cut)


def labels(facts: Sequence[str]) -> tuple[str, ...]:
    """What each fact is called in a move: by its thing where each has one of its own, else by its number from 1."""
    things = [found[1].lower() for fact in facts if (found := re.match(r"The (\w+) of ", fact))]
    if len(things) == len(facts) == len(set(things)):
        return tuple(things)
    return tuple(str(n) for n in range(1, len(facts) + 1))


def numbered(facts: Sequence[str]) -> list[str]:
    """The facts as a debater reads them where it quotes by label: with their numbers, if these are the labels."""
    names = labels(facts)
    return [f"{name} {fact}" if name.isdigit() else fact for name, fact in zip(names, facts, strict=True)]


# -- evidence ----------------------------------------------------------------------------------------------------


def weight(question: str, answer: str, evidence: list[str]) -> int:
    """How well the evidence ties the answer to the question: the weakest link of the chain that it makes.

    Facts are taken in turn, always the one that shares most words with the question and the facts already taken; a
    fact that shares none is left out. The weight is the least number shared; 0 where the answer is not reached.
    Repetition adds nothing, and further facts can only weaken the chain.
    """
    reached, left, weakest = words(question), {words(s): None for s in evidence}, 0
    said: frozenset[str] = frozenset()
    while left:
        best = max(left, key=lambda w: len(w & reached))
        if not (shared := len(best & reached)):
            break
        weakest = min(weakest, shared) if weakest else shared
        reached, said = reached | best, said | best
        del left[best]
    return weakest if words(answer) and words(answer) <= said else 0


@functools.lru_cache(1024)
def best_chain(question: str, answer: str, facts: tuple[str, ...], depth: int = 3) -> tuple[str, ...]:
    """The facts (at most `depth`) that weigh most for the answer, fewest first; empty where none do."""
    content, target = {f: words(f) for f in facts}, words(answer)
    best: tuple[int, tuple[str, ...]] = (0, ())

    def extend(chain: tuple[str, ...], reached: frozenset[str], weakest: int) -> None:
        nonlocal best
        for fact in facts:
            shared = len(content[fact] & reached)
            if fact in chain or not shared:
                continue
            link = min(weakest, shared)
            longer = (*chain, fact)
            if target <= content[fact] and (link, -len(longer)) > (best[0], -len(best[1]) or -99):
                best = (link, longer)
            if len(longer) < depth:
                extend(longer, reached | content[fact], link)

    extend((), words(question), 99)
    return best[1]
