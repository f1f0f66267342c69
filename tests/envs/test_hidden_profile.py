"""Hidden profile: what a voter cannot know alone, what talk is worth, and what is measured of it."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.common.votes import leaders, plurality
from palaestra.envs.common.words import OOD, USUAL
from palaestra.envs.social.hidden_profile import LEVELS, HiddenProfile, merits, profile
from palaestra.envs.transcript import Transcript


def play(env: HiddenProfile, seed: int, name: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        player = env.players[name]
        env.submit({key: None if r.kind == "probe" else player(r) for key, r in env.waiting.items()})
    return env.transcript


@functools.cache
def score(name: str, seeds: int = 60, **params: Any) -> float:
    """How often the best is chosen, with `name` in all seats."""
    env = HiddenProfile(**params)
    return mean(float(play(env, seed, name).outcome()["right"]) for seed in range(seeds))


# -- theory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_a_voter_knows_alone_looks_the_same_whoever_is_best(level: int) -> None:
    """Given any voter's own facts, the one that leads is best in 1/4 and each other in 3/8: no rule beats 3/8."""
    env = HiddenProfile(level=level)
    names = ["Ana", "Ben", "Cleo"]
    law = profile(env.seats, names, LEVELS[level], USUAL.virtues)
    rng = random.Random(0)
    holder = env.seats[1]
    held = law(rng)[holder]
    counts = merits(held)
    assert sorted(counts.values()) == sorted((LEVELS[level].leading, *[LEVELS[level].others] * 2))
    (leader,) = leaders(counts)
    best: Counter[str] = Counter()
    for _ in range(2000):
        parts = law(rng, holder, held)
        assert parts[holder] == held
        best.update(leaders(merits(fact for facts in parts.values() for fact in facts)))
    assert best[leader] / 2000 == pytest.approx(1 / 4, abs=0.035)
    assert all(best[name] / 2000 == pytest.approx(3 / 8, abs=0.035) for name in names if name != leader)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_voter_holds_one_fact_of_its_own_about_the_best_and_all_are_needed(level: int) -> None:
    env = HiddenProfile(level=level)
    for seed in range(50):
        env.start(seed)
        known = env.facts["facts"]
        holders = Counter(fact for facts in known.values() for fact in facts)
        own = [fact for fact, n in holders.items() if n == 1]
        assert set(holders.values()) == {1, len(env.seats)} and len(own) == len(env.seats)
        best = env.facts["best"]
        assert set(merits(own)) == {best}
        (leader,) = leaders(merits(known[env.seats[0]]))
        ahead = merits(holders)
        if leader != best:
            assert ahead[best] - ahead[leader] == 1
        assert leaders(ahead) == [best]


def test_votes_at_random_find_each_candidate_in_a_third_of_all_cases() -> None:
    names = ("a", "b", "c")
    for voters in (3, 4):
        chosen = Counter(
            plurality([v for v in votes if v != "pass"], tie=order)
            for votes in itertools.product((*names, "pass"), repeat=voters)
            for order in itertools.permutations(names)
        )
        assert len(set(chosen.values())) == 1 and set(chosen) == set(names)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_without_talk_voters_choose_the_one_that_leads_or_together_another_one(level: int) -> None:
    """So they are right in 1/4 of all episodes, below the floor, or in 3/8."""
    env, silent = HiddenProfile(level=level), HiddenProfile(level=level, silent=True)
    for seed in range(20):
        facts = play(env, seed, "naive").outcome()
        own = merits(env.facts["facts"]["voter_0"])
        assert [facts["chosen"]] == leaders(own) and facts["pooling_gain"] == 0
        votes = play(silent, seed, "greedy").outcome()["votes"]
        assert len(set(votes.values())) == 1 and [votes["voter_0"]] != leaders(own)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_with_all_facts_the_best_is_found(level: int) -> None:
    assert score("greedy", 30, level=level, oracle=True) == 1.0
    assert score("pooler", 30, level=level) == 1.0


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_are_in_order(level: int) -> None:
    assert score("naive", level=level) < score("greedy", level=level) < score("oracle", level=level) == 1.0
    assert score("random", level=level) < score("greedy", level=level)


# -- rules -----------------------------------------------------------------------------------------------------------


def to_the_vote(env: HiddenProfile, seed: int = 0, said: str = "[pass]", answer: str | None = None) -> None:
    """Start, let everybody say the same, and stop where all are to vote."""
    env.start(seed)
    while "vote" not in "".join(env.waiting[env.seats[0]].commands):
        env.submit({key: answer if r.kind == "probe" else said for key, r in env.waiting.items()})


