"""Connect four: falling marks, rewards by hand, solved boards, regret, the renamed game."""

from __future__ import annotations

import random
import re
from statistics import mean
from typing import Any

import pytest
from pettingzoo.test import api_test

from palaestra.envs.common.boards import LineGame, Look, Shape, seen, show
from palaestra.envs.games.connect4 import Connect4
from palaestra.envs.games.tictactoe import TicTacToe
from palaestra.envs.transcript import Instance, Transcript
from palaestra.errors import EnvError

SMALL, FULL = Shape(5, 4, 4, falls=True), Shape(7, 6, 4, falls=True)


def play(env: LineGame, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[cast[env.seats.index(seat)]](request)})
    return env.transcript


def game(*columns: int, **params: Any) -> tuple[Connect4, str, str]:
    """The empty board after these columns: (the game, who began, the other)."""
    env = Connect4(opening=0, **params)
    env.start(0)
    (first,) = env.waiting
    for column in columns:
        (seat,) = env.waiting
        env.submit({seat: f"[drop {column}]"})
    return env, first, next(s for s in env.seats if s != first)


def position(shape: Shape, columns: str) -> str:
    board = shape.empty
    for column in columns:
        x = int(column) - 1
        board = shape.place(board, next(c for c in shape.open(board) if c % shape.width == x))
    return board


# -- rules -----------------------------------------------------------------------------------------------------------


def test_marks_fall_to_the_lowest_free_cell() -> None:
    env, first, _ = game(3, 3, 1)
    (seat,) = env.waiting
    assert seat != first
    assert env.waiting[seat].text == "Board 1 2 3 4 5 / . . . . . / . . . . . / . . O . . / X . X . ."


@pytest.mark.parametrize("columns", [(1, 1, 2, 2, 3, 3, 4), (1, 2, 1, 2, 1, 2, 1), (1, 2, 2, 3, 4, 3, 3, 4, 1, 4, 4)])
def test_four_in_a_row_a_column_or_a_diagonal_win(columns: tuple[int, ...]) -> None:
    env, first, second = game(*columns)
    assert env.over and env.transcript.returns() == {first: 1.0, second: -1.0}
    assert env.transcript.outcome()["winner"] == first


def test_a_full_board_without_a_row_is_a_draw() -> None:
    env, first, second = game(*(1, 1, 1, 1, 2, 2, 2, 2, 4, 3, 3, 3, 3, 4, 4, 4, 5, 5, 5, 5))
    assert env.over and env.transcript.returns() == {first: 0.0, second: 0.0}
    assert env.transcript.outcome()["draw"] is True


def test_a_full_column_is_not_open() -> None:
    env, _, _ = game(2, 2, 2, 2)
    ((_, request),) = env.waiting.items()
    assert request.legal_actions == ("[drop 1]", "[drop 3]", "[drop 4]", "[drop 5]")
    env.submit({request.seat: "[drop 2]"})
    env.submit({request.seat: "I drop into 2 and win."})
    ((_, request),) = env.waiting.items()
    assert not env.over and seen(request).board == position(SMALL, "22221")  # the default is the first open column


def test_rows_are_found_wherever_they_lie() -> None:
    for shape in (SMALL, FULL, Shape(3, 3, 3), Shape(4, 6, 3)):
        rng = random.Random(0)
        for _ in range(60):
            board = "".join(rng.choice("XO.") for _ in shape.empty)
            assert bool(shape.winner(board)) == any(_slow_row(shape, board, mark) for mark in "XO")


def _slow_row(shape: Shape, board: str, mark: str) -> bool:
    def at(x: int, y: int) -> bool:
        return 0 <= x < shape.width and 0 <= y < shape.height and board[y * shape.width + x] == mark

    return any(
        all(at(x + n * dx, y + n * dy) for n in range(shape.row))
        for x in range(shape.width)
        for y in range(shape.height)
        for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1))
    )


# -- theory ----------------------------------------------------------------------------------------------------------


def test_small_boards_are_draws_under_perfect_play() -> None:
    assert Shape(4, 4, 4, falls=True).value("." * 16) == 0
    assert SMALL.value(SMALL.empty) == 0


def test_the_search_is_minimax() -> None:
    def minimax(shape: Shape, board: str, plies: int) -> int:
        if shape.winner(board):
            return -1
        if not plies:
            return 0
        return max((-minimax(shape, shape.place(board, c), plies - 1) for c in shape.open(board)), default=0)

    rng = random.Random(1)
    for shape, made, plies in ((SMALL, 14, None), (SMALL, 13, 3), (FULL, 20, 3), (Shape(3, 3, 3), 3, None)):
        for _ in range(6):
            board = shape.empty
            for _ in range(made):
                if shape.open(board) and not shape.winner(board):
                    board = shape.place(board, rng.choice(shape.open(board)))
            left = board.count(".")
            assert shape.value(board, plies) == minimax(shape, board, left if plies is None else plies)


