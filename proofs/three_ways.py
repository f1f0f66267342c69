"""One scenario file, run with the embedded engine, with vLLM, and on a Ray cluster of two nodes.

`three_ways.toml` is the file; between the ways only its `[engines.local]` and `[scale]` tables differ. Ten seeds of the
embedded engine give the band, and it was said before the others ran: a way is equivalent if the mean of its seeds lies
within two standard deviations of single embedded runs from their mean. On the cluster two workers play and two
processes share the learner's weights; in the last row each worker has a vLLM of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from proofs.common import SEEDS, Cell, interval, run_cells, table, train_cell, value, write
from proofs.parts import cluster

FILE = "proofs/three_ways.toml"
KEEP = Path("docs/proofs/cells/three_ways.jsonl")
VLLM = ("engines.local.kind=vllm", "engines.local.vllm.requests=64")
RAY = ("scale.rollouts=2", "scale.learners=2")
WAYS: dict[str, tuple[tuple[str, ...], Sequence[int]]] = {
    "embedded": ((), SEEDS),
    "vLLM": (VLLM, SEEDS[:3]),
    "Ray, two nodes": (RAY, SEEDS[:3]),
    "Ray, two nodes, vLLM": ((*VLLM, *RAY), SEEDS[:3]),
}


def main() -> None:
    """All ways. Needs `palaestra[scale,vllm]`: see `make prove-scale`."""
    results = []
    for way, (settings, seeds) in WAYS.items():
        cells = [Cell(FILE, seed, settings, way) for seed in seeds]
        if "scale.rollouts=2" not in settings:
            results += run_cells(cells, 2 if way == "embedded" else 1, KEEP)
            continue
        with cluster(cpus=2) as nodes:
            results += run_cells(cells, 1, KEEP, run=Elsewhere(nodes.address))
    write("three_ways", {"cells": results}, page(results))


class Elsewhere:
    """Trains a cell on a cluster. Where that is is no setting of the cell: it has another port each time."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, cell: Cell) -> dict[str, Any]:
        there = cell._replace(settings=(*cell.settings, f'scale.ray="{self.address}"'))
        return {**train_cell(there), **cell._asdict()}


def page(results: Sequence[dict[str, Any]]) -> str:
    """Every cell, and the band."""
    found = {way: [r for r in results if r["label"] == way] for way in WAYS}
    ends = {way: [value(r, -1) for r in cells] for way, cells in found.items()}
    mean, spread = fmean(ends["embedded"]), stdev(ends["embedded"])
    rows = [
        (
            way,
            " ".join(f"{v:.3f}" for v in values),
            interval(values),
            "yes" if abs(fmean(values) - mean) <= 2 * spread else "no",
            f"{fmean(r['seconds'] for r in found[way]):.0f}",
        )
        for way, values in ends.items()
    ]
    start = fmean(value(r, 0) for r in found["embedded"])
    head = ("way", "share of right answers at the end, by seed", "mean", "within", "seconds a run")
    return (
        f"# Three ways\n\n{__doc__}\nThe band: {mean:.3f} ± {2 * spread:.3f}; {start:.3f} at the start.\n\n"
        f"{table(head, rows)}\n"
    )


if __name__ == "__main__":
    main()
