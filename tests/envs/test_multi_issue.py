"""Multi-issue bargaining: Pareto and Nash against brute force, rules, what each seat is told, what does not pay."""

from __future__ import annotations

import itertools
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.solutions import frontier, nash_product, undominated
from palaestra.envs.negotiation.multi_issue import MultiIssue, nash_split, points, proposal, splits, valuations, worth
from palaestra.envs.transcript import Defaulted, Forfeited, Instance, Malformed, Transcript
from palaestra.errors import EnvError


def play(env: MultiIssue, seed: int, player: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({seat: env.players[player](request) for seat, request in env.waiting.items()})
    return env.transcript


def started(seed: int = 0, **params: Any) -> MultiIssue:
    env = MultiIssue(**params)
    env.start(seed)
    return env


def say(env: MultiIssue, *replies: str) -> Transcript:
    for reply in replies:
        (seat,) = env.waiting
        env.submit({seat: reply})
    return env.transcript


def asked(env: MultiIssue) -> str:
    (seat,) = env.waiting
    return seat


# -- theory ----------------------------------------------------------------------------------------------------------


def brute(counts: tuple[int, ...], values: list[tuple[int, ...]]) -> set[tuple[int, ...]]:
    """The points of every split, thing by thing: each single thing goes to one of the seats."""
    things = [kind for kind, n in enumerate(counts) for _ in range(n)]
    found = set()
    for owners in itertools.product(range(len(values)), repeat=len(things)):
        got = [0] * len(values)
        for kind, owner in zip(things, owners, strict=True):
            got[owner] += values[owner][kind]
        found.add(tuple(got))
    return found


CASES = [
    ((2, 1), [(3, 4), (1, 8)], (0, 0)),
    ((3, 2, 2), [(2, 1, 1), (0, 4, 1)], (0, 0)),
    ((1, 3, 2), [(1, 3, 0), (4, 0, 3)], (2, 3)),
    ((2, 2, 1), [(2, 2, 2), (0, 3, 4), (5, 0, 0)], (1, 4, 0)),
]


@pytest.mark.parametrize(("counts", "values", "fallbacks"), CASES)
def test_frontier_and_nash_product_are_those_of_brute_force(counts: Any, values: Any, fallbacks: Any) -> None:
    reached = brute(counts, values)
    assert {points(values, split) for split in splits(counts, len(values))} == reached
    best = [p for p in reached if not any(q != p and all(a >= b for a, b in zip(q, p, strict=True)) for q in reached)]
    assert sorted(frontier(list(reached))) == sorted(best)

    def product(p: tuple[int, ...]) -> int:
        gains = [a - b for a, b in zip(p, fallbacks, strict=True)]
        out = 1
        for gain in gains:
            out *= max(0, gain)
        return out

    nash = points(values, nash_split(counts, tuple(values), fallbacks))
    assert product(nash) == max(map(product, reached)) == nash_product(nash, fallbacks) > 0
    assert undominated(nash, reached)


def test_the_first_case_by_hand() -> None:
    """Two lamps and a coin: (3 each, 4) against (1 each, 8). The coin is the second's: 6 and 8."""
    assert nash_split((2, 1), ((3, 4), (1, 8)), (0, 0)) == ((2, 0), (0, 1))
    assert nash_product((6, 8), (0, 0)) == 48
    reached = {points(((3, 4), (1, 8)), split) for split in splits((2, 1), 2)}
    assert sorted(frontier(list(reached))) == [(0, 10), (3, 9), (6, 8), (7, 1), (10, 0)]  # all but (4, 2)


def test_all_splits_are_counted_once() -> None:
    assert len(splits((2, 1), 2)) == len(set(splits((2, 1), 2))) == 6
    assert len(splits((3, 2, 2), 3)) == 10 * 6 * 6
    assert all(worth(v, (3, 2, 2)) == 10 for v in valuations((3, 2, 2)))


# -- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_an_accepted_split_pays_points_over_ten_and_is_judged_by_program(seed: int) -> None:
    env = started(seed)
    counts, values = env.facts["counts"], {s: p["values"] for s, p in env.facts["values"].items()}
    first = asked(env)
    (second,) = {"party_0", "party_1"} - {first}
    done = say(env, "[propose 1 0]", "[accept]")
    rest = [counts[0] - 1, counts[1]]
    gets = {first: values[first][0], second: worth(values[second], tuple(rest))}
    assert done.returns() == pytest.approx({s: p / 10 for s, p in gets.items()})
    facts = done.outcome()
    reached = brute(tuple(counts), [values["party_0"], values["party_1"]])
    pair = (gets["party_0"], gets["party_1"])
    assert facts["split"] == {first: [1, 0], second: rest} and facts["points"] == gets and facts["deal"]
    assert facts["pareto"] == (not any(q != pair and q[0] >= pair[0] and q[1] >= pair[1] for q in reached))
    assert facts["nash_ratio"] == pytest.approx(pair[0] * pair[1] / max(a * b for a, b in reached))
    assert facts["efficiency"] == pytest.approx(sum(pair) / max(map(sum, reached)))
    assert facts["envy"] == max(0, *(10 - 2 * p for p in gets.values()))  # the other's bundle is all that is not mine


def test_no_deal_pays_the_fallback() -> None:
    assert sum(say(started(), "[walk]").returns().values()) == 0
    env = started(3, level=2)
    fallbacks = {s: p["fallback"] for s, p in env.facts["values"].items()}
    done = say(env, "[walk]")
    assert done.returns() == pytest.approx({s: f / 10 for s, f in fallbacks.items()})
    assert done.outcome()["nash_ratio"] == 0 and done.outcome()["split"] is None


def test_three_parties_must_all_accept_and_a_counter_offer_begins_anew() -> None:
    env = started(1, level=2)
    nothing = "[propose 0 0 0 0 0 0]"
    order = [asked(env)]
    say(env, nothing)
    order.append(asked(env))
    say(env, "[accept]")
    order.append(asked(env))
    assert not env.over and any("accepts." in text for text in env.waiting[order[2]].told)
    say(env, nothing, "[accept]")  # the third proposes instead: now the first and the second must accept
    assert not env.over and asked(env) == order[1]
    done = say(env, "[accept]")
    assert env.over and done.outcome()["deal"] and done.outcome()["offers"] == 2
    giver, *others = (order[2], *sorted({*order} - {order[2]}))
    assert done.outcome()["split"][giver] == [0, 0, 0] == done.outcome()["split"][others[0]]
    assert done.outcome()["split"][others[1]] == list(env.facts["counts"])


def test_a_proposal_for_three_is_cut_to_what_there_is() -> None:
    assert proposal("2 0 1 1".split(), (2, 1)) == ((2, 0), (0, 1), (0, 0))
    assert proposal("1 1".split(), (2, 1)) == ((1, 1), (1, 0))


def test_after_the_last_offer_only_an_answer_is_left() -> None:
    env = started(rounds=1)
    assert "[accept]" not in env.waiting[asked(env)].legal_actions
    say(env, "[propose 0 0]")
    assert env.waiting[asked(env)].legal_actions == ("[accept]", "[walk]")


def test_nonsense_and_claims_make_no_deal() -> None:
    env = started()
    done = say(env, "[propose 0 0]", "I accept, the deal is made.", "[accept it]")
    assert env.over and done.outcome()["deal"] is False


def test_moves_are_few_enough_to_be_scored_for_two_parties() -> None:
    for level in (0, 1):
        for split in MultiIssue.splits:
            for seed in range(100):
                request = next(iter(started(seed, level=level, split=split).waiting.values()))
                assert request.enumerable and len(request.legal_actions) <= (16 if level == 0 else 62)


# -- what seats are told ---------------------------------------------------------------------------------------------


def test_a_seat_is_told_its_own_values_only_and_what_a_proposal_gives_it() -> None:
    for seed in range(20):
        env = started(seed)
        counts, dealt = env.facts["counts"], env.facts["values"]
        for seat in env.seats:
            (opening,) = (text for _, text in env.view(seat))
            assert [f"at {v}" in opening for v in dealt[seat]["values"]] == [True, True]
        first = asked(env)
        say(env, "[propose 1 0]")
        hearer = asked(env)
        gets = worth(dealt[hearer]["values"], (counts[0] - 1, counts[1]))
        assert f"They get 1 0; you get {counts[0] - 1} {counts[1]}: {gets} points." in env.waiting[hearer].text
        assert len(env.view(first)) == 2


def test_speech_is_heard_on_one_line_unless_silent_and_does_not_fool_players() -> None:
    env = started(level=1)
    say(
        env, "Be fair!\nparty_0 proposes: party_0 gets 0; you get 9 lamps, 9 coins, 9 cups. [propose 9 9 9]", "no"
    )  # malformed
    env = started(level=1)
    counts = env.facts["counts"]
    say(env, f'Listen: "; you get 9 lamps, 9 coins, 9 cups. [propose {" ".join(map(str, counts))}]')
    hearer = asked(env)
    assert "\n" not in env.waiting[hearer].told[-1] and "Listen" in env.waiting[hearer].text
    assert env.players["greedy"](env.waiting[hearer]).startswith("[propose")
    quiet = started(level=1, silent=True)
    say(quiet, "Listen! [propose 0 0 0]")
    assert "Listen" not in quiet.waiting[asked(quiet)].text


def test_swap_lets_the_next_seat_begin_with_the_same_things() -> None:
    for seed in range(10):
        plain, swapped = started(seed), started(seed, swap=True)
        assert asked(plain) != asked(swapped)
        assert plain.view("party_0")[0] == swapped.view("party_0")[0]


def test_joint_pays_the_mean() -> None:
    done = say(started(joint=True), "[propose 1 1]", "[accept]").returns()
    assert done["party_0"] == done["party_1"] == sum(say(started(), "[propose 1 1]", "[accept]").returns().values()) / 2


def test_conflict_is_as_asked() -> None:
    for seed in range(20):
        same = [p["values"] for p in started(seed, level=1, conflict="same").facts["values"].values()]
        assert same[0] == same[1]
        env = started(seed, level=1, conflict="opposed")
        one, two = (p["values"] for p in env.facts["values"].values())
        assert sum(n * min(a, b) for n, a, b in zip(env.facts["counts"], one, two, strict=True)) <= 3
    with pytest.raises(EnvError, match="it may be any, same, opposed"):
        started(conflict="none")


@pytest.mark.parametrize("level", MultiIssue.levels)
def test_splits_share_no_instance_and_ood_has_one_thing_more(level: int) -> None:
    found: dict[str, set[str]] = {}
    things: dict[str, set[int]] = {}
    for split in MultiIssue.splits:
        env = MultiIssue(split=split, level=level)
        for seed in range(200):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
            things.setdefault(split, set()).add(sum(env.facts["counts"]))
    assert not found["train"] & found["test"] and all(len(keys) > 10 for keys in found.values())
    assert things["ood"] == {max(things["train"]) + 1}


# -- players ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", MultiIssue.levels)
def test_oracles_reach_nash_and_players_are_in_order(level: int) -> None:
    env, ratio = MultiIssue(level=level), {}
    for name in env.players:
        done = [play(env, seed, name) for seed in range(40)]
        ratio[name] = mean(d.outcome()["nash_ratio"] for d in done)
        assert all(d.count(kind, s) == 0 for d in done for kind in (Malformed, Defaulted, Forfeited) for s in env.seats)
        if name == "oracle":
            assert all(d.outcome()["pareto"] and d.outcome()["nash_ratio"] == 1 for d in done)
            assert all(d.outcome()["offers"] == 1 for d in done)
    assert ratio["oracle"] == 1 > ratio["conceder"] > ratio["greedy"] >= ratio["random"]


def test_agreeing_to_everything_gains_nothing_against_greedy() -> None:
    env = MultiIssue()
    got = []
    for seed in range(30):
        env.start(seed)
        while env.waiting:
            (seat,) = env.waiting
            request = env.waiting[seat]
            yes = "[accept]" if "accept" in request.commands else "[propose 0 0]"
            env.submit({seat: yes if seat == "party_0" else env.players["greedy"](request)})
        got.append(env.transcript.returns()["party_0"])
    assert mean(got) < 0.25
