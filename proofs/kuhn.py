"""Kuhn poker by step: mirror play, a uniform league, a slow reference, and both; choosing among moves and in free text.

Exploitability is NashConv in chips, exact, of the last policy and of the equal mixture of the league's pool. Uniform
play has 0.917, the best play that ignores its card 0.667, equilibrium 0.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from palaestra.alignment.exploit import game_tree
from proofs.common import SEEDS, Cell, run_cells, table, value, write

ARMS: dict[str, tuple[str, ...]] = {
    "mirror": ("recipe.kl=none",),
    "uniform league": ("recipe.kl=none", "league.matchmaking=uniform"),
    "slow reference": (),
    "slow reference and league": ("league.matchmaking=uniform",),
}
MODES: dict[str, tuple[str, ...]] = {"choosing": ("kuhn_selfplay",), "free text": ("kuhn_selfplay:text",)}


def main() -> None:
    """All arms in both modes, ten seeds."""
    cells = [
        Cell(scenario, seed, (*settings, "league.every=10", "eval.every=25", "eval.instances=20"), f"{mode}, {arm}")
        for mode, (scenario,) in MODES.items()
        for arm, settings in ARMS.items()
        for seed in SEEDS
    ]
    results = run_cells(cells, keep=Path("docs/proofs/cells/kuhn.jsonl"))
    tree = game_tree("kuhn")
    cfr = [(n, tree.nashconv(tree.cfr(n))) for n in (10, 100, 1000, 10000)]
    groups = {label: [r for r in results if r["label"] == label] for label in dict.fromkeys(c.label for c in cells)}
    write("kuhn", {"cfr": cfr, "bars": bars(groups), "cells": results}, page(groups, cfr))


def bars(groups: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What is owed: with the slow reference and choosing among moves."""
    slow = [value(r, -1) for r in groups["choosing, slow reference"]]
    mirror = [value(r, -1) for r in groups["choosing, mirror"]]
    return {
        "at most 0.20 at every seed": max(slow) <= 0.20,
        "mean at most 0.13": fmean(slow) <= 0.13,
        "mirror at least twice that": fmean(mirror) >= 2 * fmean(slow),
    }


def page(groups: dict[str, list[dict[str, Any]]], cfr: list[tuple[int, float]]) -> str:
    """Everything, as text."""
    head = ("arm", *map(str, SEEDS), "mean", "worst", "pool, mean")
    rows = []
    for label, found in groups.items():
        last = [value(r, -1) for r in found]
        pool = [value(r, -1, "nashconv_pool") for r in found]
        rows.append(
            (label, *(f"{v:.3f}" for v in last), f"{fmean(last):.3f}", f"{max(last):.3f}", f"{fmean(pool):.3f}")
        )
    text = [
        "# Kuhn poker by self-play",
        "",
        __doc__ or "",
        "",
        "NashConv of the last policy by seed:",
        "",
        table(head, rows),
    ]
    text += ["", "Bars: " + "; ".join(f"{k}: {'met' if v else 'missed'}" for k, v in bars(groups).items()) + "."]
    text += ["", "CFR+ on the same tree, by iterations: " + ", ".join(f"{n}: {v:.5f}" for n, v in cfr) + "."]
    text += ["", "## By step (mean over seeds: last policy / pool)", ""]
    steps = [c["step"] for c in next(iter(groups.values()))[0]["curve"]]
    rows = []
    for label, found in groups.items():
        cells = []
        for step in steps:
            points = [c for r in found for c in r["curve"] if c["step"] == step]
            pool = [p["eval/nashconv_pool"] for p in points if "eval/nashconv_pool" in p]
            mean = fmean(p["eval/nashconv"] for p in points) if points else float("nan")
            cells.append(f"{mean:.2f}" + (f" / {fmean(pool):.2f}" if pool else ""))
        rows.append((label, *cells))
    return "\n".join([*text, table(("arm", *map(str, steps)), rows)])
