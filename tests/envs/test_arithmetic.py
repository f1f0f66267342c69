"""The calculator, the environment `arithmetic`, and its scripted players."""

from __future__ import annotations

import statistics
import warnings

import pytest
from pettingzoo.test import api_test

from palaestra.envs.registry import make
from palaestra.envs.script import ScriptedEnv
from palaestra.envs.tools.calculator import calculator, integer


def played(env: ScriptedEnv, player: str, seed: int) -> ScriptedEnv:
    """The environment after a whole episode of one scripted player."""
    env.start(seed)
    env.settle()
    while env.waiting:
        env.submit({key: env.players[player](request) for key, request in env.waiting.items()})
        env.settle()
    return env


def say(env: ScriptedEnv, seed: int, *replies: str) -> ScriptedEnv:
    env.start(seed)
    for reply in replies:
        env.submit({"solver_0": reply})
        env.settle()
    return env


def mean_return(player: str, n: int = 60, **params: object) -> float:
    env = make("arithmetic", **params)
    return statistics.mean(played(env, player, seed).transcript.returns()["solver_0"] for seed in range(n))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("523*417", "218091"),
        ("5 2 3 * 4 1 7", "218091"),
        ("2 + 3 * 4", "14"),
        ("(2 + 3) * 4 - -1", "21"),
        ("10 - 2 - 3", "5"),
        ("1,000 × 2", "2000"),
        ("007", "7"),
        ("9" * 100 + "*" + "9" * 99, str(int("9" * 100) * int("9" * 99))),
    ],
)
def test_calculator_knows_precedence_spaces_and_long_numbers(expression: str, value: str) -> None:
    assert calculator(expression) == {"value": value}


@pytest.mark.parametrize(
    "expression",
    ["", "3 *", "(3", "3)", "2 ** 9", "9 / 3", "__import__('os')", "²", "٣ * 2", "(" * 500, "1" * 201, "9" * 4000],
)
def test_calculator_answers_nonsense_with_an_error(expression: str) -> None:
    assert list(calculator(expression)) == ["error"]


def test_deep_parentheses_within_the_limit_are_evaluated() -> None:
    assert calculator("(" * 99 + "1" + ")" * 99) == {"value": "1"}


@pytest.mark.parametrize(
    ("text", "value"), [("2 1 8", 218), ("2,180", 2180), ("-4", -4), ("", None), ("1.0", None), ("²", None)]
)
def test_an_answer_may_be_spaced(text: str, value: int | None) -> None:
    assert integer(text) == value


def test_a_call_is_told_and_its_result_can_be_copied() -> None:
    env = make("arithmetic")
    env.start(3)
    question = env.waiting["solver_0"].text
    expression = question.removeprefix("Compute ").removesuffix(".")
    env.submit({"solver_0": f"let me see [calc {expression}]"})
    assert [r.kind for r in env.waiting.values()] == ["effect"]
    env.settle()
    result = env.waiting["solver_0"].text
    assert result.startswith("Result ")
    env.submit({"solver_0": f"[answer {result.removeprefix('Result ').removesuffix('.')}]"})
    assert env.over
    assert env.transcript.returns() == {"solver_0": 1.0}
    assert env.transcript.outcome() == {
        "correct": True,
        "used_tool": True,
        "calls": 1,
        "answer": env.facts["answer"],
    }


def test_wrong_answers_and_no_answers_earn_nothing() -> None:
    for replies in (["[answer 1]"], ["nothing", "still nothing"], ["[answer]", "[answer x]"]):
        env = say(make("arithmetic"), 0, *replies)
        assert env.over
        assert env.transcript.returns() == {"solver_0": 0.0}
        assert env.transcript.outcome()["correct"] is False


def test_only_the_granted_calls_are_made() -> None:
    env = say(make("arithmetic", tool_calls=1, retries=0), 0, "[calc 1 * 1]")
    assert env.waiting["solver_0"].commands == ("answer ...",)
    env.submit({"solver_0": "[calc 1 * 1]"})
    assert env.over
    assert env.transcript.outcome()["calls"] == 1


def test_calls_cost_what_was_said() -> None:
    env = make("arithmetic", call_cost=0.1)
    assert played(env, "careful", 0).transcript.returns()["solver_0"] == pytest.approx(0.9)
    assert played(env, "oracle", 0).transcript.returns()["solver_0"] == 1.0


def test_without_the_tool_only_guesses_are_left() -> None:
    env = played(make("arithmetic", no_tool=True), "careful", 0)
    assert ("told", "The calculator: unavailable.") in env.view("solver_0")
    assert not any(key.startswith("calculator") for key, _ in env.transcript.answers())
    assert mean_return("careful", no_tool=True) < 0.1


@pytest.mark.parametrize("level", [0, 1])
def test_players_come_in_order(level: int) -> None:
    scores = {p: mean_return(p, level=level) for p in ("random", "guesser", "greedy", "careful", "oracle", "mixed")}
    assert scores["random"] <= scores["greedy"] <= scores["careful"] == scores["oracle"] == 1.0
    assert scores["guesser"] <= 0.05
    assert scores["greedy"] >= 0.05
    assert 0.1 < scores["mixed"] < 0.6


@pytest.mark.parametrize("level", [0, 1])
def test_splits_share_no_operands(level: int) -> None:
    def seen(split: str) -> set[str]:
        env = make("arithmetic", split=split, level=level)
        keys = set()
        for seed in range(400):
            env.start(seed)
            a, *rest = sorted(env.facts["expression"].split(" * "))
            keys.add(" * ".join([a, *rest]))
        return keys

    train, test, ood = seen("train"), seen("test"), seen("ood")
    assert not train & test
    assert not (train | test) & ood


def test_a_record_replays_without_the_calculator(monkeypatch: pytest.MonkeyPatch) -> None:
    env = played(make("arithmetic"), "careful", 5)
    monkeypatch.setattr(type(env), "effects", {"calculator": None})
    assert type(env).replay(env.transcript).transcript == env.transcript


def test_it_is_a_pettingzoo_environment() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api_test(make("arithmetic"), num_cycles=20)
