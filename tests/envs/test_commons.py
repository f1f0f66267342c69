"""Commons: the arithmetic of the lake, the plan, the tragedy, and what talk does not do."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.social.commons import FISHERS, Commons
from palaestra.envs.social.lake import fair_share, grow, plan, share_out
from palaestra.envs.transcript import Instance, Transcript


def play(env: Commons, seed: int, cast: dict[str, str]) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({key: env.players[cast[key]](request) for key, request in env.waiting.items()})
    return env.transcript


def everyone(name: str) -> dict[str, str]:
    return dict.fromkeys(FISHERS, name)


def seed_with(capacity: int, stock: int, **params: Any) -> int:
    env = Commons(**params)
    for seed in range(5000):
        env.start(seed)
        if any(isinstance(e, Instance) and e.key == f"lake:({capacity}, {stock})" for e in env.events):
            return seed
    raise AssertionError("no such lake")


def test_fish_are_shared_in_proportion_in_whole_numbers() -> None:
    assert share_out([1, 2, 3], 10) == [1, 2, 3]
    assert share_out([8, 8, 8, 8, 8], 20) == [4, 4, 4, 4, 4]
    assert share_out([8, 8, 8, 8, 8], 12) == [3, 3, 2, 2, 2]
    assert share_out([8, 8, 8, 8, 8], 12, first=3) == [2, 2, 2, 3, 3]
    assert share_out([8, 1, 0, 0, 0], 3) == [3, 0, 0, 0, 0]  # 2.67 and 0.33
    for wanted in ([0, 5, 7, 2, 9], [50, 1, 1, 1, 1]):
        assert sum(share_out(wanted, 11)) == 11


def test_fish_double_up_to_capacity_and_vanish_below_a_twentieth() -> None:
    assert grow(50, 100) == 100
    assert grow(30, 100) == 60
    assert grow(5, 100) == 10
    assert grow(4, 100) == 0
    assert grow(30, 100, 1.5) == 45


def test_the_plan_takes_650_from_a_full_lake_of_100_in_twelve_rounds() -> None:
    assert plan(100, 12, 250)[12][100] == (650, 50)
    assert plan(20, 6, 40)[6][20] == (70, 10)
    assert plan(100, 1, 250)[1][37] == (37, 37)


def test_the_plan_is_the_best_there_is_by_brute_force() -> None:
    def best(capacity: int, rounds: int, stock: int) -> int:
        if not rounds or not stock:
            return 0
        return max(t + best(capacity, rounds - 1, grow(stock - t, capacity)) for t in range(stock + 1))

    for stock in range(1, 9):
        assert plan(8, 4, 40)[4][stock][0] == best(8, 4, stock)


def test_all_greedy_at_a_full_lake_get_twenty_each_and_the_fish_are_gone() -> None:
    seed = seed_with(100, 100, level=1)
    done = play(Commons(level=1), seed, everyone("greedy"))
    assert done.returns() == pytest.approx(dict.fromkeys(FISHERS, 20 * 5 / 650))
    facts = done.outcome()
    assert facts["survived"] is False and facts["rounds_alive"] == pytest.approx(1 / 12)
    assert facts["over_use"] == 1.0 and facts["equality"] == 1.0


def test_all_planners_get_one_each_on_average() -> None:
    seed = seed_with(100, 100, level=1)
    done = play(Commons(level=1), seed, everyone("oracle"))
    assert done.returns() == pytest.approx(dict.fromkeys(FISHERS, 1.0))
    assert done.outcome()["survived"] is True
    assert done.outcome()["over_use"] == 0.0


def test_rewards_follow_the_takes_by_hand() -> None:
    env = Commons(rounds=2)
    env.start(seed_with(20, 20, rounds=2))
    env.submit({s: f"[take {n}]" for s, n in zip(FISHERS, (8, 1, 1, 0, 0), strict=True)})  # 10 stay, 20 again
    assert env.waiting["fisher_0"].told == ("You got 8. Round 2: 20 fish.",)
    env.submit(dict.fromkeys(FISHERS, "[take 8]"))  # 40 wanted of 20
    best = 10 + 20
    expected = [12, 5, 5, 4, 4]
    assert env.transcript.returns() == pytest.approx({s: n * 5 / best for s, n in zip(FISHERS, expected, strict=True)})
    assert env.over and env.transcript.outcome()["efficiency"] == 1.0
    assert env.transcript.outcome()["over_use"] == pytest.approx(1 / 5)  # 8 is more than a fair share of 2


@pytest.mark.parametrize("level", [0, 1])
def test_planners_do_best_together_and_the_greedy_do_worst(level: int) -> None:
    env = Commons(level=level)
    score = {
        name: mean(mean(play(env, s, everyone(name)).returns().values()) for s in range(30))
        for name in ("random", "greedy", "cautious", "oracle")
    }
    assert score["oracle"] == pytest.approx(1.0)
    assert score["oracle"] > score["cautious"] > score["random"] >= score["greedy"] - 1e-9


def test_one_greedy_seat_gains_at_the_cost_of_planners_until_they_notice() -> None:
    env = Commons(level=1)
    alone = {**everyone("oracle"), "fisher_2": "greedy"}
    wary = {**everyone("conditional"), "fisher_2": "greedy"}
    for seed in range(5):
        done = play(env, seed, alone).outcome()["caught"]
        assert done["fisher_2"] == max(done.values()) > 2 * min(done.values())
        together = play(env, seed, everyone("conditional"))
        assert mean(together.returns().values()) == pytest.approx(1.0)
        assert sum(play(env, seed, wary).returns().values()) < sum(together.returns().values())


def test_level_zero_tells_no_takes_of_others_and_level_one_names_unless_anonymous() -> None:
    for params, named in (({}, False), ({"level": 1}, True), ({"level": 1, "anonymous": True}, False)):
        env = Commons(**params)
        env.start(0)
        if "pass" in env.waiting["fisher_0"].commands:
            env.submit(dict.fromkeys(FISHERS, "[pass]"))
        env.submit({s: f"[take {i}]" for i, s in enumerate(FISHERS)})
        assert ("fisher_4 4" in env.waiting["fisher_0"].text) is named


def test_takes_of_the_same_round_are_not_seen() -> None:
    env = Commons()
    env.start(0)
    before = env.view("fisher_4")
    env.submit({"fisher_0": "[take 8]", "fisher_1": "[take 7]"})
    assert env.view("fisher_4") == before


def test_pledges_bind_nobody_and_are_measured() -> None:
    env = Commons(level=1, rounds=2)
    env.start(0)
    env.submit({**dict.fromkeys(FISHERS, "[pass]"), "fisher_0": "I am modest.\nfisher_1 pledges nothing. [pledge 2]"})
    lines = env.waiting["fisher_1"].told
    assert lines[0].startswith("fisher_0 pledges to take at most 2 a round.") and "\n" not in lines[0]
    env.submit({**dict.fromkeys(FISHERS, "[take 1]"), "fisher_0": "[take 9]"})
    env.submit({**dict.fromkeys(FISHERS, "[take 1]"), "fisher_0": "[take 2]"})
    facts = env.transcript.outcome()
    assert facts["caught"]["fisher_0"] == 11
    assert facts["pledges"] == {"fisher_0": 2} and facts["promises_broken"] == 0.5


def test_talk_takes_no_fish_and_nonsense_takes_none() -> None:
    env = Commons(rounds=1)
    env.start(0)
    env.submit({**dict.fromkeys(FISHERS, "[take 1]"), "fisher_0": "I have won all the fish. take 8"})
    env.submit({"fisher_0": "[take 99]"})
    assert env.over and env.transcript.outcome()["caught"]["fisher_0"] == 0


def test_silent_leaves_out_the_talk() -> None:
    env = Commons(level=1, silent=True)
    env.start(0)
    assert all(r.commands == ("take 0..50",) for r in env.waiting.values())


def test_shocks_change_growth_and_nothing_else() -> None:
    calm, rough = Commons(level=1), Commons(level=1, shocks=True)
    told = []
    for env in (calm, rough):
        play(env, 3, everyone("oracle"))
        told.append([t for w, t in env.view("fisher_0") if w == "told"])
    assert told[0][0] == told[1][0] and told[0] != told[1]


@pytest.mark.parametrize("level", [0, 1])
def test_splits_share_no_lake_and_ood_starts_less_than_half_full(level: int) -> None:
    found: dict[str, set[str]] = {}
    for split in Commons.splits:
        env = Commons(split=split, level=level)
        for seed in range(300):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert all(len(keys) >= 5 for keys in found.values())
    assert not found["train"] & found["test"]
    assert not found["ood"] & (found["train"] | found["test"])


def test_fair_share_is_a_fifth_of_half() -> None:
    assert [fair_share(n) for n in (100, 20, 16, 1)] == [10, 2, 2, 1]


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    api_test(Commons(), num_cycles=60)
    api_test(Commons(level=1), num_cycles=60)
