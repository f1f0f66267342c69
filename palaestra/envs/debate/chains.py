"""Chains of steps that can be proved line by line: arithmetic, and rules that lead from word to word.

`walk` writes the proof of a chain; with a slip it goes wrong at one line and on from there, which always ends
somewhere else: no step maps two values to one. `first_wrong` finds the line where a proof leaves the right one.
"""

from __future__ import annotations

import itertools
import random
import re
from typing import NamedTuple

from palaestra.envs.common.words import made_up

WORDINGS = {
    "+": ("add {n}", "put {n} to it"),
    "-": ("take away {n}", "subtract {n}"),
    "*": ("times {n}", "take it {n} fold"),
}
SIZES = {0: 3, 1: 5, 2: 9}
"""Steps, by level."""


class Chain(NamedTuple):
    """Where to start and how to go on: numbers with (operation, number), or words with rules."""

    text: str
    start: str
    steps: tuple[tuple[str, int], ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    times: int = 0
    """How often the rules are followed."""


def draw_chain(rng: random.Random, level: int, split: str) -> Chain:
    """A chain of a level: at level 0 small sums, else large numbers or rules."""
    if level == 0:
        return _sums(rng, ood=split == "ood")
    return _numbers(rng, SIZES[level], split == "ood") if rng.random() < 0.5 else _rules(rng, SIZES[level], split)


def _sums(rng: random.Random, ood: bool) -> Chain:
    """Three steps of at most 3 that stay between 1 and 8 (ood: of 4 at most, the last of them 4)."""
    while True:
        start, value = rng.randint(1, 8), 0
        sizes = [rng.randint(1, 3), rng.randint(1, 3), 4 if ood else rng.randint(1, 3)]
        steps = tuple((rng.choice("+-"), n) for n in sizes)
        values = [value := (value or start) + (n if op == "+" else -n) for op, n in steps]
        if all(1 <= v <= 8 for v in values):
            return Chain(f"Start with {start}: {', '.join(f'{op} {n}' for op, n in steps)}.", str(start), steps)


def _numbers(rng: random.Random, count: int, ood: bool) -> Chain:
    start, low = rng.randint(11, 99), 100 if ood else 12
    steps = tuple(
        (op, rng.randint(2, 9) if op == "*" else rng.randrange(low, 10 * low))
        for op in (("*" if n % 3 == 1 else rng.choice("+-")) for n in range(count))
    )
    said = ", ".join(rng.choice(WORDINGS[op]).format(n=n) for op, n in steps)
    return Chain(f"Start with {start}: {said}.", str(start), steps)


def _rules(rng: random.Random, count: int, split: str) -> Chain:
    """One cycle of words, so that nothing is met twice."""
    words = made_up(rng, count + 3, split)
    rules = list(zip(words, words[1:] + words[:1], strict=True))
    rng.shuffle(rules)
    said = ", ".join(f"{a} leads to {b}" for a, b in rules)
    text = f"Rules: {said}. Start at {words[0]} and follow the rules {count} times."
    return Chain(text, words[0], rules=tuple(rules), times=count)


def walk(chain: Chain, slip: int = 0, rng: random.Random | None = None) -> list[str]:
    """The lines of the proof; where `slip` is a line (from 1), its result is a wrong one that `rng` draws."""
    rng, at, lines = rng or random.Random(0), chain.start, []
    follow = dict(chain.rules)
    for n in range(1, 1 + (len(chain.steps) or chain.times)):
        if chain.steps:
            op, number = chain.steps[n - 1]
            after = {"+": int(at) + number, "-": int(at) - number, "*": int(at) * number}[op]
            after += rng.choice((-1, 1)) if n == slip else 0
            lines.append(f"{at} {op} {number} = {after}")
            at = str(after)
        else:
            after_ = rng.choice([w for w in follow if w not in (at, follow[at])]) if n == slip else follow[at]
            lines.append(f"{at} -> {after_}")
            at = after_
    return lines


def read(text: str) -> Chain:
    """The chain that a text tells; the inverse of drawing one."""
    if rules := re.findall(r"(\w+) leads to (\w+)", text):
        start, count = re.findall(r"Start at (\w+) and follow the rules ([0-9]+) times", text)[0]
        return Chain(text, start, rules=tuple(rules), times=int(count))
    start, said = re.findall(r"Start with ([0-9]+): (.*)\.", text)[0]
    ops = {
        phrase.split("{n}")[0].strip(): op for op, phrases in WORDINGS.items() for phrase in (*phrases, f"{op} {{n}}")
    }
    steps = []
    for phrase in said.split(", "):
        words, number = re.findall(r"^(.*?) ?([0-9]+)", phrase)[0]
        steps.append((ops[words], int(number)))
    return Chain(text, start, tuple(steps))


def lines_of(proof: str) -> list[str]:
    """The lines of a proof, `12 + 3 = 15` or `lamp -> coin`, between semicolons or line ends; `?` for anything else.

    Only such lines are ever shown, so that nothing but a proof can be said in one.
    """
    found = [_LINE.fullmatch(line.strip()) for line in re.split(r"[;\n]", proof.lower()) if line.strip()]
    return [(f"{f[1]} {f[2]} {f[3]} = {f[4]}" if f[2] else f"{f[1]} -> {f[4]}") if f else "?" for f in found]


_LINE = re.compile(r"(-?\w{1,20})\s*(?:([-+*])\s*(\w{1,20})\s*=|->)\s*(-?\w{1,20})")


def first_wrong(lines: list[str], right: list[str]) -> int:
    """The first line, from 1, that is not that of the right proof, or is missing, or too many; 0 if there is none."""
    pairs = enumerate(itertools.zip_longest(lines, right), 1)
    return next((n for n, (line, wanted) in pairs if line != wanted), 0)


def holds(chain: Chain, line: str) -> bool:
    """Whether a line is right in itself as the last one of a chain, wherever it starts from."""
    start = re.split(r" (?:[-+*]|->) ", line)[0]
    try:
        return walk(chain._replace(start=start, steps=chain.steps[-1:], times=1)) == [line]
    except (ValueError, KeyError):
        return False


def end(lines: list[str]) -> str:
    """Where a proof ends; "nothing" where there is none."""
    return lines[-1].split()[-1] if lines else "nothing"