def test_regret_is_what_a_move_threw_away() -> None:
    """Every game ends as its opening is worth, less what the one threw away, plus what the other did."""
    env = Connect4()
    for seed in range(12):
        facts = (done := play(env, seed, "random", "greedy")).outcome()
        mine, theirs = facts["first"], next(s for s in env.seats if s != facts["first"])
        assert done.returns()[mine] == facts["opening_value"] - facts["regret"][mine] + facts["regret"][theirs]


def test_not_stopping_four_is_a_mistake_even_where_only_a_few_plies_are_looked_at() -> None:
    env, first, second = game(1, 2, 1, 2, 1, level=1)
    env.submit({second: "[drop 3]"})
    env.submit({first: "[drop 1]"})
    facts = env.transcript.outcome()
    assert facts["mistakes"] == {first: 0, second: 1} and facts["regret"][second] == 1


def test_perfect_play_gets_what_the_opening_is_worth() -> None:
    env = Connect4()
    for seed in range(12):
        facts = (done := play(env, seed, "oracle", "oracle")).outcome()
        assert done.returns()[facts["first"]] == facts["opening_value"]
        assert facts["regret"] == {"player_0": 0, "player_1": 0}


def test_openings_are_worth_a_win_a_draw_and_a_loss() -> None:
    env = Connect4()
    worth = [play(env, s, "oracle", "oracle").outcome()["opening_value"] for s in range(12)]
    assert set(worth) == {1, 0, -1}


# -- words, instances, players ---------------------------------------------------------------------------------------


def test_the_last_level_is_the_same_game_in_other_words() -> None:
    plain, other = Connect4(level=1), Connect4(level=2)
    for seed in range(8):
        one, two = play(plain, seed, "greedy", "greedy"), play(other, seed, "greedy", "greedy")
        assert one.outcome()["opening"] == two.outcome()["opening"]
        words = " ".join(text for seat in other.seats for _, text in other.view(seat))
        assert not re.search(r"\b[XO]\b|drop|\d", words)


def test_players_read_the_board_as_it_is_told() -> None:
    looks = set()
    for level in Connect4.levels:
        env = Connect4(level=level)
        for seed in range(10):
            env.start(seed)
            ((_, request),) = env.waiting.items()
            board = next(e.key for e in env.events if isinstance(e, Instance)).removeprefix("opening:'").rstrip("'")
            view = seen(request)
            assert view.board == board and sorted(view.moves.values()) == sorted(request.legal_actions)
            looks.add(request.heard[0].split()[0])
    assert looks == {"You", "A", "Balloons", "Ivy"}


def test_a_board_may_be_told_from_below() -> None:
    board = position(SMALL, "113")
    plain, lifted = (Look(("X", "O"), "drop", "", upward=up) for up in (False, True))
    assert show(SMALL, board, "12345", plain) == "1 2 3 4 5 / . . . . . / . . . . . / O . . . . / X . X . ."
    assert show(SMALL, board, "12345", lifted) == "1 2 3 4 5 / X . X . . / O . . . . / . . . . . / . . . . ."


def test_splits_share_no_opening_and_ood_is_two_plies_longer() -> None:
    for level in (0, 1):
        found: dict[str, set[str]] = {}
        for split in Connect4.splits:
            env = Connect4(split=split, level=level)
            for seed in range(100):
                env.start(seed)
                found.setdefault(split, set()).update(e.key for e in env.events if isinstance(e, Instance))
        assert not found["train"] & found["test"] and not found["ood"] & (found["train"] | found["test"])
        assert {sum(key.count(m) for m in "XO") for key in found["ood"]} == {8}
    with pytest.raises(EnvError, match="needs an opening"):
        Connect4(opening=0, split="ood")
    with pytest.raises(EnvError, match="0 to 10 plies"):
        Connect4(opening=11)


@pytest.mark.parametrize(("level", "games"), [(0, 12), (2, 8)])
def test_players_are_in_order_with_seats_swapped(level: int, games: int) -> None:
    def edge(better: str, worse: str) -> float:
        one, two = Connect4(level=level), Connect4(level=level, swap=True)
        return mean(play(env, s, better, worse).returns()["player_0"] for s in range(games) for env in (one, two))

    assert edge("greedy", "random") > 0.2
    assert edge("oracle", "random") > 0.3
    assert edge("oracle", "greedy") > 0


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in Connect4.levels:
        api_test(Connect4(level=level), num_cycles=30)
    assert issubclass(TicTacToe, LineGame)
