"""Learning from episodes that were begun up to S steps before, against the synchronous loop, at equal episodes.

S = 0 is the synchronous loop. Nothing else differs between the rows, the step size neither; only the last row has
another objective, and was added when the one before it was seen. What was said before the runs: a row is within the
noise if its mean over the seeds lies within two standard deviations (of single synchronous runs, over seeds) of the
synchronous mean. The first time three seeds were run: three synchronous Kuhn runs lay within 0.017 of each other, a
fourth outside, and no row of Kuhn was within. So all was run again at ten seeds, under the same rule. It is a wide
one: *against S = 0* is the mean of the paired differences, seed by seed, with its 95 % interval, and sees more.

Of every run it is counted how many of the episodes that were begun were trained on, how old they were, and how long
they were in the mean. *Seconds* is the mean of a run's wall time, two runs at a time on two cores: rollout and learning
of one run have no core each, so overlapping can gain little here; alone on the machine it does: `pipeline.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from palaestra.alignment.run import RunDir
from palaestra.envs.transcript import Said
from proofs.common import SEEDS, Cell, interval, run_cells, table, train_cell, value, write

SCENARIOS = ("kuhn_selfplay", "haggle_selfplay")
ARMS: dict[str, tuple[str, ...]] = {
    **{str(s): (f"recipe.staleness={s}", "run.record=true") for s in (0, 1, 2, 4)},
    "4, decoupled": ("recipe.staleness=4", "run.record=true", "recipe.objective=decoupled"),
}
COUNTED = ("oldest", "age", "trained on", "turns", "seconds")


def main() -> None:
    """All cells, seed by seed. Finished cells are kept."""
    cells = [
        Cell(name, seed, settings, f"{name} S={arm}")
        for arm, settings in ARMS.items()
        for seed in SEEDS
        for name in SCENARIOS
    ]
    results = run_cells(cells, keep=Path("docs/proofs/cells/staleness.jsonl"), run=old_cell)
    write("staleness", {"cells": results}, page(results))


def old_cell(cell: Cell) -> dict[str, Any]:
    """Train, and count what was trained on."""
    return train_cell(cell, also=counted)


def counted(run: RunDir) -> dict[str, Any]:
    """Episodes trained on, each counted once; the oldest weights in steps; turns an episode by when it was begun."""
    lines = [m for m in run.metrics() if "staleness" in m]
    episodes = list(run.episodes())
    turns = [sum(isinstance(e, Said) for e in episode.transcript.events) for episode in episodes]
    return {
        "trained_on": len({e.id for e in episodes}),
        "twice": len(episodes) - len({e.id for e in episodes}),
        "oldest": max(line["staleness"] for line in lines),
        "age": fmean(line["staleness"] for line in lines),
        "turns": fmean(turns),
    }


def page(results: Sequence[dict[str, Any]]) -> str:
    """Each scenario: the measure by S and seed, and what was counted."""
    parts = ["# Old episodes", "", __doc__ or ""]
    for name in SCENARIOS:
        groups = {arm: [r for r in results if r["label"] == f"{name} S={arm}"] for arm in ARMS}
        first = groups["0"][0]
        ends = {s: [value(r, -1) for r in found] for s, found in groups.items()}
        mean, spread = fmean(ends["0"]), stdev(ends["0"])
        at = sorted(r["seed"] for r in groups["0"])
        head = ("S", *(f"seed {seed}" for seed in at), "mean", "within", "against S = 0", *COUNTED)
        rows = [
            (
                s,
                *(f"{v:.3f}" for v in ends[s]),
                interval(ends[s]),
                "yes" if abs(fmean(ends[s]) - mean) <= 2 * spread else "no",
                interval([v - w for v, w in zip(ends[s], ends["0"], strict=True)]) if s != "0" else "",
                f"{max(r['oldest'] for r in found):.0f}",
                f"{fmean(r['age'] for r in found):.2f}",
                f"{min(r['trained_on'] for r in found)}, {sum(r['twice'] for r in found)} twice",
                f"{fmean(r['turns'] for r in found):.2f}",
                f"{fmean(r['seconds'] for r in found):.0f}",
            )
            for s, found in groups.items()
        ]
        start = fmean(value(r, 0) for r in groups["0"])
        parts += [
            f"## {name}",
            "",
            f"{first['measure']}, better is {'lower' if first['goal'] == 'min' else 'higher'}; {start:.3f} at the "
            f"start. Within: {mean:.3f} ± {2 * spread:.3f}.",
            "",
            table(head, rows),
            "",
        ]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
