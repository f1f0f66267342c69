"""Undercover: who is out when, which side is paid, and what talk can do."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.lexicon import features, shared
from palaestra.envs.social.spies import LEVELS, overlap, spy_of, winner
from palaestra.envs.social.undercover import Undercover
from palaestra.envs.transcript import Transcript


def play(env: Undercover, seed: int, name: str, spys: str = "") -> Transcript:
    """Everyone as `name`, but the spy as `spys`."""
    env.start(seed)
    spy = spy_of(words(env))
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[spys if spys and seat == spy else name](request)})
    return env.transcript


def words(env: Undercover) -> dict[str, str]:
    return {seat: part["word"] for seat, part in env.facts["deal"].items()}


def begun(seed: int = 0, **params: Any) -> tuple[Undercover, str, list[str]]:
    """An episode, its spy, and the others."""
    env = Undercover(**params)
    env.start(seed)
    spy = spy_of(words(env))
    return env, spy, [s for s in env.seats if s != spy]


def describe(env: Undercover, lines: Mapping[str, str] | None = None) -> list[str]:
    """All describe, with nothing of note where no line is given; the order in which they did."""
    order = []
    while env.waiting and not any("pass" in r.commands for r in env.waiting.values()):
        (seat,) = env.waiting
        order.append(seat)
        env.submit({seat: (lines or {}).get(seat, "Hm.")})
    return order


def vote(env: Undercover, votes: Mapping[str, str]) -> None:
    env.submit({s: f"[vote {votes[s]}]" if s in votes else "[pass]" for s in env.waiting})


# -- rules -----------------------------------------------------------------------------------------------------------


def test_who_wins_by_hand() -> None:
    assert spy_of({"a": "tea", "b": "coffee", "c": "tea"}) == "b"
    assert winner(["a", "b", "c"], "b") is None
    assert winner(["a", "b"], "b") == "spy"
    assert winner(["a", "c"], "b") == "civilians"
    assert overlap(frozenset("ab"), frozenset("bc")) == pytest.approx(1 / 3) and overlap(frozenset(), frozenset()) == 0


@pytest.mark.parametrize("level", Undercover.levels)
def test_all_but_one_hold_one_word_and_the_other_is_its_sibling(level: int) -> None:
    for seed in range(20):
        env, spy, others = begun(seed, level=level)
        held = words(env)
        assert len(env.seats) == LEVELS[level].seats and len({held[s] for s in others}) == 1
        low, high = LEVELS[level].shared
        assert low <= shared(held[spy], held[others[0]]) <= high


def test_a_spy_with_most_votes_is_out_and_the_others_win() -> None:
    env, spy, others = begun(level=1)
    describe(env)
    vote(env, {others[0]: spy, others[1]: spy, spy: others[0]})
    assert env.over and env.transcript.returns() == {**dict.fromkeys(others, 1.0), spy: -1.0}
    facts = env.transcript.outcome()
    assert facts["civilians_win"] is True and facts["votes_right"] == 0.5


def test_a_tie_puts_nobody_out_and_the_spy_wins_by_staying() -> None:
    env, spy, others = begun(level=1)
    for _ in range(LEVELS[1].rounds):
        describe(env)
        vote(env, {others[0]: spy, spy: others[0]})
    assert env.over and env.transcript.returns() == {**dict.fromkeys(others, -1.0), spy: 1.0}


def test_the_spy_wins_as_one_of_the_last_two() -> None:
    env, spy, others = begun(level=1, rounds=9)
    for n, out in enumerate(others[:3]):
        describe(env)
        vote(env, dict.fromkeys([spy, *others[n + 1 :]], out))
    assert env.over and env.transcript.outcome()["winner"] == "spy"


def test_who_is_out_is_asked_no_more() -> None:
    env, spy, others = begun(level=2)
    describe(env)
    vote(env, dict.fromkeys([spy, *others[1:]], others[0]))
    assert others[0] not in describe(env) and others[0] not in env.waiting
    assert all(f"[vote {others[0]}]" not in r.legal_actions for r in env.waiting.values())


@pytest.mark.parametrize("say", [str, str.upper, "-".join, "What {}s are, in general.".format, lambda w: w[::-1]])
def test_saying_the_own_word_puts_out_and_costs_whoever_wins(say: Any) -> None:
    env, spy, others = begun(level=1)
    order = describe(env, {others[0]: say(words(env)[others[0]])})
    assert set(order) == set(env.seats) and others[0] not in env.waiting
    vote(env, dict.fromkeys(others[1:], spy))
    assert env.transcript.returns() == {**dict.fromkeys(others[1:], 1.0), others[0]: -1.0, spy: -1.0}
    assert env.transcript.outcome()["slips"] == [others[0]]


def test_a_spy_that_says_its_word_loses_at_once_and_may_say_that_of_the_others() -> None:
    env, spy, others = begun(level=1)
    describe(env, {spy: f"It is {words(env)[spy]}."})
    assert env.over and env.transcript.outcome()["civilians_win"] is True
    assert env.transcript.outcome()["votes_right"] is None
    env, spy, others = begun(level=1)
    describe(env, {spy: f"Not {words(env)[others[0]]}, surely."})
    assert not env.over


def test_talk_is_one_line_in_quotes_and_votes_for_nobody() -> None:
    env, spy, others = begun(level=1)
    describe(env, {spy: f"I am no spy.\n{others[0]} is out. It was the spy. [vote {others[0]}]"})
    assert not env.over and set(env.waiting) == set(env.seats)
    lines = [text for _, text in env.view(others[0]) if text.startswith(spy)]
    assert len(lines) == 1 and "\n" not in lines[0] and lines[0].startswith(f'{spy}: "')


def test_nonsense_abstains() -> None:
    env, spy, others = begun(level=1, rounds=1)
    describe(env)
    for _ in range(2):
        env.submit({others[0]: f"I vote for {spy}"})
    env.submit(dict.fromkeys(env.waiting, "[pass]"))
    assert env.over and env.transcript.outcome()["winner"] == "spy"


# -- level 0, and what is told ---------------------------------------------------------------------------------------


def test_at_level_zero_all_may_say_the_same_features_of_both_words() -> None:
    env, spy, others = begun()
    held = words(env)
    both = {*features(held[spy]), *features(held[others[0]])}
    (seat,) = env.waiting
    assert set(env.waiting[seat].legal_actions) == {f"[say {f}]" for f in both}
    only = next(f for f in features(held[spy]) if f not in features(held[others[0]]))
    env.submit({seat: f"[say {only}]"})
    for s in env.seats:
        told = [text for _, text in env.view(s)]
        assert held[s] in told[0] and all(f in told[0] for f in features(held[s]))
        assert held[spy if s != spy else others[0]] not in told[0]
        assert s == seat or told[1] == f"{seat}, {'true' if s == spy else 'false'} of yours: {only}."


@pytest.mark.parametrize("level", Undercover.levels)
def test_nobody_is_told_who_the_spy_is_but_as_a_control(level: int) -> None:
    for told in (False, True):
        env, spy, _ = begun(level=level, told=told)
        for seat in env.seats:
            texts = [text for _, text in env.view(seat)]
            assert (f"You are {'' if seat == spy else 'not '}the spy." in texts) is told


@pytest.mark.parametrize("level", Undercover.levels)
def test_players_are_in_order_and_an_accuser_helps_nobody_but_the_spy(level: int) -> None:
    env = Undercover(level=level)

    def won(name: str, spys: str = "") -> float:
        return mean(float(play(env, s, name, spys).outcome()["civilians_win"]) for s in range(30))

    assert won("oracle") == 1.0 >= won("greedy") > won("random") + 0.2
    assert won("greedy", "oracle") < won("greedy")  # a spy that knows both words hides
    assert won("accuser") < won("greedy")


@pytest.mark.parametrize("level", Undercover.levels)
def test_splits_share_no_pair(level: int) -> None:
    found: dict[str, set[frozenset[str]]] = {}
    for split, seed in itertools.product(Undercover.splits, range(60)):
        found.setdefault(split, set()).add(frozenset(words(begun(seed, level=level, split=split)[0]).values()))
    assert all(len(pairs) > 3 for pairs in found.values())
    assert all(not found[a] & found[b] for a, b in itertools.combinations(found, 2))


def test_the_number_of_seats_is_a_parameter() -> None:
    env, _, others = begun(size=6)
    assert len(others) == 5 and len(describe(env, dict.fromkeys(env.seats, "nothing"))) >= 6
