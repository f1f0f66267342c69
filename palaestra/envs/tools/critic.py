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
what was "before the flood". Level 2: a town is known only by who lives there.

`checks` (0: the level's own, 2 or 8) bounds searches and calculations together.

Players: `random`, `greedy` (drafts what it remembers and keeps it), `oracle`; `checker` (looks up all, calculates),
`hasty` (believes the first number that it finds, old ones too), `fickle` (always changes its mind), `mixed` (checks in
30 episodes of 100, guesses in the others; for demonstrations).
"""

from __future__ import annotations

import random
import re

from palaestra.envs.common.texts import search
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.tools.calculator import calculator, integer
from palaestra.envs.tools.cases import BARNS, OLD, SACKS, draw_color, draw_stores

NOW, ANY = BARNS, BARNS + OLD  # what may be believed about barns


# -- players -----------------------------------------------------------------------------------------------------


def _memory(request: Request) -> str:
    return request.heard[0].rpartition("You remember: ")[2]


def _remembered(request: Request) -> str:
    """The answer that follows from what is remembered."""
    if request.env.level == 0:
        return _memory(request).rstrip(".")
    return calculator(_expression(request, [int(n) for n in re.findall(r"[0-9]+", _memory(request))]))["value"]


def _expression(request: Request, numbers: list[int]) -> str:
    """Barns times sacks of the first town, plus or minus those of the second."""
    sign = "-" if re.search(r"\bmore\b|exceed", request.heard[0]) else "+"
    return "{} * {} {sign} {} * {}".format(*numbers, sign=sign)


def _drafting(request: Request) -> bool:
    return request.commands[0].startswith("draft")


def _answer(request: Request, answer: str) -> str:
    return f"[{'draft' if _drafting(request) else 'final'} {answer}]"


def _check(request: Request, barns: tuple[str, ...] = NOW) -> str:
    """Drafts what it remembers, looks up everything that the question needs, calculates, and answers.

    `barns` are the sentences that it believes about the number of barns.
    """
    if not request.commands[0].startswith("search"):  # the draft, or no checks left
        return _answer(request, _remembered(request))
    found = "\n".join(text for text in request.heard[1:] if text.startswith("Found"))
    if request.env.level == 0:
        thing = re.findall(r"the (\w+)\?", request.heard[0])[0]
        color = re.findall(rf"The {thing} is (\w+)\.", found)
        return _answer(request, color[0]) if color else f"[search {thing}]"
    if results := [text for text in request.heard if text.startswith("Result ")]:
        return _answer(request, results[-1][len("Result ") : -1])
    numbers = []
    for town in re.findall(r"(the town where \w+ lives|\w+) has", _memory(request)):
        if " " in town:
            person = town.split()[-2]
            lives = re.findall(rf"{person} lives in (\w+)\.", found)
            if not lives:
                return f"[search {person} lives]"
            town = lives[0]
        for what, patterns in (("barns", barns), ("sacks", SACKS)):
            pattern = "|".join(p.format(town=town, n="([0-9]+)", m="([0-9]+)", goods=r"\w+") for p in patterns)
            seen = re.search(pattern, found)
            if not seen:
                return f"[search {town} {what}]"
            numbers += [int(number) for number in seen.groups() if number]
    return f"[calc {_expression(request, numbers)}]"


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
    if _drafting(request):
        return _answer(request, _remembered(request))
    others = [a for a in request.legal_actions if a.startswith("[final") and _remembered(request) not in a]
    return request.rng.choice(others) if request.enumerable else _answer(request, f"{int(_remembered(request)) + 1}")


def _mixed(request: Request) -> str:
    """For demonstrations: checks in 30 episodes of 100, guesses in the others."""
    return (_check if request.env.stream("mixed").random() < 0.3 else _random)(request)


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
    players = {
        "random": _random,
        "greedy": lambda request: _answer(request, _remembered(request)),
        "oracle": lambda request: _answer(request, request.facts["answer"]),
        "checker": _check,
        "hasty": lambda request: _check(request, ANY),
        "fickle": _fickle,
        "mixed": _mixed,
    }
    rules = (
        "Answer the question at once from memory, [draft ANSWER]; your memory may be wrong. Then check what you need: "
        "[search words] finds sentences in a library, [calc expression] calculates. At the end give your answer again, "
        "[final ANSWER]: only that counts."
    )

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        draw = (
            (lambda r: draw_stores(r, self.level, self.split)) if self.level else (lambda r: draw_color(r, self.split))
        )
        case = self.item(f"case{self.level}", draw, lambda c: c.key)
        self.note(answer=case.answer)
        self.tell(f"{case.question} You remember: {case.memory}")
        free = "|".join(case.options) or "..."

        draft = yield self.turn(seat, f"draft {free}", "draft none", default="draft none")
        checks, most = 0, self.checks or (8 if self.level else 2)
        while True:
            tools = (f"search {'|'.join(case.things) or '...'}", *(["calc ..."] if self.level else []))
            move = yield self.turn(
                seat, *(tools if checks < most else ()), f"final {free}", "final none", default="final none"
            )
            if move.verb == "final":
                break
            checks += 1
            if self.no_tool:
                self.tell("Unavailable.")
            elif move.verb == "calc":
                result = yield self.effect("calculator", move.args[0])
                self.tell(f"Result {result['value']}." if "value" in result else f"No result: {result['error']}.")
            else:
                found = yield self.effect("search", case.library, move.args[0])
                self.tell(f"Found: {' '.join(found)}" if found else "Found nothing.")

        before, after = _same(draft.args[0], case.answer), _same(move.args[0], case.answer)
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


def _same(given: str, answer: str) -> bool:
    """Whether an answer is the right one: the same word, or the same number however it is spaced."""
    return given == answer or (integer(answer) is not None and integer(given) == integer(answer))
