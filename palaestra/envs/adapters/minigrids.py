"""Minigrid and BabyAI in words: `minigrid/BabyAI-GoToObj-v0`, `minigrid/MiniGrid-DoorKey-5x5-v0`.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | until the mission is done or lost, or the world's own limit of steps |
| hidden | all that is out of the walker's view of 7 by 7 cells |
| reward | the world's own: 1 - 0.9 * steps / limit on success |
| gold outcome | success, steps, truncated |
| needs | `palaestra[minigrid]` |

The text is ours: the mission, what is carried, and what is seen, the nearest first, as steps ahead and to the side. A
move is one of the six of BabyAI. In BabyAI's worlds the player `oracle` is BabyAI's own bot.
"""

from __future__ import annotations

import contextlib
import io
import random
from typing import Any, ClassVar

import gymnasium

from palaestra.envs.adapters.foreign import Foreign, known, library, made
from palaestra.envs.common.grids import ACTIONS
from palaestra.envs.script import Request, Script, play_random

COMMANDS = tuple(a.replace(" ", "_") for a in ACTIONS)


class Minigrid(Foreign):
    """A room grid of Minigrid or BabyAI, told in words."""

    world: ClassVar[str] = ""
    seats = ("player_0",)
    rules = "You walk on a grid and see what is before you. Fulfil the mission in few steps."
    reward_range = (-1.0, 1.0)

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        with contextlib.redirect_stdout(io.StringIO()):  # BabyAI prints while it looks for a level
            self._inner = env = gymnasium.make(self.world, disable_env_checker=True)
            observation, _ = env.reset(seed=rng.getrandbits(31))
        self._taken: list[int] = []
        self.tell(f"Mission: {observation['mission']}.")
        success = ended = cut = False
        while not (ended or cut):
            self.tell(words(observation["image"], env.unwrapped), to=seat)
            move = yield self.turn(seat, *COMMANDS)
            self._taken.append(COMMANDS.index(move.verb))
            observation, reward, ended, cut, _ = env.step(self._taken[-1])
            if reward:
                self.reward({seat: float(reward)})
            success = float(reward) > 0
        self.tell("The mission is done." if success else "It is over, and the mission is not done.")
        self.outcome(success=success, steps=len(self._taken), truncated=bool(cut and not ended))


def words(image: Any, env: Any) -> str:
    """What the walker carries and sees. In the picture it stands in column 3 of row 6 and looks to row 0."""
    names = library("minigrid.core.constants", "minigrid")
    found = []
    for column in range(image.shape[0]):
        for row in range(image.shape[1]):
            kind, color, status = (int(v) for v in image[column, row])
            ahead, right = image.shape[1] - 1 - row, column - image.shape[0] // 2
            what = names.IDX_TO_OBJECT[kind]
            if what in ("unseen", "empty", "floor", "agent") or (ahead, right) == (0, 0):
                continue
            if what == "wall" and right:
                continue
            state = ("open ", "closed ", "locked ")[status] if what == "door" else ""
            shade = "" if what in ("wall", "lava", "goal") else f"{names.IDX_TO_COLOR[color]} "
            side = f"{abs(right)} {'right' if right > 0 else 'left'}" if right else ""
            where = " ".join(w for w in (f"{ahead} ahead" if ahead else "", side) if w)
            found.append((ahead + abs(right), ahead, right, f"{state}{shade}{what} {where}"))
    walls = [f for f in found if f[3].startswith("wall")]
    seen = sorted([f for f in found if not f[3].startswith("wall")] + sorted(walls)[:1])
    held = env.carrying
    carried = f"You carry a {held.color} {held.type}. " if held else ""
    return f"{carried}You see: {', '.join(f[3] for f in seen) or 'nothing'}."


def _bot(request: Request) -> str:
    """BabyAI's own bot, which knows the whole map."""
    env: Any = request.env
    taken = env._taken
    kept = env.__dict__.get("_bot_at")
    if kept is None or kept[1] != len(taken) - 1:  # a new bot takes the episode up where it stands
        bot = library("minigrid.utils.baby_ai_bot", "minigrid").BabyAIBot(env._inner.unwrapped)
        action = bot.replan()
    else:
        bot = kept[0]
        action = bot.replan(taken[-1])
    env._bot_at = (bot, len(taken))
    return f"[{COMMANDS[min(int(action), 5)]}]"


def _greedy(request: Request) -> str:
    """Walks on where the way is free, turns where it is not, and takes what lies before it."""
    last = request.heard[-1]
    if "1 ahead," not in last and "1 ahead." not in last:
        return "[go_forward]" if request.rng.random() < 0.8 else request.rng.choice(["[turn_left]", "[turn_right]"])
    return request.rng.choice(["[turn_left]", "[turn_right]", "[pick_up]", "[toggle]"])


def member(name: str) -> type[Minigrid]:
    """The class of a registered world."""
    library("minigrid", "minigrid")
    known(name, "minigrid", [k for k in gymnasium.registry if k.startswith(("BabyAI-", "MiniGrid-"))])
    body: dict[str, Any] = {"world": name}
    if name.startswith("BabyAI-"):
        body["players"] = {"random": play_random, "greedy": _greedy, "oracle": _bot}
    return made(Minigrid, f"minigrid/{name}", **body)
