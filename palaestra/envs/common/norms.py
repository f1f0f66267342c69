"""Rules about a text that a program can check: how each is told, whether a text keeps it, how a text is made to.

A norm is plain data, a kind and a value (`("avoid", "lamp")`), so that it can be a secret, a fact or part of an item.
Words are found whole, in any case and form, spelled out or encoded (`palaestra.envs.common.leaks`); numbers also where
they are written in words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from palaestra.envs.common.leaks import betrays, case, numerals, says
from palaestra.envs.common.words import OOD, USUAL, Pools

Norm = tuple[str, str]
"""Kind and value."""
COLORS = frozenset((*USUAL.colors, *OOD.colors, "grey", "yellow", "orange", "purple"))
PEOPLE = frozenset(name.lower() for name in (*USUAL.people, *OOD.people))


class Kind(NamedTuple):
    wordings: tuple[str, ...]
    kept: Callable[[str, str], bool]
    """(text, value) -> whether the text keeps the rule."""
    keep: Callable[[str, str], str]
    """(text, value) -> the text changed so that it does; `spoil`: so that it does not."""
    spoil: Callable[[str, str], str]


def _add(sentence: str) -> Callable[[str, str], str]:
    return lambda text, value: f"{text} {sentence.format(value=value)}".strip()


def _without(pattern: str) -> Callable[[str, str], str]:
    """Takes out every sentence that has the pattern."""

    def change(text: str, value: str) -> str:
        parts = re.findall(r"[^.!?]+[.!?]*", text)
        return "".join(p for p in parts if not re.search(pattern.format(value=re.escape(value)), p, re.I)).strip()

    return change


def _names(text: str, words: frozenset[str]) -> bool:
    return not words.isdisjoint(re.findall(r"[^\W_]+", case(text)))


def numbers(text: str) -> list[int]:
    """The numbers in a text, those below a hundred also where they are written in words."""
    return [int(n) for n in re.findall(r"[0-9]+", numerals(text))]


def _size(text: str) -> int:
    return len(text.split())


def _starts(text: str, value: str) -> bool:
    return case(text).lstrip().startswith(case(value))


def _ends(text: str, value: str) -> bool:
    return case(text).rstrip(" .!?\n").endswith(case(value))


KINDS: dict[str, Kind] = {
    "say": Kind(
        ("Name the {value}.", "The {value} must be mentioned."),
        lambda text, value: says(text, value),
        _add("Bring the {value}."),
        _without("{value}"),
    ),
    "avoid": Kind(
        ("Never name the {value}.", "The {value} must not be mentioned."),
        lambda text, value: not betrays(text, value),
        _without("{value}"),
        _add("Bring the {value}."),
    ),
    "number": Kind(
        ("Write a number.", "There must be a number in it."),
        lambda text, value: bool(numbers(text)),
        _add("There are 11 seats."),
        _without("[0-9]"),
    ),
    "multiple": Kind(
        ("Never write a number that {value} divides.", "No number in it may be a multiple of {value}."),
        lambda text, value: all(n % int(value) for n in numbers(text)),
        _without("[0-9]"),
        lambda text, value: f"{text} It costs {2 * int(value)} coins.",
    ),
    "color": Kind(
        ("Never name a color.", "Colors must not be mentioned."),
        lambda text, value: not _names(text, COLORS),
        _without("wear"),
        _add("Wear {value}."),
    ),
    "person": Kind(
        ("Never name a person.", "People must not be mentioned by name."),
        lambda text, value: not _names(text, PEOPLE),
        _without("comes too"),
        _add("{value} comes too."),
    ),
    "question": Kind(
        ("Ask a question.", "There must be a question in it."),
        lambda text, value: "?" in text,
        _add("Will you come?"),
        _without("[?]"),
    ),
    "calm": Kind(
        ("Use no exclamation mark.", "It must be calm, without an exclamation mark."),
        lambda text, value: "!" not in text,
        _without("!"),
        _add("Do come!"),
    ),
    "short": Kind(
        ("Use at most {value} words.", "It must not be longer than {value} words."),
        lambda text, value: _size(text) <= int(value),
        lambda text, value: " ".join(text.split()[: int(value)]),
        lambda text, value: text + " Stay as long as you like, there is a lot to see." * (1 + int(value) // 11),
    ),
    "open": Kind(
        ('Begin with "{value}".', 'The first words must be "{value}".'),
        _starts,
        lambda text, value: text if _starts(text, value) else f"{value}, {text[:1].lower()}{text[1:]}",
        lambda text, value: text if not _starts(text, value) else f"So: {text}",
    ),
    "close": Kind(
        ('End with "{value}".', 'The last words must be "{value}".'),
        _ends,
        lambda text, value: text if _ends(text, value) else f"{text} {value.capitalize()}.",
        lambda text, value: text if not _ends(text, value) else f"{text} So it is.",
    ),
}
"""In the order in which `compose` sees to them: what stands at the end comes last."""


def values(kind: str, words: Pools) -> Sequence[str]:
    """The values that a kind may have in the words of a split."""
    usual = words is USUAL
    return {
        "say": words.objects,
        "avoid": words.objects,
        "multiple": ("3", "4") if usual else ("5", "7"),
        "color": words.colors,
        "person": words.people,
        "short": ("24", "28") if usual else ("26", "30"),
        "open": ("Hello", "Dear friends", "Good day") if usual else ("Welcome", "To all"),
        "close": ("thank you", "goodbye", "see you soon") if usual else ("best wishes", "take care"),
    }.get(kind, ("",))


def draw(rng: random.Random, count: int, words: Pools, kinds: Sequence[str] = tuple(KINDS)) -> list[Norm]:
    """Norms of different kinds; a thing that must be named is none that must not be."""
    found: list[Norm] = []
    for kind in rng.sample(list(kinds), count):
        taken = [value for _, value in found]
        found.append((kind, rng.choice([v for v in values(kind, words) if not v or v not in taken])))
    return found


def wording(norm: Norm, which: int = 0) -> str:
    """How a norm is told; there are two ways."""
    return KINDS[norm[0]].wordings[which].format(value=norm[1])


def kept(text: str, norm: Norm) -> bool:
    return KINDS[norm[0]].kept(text, norm[1])


def share_kept(text: str, norms: Sequence[Norm]) -> float:
    return sum(kept(text, norm) for norm in norms) / len(norms)


def compose(base: str, keep: Sequence[Norm], spoil: Sequence[Norm] = ()) -> str | None:
    """A text that keeps some norms and breaks others, made from one that is short and plain; None: it did not work."""
    order = list(KINDS)
    text = base
    for norm in sorted((*keep, *spoil), key=lambda n: order.index(n[0])):
        kind = KINDS[norm[0]]
        if kind.kept(text, norm[1]) != (norm in keep):
            text = (kind.keep if norm in keep else kind.spoil)(text, norm[1])
    return text if all(kept(text, n) == (n in keep) for n in (*keep, *spoil)) else None


def read(text: str) -> list[Norm]:
    """The norms whose wordings stand in a text."""
    found = []
    for name, kind in KINDS.items():
        for told in kind.wordings:
            pattern = re.escape(told).replace(r"\{value\}", r"([\w ]+?)")
            found += [(name, match[1] if match.groups() else "") for match in re.finditer(pattern, text)]
    return found
