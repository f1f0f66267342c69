"""Environment ids: from a name to a class, for palaestra, Gymnasium and PettingZoo.

An id is a short name (`kuhn`), its registered form (`palaestra/kuhn-v0`), `module:Class`, `path/to/file.py:Class` (the
file alone, where it holds one environment), or another library's environment as `family/member`
(`openspiel/kuhn_poker`; the families are in `adapters.foreign`).
In place of a class of ours, `module:thing` may be a PettingZoo or Gymnasium environment with text in and out, or a
function that makes one. Other packages add environments through the entry-point group `palaestra.envs`
(name = "module:Class").

    gymnasium.make("palaestra/kuhn-v0", seat="player_0", others="greedy", level=1)      one learner
    pettingzoo.env_registry.registration.make("aec", "palaestra/kuhn-v0", level=1)
    pettingzoo.env_registry.registration.make("parallel", "palaestra/commons-v0")       where all act at once
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import operator
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import gymnasium
from pettingzoo.env_registry import registration as zoo

from palaestra.envs.adapters.foreign import FAMILIES
from palaestra.envs.script import ScriptedEnv
from palaestra.errors import UnknownNameError, nearest

BUILTIN: dict[str, str] = {
    "kuhn": "palaestra.envs.games.kuhn:Kuhn",
    "leduc": "palaestra.envs.games.leduc:Leduc",
    "matrix": "palaestra.envs.games.matrix:Matrix",
    "liars_dice": "palaestra.envs.games.liars_dice:LiarsDice",
    "tictactoe": "palaestra.envs.games.tictactoe:TicTacToe",
    "connect4": "palaestra.envs.games.connect4:Connect4",
    "diplomacy_mini": "palaestra.envs.games.diplomacy_mini:DiplomacyMini",
    "haggle": "palaestra.envs.negotiation.haggle:Haggle",
    "multi_issue": "palaestra.envs.negotiation.multi_issue:MultiIssue",
    "coalition": "palaestra.envs.negotiation.coalition:Coalition",
    "debate": "palaestra.envs.debate.debate:Debate",
    "commons": "palaestra.envs.social.commons:Commons",
    "lemons": "palaestra.envs.social.lemons:Lemons",
    "dyad": "palaestra.envs.social.dyad:Dyad",
    "secret": "palaestra.envs.social.secret:Secret",
    "taboo": "palaestra.envs.social.taboo:Taboo",
    "undercover": "palaestra.envs.social.undercover:Undercover",
    "arithmetic": "palaestra.envs.tools.arithmetic:Arithmetic",
    "python_tests": "palaestra.envs.tools.python_tests:PythonTests",
    "craft": "palaestra.envs.embodied.craft:Craft",
    "manor": "palaestra.envs.embodied.manor:Manor",
    "lab": "palaestra.envs.embodied.lab:Lab",
    "scene": "palaestra.envs.social.scene:Scene",
    "grid": "palaestra.envs.embodied.grid:Grid",
    "household": "palaestra.envs.embodied.household:Household",
    "kitchen": "palaestra.envs.embodied.kitchen:Kitchen",
    "sql": "palaestra.envs.tools.sql:Sql",
    "critic": "palaestra.envs.tools.critic:Critic",
    "verdict": "palaestra.envs.debate.verdict:Verdict",
    "prover": "palaestra.envs.debate.prover:Prover",
    "service": "palaestra.envs.social.service:Service",
    "public_goods": "palaestra.envs.social.public_goods:PublicGoods",
    "api": "palaestra.envs.tools.api:Api",
    "hidden_profile": "palaestra.envs.social.hidden_profile:HiddenProfile",
    "backscatter": "palaestra.envs.social.backscatter:Backscatter",
    "moral": "palaestra.envs.social.moral:Moral",
    "werewolf": "palaestra.envs.social.werewolf:Werewolf",
    "redteam": "palaestra.envs.social.redteam:Redteam",
    "opinion": "palaestra.envs.social.opinion:Opinion",
    "assembly": "palaestra.envs.social.assembly:Assembly",
}
SIMULTANEOUS = ("commons", "verdict", "public_goods", "hidden_profile", "matrix", "kitchen", "opinion", "assembly")
"""The built-in environments with a parallel interface, said here so that none is imported to find out."""
_added: dict[str, str] = {}


def register(name: str, target: str | type[ScriptedEnv]) -> None:
    """Make `name` mean a class, in this process, and `palaestra/<name>-v0` for Gymnasium and PettingZoo."""
    _added[name] = target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
    publish(name, parallel=not isinstance(target, str) and target.simultaneous)


def publish(name: str, *, parallel: bool) -> None:
    """Register `palaestra/<name>-v0` with gymnasium and with PettingZoo. Nothing is imported until it is made."""
    full, views, kwargs = f"palaestra/{name}-v0", "palaestra.envs.views", {"env": name}
    if full not in gymnasium.registry:
        gymnasium.register(full, entry_point=f"{views}:make_single", kwargs=kwargs)
    if full not in zoo.aec_registry:
        zoo.register("aec", full, f"{views}:make_aec", kwargs=kwargs)
    if parallel and full not in zoo.parallel_registry:
        zoo.register("parallel", full, f"{views}:make_parallel", kwargs=kwargs)


@functools.cache
def _installed() -> dict[str, str]:
    """What other installed packages add."""
    return {e.name: e.value for e in entry_points(group="palaestra.envs")}


def names() -> list[str]:
    """Every short name: built in, added by installed packages, or registered here."""
    return sorted({**BUILTIN, **_installed(), **_added})


def env_class(name: str) -> type[ScriptedEnv]:
    """The class behind an id.

    Raises:
        UnknownNameError: nothing is registered under it, or the class is not in the module.
    """
    short = name.removeprefix("palaestra/").removesuffix("-v0")
    known = {**BUILTIN, **_installed(), **_added}
    target = known.get(short, name)
    family, slash, rest = target.partition("/")
    if slash and family in FAMILIES:  # "openspiel/kuhn_poker": another library's environment
        member: type[ScriptedEnv] = _module(FAMILIES[family]).member(rest)
        return member
    module, colon, attribute = (target, ":", "") if target.endswith(".py") else target.rpartition(":")
    if not colon:
        raise UnknownNameError(
            f"no environment {name!r}\n  an id is a short name, module:Class or file.py:Class\n"
            f"  {nearest(short, known)}"
        )
    try:
        loaded = _module(module)
    except (ImportError, OSError) as error:
        raise UnknownNameError(f"environment {name!r}: cannot import {module}: {error}") from error
    classes = env_classes(loaded)
    if not attribute and len(classes) != 1:
        which = f"{len(classes)} of them in the file" if classes else "none in the file"
        right = ", ".join(f"{name}:{c}" for c in classes) or "write class NAME(ScriptedEnv)"
        raise UnknownNameError(f"environment {name!r}: {which}\n  {right}")
    attribute = attribute or classes[0]
    try:
        found = operator.attrgetter(attribute)(loaded)
    except AttributeError:
        raise UnknownNameError(
            f"environment {name!r}: no {attribute} in {module}\n  {nearest(attribute, classes)}"
        ) from None
    lasting = absolute(f"{module}:{attribute}")
    if isinstance(found, type) and issubclass(found, ScriptedEnv):
        if module.endswith(".py") and not found.__dict__.get("env_id"):
            found.env_id = lasting  # a record names what another process can find
        return found
    from palaestra.envs.adapters.farama import adapt  # only where it is needed

    return adapt(found, lasting)


def absolute(name: str, folder: Path = Path()) -> str:
    """The id with a file's path made absolute: from the working directory or, where it is not there, from `folder`."""
    module, end, attribute = name.rpartition(".py")
    if not end or attribute[:1] not in ("", ":"):
        return name
    path = Path(module + end)
    return f"{(path if path.exists() else folder / path).resolve()}{attribute}"


def env_classes(module: Any) -> list[str]:
    """Names of the environments that a module defines itself."""
    classes = {n: c for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, ScriptedEnv)}
    return [n for n, c in classes.items() if c.__module__ == module.__name__]


def _module(name: str) -> Any:
    """An importable module, or a Python file by its path (imported once under a name made from the path)."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    alias = "palaestra_file_" + "".join(c if c.isalnum() else "_" for c in str(path))
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, path)
    if spec is None or spec.loader is None or not path.exists():
        raise OSError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def make(name: str, **params: Any) -> ScriptedEnv:
    """An environment by id, with its parameters."""
    return env_class(name)(**params)


for _name in {**BUILTIN, **_installed()}:
    publish(_name, parallel=_name in SIMULTANEOUS)
