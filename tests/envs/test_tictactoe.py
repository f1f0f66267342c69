"""Tic-tac-toe: rewards by hand, perfect play, openings and their splits, the renamed game of level 1."""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.common.boards import Shape, to_move
from palaestra.envs.games.tictactoe import TicTacToe
from palaestra.envs.transcript import Defaulted, Instance, Malformed, Transcript
from palaestra.errors import EnvError

BOARD = Shape(3, 3, 3)
EMPTY = BOARD.empty


def play(env: TicTacToe, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[cast[env.seats.index(seat)]](request)})
    return env.transcript


def say(env: TicTacToe, *replies: str) -> Transcript:
    for reply in replies:
        (seat,) = env.waiting
        env.submit({seat: reply})
    return env.transcript


def empty(seed: int = 0, **params: Any) -> tuple[TicTacToe, str, str]:
    env = TicTacToe(opening=0, **params)
    env.start(seed)
    (x,) = env.waiting
    return env, x, next(s for s in env.seats if s != x)


def test_three_in_a_row_win_one_and_cost_one() -> None:
    env, x, o = empty()
    done = say(env, "[place 1]", "[place 4]", "[place 2]", "[place 5]", "[place 3]")
    assert env.over and done.returns() == {x: 1.0, o: -1.0}
    assert done.outcome()["winner"] == x and done.outcome()["board"] == "XXXOO...."


def test_a_full_board_without_a_row_is_a_draw() -> None:
    env, x, o = empty()
    done = say(env, *(f"[place {n}]" for n in (1, 2, 3, 5, 4, 6, 8, 7, 9)))
    assert env.over and done.returns() == {x: 0.0, o: 0.0}
    assert done.outcome()["draw"] is True


def test_regret_is_what_perfect_play_would_have_kept() -> None:
    env, x, o = empty()
    done = say(env, "[place 5]", "[place 2]", "[place 1]", "[place 3]", "[place 9]")  # an edge answers the center
    assert done.returns() == {x: 1.0, o: -1.0}
    assert done.outcome()["regret"] == {x: 0, o: 1}
    assert done.outcome()["mistakes"] == {x: 0, o: 1}


def test_a_taken_cell_is_malformed_and_the_lowest_free_cell_is_the_default() -> None:
    env, _, o = empty()
    say(env, "[place 5]")
    assert "[place 5]" not in env.waiting[o].legal_actions and len(env.waiting[o].legal_actions) == 8
    say(env, "[place 5]", "I have won. [place 10]")
    assert env.transcript.count(Malformed, o) == 2 and env.transcript.count(Defaulted, o) == 1
    (x,) = env.waiting
    assert env.waiting[x].text == "Board O 2 3 / 4 X 6 / 7 8 9"


def test_claiming_victory_wins_nothing() -> None:
    env, x, _ = empty()
    done = say(env, "I win! X X X [place 1]", "[place 4]")
    assert not env.over and done.returns() == {} and x in env.waiting


def test_the_empty_board_is_a_draw_and_there_are_5478_positions() -> None:
    assert BOARD.value(EMPTY) == 0
    seen, todo = {EMPTY}, [EMPTY]
    while todo:
        board = todo.pop()
        if not BOARD.winner(board):
            new = {BOARD.place(board, i) for i in BOARD.open(board)} - seen
            seen |= new
            todo += new
    assert len(seen) == 5478


def test_the_seat_to_move_after_two_plies_never_stands_worse() -> None:
    openings = {BOARD.place(BOARD.place(EMPTY, i), j) for i in range(9) for j in range(9) if i != j}
    assert len(openings) == 72
    assert {BOARD.value(b) for b in openings} == {0, 1}


def test_perfect_play_never_loses_a_drawn_game_and_makes_no_mistake() -> None:
    env = TicTacToe()
    for seed in range(60):
        for cast in (("oracle", "random"), ("random", "oracle")):
            done = play(env, seed, *cast)
            seat = env.seats[cast.index("oracle")]
            facts = done.outcome()
            assert facts["regret"][seat] == 0
            assert done.returns()[seat] >= (facts["opening_value"] if facts["first"] == seat else -1)


@pytest.mark.parametrize("level", [0, 1])
def test_players_are_in_order_with_seats_swapped(level: int) -> None:
    def edge(better: str, worse: str) -> float:
        one, two = TicTacToe(level=level), TicTacToe(level=level, swap=True)
        return mean(play(env, s, better, worse).returns()["player_0"] for s in range(60) for env in (one, two))

    assert edge("oracle", "greedy") > 0
    assert edge("greedy", "random") > 0.5
    assert edge("oracle", "random") > 0.5


def test_swap_gives_the_same_opening_to_the_other_seat() -> None:
    for seed in range(10):
        one, two = (play(TicTacToe(swap=s), seed, "oracle", "oracle").outcome() for s in (False, True))
        assert one["opening"] == two["opening"] and one["first"] != two["first"]


def test_splits_share_no_opening() -> None:
    found: dict[str, set[str]] = {}
    for split in TicTacToe.splits:
        env = TicTacToe(split=split)
        for seed in range(600):
            env.start(seed)
            found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
    assert len(found["train"]) + len(found["test"]) == 72
    assert not found["train"] & found["test"]
    assert not found["ood"] & (found["train"] | found["test"])


def test_the_plain_game_has_only_the_split_train() -> None:
    with pytest.raises(EnvError, match="needs an opening"):
        TicTacToe(opening=0, split="test")
    with pytest.raises(EnvError, match="0 to 4 plies"):
        TicTacToe(opening=7)


def test_level_one_is_the_same_game_in_other_words() -> None:
    """The same opening and the same moves by place give the same outcome, under other marks, words and numbers."""
    plain, other = TicTacToe(), TicTacToe(level=1)
    for seed in range(20):
        one, two = play(plain, seed, "oracle", "oracle"), play(other, seed, "oracle", "oracle")
        assert one.outcome()["opening"] == two.outcome()["opening"]
        assert one.outcome()["first"] == two.outcome()["first"]
        words = " ".join(text for seat in other.seats for _, text in other.view(seat))
        assert not re.search(r"\b[XO]\b|place", words)


def test_the_board_told_shows_every_free_number_and_no_other() -> None:
    env = TicTacToe(level=1)
    for seed in range(20):
        env.start(seed)
        ((_, request),) = env.waiting.items()
        numbers = set(re.findall(r"\d", request.told[-1]))
        assert numbers == {re.findall(r"\d", a)[0] for a in request.legal_actions}


def test_marks_alternate_with_x_first() -> None:
    assert to_move(EMPTY) == "X"
    assert BOARD.place(BOARD.place(EMPTY, 4), 0) == "O...X...."


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    api_test(TicTacToe(), num_cycles=60)
    api_test(TicTacToe(level=1), num_cycles=60)
