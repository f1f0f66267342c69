"""An SQLite database in memory that strangers may question: they read its tables, and nothing else happens.

    with Database({"goods": (("name", "price"), [("salt", 3), ("silk", 9)])}) as database:
        database.query("select max(price) from goods").rows     # [(9,)]

It stands beside the sandbox because SQL needs none: SQLite asks an authorizer about everything that a statement
would do while it compiles it. What is permitted is listed here, all else is refused: writing, attaching, pragmas,
extensions, virtual tables, and every function whose value depends on chance, on the clock or on the machine. So an
answer depends on the tables and the query alone. Work is bounded by instructions, not by time, for the same reason;
with the limit on the length of a value that bounds memory, too.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Names of the columns, and rows."""


class Limits(NamedTuple):
    """What one query may use."""

    rows: int = 50
    """Rows of an answer; more are cut off."""
    instructions: int = 1_000_000
    """Of SQLite's virtual machine: some tens of milliseconds."""
    value_bytes: int = 1000
    """Of a text, a blob, or a row in the making; times `instructions` / 6 this bounds memory."""
    query_chars: int = 2000
    """Of the query."""
    copies: int = 10_000
    """Of common table expressions: SQLite copies one wherever it is named, so a chain of them can double each time."""


DEFAULT = Limits()


class Answer(NamedTuple):
    """What came of a query, as plain data."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    error: str | None
    """Why there is no answer; "too much work" where a limit ended it."""
    truncated: bool
    """There were more rows than `Limits.rows`."""


_FUNCTIONS = frozenset(
    "abs avg coalesce count dense_rank first_value glob group_concat hex ifnull iif instr lag last_value lead length "
    "like lower ltrim max min nth_value ntile nullif rank replace round row_number rtrim sign substr substring sum "
    "total trim typeof unicode upper".split()
)
_STEP = 1000  # instructions between two counts


class Database:
    """Tables in memory, questioned through `query`. Not shared between threads."""

    def __init__(self, tables: Mapping[str, Table], limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self._connection = connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.execute("pragma temp_store = memory")  # what does not fit a sort would else go to the disk
        for name, (columns, rows) in tables.items():
            connection.execute(f"create table {_name(name)} ({', '.join(map(_name, columns))})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"insert into {_name(name)} values ({marks})", rows)
        self._readable = {name.lower() for name in tables} | {"sqlite_master"}
        connection.execute("pragma query_only = on")
        for kind, most in {
            sqlite3.SQLITE_LIMIT_LENGTH: limits.value_bytes,
            sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * limits.query_chars,  # in bytes
            sqlite3.SQLITE_LIMIT_COLUMN: 50,
            sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
            sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
            sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
            sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
            sqlite3.SQLITE_LIMIT_ATTACHED: 0,
            sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
            sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
        }.items():
            connection.setlimit(kind, most)
        connection.set_authorizer(self._permit)
        connection.set_progress_handler(self._count, _STEP)

    def query(self, sql: str) -> Answer:
        """The rows that one SELECT gives; never raises."""
        if len(sql) > self.limits.query_chars:
            return Answer((), [], f"the query is longer than {self.limits.query_chars} characters", False)
        if _copies(sql) > self.limits.copies:  # before 3.41, planning counts no instructions
            return Answer((), [], "too much work", False)
        self._steps = self.limits.instructions // _STEP
        try:
            cursor = self._connection.execute(sql)
            rows = cursor.fetchmany(self.limits.rows + 1)
            columns = tuple(column[0] for column in cursor.description or ())
            cursor.close()
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
            return Answer((), [], "too much work" if str(error) == "interrupted" else str(error), False)
        if not columns:
            return Answer((), [], "that is no query", False)
        most = self.limits.rows
        return Answer(columns, [tuple(map(_plain, row)) for row in rows[:most]], None, len(rows) > most)

    def _permit(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """SQLite's question whether a statement may do something."""
        if action == sqlite3.SQLITE_READ:  # without a column it may be a table that the statement itself defines
            permitted = not second or (first or "").lower() in self._readable
        elif action == sqlite3.SQLITE_FUNCTION:
            permitted = second is not None and second.lower() in _FUNCTIONS
        else:
            permitted = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
        return sqlite3.SQLITE_OK if permitted else sqlite3.SQLITE_DENY

    def _count(self) -> int:
        """Called by SQLite at every `_STEP` instructions; a true value ends the query."""
        self._steps -= 1
        return self._steps < 0

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copies(sql: str) -> float:
    """How often common table expressions may be copied, at most.

    Each needs a `select` or `values` of its own, beside that of the query; each place that names one needs a `from`,
    `join`, `in` or comma. As many names as there are, spread over the expressions, multiply most where they are equal.
    """
    words = re.findall(r"\w+|,", sql.lower())
    if "with" not in words:
        return 1.0
    names = sum(word in ("from", "join", "in", ",") for word in words)
    expressions = sum(word in ("select", "values") for word in words) - 1
    return max(((names / n) ** n for n in range(1, expressions + 1)), default=1.0)


def _name(name: str) -> str:
    """An identifier of ours; it goes into the text of a statement."""
    assert name.isidentifier(), name
    return f'"{name}"'


def _plain(value: Any) -> Any:
    """A value of SQLite as JSON has it."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
