"""Our games against OpenSpiel's: legal moves and payoffs in lockstep, NashConv, values.

Source: M. Lanctot et al., OpenSpiel (arXiv 1908.09453).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from palaestra.alignment.exploit import Policy, Tree, game_tree
from palaestra.envs.common.boards import LineGame, Shape
from palaestra.envs.common.cards import equilibrium, situation
from palaestra.envs.games.connect4 import Connect4
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.games.leduc import Leduc
from palaestra.envs.games.liars_dice import LiarsDice
from palaestra.envs.games.tictactoe import TicTacToe
from palaestra.envs.script import ScriptedEnv

try:
    import pyspiel
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("open_spiel is not installed: pip install 'palaestra[openspiel]'", allow_module_level=True)

from open_spiel.python.algorithms import exploitability, minimax
from open_spiel.python.policy import TabularPolicy

FACES = 3
SMALL = "connect_four(rows=4,columns=5,x_in_row=4)"
DICE = f"liars_dice(numdice=1,dice_sides={FACES})"
BETTING = {"check": 1, "call": 1, "bet": 2, "raise": 2, "fold": 0}


def kuhn_card(card: str) -> int:
    return "JQK".index(card)


def leduc_card(card: str) -> int:
    return "JQK".index(card[0]) * 2 + "hs".index(card[1])


def dice_action(move: str) -> int:
    if move == "[liar]":
        return 2 * FACES
    _, n, face = move.strip("[]").split()
    return (int(n) - 1) * FACES + int(face) - 1


def _kuhn(env: ScriptedEnv) -> list[int]:
    return [kuhn_card(c) for c in env.facts["cards"].values()]


def _leduc(env: ScriptedEnv) -> list[int]:
    return [leduc_card(c) for c in env.facts["cards"].values()]


def _dice(env: ScriptedEnv) -> list[int]:
    return [env.facts[f"dice 1@{seat}"][seat][0] - 1 for seat in env.seats]


Case = tuple[ScriptedEnv, str, Callable[[ScriptedEnv], list[int]], Callable[[str], int]]
"""Ours, OpenSpiel's, what chance has drawn as its actions in order, our move as its action."""
CASES: dict[str, Case] = {
    "kuhn": (Kuhn(), "kuhn_poker", _kuhn, lambda m: int(m in ("[bet]", "[call]"))),
    "leduc": (Leduc(suits=True), "leduc_poker", _leduc, lambda m: BETTING[m.strip("[]")]),
    "tictactoe": (TicTacToe(opening=0), "tic_tac_toe", lambda env: [], lambda m: int(m[-2]) - 1),
    "connect4": (Connect4(opening=0), SMALL, lambda env: [], lambda m: int(m[-2]) - 1),
    "connect4, full": (Connect4(opening=0, level=1), "connect_four", lambda env: [], lambda m: int(m[-2]) - 1),
    "liars_dice": (LiarsDice(faces=FACES), DICE, _dice, dice_action),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_moves_are_legal_and_pay_the_same(name: str) -> None:
    env, theirs, drawn, action = CASES[name]
    game, rng = pyspiel.load_game(theirs), random.Random(0)
    for seed in range(4 if name.startswith("connect4") else 60):
        env.start(seed)
        state, chance = game.new_initial_state(), drawn(env)
        order: dict[int, str] = {}
        while True:
            while state.is_chance_node():
                state.apply_action(chance.pop(0))
            if not env.waiting:
                break
            ((seat, request),) = env.waiting.items()
            assert order.setdefault(state.current_player(), seat) == seat
            assert sorted(map(action, request.legal_actions)) == sorted(state.legal_actions())
            move = rng.choice(request.legal_actions)
            env.submit({seat: move})
            state.apply_action(action(move))
        assert state.is_terminal()
        paid = env.transcript.returns()
        assert list(state.returns()) == [paid[s] for _, s in sorted(order.items())] or len(order) < 2


def theirs_of(name: str, likely: Callable[[int, Sequence[int]], Sequence[float]]) -> float:
    """OpenSpiel's NashConv of the policy `likely(player, legal actions)`."""
    game = pyspiel.load_game(name)
    table = TabularPolicy(game)
    for n, state in enumerate(table.states):
        legal = state.legal_actions()
        table.action_probability_array[n] = 0
        table.action_probability_array[n, legal] = likely(state.current_player(), legal)
    return float(exploitability.nash_conv(game, table))


def even(player: int, legal: Sequence[int]) -> list[float]:
    return [1 / len(legal)] * len(legal)


def leaning(player: int, legal: Sequence[int]) -> list[float]:
    """The first seat leans to high action numbers, the second to low ones."""
    weights = [1.0 + 2 * n for n in range(len(legal))][:: 1 - 2 * player]
    return [w / sum(weights) for w in weights]


@pytest.mark.parametrize("name", ["kuhn", "leduc", "liars_dice"])
@pytest.mark.parametrize("likely", [even, leaning])
def test_nashconv_is_the_same(name: str, likely: Callable[[int, Sequence[int]], list[float]]) -> None:
    env, theirs, _, action = CASES[name]
    tree = Tree(env)
    assert len(tree.infosets) == {"kuhn": 12, "leduc": 936, "liars_dice": 192}[name]
    policy: Policy = {}
    for info in tree.infosets:
        legal = sorted(map(action, info.legal_actions))
        by_action = dict(zip(legal, likely(env.seats.index(info.seat), legal), strict=True))
        policy[info.key] = [by_action[action(a)] for a in info.legal_actions]
    assert tree.nashconv(policy) == pytest.approx(theirs_of(theirs, likely), abs=1e-9)


def test_our_written_equilibria_are_so_by_their_measure() -> None:
    for name, theirs, verbs in (
        ("kuhn", "kuhn_poker", {0: ("check", "fold"), 1: ("bet", "call")}),
        ("leduc", "leduc_poker", {0: ("fold",), 1: ("check", "call"), 2: ("bet", "raise")}),
    ):
        game = pyspiel.load_game(theirs)
        table = TabularPolicy(game)
        known = equilibrium(name)
        for n, state in enumerate(table.states):
            mine, board, line = _told(state, name, verbs, known)
            row = known[situation(mine, board, line)]
            table.action_probability_array[n] = 0
            for action in state.legal_actions():
                table.action_probability_array[n, action] = next(row[v][0] for v in verbs[action] if v in row)
        table.action_probability_array /= table.action_probability_array.sum(axis=1, keepdims=True)
        assert exploitability.nash_conv(game, table) < 0.01


def _told(state: Any, name: str, verbs: dict[int, tuple[str, ...]], known: Any) -> tuple[str, str, list[str]]:
    """The own card, the board and the line of moves of a state of theirs, in our words."""
    board, line = "", []
    past = state.get_game().new_initial_state()
    cards = []
    for action in state.history():
        if past.is_chance_node():
            cards.append("JQK"[action if name == "kuhn" else action // 2])
            board = cards[2] if len(cards) > 2 else ""
        else:
            here = known[situation(cards[past.current_player()], board, line)]
            line.append(next(v for v in verbs[action] if v in here))
        past.apply_action(action)
    return cards[state.current_player()], board, line


@pytest.mark.parametrize(
    ("name", "params", "theirs", "iterations"),
    [("kuhn", {}, "kuhn_poker", 300), ("leduc", {}, "leduc_poker", 20), ("liars_dice", {"faces": FACES}, DICE, 100)],
)
def test_cfr_is_on_its_way_to_the_same_value(name: str, params: dict[str, Any], theirs: str, iterations: int) -> None:
    game = pyspiel.load_game(theirs)
    solver = pyspiel.CFRPlusSolver(game)
    for _ in range(iterations):
        solver.evaluate_and_update_policy()
    policy = solver.average_policy()
    gap = 2 * pyspiel.exploitability(game, policy)  # NashConv: the value lies within it
    tree = game_tree(name, **params)
    ours = tree.cfr(500)
    value = pyspiel.expected_returns(game.new_initial_state(), policy, -1, True)[0]
    assert abs(tree.value(ours)["player_0"] - value) < gap + tree.nashconv(ours)
    assert gap < 0.5


@pytest.mark.parametrize(("name", "empty"), [("tictactoe", 6), ("connect4", 7)])
def test_positions_are_worth_the_same(name: str, empty: int) -> None:
    env, theirs, _, _ = CASES[name]
    assert isinstance(env, LineGame)
    shape: Shape = env.shape
    game, rng, seen = pyspiel.load_game(theirs), random.Random(1), set()
    while len(seen) < 25:
        state, board = game.new_initial_state(), shape.empty
        while not state.is_terminal() and board.count(".") > empty:
            action = rng.choice(state.legal_actions())
            cell = action if name == "tictactoe" else next(c for c in shape.open(board) if c % shape.width == action)
            state.apply_action(action)
            board = shape.place(board, cell)
        if state.is_terminal() or board in seen:
            continue
        seen.add(board)
        mover = state.current_player()
        value, _ = minimax.alpha_beta_search(game, state=state, maximum_depth=30, maximizing_player_id=mover)
        assert shape.value(board) == value
