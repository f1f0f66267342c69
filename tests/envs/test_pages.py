"""An environment's module docstring is its page: what it says of seats, rewards, knobs and players is true."""

from __future__ import annotations

import re
import sys
from fractions import Fraction

import pytest

from palaestra.envs import registry

ROWS = ("seats", "turns", "hidden", "reward", "gold outcome", "source")


def page(name: str) -> str:
    return sys.modules[registry.env_class(name).__module__].__doc__ or ""


def facts(name: str) -> dict[str, str]:
    """The facts table: row -> text."""
    return dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", page(name), re.M))


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_the_page_has_its_table_and_begins_with_a_sentence(name: str) -> None:
    first = page(name).partition("\n")[0]
    assert first.endswith(".") and len(first) <= 120, first
    missing = [row for row in ROWS if row not in facts(name)]
    assert not missing, f"{name}: no row {missing}"


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_the_seats_on_the_page_are_those_of_the_class(name: str) -> None:
    cls, row = registry.env_class(name), facts(name)["seats"]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)*_\d)`", row))
    for first, last in re.findall(r"`(\w+_\d)` to `(\w+_\d)`", row):
        role, low, high = first[:-1], int(first[-1]), int(last[-1])
        named |= {f"{role}{i}" for i in range(low, high + 1)}
    seats = {seat for level in cls.levels for seat in cls(level=level).seats}
    assert seats <= named, f"{name}: the page does not name {sorted(seats - named)}"


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_the_rewards_on_the_page_are_those_of_the_class(name: str) -> None:
    cls, row = registry.env_class(name), facts(name)["reward"]
    assert cls.reward_range
    numbers = [float(Fraction(n)) for n in re.findall(r"-?\d+(?:\.\d+|/\d+)?", row)]
    missing = [bound for bound in cls.reward_range if not any(abs(bound - n) < 1e-6 for n in numbers)]
    assert not missing, f"{name}: {missing} is not in {row!r}"
    assert ("zero-sum" in row.replace("not zero-sum", "")) >= cls.zero_sum, f"{name}: zero-sum is not said"


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_every_level_parameter_control_and_player_is_on_the_page(name: str) -> None:
    cls, text = registry.env_class(name), page(name)
    own = set(cls._defaults) - set(cls._COMMON)
    unsaid = [word for word in sorted(own | set(cls.controls) | set(cls.players)) if f"`{word}`" not in text]
    assert not unsaid, f"{name}: the page does not mention {unsaid}"
    explained = {int(n) for n in re.findall(r"[Ll]evels? (?:\d(?:,| and| or| to) )*(\d)", text)}
    for paragraph in re.findall(r"^Levels: (?:.+\n)+", text, re.M):
        explained |= {int(n) for n in re.findall(r"(?<![\w.])\d(?![\w.])", paragraph)}
    for first, last in re.findall(r"[Ll]evels (\d) to (\d)", text):
        explained |= set(range(int(first), int(last) + 1))
    assert set(cls.levels) <= explained | {0}, f"{name}: levels {sorted(set(cls.levels) - explained)} are not explained"
