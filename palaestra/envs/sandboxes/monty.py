"""A back-end without a machine: pydantic-monty, an interpreter of a subset of Python."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from typing import Any

from palaestra.envs.sandbox import Limits, Result, SandboxMissingError, limits_of
from palaestra.errors import EnvError


class Monty:
    """A subset of Python 3.14 in an interpreter that has no files, network or clock; 0.3 ms an exec.

    Without generators, `del`, inheritance, and most of the standard library: such syntax is "unsupported".
    """

    name = "monty"
    languages: tuple[str, ...] = ("python",)

    def __init__(self) -> None:
        try:
            import pydantic_monty
        except ImportError as error:
            raise SandboxMissingError('sandbox "monty" is not installed\n  pip install "palaestra[monty]"') from error
        self._monty = pydantic_monty
        self._lock = threading.Lock()
        self._pool: Any = None

    def exec(
        self,
        code: str,
        *,
        language: str = "python",
        files: Mapping[str, bytes] | None = None,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Result:
        limits = limits_of(self, language, limits)
        if files:
            raise EnvError('sandbox "monty" has no files\n  use sandbox = "bubblewrap"')
        out: dict[str, str] = {"stdout": "", "stderr": ""}

        def printed(stream: str, text: str) -> None:
            if len(out[stream]) <= limits.output_bytes:
                out[stream] += text[: limits.output_bytes + 1]

        with self._lock:
            if self._pool is None:
                self._pool = self._monty.Monty(request_timeout=60).__enter__()
            session = self._pool.checkout(
                limits={"max_feed_duration_secs": limits.cpu_s, "max_memory": limits.memory_bytes},
                os_policy={
                    "datetime": datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
                    "sleep": "zero",
                    "random_start": {"seed": 0},
                },
            )
            error: Exception | None = None
            try:
                with session as running:
                    running.feed_run(code, print_callback=printed)
            except Exception as raised:
                error = raised
        full = {name: text for name, text in out.items() if len(text) > limits.output_bytes}
        if full:
            cut = {name: text[: limits.output_bytes] for name, text in full.items()}
            return Result(cut.get("stdout", ""), cut.get("stderr", ""), None, "output", True)
        if error is None:
            return Result(out["stdout"], out["stderr"], 0, None, False)
        if isinstance(error, self._monty.MontyCrashedError):
            return Result("", "", None, "crash", False)
        inner = error.exception() if isinstance(error, self._monty.MontyError) else error
        if isinstance(inner, TimeoutError):
            return Result("", "", None, "timeout", False)
        stderr = out["stderr"] + (error.display() if isinstance(error, self._monty.MontyError) else str(error))
        kind = "memory" if isinstance(inner, MemoryError) else "exit"
        if isinstance(inner, NotImplementedError) and "monty syntax parser" in str(inner):
            kind = "unsupported"
        return Result(out["stdout"], stderr, 1, kind, False)

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
            self._pool = None
