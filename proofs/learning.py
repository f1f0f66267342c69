"""What each built-in scenario gains on a named gold number of held-out instances, beside its shuffled twin.

The runs of `kuhn_selfplay` are those of the proof `kuhn`, with the slow reference and choosing among moves.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from palaestra.scenarios.scenario import Scenario, library
from proofs.common import OUT, SEEDS, Cell, interval, kept, run_cells, table, value, write

UNIFORM, BLIND = 11 / 12, 2 / 3
CELLS = OUT / "cells" / "learning.jsonl"
KUHN = OUT / "cells" / "kuhn.jsonl"


def main() -> None:
    """Ten seeds a scenario, beside the twin. Finished cells are kept: it can be cut and called again."""
    pairs = [(f"{name}{twin}", seed) for seed in SEEDS for name in library() for twin in ("", ":shuffled")]
    known = _of_kuhn()
    run_cells([Cell(label, seed, ("eval.every=0",)) for label, seed in pairs if (label, seed) not in known], keep=CELLS)
    report()


def report() -> None:
    """The tables of the cells that are there; a seed counts where scenario and twin have it."""
    results = kept(CELLS)
    found = {(r["scenario"], r["seed"]): r for r in results} | _of_kuhn()
    by_name = {}
    for name in library():
        seeds_there = [s for s in SEEDS if (name, s) in found and (f"{name}:shuffled", s) in found]
        if seeds_there:
            by_name[name] = [[found[label, s] for s in seeds_there] for label in (name, f"{name}:shuffled")]
    summary = [row(name, main, twin) for name, (main, twin) in by_name.items()]
    text = ["# What each scenario learns", "", __doc__ or "", "", overview(summary), "", *twins(by_name), ""]
    if missing := sorted(set(library()) - by_name.keys()):
        text += [f"Not yet run: {', '.join(missing)}.", ""]
    for name, (main, twin) in by_name.items():
        about = Scenario.load(name)
        goal = "lower" if about.eval.goal == "min" else "higher"
        against = f" against {', '.join(about.eval.against)}" if about.eval.against else ""
        text += [f"## {name}", "", f"{about.about} Gold: {about.eval.measure}{against}, {goal} is better.", ""]
        text += [seeds(main, twin), ""]
    write("learning", {"summary": summary, "cells": results}, "\n".join(text))


def _of_kuhn() -> dict[tuple[str, int], dict[str, Any]]:
    """What the proof `kuhn` has already run of these cells."""
    return {(r["scenario"], r["seed"]): r for r in kept(KUHN) if r["label"] == "choosing, slow reference"}


def gain(result: dict[str, Any]) -> float:
    """How much better the gold number is at the end than at the start, in the direction of the goal."""
    sign = -1.0 if result["goal"] == "min" else 1.0
    return sign * (value(result, -1) - value(result, 0))


def row(name: str, main: list[dict[str, Any]], twin: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of the overview."""
    gains, control = [gain(r) for r in main], [gain(r) for r in twin]
    return {
        "scenario": name,
        "measure": main[0]["measure"],
        "before": fmean(value(r, 0) for r in main),
        "after": fmean(value(r, -1) for r in main),
        "gain": interval(gains),
        "improved": sum(g > 0 for g in gains),
        "twin_gain": interval(control),
        "twin_mean": fmean(control),
        "seeds": len(gains),
        "cpu_s": fmean(r["cpu_s"] for r in main),
        "bar": len(gains) == len(SEEDS) and sum(g > 0 for g in gains) >= 8 and fmean(control) <= 0,
    }


def overview(summary: list[dict[str, Any]]) -> str:
    head = ("scenario", "gold", "before", "after", "gain (95 % over seeds)", "improved", "twin's gain", "CPU s", "bar")
    rows = [
        (
            r["scenario"],
            r["measure"],
            f"{r['before']:.3f}",
            f"{r['after']:.3f}",
            r["gain"],
            f"{r['improved']} of {r['seeds']}",
            r["twin_gain"],
            f"{r['cpu_s']:.0f}",
            "met" if r["bar"] else "missed" if r["seeds"] == len(SEEDS) else "not all seeds run",
        )
        for r in summary
    ]
    note = (
        "Bar: at least 8 of 10 seeds improve, and the twin's mean gain is not positive. Gains point towards the goal."
    )
    return table(head, rows) + "\n\n" + note


def twins(by_name: dict[str, list[list[dict[str, Any]]]]) -> list[str]:
    """Why a twin's mean may rise though its rewards say nothing."""
    lines = []
    for name, (_, twin) in by_name.items():
        if twin[0]["measure"] == "nashconv":
            ends = [value(r, -1) for r in twin]
            lines.append(
                f"{name}: the start is a random model, on the mean worse than uniform play ({UNIFORM:.3f}), to which "
                f"the entropy bonus alone leads. The twin ends at {fmean(ends):.3f} (best {min(ends):.3f}); below "
                f"{BLIND:.3f}, the best play that ignores its card: {sum(e < BLIND for e in ends)} of {len(ends)}."
            )
        elif fmean(gain(r) for r in twin) > 0:
            lines.append(f"{name}: the interval of the twin's mean, {interval([gain(r) for r in twin])}, holds zero.")
    return lines


def seeds(main: list[dict[str, Any]], twin: list[dict[str, Any]]) -> str:
    head = ("seed", "before", "after", "paired difference on instances", "twin before", "twin after")
    rows = []
    for a, b in zip(main, twin, strict=True):
        d = a["difference"]
        shown = f"{d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]" if d["n"] else "exact"
        rows.append(
            (a["seed"], *(f"{v:.3f}" for v in (value(a, 0), value(a, -1))), shown)
            + tuple(f"{v:.3f}" for v in (value(b, 0), value(b, -1)))
        )
    return table(head, rows)
