"""Worlds: environments with seats, deterministic given parameters, seed and what was said there."""

from palaestra.envs.registry import env_class, make, names, register
from palaestra.envs.script import Forfeit, Hold, Request, Script, ScriptedEnv, play_random, stateful
from palaestra.envs.transcript import Transcript

__all__ = [
    "Forfeit",
    "Hold",
    "Request",
    "Script",
    "ScriptedEnv",
    "Transcript",
    "env_class",
    "make",
    "names",
    "play_random",
    "register",
    "stateful",
]
