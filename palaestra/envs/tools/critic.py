"""Critic: draft an answer from memory, check it with tools, revise.

| fact | value |
|---|---|
| seats | `solver_0` |
| turns | 2 to `checks` + 2 |
| hidden | nothing; whether the memory is right is not told |
| reward | 1 if the final answer is right, else 0: 0 to 1 |
| gold outcome | correct, draft_correct, wrong_to_right, right_to_wrong, memory_right, checks, answer |
| theory | without the tools nothing is gained by revising: the memory is right half of the time |
| controls | `no_tool`: every check says that it is unavailable |
| splits | train and test share no facts; ood has words of its own |
| source | CRITIC, Z. Gou et al. (arXiv 2305.11738) |

The question comes with what the seat remembers, which is wrong in half of the episodes. It answers at once,
`[draft N]`; then it may check, and then it answers again, `[final N]`: only that is paid. `[search words]` gives the
three sentences of a small generated library that share most words with the query, `[calc expression]` a value.

Level 0: the color of a thing; drafts, searches and finals are listed. Level 1: how much two towns hold, or how much
more one of them holds: four numbers to look up and a product or two too hard for the head; the library also tells
what was "before the flood". Level 2: a town is known only by who lives there. `checks` (0: the level's own, 2 or 8)
bounds searches and calculations together.

Players: `random`, `greedy` (drafts what it remembers and keeps it), `oracle`; `checker` (looks up all, calculates),
`hasty` (believes the first number that it finds, old ones too), `fickle` (always changes its mind), `mixed` (checks in
30 episodes of 100, guesses in the others; for demonstrations).
"""

from __future__ import annotations

import random
import re

from palaestra.envs.common.players import mixed
from palaestra.envs.common.texts import search
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.tools.calculator import calculator
from palaestra.envs.tools.cases import BARNS, OLD, draw_case, next_check, recalled


class Critic(ScriptedEnv):
    """Answer from memory, check with tools, answer again."""

    checks: int = 0
    """Searches and calculations that are granted; 0: as the level has it."""
    no_tool: bool = False
    """Control: every check says that it is unavailable."""

    env_id = "critic"
    seats = ("solver_0",)
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("no_tool",)
    reward_range = (0.0, 1.0)
    effects = {"search": search, "calculator": calculator}
    rules = (
        "Answer the question at once from memory, [draft ANSWER]; your memory may be wrong. Then check what you need: "
        "[search words] finds sentences in a library, [calc expression] calculates. At the end give your answer again, "
        "[final ANSWER]: only that counts."
    )

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        case = self.item(f"case{self.level}", lambda r: draw_case(r, self.level, self.split), lambda c: c.key)
        self.note(answer=case.answer)
        self.tell(f"{case.question} You remember: {case.memory}")
        free = "|".join(case.options) or "..."

        draft = yield self.turn(seat, f"draft {free}", "draft none", default="draft none")
        checks, tools = 0, [f"search {'|'.join(case.things) or '...'}", *["calc ..."] * bool(self.level)]
        while True:
            granted = tools if checks < (self.checks or (2, 8, 8)[self.level]) else []
            move = yield self.turn(seat, *granted, f"final {free}", "final none", default="final none")
            if move.verb == "final":
                break
            checks += 1
            if self.no_tool:
                self.tell("Unavailable.")
            elif move.verb == "search":
                found = yield self.effect("search", case.library, move.args[0])
                self.tell(f"Found: {' '.join(found)}" if found else "Found nothing.")
            else:
                result = yield self.effect("calculator", move.args[0])
                self.tell(f"Result {result['value']}." if "value" in result else f"No result: {result['error']}.")

        before, after = case.right(draft.args[0]), case.right(move.args[0])
        self.reward({seat: float(after)})
        self.outcome(
            correct=after,
            draft_correct=before,
            wrong_to_right=after and not before,
            right_to_wrong=before and not after,
            memory_right=case.memory_right,
            checks=checks,
            answer=case.answer,
        )


# -- players -----------------------------------------------------------------------------------------------------


def _answer(request: Request, answer: str) -> str:
    return f"[{request.commands[-1].split()[0]} {answer}]"


def _recalls(request: Request) -> str:
    return _answer(request, recalled(request.heard[0]))


def _check(request: Request, barns: tuple[str, ...] = BARNS) -> str:
    """Drafts what it remembers, looks up everything that the question needs, calculates, and answers."""
    if not request.commands[0].startswith("search"):  # the draft, or no checks left
        return _recalls(request)
    if results := [text for text in request.heard if text.startswith("Result ")]:
        return _answer(request, results[-1][len("Result ") : -1])
    found = "\n".join(text for text in request.heard[1:] if text.startswith("Found"))
    verb, what = next_check(request.heard[0], found, barns)
    return f"[{verb} {what}]" if verb else _answer(request, what)


def _random(request: Request) -> str:
    """Answers with any of the colors, or with a number of four or five digits after searching some words."""
    rng = request.rng
    if request.enumerable:
        return play_random(request)
    if "search ..." in request.commands and rng.random() < 0.6:
        return f"[search {rng.choice(re.findall(r'[A-Z][a-z]+|barns|sacks', request.heard[0]))}]"
    return _answer(request, str(rng.randrange(1000, 100_000)))


def _fickle(request: Request) -> str:
    """Drafts what it remembers, then says something else."""
    if request.commands[-1] == "draft none":
        return _recalls(request)
    own = recalled(request.heard[0])
    others = [a for a in request.legal_actions if a.startswith("[final") and own not in a]
    return request.rng.choice(others) if request.enumerable else _answer(request, f"{int(own) + 1}")


Critic.players = {
    "random": _random,
    "greedy": _recalls,
    "oracle": lambda request: _answer(request, request.facts["answer"]),
    "checker": _check,
    "hasty": lambda request: _check(request, BARNS + OLD),
    "fickle": _fickle,
    "mixed": mixed(_check, 0.3, _random, together=True),
}
