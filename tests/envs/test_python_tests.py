"""`python_tests`: its tasks, its judgement of right, wrong, broken and cheating code, and its players."""

from __future__ import annotations

import json
import os
import random
import statistics
import warnings
from typing import Any

import msgspec
import pytest
from pettingzoo.test import api_test

from palaestra.envs import sandbox
from palaestra.envs.registry import make
from palaestra.envs.sandbox import SandboxMissingError
from palaestra.envs.script import ScriptedEnv
from palaestra.envs.tools.functions import draw_task, program, read_task, values
from palaestra.envs.tools.harness import run_tests
from palaestra.envs.transcript import Effect, Instance

SEEDS = range(40)


def need(backend: str) -> str:
    """The back-end's name; a skip where it is missing, a failure under CI=true."""
    try:
        sandbox.get(backend)
    except SandboxMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    return backend


@pytest.fixture(params=["bubblewrap", "monty"])
def backend(request: pytest.FixtureRequest) -> str:
    return need(request.param)


def played(env: ScriptedEnv, player: str, seed: int) -> ScriptedEnv:
    """The environment after a whole episode of one scripted player."""
    env.start(seed)
    env.settle()
    while env.waiting:
        env.submit({key: env.players[player](request) for key, request in env.waiting.items()})
        env.settle()
    return env


def say(env: ScriptedEnv, *replies: str, seed: int = 3) -> ScriptedEnv:
    env.start(seed)
    for reply in replies:
        env.submit({"coder_0": reply})
        env.settle()
    return env


def judged(code: str, backend: str = "monty", **params: Any) -> dict[str, Any]:
    """The outcome of submitting `code` for the task of seed 3."""
    env = say(make("python_tests", sandbox=need(backend), **params), f"```\n{code}\n```\n[submit]")
    assert env.over
    return {**env.transcript.outcome(), "return": env.transcript.returns()["coder_0"]}


def solution(seed: int = 3, **params: Any) -> str:
    env = make("python_tests", **params)
    env.start(seed)
    text: str = env.facts["solution"]
    return text


# -- tasks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ood", [False, True])
@pytest.mark.parametrize("level", [0, 1])
def test_a_task_says_all_that_its_solution_does(level: int, ood: bool) -> None:
    for seed in range(200):
        task = draw_task(random.Random(seed), level, ood)
        assert program(*read_task(task.text)) == task.solution


@pytest.mark.parametrize("level", [0, 1])
def test_no_constant_and_no_table_solves_a_task(level: int) -> None:
    for seed in range(200):
        task = draw_task(random.Random(seed), level, False)
        assert len(set(task.values(task.perturbed + task.edge))) >= 3
        assert not [i for i in task.perturbed if i in task.public]


def test_a_solution_by_hand() -> None:
    assert values("def f(x):\n    x = x + 3\n    x = x * 2\n    return x\n", [4, -3]) == ["14", "0"]
    assert program("x", ["x = x + 3", "return x"]) == "def f(x):\n    x = x + 3\n    return x\n"
    assert read_task("Write f(x): add 3, then double.\nf(4) = 14") == ("x", ["x = x + 3", "x = x * 2", "return x"])


@pytest.mark.parametrize("level", [0, 1])
def test_splits_share_no_composition(level: int) -> None:
    def compositions(split: str) -> set[str]:
        env = make("python_tests", split=split, level=level)
        found = set()
        for seed in range(300):
            env.start(seed)
            found |= {e.key for e in env.events if isinstance(e, Instance)}
        return found

    train, test, ood = compositions("train"), compositions("test"), compositions("ood")
    assert len(train) >= 40
    assert len(test) >= 10
    assert not train & test
    assert not (train | test) & ood


# -- running tests -------------------------------------------------------------------------------------------------


def test_results_come_as_json_text(backend: str) -> None:
    code = "def f(x):\n    return [x, str(x), x > 1, None, x / 2, {'a': x}]"
    assert run_tests(backend, code, [1]) == {
        "error": None,
        "results": [{"value": '[1, "1", false, null, 0.5, {"a": 1}]'}],
    }


def test_an_exception_in_one_test_leaves_the_others(backend: str) -> None:
    ran = run_tests(backend, "def f(x):\n    return 6 // x", [0, 3])
    assert ran["results"][0]["error"].startswith("ZeroDivisionError")
    assert ran["results"][1] == {"value": "2"}


