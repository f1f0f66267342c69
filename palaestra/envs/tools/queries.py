"""Queries that are tried and judged: run on generated databases, compared with the right query, shown as a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

from palaestra.envs.database import Answer
from palaestra.envs.grammar import clean
from palaestra.envs.tools.questions import Task, opened

HIDDEN = ("first", "second", "third")
SHOWN_ROWS, SHOWN_CHARS = 20, 60


def look(task: list[Any], query: str) -> dict[str, Any]:
    """What a query gives on the database that may be looked at."""
    database, _ = opened(Task(*task), "shown")
    with database:
        return database.query(query)._asdict()


def judge(task: list[Any], query: str) -> dict[str, Any]:
    """On which databases a query gives what the right one gives, and why it gives nothing on the first."""
    equal, error = {}, None
    for which in ("shown", *HIDDEN):
        database, right = opened(Task(*task), which)
        with database:
            given = database.query(query)
        equal[which] = same(given, right)
        error = error or given.error
    return {"equal": equal, "error": error}


def same(given: Answer, right: Answer) -> bool:
    """Whether two answers have the same rows, in any order; names of columns do not count."""
    rounded = [Counter(tuple(_rounded(v) for v in row) for row in answer.rows) for answer in (given, right)]
    return given.error is None and not given.truncated and rounded[0] == rounded[1]


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def as_table(ran: dict[str, Any]) -> str:
    """The result of a query as a small table."""
    if ran.get("error"):
        return f"Error: {clean(ran['error'], 200)}"
    rows = [ran["columns"], *ran["rows"][:SHOWN_ROWS]]
    lines = [" | ".join(" ".join(str(value).split())[:SHOWN_CHARS] for value in row) for row in rows]
    more = len(ran["rows"]) - SHOWN_ROWS
    return "\n".join([*lines, *([f"({more}{' or' if ran['truncated'] else ''} more rows)"] if more > 0 else [])])
