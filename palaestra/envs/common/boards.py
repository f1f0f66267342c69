"""Boards on which equal marks in a row win: perfect play, and the game for two in words."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError


class Shape(NamedTuple):
    """The rules of a board. A position is a text of "XO." by cells, row by row from the top; X moves first."""

    width: int
    height: int
    row: int
    """So many equal marks in a row, column or diagonal win."""
    falls: bool = False
    """A mark falls to the lowest free cell of its column."""

    @property
    def empty(self) -> str:
        return "." * (self.width * self.height)

    @functools.lru_cache(1 << 14)  # noqa: B019 - a shape is a few numbers, and there are few
    def winner(self, board: str) -> str:
        """ "X", "O" or the empty string."""
        return next((mark for mark in "XO" if _has_row(self, _bits(self, board, mark))), "")

    @functools.lru_cache(1 << 14)  # noqa: B019 - a shape is a few numbers, and there are few
    def open(self, board: str) -> tuple[int, ...]:
        """The cells that may be marked next."""
        bits = _open(self, _bits(self, board, "XO"))
        return tuple(cell for cell in range(len(board)) if bits >> _place(self, cell) & 1)

    def place(self, board: str, cell: int) -> str:
        """The position after the seat to move has marked the cell."""
        return board[:cell] + to_move(board) + board[cell + 1 :]

    def completing(self, board: str, mark: str) -> list[int]:
        """The cells where `mark` would complete a row now."""
        bits = _completing(self, _bits(self, board, mark))
        return [cell for cell in self.open(board) if bits >> _place(self, cell) & 1]

    @functools.lru_cache(1 << 14)  # noqa: B019 - a shape is a few numbers, and there are few
    def value(self, board: str, plies: int | None = None) -> int:
        """What the seat to move gets under perfect play: 1, 0 or -1. What so many plies do not decide is a draw."""
        if self.winner(board):
            return -1  # the last move won
        left = board.count(".")
        mine = to_move(board)
        sides = _bits(self, board, mine), _bits(self, board, "XO".replace(mine, ""))
        limit = left if plies is None else min(plies, left)
        return next((goal for goal in (1, 0) if _reaches(self, *sides, goal, limit)), -1)


def to_move(board: str) -> str:
    return "XO"[board.count("X") > board.count("O")]


# Positions as bits: columns one after the other from below, with an empty bit on top of each, so that a row of cells
# lies at one distance between its bits and none runs over the edge.


def _place(shape: Shape, cell: int) -> int:
    """The number of a cell's bit."""
    return cell % shape.width * (shape.height + 1) + shape.height - 1 - cell // shape.width


def _bits(shape: Shape, board: str, marks: str) -> int:
    return sum(1 << _place(shape, cell) for cell, found in enumerate(board) if found in marks)


def _each(bits: int) -> Iterator[int]:
    while bits:
        yield bits & -bits
        bits &= bits - 1


