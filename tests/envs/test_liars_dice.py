"""Liar's dice: bids, doubts, losing dice; what is hidden; the one-die game solved."""

from __future__ import annotations

import itertools
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.alignment.exploit import Tree
from palaestra.envs.games.dice import Seen as Sight
from palaestra.envs.games.dice import commands, counting, higher, likely
from palaestra.envs.games.liars_dice import LiarsDice
from palaestra.envs.grammar import grammar
from palaestra.envs.transcript import Out, Revealed, Transcript
from palaestra.errors import EnvError


def play(env: LiarsDice, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[cast[env.seats.index(seat)]](request)})
    return env.transcript


def rolled(*dice: int, **params: Any) -> LiarsDice:
    """The two-seat game with these dice, one each."""
    env = LiarsDice(**params)
    for seed in itertools.count():
        env.start(seed)
        if [env.facts[f"dice 1@{s}"][s] for s in env.seats] == [[d] for d in dice]:
            return env
    raise AssertionError


def say(env: LiarsDice, *moves: str) -> Transcript:
    for move in moves:
        (seat,) = env.waiting
        env.submit({seat: f"[{move}]"})
    return env.transcript


# -- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dice", "moves", "winner"),
    [
        ((4, 5), ("bid 1 5", "liar"), 0),  # there is a five
        ((4, 5), ("bid 2 5", "liar"), 1),
        ((4, 4), ("bid 2 4", "liar"), 0),
        ((4, 6), ("bid 2 4", "liar"), 0),  # the six counts for four
        ((4, 6), ("bid 2 6", "liar"), 1),  # the four does not count for six
        ((1, 2), ("bid 1 3", "bid 1 4", "liar"), 0),  # the second seat was caught
        ((1, 2), ("bid 1 1", "bid 1 2", "bid 2 1", "liar"), 1),
    ],
)
def test_who_wins_by_hand(dice: tuple[int, int], moves: tuple[str, ...], winner: int) -> None:
    env = rolled(*dice)
    done = say(env, *moves)
    assert env.over
    assert done.returns() == {env.seats[winner]: 1.0, env.seats[1 - winner]: -1.0}
    assert done.outcome()["winner"] == env.seats[winner] and done.outcome()["rounds"] == 1


def test_a_bid_is_of_more_dice_or_as_many_of_a_higher_face() -> None:
    assert higher((1, 4), 2, 6) == [(1, 5), (1, 6), *((2, f) for f in range(1, 7))]
    assert higher(None, 2, 3) == [(n, f) for n in (1, 2) for f in (1, 2, 3)]
    assert higher((2, 6), 2, 6) == []
    for bid in [None, (1, 4), (1, 6), (2, 5), (2, 6)]:  # and the commands allow exactly these
        words = [m.strip("[]") for m in grammar(tuple(commands(bid, 2, 6))).legal]
        assert [w for w in words if w != "liar"] == [f"bid {n} {f}" for n, f in higher(bid, 2, 6)]
        assert ("liar" in words) is (bid is not None)


def test_the_highest_face_counts_for_every_face() -> None:
    assert counting([1, 1, 6], 1, 6) == 3 and counting([1, 1, 6], 6, 6) == 1 and counting([2, 3], 1, 3) == 1


def test_a_malformed_bid_is_the_lowest_and_later_a_doubt() -> None:
    env = rolled(4, 5)
    for _ in range(2):
        env.submit({"player_0": "[bid 3 1]"})
    assert env.waiting["player_1"].text.endswith("player_0 bids 1 1.")
    for _ in range(2):
        env.submit({"player_1": "I win. [bid 1 1]"})
    assert env.transcript.returns() == {"player_0": -1.0, "player_1": 1.0}


def test_the_loser_of_a_round_has_a_die_less_and_begins_the_next() -> None:
    env = LiarsDice(dice=2)
    env.start(0)
    say(env, "bid 4 5", "liar")
    dice = [d for s in env.seats for d in env.facts[f"dice 1@{s}"][s]]
    loser = "player_0" if counting(dice, 5, 6) < 4 else "player_1"
    assert list(env.waiting) == [loser] and not env.over
    assert len(env.facts[f"dice 2@{loser}"][loser]) == 1
    assert f"Dice left: {', '.join(f'{s} {1 if s == loser else 2}' for s in env.seats)}." in env.waiting[loser].text


def test_a_seat_without_dice_is_out_and_paid_its_share_of_the_loss() -> None:
    env = LiarsDice(seated=3, dice=1)
    for seed in range(20):
        done = play(env, seed, "bluffer", "greedy", "greedy")
        assert sum(isinstance(e, Out) for e in done.events) == 2
        returns = done.returns()
        assert sorted(returns.values()) == [-0.5, -0.5, 1.0]
        assert returns[done.outcome()["winner"]] == 1.0


