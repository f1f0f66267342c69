"""Kuhn poker by step: mirror play, a uniform league, a slow reference, and both; choosing among moves and in free text.

Exploitability is NashConv in chips, exact, of the last policy and of the equal mixture of the league's pool. Uniform
play has 0.917, the best play that ignores its card 0.667, equilibrium 0.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from palaestra.alignment.exploit import game_tree
from proofs.common import OUT, SEEDS, Cell, kept, run_cells, table, value, write

ARMS: dict[str, tuple[str, ...]] = {
    "mirror": ("recipe.kl=none",),
    "uniform league": ("recipe.kl=none", "league.matchmaking=uniform"),
    "slow reference": (),
    "slow reference and league": ("league.matchmaking=uniform",),
}
MODES: dict[str, tuple[str, ...]] = {"choosing": ("kuhn_selfplay",), "free text": ("kuhn_selfplay:text",)}


CELLS = OUT / "cells" / "kuhn.jsonl"


def main() -> None:
    """All arms in both modes, ten seeds. Finished cells are kept: it can be cut and called again."""
    cells = [
        Cell(scenario, seed, (*settings, "league.every=10", "eval.every=25", "eval.instances=20"), f"{mode}, {arm}")
        for mode, (scenario,) in MODES.items()
        for arm, settings in ARMS.items()
        for seed in SEEDS
    ]
    run_cells(cells, keep=CELLS)
    report()


def report() -> None:
    """The tables of the cells that are there."""
    results = kept(CELLS)
    tree = game_tree("kuhn")
    cfr = [(n, tree.nashconv(tree.cfr(n))) for n in (10, 100, 1000, 10000)]
    groups: dict[str, dict[int, dict[str, Any]]] = {}
    for mode in MODES:
        for arm in ARMS:
            label = f"{mode}, {arm}"
            if found := {r["seed"]: r for r in results if r["label"] == label}:
                groups[label] = dict(sorted(found.items()))
    write("kuhn", {"cfr": cfr, "bars": bars(groups), "cells": results}, page(groups, cfr))


def last(found: dict[int, dict[str, Any]], measure: str = "nashconv") -> list[float]:
    """The measure at the last step, by seed."""
    return [value(r, -1, measure) for r in found.values()]


def bars(groups: dict[str, dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """What is owed: with the slow reference and choosing among moves."""
    slow, mirror = last(groups["choosing, slow reference"]), last(groups["choosing, mirror"])
    return {
        "slow reference, ten seeds": len(slow) == len(SEEDS),
        "at most 0.20 at every seed": max(slow) <= 0.20,
        "mean at most 0.13": fmean(slow) <= 0.13,
        "mirror at least twice that": fmean(mirror) >= 2 * fmean(slow),
    }


def page(groups: dict[str, dict[int, dict[str, Any]]], cfr: list[tuple[int, float]]) -> str:
    """Everything, as text."""
    head = ("arm", *map(str, SEEDS), "mean", "worst", "pool, mean")
    rows = []
    for label, found in groups.items():
        shown = [f"{value(found[s], -1):.3f}" if s in found else "not run" for s in SEEDS]
        pool = fmean(last(found, "nashconv_pool"))
        rows.append((label, *shown, f"{fmean(last(found)):.3f}", f"{max(last(found)):.3f}", f"{pool:.3f}"))
    text = ["# Kuhn poker by self-play", "", __doc__ or "", "", "NashConv of the last policy by seed:", ""]
    text += [table(head, rows), "", "Bars: "]
    text[-1] += "; ".join(f"{k}: {'met' if v else 'missed'}" for k, v in bars(groups).items()) + "."
    text += ["", "CFR+ on the same tree, by iterations: " + ", ".join(f"{n}: {v:.5f}" for n, v in cfr) + "."]
    text += ["", "## By step (mean over seeds: last policy / pool)", ""]
    steps = sorted({c["step"] for found in groups.values() for r in found.values() for c in r["curve"]})
    rows = []
    for label, found in groups.items():
        cells = []
        for step in steps:
            points = [c for r in found.values() for c in r["curve"] if c["step"] == step]
            pooled = [p["eval/nashconv_pool"] for p in points if "eval/nashconv_pool" in p]
            mean = f"{fmean(p['eval/nashconv'] for p in points):.2f}" if points else ""
            cells.append(mean + (f" / {fmean(pooled):.2f}" if pooled else ""))
        rows.append((label, *cells))
    return "\n".join([*text, table(("arm", *map(str, steps)), rows)])
