"""palaestra: language agents live together in simulated worlds, and learn there.

    env = palaestra.make("kuhn")
    episode = palaestra.play("kuhn", cast="random", seed=7)

Names are imported when they are first used, so `import palaestra` costs nothing and needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from palaestra.agents.cast import play
    from palaestra.agents.episode import Episode, read_episodes
    from palaestra.agents.verify import verify
    from palaestra.envs.registry import make, names, register
    from palaestra.envs.script import Request, Script, ScriptedEnv
    from palaestra.errors import PalaestraError
    from palaestra.scenarios.scenario import Scenario

_HOME = {
    "Episode": "palaestra.agents.episode",
    "PalaestraError": "palaestra.errors",
    "Request": "palaestra.envs.script",
    "Scenario": "palaestra.scenarios.scenario",
    "Script": "palaestra.envs.script",
    "ScriptedEnv": "palaestra.envs.script",
    "make": "palaestra.envs.registry",
    "names": "palaestra.envs.registry",
    "play": "palaestra.agents.cast",
    "read_episodes": "palaestra.agents.episode",
    "register": "palaestra.envs.registry",
    "verify": "palaestra.agents.verify",
}
__all__ = [
    "Episode",
    "PalaestraError",
    "Request",
    "Scenario",
    "Script",
    "ScriptedEnv",
    "make",
    "names",
    "play",
    "read_episodes",
    "register",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
