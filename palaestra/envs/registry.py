"""Environment ids: from a name to a class, for palaestra, Gymnasium and PettingZoo.

An id is a short name (`kuhn`), its registered form (`palaestra/kuhn-v0`), `module:Class`, or `path/to/file.py:Class`.
Other packages add environments through the entry-point group `palaestra.envs` (name = "module:Class").
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from palaestra.envs.script import ScriptedEnv
from palaestra.errors import UnknownNameError, nearest

BUILTIN: dict[str, str] = {
    "kuhn": "palaestra.envs.games.kuhn:Kuhn",
    "tictactoe": "palaestra.envs.games.tictactoe:TicTacToe",
    "haggle": "palaestra.envs.negotiation.haggle:Haggle",
    "debate": "palaestra.envs.debate.debate:Debate",
    "commons": "palaestra.envs.social.commons:Commons",
    "arithmetic": "palaestra.envs.tools.arithmetic:Arithmetic",
    "python_tests": "palaestra.envs.tools.python_tests:PythonTests",
}
_added: dict[str, str] = {}


def register(name: str, target: str | type[ScriptedEnv]) -> None:
    """Make `name` mean a class, in this process."""
    _added[name] = target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def names() -> list[str]:
    """Every short name: built in, added by installed packages, or registered here."""
    return sorted({**BUILTIN, **{e.name: e.value for e in entry_points(group="palaestra.envs")}, **_added})


def env_class(name: str) -> type[ScriptedEnv]:
    """The class behind an id.

    Raises:
        UnknownNameError: nothing is registered under it, or the class is not in the module.
    """
    short = name.removeprefix("palaestra/").removesuffix("-v0")
    known = {**BUILTIN, **{e.name: e.value for e in entry_points(group="palaestra.envs")}, **_added}
    target = known.get(short, name)
    module, colon, attribute = target.rpartition(":")
    if not colon:
        raise UnknownNameError(
            f"no environment {name!r}\n  an id is a short name, module:Class or file.py:Class\n  {nearest(short, known)}"
        )
    try:
        found = getattr(_module(module), attribute)
    except (ImportError, OSError) as error:
        raise UnknownNameError(f"environment {name!r}: cannot import {module}: {error}") from error
    except AttributeError:
        classes = [n for n, c in vars(_module(module)).items() if isinstance(c, type) and issubclass(c, ScriptedEnv)]
        raise UnknownNameError(
            f"environment {name!r}: no {attribute} in {module}\n  {nearest(attribute, classes)}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, ScriptedEnv)):
        raise UnknownNameError(f"environment {name!r}: {attribute} is no ScriptedEnv")
    return found


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
