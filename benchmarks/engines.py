"""Rollout throughput of the embedded engine and of vLLM's CPU build, side by side, by episodes at once.

Needs vLLM: `make bench-engines` runs it in `.venv-vllm`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.common import Side, in_turns, ratio, row
from benchmarks.rollout import WORDS, Exchange, sampled
from benchmarks.sandbox import cpu_of_all
from palaestra.agents.engines import vllm_transfer
from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.engines.vllm import VllmEngine
from palaestra.agents.episode import PolicyRef
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import Cast
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import tiny

SHAPES: dict[str, tuple[dict[str, int], dict[int, int]]] = {
    "0.17 M (width 64, 2 layers)": ({"width": 64, "layers": 2, "heads": 2}, {1: 7, 16: 7, 64: 5, 256: 3}),
    "6.5 M (width 256, 6 layers)": ({"width": 256, "layers": 6, "heads": 4}, {1: 5, 16: 5, 64: 3, 256: 2}),
    "34 M (width 512, 8 layers)": ({"width": 512, "layers": 8, "heads": 8}, {1: 5, 16: 3, 64: 2, 256: 1}),
}
"""Models, and rounds by episodes at once. The smallest has two heads of 32: vLLM has none of 16 on a CPU."""
TURNS, TOKENS = 2, 16
"""Turns of each of the two seats, and tokens a reply."""


def needs() -> str:
    """The version of vLLM that is there; raises where none is."""
    return vllm_transfer.installed()


def casts(shape: dict[str, Any]) -> dict[str, Cast]:
    """The same weights behind both engines."""
    out: dict[str, Cast] = {}
    for name in ("embedded", "vllm"):
        model, tokenizer = tiny([" ".join(WORDS)] * 4 + ["You are speaker_0. You know of"], context=512, **shape)
        engine = EmbeddedEngine() if name == "embedded" else VllmEngine(memory=4)
        engine.add_base("base", model, tokenizer)
        engine.add_policy("speaker", "base", train=False)
        policy = LanguagePolicy(PolicyRef("speaker"), engine, Renderer(tokenizer), max_tokens=TOKENS)
        out[name] = dict.fromkeys(Exchange.seats, policy)
    return out


def compare(shape: dict[str, Any], rounds_of: dict[int, int]) -> dict[int, dict[str, Side]]:
    """Both engines at so many episodes at once, for so many rounds."""
    env = f"{Exchange.__module__}:{Exchange.__qualname__}"
    seats = casts(shape)

    def play(name: str, count: int) -> float:
        jobs = [Job(env, {"turns": TURNS}, seats[name], seed, str(seed)) for seed in range(count)]
        return sampled(wait_for(rollout(jobs, live=2 * count)))

    found = {}
    for name in seats:
        play(name, 16)  # vLLM starts, and is given the weights
    for count, rounds in rounds_of.items():
        sides = {name: partial(play, name, count) for name in seats}
        found[count] = in_turns(sides, rounds, cpu_of_all, warm=False)
        print(f"  {count} at once: { ({n: round(s.rate('wall')) for n, s in found[count].items()}) }", flush=True)
    speaker = seats["vllm"][Exchange.seats[0]]
    assert isinstance(speaker, LanguagePolicy) and isinstance(speaker.engine, VllmEngine)
    speaker.engine.close()
    return found


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    version = needs()
    torch.set_num_threads(1)
    rows: list[list[str]] = []
    sides: dict[str, Any] = {}
    measured: dict[str, dict[int, dict[str, Side]]] = {}
    for name, (shape, rounds) in list(SHAPES.items())[: 1 if quick else None]:
        found = measured[name] = compare(shape, {1: 1, 4: 1} if quick else rounds)
        sides[name] = {str(count): {key: side.plain() for key, side in by.items()} for count, by in found.items()}
        for count, by in found.items():
            own, other = by["embedded"], by["vllm"]
            figure, against = f"{own.rate('wall'):,.0f} tokens/s", f"vLLM: {other.rate('wall'):,.0f}"
            rows.append(row(f"embedded, {name}, {count} at once", figure, against, ratio(own, other, "wall")))
    cpu = ", ".join(
        f"{name.split(' (')[0]}, {count} at once {ratio(by['embedded'], by['vllm']):.2f}×"
        for name, found in measured.items()
        for count, by in found.items()
    )
    return {
        "about": (
            f"Sampled tokens a second of wall time (vLLM works in a process of its own), float32: dialogues of "
            f"{2 * TURNS} turns, {TOKENS} tokens a reply, through environment, rendering, engine and record, so many "
            "at once. Either engine computes with one thread; vLLM, in its CPU build with prefix caching, has two "
            "processes beside this one."
        ),
        "rows": rows,
        "notes": [
            f"vLLM {version} (CPU build). Rounds by episodes at once, for each size: "
            + "; ".join(", ".join(f"{n} at {count}" for count, n in rounds.items()) for _, rounds in SHAPES.values())
            + ".",
            f"The same in CPU time of all processes, which other work on the machine disturbs less: {cpu}.",
        ],
        "sides": sides,
    }
