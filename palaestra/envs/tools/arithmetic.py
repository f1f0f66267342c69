"""Arithmetic with a calculator: a product too hard to do in the head, and a tool that does it.

| fact | value |
|---|---|
| seats | `solver_0` |
| turns | 1 to `tool_calls` + 1 |
| hidden | nothing; the answer is not told |
| reward | 1 for the right answer, else 0, minus `call_cost` a call: -1 to 1 |
| gold outcome | correct, used_tool, calls, answer |
| controls | `no_tool`: the calculator always says that it is unavailable |
| splits | train and test share no pair of operands (in either order); ood has a factor of one digit more |
| source | after the calculator of Toolformer, T. Schick et al. (arXiv 2302.04761) |

Level 0 asks for a product of two three-digit numbers in spaced digits (`Compute 5 2 3 * 4 1 7.`), so that a small
model can copy them digit by digit: into `[calc 5 2 3 * 4 1 7]`, and the result into `[answer 2 1 8 0 9 1]`. Level 1
asks in natural words, with two or three operations and unspaced numbers. The calculator and the answer accept spaced
and unspaced digits at every level.

Players: `random` (a number), `guesser` (a number as long as the product may be), `greedy` (reads every question as a
product and has the calculator do it), `careful` (has it do the right expression), `oracle` (knows the answer), `mixed`
(for demonstrations: careful in 30 episodes of 100, else a guess).
"""

from __future__ import annotations

import random

from palaestra.envs.script import Request, Script, ScriptedEnv
from palaestra.envs.tools.calculator import calculator, integer
from palaestra.envs.tools.sums import number, numbers_in, product, spaced, story, unordered


class Arithmetic(ScriptedEnv):
    """A product too hard to do in the head, with a calculator at hand."""

    tool_calls: int = 2
    """Calls of the calculator that are granted."""
    call_cost: float = 0.0
    """What a call costs of the reward."""
    no_tool: bool = False
    """Control: the calculator always says that it is unavailable."""

    env_id = "arithmetic"
    seats = ("solver_0",)
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("no_tool",)
    reward_range = (-1.0, 1.0)
    effects = {"calculator": calculator}
    rules = (
        "Answer the arithmetic question with [answer N]. A calculator is at hand: [calc EXPRESSION] tells you the "
        "value of an expression of integers with + - * and parentheses. Only the answer counts."
    )

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        show = str if self.level else spaced
        draw = story if self.level else product
        question, expression = self.item(f"arithmetic{self.level}", lambda r: draw(r, self.split == "ood"), unordered)
        gold = calculator(expression)["value"]
        self.note(expression=expression, answer=gold)
        self.tell(question)

        calls, given = 0, None
        while given is None:
            commands = ("calc ...", "answer ...") if calls < self.tool_calls else ("answer ...",)
            move = yield self.turn(seat, *commands, default="answer none")
            if move.verb == "answer":
                given = move.args[0]
                continue
            calls += 1
            result = {"error": "unavailable"} if self.no_tool else (yield self.effect("calculator", move.args[0]))
            value = result.get("value")
            self.tell(f"Result {show(value)}." if value else f"The calculator: {result['error']}.")

        correct = integer(given) == int(gold)
        self.reward({seat: correct - min(1.0, self.call_cost * calls)})
        self.outcome(correct=correct, used_tool=calls > 0, calls=calls, answer=gold)


# -- players -----------------------------------------------------------------------------------------------------


def _answer(request: Request, value: str) -> str:
    return f"[answer {_show(request, value)}]"


def _show(request: Request, expression: str) -> str:
    """A number, or an expression of numbers, in the way of the question."""
    return spaced(expression.replace(" ", "")) if request.env.level == 0 else expression


def _with_tool(request: Request, expression: str) -> str:
    """One call of the calculator, then its result; a guess where it gave none."""
    if request.turn == 0:
        return f"[calc {_show(request, expression)}]"
    results = [text for text in request.heard if text.startswith("Result ")]
    return f"[answer {results[-1][7:-1]}]" if results else _guesser(request)


def _random(request: Request) -> str:
    """Answers a number of one to seven digits."""
    return _answer(request, str(number(request.rng, request.rng.randint(1, 7))))


def _guesser(request: Request) -> str:
    """Answers a number as long as the product of the first two numbers of the question may be."""
    rng, (first, second) = request.rng, numbers_in(request.heard[0])[:2]
    return _answer(request, str(number(rng, len(first) + len(second) - rng.randrange(2))))


def _greedy(request: Request) -> str:
    """Reads every question as a product of its first two numbers plus the others, and lets the calculator do it."""
    first, *others = numbers_in(request.heard[0])
    return _with_tool(request, " + ".join([f"{first} * {others[0]}", *others[1:]]))


def _careful(request: Request) -> str:
    """Has the calculator do the right expression, and copies the result."""
    return _with_tool(request, request.facts["expression"])


def _mixed(request: Request) -> str:
    """For demonstrations: uses the calculator in 30 episodes of 100, guesses in the others."""
    return _careful(request) if request.turn > 0 or request.rng.random() < 0.3 else _guesser(request)


Arithmetic.players = {
    "random": _random,
    "guesser": _guesser,
    "greedy": _greedy,
    "careful": _careful,
    "oracle": lambda request: _answer(request, request.facts["answer"]),
    "mixed": _mixed,
}