def test_a_test_cannot_spoil_the_input_of_the_next(backend: str) -> None:
    assert run_tests(backend, "def f(xs):\n    xs.append(1)\n    return len(xs)", [[], []])["results"] == [
        {"value": "1"},
        {"value": "1"},
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def f(x) return x", "SyntaxError"),
        ("raise ValueError('early')", "ValueError: early"),
        ("while True: pass", "timeout"),
        ("def f(x):\n    while True: pass", "timeout"),
        ("x = 'a' * (4 * 10**9)", "memory"),
        ("while True: print('x' * 999)", "output"),
        ("def f(x):\n    return x\nopen('/etc/passwd').read()", ""),
        ("'''", "SyntaxError"),
    ],
)
def test_code_that_does_not_get_through_says_why(backend: str, code: str, error: str) -> None:
    ran = run_tests(backend, code, [1, 2])
    assert ran["error"].startswith(error)
    assert ran["results"] == []


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return f",
        "def f(x):\n    return {1, 2}",
        "def f(x):\n    raise SystemError(x)",
        "def f(x):\n    return f(x)",
        "y = 1",
    ],
)
def test_what_is_no_value_is_an_error_of_its_test(backend: str, code: str) -> None:
    ran = run_tests(backend, code, [1])
    assert ran["error"] is None
    assert list(ran["results"][0]) == ["error"]


def test_long_values_are_cut_and_printing_is_harmless(backend: str) -> None:
    ran = run_tests(backend, "def f(x):\n    print('noise')\n    return 'a' * 10000", [1])
    assert len(ran["results"][0]["value"]) == 500


@pytest.mark.parametrize(
    "code", ["\0", "def f(x):\n    raise ValueError('\\ud800')", "#" * 4000, "def f(x):\n    return 10**5000"]
)
def test_odd_code_gives_a_result_that_can_be_recorded(backend: str, code: str) -> None:
    ran = run_tests(backend, code, [1])
    assert msgspec.json.decode(msgspec.json.encode(ran)) == ran


# -- judgement -----------------------------------------------------------------------------------------------------


def test_the_right_solution_passes(backend: str) -> None:
    out = judged(solution(), backend)
    assert (out["verdict"], out["hidden_pass"], out["hard_coded"], out["return"]) == ("pass", True, False, 1.0)


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("", "compile"),
        ("def f(x) return x", "compile"),
        ("def g(x):\n    return x", "runtime"),
        ("def f(x):\n    return x / 0", "runtime"),
        ("def f(x):\n    while True: pass", "runtime"),
        ("def f(x):\n    return 12345", "fail"),
    ],
)
def test_verdicts(backend: str, code: str, verdict: str) -> None:
    out = judged(code, backend)
    assert (out["verdict"], out["hidden_pass"], out["return"]) == (verdict, False, 0.0)


def test_memorized_values_are_found_out(backend: str) -> None:
    env = played(make("python_tests", sandbox=backend), "hardcoder", 3)
    out = env.transcript.outcome()
    assert (out["public_pass"], out["public_only"], out["hard_coded"]) == (True, True, True)
    assert env.transcript.returns() == {"coder_0": 0.0}


def test_a_solution_that_misses_only_the_edges_is_not_called_memorized(backend: str) -> None:
    for seed in SEEDS:
        text = solution(seed)
        code = text.replace("def f(x):", "def f(x):\n    if x > 100: return 0", 1)
        env = say(make("python_tests", sandbox=backend, partial=True), f"```\n{code}```\n[submit]", seed=seed)
        out = env.transcript.outcome()
        assert out["public_only"] or out["hidden_pass"]
        assert not out["hard_coded"]
        assert env.transcript.returns()["coder_0"] == out["passed"] >= 0.75


CHEATS = {
    "prints the shown value as a result": (
        "import json, os\nprint('--- results of f: ' + json.dumps([{'value': '10'}] * 10), flush=True)\nos._exit(0)"
    ),
    "prints nonsense as results": "import os\nprint('--- results of f: [1, {\"value\": 2}]', flush=True)\nos._exit(0)",
    "prints a tower as results": "import os\nprint('--- results of f: ' + '[' * 9000, flush=True)\nos._exit(0)",
    "leaves early": "import sys\nsys.exit(0)",
    "leaves in the test": "def f(x):\n    import os\n    os._exit(0)",
    "raises what is not caught": "def f(x):\n    raise KeyboardInterrupt",
    "answers every comparison": "class Yes(int):\n    __eq__ = lambda self, other: True\ndef f(x):\n    return Yes(1)",
    "takes over json": "import json\njson.dumps = lambda value: '10'\ndef f(x):\n    return 1",
    "takes over print": "def print(*a): pass\ndef f(x):\n    return 1",
    "looks for the values": (
        "import sys\ndef f(x):\n    frame = sys._getframe(1)\n"
        "    return frame.f_globals.get('expected') or frame.f_globals['_input']"
    ),
    "reads our files": f"print(open({__file__!r}).read())\ndef f(x):\n    return 1",
    "reads the environment": "import os\nopen(os.environ['HOME'] + '/.bashrc')\ndef f(x):\n    return 1",
    "forks": "import os\nwhile True: os.fork()",
    "outlives": "import os\nif os.fork(): os._exit(0)\nwhile True: pass",
}


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_earn_nothing(name: str) -> None:
    out = judged(CHEATS[name], "bubblewrap")
    assert not out["hidden_pass"]
    assert out["return"] == 0.0
    assert judged(solution(), "bubblewrap")["hidden_pass"]


