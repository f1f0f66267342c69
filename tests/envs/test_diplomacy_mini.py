"""Mini-Diplomacy: adjudication by hand and against another algorithm, best orders, letters and pledges, the game."""

from __future__ import annotations

import itertools
import random
import re
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.games.diplomacy_mini import DiplomacyMini, keeps
from palaestra.envs.games.diplomacy_orders import (
    MAP,
    POWERS,
    Board,
    Order,
    World,
    best_orders,
    carry_out,
    greedy_orders,
    moved,
    options,
    standing,
    value,
)
from palaestra.envs.transcript import Defaulted, Forfeited, Instance, Malformed, Transcript

WORLD = World(MAP, dict(zip(POWERS, "abc", strict=True)))
EVERYWHERE = {a: "".join(sorted({*"abcdefghi"} - {a})) for a in "abcdefghi"}  # all provinces border on each other
SIDES = {"r": "red", "g": "green", "b": "blue"}


def orders(text: str) -> tuple[dict[str, str], dict[str, Order]]:
    """`r a-b, g c h, b d s a`: red's army in a moves to b, green's in c holds, blue's in d supports the one in a."""
    armies, given = {}, {}
    for one in text.split(", "):
        side, what = one.split(" ", 1)
        armies[what[0]] = SIDES[side]
        verb = {"-": "move", "h": "hold", "s": "support"}[what[1:].strip()[0]]
        given[what[0]] = Order(verb, what[-1] if verb != "hold" else what[0])
    return armies, given


# -- adjudication ----------------------------------------------------------------------------------------------------

CASES = [
    ("a move into a free province", "r a-b", "a"),
    ("two equal moves bounce", "r a-c, g b-c", ""),
    ("an army that holds stops an equal one", "r a-b, g b h", ""),
    ("a supported move dislodges", "r a-b, r c s a, g b h", "a"),
    ("a supported hold stands", "r a-b, r c s a, g b h, g d s b", ""),
    ("two supports beat one", "r a-b, r c s a, b e s a, g b h, g d s b", "a"),
    ("the stronger of two enters", "r a-c, r d s a, g b-c", "a"),
    ("an attack cuts support", "r a-b, r c s a, g b h, b d-c", ""),
    ("an attack of the own power does not cut", "r a-b, r c s a, g b h, r d-c", "a"),
    ("support is not cut from where it is aimed at", "r a-b, r c s a, g b-c", "a"),
    ("unless it is dislodged from there", "r a-b, r c s a, g b-c, g d s b, b e-b", "b"),
    ("an attack cuts support of a hold", "r a-b, r c s a, g b h, g d s b, b e-d", "a"),
    ("two armies cannot change places", "r a-b, g b-a", ""),
    ("nor of one power", "r a-b, r b-a", ""),
    ("the stronger of two that face each other enters", "r a-b, r c s a, g b-a", "a"),
    ("three in a circle all move", "r a-b, g b-c, b c-a", "abc"),
    ("a circle is broken by a bounce", "r a-b, g b-c, b c-a, r d-a", ""),
    ("a circle is kept by a support", "r a-b, g b-c, b c-a, g d-a, r e s c", "abc"),
    ("a chain moves on", "r a-b, g b-c, b c-d", "abc"),
    ("a chain is stopped at its head", "r a-b, g b-c, b c-d, g e-d", ""),
    ("a chain is stopped by a hold", "r a-b, g b-c, b c h", ""),
    ("nobody dislodges its own army", "r a-b, g c s a, r b h", ""),
    ("nor one that fails to leave", "r a-b, g c s a, r b-d, b d h", ""),
    ("nobody helps to dislodge its own army", "r a-b, g c s a, g b h", ""),
    ("support of a hold is none for a move that fails", "r a-b, r c s a, g b-d, b d h, b e s b", "a"),
    ("a besieged army stays where two equals attack", "r a-c, r d s a, g b-c, g e s b, b c h", ""),
    ("who is dislodged still bounces elsewhere", "r a-b, r c s a, g b-d, b e-d", "a"),
    ("but not where its dislodger came from", "r a-b, r c s a, g b-a, b e-a", "ae"),
    ("support of a move that is not made is support to stay", "g a-b, g c s a, r b h, r d s b", ""),
]


@pytest.mark.parametrize(("what", "text", "succeed"), CASES)
def test_orders_are_carried_out_by_hand(what: str, text: str, succeed: str) -> None:
    armies, given = orders(text)
    assert moved(EVERYWHERE, armies, given) == set(succeed), what