@functools.cache
def _masks(shape: Shape) -> tuple[int, int, tuple[int, ...]]:
    """All cells; the lowest of each column; where one may choose (columns, or single cells), the middle first."""
    columns = [sum(1 << x * (shape.height + 1) + y for y in range(shape.height)) for x in range(shape.width)]
    columns.sort(key=lambda column: abs(column.bit_length() * 2 // (shape.height + 1) - shape.width))
    choices = columns if shape.falls else [bit for column in columns for bit in _each(column)]
    return sum(columns), sum(column & -column for column in columns), tuple(choices)


def _open(shape: Shape, taken: int) -> int:
    cells, lowest, _ = _masks(shape)
    return (taken + lowest if shape.falls else ~taken) & cells


def _steps(shape: Shape) -> tuple[int, ...]:
    """How far apart neighboring bits of a column, a diagonal, a row, the other diagonal lie."""
    return 1, shape.height, shape.height + 1, shape.height + 2


def _has_row(shape: Shape, own: int) -> bool:
    for step in _steps(shape):
        runs = own
        for n in range(1, shape.row):
            runs &= own >> n * step
        if runs:
            return True
    return False


@functools.lru_cache(1 << 16)
def _completing(shape: Shape, own: int) -> int:
    """The cells, free or not, that have all others of a row in `own`."""
    found = 0
    for step in _steps(shape):
        before, after = [-1], [-1]  # so many neighbors in a row on this side
        for n in range(1, shape.row):
            before.append(before[-1] & own << n * step)
            after.append(after[-1] & own >> n * step)
        for n in range(shape.row):
            found |= before[n] & after[-1 - n]
    return found & _masks(shape)[0]


@functools.lru_cache(1 << 17)
def _reaches(shape: Shape, mine: int, theirs: int, goal: int, plies: int) -> bool:
    """Whether the seat to move can get at least `goal`: 1 is a win, 0 no loss."""
    choice = _open(shape, mine | theirs)
    if not choice or not plies:
        return goal <= 0
    if _completing(shape, mine) & choice:
        return True
    if plies > 1:
        threats = _completing(shape, theirs)
        if forced := threats & choice:
            choice = forced
            if forced & (forced - 1):
                return False
        if shape.falls:
            choice &= ~(threats >> 1)  # what lies beneath would let them win
    return any(
        not _reaches(shape, theirs, mine | bit, 1 - goal, plies - 1)
        for group in _masks(shape)[2]
        if (bit := choice & group)
    )


# -- the game --------------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What a game goes by: marks of the first and the second player, the verb, how a seat is told its mark."""

    marks: tuple[str, str]
    verb: str
    saying: str
    upward: bool = False
    """The board is told from below."""


class LineGame(ScriptedEnv):
    """Two seats mark a board in turn; so many equal marks in a row win 1, and cost the other seat 1."""

    seats: tuple[str, ...] = ("player_0", "player_1")
    controls: ClassVar[tuple[str, ...]] = ("swap",)
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    zero_sum: ClassVar[bool] = True

    shapes: ClassVar[tuple[Shape, ...]] = ()
    """The board of each level."""
    looks: ClassVar[tuple[Look, ...]] = ()
    """The plain one, then those of the last level, which also shuffles what places are called."""
    labels: ClassVar[tuple[str, str]] = ("", "")
    """A letter for each place (a cell, or a column where marks fall): the plain ones, those of the last level."""
    longest: ClassVar[int] = 4
    """An opening has so many plies at most."""
    horizon: ClassVar[tuple[int | None, ...]] = (None,)
    """By level, how many plies ahead moves are judged; None: to the end."""

    opening: int = 2
    """Plies that are drawn and made already."""
    swap: bool = False
    """Control: the other seat moves first."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        if not 0 <= self.opening <= self.longest:
            raise EnvError(f"{self.name()}: opening = {self.opening!r}\n  it is 0 to {self.longest} plies")
        if not self.opening and self.split != "train":
            raise EnvError(f"{self.name()}: split = {self.split!r} needs an opening\n  the empty board is one instance")

    @property
    def shape(self) -> Shape:
        return self.shapes[self.level]

    def worth(self, board: str, made: int = 0) -> int:
        """What the seat to move gets under perfect play, as far as the level looks; `made` plies of that are over."""
        plies = self.horizon[self.level]
        return self.shape.value(board, None if plies is None else plies - made)

    def script(self, rng: random.Random) -> Script:
        shape = self.shape
        board = first = self.item("opening", self._opening) if self.opening else shape.empty
        players = self.seats if rng.randrange(2) == self.swap else self.seats[::-1]
        holder = dict(zip("XO", players, strict=True))
        renamed = self.level == self.levels[-1]
        places = self.labels[renamed][: shape.width if shape.falls else shape.width * shape.height]
        called = rng.sample(places, len(places)) if renamed else list(places)
        look = self.looks[rng.randrange(1, len(self.looks)) if renamed else 0]

        for mark, seat in holder.items():
            self.tell(look.saying.format(mark=look.marks["XO".index(mark)]), to=seat)
        regrets: dict[str, list[int]] = {s: [] for s in self.seats}
        while cells := () if shape.winner(board) else shape.open(board):
            seat = holder[to_move(board)]
            self.tell(f"Board {show(shape, board, called, look)}", to=seat)
            choice = {called[cell % len(called)]: cell for cell in cells}
            names = sorted(choice)
            move = yield self.turn(seat, f"{look.verb} {'|'.join(names)}", default=f"{look.verb} {names[0]}")
            after = shape.place(board, choice[move.args[0]])
            regrets[seat].append(self.worth(board) + self.worth(after, made=1))
            board = after

        won = shape.winner(board)
        end = f"{look.marks['XO'.index(won)]} wins." if won else "A draw."
        self.tell(f"Board {show(shape, board, called, look)} {end}")
        self.reward({s: (1 if m == won else -1) if won else 0 for m, s in holder.items()})
        self.outcome(
            winner=holder[won] if won else None,
            draw=not won,
            opening=first,
            opening_value=self.worth(first),
            first=holder[to_move(first)],
            board=board,
            regret={s: sum(r) for s, r in regrets.items()},
            mistakes={s: sum(x > 0 for x in r) for s, r in regrets.items()},
            moves={s: len(r) for s, r in regrets.items()},
        )

    def _opening(self, rng: random.Random) -> str:
        """A position after the drawn plies that nobody has won or wins at once."""
        while True:
            board = self.shape.empty
            for _ in range(self.opening + 2 * (self.split == "ood")):
                board = self.shape.place(board, rng.choice(self.shape.open(board)))
            if not self.shape.winner(board) and not self.shape.completing(board, to_move(board)):
                return board


def show(shape: Shape, board: str, called: Sequence[str], look: Look) -> str:
    """The position in words: rows from the top; free cells by name, or dots under the names of the columns."""
    names = ["."] * len(board) if shape.falls else called
    cells = [look.marks["XO".index(mark)] if mark in "XO" else name for mark, name in zip(board, names, strict=True)]
    rows = [" ".join(cells[n : n + shape.width]) for n in range(0, len(cells), shape.width)][
        :: -1 if look.upward else 1
    ]
    return " / ".join([" ".join(called), *rows] if shape.falls else rows)


# -- its players -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    game: LineGame
    board: str
    moves: dict[int, str]
    """By cell."""


def seen(request: Request) -> Seen:
    game = request.env
    assert isinstance(game, LineGame)
    look = next(k for k in game.looks if request.heard[0] in {k.saying.format(mark=m) for m in k.marks})
    told = next(text for text in reversed(request.heard) if text.startswith("Board "))
    rows = [row.split() for row in told.removeprefix("Board ").split(" / ")]
    columns = rows.pop(0) if game.shape.falls else []
    tokens = [token for row in (rows[::-1] if look.upward else rows) for token in row]
    board = "".join("XO"[look.marks.index(t)] if t in look.marks else "." for t in tokens)
    names = columns * game.shape.height if columns else tokens
    return Seen(game, board, {cell: f"[{look.verb} {names[cell]}]" for cell in game.shape.open(board)})


def _greedy(request: Request) -> str:
    """Wins at once, else keeps the other from it, else anything."""
    game, board, moves = seen(request)
    mine = to_move(board)
    urgent = game.shape.completing(board, mine) or game.shape.completing(board, "XO".replace(mine, ""))
    return moves[request.rng.choice(urgent or list(moves))]


def _oracle(request: Request) -> str:
    """A best move as far as the level looks; among equals, any."""
    game, board, moves = seen(request)
    worth = {cell: -game.worth(game.shape.place(board, cell), made=1) for cell in moves}
    return moves[request.rng.choice([cell for cell in moves if worth[cell] == max(worth.values())])]


LineGame.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
