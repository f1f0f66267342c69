"""What every environment must hold, ours or a user's: `check(...)` plays it and reports.

One function a check, in `CHECKS`. The first group always applies; the second only to what an environment declares or
does (its status is else `n/a`). A failure names the seed, the turn, what was seen and the line of the script to look
at. Every level and every control is played, one parameter set each.

    report = check("kuhn")          # or module:Class, file.py:Class, a class
    print(report.table())
    assert report.ok

A check judges what the base class promises together with what the script does, so it also covers environments that
adapters make.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs import registry
from palaestra.envs.checks import (  # noqa: F401  (always and declared fill CHECKS)
    CHECKS,
    QUICK,
    THOROUGH,
    USUAL,
    Effort,
    Finding,
    NotApplicable,
    Verdict,
    always,
    declared,
)
from palaestra.envs.checks.bounds import measure_bounds, update_bounds
from palaestra.envs.checks.evidence import Subject
from palaestra.envs.checks.where import printable
from palaestra.envs.script import ScriptedEnv
from palaestra.errors import UnknownNameError, nearest

__all__ = [
    "CHECKS",
    "QUICK",
    "THOROUGH",
    "USUAL",
    "Effort",
    "Finding",
    "Report",
    "Row",
    "check",
    "measure_bounds",
    "update_bounds",
]


class Row(NamedTuple):
    check: str
    title: str
    status: str
    """ "ok", "FAIL" or "n/a"."""
    detail: str
    seconds: float
    findings: list[Finding]


class Report:
    """The result of `check`."""

    def __init__(self, env: str, facts: str, rows: list[Row]) -> None:
        self.env, self.facts, self._rows = env, facts, rows

    def rows(self) -> list[Row]:
        return list(self._rows)

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> set[str]:
        """Names of the checks that failed."""
        return {r.check for r in self._rows if r.status == "FAIL"}

    def table(self) -> str:
        """The report for people: a line a check, under each failure what was seen."""
        out = [f"  {self.env}   {self.facts}"]
        for row in self._rows:
            out.append(f"  {row.status:<5} {row.title:<42}{row.detail + '  ' if row.detail else ''}{row.seconds:.1f} s")
            for f in row.findings[:3]:
                params = ", ".join(f"{k} = {v!r}" for k, v in f.params.items())
                out.append(f"          seed {f.seed}, turn {f.turn}{', ' + params if params else ''}")
                out += [f"            {line}" for line in printable(f.seen).splitlines()]
                out += [f"            {f.where}"] if f.where else []
        count = len(self.failed)
        out.append(f"  {count} failed" if count else "  all held")
        return "\n".join(out)

    def to_json(self) -> str:
        """One line: {"env", "ok", "rows": [{"check", "title", "status", "detail", "seconds", "findings": [...]}]}."""
        rows = [{**row._asdict(), "findings": [f._asdict() for f in row.findings]} for row in self._rows]
        data = {"env": self.env, "facts": self.facts, "ok": self.ok, "rows": rows}
        return json.dumps(data, default=str).encode("utf-8", "replace").decode()


def check(
    name: str | type[ScriptedEnv],
    *,
    params: Mapping[str, Any] | None = None,
    seeds: Iterable[int] = range(4),
    only: Iterable[str] | None = None,
    effort: Effort = USUAL,
) -> Report:
    """Play an environment in every way that a driver may, and report what it does not hold.

    Args:
        name: an id, or a class.
        params: parameters that all parameter sets share.
        seeds: of the recorded plays, for each parameter set.
        only: names of checks; None: all.
        effort: how much is played; QUICK, USUAL and THOROUGH are given.
    Raises:
        UnknownNameError: no such environment or check.
    """
    cls = registry.env_class(name) if isinstance(name, str) else name
    chosen = list(CHECKS) if only is None else list(only)
    for one in chosen:
        if one not in CHECKS:
            raise UnknownNameError(f"no check {one!r}\n  {nearest(one, CHECKS)}")
    subject = Subject(cls, dict(params or {}), list(seeds), effort)
    rows = []
    for one in chosen:
        function, begun = CHECKS[one], time.perf_counter()
        title = (inspect.getdoc(function) or one).splitlines()[0].rstrip(".")
        with _global_state_of_its_own(one):
            try:
                verdict = function(subject)
                status = "FAIL" if verdict.findings else "ok"
            except NotApplicable as reason:
                verdict, status = Verdict(str(reason), []), "n/a"
            except Exception as error:  # an environment may break in ways that no check foresees
                verdict, status = Verdict("", [subject.broke(error)]), "FAIL"
        rows.append(Row(one, title, status, verdict.detail, time.perf_counter() - begun, verdict.findings))
    return Report(cls.name(), subject.facts(), rows)


@contextlib.contextmanager
def _global_state_of_its_own(name: str) -> Iterator[None]:
    """Global generators that differ from check to check; afterwards they are as the caller had them."""
    kept, numpys = random.getstate(), np.random.get_state()
    random.seed(name)
    np.random.seed(random.getrandbits(32))
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(numpys)
