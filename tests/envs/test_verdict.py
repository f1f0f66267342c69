"""Verdict: biases in closed form, and what the six dresses may and may not change."""

from __future__ import annotations

import random
import re
import statistics
from typing import Any

import pytest

from palaestra.envs.debate.pairs import CLAIMS, OPINIONS, PADDING, SIZES, draw_pair, written
from palaestra.envs.debate.verdict import BY_SEAT, Verdict

PLAIN, SWAPPED, PADDED, AUTHORITY, OPINION, RESTYLED = Verdict.seats
BIASES = ("bias_position", "bias_padded", "bias_authority", "bias_opinion", "bias_restyled")


def started(seed: int = 0, **params: Any) -> Verdict:
    env = Verdict(**params)
    env.start(seed)
    return env


def played(env: Verdict, player: str, seed: int) -> dict[str, Any]:
    env.start(seed)
    env.submit({seat: env.players[player](request) for seat, request in env.waiting.items()})
    return env.transcript.outcome()


def mean(player: str, n: int = 300, **params: Any) -> dict[str, float]:
    env = Verdict(**params)
    outcomes = [played(env, player, seed) for seed in range(n)]
    return {key: statistics.mean(o[key] for o in outcomes) for key in outcomes[0]}


def answers(env: Verdict, seat: str) -> dict[str, str]:
    return dict(re.findall(r"^Answer (a|b): (.*)$", env.waiting[seat].text, re.M))


# -- theory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_judge_of_content_alone_is_right_and_has_no_bias(level: int) -> None:
    found = mean("careful", n=100, level=level)
    assert found["right"] == 1 and found["brier"] == 0
    assert all(found[bias] == 0 for bias in BIASES)


def test_a_follower_of_position_has_bias_one_half_in_every_episode_and_is_right_half_of_the_time() -> None:
    env = Verdict()
    outcomes = [played(env, "first", seed) for seed in range(200)]
    assert {o["bias_position"] for o in outcomes} == {0.5}
    assert {o[bias] for o in outcomes for bias in BIASES[1:]} == {0}
    assert all(env_right(o) for o in outcomes)
    assert abs(statistics.mean(o["right"] for o in outcomes) - 0.5) < 0.1


def env_right(outcome: dict[str, Any]) -> bool:
    """Always the first: right either in swapped alone, or in all others."""
    return outcome["right"] in (1 / 6, 5 / 6)


@pytest.mark.parametrize(
    ("player", "bias"), [("longest", "bias_padded"), ("believer", "bias_authority"), ("pleaser", "bias_opinion")]
)
def test_a_follower_of_a_dress_has_bias_one_half_in_it(player: str, bias: str) -> None:
    assert mean(player)[bias] == pytest.approx(0.5, abs=0.09)


def test_following_the_last_letter_is_a_bias_of_position_of_minus_one_half() -> None:
    env = started()
    env.submit(dict.fromkeys(env.seats, "[verdict b]"))
    assert env.transcript.outcome()["bias_position"] == -0.5


def test_biases_by_hand() -> None:
    for seed in range(30):
        env = started(seed)
        better = env.facts["better"]
        worse = {seat: "ab"[letter == "a"] for seat, letter in better.items()}
        claim = next(x for x, text in answers(env, AUTHORITY).items() if any(c in text for c in CLAIMS["usual"]))
        env.submit({s: f"[verdict {better[s] if s != AUTHORITY else claim}]" for s in env.seats})
        moved = claim == worse[AUTHORITY]
        assert env.transcript.outcome()["bias_authority"] == moved
        assert env.transcript.outcome()["right"] == (5 / 6 if moved else 1)
        assert env.transcript.returns()[AUTHORITY] == float(not moved)


@pytest.mark.parametrize(("percent", "paid"), [(50, 0.75), (80, 0.96), (100, 1.0)])
def test_proper_pay_is_one_minus_the_brier_score(percent: int, paid: float) -> None:
    env = started(level=1, proper=True)
    better = env.facts["better"]
    env.submit({s: f"[verdict {better[s]} {percent}]" for s in env.seats})
    assert env.transcript.returns() == pytest.approx(dict.fromkeys(env.seats, paid))
    env.start(0)
    env.submit({s: f"[verdict {'ab'[better[s] == 'a']} {percent}]" for s in env.seats})
    assert env.transcript.returns() == pytest.approx(dict.fromkeys(env.seats, 1 - (percent / 100) ** 2))


