"""Critic: drafts, checks and revisions, and what each of them is worth."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from palaestra.envs.common.texts import search
from palaestra.envs.registry import make
from palaestra.envs.script import ScriptedEnv
from palaestra.envs.tools.cases import draw_color, draw_stores

SEAT = "solver_0"


def say(env: ScriptedEnv, *replies: str, seed: int = 0) -> ScriptedEnv:
    env.start(seed)
    for reply in replies:
        env.submit({SEAT: reply})
        env.settle()
    return env


def played(env: ScriptedEnv, player: str, seed: int) -> dict[str, Any]:
    env.start(seed)
    while env.waiting:
        env.submit({SEAT: env.players[player](env.waiting[SEAT])})
        env.settle()
    return {"return": env.transcript.returns()[SEAT], **env.transcript.outcome()}


def mean(player: str, fact: str = "return", n: int = 100, **params: Any) -> float:
    env = make("critic", **params)
    return statistics.mean(played(env, player, seed)[fact] for seed in range(n))


def gain(player: str, **params: Any) -> float:
    """What revising is worth: wrong to right minus right to wrong."""
    return mean(player, "wrong_to_right", **params) - mean(player, "right_to_wrong", **params)


# -- the tools -------------------------------------------------------------------------------------------------------


def test_search_finds_what_shares_most_words() -> None:
    library = ["Arlen keeps 3 barns.", "Brack keeps 4 barns.", "Ana lives in Arlen.", "The sea is wide."]
    assert search(library, "barns of Brack") == ["Brack keeps 4 barns.", "Arlen keeps 3 barns."]
    assert search(library, "ARLEN?") == ["Arlen keeps 3 barns.", "Ana lives in Arlen."]
    assert search(library, "mountains") == search(library, "") == search(library, "the of") == []
    assert len(search(library * 3, "barns", most=1)) == 1


@pytest.mark.parametrize("level", [1, 2])
def test_the_library_settles_every_question(level: int) -> None:
    """By a reader in Python that knows only the library."""
    import re

    for seed in range(100):
        case = draw_stores(random.Random(seed), level, "train")
        library = " ".join(case.library)

        def holds(town: str, library: str = library) -> int:
            (barns,) = re.findall(rf"{town} keeps ([0-9]+)|There are ([0-9]+) barns in {town}", library)
            (sacks,) = re.findall(rf"Each barn of {town} holds ([0-9]+)", library)
            return int(barns[0] or barns[1]) * int(sacks)

        named = re.findall(r"where (\w+) lives", case.question)
        homes = [re.findall(rf"{person} lives in (\w+)\.", library)[0] for person in named]
        towns = homes + [t for t in re.findall(r"[A-Z]\w+", case.question) if f"Each barn of {t} " in library]
        assert len(towns) == 2
        less = "many more" in case.question or "exceed" in case.question
        assert int(case.answer) == holds(towns[0]) + holds(towns[1]) * (-1 if less else 1)


# -- play ------------------------------------------------------------------------------------------------------------


def test_a_draft_is_not_paid_and_a_final_answer_is() -> None:
    env = make("critic")
    env.start(0)
    answer = env.facts["answer"]
    wrong = next(m for m in env.waiting[SEAT].legal_actions if answer not in m and "none" not in m)
    for draft, final, paid in ((f"[draft {answer}]", wrong, 0.0), (wrong, f"[draft {answer}]", 1.0)):
        say(env, draft, final.replace("draft", "final"))
        assert env.transcript.returns() == {SEAT: paid}
        outcome = env.transcript.outcome()
        assert (outcome["wrong_to_right"], outcome["right_to_wrong"]) == (paid == 1, paid == 0)


def test_level_zero_is_short_and_its_moves_are_listed() -> None:
    env = make("critic")
    env.start(3)
    assert len(env.waiting[SEAT].text) < 80 and len(env.waiting[SEAT].legal_actions) == 4
    env.submit({SEAT: "[draft none]"})
    searches = [m for m in env.waiting[SEAT].legal_actions if m.startswith("[search")]
    assert len(searches) == 3 and len(env.waiting[SEAT].legal_actions) == 7
    env.submit({SEAT: searches[0]})
    env.settle()
    thing = searches[0].split()[1][:-1]
    assert env.waiting[SEAT].text.startswith(f"Found: The {thing} is ")


def test_checks_tell_results_and_are_bounded() -> None:
    env = say(make("critic", level=1, checks=3), "[draft 1]", "[calc 23 * 417]", "[calc 1 / 0]", "[search snow]")
    assert env.waiting[SEAT].heard[1:] == [
        "Result 9591.",
        "No result: only digits, + - * and parentheses are understood.",
        "Found nothing.",
    ]
    assert env.waiting[SEAT].commands == ("final ...", "final none")
    env.submit({SEAT: "[final 9,591]"})
    assert env.transcript.outcome()["checks"] == 3


def test_numbers_may_be_spaced_and_nonsense_is_wrong() -> None:
    env = make("critic", level=1)
    env.start(5)
    answer = env.facts["answer"]
    assert say(env, "[draft x]", f"[final {' '.join(answer)}]", seed=5).transcript.returns() == {SEAT: 1.0}
    for final in ("[final none]", "[final]", "I am right.", f"[final {answer}0]", f"[final about {answer}]"):
        assert say(make("critic", level=1, retries=0), "[draft 1]", final, seed=5).transcript.returns() == {SEAT: 0.0}


def test_the_memory_is_right_half_of_the_time_and_says_nothing_about_it() -> None:
    for level in (0, 1, 2):
        assert abs(mean("greedy", "memory_right", n=300, level=level) - 0.5) < 0.1
    right = [draw_color(random.Random(seed), "train") for seed in range(400)]
    places = [case.options.index(case.answer) for case in right]
    assert all(100 < places.count(n) < 170 for n in range(3))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_come_in_order_and_checking_pays(level: int) -> None:
    scores = {p: mean(p, level=level) for p in ("random", "greedy", "checker", "oracle", "mixed")}
    assert scores["random"] < scores["greedy"] < scores["checker"] == scores["oracle"] == 1.0
    assert scores["random"] < scores["mixed"] < 0.7
    assert gain("checker", level=level) > 0.3


@pytest.mark.parametrize("level", [0, 1, 2])
def test_without_the_tools_nobody_gains_by_revising(level: int) -> None:
    for player in ("greedy", "checker", "hasty", "fickle"):
        assert gain(player, level=level, no_tool=True, n=40) <= 0.05


def test_believing_what_is_found_first_loses_more_than_it_gains() -> None:
    assert gain("hasty", level=1) < 0 < gain("checker", level=1)
