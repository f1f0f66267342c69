"""ScienceWorld's tasks: `scienceworld/boil`, `scienceworld/find-animal`.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | until the task is done or failed, or `max_steps` |
| hidden | all that is not in the room |
| reward | the task's own score by 100: -1 to 1; failing it is -1 |
| gold outcome | won, score, max_score, steps, truncated |
| splits | ScienceWorld's own variations for training and for test |
| needs | `palaestra[scienceworld]`, and Java |

A move is a command of ScienceWorld in brackets, as `[open door to kitchen]`; where it is ambiguous the world asks back,
and the answer is a number. `simplifications` is ScienceWorld's own list, as `easy` or `openDoors,teleportAction`.

The simulator is a Java process, started once for a Python process and shared by its episodes; it makes four to seven
steps a second. The player `oracle` follows ScienceWorld's gold path, which takes seconds to find, may be another one in
another process, and for a few tasks is longer than `max_steps`, whose default is ScienceWorld's.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import installed, known, library, made
from palaestra.envs.adapters.worlds import Running, Said, Simulated, World
from palaestra.envs.script import Request, stateful
from palaestra.errors import EnvError, MissingExtraError, nearest

VARIATIONS: dict[str, tuple[int, int, int]] = {
    "boil": (14, 21, 30),
    "change-the-state-of-matter-of": (14, 21, 30),
    "chemistry-mix": (16, 24, 32),
    "chemistry-mix-paint-secondary-color": (18, 27, 36),
    "chemistry-mix-paint-tertiary-color": (18, 27, 36),
    "find-animal": (150, 225, 300),
    "find-living-thing": (150, 225, 300),
    "find-non-living-thing": (150, 225, 300),
    "find-plant": (150, 225, 300),
    "freeze": (14, 21, 30),
    "grow-fruit": (62, 93, 126),
    "grow-plant": (62, 93, 126),
    "identify-life-stages-1": (6, 9, 14),
    "identify-life-stages-2": (4, 6, 10),
    "inclined-plane-determine-angle": (84, 126, 168),
    "inclined-plane-friction-named-surfaces": (692, 1038, 1386),
    "inclined-plane-friction-unnamed-surfaces": (80, 120, 162),
    "lifespan-longest-lived": (62, 93, 125),
    "lifespan-longest-lived-then-shortest-lived": (62, 93, 125),
    "lifespan-shortest-lived": (62, 93, 125),
    "measure-melting-point-known-substance": (218, 327, 436),
    "measure-melting-point-unknown-substance": (150, 225, 300),
    "melt": (14, 21, 30),
    "mendelian-genetics-known-plant": (60, 90, 120),
    "mendelian-genetics-unknown-plant": (240, 360, 480),
    "power-component": (10, 15, 20),
    "power-component-renewable-vs-nonrenewable-energy": (10, 15, 20),
    "test-conductivity": (450, 675, 900),
    "test-conductivity-of-unknown-substances": (300, 450, 600),
    "use-thermometer": (270, 405, 540),
}
"""Task -> where its variations for training, for development and for test end, the first being 0."""
SIMPLIFICATIONS = (
    "easy",
    "noElectricalAction",
    "openContainers",
    "openDoors",
    "selfWateringFlowerPots",
    "teleportAction",
)
COMMANDS = (
    *(
        f"{verb} ..."
        for verb in (
            "activate close connect deactivate disconnect dunk eat examine flush focus go look mix move open pick "
            "pour put read teleport use"
        ).split()
    ),
    *("inventory", "task", "wait", "wait1"),
    *(str(n) for n in range(10)),
)
"""All but `reset task`, which would begin again."""


class JavaMissingError(MissingExtraError, EnvError):
    """There is no Java to run the simulator."""


@functools.cache
def _java(process: int) -> Any:
    """The running simulator program of this Python process."""
    if not shutil.which("java"):
        raise JavaMissingError(
            "ScienceWorld needs Java, and there is no `java`\n  apt-get install default-jre-headless"
        )
    return library("scienceworld", "scienceworld").ScienceWorldEnv()


def _loaded(task: str, variation: int, simplifications: str, gold: bool = False) -> Any:
    server = _java(os.getpid())._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()
    server.load(task, variation, simplifications, gold)
    return server


def start(task: str, variation: int, simplifications: str) -> World:
    """A simulator of one variation of a task."""
    server = _loaded(task, variation, simplifications)

    def act(command: str) -> Said:
        text = server.step(command) if command else f"{server.freeActionTaskDesc()}\n{server.freeActionLook()}"
        score = round(100 * server.getScore())
        return {
            "text": re.sub(r"\s*\n\s*", "\n", str(text)).strip(),
            "score": score,
            "max_score": 100,
            "won": score >= 100,
            "over": bool(server.getCompleted()) or score < 0,
            "commands": [],
            "plan": [],
        }

    return act


_tasks = Running(start, keep=4)


@stateful
def step(game: list[Any], command: str, *, history: Iterable[tuple[list[Any], Any]] = ()) -> Said:
    """The effect: what the simulator answers."""
    try:
        return _tasks.step(game, command, history)
    except JavaMissingError:
        raise
    except EnvError:
        _java.cache_clear()  # the next one begins with a new process
        raise


_THING = re.compile(
    r"\b(?:an?|the) (?:substance called )?([a-z]+(?: [a-z]+){0,2}?)(?= \(|[.,:;)]| is\b| in\b| on\b|$)", re.M
)
_TRIES = (
    "open {}",
    "go to {}",
    "look at {}",
    "look in {}",
    "pick up {}",
    "activate {}",
    "move {} to {}",
    "use {} on {}",
)


def _try(request: Request, tries: Sequence[str]) -> str:
    """A command about things that were named so far."""
    rng = request.rng
    things = sorted(set(_THING.findall("\n".join(request.heard)))) or ["air"]
    return f"[{rng.choice(tries).format(rng.choice(things), rng.choice(things))}]"


def _random(request: Request) -> str:
    """Does something with something that it has read of."""
    return _try(request, (*_TRIES, "focus on {}"))


def _greedy(request: Request) -> str:
    """As random, and never says what it takes for the solution: a wrong guess loses everything."""
    return _try(request, _TRIES)


@functools.cache
def _gold(task: str, variation: int, simplifications: str) -> list[str]:
    """A way to the solution. ScienceWorld draws it anew each time, so that it is no part of the record."""
    with _tasks.lock:
        return list(_loaded(task, variation, simplifications, gold=True).getGoldActionSequence())


def _oracle(request: Request) -> str:
    """The gold path, then patience."""
    env = request.env
    assert isinstance(env, ScienceWorld)
    path = _gold(*env.game())
    return f"[{path[request.turn]}]" if request.turn < len(path) else "[wait1]"


class ScienceWorld(Simulated):
    """A task of ScienceWorld."""

    simplifications: str = ""
    """ScienceWorld's own, separated by commas: easy, openDoors, openContainers, teleportAction ..."""

    task: ClassVar[str] = ""
    reward_range = (-1.0, 1.0)
    effects = {"step": step}
    players = {"random": _random, "greedy": _greedy, "oracle": _oracle}
    rules = (
        "You are in a small world of rooms and things. Do the task that is named at the start, one command a turn, as "
        "`look around`, `open X`, `go to X`, `pick up X`, `move X to Y`, `pour X into Y`, `use X on Y`, `activate X`, "
        "`focus on X`, `wait`. Where you are asked which of several is meant, answer with its number."
    )

    def game(self) -> list[Any]:
        for name in filter(None, self.simplifications.split(",")):
            if name not in SIMPLIFICATIONS:
                raise EnvError(f"{self.name()}: no simplification {name!r}\n  {nearest(name, SIMPLIFICATIONS)}")
        train, dev, end = VARIATIONS[self.task]
        first, last = (0, train) if self.split == "train" else (dev, end)
        variation = self.stream("item", "variation").randrange(first, last)
        return [self.task, variation, self.simplifications]

    def verbs(self) -> Sequence[str]:
        return COMMANDS


def member(name: str) -> type[ScienceWorld]:
    """The class of a task, by ScienceWorld's own name."""
    installed("scienceworld", "scienceworld")
    known(name, "scienceworld", list(VARIATIONS))
    return made(ScienceWorld, f"scienceworld/{name}", task=name)
