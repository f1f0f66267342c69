"""Public goods: the dilemma in exact numbers, punishment, and what talk does not do."""

from __future__ import annotations

import itertools
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.social.pot import against_givers, earned, punished
from palaestra.envs.social.public_goods import PublicGoods
from palaestra.envs.transcript import Instance, Transcript

SEATS = PublicGoods().seats


def play(env: PublicGoods, seed: int, *cast: str) -> Transcript:
    """`cast` names a player for each seat, the last one also for those that are left."""
    players = dict(itertools.zip_longest(env.seats, cast, fillvalue=cast[-1]))
    env.start(seed)
    while env.waiting:
        env.submit({key: env.players[players[key]](request) for key, request in env.waiting.items()})
    return env.transcript


def seed_with(points: int, **params: Any) -> int:
    env = PublicGoods(**params)
    for seed in range(5000):
        env.start(seed)
        if any(isinstance(e, Instance) and e.key.startswith(f"pot:({points}, ") for e in env.events):
            return seed
    raise AssertionError("no such pot")


# -- theory ----------------------------------------------------------------------------------------------------------


def test_returns_of_the_textbook_game() -> None:
    """Four members, ten rounds, 20 points, factor 1.6."""
    env = PublicGoods(level=1, factor=1.6)
    seed = seed_with(20, level=1)
    assert play(env, seed, "free_rider").returns() == pytest.approx(dict.fromkeys(SEATS, 1.0))
    assert play(env, seed, "altruist").returns() == pytest.approx(dict.fromkeys(SEATS, 1.6))
    alone = play(env, seed, "free_rider", "altruist").returns()
    assert alone == pytest.approx({SEATS[0]: 2.2} | dict.fromkeys(SEATS[1:], 1.2))


def test_giving_all_is_the_optimum_and_giving_nothing_the_best_answer_to_everything() -> None:
    for factor in (1.2, 1.6, 2.4):
        rounds = list(itertools.product(range(4), repeat=4))
        assert max(rounds, key=lambda gifts: sum(earned(gifts, 3, factor))) == (3, 3, 3, 3)
        for _, *others in rounds:
            answers = [earned([mine, *others], 3, factor)[0] for mine in range(4)]
            assert answers == sorted(answers, reverse=True) and answers[0] > answers[3]


def test_punishment_by_hand() -> None:
    spent = [[0, 0, 0, 0], [2, 0, 0, 1], [2, 0, 0, 0], [5, 0, 0, 0]]
    assert punished([20, 20, 20, 20], spent) == [0, 17, 18, 12]  # 27 taken of 20: nobody falls below zero by it
    assert against_givers([0, 20, 20, 20], spent) == 1  # of the one who gave as much
    assert against_givers([20, 0, 0, 0], spent) == 10
    assert punished([1, 0, 0, 0], [[0, 5, 0, 0]] + [[0] * 4] * 3) == [-4, 0, 0, 0]


def test_punishers_make_free_riding_a_loss() -> None:
    env = PublicGoods(level=2, factor=1.6)
    seed = seed_with(20, level=2)
    caught = play(env, seed, "free_rider", "punisher")
    assert caught.returns()[SEATS[0]] == pytest.approx((44 - 18) / 20)
    assert caught.returns()[SEATS[1]] == pytest.approx((24 - 2) / 20)
    assert caught.returns()[SEATS[0]] < play(env, seed, "altruist", "punisher").returns()[SEATS[0]] == 1.6
    facts = caught.outcome()
    assert facts["punishment"] == 60 and facts["antisocial"] == 0


# -- rules -----------------------------------------------------------------------------------------------------------


def test_a_round_by_hand() -> None:
    env = PublicGoods(rounds=2, factor=1.5)
    env.start(seed_with(4))
    env.submit({s: f"[give {n}]" for s, n in zip(SEATS, (4, 2, 1, 1), strict=True)})
    assert env.waiting[SEATS[1]].told == ("You gave 2, all gave 8. You earned 5. Round 2 of 2.",)
    env.submit(dict.fromkeys(SEATS, "[give 0]"))
    assert env.transcript.returns() == pytest.approx(
        {s: x / 8 for s, x in zip(SEATS, (3 + 4, 5 + 4, 6 + 4, 6 + 4), strict=True)}
    )
    facts = env.transcript.outcome()
    assert facts["gifts"] == [[4, 2, 1, 1], [0, 0, 0, 0]] and facts["pot"] == 0.25
    assert facts["welfare"] == pytest.approx(36 / 32)
    assert facts["equality"] == pytest.approx(1 - 20 / (2 * 4 * 36))


