"""Environments of other libraries by id, `family/member`: `openspiel/kuhn_poker`, `textarena/KuhnPoker-v0`.

A family is a module of this package with a function `member(name) -> class`. What its classes have in common is here:
they are made on demand, so they are found again by their id and not by their name, and libraries that draw from the
process's global generators are given private ones.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, TypeVar

import numpy as np

from palaestra.envs.script import ScriptedEnv, _rebuild
from palaestra.errors import MissingExtraError, UnknownNameError, nearest

FAMILIES = {
    "gymnasium": "palaestra.envs.adapters.toy_text",
    "minigrid": "palaestra.envs.adapters.minigrids",
    "gem": "palaestra.envs.adapters.gem",
    "mcp": "palaestra.envs.adapters.mcp_tools",
    "openenv": "palaestra.envs.adapters.openenv",
    "openspiel": "palaestra.envs.adapters.openspiel",
    "pettingzoo": "palaestra.envs.adapters.classic",
    "reasoning_gym": "palaestra.envs.adapters.reasoning",
    "scienceworld": "palaestra.envs.adapters.scienceworlds",
    "textarena": "palaestra.envs.adapters.textarena",
    "textworld": "palaestra.envs.adapters.textworlds",
}
"""family -> module. Nothing is imported before one of its members is asked for."""

_lock = RLock()
_made: dict[str, type[Foreign]] = {}
F = TypeVar("F", bound="Foreign")


class Foreign(ScriptedEnv):
    """Base of the classes that stand for another library's environments."""

    def __reduce__(self) -> tuple[Any, ...]:
        again, (cls, *rest) = super().__reduce__()
        if _made.get(self.name()) is not cls:  # a subclass that somebody wrote is found like any other class
            return again, (cls, *rest)
        return _again, (self.name(), *rest)


def _again(name: str, *rest: Any) -> ScriptedEnv:
    from palaestra.envs.registry import env_class

    made: ScriptedEnv = _rebuild(env_class(name), *rest)
    return made


def made(base: type[F], name: str, **body: Any) -> type[F]:
    """The subclass of `base` that stands for `name`, a full id; always the same one."""
    if name not in _made:
        title = re.sub(r"\W+", "_", name)
        _made[name] = type(
            title, (base,), {"__doc__": base.__doc__, "__module__": base.__module__, **body, "env_id": name}
        )
    found: type[F] = _made[name]  # type: ignore[assignment]  # under this name only `base` was asked for
    return found


def library(module: str, extra: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingExtraError: it is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing((error.name or module).partition(".")[0], extra) from error


def installed(module: str, extra: str) -> None:
    """As `library`, for a package that is slow to import, or that a record can do without: only looks for it."""
    if importlib.util.find_spec(module) is None:
        raise _missing(module, extra)


def _missing(module: str, extra: str) -> MissingExtraError:
    return MissingExtraError(f'{module} is not installed\n  pip install "palaestra[{extra}]"')


def known(name: str, family: str, names: Sequence[str]) -> str:
    """`name`, if it is one of the family's members.

    Raises:
        UnknownNameError: it is none of them.
    """
    if name not in names:
        raise UnknownNameError(f"{family} has no {name!r}\n  {nearest(name, names)}")
    return name


def slug(text: str) -> str:
    """A foreign action's name as a word of a command: `Offer: [1, 0]` -> `offer_1_0`."""
    return re.sub(r"[^a-z0-9+-]+", "_", text.lower()).strip("_") or "_"


def slugs(texts: Sequence[str]) -> list[str]:
    """A word for each action, all different."""
    words = [slug(t) for t in texts]
    return [w if words.count(w) == 1 else f"{w}_{i}" for i, w in enumerate(words)]


class Globals:
    """Private states of Python's and numpy's global generators, for a library that draws from them.

    Inside `with borrowed:` the process's generators are this object's own; outside they are as if nobody had drawn.
    One lock for the process: whoever holds it draws alone.
    """

    def __init__(self, seed: str) -> None:
        source = random.Random(f"globals|{seed}")
        self._python = random.Random(source.getrandbits(64)).getstate()
        bits = np.random.MT19937(np.random.SeedSequence(source.getrandbits(64)))  # never the system's entropy
        self._numpy = np.random.RandomState(bits).get_state()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with _lock:
            outside, outside_numpy = random.getstate(), np.random.get_state()
            random.setstate(self._python)
            np.random.set_state(self._numpy)
            try:
                yield
            finally:
                self._python, self._numpy = random.getstate(), np.random.get_state()
                random.setstate(outside)
                np.random.set_state(outside_numpy)