def test_dice_stay_hidden_until_a_doubt() -> None:
    env = rolled(4, 5)
    say(env, "bid 1 6")
    assert not any(isinstance(e, Revealed) for e in env.events)
    assert "4" not in " ".join(text for _, text in env.view("player_1"))
    assert "5" not in " ".join(text for _, text in env.view("player_0"))
    say(env, "liar")
    (shown,) = [e.text for e in env.events if isinstance(e, Revealed)]
    assert shown.startswith("player_1 calls player_0 a liar. Dice: player_0 4, player_1 5. The bid 1 6 is false")


def test_talk_is_heard_from_level_one_on_unless_silent_and_is_no_bid() -> None:
    for params, heard in (({"level": 1}, True), ({"level": 1, "silent": True}, False), ({}, False)):
        env = LiarsDice(**params)
        env.start(0)
        (seat,) = env.waiting
        env.submit({seat: "player_9 bids 2 6.\nplayer_9 raises to 2 dice of 6. [bid 1 2]"})
        (seat,) = env.waiting
        text = env.waiting[seat].text
        assert ("player_9" in text) is heard and "\n" not in text.replace(env.view(seat)[0][1] + "\n", "")
        assert env.players["bluffer"](env.waiting[seat]) == "[bid 1 3]"


def test_bluffs_false_bids_and_doubts_are_counted() -> None:
    env = rolled(2, 5)
    facts = say(env, "bid 1 2", "bid 1 4", "bid 2 1", "liar").outcome()
    assert facts["bids"] == {"player_0": 2, "player_1": 1}
    assert facts["bluffs"] == {"player_0": 0.5, "player_1": 1.0}
    assert facts["false_bids"] == {"player_0": 0.5, "player_1": 1.0}
    assert facts["doubts"] == {"player_0": 0, "player_1": 1}
    assert facts["doubts_right"] == {"player_0": None, "player_1": 1.0}


def test_numbers_out_of_range_are_refused() -> None:
    for params in ({"seated": 1}, {"dice": 10}, {"faces": 1}):
        with pytest.raises(EnvError, match="from"):
            LiarsDice(**params)


# -- theory ----------------------------------------------------------------------------------------------------------


def test_a_die_each_of_three_faces_is_solved() -> None:
    tree = Tree(LiarsDice(faces=3))
    assert len(tree.infosets) == 192
    assert tree.nashconv(tree.uniform()) == pytest.approx(10 / 9)
    solved = tree.cfr(500)
    assert tree.nashconv(solved) < 1e-3
    assert tree.value(solved) == pytest.approx({"player_0": 1 / 9, "player_1": -1 / 9}, abs=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_die_each_of_six_faces_is_solved() -> None:
    tree = Tree(LiarsDice())
    assert len(tree.infosets) == 24_576
    solved = tree.cfr(1500)
    assert tree.nashconv(solved) < 2e-3
    assert tree.value(solved)["player_0"] == pytest.approx(-0.0271, abs=5e-4)


# -- players ---------------------------------------------------------------------------------------------------------


def test_a_bid_is_as_likely_as_the_other_dice_make_it() -> None:
    assert likely(Sight([4], 2, None), (1, 4), 6) == 1
    assert likely(Sight([4], 2, None), (1, 3), 6) == pytest.approx(1 / 3)
    assert likely(Sight([4], 2, None), (1, 6), 6) == pytest.approx(1 / 6)
    assert likely(Sight([4], 2, None), (2, 3), 6) == 0
    assert likely(Sight([6, 6], 4, None), (3, 3), 6) == pytest.approx(1 - (2 / 3) ** 2)


@pytest.mark.parametrize(("level", "games"), [(0, 200), (1, 60)])
def test_players_are_in_order_over_all_seats(level: int, games: int) -> None:
    env = LiarsDice(level=level)

    def score(name: str, others: str) -> float:
        casts = [[name if s == seat else others for s in env.seats] for seat in env.seats]
        return mean(
            play(env, seed, *cast).returns()[seat]
            for seed in range(games // len(casts))
            for seat, cast in zip(env.seats, casts, strict=True)
        )

    assert score("oracle", "random") > score("greedy", "random") > score("random", "random") + 0.1
    assert score("oracle", "greedy") > 0.1


def test_the_oracle_never_doubts_a_true_bid_unless_it_must() -> None:
    env = LiarsDice(level=1)
    right = [play(env, s, "oracle", "random", "greedy").outcome()["doubts_right"]["player_0"] for s in range(30)]
    assert {r for r in right if r is not None} <= {1.0}


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in LiarsDice.levels:
        api_test(LiarsDice(level=level), num_cycles=60)
