"""Assembly: what a set of principles is worth, who wins a vote, vetoes, and what members are told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from statistics import mean

import pytest
from pettingzoo.test import api_test

from palaestra.envs.social.assembly import LEVELS, PRINCIPLES, Assembly, Round, scaled, unbeaten, vetoed
from palaestra.envs.transcript import Revealed, Transcript


def play(env: Assembly, seed: int, *cast: str) -> Transcript:
    """`cast` names a player for each seat, the last one also for those that are left."""
    players = [*cast, *[cast[-1]] * len(env.seats)]
    env.start(seed)
    while env.waiting:
        env.submit({key: env.players[players[env.seats.index(key)]](r) for key, r in env.waiting.items()})
    return env.transcript


@cache
def welfare(name: str, level: int) -> float:
    """The mean with `name` in all seats."""
    env = Assembly(level=level)
    return mean(float(play(env, seed, name).outcome()["welfare"]) for seed in range(20))


def worths(env: Assembly) -> dict[str, dict[str, int]]:
    return {s: env.facts[f"worth@{s}"][s] for s in env.seats}


def submit(env: Assembly, *words: str) -> None:
    """Words for the seats in their order, the last ones also for those that are left."""
    env.submit(dict(zip(env.seats, [*words, *[words[-1]] * len(env.seats)], strict=False)))


# -- theory ----------------------------------------------------------------------------------------------------------


def test_worths_are_scaled_between_the_worst_and_the_best_that_could_be_adopted() -> None:
    assert [scaled(x, (3, 1, -2), 1) for x in (3, 1, 0, -2)] == [1, 0.6, 0.4, 0]
    assert scaled(0, (5, 3, 1, -1, -2, -4), 2) == pytest.approx(6 / 14)
    assert scaled(6, (5, 1, -1), 3) == 1  # nobody has to adopt what is worth less than nothing


@pytest.mark.parametrize("level", [0, 1, 2])
def test_oracles_adopt_the_best_set_there_is(level: int) -> None:
    env = Assembly(level=level)
    for seed in range(10):
        facts = play(env, seed, "oracle").outcome()
        mine = worths(env)
        names = list(mine["member_0"])
        sets = [some for n in range(LEVELS[level].rounds + 1) for some in combinations(names, n)]
        sums = [sum(w[p] for w in mine.values() for p in some) for some in sets]
        assert sum(facts["worth"].values()) == max(sums) and facts["welfare"] == pytest.approx(1)


def test_every_member_has_the_same_numbers() -> None:
    for level in Assembly.levels:
        env = Assembly(level=level)
        env.start(0)
        assert all(sorted(w.values(), reverse=True) == list(LEVELS[level].worths) for w in worths(env).values())


def test_what_beats_all_others_may_be_to_adopt_nothing() -> None:
    assert unbeaten(["a", "b"], [{"a": 3, "b": 1}, {"a": -2, "b": 1}, {"a": -1, "b": 2}]) == "b"
    assert unbeaten(["a"], [{"a": 3}, {"a": -2}, {"a": -1}]) == "none"
    cycle = [{"a": 3, "b": 2, "c": 1}, {"b": 3, "c": 2, "a": 1}, {"c": 3, "a": 2, "b": 1}]
    assert unbeaten(["a", "b", "c"], cycle) is None


def test_a_minority_vetoes_where_a_majority_would_have_gained() -> None:
    mine: Sequence[dict[str, int]] = [{"a": 3, "b": -1}, {"a": 1, "b": -1}, {"a": -2, "b": 1}]
    assert vetoed(Round(["a", "b"], ["a", "b"], {}, "none"), mine)
    assert not vetoed(Round(["a", "b"], ["b"], {}, "none"), mine)
    assert not vetoed(Round(["a", "b"], ["a"], {}, "a"), mine)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_are_in_order(level: int) -> None:
    assert welfare("random", level) < welfare("greedy", level) < welfare("oracle", level) == pytest.approx(1)
    assert welfare("stubborn", level) < welfare("greedy", level)


def test_where_two_can_block_compromise_helps_and_stubbornness_adopts_nothing() -> None:
    assert welfare("stubborn", 2) < welfare("greedy", 2) < welfare("compromiser", 2)


# -- rules -----------------------------------------------------------------------------------------------------------


def test_most_votes_adopt_if_they_are_enough() -> None:
    env = Assembly()
    env.start(0)
    a, b, _ = worths(env)["member_0"]
    submit(env, f"[propose {a}]", f"[propose {b}]", "[pass]")
    assert env.waiting["member_2"].told[-1] == f"Proposed: {a} by member_0; {b} by member_1."
    assert env.waiting["member_2"].legal_actions == (f"[vote {a}]", f"[vote {b}]", f"[vote {a} {b}]", "[vote none]")
    few = env.fork()
    submit(env, f"[vote {a} {b}]", f"[vote {b}]", "[vote none]")
    assert env.transcript.outcome()["adopted"] == [b]
    assert env.transcript.returns() == pytest.approx(
        {s: scaled(w[b], LEVELS[0].worths, 1) for s, w in worths(env).items()}
    )
    submit(few, f"[vote {a}]", f"[vote {b}]", "[vote none]")
    assert few.transcript.outcome()["adopted"] == []


def test_a_tie_is_broken_by_a_draw() -> None:
    env, winners = Assembly(), set()
    for seed in range(10):
        env.start(seed)
        names = list(worths(env)["member_0"])
        submit(env, *(f"[propose {p}]" for p in names))
        submit(env, f"[vote {' '.join(names)}]")
        winners.add(names.index(env.transcript.outcome()["adopted"][0]))
    assert winners == {0, 1, 2}


def test_four_of_five_must_agree_at_level_two() -> None:
    for agree, adopted in ((3, 0), (4, 1)):
        env = Assembly(level=2, rounds=1, silent=True)
        env.start(0)
        (p, *_) = worths(env)["member_0"]
        submit(env, f"[propose {p}]")
        submit(env, *[f"[vote {p}]"] * agree, "[vote none]")
        assert len(env.transcript.outcome()["adopted"]) == adopted


def test_what_is_adopted_is_no_longer_proposed() -> None:
    env = Assembly(level=1, silent=True)
    env.start(0)
    (p, *_) = worths(env)["member_0"]
    submit(env, f"[propose {p}]")
    submit(env, f"[vote {p}]")
    assert f"[propose {p}]" not in env.waiting["member_0"].legal_actions
    assert env.waiting["member_0"].told[-1] == f"Votes: {p} 5. Adopted: {p}. Round 2 of 2."


def test_where_nothing_is_proposed_nobody_votes() -> None:
    env = Assembly(level=1, silent=True)
    env.start(0)
    submit(env, "[pass]")
    assert env.waiting["member_0"].told == ("Proposed: nothing.", "Votes: none. Adopted: none. Round 2 of 2.")


def test_members_are_told_their_own_worths_and_numbers_of_votes() -> None:
    env = Assembly(level=1, silent=True)
    env.start(0)
    for seat, mine in worths(env).items():
        assert all(f") {n}" in env.view(seat)[0][1] for n in mine.values())
    (p, *_) = worths(env)["member_0"]
    submit(env, f"[propose {p}]")
    before = env.view("member_4")
    env.submit({"member_0": f"[vote {p}]"})
    assert env.view("member_4") == before
    env.submit(dict.fromkeys(env.seats[1:], "[vote none]"))
    assert env.waiting["member_4"].told == (f"Votes: {p} 1. Adopted: none. Round 2 of 2.",)


def test_truthful_votes_are_cast_by_the_script_and_revealed() -> None:
    env = Assembly(truthful=True)
    env.start(0)
    mine = worths(env)
    (p, *_) = mine["member_0"]
    submit(env, f"[propose {p}]")
    assert env.over and any(isinstance(e, Revealed) for e in env.events)
    facts = env.transcript.outcome()
    assert facts["adopted"] == [p] * (sum(w[p] > 0 for w in mine.values()) >= 2) and facts["sincerity"] == 1


def test_talk_binds_nobody_and_is_heard_on_one_line() -> None:
    env = Assembly(level=1)
    env.start(0)
    submit(env, "All agreed.\nAdopted: warmth.", "")
    told = env.waiting["member_3"].told
    assert 'member_0 says: "All agreed. Adopted: warmth."' in told and "member_1 says nothing." in told
    assert "propose" in env.waiting["member_3"].commands[0]
    for _ in range(20):
        if env.over:
            break
        submit(env, "I have won; all principles are adopted as I like them.")
    assert env.transcript.outcome()["adopted"] == [] and env.transcript.outcome()["sincerity"] is None
    assert env.transcript.returns() == pytest.approx(dict.fromkeys(env.seats, 6 / 14))


def test_ood_has_principles_of_its_own() -> None:
    env = Assembly(split="ood", level=2)
    facts = play(env, 0, "oracle").outcome()
    assert set(facts["adopted"]) <= set(PRINCIPLES[True]) and facts["welfare"] == pytest.approx(1)


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in Assembly.levels:
        api_test(Assembly(level=level), num_cycles=60)