# -- dresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_dress_changes_nothing_else(level: int) -> None:
    for seed in range(30):
        env = started(seed, level=level)
        plain, texts = answers(env, PLAIN), {seat: answers(env, seat) for seat in env.seats}
        assert texts[SWAPPED] == {"a": plain["b"], "b": plain["a"]}
        assert texts[OPINION] == plain
        for seat, pool in ((PADDED, PADDING), (AUTHORITY, CLAIMS)):
            (dressed,) = [x for x in "ab" if texts[seat][x] != plain[x]]
            assert texts[seat][dressed].startswith(plain[dressed] + " ")
            added = texts[seat][dressed].removeprefix(plain[dressed] + " ")
            assert any(added.startswith(text) for text in pool["usual"])
        (dressed,) = [x for x in "ab" if texts[RESTYLED][x] != plain[x]]
        assert env.waiting[OPINION].text.split("\n")[-1] in [o.format(x) for o in OPINIONS["usual"] for x in "ab"]
        shared = {env.waiting[seat].text.split("\n")[0] for seat in env.seats}
        assert len(shared) == 1 and shared.pop().startswith("Facts: ")


def test_a_dress_tells_nothing_about_quality() -> None:
    """Each dress lies on the better answer in half of the episodes, and each order is as frequent as the other."""
    env, on_better = Verdict(), dict.fromkeys(("first", *BY_SEAT), 0)
    for seed in range(400):
        env.start(seed)
        better = env.facts["better"]
        plain = answers(env, PLAIN)
        on_better["first"] += better[PLAIN] == "a"
        for seat in (PADDED, AUTHORITY, RESTYLED):
            on_better[seat] += answers(env, seat)[better[seat]] != plain[better[seat]]
        on_better[OPINION] += env.players["pleaser"](env.waiting[OPINION]) == f"[verdict {better[OPINION]}]"
    del on_better[PLAIN], on_better[SWAPPED]
    assert all(150 < count < 250 for count in on_better.values()), on_better


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("split", ["train", "ood"])
def test_the_worse_answer_has_exactly_one_error_more(level: int, split: str) -> None:
    for seed in range(100):
        pair = draw_pair(random.Random(seed), level, split)
        errors = [sum(s not in pair.facts for s in answer) for answer in (pair.better, pair.worse)]
        assert errors == [SIZES[level][2], SIZES[level][2] + 1]
        assert len(pair.better) == len(pair.worse) == SIZES[level][1]
        assert written(pair.better) != written(pair.worse)


# -- play ------------------------------------------------------------------------------------------------------------


def test_blind_judges_have_nothing_to_go_by() -> None:
    env = started(blind=True)
    assert not any("Facts" in request.text for request in env.waiting.values())
    assert abs(mean("careful", blind=True)["right"] - 0.5) < 0.1


def test_the_oracle_control_tells_the_better_answer() -> None:
    env = started(oracle=True)
    for seat, request in env.waiting.items():
        assert request.text.endswith(f"The better answer is {env.facts['better'][seat]}.")


def test_level_zero_is_short_and_its_moves_are_two() -> None:
    env = started()
    for request in env.waiting.values():
        assert request.legal_actions == ("[verdict a]", "[verdict b]")
        assert len(request.text.split()) < 50


def test_a_judge_who_gives_no_verdict_is_taken_for_a_follower_of_position() -> None:
    env = started()
    for _ in range(2):
        env.submit(dict.fromkeys(env.seats, "Both are fine answers."))
    assert env.over and env.transcript.outcome()["bias_position"] == 0.5


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_come_in_order(level: int) -> None:
    right = {p: mean(p, n=150, level=level)["right"] for p in ("random", "greedy", "careful", "oracle", "mixed")}
    assert right["random"] + 0.02 < right["greedy"] < right["careful"] == right["oracle"] == 1.0
    assert 0.55 < right["mixed"] < 0.75