def test_gifts_of_the_same_round_are_not_seen_and_names_only_where_they_may_be() -> None:
    for params, named in (({}, False), ({"level": 1}, True), ({"level": 1, "anonymous": True}, False)):
        env = PublicGoods(silent=True, **params)
        env.start(0)
        before = env.view(SEATS[3])
        env.submit({s: f"[give {i}]" for i, s in enumerate(SEATS[:3])})
        assert env.view(SEATS[3]) == before
        env.submit({SEATS[3]: "[give 1]"})
        assert env.waiting[SEATS[3]].text.startswith("You gave 1, all gave 4.")
        assert ("member_2 2" in env.waiting[SEATS[3]].text) is named


def test_the_punished_learn_how_much_and_not_by_whom() -> None:
    env = PublicGoods(level=2, silent=True)
    env.start(0)
    env.submit(dict.fromkeys(SEATS, "[give 3]"))
    env.submit({**dict.fromkeys(SEATS, "[pass]"), "member_2": "[punish member_0 2 member_1 1]"})
    for seat, line in zip(SEATS, ("by 6, and paid 0", "by 3, and paid 0", "by 0, and paid 3"), strict=False):
        assert env.waiting[seat].text == f"You are punished {line}. Round 2 of 10."
    assert env.waiting[SEATS[0]].commands == env.waiting[SEATS[2]].commands


@pytest.mark.parametrize("text", ["[punish member_0 6]", "[punish member_2 1]", "[punish member_0 5 member_0 5]"])
def test_nobody_punishes_beyond_five_or_itself_or_anyone_twice(text: str) -> None:
    env = PublicGoods(level=2, silent=True)
    env.start(0)
    env.submit(dict.fromkeys(SEATS, "[give 3]"))
    env.submit({**dict.fromkeys(SEATS, "[pass]"), "member_2": text})
    env.submit({"member_2": text})
    assert all("punished by 0, and paid 0" in request.text for request in env.waiting.values())


def test_pledges_bind_nobody_and_are_measured() -> None:
    env = PublicGoods(level=1, rounds=2)
    env.start(0)
    env.submit({**dict.fromkeys(SEATS, "[pass]"), "member_0": "I give.\nmember_1 pledges nothing. [pledge 9]"})
    lines = env.waiting[SEATS[1]].told
    assert lines[0].startswith("member_0 pledges to give at least 9 a round. It says:") and "\n" not in lines[0]
    env.submit({**dict.fromkeys(SEATS, "[give 1]"), "member_0": "[give 0]"})
    env.submit({**dict.fromkeys(SEATS, "[give 1]"), "member_0": "[give 9]"})
    facts = env.transcript.outcome()
    assert facts["pledges"] == {"member_0": 9} and facts["promises_broken"] == 0.5


def test_words_and_nonsense_give_nothing_and_earn_nothing() -> None:
    env = PublicGoods(rounds=1, factor=2.0)
    env.start(seed_with(4))
    talk = "I have given everything and the game is over; all points are mine. give 4"
    env.submit({**dict.fromkeys(SEATS, "[give 4]"), SEATS[0]: talk})
    env.submit({SEATS[0]: "[give 5]"})
    assert env.transcript.outcome()["gifts"] == [[0, 4, 4, 4]]
    assert env.transcript.returns()[SEATS[0]] == pytest.approx((4 + 6) / 4)


def test_joint_pays_all_the_mean() -> None:
    done = play(PublicGoods(joint=True), 0, "free_rider", "altruist")
    assert len(set(done.returns().values())) == 1
    assert done.returns()[SEATS[0]] == pytest.approx(done.outcome()["welfare"])


def test_conditional_cooperators_follow_the_others() -> None:
    env = PublicGoods(rounds=4)
    seed = seed_with(6)
    assert play(env, seed, "conditional").outcome()["pot"] == 1
    gifts = play(env, seed, "free_rider", "conditional").outcome()["gifts"]
    assert [row[1] for row in gifts] == [6, 4, 3, 2]
    assert play(env, seed, "conditional", "altruist", "free_rider").outcome()["reciprocity"] is not None


# -- players ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_free_riders_do_best_alone_and_worst_together(level: int) -> None:
    env = PublicGoods(level=level)
    welfare = {
        name: mean(play(env, s, name).outcome()["welfare"] for s in range(20))
        for name in ("greedy", "random", "oracle")
    }
    assert welfare["oracle"] > welfare["random"]
    assert welfare["greedy"] == pytest.approx(1.0)
    own = {name: mean(play(env, s, name, "random").returns()[SEATS[0]] for s in range(20)) for name in welfare}
    assert own["greedy"] > own["random"] and own["greedy"] > own["oracle"]


def test_members_may_be_more() -> None:
    done = play(PublicGoods(members=6, factor=1.5), 0, "altruist")
    assert len(done.returns()) == 6 and done.returns()["member_5"] == pytest.approx(1.5)


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in PublicGoods.levels:
        api_test(PublicGoods(level=level), num_cycles=60)