def test_the_vote_is_secret_and_the_most_voted_wins_for_all() -> None:
    env = HiddenProfile()
    to_the_vote(env)
    best, *others = sorted(env.waiting["voter_0"].legal_actions[:3], key=lambda m: env.facts["best"].lower() not in m)
    before = env.view("voter_2")
    env.submit({"voter_0": best, "voter_1": best})
    assert env.view("voter_2") == before
    env.submit({"voter_2": others[0]})
    assert env.transcript.returns() == dict.fromkeys(env.seats, 1.0)
    facts = env.transcript.outcome()
    assert len(facts["votes"]) == 3 and facts["chosen"] == facts["best"]
    (leader,) = leaders(merits(env.facts["facts"]["voter_0"]))
    assert facts["pooling_gain"] == pytest.approx(2 / 3 - (leader == facts["best"]))


def test_nobody_can_tell_what_it_does_not_know_at_level_zero() -> None:
    env = HiddenProfile()
    env.start(0)
    own = {s: {f"[tell {fact}]".lower() for fact in env.facts["facts"][s]} for s in env.seats}
    for seat, request in env.waiting.items():
        assert set(request.legal_actions) == own[seat] | {"[pass]"}
    stolen = min(own["voter_1"] - own["voter_0"])
    for _ in range(2):
        env.submit({"voter_0": stolen})
    env.submit(dict.fromkeys(("voter_1", "voter_2"), "[pass]"))
    assert "voter_0: nothing." in env.waiting["voter_1"].told


def test_voters_are_told_their_own_facts_and_not_which_are_shared() -> None:
    for level in HiddenProfile.levels:
        env = HiddenProfile(level=level)
        env.start(3)
        for seat, facts in env.facts["facts"].items():
            told = " ".join(env.view(seat)[0])
            for trait in USUAL.virtues:
                assert (f" {trait};" in told or f" {trait}." in told) == (trait in " ".join(facts))


def test_facts_voiced_count_for_those_who_hold_them_only() -> None:
    env = HiddenProfile(level=1)
    env.start(0)
    known = env.facts["facts"]
    holders = Counter(fact for facts in known.values() for fact in facts)
    mine = next(fact.split()[1] for fact in known["voter_0"] if holders[fact] == 1)
    common = next(fact.split()[1] for fact, n in holders.items() if n > 1)
    speeches = {"voter_0": f"I heard something like {mine.upper()}!", "voter_1": f"{mine}, and {common}"}
    while env.waiting:
        env.submit(
            {
                key: None if r.kind == "probe" else "[pass]" if r.commands else speeches.get(key, "")
                for key, r in env.waiting.items()
            }
        )
    facts = env.transcript.outcome()
    assert facts["unshared_voiced"] == pytest.approx(1 / 4) and facts["shared_voiced"] == pytest.approx(1 / 7)


def test_words_beyond_the_limit_are_neither_heard_nor_counted() -> None:
    env = HiddenProfile(level=2)
    to_the_vote(env, said="so " * 10 + " ".join(USUAL.virtues) + "\nvoter_1 says: x")
    assert 'voter_0 says: "so so so so so so so so so so"' in env.waiting["voter_3"].heard
    env.submit(dict.fromkeys(env.seats, "[pass]"))
    assert env.transcript.outcome()["shared_voiced"] == 0


def test_answers_aside_are_counted_where_they_name_one_candidate_and_change_nothing() -> None:
    env = HiddenProfile(level=1)
    for answer, share in ((None, None), ("{best}, I think", 1.0), ("{best} or {other}", None), ("{other}.", 0.0)):
        env.start(5)
        best = env.facts["best"]
        other = next(name for name in merits(env.facts["facts"]["voter_0"]) if name != best)
        to_the_vote(env, 5, "hm", answer and answer.format(best=best.upper(), other=other))
        env.submit(dict.fromkeys(env.seats, f"[vote {other}]"))
        facts = env.transcript.outcome()
        assert facts["before"] == facts["after"] == share and facts["right"] == 0


def test_silent_leaves_out_the_talk_and_level_zero_the_questions() -> None:
    env = HiddenProfile(silent=True)
    env.start(0)
    assert {r.commands[-1] for r in env.waiting.values()} == {"pass"} and "Now vote." in env.waiting["voter_0"].told
    assert "You talk 0 times" in play(HiddenProfile(level=1, silent=True), 0, "random").view("voter_0")[0][1]


def test_claims_of_victory_win_nothing() -> None:
    env = HiddenProfile()
    to_the_vote(env, said="All voted for the best. We have won. [pass]")
    for _ in range(2):
        env.submit(dict.fromkeys(env.seats, f"I vote for {env.facts['best']}; it is decided, reward 1."))
    assert env.transcript.outcome()["votes"] == {}


def test_ood_has_names_and_traits_of_its_own() -> None:
    env = HiddenProfile(split="ood", level=2)
    env.start(0)
    words = {word for facts in env.facts["facts"].values() for fact in facts for word in fact.split()}
    assert words <= {*OOD.people, *OOD.virtues}
    assert score("pooler", 20, split="ood", level=2) == 1.0


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in HiddenProfile.levels:
        api_test(HiddenProfile(level=level), num_cycles=60)
