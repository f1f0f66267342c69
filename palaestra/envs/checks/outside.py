"""Catch a script that looks at a clock, at entropy, or beyond the process."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from palaestra.envs.checks.where import script_frame, source_line

_CLOCKS = {
    getattr(time, n)
    for n in dir(time)
    if n.split("_")[0] in ("time", "monotonic", "perf", "process", "thread", "clock", "sleep", "localtime", "gmtime")
    or n in ("ctime", "asctime", "strftime")
    if callable(getattr(time, n)) and not isinstance(getattr(time, n), type)
} | {os.urandom}
_DATES = {"now", "utcnow", "today"}
_DOORS = (
    "socket.",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "shutil.",
    "urllib.Request",
    "sqlite3.connect",
)
_watchers: list[tuple[int, Callable[[str], None]]] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watchers and _watchers[-1][0] == threading.get_ident():
        if event == "open" and not _reads(*args) and not _temporary(args[0]):
            _watchers[-1][1](f"a file for writing: {args[0]!r}")
        elif event.startswith(_DOORS) and not (args and _temporary(args[0])):
            _watchers[-1][1](f"{event} {args[:1]!r}")


def _reads(path: Any, mode: str | None, flags: int) -> bool:
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if mode is None else set(mode) & set("wax+")
    return not writes


def _temporary(path: Any) -> bool:
    return isinstance(path, str) and Path(path).is_absolute() and path.startswith(tempfile.gettempdir())


@functools.cache
def _audited() -> None:
    sys.addaudithook(_audit)  # it cannot be taken away again; it sleeps while nobody watches


@contextlib.contextmanager
def outside_watched(turn: Callable[[], int]) -> Iterator[list[tuple[str, int, str]]]:
    """Collects (what, turn, line) of every look at the outside world by this thread; `turn` tells the turn."""
    _audited()
    seen: list[tuple[str, int, str]] = []

    def note(what: str) -> None:
        frame = script_frame()
        seen.append((what, turn(), source_line(frame.f_code.co_filename, frame.f_lineno) if frame else ""))

    def profile(frame: Any, event: str, function: Any) -> None:
        if event != "c_call":
            return
        try:
            clock = function in _CLOCKS
        except TypeError:  # bound to something that cannot be hashed
            return
        bound = getattr(function, "__self__", None)
        if clock:
            note(f"{function.__module__ or ''}.{function.__name__}()")
        elif function.__name__ in _DATES and isinstance(bound, type) and issubclass(bound, datetime.date):
            note(f"datetime.{function.__name__}()")

    before = sys.getprofile()
    _watchers.append((threading.get_ident(), note))
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(before)
        _watchers.pop()
