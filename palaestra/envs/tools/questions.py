"""Generated questions to a small database of things and their owners: the words, the tables, the query that answers.

A question is a `Kind` with values put in: `{COLOR}` and the like are values, `{color}` is what the column is called in
this instance. `KINDS` holds them by level. `fill` makes rows for a task from any seed.
"""

from __future__ import annotations

import itertools
import random
import re
from typing import Any, NamedTuple

from palaestra.envs.common.words import pools
from palaestra.envs.database import Answer, Database, Table


class Kind(NamedTuple):
    """A sort of question: wordings that mean the same, and the query that answers it."""

    wordings: tuple[str, ...]
    query: str


_ALONE = "from things where color = '{COLOR}'"
_OWNED = "from {things} t join {people} p on t.{owner} = p.{name}"
KINDS: dict[int, dict[str, Kind]] = {
    0: {
        "count": Kind(("How many things are {COLOR}?",), f"select count(*) {_ALONE}"),
        "max": Kind(("What is the highest price of a {COLOR} thing?",), f"select max(price) {_ALONE}"),
        "min": Kind(("What is the lowest price of a {COLOR} thing?",), f"select min(price) {_ALONE}"),
        "sum": Kind(("What is the total price of all {COLOR} things?",), f"select sum(price) {_ALONE}"),
    },
    1: {
        "count": Kind(
            (
                "How many {COLOR} things belong to people of {TOWN}?",
                "People who live in {TOWN} own how many {COLOR} things?",
                "Count what is {COLOR} and has an owner from {TOWN}.",
            ),
            f"select count(*) {_OWNED} where t.{{color}} = '{{COLOR}}' and p.{{town}} = '{{TOWN}}'",
        ),
        "cost": Kind(
            (
                "What does every {KIND} of people from {TOWN} cost, all together?",
                "Add up the prices: each {KIND} whose owner lives in {TOWN}.",
                "How much would one pay for every {KIND} that someone in {TOWN} owns?",
            ),
            f"select sum(t.{{price}}) {_OWNED} where t.{{kind}} = '{{KIND}}' and p.{{town}} = '{{TOWN}}'",
        ),
        "heaviest": Kind(
            (
                "How heavy is the heaviest {COLOR} thing of somebody in {TOWN}?",
                "Of all {COLOR} things owned in {TOWN}, the one that weighs most: what does it weigh?",
                "Give the largest weight among {COLOR} things of people who live in {TOWN}.",
            ),
            f"select max(t.{{weight}}) {_OWNED} where t.{{color}} = '{{COLOR}}' and p.{{town}} = '{{TOWN}}'",
        ),
        "owners": Kind(
            (
                "Who owns a {COLOR} {KIND}? Give name and town, each person once.",
                "List name and town, without repetition, of people with a {KIND} that is {COLOR}.",
                "Name everybody, once, who has a {COLOR} {KIND}, and the town they live in.",
            ),
            f"select distinct p.{{name}}, p.{{town}} {_OWNED} "
            "where t.{color} = '{COLOR}' and t.{kind} = '{KIND}'",
        ),
        "elder": Kind(
            (
                "How many people older than {AGE} own a {KIND}?",
                "Count the people above the age of {AGE} who have at least one {KIND}.",
                "A {KIND} or more is owned by how many people over {AGE}?",
            ),
            f"select count(distinct p.{{name}}) {_OWNED} where p.{{age}} > {{AGE}} and t.{{kind}} = '{{KIND}}'",
        ),
    },
    2: {
        "towns": Kind(
            (
                "For each town with any: how many {COLOR} things do its people own? Give town and number.",
                "Count the {COLOR} things by the town of their owner (towns without one left out): town, number.",
            ),
            f"select p.{{town}}, count(*) {_OWNED} where t.{{color}} = '{{COLOR}}' group by p.{{town}}",
        ),
        "colors": Kind(
            (
                "For each color: what do the things of owners from {TOWN} weigh together? Give color and weight.",
                "Take what people in {TOWN} own and sum the weights by color. Give color and sum.",
            ),
            f"select t.{{color}}, sum(t.{{weight}}) {_OWNED} where p.{{town}} = '{{TOWN}}' group by t.{{color}}",
        ),
        "above": Kind(
            (
                "In which towns do the {COLOR} things of all its people cost more than {N} together? Give the town.",
                "List the towns where the total price of {COLOR} things, by their owners' town, is above {N}.",
            ),
            f"select p.{{town}} {_OWNED} where t.{{color}} = '{{COLOR}}' group by p.{{town}} "
            "having sum(t.{price}) > {N}",
        ),
        "most": Kind(
            (
                "Whose {COLOR} things weigh most together? Give the name; if several share it, all of them.",
                "By the total weight of their {COLOR} things, who comes first? Give all names that tie.",
            ),
            "select {owner} from {things} where {color} = '{COLOR}' group by {owner} having sum({weight}) = (select "
            "max(w) from (select sum({weight}) as w from {things} where {color} = '{COLOR}' group by {owner}))",
        ),
        "without": Kind(
            (
                "Which people from {TOWN} own no {KIND}? Give the name.",
                "Name everybody in {TOWN} who is without a {KIND}.",
            ),
            "select {name} from {people} where {town} = '{TOWN}' and {name} not in "
            "(select {owner} from {things} where {kind} = '{KIND}')",
        ),
    },
}  # fmt: skip
KINDS[3] = {**KINDS[1], **KINDS[2]}

