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
different games and not one. Nobody can win at once. Train and test share no opening; in ood it is two plies longer.
`opening=0` is the plain game; it has the one instance and only the split "train". Which seat holds X is drawn.

Level 1 plays the same game under another name, with other marks, other words and cells numbered in a drawn order: what
is known about tic-tac-toe by heart does not help (a contamination control). The board is then told row by row.

Control: `swap` (the other seat holds X). Players: `random`, `greedy` (wins, blocks, else any cell), `oracle` (minimax).
"""

from __future__ import annotations

from palaestra.envs.common.boards import LineGame, Look, Shape


class TicTacToe(LineGame):
    """Three in a row in words."""

    env_id = "tictactoe"
    levels = (0, 1)
    splits = ("train", "test", "ood")
    rules = (
        "Two players mark free cells of a board of three by three in turn. The cells have numbers from 1 to 9; the "
        "board shows the number of every free cell and the marks on the others. Three equal marks in a row, column or "
        "diagonal win; a full board is a draw."
    )
    shapes = (Shape(3, 3, 3),) * 2
    horizon = (None, None)
    labels = ("123456789", "123456789")
    looks = (
        Look(("X", "O"), "place", "You are {mark}."),
        Look(
            ("S", "T"), "plant", "Gardeners put seeds into plots; three {mark} in line make a hedge. Yours are {mark}."
        ),
        Look(("#", "@"), "light", "You light windows of a house with {mark}, and want three {mark} in line."),
        Look(
            ("U", "V"), "visit", "Two collectors visit nine towns. You leave the sign {mark}; three in line are yours."
        ),
    )
