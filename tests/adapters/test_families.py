"""Other libraries' environments, with the real packages: `make test-adapters`."""

from __future__ import annotations

import os
import random
import warnings
from typing import Any

import pytest

from palaestra.agents.cast import play
from palaestra.envs.adapters.foreign import FAMILIES, Globals
from palaestra.envs.conformance import QUICK, check
from palaestra.envs.registry import env_class, make
from palaestra.errors import EnvError, MissingExtraError, UnknownNameError

pytestmark = pytest.mark.filterwarnings("ignore")

RLCARD = {"outside"}
"""rlcard seeds itself from the system's entropy when it is made, and is seeded again at once."""
EXPECTED: dict[str, set[str]] = {
    "gymnasium/FrozenLake-v1": set(),
    "gymnasium/CliffWalking-v1": set(),
    "gymnasium/Taxi-v4": set(),
    "gymnasium/Blackjack-v1": set(),
    "minigrid/BabyAI-GoToObj-v0": set(),
    "minigrid/MiniGrid-Empty-5x5-v0": set(),
    "openspiel/kuhn_poker": set(),
    "openspiel/leduc_poker": set(),
    "openspiel/tic_tac_toe": set(),
    "openspiel/liars_dice": set(),
    "openspiel/goofspiel(num_cards=4)": set(),
    "openspiel/matrix_pd": set(),
    "openspiel/bargaining": set(),
    "pettingzoo/tictactoe_v3": set(),
    "pettingzoo/connect_four_v3": set(),
    "pettingzoo/rps_v2": set(),
    "pettingzoo/leduc_holdem_v4": RLCARD,
    "pettingzoo/texas_holdem_v4": RLCARD,
    "reasoning_gym/leg_counting": set(),
    "reasoning_gym/countdown": set(),
    "reasoning_gym/maze": set(),
    "textarena/KuhnPoker-v0": set(),
    "textarena/LiarsDice-v0": set(),
    "textarena/TicTacToe-v0": set(),
    "textarena/SecretMafia-v0": set(),
    "gem/game:GuessTheNumber-v0-easy": set(),
    "gem/game:Mastermind-v0": set(),
    "gem/game:Minesweeper-v0-easy": set(),
}
"""id -> the checks that it does not pass."""


def made(name: str) -> Any:
    """The class, or a skip with a reason where its package is not installed (in CI: a failure)."""
    try:
        return env_class(name)
    except MissingExtraError as error:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))


@pytest.mark.parametrize("name", EXPECTED)
def test_it_fails_exactly_the_checks_that_the_table_says(name: str) -> None:
    report = check(made(name), effort=QUICK)
    assert {row.check for row in report.rows() if row.status == "FAIL"} == EXPECTED[name], report.table()


def test_every_family_is_in_the_table() -> None:
    elsewhere = {"mcp", "openenv", "scienceworld", "textworld"}  # servers, and slow ones: test_mcp, _openenv, _worlds
    assert {name.partition("/")[0] for name in EXPECTED} | elsewhere == FAMILIES.keys()


def test_unknown_members_are_named_with_the_nearest_one() -> None:
    made("gymnasium/Taxi-v4")
    with pytest.raises(UnknownNameError, match="did you mean Taxi-v4"):
        env_class("gymnasium/Taxi-v3")
    made("openspiel/kuhn_poker")
    with pytest.raises(UnknownNameError, match="did you mean kuhn_poker"):
        env_class("openspiel/khun_poker")
    with pytest.raises(EnvError, match="mean-field"):
        env_class("openspiel/mfg_crowd_modelling")


def words(name: str, seed: int, between: Any = None) -> list[str]:
    """An episode's events, with something done between any two answers."""
    env = make(name)
    env.start(seed)
    turn = 0
    while env.waiting and turn < 20:
        for key in env.waiting:
            if between:
                between()
            env.submit({key: ("[check]", "[bet]", "[call]", "[Bid: 1, 2]", "[Call]")[turn % 5]})
            turn += 1
            break
    return [repr(event) for event in env.events]


# -- TextArena and GEM draw from the process's generators --------------------------------------------------------------


def arena_cards(between: Any = None) -> list[str]:
    """What the bare package tells in three rounds of Kuhn poker."""
    import textarena

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = textarena.make("KuhnPoker-v0-raw")
    env.reset(num_players=2, seed=5)
    told, done = [], False
    while not done and len(told) < 12:
        _, messages = env.get_observation()
        told.append(str([m[1] for m in messages]))
        if between:
            between()
        legal = env.state.game_state["current_legal_action_tree"]
        done, _ = env.step(f"[{sorted(legal)[0]}]")
    return told


