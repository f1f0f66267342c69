"""States that are NamedTuples of plain data: noted for oracles field by field, read back, and named by a digest."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from palaestra.envs.script import Request, ScriptedEnv

T = TypeVar("T", bound=tuple[Any, ...])


def note(env: ScriptedEnv, state: Any, before: Any = None) -> None:
    """Note the fields of a state that differ from the one noted before."""
    new = {f: v for f, v in state._asdict().items() if before is None or v != getattr(before, f)}
    if new:
        env.note(**new)


def noted(request: Request, kind: type[T]) -> T:
    """The state that was noted last, for an oracle."""
    facts = request.facts
    return msgspec.convert([facts[field] for field in kind._fields], kind)  # type: ignore[attr-defined]


def digest(drawn: Any) -> str:
    """A short name of whatever was drawn, as the key of an instance."""
    return hashlib.blake2b(repr(drawn).encode(), digest_size=8).hexdigest()
