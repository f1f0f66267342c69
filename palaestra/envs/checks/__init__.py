"""The checks behind `palaestra.envs.conformance`: one function each, registered by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from palaestra.envs.checks.evidence import Subject


class Finding(NamedTuple):
    """One thing that is wrong."""

    seed: int
    turn: int
    """Replies given before it."""
    seen: str
    where: str = ""
    """The line of the script to look at."""
    params: dict[str, Any] = {}


class Verdict(NamedTuple):
    """What one check says: a detail for the table, and findings (none: it is held)."""

    detail: str
    findings: list[Finding]


class NotApplicable(Exception):
    """The environment does not declare, or never does, what a check is about."""


Check = Callable[["Subject"], Verdict]
CHECKS: dict[str, Check] = {}
"""name -> function. The first line of its docstring is its title in the table."""


def register(function: Check) -> Check:
    """Add a check under its name."""
    CHECKS[function.__name__.rstrip("_")] = function
    return function


class Effort(NamedTuple):
    """How much is played."""

    hash_seeds: tuple[str, ...] = ("0", "1", "random")
    """Values of PYTHONHASHSEED, one other process each."""
    texts: int = 1000
    """Hostile texts a parameter set."""
    split_seeds: int = 2000
    """Seeds of each split whose instances are compared."""
    bound_seeds: int = 100
    """Seeds by which scripted players are compared; a quarter of it where there are effects."""


USUAL = Effort()
QUICK = Effort(("1",), 200, 200, 30)
THOROUGH = Effort(split_seeds=10_000)