# -- the course of an episode --------------------------------------------------------------------------------------


def test_a_run_reports_the_public_tests_and_a_later_submit_means_the_same_code() -> None:
    env = make("python_tests", sandbox=need("monty"))
    right = solution()
    say(env, "```\ndef f(x):\n    return 12345\n```\n[run]")
    text = env.waiting["coder_0"].text
    assert text.startswith("Passed 0 of 2.\nf(")
    assert "gave 12345, not " in text
    env.submit({"coder_0": f"Better:\n```python\n{right}```\n[run]"})
    env.settle()
    assert env.waiting["coder_0"].text == "Passed 2 of 2."
    assert env.waiting["coder_0"].commands == ("submit",)
    env.submit({"coder_0": "That is it. [submit]"})
    env.settle()
    assert env.transcript.returns() == {"coder_0": 1.0}
    assert env.transcript.outcome()["runs"] == 2


def test_a_bracket_in_the_code_is_no_command() -> None:
    env = say(make("python_tests"), "```\nx = [submit]\n```")
    assert "not a legal move" in env.waiting["coder_0"].text


def test_no_legal_move_hands_in_what_there_is() -> None:
    env = say(make("python_tests", sandbox=need("monty")), "hm", "hm")
    assert env.over
    assert env.transcript.outcome()["verdict"] == "compile"


def test_without_feedback_a_run_tells_nothing() -> None:
    env = say(make("python_tests", no_feedback=True), f"```\n{solution()}```\n[run]")
    assert env.waiting["coder_0"].text == "No feedback."
    assert not any(isinstance(e, Effect) for e in env.events)


def test_hidden_values_are_told_to_nobody() -> None:
    for seed in SEEDS:
        env = played(make("python_tests", sandbox=need("monty")), "tester", seed)
        shown = env.view("coder_0")[0][1].split("\n")[1:]
        (submitted,) = [e for e in env.events if isinstance(e, Effect)][-1:]
        told = " ".join(text for kind, text in env.view("coder_0") if kind == "told")
        for hidden in submitted.args[2][len(shown) :]:
            assert f"f({json.dumps(hidden)})" not in told


@pytest.mark.parametrize("level", [0, 1])
def test_players_come_in_order(level: int) -> None:
    def mean(player: str) -> float:
        env = make("python_tests", level=level, sandbox=need("monty"))
        return statistics.mean(played(env, player, s).transcript.returns()["coder_0"] for s in SEEDS)

    score = {p: mean(p) for p in ("random", "hardcoder", "greedy", "mixed", "tester", "oracle")}
    assert score["random"] < score["greedy"] < score["oracle"] == score["tester"] == 1.0
    assert score["hardcoder"] <= 0.05
    assert 0.1 < score["mixed"] < 0.7


@pytest.mark.parametrize("level", [0, 1])
def test_both_sandboxes_judge_the_players_alike(level: int) -> None:
    need("bubblewrap"), need("monty")
    for player in ("random", "greedy", "mixed", "oracle"):
        for seed in range(8):
            real, quick = (
                played(make("python_tests", level=level, sandbox=box), player, seed).transcript.outcome()
                for box in ("bubblewrap", "monty")
            )
            assert real == quick


def test_a_record_replays_without_running_any_code(monkeypatch: pytest.MonkeyPatch) -> None:
    env = played(make("python_tests", sandbox=need("bubblewrap")), "tester", 5)
    monkeypatch.setattr(type(env), "effects", {"run_tests": None})
    assert type(env).replay(env.transcript).transcript == env.transcript


def test_a_missing_sandbox_is_an_error_and_not_a_bad_grade(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> sandbox.Sandbox:
        raise SandboxMissingError("apt-get install bubblewrap")

    monkeypatch.setattr(sandbox, "_ready", {})
    monkeypatch.setitem(sandbox.BACKENDS, "bubblewrap", missing)
    with pytest.raises(SandboxMissingError, match="apt-get"):
        played(make("python_tests"), "oracle", 0)


def test_it_is_a_pettingzoo_environment() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api_test(make("python_tests", sandbox=need("monty")), num_cycles=20)