# what a table or column may be called (the last only in `ood`), and what it holds
NAMES = {
    "things": ("things", "items", "stock"),
    "people": ("people", "members", "folk"),
    "kind": ("kind", "type", "sort"),
    "color": ("color", "paint", "shade"),
    "price": ("price", "cost", "fee"),
    "weight": ("weight", "mass", "load"),
    "owner": ("owner", "holder", "keeper"),
    "name": ("name", "person", "called"),
    "town": ("town", "home", "place"),
    "age": ("age", "years", "lived"),
}
MEANINGS = {
    "kind": "what sort of thing it is",
    "color": "what color it has",
    "price": "what it costs",
    "weight": "what it weighs",
    "owner": "the name of its owner",
    "name": "what the person is called",
    "town": "where the person lives",
    "age": "how old the person is",
}
THINGS, PEOPLE = ("kind", "color", "price", "weight", "owner"), ("name", "town", "age")
_SWAPS = (("kind", "color"), ("price", "weight"), ("name", "town"))


class Task(NamedTuple):
    """A question; plain data, so that it can be an argument of an effect."""

    text: str
    key: str
    """Kind and values: what train and test do not share."""
    query: str
    names: dict[str, str]
    """What each table and column is called; empty at level 0, which has one table under the usual names."""
    values: dict[str, list[str]]
    """What stands in the columns of words."""
    about: bool
    """Names mislead, and a table `about` tells what each column holds."""
    fill: int
    """Seed of the rows."""


def draw_task(rng: random.Random, level: int, split: str) -> Task:
    """A question of a level, in the words of a split."""
    usual = pools(split)
    values = {"color": usual.colors, "kind": usual.objects, "town": usual.towns, "name": usual.people}
    drawn = {column: rng.sample(words, 3 if column == "color" else 4) for column, words in values.items()}
    drawn["name"] = rng.sample(usual.people, 6)
    names = {m: called[2] if split == "ood" else rng.choice(called[:2]) for m, called in NAMES.items()}
    if level == 3:
        for one, other in rng.sample(_SWAPS, rng.randint(1, 3)):
            names[one], names[other] = names[other], names[one]
    name = rng.choice(list(KINDS[level]))
    kind = KINDS[level][name]
    put = {column.upper(): words[0] for column, words in drawn.items()}
    put |= {"AGE": str(rng.randrange(30, 55, 5)), "N": str(rng.randrange(20, 70, 10))}
    used = sorted(set(re.findall(r"\{([A-Z]+)\}", kind.wordings[0])))
    text = rng.choice(kind.wordings).format(**put)
    fields = names if level else {}
    order = {column: rng.sample(words, len(words)) for column, words in drawn.items()}  # the asked one is not first
    query = kind.query.format(**names, **put)
    return Task(text, f"{name}:{':'.join(put[u] for u in used)}", query, fields, order, level == 3, rng.getrandbits(32))


