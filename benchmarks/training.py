"""Trained tokens a second, one forward a trajectory against one a turn; memory of the chunked head against the plain.

`python -m benchmarks.training HEAD_CHUNK VOCABULARY POSITIONS` is the process whose memory is measured.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.common import in_turns, ratio, row
from palaestra.alignment.learner import Learner
from palaestra.alignment.rows import TokenRow, count_units

TOLD, SAID = 16, 4
"""Tokens a turn that are observed, and that are trained."""


def model(width: int, vocabulary: int = 512) -> LlamaForCausalLM:
    """Two layers, random weights."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
        )
    ).eval()


def trajectories(turns: int, batch: int) -> list[TokenRow]:
    """Random trajectories; the last tokens of every turn are trained."""
    rng = random.Random(0)
    rows = []
    for _ in range(batch):
        ids = [rng.randrange(512) for _ in range(turns * (TOLD + SAID))]
        mask = ([False] * TOLD + [True] * SAID) * turns
        rows.append(TokenRow.of("p", ids, mask, [-6.0] * (turns * SAID), rng.uniform(-1, 1)))
    return rows


def by_turn(rows: list[TokenRow], turns: int, told: int = TOLD, said: int = SAID) -> list[list[TokenRow]]:
    """The same trained tokens with a sequence of its own for each turn; those of one length together."""
    out = []
    for turn in range(turns):
        end = (turn + 1) * (told + said)
        mask = [False] * (end - said) + [True] * said
        part = [r.positive[turn * said] + r.negative[turn * said] for r in rows]
        out.append(
            [TokenRow.of("p", r.ids[:end], mask, [-6.0] * said, a) for r, a in zip(rows, part, strict=True)],
        )
    return out


def compare(width: int, turns: int, batch: int, rounds: int) -> dict[str, Any]:
    """Both ways on one model: rates, their ratio, and how far the gradients are apart."""
    module = model(width)
    learner = Learner(module, dict(module.named_parameters()), packing=False)
    packed = Learner(module, dict(module.named_parameters()), packing=True)
    rows = trajectories(turns, batch)
    parts = by_turn(rows, turns)
    units = count_units(rows)
    kept: dict[str, torch.Tensor] = {}

    def gradient(name: str) -> float:
        kept[name] = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
        module.zero_grad()
        return units.trained

    def whole() -> float:
        learner.forward_backward(rows, "ppo", units=units)
        return gradient("whole")

    def in_rows() -> float:
        packed.forward_backward(rows, "ppo", units=units)
        return gradient("packed")

    def turn_by_turn() -> float:
        for part in parts:
            learner.forward_backward(part, "ppo", units=units)
        return gradient("turns")

    sides: dict[str, Callable[[], float]] = {"trajectory": whole, "packed": in_rows, "turn": turn_by_turn}
    found = in_turns(sides, rounds)
    apart = float((kept["whole"] - kept["turns"]).norm() / kept["turns"].norm())
    return {
        "ratio": ratio(found["trajectory"], found["turn"]),
        "ratio_packed": ratio(found["packed"], found["turn"]),
        "gradients_apart": apart,
        "sides": {name: side.plain() for name, side in found.items()},
        "rate": found["trajectory"].rate(),
        "rate_turn": found["turn"].rate(),
    }


def memory(head_chunk: int, vocabulary: int, positions: int) -> dict[str, float]:
    """Highest resident memory of one step in a fresh process, before and with it, in MiB."""
    command = [sys.executable, "-m", "benchmarks.training", str(head_chunk), str(vocabulary), str(positions)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    data: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return data


def peak() -> float:
    """Highest resident memory of this process so far, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(head_chunk: int, vocabulary: int, positions: int) -> dict[str, float]:
    """What the measured process does: one gradient over `positions` trained tokens."""
    torch.set_num_threads(1)
    module = model(64, vocabulary)
    learner = Learner(module, dict(module.named_parameters()), packing=False, head_chunk=head_chunk)
    rng = random.Random(0)
    length = positions // 8 + 1
    rows = [
        TokenRow.of("p", [rng.randrange(vocabulary) for _ in range(length)], [False] + [True] * (length - 1), (), 1.0)
        for _ in range(8)
    ]
    before = peak()
    learner.forward_backward(rows, "sft")
    return {"before_mib": round(before), "peak_mib": round(peak())}


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    torch.set_num_threads(1)
    rows, cells = [], {}
    prototype = {4: 2.3, 8: 4.2, 16: 7.8}
    for width in (64,) if quick else (64, 128):
        for turns in (4,) if quick else (4, 8, 16):
            cell = compare(width, turns, 2 if quick else 16, 1 if quick else 7)
            cells[f"width {width}, {turns} turns"] = cell
            rows.append(
                row(
                    f"one forward a trajectory, width {width}, {turns} turns",
                    f"{cell['rate']:,.0f} trained tokens/s",
                    f"one forward a turn: {cell['rate_turn']:,.0f}",
                    cell["ratio"],
                    f"prototype {prototype[turns]}×",
                    cell["ratio"] >= prototype[turns],
                )
            )
    vocabulary, positions = (2_000, 512) if quick else (150_000, 1024)
    plain, chunked = [], []
    one = measured if quick else memory  # in this process, where only the way through the code is of interest
    for _ in range(1 if quick else 3):
        chunked.append(one(256, vocabulary, positions))
        plain.append(one(1 << 30, vocabulary, positions))
    peaks = [median(m["peak_mib"] for m in side) for side in (chunked, plain)]
    step = [median(m["peak_mib"] - m["before_mib"] for m in side) for side in (chunked, plain)]
    of_all, of_step = peaks[0] / peaks[1], step[0] / max(step[1], 1)
    what = f"{vocabulary:,} tokens, {positions} trained positions, width 64"
    rows += [
        row(
            f"chunked head, whole process; {what}",
            f"{peaks[0]:,.0f} MiB",
            f"plain head: {peaks[1]:,.0f} MiB",
            of_all,
            "prototype 0.5×",
            of_all <= 0.5,
        ),
        row("chunked head, above the process before the step", f"{step[0]:,.0f} MiB", f"{step[1]:,.0f} MiB", of_step),
    ]
    worst = max(c["gradients_apart"] for c in cells.values())
    packed = ", ".join(f"{name}: {cell['ratio_packed']:.2f}×" for name, cell in cells.items())
    return {
        "about": (
            f"One thread, float32, 16 trajectories, {TOLD} observed and {SAID} trained tokens a turn; a gradient of "
            "the same loss on both sides, tokens a second of CPU time. One forward a turn has a batch for each length "
            "and no padding. The head's memory is the highest resident memory of a fresh process."
        ),
        "rows": rows,
        "notes": [
            f"The gradients of both ways are at most {worst:.1e} apart (relative, in norm).",
            "With packed rows (`Learner`'s default, made for rows of unlike lengths; `recipe.packing` of a scenario) "
            f"in place of padded ones: {packed}.",
        ],
        "cells": cells,
        "memory": {"chunked": chunked, "plain": plain},
    }


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:]))))
