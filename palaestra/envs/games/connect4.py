"""Connect four: marks fall into columns, four in a row win.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` |
| turns | up to 20 (level 0) or 42, less those of the opening |
| hidden | nothing |
| reward | 1 for four in a row, -1 for the other seat, 0 for a full board; zero-sum |
| gold outcome | winner, worth of the opening, regret of moves: exact at level 0, four plies ahead at levels 1 and 2 |
| theory | five columns of four cells are a draw under perfect play |
| controls | `swap`: the other seat moves first |
| source | V. Allis, A knowledge-based approach of connect-four (1988); small boards by our own search |

Rules: the seats choose a column in turn, and the mark falls to the lowest free cell of it; four marks in a row, column
or diagonal win. A move that is no open column is a malformed move: after one retry, the first open column is played.

An instance is an opening: `opening` plies (six) that are drawn and already made, after which nobody wins at once; train
and test share none, and in ood it is two plies longer. `opening=0` is the empty board; it has the one instance and only
the split "train". Who moves first is drawn.

Level 0: five columns of four cells. Level 1: seven of six. Level 2 plays on it under another name, with other marks
and words, columns called by letters in a drawn order, the board sometimes told from below (a contamination control).

Players: `random`, `greedy` (wins, blocks, else any column), `oracle` (perfect play at level 0, four plies ahead above).
"""

from __future__ import annotations

from palaestra.envs.common.boards import LineGame, Look, Shape


class Connect4(LineGame):
    """Four in a row with falling marks, in words."""

    env_id = "connect4"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    rules = (
        "Two players drop marks into the columns of a board in turn; a mark falls to the lowest free cell. The board "
        "shows the names of the columns first, then its rows; dots are free cells. Four equal marks in a row, column "
        "or diagonal win; a full board is a draw."
    )
    shapes = (Shape(5, 4, 4, falls=True), *(Shape(7, 6, 4, falls=True),) * 2)
    horizon = (None, 4, 4)
    labels = ("1234567", "abcdefg")
    looks = (
        Look(("X", "O"), "drop", "You are {mark}."),
        Look(
            ("S", "T"),
            "stack",
            "A crane stacks crates in rows of piles; four {mark} in line make a load. Yours are {mark}.",
        ),
        Look(
            ("#", "@"), "lift", "Balloons rise under a roof; four {mark} in line open it. You lift {mark}.", upward=True
        ),
        Look(("U", "V"), "plant", "Ivy climbs a wall from below. You plant {mark}, and want four {mark} in line."),
    )
    longest = 10

    opening: int = 6