def schema(task: Task) -> str:
    """The tables, as the seat is told."""
    if not task.names:
        return "Table things(color, price)."
    n = task.names
    things, people = (f"{n[t]}({', '.join(n[c] for c in columns)})" for t, columns in _TABLES)
    if task.about:
        return f"Tables: {things}, {people}, about(entry, meaning). Names may mislead; about tells what columns hold."
    return f"Tables: {things}, {people}; {n['things']}.{n['owner']} is one of {n['people']}.{n['name']}."


_TABLES = (("things", THINGS), ("people", PEOPLE))


def form(task: Task) -> str:
    """How a query may be written: freely, but at level 0 as one of twelve."""
    if task.names:
        return "..."
    what = "|".join(kind.query.split()[1] for kind in KINDS[0].values())
    colors = "|".join(f"'{color}'" for color in task.values["color"])
    return f"select {what} from things where color = {colors}"


def fill(task: Task, seed: str) -> dict[str, Table]:
    """Tables for a task, with rows drawn by a seed."""
    rng, words = random.Random(seed), task.values
    people = [(name, rng.choice(words["town"]), rng.randint(20, 70)) for name in words["name"]]
    rows: list[tuple[Any, ...]] = [
        (rng.choice(words["kind"]), rng.choice(words["color"]), rng.randint(1, 40), rng.randint(1, 40))
        + (rng.choice(people)[0],)
        for _ in range(rng.randint(18, 24))
    ]
    if not task.names:
        return {"things": (("color", "price"), [row[1:3] for row in rows])}
    n = task.names
    made: dict[str, Table] = {
        n["things"]: ([n[c] for c in THINGS], rows),
        n["people"]: ([n[c] for c in PEOPLE], people),
    }
    if task.about:
        entries = [(f"{n[table]}.{n[c]}", MEANINGS[c]) for table, columns in _TABLES for c in columns]
        made["about"] = (("entry", "meaning"), entries)
    return made


def opened(task: Task, which: str) -> tuple[Database, Answer]:
    """A database of a task, by name, and what the right query gives: always something, so that wrong ones differ."""
    for n in itertools.count():
        database = Database(fill(task, f"{task.fill}|{which}|{n}"))
        right = database.query(task.query)
        assert right.error is None, right.error
        if right.rows and all(value for row in right.rows for value in row):
            return database, right
        database.close()
    raise AssertionError


# -- for players -------------------------------------------------------------------------------------------------


def read(text: str, level: int, wordings: int = 9) -> tuple[Kind, dict[str, str]] | None:
    """The kind and the values of a question, for a reader who knows the first `wordings` of each kind."""
    for kind in KINDS[level].values():
        for wording in kind.wordings[:wordings]:
            pattern = re.sub(r"\\\{([A-Z]+)\\\}", r"(?P<\1>\\w+)", re.escape(wording))
            if found := re.search(pattern, text):
                return kind, found.groupdict()
    return None


def names_in(text: str) -> dict[str, str]:
    """What tables and columns are called in a schema, going by their names."""
    words = re.findall(r"\w+", text)
    return {meaning: next((w for w in words if w in called), meaning) for meaning, called in NAMES.items()}


def meanings_in(text: str) -> dict[str, str]:
    """What columns are called, going by what is said of them in the table `about`."""
    entries = re.findall(r"\w+\.(\w+) \| (.*)", text)
    return {meaning: column for column, said in entries for meaning in MEANINGS if MEANINGS[meaning] == said}
