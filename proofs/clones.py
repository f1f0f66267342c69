"""How far imitation alone goes: a tiny model, cloned from the greedy player, in every environment at every level.

It plays where the bounds are measured: in one seat among random players, or, where the class names a common `skill`, in
all seats. Demonstrations: 1,600 at level 0, 160 above, 40 where episodes are longest (`LONG`). It reads 2,048 tokens:
of longer episodes the newest turns (`OUTGREW`).
`python -m tools.environments` puts the figures beside the bounds.
"""

from __future__ import annotations

import math

from palaestra.envs import registry
from proofs.common import OUT, Cell, kept, run_cells, start_cell, table, write

CELLS = OUT / "cells" / "clones.jsonl"
LONG = {"liars_dice level 2", "craft level 3", "grid level 4"}
"""Sixteen episodes of these are minutes of learning on one core: four an update, as many updates."""
OUTGREW = {
    *("dyad level 1", "assembly level 2", "kitchen level 2", "opinion level 2", "public_goods level 2"),
    *("liars_dice level 2", "grid level 1", "grid level 2", "grid level 3", "grid level 4"),
}
"""Where an episode was longer than 2,048 tokens."""


def main() -> None:
    """One seed an environment and level, the lower levels first. Finished cells are kept: it can be cut and go on."""
    pairs = [(level, name) for name in registry.BUILTIN for level in registry.env_class(name).levels]
    run_cells([cell(name, level) for level, name in sorted(pairs)], keep=CELLS, run=start_cell)
    report()


def report() -> None:
    """The table of the cells that are there."""
    results = kept(CELLS)
    rows = []
    for found in results:
        name, level = found["label"].split(" level ")
        start, measure = found["curve"][0], found["measure"]
        low, mean, high = (start.get(f"eval/{measure}{end}", math.nan) for end in ("/low", "", "/high"))
        rows.append((name, level, measure, f"{mean:.2f}", f"[{low:.2f}, {high:.2f}]", found["failed"], found["cpu_s"]))
    head = ("id", "level", "of", "mean", "95 % over instances", "broken off", "CPU s")
    write("clones", {"cells": results}, f"# Tiny clones\n\n{__doc__}\n{table(head, rows)}\n")


def cell(name: str, level: int) -> Cell:
    """A policy of 0.2 million weights in all seats, after its demonstrations."""
    cls = registry.env_class(name)
    seats = cls(level=level).seats
    teachers = ", ".join(f'{seat} = "greedy"' for seat in seats)
    label = f"{name} level {level}"
    batch = 4 if label in LONG else 16
    settings = [
        f"env_params.level={level}",
        "policies.learner.norm=token",
        "policies.learner.tiny.context=2048",
        f"policies.learner.clone={{ players = {{ {teachers} }}, batches = {10 if level else 100}, batch = {batch} }}",
        "recipe.packing=true",
        f"eval.instances={20 if level else 50}",
    ]
    if label in OUTGREW:
        settings.append("policies.learner.history=slide")
    if seats != cls().seats:
        settings.append("cast={ " + ", ".join(f'{seat} = "learner"' for seat in seats) + " }")
    if cls.skill:
        settings.append(f"eval.measure={cls.skill}")
    elif len(seats) > 1:
        settings.append('eval.against=["player:random"]')
    return Cell(name, 0, tuple(settings), label)


if __name__ == "__main__":
    main()
