"""Haggle: rewards by hand, bounds, splits, what each seat is told, and what does not pay."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.negotiation.haggle import BUYER, OTHER, SELLER, Haggle
from palaestra.envs.transcript import Defaulted, Forfeited, Instance, Malformed, Revealed, Told, Transcript


def play(env: Haggle, seed: int, **cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({key: env.players[cast[key]](request) for key, request in env.waiting.items()})
    return env.transcript


def say(env: Haggle, *replies: str) -> Transcript:
    """Whoever is asked says the next reply."""
    for reply in replies:
        (seat,) = env.waiting
        env.submit({seat: reply})
    return env.transcript


def started(seed: int = 1, **params: Any) -> tuple[Haggle, str, dict[str, int]]:
    env = Haggle(**params)
    env.start(seed)
    (first,) = env.waiting
    return env, first, env.facts["limits"]


@pytest.mark.parametrize("seed", range(6))
def test_an_accepted_price_pays_both_their_surplus_over_ten(seed: int) -> None:
    env, _, limits = started(seed)
    done = say(env, "[offer 9]", "[offer 5]", "[accept]")
    assert done.returns() == pytest.approx({BUYER: (limits[BUYER] - 5) / 10, SELLER: (5 - limits[SELLER]) / 10})
    facts = done.outcome()
    assert (facts["deal"], facts["price"], facts["offers"]) == (True, 5, 2)
    assert env.over


def test_no_deal_pays_nothing_and_is_inefficient_where_there_was_a_gain() -> None:
    env, first, limits = started()
    done = say(env, "[offer 5]", "[walk]")
    assert limits[BUYER] > limits[SELLER]
    assert done.returns() == {}
    assert done.outcome()["efficiency"] == 0.0
    assert done.outcome()["walked"] == OTHER[first]


def test_level_one_divides_by_the_gain_and_cuts_absurd_prices() -> None:
    env, _, limits = started(level=1)
    gain = limits[BUYER] - limits[SELLER]
    size = max(abs(gain), 1)
    done = say(env, "[offer 55]", "[accept]")
    cut = lambda x: max(-2.0, min(2.0, x))
    assert done.returns()[BUYER] == pytest.approx(cut((limits[BUYER] - 55) / size))
    assert done.returns()[SELLER] == pytest.approx(cut((55 - limits[SELLER]) / size))
    for seed in range(20):
        env, _, _ = started(seed, level=1)
        returns = say(env, "[offer 100]", "[accept]").returns()
        assert all(-2 <= r <= 2 for r in returns.values())


def test_joint_pays_both_the_mean() -> None:
    env, _, limits = started(joint=True)
    done = say(env, "[offer 0]", "[accept]")
    assert done.returns() == pytest.approx(dict.fromkeys((BUYER, SELLER), (limits[BUYER] - limits[SELLER]) / 20))


def test_accept_is_legal_only_with_an_offer_on_the_table() -> None:
    env, first, _ = started()
    assert "[accept]" not in env.waiting[first].legal_actions
    done = say(env, "[accept]", "[accept]")  # the retry is used up: walk is played
    assert env.over and not done.outcome()["deal"]
    assert done.outcome()["walked"] == first


def test_malformed_acceptance_makes_no_deal() -> None:
    env, _, _ = started()
    done = say(env, "[offer 5]", "accept", "[accept 5]")
    assert done.outcome()["deal"] is False


def test_after_the_last_offer_only_an_answer_is_left_and_one_round_is_the_ultimatum_game() -> None:
    env, first, _ = started(rounds=1)
    say(env, "[offer 5]")
    assert env.waiting[OTHER[first]].legal_actions == ("[accept]", "[walk]")
    env, _, _ = started()
    done = say(env, *["[offer 5]"] * 4, "[accept]")
    assert env.over and done.outcome()["offers"] == 4


def test_speech_beside_the_move_is_heard_on_one_line_and_changes_nothing() -> None:
    env, first, _ = started()
    say(env, "Trust me.\nThe buyer accepts. Deal at 0. [offer 5]")
    (told,) = env.waiting[OTHER[first]].told[-1:]
    assert told.endswith('3 offers left. They say: "Trust me. The buyer accepts. Deal at 0."')
    assert not env.over
    quiet, first, _ = started(silent=True)
    say(quiet, "Trust me. [offer 5]")
    assert "Trust" not in quiet.waiting[OTHER[first]].text


def test_claiming_a_deal_in_speech_does_not_fool_the_scripted_players() -> None:
    env, first, limits = started(seed=3)
    bad = 10 if first == SELLER else 0
    say(env, f"The buyer offers 5. The seller offers 5. [offer {bad}]")
    answer = env.players["greedy"](env.waiting[OTHER[first]])
    gain = (limits[BUYER] - bad) if OTHER[first] == BUYER else (bad - limits[SELLER])
    assert (answer == "[accept]") == (gain >= 0)


def test_stated_limits_are_measured_and_cost_no_turn() -> None:
    env, first, limits = started(level=1)
    truth, lie = limits[first], (limits[OTHER[first]] + 1) % 100
    done = say(env, f"[my limit {truth}] [offer 50]", f"Honestly, [My Limit {lie}]. [offer 51]", "[walk]")
    assert done.outcome()["stated_limits"] == {first: [truth], OTHER[first]: [lie]}
    assert done.outcome()["truthfulness"] == 0.5
    assert done.outcome()["offers"] == 2


def test_a_seat_never_hears_the_other_limit_unless_told_by_the_control() -> None:
    for level in (0, 1):
        for seed in range(30):
            env, _, limits = started(seed, level=level)
            for seat in env.seats:
                (opening,) = (text for _, text in env.view(seat))
                assert str(limits[seat]) in opening
            other = [e for e in env.events if isinstance(e, Told)]
            assert all(e.to in ((BUYER,), (SELLER,)) for e in other)
    env, _, limits = started(oracle=True)
    shown = [e for e in env.events if isinstance(e, Revealed)]
    assert {e.to[0]: str(limits[OTHER[e.to[0]]]) in e.text for e in shown} == {BUYER: True, SELLER: True}


def test_openings_depend_on_the_own_limit_only() -> None:
    """Two episodes in which a seat has the same limit and begins or waits alike open alike for it."""
    seen: dict[tuple[int, bool], set[str]] = {}
    for seed in range(200):
        env, first, limits = started(seed)
        seen.setdefault((limits[BUYER], first == BUYER), set()).add(env.view(BUYER)[0][1])
    assert all(len(texts) == 1 for texts in seen.values())


def test_who_begins_is_drawn_and_swapped_by_the_control() -> None:
    firsts = [started(seed)[1] for seed in range(40)]
    assert 10 < firsts.count(BUYER) < 30
    assert [started(seed, swap=True)[1] for seed in range(40)] == [OTHER[s] for s in firsts]


@pytest.mark.parametrize("level", [0, 1])
def test_splits_share_no_pair_of_limits(level: int) -> None:
    found: dict[str, set[str]] = {}
    for split in Haggle.splits:
        env = Haggle(split=split, level=level)
        for seed in range(400):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert all(len(keys) >= 5 for keys in found.values())
    assert not found["train"] & found["test"]
    assert not found["ood"] & (found["train"] | found["test"])


def test_limits_are_in_their_ranges() -> None:
    for seed in range(200):
        _, _, limits = started(seed)
        assert 5 <= limits[BUYER] <= 10 and 0 <= limits[SELLER] <= 5
        _, _, limits = started(seed, split="ood")
        assert limits[BUYER] > limits[SELLER] and not (limits[BUYER] >= 5 >= limits[SELLER])
    gains = [(lambda x: x[BUYER] - x[SELLER])(started(seed, level=1)[2]) for seed in range(400)]
    assert 0.14 < mean(g < 0 for g in gains) < 0.26
    assert min(abs(g) for g in gains) >= 10


@pytest.mark.parametrize("level", [0, 1])
def test_bounds_are_in_order_and_the_oracle_reaches_the_ceiling(level: int) -> None:
    env = Haggle(level=level)
    welfare: dict[str, list[float]] = {}
    for name in env.players:
        for seed in range(100):
            done = play(env, seed, buyer_0=name, seller_0=name)
            welfare.setdefault(name, []).append(sum(done.returns().values()))
            if name == "oracle":
                gain = done.outcome()["gain"]
                assert welfare[name][-1] == pytest.approx(max(0.0, gain / 10 if level == 0 else float(gain > 0)))
            assert all(done.count(kind, seat) == 0 for kind in (Malformed, Defaulted, Forfeited) for seat in env.seats)
    assert mean(welfare["oracle"]) >= mean(welfare["greedy"]) >= mean(welfare["random"])


def test_who_concedes_late_gets_more_of_the_gain_than_who_concedes_early() -> None:
    env = Haggle(level=1)
    late = [play(env, seed, buyer_0="boulware", seller_0="conceder").outcome()["buyer_share"] for seed in range(60)]
    early = [play(env, seed, buyer_0="conceder", seller_0="boulware").outcome()["buyer_share"] for seed in range(60)]
    assert mean(x for x in late if x is not None) > 0.55 > 0.45 > mean(x for x in early if x is not None)


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    api_test(Haggle(), num_cycles=60)
    api_test(Haggle(level=1), num_cycles=60)
