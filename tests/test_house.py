"""How the house stands: no floor imports the one above, and what is public stays as it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import palaestra

PACKAGE = Path(palaestra.__file__).parent
FLOORS = (("errors",), ("envs",), ("agents",), ("alignment",), ("scenarios",), ("view",), ("cli", "demo", "__main__"))
"""From the ground up. A module may import its own floor and those before it."""
HEIGHT = {name: height for height, names in enumerate(FLOORS) for name in names}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "templates" not in p.parts)


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of palaestra that a module imports, anywhere in it; the package itself gives no floor."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
            if node.module == "palaestra":
                found |= {f"palaestra.{alias.name}" for alias in node.names}
    parts = {name.split(".")[1] for name in found if name.startswith("palaestra.")}
    return parts & HEIGHT.keys()


def test_every_module_stands_on_a_floor() -> None:
    assert {floor_of(p) for p in MODULES} - {"__init__"} == HEIGHT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_goes_upward(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        pytest.skip("the package offers names of every floor, imported when they are first used")
    upward = {part for part in imported(path) if HEIGHT[part] > HEIGHT[floor_of(path)]}
    assert not upward, f"{path.relative_to(PACKAGE)} imports {sorted(upward)}"


def test_an_upward_import_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from palaestra.view.report import write_report\n    import palaestra.cli\n")
    assert imported(file) == {"view", "cli"}


def after(code: str) -> set[str]:
    """The top-level modules that a fresh process has imported when `code` has run."""
    show = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})), file=sys.stderr)"
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


HEAVY = {"torch", "transformers", "peft", "tokenizers"}


def test_environments_and_scripted_play_need_no_torch() -> None:
    imports = "import palaestra.envs.conformance, palaestra.envs.views, palaestra.envs.adapters.farama"
    every = "from palaestra.envs.registry import BUILTIN, env_class\nfor name in BUILTIN: env_class(name)"
    play = "import palaestra\npalaestra.play('kuhn', cast='random', seed=7)"
    assert not HEAVY & after("\n".join((imports, every, play)))


def test_help_imports_neither_torch_nor_transformers_nor_numpy() -> None:
    assert not (HEAVY | {"numpy", "gymnasium"}) & after("from palaestra.cli import main\nmain(['--help'])")
    assert not HEAVY & after("import palaestra")


def test_the_public_names_are_these() -> None:
    assert palaestra.__all__ == [
        "Episode", "PalaestraError", "Request", "Scenario", "Script", "ScriptedEnv",
        "make", "names", "play", "read_episodes", "register", "verify",
    ]  # fmt: skip
    for name in palaestra.__all__:
        thing = getattr(palaestra, name)
        assert thing.__doc__ or name == "Script", f"{name} has no docstring"  # Script is an alias of a Generator


def test_the_commands_and_their_flags_are_these() -> None:
    from typer.main import get_command

    from palaestra.cli import app

    common = {"--help"}
    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = {
        name: sorted(opt for p in command.params for opt in p.opts if opt.startswith("--") and opt not in common)
        for name, command in sorted(commands.items())
    }
    assert len(found) <= 14
    assert found == {
        "check": ["--all", "--jobs", "--json", "--thorough", "--update"],
        "diff": ["--exact", "--json"],
        "doctor": ["--json"],
        "eval": ["--against", "--baseline", "--json", "--n", "--policy", "--set"],
        "list": ["--json"],
        "new": ["--kind", "--out"],
        "play": ["--cast", "--json", "--save", "--seed", "--set"],
        "replay": ["--as", "--cast", "--episode", "--json", "--save", "--until", "--verify"],
        "resume": ["--dry-run", "--json", "--set"],
        "serve": ["--as", "--others", "--port", "--save", "--seat", "--set"],
        "train": ["--dry-run", "--json", "--out", "--set"],
    }


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(p.relative_to(PACKAGE)) for p in MODULES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []
