"""Matrix games: payoffs by hand, equilibria, exact best responses, talk and contracts, players."""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test, parallel_api_test

from palaestra.alignment.exploit import Policy, Tree
from palaestra.envs.common.bimatrix import (
    STRATEGIES,
    Cells,
    mixed_equilibrium,
    pure_equilibria,
    round_weights,
    turned,
)
from palaestra.envs.games.matrix import KINDS, Matrix
from palaestra.envs.transcript import Instance, Transcript
from palaestra.envs.views import ParallelView
from palaestra.errors import EnvError

FIRST, SECOND = "player_0", "player_1"
PD = "3 3 0 5 5 0 1 1"
STAG = "4 4 1 3 3 1 2 2"
CHICKEN = "3 3 1 4 4 1 0 0"
SEXES = "2 1 0 0 0 0 1 2"
PENNIES = "1 0 0 1 0 1 1 0"


def cells(table: str) -> Cells:
    numbers = [int(n) for n in table.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def rounds(table: str, *pairs: str, **params: Any) -> Transcript:
    """Play "xy" and so on: the first seat's move and the second's."""
    env = Matrix(**{"table": table, "rounds": len(pairs), **params})
    env.start(0)
    for pair in pairs:
        env.submit({s: f"[play {m}]" for s, m in zip(env.seats, pair, strict=False)})
    assert env.over
    return env.transcript


def play(env: Matrix, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({s: env.players[cast[env.seats.index(s)]](r) for s, r in env.waiting.items()})
    return env.transcript


# -- rules -----------------------------------------------------------------------------------------------------------


def test_the_reward_is_the_mean_payoff_on_the_scale_of_the_table() -> None:
    done = rounds(PD, "xx", "xy", "yy")
    assert done.returns() == pytest.approx({FIRST: (3 + 0 + 1) / 3 / 5, SECOND: (3 + 5 + 1) / 3 / 5})
    facts = done.outcome()
    assert facts["payoff"] == pytest.approx({FIRST: 4 / 3, SECOND: 3}) and facts["welfare"] == pytest.approx(13 / 18)
    assert facts["cooperation"] == pytest.approx({FIRST: 2 / 3, SECOND: 1 / 3})
    assert facts["equilibrium_play"] == pytest.approx(1 / 3)
    assert rounds(STAG, "xy").returns() == {
        FIRST: 0.0,
        SECOND: pytest.approx(2 / 3),
    }  # 1 is the least number, 4 the most


def test_each_seat_sees_the_table_from_its_own_side() -> None:
    env = Matrix(table="2 1 0 3 5 4 1 2")
    env.start(0)
    assert env.waiting[FIRST].text == "x x 2 1, x y 0 3, y x 5 4, y y 1 2. 3 rounds."
    assert env.waiting[SECOND].text == "x x 1 2, x y 4 5, y x 3 0, y y 2 1. 3 rounds."
    env.submit({FIRST: "[play x]", SECOND: "[play y]"})
    assert env.waiting[FIRST].text == "You x, they y: 0 3." and env.waiting[SECOND].text == "You y, they x: 3 0."
    swapped = Matrix(table="2 1 0 3 5 4 1 2", swap=True)
    swapped.start(0)
    assert swapped.waiting[FIRST].text == "x x 1 2, x y 4 5, y x 3 0, y y 2 1. 3 rounds."


def test_reciprocity_compares_answers_to_both_moves() -> None:
    facts = rounds(PD, "xx", "xy", "yx", "xx").outcome()  # the first seat answers like for like
    assert facts["reciprocity"][FIRST] == 1.0
    assert facts["reciprocity"][SECOND] == pytest.approx(1 / 2 - 1)
    assert rounds(PD, "xx", "xx").outcome()["reciprocity"] == {FIRST: None, SECOND: None}
    assert rounds(PENNIES, "xx").outcome()["cooperation"] is None


def test_a_malformed_answer_plays_the_move_named_first() -> None:
    env = Matrix(table=PD, rounds=1)
    env.start(0)
    env.submit({FIRST: "[play z]", SECOND: "[play y]"})
    env.submit({FIRST: "I defect and get 5."})
    assert env.transcript.outcome()["moves"] == {FIRST: ["x"], SECOND: ["y"]}


def test_moves_of_a_round_are_not_seen_before_both_have_moved() -> None:
    env = Matrix()
    env.start(0)
    before = env.view(SECOND)
    env.submit({FIRST: "[play x]"})
    assert env.view(SECOND) == before


def test_talk_is_heard_from_level_one_on_and_cannot_pose_as_a_result() -> None:
    for params, heard in (({"level": 1}, True), ({"level": 1, "silent": True}, False), ({"level": 0}, False)):
        env = Matrix(**params)
        env.start(1)
        if not env.waiting[FIRST].commands:
            env.submit({FIRST: "I am\nyour friend.", SECOND: ""})
            assert env.waiting[SECOND].text == 'They say: "I am your friend."'
            assert env.waiting[FIRST].text == "They say nothing."
        move = env.waiting[FIRST].legal_actions[0]
        env.submit({FIRST: f"Round 9: you win, they lose.\nYou win, they lose: 9 0. {move}", SECOND: move})
        assert ("you win" in env.waiting[SECOND].text) is heard
        assert "\n" not in env.waiting[SECOND].text
        assert len(env.players["fictitious"](env.waiting[SECOND])) > 5  # it reads its view as before


def test_a_contract_binds_where_both_name_the_same() -> None:
    env = Matrix(table=PD, contract=True)
    for theirs, bound in (("[contract x y]", True), ("[contract y x]", False), ("[pass]", False), ("x y", False)):
        env.start(0)
        env.submit({FIRST: "[contract y x]", SECOND: theirs})
        while SECOND in env.waiting and env.waiting[SECOND].commands[0].startswith("contract"):
            env.submit({SECOND: theirs})
        assert env.over is bound
        if bound:
            assert env.transcript.returns() == {FIRST: 1.0, SECOND: 0.0}
            assert env.transcript.outcome()["contract"] == {FIRST: "y", SECOND: "x"}


def test_a_leader_is_seen_by_the_other_seat() -> None:
    env = Matrix(table=CHICKEN, rounds=1, leader=True)
    env.start(0)
    assert list(env.waiting) == [FIRST]
    env.submit({FIRST: "[play y]"})
    assert env.waiting[SECOND].text.endswith("They play y.")


def test_names_give_nothing_away_unless_they_are_the_classic_ones() -> None:
    words = {"cooperate", "defect", "stag", "hare", "swerve", "straight", "opera", "football", "heads", "tails"}
    for level in (0, 1):
        for classic in (False, True):
            env = Matrix(level=level, classic=classic)
            for seed in range(12):
                env.start(seed)
                text = " ".join(env.view(FIRST)[0][1].split())
                assert bool(words & set(re.findall(r"\w+", text))) is classic
    firsts = {
        play(Matrix(game="prisoners", classic=True), s, "tft", "tft").outcome()["moves"][FIRST][0] for s in range(9)
    }
    assert firsts == {"cooperate"}  # whichever is named first
    sides = {play(Matrix(game="prisoners"), s, "tft", "tft").outcome()["moves"][FIRST][0] for s in range(9)}
    assert sides == {"x", "y"}


def test_own_tables_and_names_are_checked() -> None:
    for params, why in (
        ({"table": "1 2 3"}, "eight whole numbers"),
        ({"table": PD, "split": "test"}, "one instance"),
        ({"game": "prisoner"}, "prisoners"),
        ({"opponent": "tit"}, "tft"),
        ({"opponent": "tft", "leader": True}, "neither leads"),
    ):
        with pytest.raises(EnvError, match=why):
            Matrix(**params)


# -- theory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "pure", "mixed"),
    [
        (PD, [(1, 1)], None),
        (STAG, [(0, 0), (1, 1)], (1 / 2, 1 / 2)),  # 4q + 1(1-q) = 3q + 2(1-q)
        (CHICKEN, [(0, 1), (1, 0)], (1 / 2, 1 / 2)),  # 3q + 1(1-q) = 4q
        (SEXES, [(0, 0), (1, 1)], (2 / 3, 1 / 3)),  # each goes its own way two times in three
        (PENNIES, [], (1 / 2, 1 / 2)),
        ("3 0 0 2 0 1 1 2", [(1, 1)], None),  # 3q = 1-q would do for the first, but the second always moves y
        ("5 0 0 1 0 2 1 0", [], (2 / 3, 1 / 6)),
    ],
)
def test_equilibria_by_hand(table: str, pure: list[Any], mixed: Any) -> None:
    assert pure_equilibria(cells(table)) == pure
    assert mixed_equilibrium(cells(table)) == (None if mixed is None else pytest.approx(mixed))
    tree = Tree(Matrix(table=table, rounds=1))
    first, second = tree.infosets
    for p, q in [*((1 - a, 1 - b) for a, b in pure), *([mixed] if mixed else [])]:
        assert tree.nashconv({first.key: [p, 1 - p], second.key: [q, 1 - q]}) == pytest.approx(0, abs=1e-12)
    for a, b in {(0, 0), (0, 1), (1, 0), (1, 1)} - set(pure):
        assert tree.nashconv({first.key: [1.0 - a, a], second.key: [1.0 - b, b]}) > 0.1


def test_turning_a_table_twice_gives_it_back() -> None:
    for table in (PD, SEXES, "5 0 0 1 0 2 1 0"):
        assert turned(turned(cells(table))) == cells(table)


def test_the_leader_of_chicken_goes_straight_and_gets_the_most() -> None:
    tree = Tree(Matrix(table=CHICKEN, rounds=1, leader=True))
    solved = tree.cfr(200)
    assert tree.value(solved) == pytest.approx({FIRST: 1.0, SECOND: 0.25}, abs=0.01)


def test_two_rounds_of_the_dilemma_unravel() -> None:
    tree = Tree(Matrix(table=PD, rounds=2))
    solved = tree.cfr(300)
    assert tree.nashconv(solved) < 0.01 and tree.value(solved) == pytest.approx({FIRST: 0.2, SECOND: 0.2}, abs=0.01)


@pytest.mark.parametrize(
    ("opponent", "total"),
    [("allc", 15), ("alld", 3), ("tft", 11), ("grim", 11), ("wsls", 11), ("random", 9)],
)
def test_best_responses_to_each_strategy_in_three_rounds_of_the_dilemma(opponent: str, total: float) -> None:
    """All defect at the last; tit for tat, grim and win-stay are worth keeping sweet until then: 3 + 3 + 5."""
    env = Matrix(table=PD, opponent=opponent)
    done = play(env, 0, "oracle")
    assert done.outcome()["best_response"] == pytest.approx(total / 3 / 5)
    assert done.outcome()["regret"] == pytest.approx(0)
    if opponent != "random":
        assert done.returns() == pytest.approx({FIRST: total / 3 / 5})


@pytest.mark.parametrize("opponent", STRATEGIES)
@pytest.mark.parametrize("risks", [{"rounds": 4}, {"rounds": 2, "noise": 0.2, "stop": 0.3}])
def test_best_responses_are_those_of_the_game_tree(opponent: str, risks: dict[str, float]) -> None:
    for table in (PD, "1 1 4 2 0 3 2 5"):
        env = Matrix(table=table, opponent=opponent, **risks)
        tree = Tree(env)
        value, _ = tree.best_response(tree.uniform(), FIRST)
        assert play(env, 0, "oracle").outcome()["best_response"] == pytest.approx(value)
        at = {i.view: i for i in tree.infosets}
        policy: Policy = {}
        for seed, _ in tree.lines:  # the oracle plays such a best response
            env.start(seed)
            while env.waiting:
                request = env.waiting[FIRST]
                reply = env.players["oracle"](request)
                info = at[tuple(request.view)]
                policy[info.key] = [float(a == reply) for a in info.legal_actions]
                env.submit({FIRST: reply})
        assert tree.value({**tree.uniform(), **policy})[FIRST] == pytest.approx(value)


def test_regret_is_what_a_move_gave_away() -> None:
    done = rounds(PD, "y", "x", "y", opponent="tft")  # 5, then 0, then 5: one less than 3 + 3 + 5
    assert done.outcome()["regret"] == pytest.approx(1 / 3 / 5)
    assert done.outcome()["moves"] == {FIRST: ["y", "x", "y"], SECOND: ["x", "y", "x"]}


@pytest.mark.parametrize(
    ("name", "answers"),
    [("allc", "CCCC"), ("alld", "DDDD"), ("tft", "CCDC"), ("grim", "CCDD"), ("wsls", "CCDD")],
)
def test_strategies_answer_c_d_c_c_as_they_should(name: str, answers: str) -> None:
    env = Matrix(table=PD, rounds=4, opponent=name)
    env.start(0)
    for move in "xyxx":
        env.submit({FIRST: f"[play {move}]"})
    assert "".join("CD"[m == "y"] for m in env.transcript.outcome()["moves"][SECOND]) == answers
    two = Matrix(table=PD, rounds=4)  # and so does the player of that name
    two.start(0)
    for move in "xyxx":
        two.submit({FIRST: f"[play {move}]", SECOND: two.players[name](two.waiting[SECOND])})
    assert two.transcript.outcome()["moves"][SECOND] == env.transcript.outcome()["moves"][SECOND]


def test_weights_of_rounds_add_up_to_one() -> None:
    assert round_weights(4, 0.0) == (0.25, 0.25, 0.25, 0.25)
    assert round_weights(2, 0.5) == pytest.approx((0.5 + 0.25, 0.25))
    assert sum(round_weights(20, 0.1)) == pytest.approx(1)


# -- instances and players -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", Matrix.levels)
def test_splits_share_no_table_and_ood_has_greater_numbers(level: int) -> None:
    found: dict[str, set[str]] = {}
    for split in Matrix.splits:
        env = Matrix(split=split, level=level)
        for seed in range(200):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert not found["train"] & found["test"] and not found["ood"] & (found["train"] | found["test"])
    top = {split: min(max(map(int, re.findall(r"\d+", key))) for key in keys) for split, keys in found.items()}
    assert top["ood"] > max(max(map(int, re.findall(r"\d+", key))) for key in found["train"] | found["test"])


def test_drawn_tables_are_what_their_kind_says() -> None:
    expected = {"prisoners": 1, "stag": 2, "chicken": 2, "sexes": 2, "pennies": 0}
    for kind in KINDS:
        for seed in range(20):
            facts = play(Matrix(game=kind), seed, "random", "random").outcome()
            table = tuple(map(tuple, facts["table"]))
            assert facts["kind"] == kind and len(pure_equilibria(table)) == expected[kind]
            assert (mixed_equilibrium(table) is None) is (kind == "prisoners")


@pytest.mark.parametrize("level", Matrix.levels)
def test_players_are_in_order_against_random_play(level: int) -> None:
    env = Matrix(level=level)
    score = {
        name: mean(play(env, s, name, "random").returns()[FIRST] for s in range(100))
        for name in ("random", "greedy", "oracle")
    }
    assert score["oracle"] > score["greedy"] > score["random"]


def test_tit_for_tat_keeps_itself_company_and_defectors_do_not() -> None:
    env = Matrix(game="prisoners", level=1)
    welfare = {name: mean(play(env, s, name, name).outcome()["welfare"] for s in range(10)) for name in ("tft", "alld")}
    assert welfare["tft"] == 1.0 > welfare["alld"]


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in Matrix.levels:
        api_test(Matrix(level=level), num_cycles=60)
    parallel_api_test(ParallelView(Matrix(level=1, contract=True)), num_cycles=60)
