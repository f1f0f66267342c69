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

from palaestra.envs.common.players import mixed
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.tools.queries import HIDDEN, as_table, judge, look
from palaestra.envs.tools.questions import draw_task, form, meanings_in, names_in, read, schema


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
        asked, free = 0, form(task)
        while True:
            tries = [f"sql {free}"] if asked < self.queries else []
            move = yield self.turn(seat, *tries, f"answer {free}", "answer none", default="answer none")
            query = " ".join(move.args)
            if move.verb == "answer":
                break
            asked += 1
            self.tell("No result." if self.no_tool else as_table((yield self.effect("look", task, query))))

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


# -- players -----------------------------------------------------------------------------------------------------


def _random(request: Request) -> str:
    """A legal move; where queries are free, the size or the largest value of some table."""
    if request.enumerable:
        return play_random(request)
    table, columns = request.rng.choice(re.findall(r"(\w+)\(([^)]*)\)", request.heard[0]))
    what = request.rng.choice(["count(*)", *(f"max({c})" for c in columns.split(", "))])
    return f"[answer select {what} from {table}]"


def _answer(request: Request, wordings: int, names: dict[str, str]) -> str:
    """The query for a question that can be read, else a random move."""
    found = read(request.heard[0], request.env.level, wordings)
    if found is None:
        return _random(request)
    kind, values = found
    return f"[answer {kind.query.format(**names, **values)}]"


def _greedy(request: Request) -> str:
    """Knows the first wording of each kind (at level 0: of two kinds), and trusts the names."""
    if request.env.level == 0 and "price" not in request.heard[0].rpartition(")")[2]:
        return _random(request)
    return _answer(request, 1, names_in(request.heard[0]))


def _reader(request: Request) -> str:
    """Looks at `about` where there is one; then knows every wording and the right names."""
    about = "about(" in request.heard[0]
    if about and request.turn == 0:
        return "[sql select entry, meaning from about]"
    return _answer(request, 9, names_in(request.heard[0]) | (meanings_in(request.text) if about else {}))


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


Sql.players = {
    "random": _random,
    "greedy": _greedy,
    "oracle": _oracle,
    "reader": _reader,
    "memorizer": _memorizer,
    "mixed": mixed(_oracle, 0.3, _random),
}
