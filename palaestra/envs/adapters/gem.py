"""GEM's environments: `gem/game:GuessTheNumber-v0-easy`, `gem/rg:leg_counting`.

| fact | value |
|---|---|
| seats | `player_0` |
| turns | as the environment has them |
| hidden | what the environment hides |
| reward | the environment's own |
| gold outcome | total, turns, truncated |
| needs | `palaestra[gem]` |

A reply is passed on as it is. GEM's `reset(seed)` seeds the process's global generators and its games draw from them,
so that two of them disturb each other; here each episode has generators of its own. Environments that load data sets
need a network and are not offered: the games and the reasoning tasks are.
"""

from __future__ import annotations

import random
from typing import ClassVar

from palaestra.envs.adapters.foreign import Foreign, Globals, known, library, made
from palaestra.envs.script import Script

OFFERED = ("game:", "rg:")


class Gem(Foreign):
    """An environment of GEM."""

    inner: ClassVar[str] = ""
    seats = ("player_0",)

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        alone = Globals(str(rng.getrandbits(63)))
        with alone():
            env = library("gem", "gem").make(self.inner)
            text, info = env.reset(seed=rng.getrandbits(31))
        total, turns, ended, cut = 0.0, 0, False, False
        while not (ended or cut):
            self.tell("\n".join(t for t in (str(text), str(info.get("suffix", ""))) if t), to=seat)
            move = yield self.turn(seat)
            with alone():
                text, reward, ended, cut, info = env.step(move.raw)
            total, turns = total + float(reward), turns + 1
            if reward:
                self.reward({seat: float(reward)})
        self.reveal(f"{text} It is over: {total:g}.", to=seat)
        self.outcome(total=total, turns=turns, truncated=bool(cut and not ended))


def member(name: str) -> type[Gem]:
    """The class of an environment, by GEM's own id."""
    registry = library("gem.envs.registration", "gem").ENV_REGISTRY
    known(name, "gem", [n for n in registry if n.startswith(OFFERED)])
    return made(Gem, f"gem/{name}", inner=name)
