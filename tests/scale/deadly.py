"""Environments that take their process with them, or only themselves."""

from __future__ import annotations

import os
import random

from palaestra.envs.script import Script, ScriptedEnv


class Deadly(ScriptedEnv):
    """Kills the process that plays it."""

    seats = ("player_0",)

    def script(self, rng: random.Random) -> Script:
        os._exit(9)
        yield


class Broken(ScriptedEnv):
    """Raises."""

    seats = ("player_0",)

    def script(self, rng: random.Random) -> Script:
        raise RuntimeError("on purpose")
        yield
