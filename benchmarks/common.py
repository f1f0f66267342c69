"""What the benchmarks share: sides measured in turns, the machine, the table.

Machines are busy and figures of different hours do not compare. So the sides of a comparison take turns in one run
(A B A B ...), each round gives one ratio, and the median over rounds is reported. Rates are per second of this
process's CPU time where both sides run in it, which other processes on the machine disturb least; wall time is kept
beside it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
HEAD = ("what", "figure", "against", "ratio", "aim", "")
PACKAGES = ("numpy", "gymnasium", "pettingzoo", "torch", "transformers", "peft")


class Side(NamedTuple):
    """What one side of a comparison did: one entry a round."""

    units: list[float]
    cpu_s: list[float]
    wall_s: list[float]

    def rate(self, clock: str = "cpu") -> float:
        """Median units a second."""
        seconds = self.cpu_s if clock == "cpu" else self.wall_s
        return median(u / max(s, 1e-9) for u, s in zip(self.units, seconds, strict=True))

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return {"cpu_rate": round(self.rate("cpu"), 1), "wall_rate": round(self.rate("wall"), 1), **self._asdict()}


def in_turns(
    sides: Mapping[str, Callable[[], float]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
    *,
    warm: bool = True,
) -> dict[str, Side]:
    """Run every side once to warm up, then all of them `rounds` times in turns. A side returns the units it did.

    `clock` gives the CPU seconds so far: of this process, or of others with it. Without `warm` they are warm already.
    """
    for side in sides.values() if warm else ():
        side()
    out = {name: Side([], [], []) for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), clock()
            units = side()
            out[name].cpu_s.append(round(clock() - cpu, 5))
            out[name].wall_s.append(round(time.perf_counter() - wall, 5))
            out[name].units.append(units)
    return out


def ratio(a: Side, b: Side, clock: str = "cpu") -> float:
    """How many times faster `a` is than `b`: the median over rounds."""

    def rates(side: Side) -> list[float]:
        seconds = side.cpu_s if clock == "cpu" else side.wall_s
        return [u / max(s, 1e-9) for u, s in zip(side.units, seconds, strict=True)]

    return median(x / y for x, y in zip(rates(a), rates(b), strict=True))


def row(
    what: str, figure: str, against: str = "", times: float | None = None, aim: str = "", met: bool = True
) -> list[str]:
    """A line of the table. `met` counts only where there is an aim."""
    shown = "" if times is None else f"{times:.2f}"
    return [what, figure, against, shown, aim, "" if not aim else "met" if met else "missed"]


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def save(name: str, result: Mapping[str, Any], folder: Path) -> None:
    """`<folder>/<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"machine": machine(), **result}
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")


def readme(names: Iterable[str], folder: Path) -> None:
    """The table of all results that are there: `README.md` beside the folder of the results."""
    parts = ["# Speed\n", __doc__.split("\n\n", 1)[1].strip() + "\n"]
    parts.append("Written by `make bench` (`python -m benchmarks [name ...]`) from `results/`; do not edit.\n")
    for name in names:
        path = folder / f"{name}.json"
        if path.exists():
            data = json.loads(path.read_text())
            m = data["machine"]
            parts += [f"## {name}\n", data["about"] + "\n", table(HEAD, data["rows"]) + "\n"]
            parts += [f"{note}\n" for note in data.get("notes", [])]
            parts.append(
                f"{m['cpu']}, {m['cores']} cores, {m['threads']} thread(s), load {m['load_1min']}; "
                f"Python {m['python']}, torch {m['torch']}, transformers {m['transformers']}, "
                f"PettingZoo {m['pettingzoo']}, Gymnasium {m['gymnasium']}.\n"
            )
    (folder.parent / "README.md").write_text("\n".join(parts).rstrip() + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, cells)) + " |" for cells in rows)])
