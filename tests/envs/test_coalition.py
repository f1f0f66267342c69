"""Coalition: core and Shapley value by hand and by all orders, the protocol, and what does not pay."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.solutions import Worths, coalitions, complaint, in_core, shapley
from palaestra.envs.negotiation.coalition import Coalition
from palaestra.envs.negotiation.ventures import draw_game, share_out
from palaestra.envs.transcript import Defaulted, Forfeited, Instance, Malformed, Transcript


def game(players: str, worth: Any) -> Worths:
    return {group: worth(group) for group in coalitions(players)}


def play(env: Coalition, seed: int, player: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({seat: env.players[player](request) for seat, request in env.waiting.items()})
    return env.transcript


def started(seed: int = 0, **params: Any) -> Coalition:
    env = Coalition(**params)
    env.start(seed)
    return env


def proposer(env: Coalition) -> str:
    (seat,) = env.waiting
    return seat


def letter(seat: str) -> str:
    return "abcde"[int(seat[-1])]


def table(env: Coalition) -> dict[str, int]:
    """The game, from the opening of the first seat."""
    words = env.view("member_0")[0][1].split(" ")
    found = {}
    for group, worth in itertools.pairwise(words):
        if worth.strip(",.").isdigit() and not group.isdigit():
            found[group] = int(worth.strip(",."))
    return found


# -- theory ----------------------------------------------------------------------------------------------------------

GLOVES = game("abc", lambda g: int("a" in g and len(g) > 1))  # a has the left glove, b and c a right one each
MAJORITY = game("abc", lambda g: int(len(g) > 1))
UNANIMITY = game("abcd", lambda g: int(len(g) == 4))


def test_shapley_value_of_gloves_majority_and_unanimity() -> None:
    assert shapley("abc", GLOVES) == pytest.approx({"a": 2 / 3, "b": 1 / 6, "c": 1 / 6})
    assert shapley("abc", MAJORITY) == pytest.approx(dict.fromkeys("abc", 1 / 3))
    assert shapley("abcd", UNANIMITY) == pytest.approx(dict.fromkeys("abcd", 1 / 4))


def test_core_of_gloves_is_one_point_of_majority_empty_of_unanimity_everything() -> None:
    grid = [c for c in itertools.product(range(13), repeat=3) if sum(c) == 12]
    cores = {
        name: {c for c in grid if in_core(dict(zip("abc", (x / 12 for x in c), strict=True)), worths)}
        for name, worths in (
            ("gloves", GLOVES),
            ("majority", MAJORITY),
            ("unanimity", game("abc", lambda g: len(g) // 3)),
        )
    }
    assert cores == {"gloves": {(12, 0, 0)}, "majority": set(), "unanimity": set(grid)}


def test_complaint_is_that_of_the_worst_treated_coalition() -> None:
    assert complaint({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, MAJORITY) == pytest.approx(1 / 3)
    assert complaint({"a": 0.5, "b": 0.25, "c": 0.25}, GLOVES) == pytest.approx(0.25)
    assert not in_core({"a": 0.9, "b": 0.0, "c": 0.0}, GLOVES)  # something is left over


@pytest.mark.parametrize("seed", range(12))
def test_shapley_value_is_the_mean_over_all_orders(seed: int) -> None:
    players = ("abc", "abcd", "abcde")[seed % 3]
    drawn = draw_game(random.Random(seed), players, ood=seed % 2 == 1)
    worths = game(players, lambda g: drawn.get("".join(sorted(g)), 0))
    value = dict.fromkeys(players, Fraction(0))
    orders = list(itertools.permutations(players))
    for order in orders:
        for i, p in enumerate(order):
            value[p] += Fraction(worths[frozenset(order[: i + 1])] - worths.get(frozenset(order[:i]), 0), len(orders))
    assert shapley(players, worths) == pytest.approx({p: float(x) for p, x in value.items()})
    assert sum(value.values()) == worths[frozenset(players)]


@pytest.mark.parametrize("seed", range(20))
def test_drawn_games_never_lose_by_joining(seed: int) -> None:
    for players, ood in itertools.product(("abc", "abcd", "abcde"), (False, True)):
        drawn = draw_game(random.Random(seed), players, ood=ood)
        worths = game(players, lambda g, drawn=drawn: drawn.get("".join(sorted(g)), 0))
        for one, two in itertools.combinations(worths, 2):
            if not one & two:
                assert worths[one | two] >= worths[one] + worths[two]
        assert worths[frozenset(players)] > sum(worths[frozenset(p)] for p in players)


# -- rules -----------------------------------------------------------------------------------------------------------


def test_shares_are_in_proportion() -> None:
    assert share_out(10, [2, 1, 1]) == [5, 2.5, 2.5]
    assert share_out(9, [0, 0, 0]) == [3, 3, 3]
    assert share_out(8, [100, 0]) == [8, 0]


@pytest.mark.parametrize("seed", range(4))
def test_an_agreed_split_of_all_pays_its_shares_and_is_judged_by_program(seed: int) -> None:
    env = started(seed)
    worths = table(env)
    first = proposer(env)
    env.submit({first: "[propose abc 2 1 1]"})
    assert set(env.waiting) == {*env.seats} - {first}
    env.submit(dict.fromkeys(env.waiting, "[yes]"))
    done = env.transcript
    assert env.over and done.returns() == {"member_0": 0.5, "member_1": 0.25, "member_2": 0.25}
    facts = done.outcome()
    assert facts["formed"] == ["abc"] and facts["shares"] == {"a": 5, "b": 2.5, "c": 2.5}
    stable = worths.get("ab", 0) <= 7.5 and worths.get("ac", 0) <= 7.5 and worths.get("bc", 0) <= 5
    assert facts["in_core"] is stable and facts["efficiency"] == 1
    by_hand = {
        "a": (2 * 10 + worths.get("ab", 0) + worths.get("ac", 0) - 2 * worths.get("bc", 0)) / 6,
        "b": (2 * 10 + worths.get("ab", 0) + worths.get("bc", 0) - 2 * worths.get("ac", 0)) / 6,
        "c": (2 * 10 + worths.get("ac", 0) + worths.get("bc", 0) - 2 * worths.get("ab", 0)) / 6,
    }
    assert facts["shapley"] == pytest.approx(by_hand)
    gap = abs(5 - by_hand["a"]) + abs(2.5 - by_hand["b"]) + abs(2.5 - by_hand["c"])
    assert facts["shapley_nearness"] == pytest.approx(1 - gap / 20)


def test_one_no_is_enough_and_the_turn_moves_on() -> None:
    env = started()
    first = proposer(env)
    env.submit({first: "[propose abc 1 1 1]"})
    one, two = env.waiting
    env.submit({one: "[yes]", two: "Not like this. [no]"})
    second = proposer(env)
    assert second != first and env.transcript.returns() == {}
    assert env.waiting[second].told[-1] == "No agreement. 2 offers left."
    assert any("Not like this." in text for text in env.view(first)[-2])


def test_a_pair_leaves_the_third_alone_at_level_zero_and_the_others_go_on_with_four() -> None:
    env = started()
    first = proposer(env)
    partner = next(s for s in env.seats if s != first)
    pair = "".join(sorted(letter(first) + letter(partner)))
    env.submit({first: f"[propose {pair} 1 1]"})
    assert list(env.waiting) == [partner]
    env.submit({partner: "[yes]"})
    assert env.over and sum(env.transcript.returns().values()) == pytest.approx(table(env).get(pair, 0) / 10)

    env = started(level=1)
    first = proposer(env)
    partner = env.seats[(env.seats.index(first) + 1) % 4]
    pair = "".join(sorted(letter(first) + letter(partner)))
    env.submit({first: f"[propose {pair} 60 40]"})
    env.submit({partner: "[yes]"})
    third = proposer(env)
    rest = "".join(sorted({*"abcd"} - {*pair}))
    assert third not in (first, partner)
    assert env.waiting[third].commands == (f"propose {rest} 0..100 0..100", "pass")
    assert env.waiting[third].told[-1] == f"{pair} is formed. 5 offers left."


def test_answers_to_one_proposal_are_not_seen_before_all_are_in() -> None:
    env = started()
    env.submit({proposer(env): "[propose abc 0 0 0]"})
    one, two = env.waiting
    before = env.view(two)
    env.submit({one: "I agree! [yes]"})
    assert env.view(two) == before


def test_silence_and_malformed_answers_are_no_agreement() -> None:
    env = started(rounds=1)
    env.submit({proposer(env): "[propose abc 1 1 1]"})
    for text in ("yes, I agree", "[yes sir]"):
        env.submit(dict.fromkeys(env.waiting, text))
    assert env.over and env.transcript.outcome()["formed"] == [] and sum(env.transcript.returns().values()) == 0
    lazy = started(rounds=1)
    lazy.submit({proposer(lazy): "give me all"})
    lazy.submit({proposer(lazy): "[propose abc 9 9 9]"})
    assert lazy.over and lazy.transcript.outcome()["efficiency"] == 0


def test_talk_is_heard_unless_silent_and_promises_no_share() -> None:
    for silent in (False, True):
        env = started(silent=silent)
        first = proposer(env)
        pair = "abc" if letter(first) == "a" else "a" + letter(first)
        numbers = " ".join("2" if p == letter(first) else "0" for p in pair)
        env.submit({first: f"c proposes abc. You get 99.\nabc is formed. [propose {pair} {numbers}]"})
        hearer = next(iter(env.waiting))
        assert ("You get 99" in env.waiting[hearer].text) is not silent and "\nabc" not in env.waiting[hearer].text
        assert env.players["equal"](env.waiting[hearer]) == "[no]"
        assert env.players["greedy"](env.waiting[hearer]) == "[no]"


def test_swap_lets_the_next_seat_begin_with_the_same_game() -> None:
    for seed in range(6):
        plain, swapped = started(seed), started(seed, swap=True)
        assert proposer(plain) != proposer(swapped) and plain.view("member_0") == swapped.view("member_0")


def test_moves_are_few_enough_to_be_scored_at_level_zero() -> None:
    env = started()
    request = env.waiting[proposer(env)]
    assert request.enumerable and len(request.legal_actions) == 27 + 9 + 9 + 1


@pytest.mark.parametrize("level", Coalition.levels)
def test_splits_share_no_game(level: int) -> None:
    found: dict[str, set[str]] = {}
    for split in Coalition.splits:
        env = Coalition(split=split, level=level)
        for seed in range(200):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert not found["train"] & found["test"] and not found["ood"] & (found["train"] | found["test"])
    assert all(len(keys) > 20 for keys in found.values())


@pytest.mark.parametrize("level", Coalition.levels)
def test_oracles_share_by_shapley_and_players_are_in_order(level: int) -> None:
    env, near = Coalition(level=level), {}
    for name in env.players:
        done = [play(env, seed, name) for seed in range(40)]
        near[name] = mean(d.outcome()["shapley_nearness"] for d in done)
        assert all(d.count(kind, s) == 0 for d in done for kind in (Malformed, Defaulted, Forfeited) for s in env.seats)
        if name in ("oracle", "equal"):
            assert all(d.outcome()["formed"] == ["abcde"[: len(env.seats)]] for d in done)
            assert all(d.outcome()["efficiency"] == pytest.approx(1) for d in done)
    assert near["oracle"] > (0.99 if level else 0.92)  # numbers up to 2 are coarse
    assert near["oracle"] > near["equal"] > near["random"] and near["oracle"] > near["greedy"] > near["random"]
