"""TextWorld's generated games: `textworld/simple`, `textworld/coin_collector`, `textworld/treasure_hunter`,
`textworld/cooking`.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | until the game is won or lost, or `max_steps` |
| hidden | the rooms that the player has not seen |
| reward | the game's score by its maximum: 0 to 1 |
| gold outcome | won, score, max_score, steps, truncated |
| splits | train and test share no game; cooking and simple also have foods of their own for test |
| needs | `palaestra[textworld]` |

A move is one of the commands that the game admits at that moment. The levels are settings of the challenge
(`LEVELS`); `settings` replaces them by others of `tw-make`. A split has `games` different games.

A game is compiled when it is first played, which takes ten seconds, and kept for the user under
`$XDG_CACHE_HOME/palaestra/textworld` (`~/.cache`). Compiling runs in a process of its own with a fixed hash seed,
because the same seed of TextWorld gives other games under another one. The player `oracle` follows TextWorld's own
solver, `greedy` does something admissible that changes the world.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Globals, installed, known, library, made
from palaestra.envs.adapters.worlds import Running, Said, Simulated, World
from palaestra.envs.script import Request, play_random, stateful
from palaestra.errors import EnvError

LEVELS: dict[str, tuple[dict[str, Any], ...]] = {
    "simple": (
        {"rewards": "dense", "goal": "detailed"},
        {"rewards": "balanced", "goal": "brief"},
        {"rewards": "sparse", "goal": "brief"},
    ),
    "coin_collector": ({"level": 3}, {"level": 110}, {"level": 220}),
    "treasure_hunter": ({"level": 3}, {"level": 13}, {"level": 23}),
    "cooking": (
        {"recipe": 1, "take": 1, "go": 1},
        {"recipe": 2, "take": 2, "go": 6, "open": True, "cook": True},
        {"recipe": 3, "take": 3, "go": 9, "open": True, "cook": True, "cut": True, "drop": True},
    ),
}
"""Challenge -> its settings at level 0, 1 and 2."""
TEST_SEEDS = 1_000_000
"""Train's games have the seeds from 0 on, test's from here on."""


def compiled(challenge: str, settings: Mapping[str, Any], seed: int) -> Path:
    """The game file, made now if no process of this user has made it before."""
    what = [f"--{k.replace('_', '-')}" + ("" if v is True else f"={v}") for k, v in settings.items() if v is not False]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palaestra" / "textworld"
    folder = cache / version("textworld") / "".join((challenge, *what, f"--seed={seed}"))
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as place:
            script = shutil.which("tw-make", path=os.pathsep.join((str(Path(sys.executable).parent), os.defpath)))
            line = [script or "tw-make", f"tw-{challenge}", *what, f"--seed={seed}", "--output=new/game.z8", "--silent"]
            done = subprocess.run(
                [sys.executable, *line],
                cwd=place,
                env={**os.environ, "PYTHONHASHSEED": "0"},
                capture_output=True,
                text=True,
            )
            if done.returncode or not (Path(place) / "new" / "game.z8").exists():
                raise EnvError(f"{' '.join(line[1:])}\n  {(done.stderr.strip() or 'made no game').splitlines()[-1]}")
            folder.parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # somebody else was faster
                (Path(place) / "new").rename(folder)
    return folder / "game.z8"


def start(challenge: str, settings: dict[str, Any], seed: int) -> World:
    """A running game."""
    path, alone = compiled(challenge, settings, seed), Globals(f"{challenge}|{seed}")
    with alone(), _quiet():
        textworld = library("textworld", "textworld")
        asked = textworld.EnvInfos(
            admissible_commands=True, policy_commands=True, score=True, max_score=True, won=True, lost=True
        )
        game = textworld.start(str(path), asked)

    def act(command: str) -> Said:
        with alone(), _quiet():
            state = game.step(command)[0] if command else game.reset()
        return {
            "text": tidy(state.feedback),
            "score": int(state.score or 0),
            "max_score": int(state.max_score or 1),
            "won": bool(state.won),
            "over": bool(state.won or state.lost),
            "commands": list(state.admissible_commands),
            "plan": list(state.policy_commands or ())[:1],
        }

    return act


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Jericho warns of every game that it was not made for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tidy(text: str) -> str:
    """A game's text without banner, status line, prompt and the questions of the end."""
    text = re.split(r"\n>\s|\nWould you like to RESTART", text)[0]
    lines = [line.strip() for line in text.split("\n") if "$$" not in line and line.strip(" _")]
    return "\n".join(lines)


_games = Running(start, keep=16)


@stateful
def step(game: list[Any], command: str, *, history: Iterable[tuple[list[Any], Any]] = ()) -> Said:
    """The effect: what the game answers."""
    return _games.step(game, command, history)


def _greedy(request: Request) -> str:
    """Something admissible that changes the world."""
    acts = [a for a in request.legal_actions if not a.startswith(("[look", "[inventory", "[examine"))]
    return request.rng.choice(acts) if acts else play_random(request)


def _oracle(request: Request) -> str:
    """What TextWorld's solver would do next."""
    plan = request.facts.get("plan")
    return f"[{plan[0]}]" if plan else play_random(request)


class TextWorld(Simulated):
    """A generated game of TextWorld."""

    games: int = 100
    """Different games of a split."""
    settings: dict[str, Any] | None = None
    """The challenge's own settings, in place of the level's."""

    challenge: ClassVar[str] = ""
    levels = (0, 1, 2)
    reward_range = (0.0, 1.0)
    effects = {"step": step}
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
    rules = "This is a text adventure. Each turn, do one of the listed things, and reach the goal that the game names."

    def game(self) -> list[Any]:
        settings = dict(LEVELS[self.challenge][self.level] if self.settings is None else self.settings)
        if self.challenge == "cooking":
            settings.setdefault("split", self.split)
        if self.challenge == "simple":
            settings.setdefault("test", self.split == "test")
        number = self.stream("item", "game").randrange(self.games)
        return [self.challenge, settings, number + TEST_SEEDS * (self.split == "test")]


def member(name: str) -> type[TextWorld]:
    """The class of a challenge."""
    installed("textworld", "textworld")
    return made(TextWorld, f"textworld/{known(name, 'textworld', list(LEVELS))}", challenge=name)
