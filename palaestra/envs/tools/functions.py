"""Generated tasks of the form "write f": a text, a reference solution, and tests.

A task is a chain of steps. A step is a phrase of the text and a line of the solution, so a solution can be written
phrase by phrase. `PHRASES` holds them by family; `{k}` is a small number.
"""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

# kind: (phrase of the text, line of the solution)
Steps = dict[str, tuple[str, str]]

INTEGER: Steps = {
    "add": ("add {k}", "x = x + {k}"),
    "subtract": ("subtract {k}", "x = x - {k}"),
    "multiply": ("multiply by {k}", "x = x * {k}"),
    "double": ("double", "x = x * 2"),
    "square": ("square", "x = x * x"),
    "negate": ("negate", "x = -x"),
    "remainder": ("take the remainder by {k}", "x = x % {k}"),
    "halve": ("halve and round down", "x = x // 2"),
    "absolute": ("drop the sign", "x = abs(x)"),
    "at_least": ("raise to at least {k}", "x = max(x, {k})"),
}
LIST: Steps = {
    "even": ("keep the even numbers", "xs = [x for x in xs if x % 2 == 0]"),
    "positive": ("keep the positive numbers", "xs = [x for x in xs if x > 0]"),
    "above": ("keep the numbers above {k}", "xs = [x for x in xs if x > {k}]"),
    "once": ("drop repeated numbers", "xs = [x for i, x in enumerate(xs) if x not in xs[:i]]"),
    "add": ("add {k} to each", "xs = [x + {k} for x in xs]"),
    "square": ("square each", "xs = [x * x for x in xs]"),
    "reverse": ("reverse the order", "xs = xs[::-1]"),
    "sort": ("sort them", "xs = sorted(xs)"),
    "running": ("replace each by the sum so far", "xs = [sum(xs[: i + 1]) for i in range(len(xs))]"),
}
LIST_END: Steps = {
    "list": ("return the list", "return xs"),
    "sum": ("return the sum", "return sum(xs)"),
    "count": ("return how many there are", "return len(xs)"),
    "largest": ("return the largest or 0 if there is none", "return max(xs) if xs else 0"),
    "first": ("return the first or 0 if there is none", "return xs[0] if xs else 0"),
}
STRING: Steps = {
    "reverse": ("reverse it", "s = s[::-1]"),
    "upper": ("write it in capitals", "s = s.upper()"),
    "vowels": ("drop the letters a, e, i, o, u", 's = "".join([c for c in s if c not in "aeiou"])'),
    "start": ("keep the first {k} characters", "s = s[:{k}]"),
    "drop": ("drop the first {k} characters", "s = s[{k}:]"),
    "twice": ("write every character twice", 's = "".join([c + c for c in s])'),
    "mirror": ("append its reverse", "s = s + s[::-1]"),
    "sort": ("sort its characters", 's = "".join(sorted(s))'),
}
STRING_END: Steps = {
    "string": ("return it", "return s"),
    "length": ("return its length", "return len(s)"),
    "count": ("return how often it has the letter a", 'return s.count("a")'),
    "edges": ("return its first and last character or nothing if it is empty", "return s[:1] + s[-1:]"),
}
CONDITION: Steps = {
    "even": ("if it is even", "if x % 2 == 0:"),
    "negative": ("if it is negative", "if x < 0:"),
    "above": ("if it is above {k}", "if x > {k}:"),
}
END: Steps = {"x": ("", "return x")}
PHRASES: dict[str, tuple[Steps, ...]] = {"x": (INTEGER, END), "xs": (LIST, LIST_END), "s": (STRING, STRING_END)}


class Task(NamedTuple):
    """Write a function `f` of one argument."""

    text: str
    key: str
    """The kinds of its steps: what train and test do not share."""
    solution: str
    public: list[Any]
    """Inputs whose values are shown."""
    perturbed: list[Any]
    """Hidden inputs next to the public ones: memorized values fail on them."""
    edge: list[Any]
    """Hidden inputs at the edges: zero, negative, empty, long."""

    @property
    def inputs(self) -> list[Any]:
        """All of them: public, perturbed, edge."""
        return self.public + self.perturbed + self.edge

    @property
    def shown(self) -> list[str]:
        """The public tests as they are told: `f(3) = 7`."""
        return [f"f({json.dumps(i)}) = {v}" for i, v in zip(self.public, self.values(self.public), strict=True)]

    def values(self, inputs: list[Any]) -> list[str]:
        """What the solution gives, as JSON text."""
        return values(self.solution, inputs)


def values(solution: str, inputs: list[Any]) -> list[str]:
    """What our own `solution` (never a submission) gives for `inputs`, as JSON text."""
    f = _function(solution)
    return [json.dumps(f(i)) for i in inputs]  # no solution changes its input


@functools.lru_cache(4096)
def _function(solution: str) -> Callable[[Any], Any]:
    space: dict[str, Any] = {}
    exec(solution, space)
    f: Callable[[Any], Any] = space["f"]
    return f


def program(argument: str, lines: list[str]) -> str:
    """The text of `f` with these lines."""
    return "\n".join([f"def f({argument}):", *("    " + line for line in lines)]) + "\n"


