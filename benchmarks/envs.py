"""Turns a second of environments, on one core, with players that cost next to nothing."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.common import Side, in_turns, ratio, row
from palaestra.envs.registry import make
from palaestra.envs.script import Request, Script, ScriptedEnv
from palaestra.envs.views import SingleView


class Dialogue(ScriptedEnv):
    """Two seats hear each other, fifty turns in all."""

    seats = ("speaker_0", "speaker_1")
    length: int = 50

    def script(self, rng: random.Random) -> Script:
        self.tell("Talk to each other.")
        for turn in range(self.length):
            move = yield self.seats[turn % 2]
            self.tell(move.speech, to=self.seats[1 - turn % 2])
        self.reward(dict.fromkeys(self.seats, 1.0))


def native(env: ScriptedEnv, episodes: int) -> int:
    """Turns taken through `start`, `waiting` and `submit`; legal moves at random."""
    draw, turns = random.Random(0).random, 0
    for seed in range(episodes):
        env.start(seed)
        while waiting := env.waiting:
            for key, request in waiting.items():
                legal = request.legal_actions
                env.submit({key: legal[int(draw() * len(legal))]})
                turns += 1
    return turns


def talk(env: ScriptedEnv, episodes: int) -> int:
    """The same for free speech."""
    turns = 0
    for seed in range(episodes):
        env.start(seed)
        while waiting := env.waiting:
            env.submit(dict.fromkeys(waiting, "I see what you mean, but I am not convinced."))
            turns += 1
    return turns


def aec(env: Any, episodes: int) -> int:
    """Turns taken through PettingZoo's `reset`, `last` and `step`; the None steps of dead seats are not counted."""
    draw, turns = random.Random(0).random, 0
    for seed in range(episodes):
        env.reset(seed=seed)
        for _ in env.agent_iter():
            observation, _, terminated, truncated, info = env.last()
            if terminated or truncated:
                env.step(None)
                continue
            if "legal_actions" in info:
                legal = info["legal_actions"]
            else:  # PettingZoo's own board games
                legal = observation["action_mask"].nonzero()[0]
            env.step(legal[int(draw() * len(legal))])
            turns += 1
    return turns


def single(view: SingleView, episodes: int) -> int:
    """Steps of the learner through Gymnasium's `reset` and `step`; the other seat's turns are not counted."""
    draw, turns = random.Random(0).random, 0
    for seed in range(episodes):
        _, info = view.reset(seed=seed)
        over = False
        while not over:
            legal = info["legal_actions"]
            _, _, over, _, info = view.step(legal[int(draw() * len(legal))])
            turns += 1
    return turns


def last(request: Request) -> str:
    """A player that takes the last legal move."""
    return request.legal_actions[-1]


def pettingzoo_tictactoe() -> Any:
    """PettingZoo classic's board game, or the reason why it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pettingzoo.classic import tictactoe_v3

            return tictactoe_v3.env()
    except ImportError as error:
        return f"pettingzoo.classic.tictactoe_v3 cannot be imported here ({error}; it comes with pettingzoo[classic])"


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    n, rounds = (4, 1) if quick else (1000, 9)
    kuhn, board, dialogue = make("kuhn"), make("tictactoe"), Dialogue()
    view = SingleView(make("kuhn"), others=last)
    sides: dict[str, Callable[[], float]] = {
        "kuhn native": lambda: native(kuhn, n),
        "kuhn AEC": lambda: aec(kuhn, n),
        "kuhn Gymnasium": lambda: single(view, n),
        "tictactoe native": lambda: native(board, n // 3),
        "tictactoe AEC": lambda: aec(board, n // 3),
        "dialogue native": lambda: talk(dialogue, n // 4),
        "dialogue AEC": lambda: speak(dialogue, n // 4),
    }
    theirs, notes = pettingzoo_tictactoe(), []
    if isinstance(theirs, str):
        notes.append(f"Not measured: {theirs}.")
    else:
        sides["PettingZoo tictactoe"] = lambda: aec(theirs, n // 3)
    found = in_turns(sides, rounds)
    other = found.get("PettingZoo tictactoe")

    def line(name: str, what: str, aim: int = 0) -> list[str]:
        side: Side = found[name]
        rate = side.rate()
        return row(
            what,
            f"{rate:,.0f} turns/s",
            f"PettingZoo classic tictactoe {other.rate():,.0f}" if other else "not measured",
            ratio(side, other) if other else None,
            f"at least {aim:,}" if aim else "",
            rate >= aim,
        )

    return {
        "about": "Turns a second of CPU time on one core. PettingZoo's tictactoe is played through the same AEC loop.",
        "rows": [
            line("kuhn native", "Kuhn, native (start, waiting, submit)", 35_000),
            line("kuhn AEC", "Kuhn, PettingZoo AEC (reset, last, step)", 20_000),
            line("kuhn Gymnasium", "Kuhn, Gymnasium, one learner (its own steps only)"),
            line("tictactoe native", "tictactoe in words, native"),
            line("tictactoe AEC", "tictactoe in words, PettingZoo AEC"),
            line("dialogue native", "dialogue of 50 turns, native", 100_000),
            line("dialogue AEC", "dialogue of 50 turns, PettingZoo AEC"),
        ],
        "notes": notes,
        "sides": {name: side.plain() for name, side in found.items()},
    }


def speak(env: ScriptedEnv, episodes: int) -> int:
    """Free speech through PettingZoo's door."""
    turns = 0
    for seed in range(episodes):
        env.reset(seed=seed)
        for _ in env.agent_iter():
            _, _, terminated, truncated, _ = env.last()
            env.step(None if terminated or truncated else "I see what you mean, but I am not convinced.")
            turns += not (terminated or truncated)
    return turns
