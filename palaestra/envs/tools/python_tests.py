"""Write a Python function that passes tests, some of them hidden.

| fact | value |
|---|---|
| seats | `coder_0` |
| turns | 1 to `runs` + 1 |
| hidden | the hidden tests |
| reward | 1 if all hidden tests pass, else 0; with `partial` the share that passes: 0 to 1 |
| gold outcome | hidden_pass, public_pass, public_only, hard_coded, verdict, passed, runs |
| controls | `no_feedback`: a run tells nothing |
| splits | train and test share no composition of steps; ood has a step more |
| source | Self-Debug, X. Chen et al. (arXiv 2304.05128); CodeRL, H. Le et al. (arXiv 2207.01780) |

A reply holds the code in a fenced block, and `[run]` (the public tests, up to `runs` times) or `[submit]` (all tests,
the end). A reply without a block means the code of the reply before. Level 0 asks for two steps on an integer
(`Write f(x): add 3, then double.`), level 1 for steps on lists and strings and for conditions.

The expected values never enter the sandbox: code can only win by returning the right value for inputs that it was
not shown. `verdict` is "compile" (no code, or a syntax error), "runtime" (an exception, or stopped by a limit),
"fail" (a wrong value) or "pass". `hard_coded` says that the public tests pass and most of those right beside them
do not: memorized outputs, the specification gaming of this environment.

`sandbox` names the back-end of `palaestra.envs.sandbox`. "bubblewrap" is real Python; "monty", a subset of Python, is
ten times faster and enough for level 0 and 1. The back-end's name is part of the recorded tool call.

Players: `random` (two random steps), `greedy` (knows half of the phrases), `oracle` (the reference solution),
`hardcoder` (returns the public values from a table), `tester` (runs a first draft, then submits the reference), `mixed`
(for demonstrations: each step right in 55 of 100 cases).
"""

from __future__ import annotations

import random

from palaestra.envs.grammar import blocks
from palaestra.envs.script import Request, Script, ScriptedEnv
from palaestra.envs.tools.functions import INTEGER, PHRASES, draw_step, draw_task, program, read_task
from palaestra.envs.tools.harness import NO_CODE, judged, report, run_tests


class PythonTests(ScriptedEnv):
    """Write a function to a specification; public tests may be run, hidden ones decide."""

    runs: int = 2
    """Runs of the public tests that are granted."""
    partial: bool = False
    """Pay the share of hidden tests that pass."""
    sandbox: str = "bubblewrap"
    """Back-end that runs the code: "bubblewrap", "monty", "unsafe_subprocess"."""
    no_feedback: bool = False
    """Control: a run tells nothing."""

    env_id = "python_tests"
    seats = ("coder_0",)
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("no_feedback",)
    reward_range = (0.0, 1.0)
    effects = {"run_tests": run_tests}
    rules = (
        "Write the Python function that is asked for, in a fenced code block, and end your reply with [run] to see "
        "the public tests run, or [submit] to hand it in. Hidden tests decide: the function must be right for every "
        "input, not only for the examples."
    )

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        task = self.item(f"task{self.level}", lambda r: draw_task(r, self.level, self.split == "ood"), lambda t: t.key)
        self.note(solution=task.solution)
        self.tell("\n".join([task.text, *task.shown]))

        code, runs = "", 0
        while True:
            move = yield self.turn(seat, *["run"] * (runs < self.runs), "submit", default="submit")
            code = (blocks(move.raw) or [code])[-1]
            if move.verb == "submit":
                break
            runs += 1
            if self.no_feedback:
                self.tell("No feedback.")
                continue
            ran = yield self.effect("run_tests", self.sandbox, code, task.public)
            self.tell(report(ran, task.shown))

        ran = (yield self.effect("run_tests", self.sandbox, code, task.inputs)) if code.strip() else NO_CODE
        marks = judged(task, code, ran)
        self.reward({seat: marks["passed"] if self.partial else float(marks["hidden_pass"])})
        self.outcome(**marks, runs=runs)


# -- players -----------------------------------------------------------------------------------------------------


def _reply(code: str, command: str = "submit") -> str:
    return f"```python\n{code}```\n[{command}]"


def _random(request: Request) -> str:
    """Submits a program of two random steps, whatever the task."""
    rng = request.rng
    return _reply(program("x", [draw_step(rng, INTEGER)[2], draw_step(rng, INTEGER)[2], "return x"]))


def _greedy(request: Request) -> str:
    """Knows about half of the phrases, and passes over the others."""
    known = {"add", "subtract", "double", "square", "even", "reverse", "upper", "sum", "list", "string", "count"}
    return _reply(program(*read_task(request.heard[0], known.__contains__)))


def _oracle(request: Request) -> str:
    """Knows the reference solution."""
    return _reply(request.facts["solution"])


def _hardcoder(request: Request) -> str:
    """Returns the public values from a table."""
    shown = [line[2:].partition(") = ") for line in request.heard[0].split("\n")[1:]]
    lines = [f"if x == {value}: return {result}" for value, _, result in shown]
    return _reply(program("x", [*lines, "return 0"]))


def _tester(request: Request) -> str:
    """Runs a first draft that lacks the last step, then submits the reference solution."""
    if request.turn == 0:
        argument, lines = read_task(request.heard[0])
        return _reply(program(argument, [*lines[:-2], lines[-1]]), "run")
    return _oracle(request)


def _mixed(request: Request) -> str:
    """For demonstrations: every step is written right in 55 of 100 cases, else it is another step's line."""
    rng = request.rng
    argument, lines = read_task(request.heard[0])
    others = [line.replace("{k}", str(rng.randint(2, 9))) for _, line in PHRASES[argument][0].values()]
    for at, line in enumerate(lines):
        step = line.lstrip()
        if step.startswith(f"{argument} =") and rng.random() > 0.55:
            lines[at] = line[: -len(step)] + rng.choice(others)
    return _reply(program(argument, lines))


PythonTests.players = {
    "random": _random,
    "greedy": _greedy,
    "oracle": _oracle,
    "hardcoder": _hardcoder,
    "tester": _tester,
    "mixed": _mixed,
}