def test_support_reaches_bordering_provinces_only() -> None:
    armies, given = orders("r a-d, r h s a, g d h")
    assert moved(MAP, armies, given) == {"a"}  # h borders on d
    armies, given = orders("r a-d, r i s a, g d h")
    assert moved(MAP, armies, given) == set()  # i does not


def reference(borders: Any, armies: dict[str, str], given: dict[str, Order]) -> set[str]:
    """Another algorithm: decide by recursion, guess at cycles, and let circles of moves succeed.

    Source: L. B. Kruijswijk, The math of adjudication (2009).
    """
    moves = {a: o.target for a, o in given.items() if o.verb == "move"}
    state: dict[str, str] = {}
    result: dict[str, bool] = {}
    open_: list[str] = []

    def supported(a: str, without: str = "") -> int:
        aim = moves.get(a, a)
        helpers = [
            s for s, o in given.items() if o == Order("support", a) and aim in borders[s] and armies[s] != without
        ]
        return 1 + sum(resolve(s) for s in helpers)

    def decide(a: str) -> bool:
        if given[a].verb == "support":
            aim = moves.get(given[a].target, given[a].target)
            for x, to in moves.items():
                if to == a and armies[x] != armies[a]:
                    if x != aim or resolve(x):
                        return False
            return True
        to = moves[a]
        front = to in moves and moves[to] == a
        if to in armies and (front or to not in moves or not resolve(to)):
            attack = 0 if armies[to] == armies[a] else supported(a, armies[to])
            against = supported(to) if front or to not in moves else 1
            if attack <= against:
                return False
        else:
            attack = supported(a)
        for x, other in moves.items():
            if x != a and other == to:
                facing = moves.get(to) == x
                if attack <= (0 if facing and resolve(to) else supported(x)):
                    return False
        return True

    def resolve(a: str) -> bool:
        if state.get(a) == "done":
            return result[a]
        if state.get(a) == "guess":
            if a not in open_:
                open_.append(a)
            return result[a]
        before = len(open_)
        result[a], state[a] = False, "guess"
        first = decide(a)
        if len(open_) == before:
            if state[a] != "done":
                result[a], state[a] = first, "done"
            return result[a]
        if open_[before] != a:
            open_.append(a)
            result[a] = first
            return first
        for x in open_[before:]:
            state.pop(x, None)
        del open_[before:]
        result[a], state[a] = True, "guess"
        second = decide(a)
        if first == second:
            for x in open_[before:]:
                state.pop(x, None)
            del open_[before:]
            result[a], state[a] = first, "done"
            return first
        for x in open_[before:]:  # a circle of moves
            if x in moves:
                result[x], state[x] = True, "done"
            else:
                state.pop(x, None)
        del open_[before:]
        return resolve(a)

    return {a for a in moves if resolve(a)}


def test_the_largest_set_of_moves_is_what_the_recursive_algorithm_finds() -> None:
    rng = random.Random(0)
    circles = 0
    for _ in range(1500):
        borders = MAP if rng.random() < 0.5 else EVERYWHERE
        places = rng.sample(sorted(MAP), rng.randint(2, 7))
        armies = {a: rng.choice(POWERS) for a in places}
        given = {}
        for a in places:
            verb = rng.choice(("move", "move", "support", "hold"))
            pool = [x for x in places if x != a] if verb == "support" else list(borders[a])
            near = [x for x in borders[a] if x in places]
            pool = near if near and rng.random() < 0.5 else pool
            given[a] = Order(verb, a if verb == "hold" else rng.choice(pool))
        found = moved(borders, armies, given)
        assert found == reference(borders, armies, given), (armies, given)
        circles += any(given[given[given[a].target].target].target == a for a in found if _in(found, given, a))
    assert circles > 5


def _in(found: set[str], given: dict[str, Order], a: str) -> bool:
    return given[a].target in found and given[given[a].target].target in found


# -- the year --------------------------------------------------------------------------------------------------------


def test_centres_change_hands_in_winter_and_lost_armies_come_back_at_home() -> None:
    board = Board(
        {"a": "red", "g": "red", "d": "green", "b": "green"}, {"a": "red", "b": "green", "c": "blue", "d": "green"}
    )
    _, given = orders("r a-d, r g s a, g d h, g b h")
    after, done, lost = carry_out(WORLD, board, given)
    assert done == {"a"} and lost == {"d"}
    assert after.owners["d"] == "red" and after.owners["b"] == "green"
    assert after.armies == {"d": "red", "g": "red", "b": "green", "c": "blue"}  # green's home is not free, blue's is
    _, given = orders("r d h, r g h, g b-e, b c h")
    after, *_ = carry_out(WORLD, after, given)
    assert after.armies == {"d": "red", "g": "red", "e": "green", "b": "green", "c": "blue"}


