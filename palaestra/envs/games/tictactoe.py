"""Tic-tac-toe: three in a row on nine cells.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | up to 9, less those of the opening |
| hidden | nothing |
| reward | 1 for three in a row, -1 for the other seat, 0 for a draw; zero-sum |
| gold outcome | winner, worth of the opening, regret of every move against perfect play |
| theory | a draw from the empty board; from an opening of two plies the seat to move never loses under perfect play |
| source | folklore; perfect play by full enumeration (5,478 positions) |

Rules: the seats mark free cells in turn, X first; three marks in a row, column or diagonal win. A move that is no
free cell is a malformed move: after one retry, the lowest free cell is marked.

An instance is an opening: `opening` plies that are drawn and already made, X's and O's in turn, so that there are 72
different games and not one. Train and test share no opening; in ood the opening is two plies longer. `opening=0` is
the plain game; it has the one instance and only the split "train". Which seat holds X is drawn.

Level 1 plays the same game under another name, with other marks, other words and cells numbered in a drawn order: what
is known about tic-tac-toe by heart does not help (a contamination control). The board is then told row by row.

Control: `swap` (the other seat holds X). Players: `random`, `greedy` (wins, blocks, else any cell), `oracle` (minimax).
"""

from __future__ import annotations

import functools
import random
from typing import Any

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
EMPTY = "." * 9


def winner(board: str) -> str:
    """ "X", "O" or the empty string. A board is nine characters of "XO.", row by row."""
    for a, b, c in LINES:
        if board[a] != "." and board[a] == board[b] == board[c]:
            return board[a]
    return ""


def free(board: str) -> list[int]:
    return [i for i, mark in enumerate(board) if mark == "."]


def to_move(board: str) -> str:
    return "XO"[board.count(".") % 2 == 0]


def place(board: str, cell: int) -> str:
    """The board after the seat to move has marked the cell."""
    return board[:cell] + to_move(board) + board[cell + 1 :]


@functools.cache
def value(board: str) -> int:
    """What the seat to move gets under perfect play: 1, 0 or -1."""
    if winner(board):
        return -1  # the last move won
    return max((-value(place(board, cell)) for cell in free(board)), default=0)


class TicTacToe(ScriptedEnv):
    """Three in a row in words."""

    env_id = "tictactoe"
    seats = ("player_0", "player_1")
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("swap",)
    rules = (
        "Two players mark free cells of a board of three by three in turn. The cells have numbers from 1 to 9; the "
        "board shows the number of every free cell and the marks on the others. Three equal marks in a row, column or "
        "diagonal win; a full board is a draw."
    )
    reward_range = (-1.0, 1.0)
    zero_sum = True

    opening: int = 2
    swap: bool = False

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        if not 0 <= self.opening <= 4:
            raise EnvError(f"tictactoe: opening = {self.opening!r}\n  it is a number of plies from 0 to 4")
        if not self.opening and self.split != "train":
            raise EnvError(f"tictactoe: split = {self.split!r} needs an opening\n  the empty board is one instance")

    def script(self, rng: random.Random) -> Script:
        board = self.item("opening", self._opening) if self.opening else EMPTY
        players = self.seats if rng.randrange(2) == self.swap else self.seats[::-1]
        holder = dict(zip("XO", players, strict=True))
        # labels[cell] is what the cell is called; level 1 shuffles them and speaks of another game
        labels = [str(n) for n in (rng.sample(range(1, 10), 9) if self.level else range(1, 10))]
        marks, verb, saying = LOOKS[rng.randrange(1, len(LOOKS))] if self.level else LOOKS[0]

        def shown() -> str:
            cells = [marks["XO".index(m)] if m != "." else labels[i] for i, m in enumerate(board)]
            return " / ".join(" ".join(cells[i : i + 3]) for i in (0, 3, 6))

        for mark, seat in holder.items():
            self.tell(saying.format(mark=marks["XO".index(mark)]), to=seat)
        first = board
        self.tell(f"Board {shown()}", to=holder[to_move(board)])
        regrets: dict[str, list[int]] = {s: [] for s in self.seats}
        while not winner(board) and free(board):
            seat = holder[to_move(board)]
            choice = sorted(labels[i] for i in free(board))
            move = yield self.turn(seat, f"{verb} {'|'.join(choice)}", default=f"{verb} {choice[0]}")
            after = place(board, labels.index(move.args[0]))
            regrets[seat].append(value(board) + value(after))
            board = after
            if not winner(board) and free(board):
                self.tell(f"Board {shown()}", to=holder[to_move(board)])

        won = winner(board)
        self.tell(f"Board {shown()} {marks['XO'.index(won)] + ' wins.' if won else 'A draw.'}")
        if won:
            self.reward({s: 1 if m == won else -1 for m, s in holder.items()})
        else:
            self.reward(dict.fromkeys(self.seats, 0))
        self.outcome(
            winner=holder[won] if won else None,
            draw=not won,
            opening=first,
            opening_value=value(first),
            first=holder[to_move(first)],
            board=board,
            regret={s: sum(r) for s, r in regrets.items()},
            mistakes={s: sum(x > 0 for x in r) for s, r in regrets.items()},
            moves={s: len(r) for s, r in regrets.items()},
        )

    def _opening(self, rng: random.Random) -> str:
        """A position after the drawn plies that nobody has won."""
        while True:
            board = EMPTY
            for cell in rng.sample(range(9), self.opening + 2 * (self.split == "ood")):
                board = place(board, cell)
            if not winner(board):
                return board


# marks of the first and the second player, the verb, and how a seat is told its mark
LOOKS = (
    (("X", "O"), "place", "You are {mark}."),
    (("S", "T"), "plant", "Gardeners put seeds into plots; three {mark} in line make a hedge. Yours are {mark}."),
    (("#", "@"), "light", "You light windows of a house with {mark}, and want three {mark} in line."),
    (("U", "V"), "visit", "Two collectors visit nine towns. You leave the sign {mark}; three in line are yours."),
)


# -- players -----------------------------------------------------------------------------------------------------


def _board(request: Request) -> tuple[str, list[str]]:
    """The board by cells, and what each cell is called, from what the seat was told."""
    told = request.heard
    cells = next(text for text in reversed(told) if text.startswith("Board "))[6:].replace("/", " ").split()
    marks = _marks(told[0])
    return "".join("XO"[marks.index(c)] if c in marks else "." for c in cells), cells


def _marks(opening_words: str) -> tuple[str, str]:
    for marks, _, saying in LOOKS:
        if opening_words in {saying.format(mark=m) for m in marks}:
            return marks
    raise AssertionError(opening_words)


def _say(request: Request, label: str) -> str:
    verb = request.commands[0].split()[0]
    return f"[{verb} {label}]"


def _completing(board: str, mark: str) -> list[int]:
    """Free cells that would give `mark` three in a row."""
    return [i for i in free(board) if winner(board[:i] + mark + board[i + 1 :]) == mark]


def _greedy(request: Request) -> str:
    board, cells = _board(request)
    mine = to_move(board)
    wins = _completing(board, mine) or _completing(board, "XO"[mine == "X"])
    return _say(request, cells[request.rng.choice(wins or free(board))])


def _oracle(request: Request) -> str:
    """A best move by minimax; among equals, any."""
    board, cells = _board(request)
    best = [i for i in free(board) if -value(place(board, i)) == value(board)]
    return _say(request, cells[request.rng.choice(best)])


TicTacToe.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