def draw_step(rng: random.Random, steps: Steps, without: tuple[str, ...] = ()) -> tuple[str, str, str]:
    """A random step: its kind, phrase and line."""
    kind = rng.choice([k for k in steps if k not in without])
    phrase, line = steps[kind]
    k = str(rng.randint(2, 9))
    return kind, phrase.replace("{k}", k), line.replace("{k}", k)


def _chain(rng: random.Random, argument: str, length: int) -> tuple[str, str, str]:
    """Text, key and solution of a chain of `length` different steps."""
    steps, ends = PHRASES[argument]
    chosen: list[tuple[str, str, str]] = []
    for _ in range(length):
        chosen.append(draw_step(rng, steps, tuple(kind for kind, _, _ in chosen)))
    kind, phrase, line = draw_step(rng, ends)
    chosen.append((kind, phrase, line))
    kinds, phrases, lines = zip(*chosen, strict=True)
    text = ", then ".join(p for p in phrases if p)
    return f"Write f({argument}): {text}.", f"{argument}:{'>'.join(kinds)}", program(argument, list(lines))


def _choice(rng: random.Random) -> tuple[str, str, str]:
    """Text, key and solution of a task with a condition."""
    test, yes = draw_step(rng, CONDITION), draw_step(rng, INTEGER)
    no = draw_step(rng, INTEGER, without=(yes[0],))
    text = f"Write f(x): {test[1]}, {yes[1]}, otherwise {no[1]}."
    lines = [test[2], "    " + yes[2], "else:", "    " + no[2], "return x"]
    return text, f"if:{test[0]}>{yes[0]}>{no[0]}", program("x", lines)


def _number(rng: random.Random) -> int:
    return rng.randint(1, 20)


def _numbers(rng: random.Random) -> list[int]:
    return [rng.randint(-9, 20) for _ in range(rng.randint(4, 7))]


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("aabcdeilnorstu ") for _ in range(rng.randint(5, 9)))


def _beside_number(rng: random.Random, x: int) -> int:
    return x + rng.choice((-2, -1, 1, 2))


def _beside_numbers(rng: random.Random, xs: list[int]) -> list[int]:
    at = rng.randrange(len(xs))
    return [*xs[:at], xs[at] + rng.choice((-2, 2)), *xs[at + 1 :], rng.randint(-9, 20)]


def _beside_word(rng: random.Random, s: str) -> str:
    at = rng.randrange(len(s))
    return s[:at] + rng.choice("mpw") + s[at:] + "a"


_INPUTS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[Any]]] = {
    "x": (_number, _beside_number, [0, -1, -8, 101]),
    "xs": (_numbers, _beside_numbers, [[], [0], [-3, -3, -2], [7, 2, 9, 2, 14, 5, 30, -6, 4, 4]]),
    "s": (_word, _beside_word, ["", "A", "aab", "Two Words and more"]),
}


def draw_task(rng: random.Random, level: int, ood: bool) -> Task:
    """A task whose values differ enough that no constant solves it.

    Level 0: two steps on an integer. Level 1: three steps on lists or strings, or a condition. `ood`: a step more.
    """
    while True:
        if level == 0:
            text, key, solution = _chain(rng, "x", 3 if ood else 2)
        else:
            family = rng.choice(("xs", "s") if ood else ("xs", "s", "if"))
            text, key, solution = _choice(rng) if family == "if" else _chain(rng, family, 3 if ood else 2)
        fresh, beside, edge = _INPUTS[text[8 : text.index(")")]]
        public: list[Any] = []
        while len(public) < (2 if level == 0 else 3):
            if (value := fresh(rng)) not in public:
                public.append(value)
        perturbed: list[Any] = []
        while len(perturbed) < 4:
            value = beside(rng, rng.choice(public))
            if value not in public and value not in perturbed:
                perturbed.append(value)
        found = values(solution, public + perturbed + edge)
        if len(set(found[len(public) :])) >= 3 and len(set(found[: -len(edge)])) >= 2:
            return Task(text, key, solution, public, perturbed, edge)


def read_task(text: str, known: Callable[[str], bool] = lambda kind: True) -> tuple[str, list[str]]:
    """The argument and the lines of `f` that a text asks for, phrase by phrase; unknown phrases are passed over.

    `known` says which kinds of steps the reader knows.
    """
    found = re.match(r"Write f\((\w+)\): (.*)\.", text)
    assert found is not None
    argument, chain = found[1], found[2]

    def line(phrase: str, *tables: Steps) -> str | None:
        for kind, (pattern, code) in (item for table in tables for item in table.items()):
            match = re.fullmatch(re.escape(pattern).replace(r"\{k\}", "([0-9]+)"), phrase)
            if match and known(kind):
                return code.replace("{k}", match[1]) if match.groups() else code
        return None

    if branch := re.fullmatch(r"(if .*?), (.*), otherwise (.*)", chain):
        test, yes, no = (line(p, t) for p, t in zip(branch.groups(), (CONDITION, INTEGER, INTEGER), strict=True))
        lines = [test or "if x > 0:", "    " + (yes or "pass"), "else:", "    " + (no or "pass"), "return x"]
        return argument, lines
    lines = [code for phrase in chain.split(", then ") if (code := line(phrase, *PHRASES[argument])) is not None]
    return argument, lines if lines and lines[-1].startswith("return") else [*lines, f"return {argument}"]