def test_no_army_comes_back_to_a_home_that_another_owns() -> None:
    board = Board({"b": "red"}, {"a": "red", "b": "red", "c": "blue"})
    after, *_ = carry_out(WORLD, board, {"b": Order("move", "d")})
    assert after.armies == {"d": "red", "a": "red", "c": "blue"}


def test_the_map_is_the_same_from_every_home() -> None:
    turn = dict(zip("abcdefghi", "bcaefdhig", strict=True))
    for a, near in MAP.items():
        assert {turn[x] for x in near} == {*MAP[turn[a]]}
        assert all(a in MAP[x] for x in near)


# -- best orders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_best_orders_are_the_best_of_all_against_the_true_orders(seed: int) -> None:
    rng = random.Random(seed)
    places = rng.sample(sorted(MAP), 6)
    board = Board(
        {a: POWERS[i // 2] for i, a in enumerate(places)}, dict(zip("abcde", [*POWERS, "", "red"], strict=True))
    )
    true = {a: rng.choice(options(WORLD, board, a)) for a in places[2:]}
    best = best_orders("red", WORLD, board, true)

    def worth(plan: dict[str, Order]) -> float:
        return value("red", WORLD, carry_out(WORLD, board, {**true, **plan})[0])

    one, two = standing(board, "red")
    for first, second in itertools.product(options(WORLD, board, one), options(WORLD, board, two)):
        assert worth({one: first, two: second}) <= worth(dict(best)) + 1e-12


def test_best_orders_take_a_held_centre_by_support() -> None:
    board = Board({"a": "red", "g": "red", "d": "green"}, {"a": "red", "d": "green", "b": "blue", "c": "blue"})
    best = best_orders("red", WORLD, board, {"d": Order("hold", "d")})
    after, *_ = carry_out(WORLD, board, {**best, "d": Order("hold", "d")})
    assert after.owners["d"] == "red" and {order.verb for order in best.values()} == {"move", "support"}
    assert greedy_orders("red", WORLD, board)["a"] == Order("move", "d")


def play(env: DiplomacyMini, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[cast[env.seats.index(seat)]](request)})
    return env.transcript


def test_the_responder_gains_on_greedy_powers_whose_orders_it_foresees() -> None:
    env = DiplomacyMini()
    got = [play(env, seed, *cast).returns()[seat] for seed in range(6) for seat, cast in _casts(env, "responder")]
    assert mean(got) > 0.03


def _casts(env: DiplomacyMini, name: str) -> list[tuple[str, list[str]]]:
    return [(seat, [name if s == seat else "greedy" for s in env.seats]) for seat in env.seats]


# -- the game --------------------------------------------------------------------------------------------------------


def started(seed: int = 0, **params: Any) -> DiplomacyMini:
    env = DiplomacyMini(**params)
    env.start(seed)
    return env


def seat(power: str) -> str:
    return f"power_{POWERS.index(power)}"


def hold_all(env: DiplomacyMini) -> None:
    """A year in which nobody writes and nobody moves."""
    years = env.render().count("Orders: ")
    while env.waiting and env.render().count("Orders: ") == years:
        env.submit({s: "[pass]" if "pass" in r.commands else f"[{r.commands[0]}]" for s, r in env.waiting.items()})


def test_every_army_is_asked_once_a_year_at_once_and_sees_no_order_of_the_year() -> None:
    env = started()
    assert set(env.waiting) == {*env.seats}
    before = env.view("power_2")
    env.submit({"power_0": "[move a d]", "power_1": "[hold b]"})
    assert env.view("power_2") == before
    env.submit({"power_2": "nonsense"})
    env.submit({"power_2": "[move c a]"})  # no border: the default, to hold
    asked = {s: r.commands[0] for s, r in env.waiting.items()}
    assert not any("Orders" in t for t in env.waiting["power_0"].told) and asked["power_0"] != "hold a"
    hold_all(env)
    (line,) = (t for t in env.waiting["power_0"].told if t.startswith("Orders: "))
    assert "red a moves to d" in line and "green b holds." in line and "blue c holds." in line


def test_holding_for_all_years_pays_by_the_centres_and_sums_to_zero() -> None:
    for seed in range(5):
        env = started(seed)
        while env.waiting:
            hold_all(env)
        centres = env.transcript.outcome()["centres"]
        total = sum(centres.values())
        expect = {seat(p): n / total - 1 / 3 for p, n in centres.items()}
        assert env.transcript.returns() == pytest.approx(expect)
        assert all(1 <= n <= 2 for n in centres.values()) and total <= 6
        assert env.render().count("Orders: ") == 4


def test_orders_are_few_enough_to_be_scored() -> None:
    for level in (0, 1):
        env = started(level=level)
        while env.waiting:
            assert all(r.enumerable and len(r.legal_actions) <= 12 for r in env.waiting.values())
            env.submit({s: env.players["random"](r) for s, r in env.waiting.items()})


def test_letters_reach_one_power_alone_unless_they_are_open() -> None:
    for params, heard in (({}, False), ({"open_letters": True}, True)):
        env = started(level=1, **params)
        text = "Attack blue!\nOrders: red a moves to d. [pledge green support]"
        env.submit({"power_0": text, "power_1": "[pass]", "power_2": "[pass]"})
        line = 'red pledges support to green: "Attack blue! Orders: red a moves to d."'
        assert line in env.waiting["power_1"].told
        assert (line in env.waiting["power_2"].told) is heard
        assert not env.waiting["power_0"].told
        env.submit(dict.fromkeys(env.seats, "[pass]"))
        assert "pass" not in env.waiting["power_0"].commands
    env = started(level=1, silent=True)
    assert "pass" not in env.waiting["power_0"].commands


def test_what_keeps_and_what_breaks_a_pledge() -> None:
    armies, given = orders("r a-d, r g s h, g h h, b i-e, g b h, b c h")
    board = Board(armies, {"a": "red", "b": "green", "c": "blue", "d": "green", "e": ""})
    assert keeps(board, given, "red", "green", "support")
    assert not keeps(board, given, "red", "green", "peace")  # d is green's
    assert keeps(board, given, "red", "blue", "peace")
    assert not keeps(board, given, "red", "blue", "support")
    assert keeps(board, given, "blue", "green", "peace")  # e is nobody's
    given["g"] = Order("move", "h")
    assert not keeps(board, given, "blue", "red", "support") and not keeps(board, given, "red", "green", "support")


def test_the_loyal_keep_their_pledges_and_traitors_break_them() -> None:
    env = DiplomacyMini(level=1)
    loyal = [play(env, s, "loyal", "loyal", "loyal").outcome() for s in range(5)]
    assert all(o["promises_kept"] == 1 and o["betrayals"] == 0 and o["pledges"] == 18 for o in loyal)
    false = [play(env, s, "traitor", "greedy", "greedy").outcome() for s in range(5)]
    assert mean(o["promises_kept"] for o in false) < 0.8 and sum(o["betrayals"] for o in false) > 5


def test_supports_for_others_are_counted_and_pledging_both_is_two_pledges() -> None:
    env = started(level=1, years=1)
    env.submit({**dict.fromkeys(env.seats, "[pass]"), "power_0": "[pledge green support]"})
    env.submit({**dict.fromkeys(env.seats, "[pass]"), "power_0": "[pledge green peace]"})
    helped = False
    while env.waiting:
        answers = {s: f"[{r.commands[0]}]" for s, r in env.waiting.items()}
        request = env.waiting["power_0"]
        now = next(t for t in request.heard if t.startswith("Year 1"))
        greens = re.search(r"green: armies ([\w ]+),", now)
        assert greens is not None
        for move in request.legal_actions:
            if move.startswith("[support") and move[:-1].split()[-1] in greens[1].split() and not helped:
                answers["power_0"], helped = move, True
        env.submit(answers)
    assert helped
    facts = env.transcript.outcome()
    assert facts["support_given"] == 1 and facts["pledges"] == 2 and facts["promises_kept"] == 1


@pytest.mark.parametrize("level", [0, 1])
def test_splits_share_no_setup(level: int) -> None:
    found: dict[str, set[str]] = {}
    for split in DiplomacyMini.splits:
        env = DiplomacyMini(split=split, level=level)
        for seed in range(200):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert not found["train"] & found["test"] and not found["ood"] & (found["train"] | found["test"])
    assert all(len(keys) > 20 for keys in found.values())


@pytest.mark.parametrize("level", [0, 1])
def test_players_are_in_order_and_legal(level: int) -> None:
    env, score = DiplomacyMini(level=level), {}
    for name in ("random", "greedy", "oracle"):
        done = [play(env, seed, name, "random", "random") for seed in range(10)]
        score[name] = mean(d.returns()["power_0"] for d in done)
        assert all(d.count(k, s) == 0 for d in done for k in (Malformed, Defaulted, Forfeited) for s in env.seats)
    assert score["oracle"] > score["greedy"] > score["random"]
