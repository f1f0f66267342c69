"""Where in a script something happened, and how to show it."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from palaestra.envs import transcript as record
from palaestra.envs.script import ScriptedEnv, lines
from palaestra.envs.transcript import Event

_HERE = Path(__file__).parent
_OURS = {str(_HERE.parent / "script.py"), *(str(p) for p in _HERE.glob("*.py"))}


def source_line(file: str, line: int) -> str:
    return f"{Path(file).name}:{line}: {linecache.getline(file, line).strip()}"


def script_frame() -> Any:
    """The innermost running frame that is neither of the base class nor of this module."""
    frame = sys._getframe(1)
    while frame and frame.f_code.co_filename in _OURS:
        frame = frame.f_back  # type: ignore[assignment]
    return frame


def error_line(error: BaseException) -> str:
    """The innermost line of a traceback that is neither ours nor the standard library's."""
    found, stdlib = "", str(Path(os.__file__).parent)
    trace = error.__traceback__
    while trace:
        file = trace.tb_frame.f_code.co_filename
        ours = file in _OURS or (file.startswith(stdlib) and "site-packages" not in file)
        if not ours and "site-packages" not in file:
            found = source_line(file, trace.tb_lineno)
        trace = trace.tb_next
    return found


def waiting_line(env: ScriptedEnv) -> str:
    """The line at which a script waits."""
    script: Any = env._script
    while inspect.isgenerator(script.gi_yieldfrom):
        script = script.gi_yieldfrom
    return source_line(script.gi_code.co_filename, script.gi_frame.f_lineno) if script.gi_frame else ""


def watch_lines(env: ScriptedEnv) -> dict[int, str]:
    """From now on, collect for every event the line of the script that made it."""
    found: dict[int, str] = {}

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            before, frame = len(env._events), script_frame()
            result = method(*args, **kwargs)
            for n in range(before, len(env._events)):
                found[n] = source_line(frame.f_code.co_filename, frame.f_lineno)
            return result

        return call

    for name in ("_tell", "reward", "outcome", "note", "eliminate", "secrets", "item"):
        env.__dict__[name] = watched(getattr(env, name))
        env._keep |= {name}
    return found


def replies(events: Iterable[Event]) -> int:
    return sum(isinstance(e, record.Said) for e in events)


def show(event: Event | None) -> str:
    if event is None:
        return "(nothing)"
    text = next(lines([event]), str(event)).strip()
    return text if len(text) < 300 else text[:297] + "..."


def printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def many(n: int, noun: str) -> str:
    """`1 turn`, `2 turns`."""
    return f"{n} {noun}{'s' * (n != 1)}"


def short(value: Any) -> str:
    """The value in at most 60 characters."""
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
