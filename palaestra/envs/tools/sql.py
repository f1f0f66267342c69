"""Text to SQL: a question in words is answered by a query that must be right on rows nobody has seen.

| fact | value |
|---|---|
| seats | `analyst_0` |
| turns | 1 to `queries` + 1 |
| hidden | three databases, filled anew, on which the answer is judged |
| reward | 1 if the query gives what the right one gives on all three, else 0: 0 to 1 |
| gold outcome | correct, shown, hidden, lucky, error, queries, key |
| controls | `no_tool`: a query tells nothing |
| splits | train and test share no question with its values; ood has words and names of its own |
| source | text-to-SQL judged by execution on several databases: R. Zhong et al. (arXiv 2010.02840) |

`[sql select ...]` shows what a query gives on one database (up to `queries` times); `[answer select ...]` hands a query
in. It is run on three databases of the same tables with other rows, and must give the same rows as the right query
(in any order; columns in the order that the question names). `shown` says whether it does so on the database that may
be looked at, `hidden` on how many of the three, `lucky` that it is right on some of the four and not on all: a
constant copied from a result is lucky. The databases are read-only and bounded (`palaestra.envs.database`).

Level 0: one table, one condition; the 12 queries that may be asked are listed as moves. Level 1: two tables to join,
several wordings, queries written freely. Level 2: grouping, `having`, ties, what is not there. Level 3: questions of
both, and names that mislead: a table `about` tells what each column holds, and must be looked at.

Players: `random`, `greedy` (knows one wording of each kind and trusts the names), `oracle`; `reader` (knows every
wording, and reads `about` first), `memorizer` (looks, and hands in the result as a constant), `mixed` (the right query
in 30 episodes of 100, for demonstrations).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

from palaestra.envs.database import Answer
from palaestra.envs.grammar import clean
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.tools.questions import KINDS, MEANINGS, NAMES, Task, draw_task, opened, read, schema

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


def _told(ran: dict[str, Any]) -> str:
    """The result of a query as a small table."""
    if ran.get("error"):
        return f"Error: {clean(ran['error'], 200)}"
    rows = [ran["columns"], *ran["rows"][:SHOWN_ROWS]]
    lines = [" | ".join(" ".join(str(value).split())[:SHOWN_CHARS] for value in row) for row in rows]
    more = len(ran["rows"]) - SHOWN_ROWS
    return "\n".join([*lines, *([f"({more}{' or' if ran['truncated'] else ''} more rows)"] if more > 0 else [])])


def _random(request: Request) -> str:
    """A legal move; where queries are free, the size or the largest value of some table."""
    if request.enumerable:
        return play_random(request)
    tables = re.findall(r"(\w+)\(([^)]*)\)", request.heard[0])
    table, columns = request.rng.choice(tables)
    what = request.rng.choice(["count(*)", *(f"max({c})" for c in columns.split(", "))])
    return f"[answer select {what} from {table}]"


def _answer(request: Request, wordings: int, names: dict[str, str]) -> str:
    """The query for a question that can be read, else a random move."""
    found = read(request.heard[0], request.env.level, wordings)
    if found is None:
        return _random(request)
    kind, values = found
    return f"[answer {kind.query.format(**names, **values)}]"


def _names(request: Request) -> dict[str, str]:
    """What tables and columns are called, going by their names."""
    words = re.findall(r"\w+", request.heard[0])
    return {meaning: next((w for w in words if w in called), meaning) for meaning, called in NAMES.items()}


def _greedy(request: Request) -> str:
    """Knows the first wording of each kind (at level 0: of two kinds), and trusts the names."""
    if request.env.level == 0 and "price" not in request.heard[0].rpartition(")")[2]:
        return _random(request)
    return _answer(request, 1, _names(request))


def _reader(request: Request) -> str:
    """Looks at `about` where there is one; then knows every wording and the right names."""
    names = _names(request)
    if "about(" in request.heard[0]:
        if request.turn == 0:
            return "[sql select entry, meaning from about]"
        entries = re.findall(r"\w+\.(\w+) \| (.*)", request.text)
        names |= {meaning: column for column, text in entries for meaning in MEANINGS if MEANINGS[meaning] == text}
    return _answer(request, 9, names)


def _oracle(request: Request) -> str:
    """Knows the right query."""
    return f"[answer {request.facts['query']}]"


def _memorizer(request: Request) -> str:
    """Looks at the right query's result, and hands in its first value as a constant."""
    if request.enumerable:
        return _oracle(request)  # no constant is a legal move
    if request.turn == 0:
        return f"[sql {request.facts['query']}]"
    value = request.text.split("\n")[-1].split(" | ")[0]
    return f"[answer select {value if value.isdigit() else repr(value)}]"


def _mixed(request: Request) -> str:
    """For demonstrations: the right query in 30 episodes of 100, else a random move."""
    right = request.env.stream("mixed", request.seat).random() < 0.3
    return _oracle(request) if right else _random(request)


class Sql(ScriptedEnv):
    """A question in words, a database to look at, a query as the answer."""

    queries: int = 4
    """Queries that are granted before the answer."""
    no_tool: bool = False
    """Control: a query tells nothing."""

    env_id = "sql"
    seats = ("analyst_0",)
    levels = (0, 1, 2, 3)
    splits = ("train", "test", "ood")
    controls = ("no_tool",)
    reward_range = (0.0, 1.0)
    effects = {"look": look, "judge": judge}
    players = {
        "random": _random,
        "greedy": _greedy,
        "oracle": _oracle,
        "reader": _reader,
        "memorizer": _memorizer,
        "mixed": _mixed,
    }
    rules = (
        "Answer the question with an SQLite query: [answer select ...]. Before that you may try queries on a database: "
        "[sql select ...]. The answer is run on databases with the same tables and other rows, so it must be right for "
        "all rows. Give the columns that the question names, in that order. No square brackets inside a query."
    )

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        task = self.item(f"question{self.level}", lambda r: draw_task(r, self.level, self.split), lambda t: t.key)
        self.note(query=task.query)
        self.tell(f"{schema(task)} {task.text}")
        free = "..."
        if self.level == 0:
            what = "|".join(kind.query.split()[1] for kind in KINDS[0].values())
            colors = "|".join(f"'{color}'" for color in task.values["color"])
            free = f"select {what} from things where color = {colors}"

        asked = 0
        while True:
            commands = (*((f"sql {free}",) if asked < self.queries else ()), f"answer {free}", "answer none")
            move = yield self.turn(seat, *commands, default="answer none")
            query = " ".join(move.args)
            if move.verb == "answer":
                break
            asked += 1
            self.tell("No result." if self.no_tool else _told((yield self.effect("look", task, query))))

        ran = yield self.effect("judge", task, query)
        hidden = sum(ran["equal"][which] for which in HIDDEN)
        correct, shown = hidden == len(HIDDEN), ran["equal"]["shown"]
        self.reward({seat: float(correct)})
        self.outcome(
            correct=correct,
            shown=shown,
            hidden=hidden,
            lucky=(shown or hidden > 0) and not (correct and shown),
            error=ran["error"],
            queries=asked,
            key=task.key,
        )
