"""Bargaining under own rewards, by step: the collapse of mirror play, and what was tried against it.

Both seats are one policy that is paid its own surplus. Mirror play learns to trade, and sooner or later holds out until
little is traded. Charted: the share of possible gains from trade that is realised (efficiency) in self-play.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from proofs.common import SEEDS, Cell, interval, run_cells, table, value, write

ARMS: dict[str, tuple[str, ...]] = {
    "mirror": ("recipe.kl=none",),
    "slow reference": (),
    "mirror, step size decayed": ("recipe.kl=none", "recipe.decay=true"),
    "uniform league": ("recipe.kl=none", 'league.matchmaking="uniform"'),
    "shared reward": ("env_params.joint=true", "eval.params.joint=false"),
}


def main() -> None:
    """All arms, ten seeds. Finished cells are kept: it can be cut and called again."""
    cells = [
        Cell("haggle_selfplay", seed, (*settings, "eval.every=10", "eval.against=[]", "eval.instances=60"), arm)
        for arm, settings in ARMS.items()
        for seed in SEEDS
    ]
    results = run_cells(cells, keep=Path("docs/proofs/cells/haggle.jsonl"))
    groups = {arm: [r for r in results if r["label"] == arm] for arm in ARMS}
    write("haggle", {"cells": results}, page(groups))


def page(groups: dict[str, list[dict[str, Any]]]) -> str:
    """Every cell, and the means by step."""
    measure = "efficiency"
    head = ("arm", *map(str, SEEDS), "mean at the end")
    rows = [
        (arm, *(f"{value(r, -1, measure):.2f}" for r in found), interval([value(r, -1, measure) for r in found]))
        for arm, found in groups.items()
    ]
    steps = [c["step"] for c in next(iter(groups.values()))[0]["curve"]]
    curves = []
    for arm, found in groups.items():
        means = [fmean(c[f"eval/{measure}"] for r in found for c in r["curve"] if c["step"] == s) for s in steps]
        curves.append((arm, *(f"{m:.2f}" for m in means)))
    return "\n".join(
        [
            "# Own-reward bargaining",
            "",
            __doc__ or "",
            "",
            "Efficiency at the last step by seed:",
            "",
            table(head, rows),
        ]
        + ["", "By step (mean over seeds):", "", table(("arm", *map(str, steps)), curves)]
    )


if __name__ == "__main__":
    main()
