"""What the proofs share: runs side by side in processes, and tables."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import torch
import transformers

SEEDS = tuple(range(10))
"""Fixed here; nothing was tuned on them. Exploration used seeds of 100 and above."""
OUT = Path("docs/proofs")
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Student's t, two-sided 95 %, by number of values."""


class Cell(NamedTuple):
    """One training run: a scenario (or twin), settings, a seed."""

    scenario: str
    seed: int
    settings: tuple[str, ...] = ()
    label: str = ""


def train_cell(cell: Cell, also: Callable[[Any], dict[str, Any]] = lambda run: {}) -> dict[str, Any]:
    """Train one cell in this process; every evaluation's numbers, the paired difference to the start, and whatever
    `also` reads from the run before it is thrown away."""
    from palaestra.alignment.evaluate import paired
    from palaestra.scenarios.runs import train
    from palaestra.scenarios.scenario import Scenario

    settings = [f"run.seed={cell.seed}", "run.record=false", "run.checkpoint_every=1000000", *cell.settings]
    scenario = Scenario.load(cell.scenario, settings)
    folder = Path(tempfile.mkdtemp(prefix="palaestra-proof-"))
    began, cpu = time.perf_counter(), time.process_time()
    try:
        run = train(scenario, folder / "run")
        lines = [m for m in run.metrics() if "eval/return" in m]
        last = lines[-1]["step"]
        gold = paired(run.gold(last), run.gold(0))
        curve = [{k: v for k, v in m.items() if k.startswith("eval/") or k == "step"} for m in lines]
        return {
            **cell._asdict(),
            "measure": scenario.eval.measure,
            "goal": scenario.eval.goal,
            "curve": curve,
            "difference": gold._asdict(),
            "forfeited": run.metrics()[-1].get("forfeited", 0.0),
            "seconds": round(time.perf_counter() - began, 1),
            "cpu_s": round(time.process_time() - cpu, 1),
            **also(run),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start_cell(cell: Cell) -> dict[str, Any]:
    """Build one cell and measure where it starts; nothing is trained after the cloning."""
    from palaestra.scenarios.build import build
    from palaestra.scenarios.runs import measure
    from palaestra.scenarios.scenario import Scenario

    scenario = Scenario.load(cell.scenario, [f"run.seed={cell.seed}", *cell.settings])
    cpu = time.process_time()
    found, result = measure(scenario, build(scenario))
    return {
        **cell._asdict(),
        "measure": scenario.eval.measure,
        "curve": [{"step": 0, **found}],
        "failed": result.failed,
        "cpu_s": round(time.process_time() - cpu, 1),
    }


def run_cells(
    cells: Sequence[Cell],
    workers: int | None = None,
    keep: Path | None = None,
    run: Callable[[Cell], dict[str, Any]] = train_cell,
) -> list[dict[str, Any]]:
    """All cells, `workers` (default: one a core) at a time; results in the order of the cells.

    With `keep`, finished cells are written there one by one, and a second call goes on where the first was cut.
    """
    done: dict[str, dict[str, Any]] = {}
    if keep:
        done = {_name(Cell(r["scenario"], r["seed"], tuple(r["settings"]), r["label"])): r for r in kept(keep)}
    left = [c for c in cells if _name(c) not in done]
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run, cell): cell for cell in left}
        for future in as_completed(futures):
            if error := future.exception():  # the others go on, and are kept
                print(f"  {_name(futures[future])}: {error}", flush=True)
                continue
            result = future.result()
            done[_name(futures[future])] = result
            if keep:
                add(keep, result)
            first, last = value(result, 0), value(result, -1)
            print(f"  {_name(futures[future])}: {first:.3f} -> {last:.3f}  {result['cpu_s']} cpu s", flush=True)
    if lost := [_name(c) for c in cells if _name(c) not in done]:
        raise SystemExit(f"{len(lost)} cells failed: {', '.join(lost)}")
    return [done[_name(c)] for c in cells]


def value(result: dict[str, Any], index: int, measure: str | None = None) -> float:
    """The measure at an evaluation of a cell."""
    return float(result["curve"][index].get(f"eval/{measure or result['measure']}", math.nan))


def interval(values: Sequence[float]) -> str:
    """Mean and 95 % t-interval over seeds."""
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else "-"
    half = T95.get(len(values), 1.96) * stdev(values) / math.sqrt(len(values))
    return f"{fmean(values):+.3f} [{fmean(values) - half:+.3f}, {fmean(values) + half:+.3f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads_a_run": 1,
    }


def write(name: str, data: Any, text: str) -> None:
    """The result of a proof: `docs/proofs/<name>.json` and `.md`."""
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps({"machine": machine(), **data}, indent=1) + "\n")
    (OUT / f"{name}.md").write_text(text.rstrip() + "\n")
    print(f"wrote {OUT / name}.md", flush=True)


def _name(cell: Cell) -> str:
    return " ".join([cell.label or cell.scenario, f"seed {cell.seed}", *cell.settings])


def kept(path: Path) -> list[Any]:
    """What `add` wrote to a file; nothing where there is none yet."""
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def add(path: Path, result: Any) -> None:
    """Keep a result, a line of JSON, so that a proof that is cut goes on behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


Proof = Callable[[], None]