def test_bare_textarena_is_disturbed_by_foreign_draws_and_the_adapter_is_not() -> None:
    made("textarena/KuhnPoker-v0")
    assert any(arena_cards() != arena_cards(lambda n=n: random.seed(n)) for n in range(6)), "the bare package is cured"
    for seed in range(6):
        alone = words("textarena/KuhnPoker-v0", seed)
        assert words("textarena/KuhnPoker-v0", seed, lambda: random.seed(1)) == alone
        other = make("textarena/LiarsDice-v0")
        assert words("textarena/KuhnPoker-v0", seed, lambda other=other: other.start(3)) == alone


def gem_board(between: Any = None) -> list[str]:
    """What the bare package tells in a game of 2048 or minesweeper."""
    import gem

    env = gem.make("game:Minesweeper-v0-easy")
    told = [str(env.reset(seed=5)[0])]
    for cell in ("0 0", "1 1", "2 2", "3 3"):
        if between:
            between()
        text, *_ = env.step(f"\\boxed{{reveal {cell}}}")
        told.append(str(text))
    return told


def test_bare_gem_is_disturbed_by_foreign_draws_and_the_adapter_is_not() -> None:
    made("gem/game:Minesweeper-v0-easy")
    assert any(gem_board() != gem_board(lambda n=n: random.seed(n)) for n in range(6)), "the bare package is cured"

    def adapted(between: Any = None) -> list[str]:
        env = make("gem/game:Minesweeper-v0-easy")
        env.start(5)
        for cell in ("0 0", "1 1", "2 2", "3 3"):
            if between:
                between()
            if env.waiting:
                env.submit({"player_0": f"\\boxed{{reveal {cell}}}"})
        return [repr(event) for event in env.events]

    assert adapted() == adapted(lambda: random.seed(1))


def test_private_generators_go_on_where_they_stopped_and_leave_no_trace() -> None:
    a, b, outside = Globals("x"), Globals("x"), random.getstate()
    with a():
        first = [random.random() for _ in range(2)]
    with b():
        again = [random.random()]
    random.random()
    with b():
        again.append(random.random())
    random.setstate(outside)
    assert first == again


# -- OpenSpiel ---------------------------------------------------------------------------------------------------------


def test_openspiels_own_algorithms_measure_policies() -> None:
    made("openspiel/kuhn_poker")
    from palaestra.envs.adapters.openspiel import nashconv

    assert nashconv("kuhn_poker") == pytest.approx(11 / 12, abs=1e-9)
    assert nashconv("leduc_poker") == pytest.approx(4.7472, abs=1e-4)
    never = nashconv("kuhn_poker", lambda player, state, moves: {"pass": 1.0})
    assert never == pytest.approx(2.0)  # who always passes loses a chip to every bet


def test_chance_is_drawn_by_seed() -> None:
    made("openspiel/kuhn_poker")
    opened = {play("openspiel/kuhn_poker", cast="random", seed=s).transcript.events[0].text for s in range(40)}  # type: ignore[union-attr]
    assert len(opened) == 3  # each of the three cards is dealt


# -- Minigrid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["BabyAI-GoToObj-v0", "BabyAI-PickupLoc-v0", "BabyAI-OpenDoor-v0"])
def test_babyais_own_bot_fulfils_missions(name: str) -> None:
    made(f"minigrid/{name}")
    assert all(play(f"minigrid/{name}", cast="oracle", seed=s).outcome["success"] for s in range(8))


# -- reasoning-gym -----------------------------------------------------------------------------------------------------


def test_all_data_sets_ask_and_accept_their_own_answer() -> None:
    made("reasoning_gym/leg_counting")
    from reasoning_gym.factory import DATASETS

    wrong, silent = {}, set()
    for name in sorted(set(DATASETS) - {"composite"}):  # made of other data sets, which its user names
        episode = play(f"reasoning_gym/{name}", cast="oracle", seed=3)
        if episode.failure:
            wrong[name] = episode.failure.message
        elif not episode.outcome["answer"]:
            silent.add(name)  # many answers are right, and the data set names none
        elif not episode.outcome["correct"]:
            wrong[name] = str(episode.outcome)
    assert wrong == {}
    assert silent <= {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
