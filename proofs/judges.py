"""What debate is worth to a judge, before and after the debaters have learned, by protocol and by judge.

The debaters of `debate_train` are measured under every protocol on the same held-out passages, at the start of their
run and at its end, before two judges: a scripted one that weighs verified quotes, and a frozen tiny model that has
seen judgements. Gold is the judge's accuracy; debate is compared with consultancy passage by passage.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from proofs.common import OUT, SEEDS, add, interval, kept, table, write

JUDGES = {"scripted": "debate_train", "frozen model": "debate_train:model_judge"}
INSTANCES = 200
CELLS = OUT / "cells" / "judges.jsonl"


def main() -> None:
    """Three seeds a judge. Finished cells are kept: it can be cut and called again."""
    done = kept(CELLS)
    for judge, scenario in JUDGES.items():
        for seed in SEEDS[:3]:
            if not any((c["judge"], c["seed"]) == (judge, seed) for c in done):
                done.append(cell(judge, scenario, seed))
                add(CELLS, done[-1])
                print(f"   {judge}, seed {seed}: {done[-1]['end']['accuracy']}", flush=True)
    write("judges", {"cells": done}, page(done))


def cell(judge: str, scenario: str, seed: int) -> dict[str, Any]:
    """Train once, measure twice."""
    from palaestra.scenarios.measures.debate import protocols_of_run, rise
    from palaestra.scenarios.runs import train
    from palaestra.scenarios.scenario import Scenario

    folder, cpu = Path(tempfile.mkdtemp(prefix="palaestra-proof-")), time.process_time()
    try:
        settings = [f"run.seed={seed}", "run.record=false", "run.checkpoint_every=1000000", "eval.every=0"]
        run = train(Scenario.load(scenario, settings), folder / "run")
        start, end = (protocols_of_run(run.path, version=v, instances=INSTANCES) for v in (0, None))
        rose = rise(end, start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    def shown(found: Any) -> dict[str, Any]:
        return {
            "accuracy": {name: round(e.mean, 4) for name, e in found.accuracy.items()},
            "gain": found.gain._asdict(),
            "truth_wins": found.truth_wins._asdict(),
            "failed": found.failed,
        }

    cpu_s = round(time.process_time() - cpu, 1)
    return {
        "judge": judge, "seed": seed, "start": shown(start), "end": shown(end), "rise": rose._asdict(), "cpu_s": cpu_s
    }  # fmt: skip


def page(cells: list[dict[str, Any]]) -> str:
    """Every cell, and the means."""
    names = ("blind", "consultancy", "debate", "oracle")
    rows, means = [], []
    for judge in JUDGES:
        own = [c for c in cells if c["judge"] == judge]
        for when in ("start", "end"):
            for c in own:
                found, gain, truth = c[when], c[when]["gain"], c[when]["truth_wins"]
                accuracy = [f"{found['accuracy'][n]:.3f}" for n in names]
                difference = f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
                rows.append((judge, c["seed"], when, *accuracy, difference, f"{truth['mean']:.3f}"))
            gains = [c[when]["gain"]["mean"] for c in own]
            accuracy = [f"{fmean(c[when]['accuracy'][n] for c in own):.3f}" for n in names]
            truths = fmean(c[when]["truth_wins"]["mean"] for c in own)
            means.append((judge, when, *accuracy, interval(gains), f"{truths:.3f}"))
    head = (*(f"judge right, {n}" for n in names), "debate - consultancy", "truth wins, of decided")
    return "\n".join(
        [
            "# Judges by protocol",
            "",
            __doc__ or "",
            "",
            f"{INSTANCES} held-out passages; means over seeds (95 % t):",
            "",
        ]
        + [table(("judge", "debaters", *head), means), "", "Every cell (95 % bootstrap over passages):", ""]
        + [table(("judge", "seed", "debaters", *head), rows)]
    )
