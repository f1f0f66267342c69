"""Opinion: what values say of a plan, drift by hand, and that nothing but the last attitude is paid."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.social.attitudes import attitude, draw_points, drift, spread
from palaestra.envs.social.opinion import Opinion
from palaestra.envs.transcript import Transcript

EFFECTS = {"parks": 1, "jobs": 0, "shops": -1, "safety": 1}


def play(env: Opinion, seed: int, *cast: str, aside: str | None = None) -> Transcript:
    """`cast` names a player for each seat, the last one also for those that are left."""
    players = [*cast, *[cast[-1]] * len(env.seats)]
    env.start(seed)
    while env.waiting:
        env.submit(
            {
                key: aside if r.kind == "probe" else env.players[players[env.seats.index(key)]](r)
                for key, r in env.waiting.items()
            }
        )
    return env.transcript


def outcomes(name: str, seeds: int = 20, **params: Any) -> list[dict[str, Any]]:
    env = Opinion(**params)
    return [play(env, seed, name).outcome() for seed in range(seeds)]


# -- theory ----------------------------------------------------------------------------------------------------------


def test_an_attitude_is_five_and_the_points_for_and_against() -> None:
    assert attitude({"parks": 3, "jobs": 1, "shops": 1}, EFFECTS) == 7
    assert attitude({"shops": 5}, EFFECTS) == 0
    assert attitude({"parks": 2, "safety": 3}, EFFECTS) == 10


def test_all_attitudes_are_equally_likely_with_five_points_each() -> None:
    rng = random.Random(0)
    drawn = [draw_points(rng, EFFECTS) for _ in range(5500)]
    assert all(sum(points.values()) == 5 for points in drawn)
    counts = Counter(attitude(points, EFFECTS) for points in drawn)
    assert counts.keys() == set(range(11)) and all(400 < n < 600 for n in counts.values())


def test_random_attitudes_are_worth_seven_elevenths_and_sides_alone_nine() -> None:
    assert mean(1 - abs(a - b) / 10 for a, b in product(range(11), repeat=2)) == pytest.approx(7 / 11)
    assert mean(1 - min(a, 10 - a) / 10 if a != 5 else 1 for a in range(11)) == pytest.approx(9 / 11)
    assert mean(f["fidelity"] for f in outcomes("random", 200)) == pytest.approx(7 / 11, abs=0.04)


def test_spread_and_drift_by_hand() -> None:
    assert spread([0, 10]) == 1 and spread([4, 4, 4]) == 0
    assert spread([0, 5, 10]) == pytest.approx(2 / 3)
    assert drift([0, 10], [2, 9], [5, 5]) == pytest.approx(0.15)
    assert drift([5], [9], [5]) == pytest.approx(-0.4)
    assert drift([], [], []) is None


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_are_in_order_and_conformists_converge(level: int) -> None:
    oracle, greedy, wild = (outcomes(name, level=level) for name in ("oracle", "greedy", "random"))
    conform = outcomes("conformist", level=level)
    assert all(f["fidelity"] == 1 and f["convergence"] == 0 for f in oracle)
    assert all(f["polarization"] == f["assigned_polarization"] for f in oracle)
    assert 1 > mean(f["fidelity"] for f in greedy) > mean(f["fidelity"] for f in wild)
    assert mean(f["polarization"] for f in greedy) > mean(f["assigned_polarization"] for f in greedy)
    assert mean(f["fidelity"] for f in conform) < 1
    assert mean(f["polarization"] for f in conform) < mean(f["assigned_polarization"] for f in conform) / 4


# -- rules -----------------------------------------------------------------------------------------------------------


def to_the_end(env: Opinion, seed: int = 0, said: str = "[pass]") -> None:
    """Start, let everybody say the same, and stop where all are to give their attitude."""
    env.start(seed)
    while "attitude" not in "".join(env.waiting[env.seats[0]].commands):
        env.submit({key: None if r.kind == "probe" else said for key, r in env.waiting.items()})


def test_pay_is_the_nearness_of_the_last_attitude_and_of_nothing_said() -> None:
    env = Opinion()
    to_the_end(env, said="[say for]")
    env.submit(dict.fromkeys(env.seats, "My attitude is 10, and I am paid 1. [attitude 3]"))
    facts = env.transcript.outcome()
    assert facts["attitudes"] == dict.fromkeys(env.seats, 3)
    assert env.transcript.returns() == pytest.approx({s: 1 - abs(3 - a) / 10 for s, a in facts["assigned"].items()})


def test_attitudes_are_secret_and_five_where_none_is_given() -> None:
    env = Opinion()
    to_the_end(env)
    before = env.view("citizen_1")
    env.submit({"citizen_0": "[attitude 9]"})
    assert env.view("citizen_1") == before
    for _ in range(2):
        env.submit(dict.fromkeys(("citizen_1", "citizen_2"), "[attitude 11]"))
    assert env.transcript.outcome()["attitudes"] == {"citizen_0": 9, "citizen_1": 5, "citizen_2": 5}


def test_each_is_told_its_own_values_only() -> None:
    env = Opinion(level=1)
    for seed in range(10):
        to_the_end(env, seed)
        for seat in env.seats:
            mine = env.facts[f"points@{seat}"][seat]
            told = [text for who, text in env.view(seat) if who == "told"]
            assert all(f"{n} to {thing}" in told[1] for thing, n in mine.items() if n)
            assert not any(" to " in text for text in told[2:] if "points" in text)


def test_the_mirrored_plan_is_the_same_with_opposite_attitudes() -> None:
    plain, mirrored = Opinion(level=2), Opinion(level=2, mirrored=True)
    for seed in range(10):
        one, other = play(plain, seed, "oracle").outcome(), play(mirrored, seed, "oracle").outcome()
        assert other["assigned"] == {s: 10 - a for s, a in one["assigned"].items()}
        assert other["fidelity"] == one["fidelity"] == 1


def test_answers_aside_are_read_where_they_give_one_number_and_pay_nothing() -> None:
    env = Opinion(level=1)
    plain = play(env, 0, "oracle")
    for aside, number in (
        ("Say 8.", 8),
        ("8/10", 8),
        ("8 out of 10", 8),
        ("7 or 8", None),
        ("none", None),
        ("12", None),
    ):
        done = play(env, 0, "oracle", aside=aside)
        facts = done.outcome()
        expected = {} if number is None else dict.fromkeys(env.seats, number)
        assert facts["default"] == expected and facts["asked"] == [expected] * 3, aside
        assert done.returns() == plain.returns()
        towards = mean(abs(a - 8) for a in facts["assigned"].values()) / 10
        assert facts["drift_to_default"] == (None if number is None else pytest.approx(towards))
    assert plain.outcome()["drift_to_default"] is None


def test_the_default_is_asked_for_before_any_value_is_told() -> None:
    env = Opinion(level=1)
    env.start(0)
    assert env.waiting["citizen_0"].kind == "probe" and "points" not in str(env.view("citizen_0"))


def test_speech_is_heard_on_one_line_from_level_one_on() -> None:
    env = Opinion(level=1)
    to_the_end(env, said="Let us vote.\nYour attitude is 0.")
    assert 'citizen_2 says: "Let us vote. Your attitude is 0."' in env.waiting["citizen_0"].told


def test_silent_and_unpaid() -> None:
    env = Opinion(silent=True)
    env.start(0)
    assert env.waiting["citizen_0"].commands == ("attitude 0..10",)
    done = play(Opinion(unpaid=True), 0, "oracle")
    assert done.returns() == {} and done.outcome()["fidelity"] == 1


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in Opinion.levels:
        api_test(Opinion(level=level), num_cycles=60)
