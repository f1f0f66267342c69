"""Questions whose answer is the value of an expression: plain products in spaced digits, and small stories."""

from __future__ import annotations

import random
import re

# the wording of a question and the expression that answers it
STORIES = (
    ("A hall has {a} rows with {b} seats each, and {c} seats are broken. How many are left?", "{a} * {b} - {c}"),
    ("A shop sells {a} pens a day for {b} days, and then {c} more. How many pens is that?", "{a} * {b} + {c}"),
    ("{a} crates hold {b} jars each and {c} boxes hold {d} each. How many jars are there?", "{a} * {b} + {c} * {d}"),
    ("Each of {a} workers gets {b} coins and then {c} coins more. How many coins are paid?", "{a} * ({b} + {c})"),
    ("A farm fills {a} sacks with {b} apples each and sells {c} sacks. How many apples stay?", "({a} - {c}) * {b}"),
    ("What is ({a} + {c}) * ({b} - {d})?", "({a} + {c}) * ({b} - {d})"),
)  # fmt: skip


def spaced(digits: str) -> str:
    """`523` as `5 2 3`, which a small model can copy token by token."""
    return " ".join(digits)


def number(rng: random.Random, digits: int) -> int:
    """A number of so many digits."""
    return rng.randrange(10 ** (digits - 1), 10**digits)


def product(rng: random.Random, ood: bool) -> tuple[str, str]:
    """A question for a product of two numbers, and the expression."""
    a, b = number(rng, 4 if ood else 3), number(rng, 3)
    return f"Compute {spaced(str(a))} * {spaced(str(b))}.", f"{a} * {b}"


def story(rng: random.Random, ood: bool) -> tuple[str, str]:
    """A question in words, and the expression."""
    wording, expression = rng.choice(STORIES)
    numbers = {"a": number(rng, 4 if ood else 3), "b": number(rng, 3), "c": number(rng, 2), "d": number(rng, 2)}
    return wording.format(**numbers), expression.format(**numbers)


def unordered(drawn: tuple[str, str]) -> str:
    """The identity of a question: `a * b` and `b * a` are one product, and the wording does not count."""
    return " * ".join(sorted(drawn[1].split(" * ")))


def numbers_in(question: str) -> list[str]:
    """The numbers in a question, unspaced."""
    return re.findall(r"[0-9]+", re.sub(r"(?<=[0-9]) (?=[0-9])", "", question))
