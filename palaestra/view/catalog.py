"""What exists, for `palaestra list`, and on what machine, for `palaestra doctor`."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from palaestra import __version__

Entry = dict[str, Any]
PACKAGES = ("gymnasium", "pettingzoo", "numpy", "torch", "transformers", "peft", "safetensors", "pydantic-monty", "ray")


def envs() -> Iterator[Entry]:
    """One entry an environment that is built in or installed."""
    from palaestra.envs.registry import env_class, names
    from palaestra.errors import PalaestraError

    for name in names():
        try:
            cls = env_class(name)
            seats = list(cls().seats)
        except (PalaestraError, ImportError) as error:
            yield {"id": name, "about": f"cannot be loaded: {error}".partition("\n")[0]}
            continue
        about = (inspect.getdoc(cls) or "").partition("\n")[0]
        yield {
            "id": name,
            "seats": seats,
            "levels": list(cls.levels),
            "splits": list(cls.splits),
            "about": about,
        }


def scenarios() -> Iterator[Entry]:
    """One entry a scenario of the library."""
    from palaestra.scenarios.scenario import LIBRARY, library

    for name in library():
        data = tomllib.loads((LIBRARY / f"{name}.toml").read_text())
        yield {"id": name, "env": data["env"], "about": data.get("about", "")}


def runs(root: Path = Path("runs")) -> Iterator[Entry]:
    """One entry a run under `root`, read without opening its weights."""
    for file in sorted({*root.glob("*/run.json"), *root.glob("*/*/run.json")}):
        info = json.loads(file.read_text())
        metrics = file.with_name("metrics.jsonl")
        lines = [n for n in metrics.read_text().split("\n")[:-1] if n] if metrics.exists() else []
        last = json.loads(lines[-1]) if lines else {}
        yield {
            "id": str(file.parent),
            "status": info.get("status", "unknown"),
            "step": last.get("step", 0),
            "seconds": info.get("seconds", 0.0),
            "started": info.get("started", ""),
        }


CATALOGS: dict[str, Callable[[], Iterator[Entry]]] = {"envs": envs, "scenarios": scenarios, "runs": runs}


def line(entry: Entry) -> str:
    """An entry as one line: the id, what it has, what it is about."""
    parts = [f"{entry['id']:<16}"]
    for key, value in entry.items():
        if key == "seats":
            parts.append(f"{_short(value):<22}")
        elif key in ("levels", "splits"):
            parts.append(f"{'level ' * (key == 'levels')}{' '.join(map(str, value)):<{5 if key == 'levels' else 14}}")
        elif key in ("step", "seconds"):
            parts.append(f"{key} {value:<6}")
        elif key != "id":
            parts.append(f"{value:<12}")
    return "  ".join(parts).rstrip()


def _short(seats: list[str]) -> str:
    """Seats as roles with counts: `player_0 player_1`, or `5 villagers` as `villager x5`."""
    roles: dict[str, int] = {}
    for seat in seats:
        role = seat.rpartition("_")[0] or seat
        roles[role] = roles.get(role, 0) + 1
    return " ".join(role if count == 1 else f"{role} x{count}" for role, count in roles.items())


def examine() -> dict[str, str]:
    """Versions and hardware, each as a short text."""
    found = {
        "palaestra": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    train, monty = ("torch", "transformers", "peft", "safetensors"), ("pydantic-monty",)
    found["vllm"] = _vllm()
    for extra, needs in {"train": train, "monty": monty}.items():
        missing = [p for p in needs if found[p] == "not installed"]
        found[f"extra {extra}"] = f'missing: pip install "palaestra[{extra}]"' if missing else "present"
    found["cores"] = str(len(os.sched_getaffinity(0)) if "sched_getaffinity" in dir(os) else os.cpu_count())
    found["memory"] = _memory()
    found["bubblewrap"] = _bubblewrap()
    found["chromium"] = shutil.which("chromium") or shutil.which("google-chrome") or "not found"
    found["gpu"] = _gpu()
    return found


def _vllm() -> str:
    """Which vLLM is there, and whether the engine was tried with it."""
    from palaestra.agents.engines.vllm_transfer import installed
    from palaestra.errors import EngineError

    try:
        return installed()
    except EngineError as error:
        return str(error).partition("\n")[0]
    except ImportError:
        return "not installed"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return "unknown"


def _bubblewrap() -> str:
    """Being installed is not enough: where user namespaces are off, it cannot start anything."""
    path = shutil.which("bwrap")
    if not path:
        return "not found (python_tests needs it: apt install bubblewrap)"
    tried = _output([path, "--ro-bind", "/", "/", "--unshare-all", "true"])
    return path if tried is not None else f"{path}, but it cannot start a program here"


def _gpu() -> str:
    if (listed := _output(["nvidia-smi", "-L"])) is None:
        return "none found"
    return "; ".join(line.partition(" (UUID")[0] for line in listed.strip().splitlines()) or "none found"


def _output(command: list[str]) -> str | None:
    """Standard output, or None where the command is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
