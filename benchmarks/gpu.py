"""What one accelerator gives: sampling, learning, publishing, adapters in flight, overlap, two policies.

`python -m benchmarks.gpu [--parts NAME ...] [--sizes NAME ...] [--budget SECONDS] [--dry] [--out DIR]`

Qwen3's shapes with random weights. Each part of each size is a process of its own that leaves a JSON file when it is
done; a second call goes on with what is missing. `--dry` runs every branch with a tiny model, on the CPU too; its
figures mean nothing. What is not installed is skipped, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from benchmarks.common import RESULTS, readme, row, save
from benchmarks.rollout import WORDS, generate, prompts, sampled
from benchmarks.training import by_turn
from palaestra.agents.engines import vllm_transfer
from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.engines.vllm import VllmEngine
from palaestra.agents.episode import PolicyRef
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import tokenizer
from palaestra.alignment.credit import Estimator
from palaestra.alignment.league import League
from palaestra.alignment.learner import Learner
from palaestra.alignment.loops.online import Online, Trainee
from palaestra.alignment.objectives import make_objective
from palaestra.alignment.recipe import Recipe
from palaestra.alignment.rows import TokenRow, UnitCounts, count_units
from palaestra.envs.script import Script, ScriptedEnv
from palaestra.errors import EngineError, MissingExtraError
from palaestra.view.chart import number
from proofs.two_policies import QWEN3_0_6B

QWEN3_4B: dict[str, Any] = {
    **QWEN3_0_6B,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
}
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bfloat16 operations a second, as the maker states them (SXM cards), by a part of the card's name."""
PUBLISHED = {("0.6B", "LoRA"): 13_300, ("0.6B", "whole"): 11_900, ("4B", "LoRA"): 6_230}
"""prime-rl's learner on one H100 at 16k tokens, by its own `benchmarks/results/BENCHMARKS.md`: tokens a second."""


class Size(NamedTuple):
    """A model, and how much is asked of it."""

    name: str
    shape: dict[str, Any]
    episodes: int = 256
    tokens: int = 64
    """A reply."""
    words: int = 256
    """Told before the first turn; a quarter of it at each turn."""
    rounds: int = 2
    rows: int = 8
    """Of the learner, of eight turns each."""
    told: int = 192
    said: int = 64
    micro: tuple[int, int] = (16_384, 16_384)
    """Token positions of one forward: with an adapter, and with whole weights."""
    steps: int = 3
    played: int = 64
    """Episodes a step of the loop."""
    adapters: tuple[int, ...] = (1, 4, 16)


SIZES = {
    "0.6B": Size("0.6B", QWEN3_0_6B),
    "4B": Size("4B", QWEN3_4B, micro=(4096, 2048), played=32),
}
DRY = Size(
    "dry",
    QWEN3_0_6B
    | {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 32}
    | {"num_attention_heads": 2, "num_key_value_heads": 1},
    episodes=4,
    tokens=4,
    words=24,
    rounds=1,
    rows=2,
    told=6,
    said=2,
    micro=(64, 64),
    steps=1,
    played=4,
    adapters=(1, 2),
)
ROWS = 128
"""Decoded at once by what runs in this process: keys and values must fit beside the weights."""
TURNS = 4
"""Of each of the two seats in a dialogue."""


class Dialogue(ScriptedEnv):
    """Two seats, four free turns each. How much they are told does not depend on what a random model says."""

    seats = ("speaker_0", "speaker_1")
    words: int = 256

    def script(self, rng: random.Random) -> Script:
        for seat in self.seats:
            self.tell(f"You are {seat}. You know of {' '.join(rng.choices(WORDS, k=self.words))}.", to=seat)
        for turn in range(2 * TURNS):
            yield self.seats[turn % 2]
            told = f"They speak of {' '.join(rng.choices(WORDS, k=self.words // 4))}."
            self.tell(told, to=self.seats[1 - turn % 2])
        self.reward({seat: rng.random() for seat in self.seats})


ENV = f"{Dialogue.__module__}:{Dialogue.__qualname__}".replace("__main__", "benchmarks.gpu")
TEXTS = [" ".join(WORDS)] * 4 + ["You are speaker_0. You know of They speak of"]


class Found(NamedTuple):
    """What a part found: lines of the table, and for the figure (label, value, unit)."""

    rows: list[list[str]]
    bars: list[tuple[str, float, str]]
    skipped: dict[str, str]
    """By what was left out: why."""
    figures: dict[str, Any]


# -- what the parts share ---------------------------------------------------------------------------------------------
def device() -> str:
    """Where the models are."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def card() -> str:
    """Its name."""
    return torch.cuda.get_device_name() if device() == "cuda" else "cpu"


def synchronize() -> None:
    """Wait until the accelerator has done all that it was asked."""
    if device() == "cuda":
        torch.cuda.synchronize()


def memory_mib() -> float:
    """Highest allocated memory of the accelerator since `fresh_memory`, in MiB; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**20 if device() == "cuda" else 0.0


def fresh_memory() -> None:
    """Give back what nobody holds, and begin to count anew."""
    if device() == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def seconds(work: Callable[[], object], rounds: int, *, warm: bool = True) -> float:
    """Median wall time of `work`, which is done once before to warm up."""
    if warm:
        work()
    taken = []
    for _ in range(rounds):
        synchronize()
        begin = time.perf_counter()
        work()
        synchronize()
        taken.append(time.perf_counter() - begin)
    return median(taken)


class Timed:
    """A function, and what each of its calls took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.taken = function, list[float]()

    def __call__(self, *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = self.function(*arguments)
        self.taken.append(time.perf_counter() - begin)
        return result


def without_vllm() -> str:
    """Why vLLM cannot be used; empty where it can."""
    try:
        vllm_transfer.installed()
    except (MissingExtraError, EngineError) as error:
        return str(error).splitlines()[0]
    return ""


def base(size: Size) -> PreTrainedModel:
    """Random weights, in bfloat16 on an accelerator."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device() == "cuda" else torch.float32
    config = Qwen3Config(**size.shape, max_position_embeddings=4096, attn_implementation="sdpa")
    with torch.device(device()):
        model: PreTrainedModel = Qwen3ForCausalLM._from_config(config, dtype=dtype)
    return model.eval()


class WithoutPrefixes(VllmEngine):
    """vLLM that computes every prompt anew."""

    def _settings(self, base: str, *, lora: bool) -> dict[str, Any]:
        return {**super()._settings(base, lora=lora), "enable_prefix_caching": False}


@contextmanager
def serving(size: Size, kind: type[EmbeddedEngine] = VllmEngine, **settings: Any) -> Iterator[EmbeddedEngine]:
    """An engine with the base, closed afterwards."""
    if issubclass(kind, VllmEngine):
        settings = {"requests": min(256, 8 * size.episodes), "memory": 0.4 if device() == "cuda" else 1, **settings}
    else:
        settings = {"max_rows": ROWS, **settings}
    engine = kind(device=device(), **settings)
    engine.add_base("base", base(size), tokenizer(TEXTS))
    try:
        yield engine
    finally:
        engine.close()
        fresh_memory()


def speaker(size: Size, engine: EmbeddedEngine, name: str = "speaker") -> LanguagePolicy:
    """A policy of the engine that speaks freely."""
    renderer = Renderer(engine.tokenizer(name))
    return LanguagePolicy(PolicyRef(name, engine.version(name)), engine, renderer, max_tokens=size.tokens)


def jobs(size: Size, policies: Sequence[LanguagePolicy], episodes: int) -> list[Job]:
    """Dialogues, each of one policy with itself, the policies in turns."""
    return [
        Job(ENV, {"words": size.words}, dict.fromkeys(Dialogue.seats, policies[n % len(policies)]), n, str(n))
        for n in range(episodes)
    ]


def played(work: Sequence[Job]) -> int:
    """Play all of it at once; the tokens that were sampled."""
    return sampled(wait_for(rollout(work, live=2 * len(work))))


def disturbed(engine: EmbeddedEngine, name: str) -> PolicyRef:
    """Other weights, as an optimizer's step makes them; the version that they are."""
    with torch.no_grad():
        for parameter in engine.parameters(name).values():
            parameter.add_(1e-3 * torch.randn_like(parameter))
    engine.set_version(name, engine.version(name) + 1)
    return PolicyRef(name, engine.version(name))


def learner_of(engine: EmbeddedEngine, name: str, micro: int, **settings: Any) -> Learner:
    """A policy's learner; where the weights are in bfloat16, its products are too, an adapter's own in float32 else."""
    dtype = next(engine.live(name).parameters()).dtype
    return Learner(
        engine.live(name),
        engine.parameters(name),
        schedule=1e-5,
        tokens_per_micro_batch=micro,
        head_chunk=1024,
        autocast=None if dtype == torch.float32 else dtype,
        activate=lambda: engine.live(name),
        **settings,
    )


def step(learner: Learner, batches: Sequence[Sequence[TokenRow]], units: UnitCounts) -> None:
    """One optimizer step over all batches."""
    for batch in batches:
        learner.forward_backward(batch, "ppo", units=units)
    learner.optim_step()


# -- parts ------------------------------------------------------------------------------------------------------------
def rollouts(size: Size) -> Found:
    """Sampled tokens a second: vLLM with and without cached prefixes, the embedded engine, plain `generate`."""
    out = Found([], [], {}, {})
    asked: list[list[list[int]]] = []
    rates: dict[str, float] = {}
    kinds: dict[str, type[EmbeddedEngine]] = {
        "vLLM, cached prefixes": VllmEngine,
        "vLLM, nothing cached": WithoutPrefixes,
        "embedded": EmbeddedEngine,
    }
    for what, kind in kinds.items():
        if issubclass(kind, VllmEngine) and (reason := without_vllm()):
            out.skipped[what] = reason
            continue
        with serving(size, kind) as engine:
            engine.add_policy("speaker", "base", train=False)
            work = jobs(size, [speaker(size, engine)], size.episodes)
            own = not issubclass(kind, VllmEngine)
            play = Timed(lambda work=work: wait_for(rollout(work, live=2 * len(work))))
            for _ in range(1 if own else 1 + size.rounds):  # vLLM starts in its first
                episodes = play()
            rates[what] = sampled(episodes) / median(play.taken[0 if own else 1 :])
            asked = prompts(episodes)
    model = base(size)

    def straight() -> int:
        return sum(
            generate(model, rows[n : n + ROWS], size.tokens) for rows in asked for n in range(0, len(rows), ROWS)
        )

    rates["generate, one call a turn"] = sum(map(len, asked)) * size.tokens / seconds(straight, 1, warm=False)
    plain = rates["generate, one call a turn"]
    for what, rate in rates.items():
        against = "" if rate == plain else f"transformers generate, one call a turn: {plain:,.0f}"
        times = None if rate == plain else rate / plain
        out.rows.append(row(f"rollout, {what}", f"{rate:,.0f} tokens/s", against, times))
        out.bars.append((what, rate, "tokens/s"))
    return out._replace(figures={"tokens_per_s": rates, "episodes": size.episodes, "turns": 2 * TURNS})


def trajectories(size: Size) -> list[TokenRow]:
    """Random rows of eight turns whose last tokens are trained."""
    rng = random.Random(0)
    mask = ([False] * size.told + [True] * size.said) * (2 * TURNS)
    trained, vocabulary = 2 * TURNS * size.said, size.shape["vocab_size"]
    return [
        TokenRow.of("p", [rng.randrange(vocabulary) for _ in mask], mask, [-6.0] * trained, rng.uniform(-1, 1))
        for _ in range(size.rows)
    ]


def operations(size: Size, rows: Sequence[TokenRow], *, adapter: bool) -> float:
    """What a step needs: products with the weights and causal attention, the head at trained positions only.

    Backward is twice the forward, and once for the products with weights that are frozen.
    """
    s = size.shape
    heads, kv, width = s["num_attention_heads"], s["num_key_value_heads"], s["hidden_size"]
    inner = heads * s["head_dim"]
    layer = 2 * width * inner + 2 * width * kv * s["head_dim"] + 3 * width * s["intermediate_size"]
    positions, trained = sum(len(r.ids) for r in rows), sum(r.trained for r in rows)
    dense = 2 * (layer * s["num_hidden_layers"] * positions + s["vocab_size"] * width * trained)
    attention = 2 * inner * s["num_hidden_layers"] * sum(len(r.ids) ** 2 for r in rows)
    return float(dense * (2 if adapter else 3) + attention * 3)


def peak_operations() -> float:
    """Of the card in bfloat16 a second: the maker's figure, or that of one large product."""
    for part, value in PEAK.items():
        if part in card():
            return value
    side = 8192 if device() == "cuda" else 256
    dtype = torch.bfloat16 if device() == "cuda" else torch.float32
    a, b = torch.randn(2, side, side, device=device(), dtype=dtype)
    return 2 * side**3 / seconds(lambda: a @ b, 5)


def learn(size: Size) -> Found:
    """Trained positions a second at 16k packed tokens, and the share of the card's peak."""
    out = Found([], [], {}, {})
    rows = trajectories(size)
    parts = by_turn(rows, 2 * TURNS, size.told, size.said)
    units, positions, peak = count_units(rows), sum(len(r.ids) for r in rows), peak_operations()
    rates: dict[str, float] = {}
    for kind, micro in zip(("LoRA", "whole"), size.micro, strict=True):
        with serving(size, EmbeddedEngine) as engine:
            engine.add_policy("p", "base", adapter={"rank": 16} if kind == "LoRA" else None)
            sides: dict[str, tuple[Sequence[Sequence[TokenRow]], dict[str, Any]]] = {
                "packed": ([rows], {}),
                "one forward a turn": (parts, {"packing": False}),
            }
            if kind == "LoRA":
                sides["packed, compiled"] = ([rows], {"compile": "inductor" if device() == "cuda" else "eager"})
            for what, (batches, settings) in sides.items():
                learner = learner_of(engine, "p", micro, **settings)
                fresh_memory()
                taken = seconds(partial(step, learner, batches, units), size.steps)
                rates[f"{kind}, {what}"] = positions / taken
                out.figures[f"{kind}, {what}"] = {
                    "positions_per_s": positions / taken,
                    "share_of_peak": operations(size, rows, adapter=kind == "LoRA") / taken / peak,
                    "peak_mib": memory_mib(),
                    "micro_batch": micro,
                }
    rates |= {k: positions / v for k, v in trl_steps(size, rows, out.skipped).items()}
    for what, rate in rates.items():
        kind, _, side = what.partition(", ")
        found = out.figures.get(what, {})
        shown = f"{rate:,.0f} positions/s"
        if found and side != "one forward a turn":
            shown += f", {found['share_of_peak']:.1%} of peak, {found['peak_mib'] / 1024:.1f} GiB"
        reference = f"{kind}, one forward a turn" if found else "LoRA, packed"
        against = "" if what == reference else f"{reference}: {rates[reference]:,.0f}"
        out.rows.append(row(f"learner, {what}", shown, against, None if what == reference else rate / rates[reference]))
        if side == "packed" and (published := PUBLISHED.get((size.name, kind))) and "H100" in card():
            text = f"prime-rl, as published: {published:,}"
            out.rows.append(row(f"learner, {what}", f"{rate:,.0f} positions/s", text, rate / published))
        out.bars.append((what, rate, "positions/s"))
    return out


def trl_steps(size: Size, rows: Sequence[TokenRow], skipped: dict[str, str]) -> dict[str, float]:
    """Seconds of a step of TRL's supervised trainer on the same rows with the same adapter; none where it is absent."""
    try:
        from datasets import Dataset
        from peft import LoraConfig
        from transformers import TrainerCallback
        from trl import SFTConfig, SFTTrainer
    except ImportError as error:
        skipped["TRL"] = f"{error.name} is not installed"
        return {}
    begun: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            synchronize()
            begun.append(time.perf_counter())

    data = [
        {"input_ids": list(r.ids), "labels": [i if m else -100 for i, m in zip(r.ids, r.mask, strict=True)]}
        for r in rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        each = max(1, size.micro[0] // len(rows[0].ids))
        trainer = SFTTrainer(
            model=base(size),
            args=SFTConfig(
                output_dir=folder,
                max_steps=size.steps + 2,
                per_device_train_batch_size=min(each, len(rows)),
                gradient_accumulation_steps=max(1, len(rows) // each),
                learning_rate=1e-5,
                max_length=None,
                gradient_checkpointing=False,
                bf16=device() == "cuda",
                use_cpu=device() == "cpu",
                save_strategy="no",
                report_to=[],
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            train_dataset=Dataset.from_list(data * (size.steps + 2)),
            processing_class=tokenizer(TEXTS),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
            callbacks=[Clock()],
        )
        trainer.train()
    return {"TRL's SFTTrainer, LoRA": median(b - a for a, b in pairwise(begun[1:]))}


def publish(size: Size) -> Found:
    """Seconds until vLLM samples a new version, verification included, against starting it with it."""
    out = Found([], [], {}, {})
    if reason := without_vllm():
        return out._replace(skipped={"publishing to vLLM": reason})
    for kind in ("LoRA", "whole"):
        with serving(size, eager=True) as engine:
            assert isinstance(engine, VllmEngine)
            engine.add_policy("p", "base", adapter={"rank": 16} if kind == "LoRA" else None)
            timed = engine._verify = Timed(engine._verify)  # type: ignore[method-assign, assignment]

            def again(engine: VllmEngine = engine) -> None:
                wait_for(engine.publish(disturbed(engine, "p")))

            start = seconds(again, 1, warm=False)
            taken = seconds(again, 2 * size.rounds)
            check = median(timed.taken[1:])
            shown = f"{taken:.2f} s, of which {check:.2f} s verify it"
            out.rows.append(row(f"publish, {kind}", shown, f"start of the engine: {start:.1f} s", start / taken))
            out.bars.extend([(kind, taken, "s"), (f"{kind}, by a restart", start, "s")])
            out.figures[kind] = {"seconds": taken, "verify_s": check, "start_s": start}
    return out


def adapters(size: Size) -> Found:
    """Sampled tokens a second with so many adapters in one batch."""
    out = Found([], [], {}, {})
    if reason := without_vllm():
        return out._replace(skipped={"adapters in flight": reason})
    with serving(size, adapters=max(size.adapters)) as engine:
        for n in range(max(size.adapters)):
            engine.add_policy(f"p{n}", "base", adapter={"rank": 16})
        rates: dict[int, float] = {}
        for count in size.adapters:
            work = jobs(size, [speaker(size, engine, f"p{n}") for n in range(count)], max(size.episodes // 2, count))
            play = partial(played, work)
            rates[count] = play() / seconds(play, size.rounds, warm=False)
    for count, rate in rates.items():
        first = count == size.adapters[0]
        against = "" if first else f"one: {rates[1]:,.0f}"
        shown = f"{rate:,.0f} tokens/s"
        out.rows.append(row(f"adapters in flight: {count}", shown, against, None if first else rate / rates[1]))
        out.bars.append((f"{count}", rate, "tokens/s"))
    return out._replace(figures={"tokens_per_s": rates})


def online(size: Size, engine: EmbeddedEngine, name: str, staleness: int, adapter: dict[str, Any] | None) -> Online:
    """The loop on the dialogue, one policy in both seats."""
    engine.add_policy(name, "base", adapter=adapter)
    policy = speaker(size, engine, name)
    learner = learner_of(engine, name, size.micro[1])  # vLLM has its memory beside it
    return Online(
        env=ENV,
        params={"words": size.words},
        cast=dict.fromkeys(Dialogue.seats, policy),
        engine=engine,
        trainees={name: Trainee(policy, learner, make_objective("ppo"), lambda share: {})},
        recipe=Recipe(steps=size.steps + 2, episodes=size.played, objective="ppo", staleness=staleness),
        estimator=Estimator("rae"),
        league=League([name]),
    )


def loop(size: Size) -> Found:
    """Steps an hour of the whole loop: rollout and learning in turns, and overlapped (`recipe.staleness`)."""
    out = Found([], [], {}, {})
    reason = without_vllm()
    if reason:
        out.skipped["the loop with vLLM and adapters (embedded engine and whole weights instead)"] = reason
    kind: type[EmbeddedEngine] = EmbeddedEngine if reason else VllmEngine
    what = "embedded, whole weights" if reason else "vLLM, LoRA"
    hourly: dict[int, float] = {}
    with serving(size, kind) as engine:
        for staleness in (0, 1):
            run = online(size, engine, f"p{staleness}", staleness, None if reason else {"rank": 16})
            taken, parts = [], []
            for _ in range(size.steps + 2):
                episodes, metrics = run.step()
                assert not any(e.failure for e in episodes), episodes[0].failure
                taken.append(metrics["time/step_s"])
                parts.append({k: v for k, v in metrics.items() if k.startswith(("time/", "tokens/"))})
            run.ahead.close()
            hourly[staleness] = 3600 / median(taken[1:-1])  # the first warms up, the last plays nothing more
            out.figures[f"staleness {staleness}"] = {"steps_per_hour": hourly[staleness], "steps": parts}
    for staleness, rate in hourly.items():
        label = f"{what}, staleness {staleness}"
        against = f"staleness 0: {hourly[0]:,.0f}" if staleness else ""
        shown = f"{rate:,.0f} steps/h of {size.played} episodes"
        out.rows.append(row(f"loop, {label}", shown, against, rate / hourly[0] if staleness else None))
        out.bars.append((label, rate, "steps/h"))
    return out


def two(size: Size) -> Found:
    """Two trainable policies as two adapters on one base, against two whole models: speed and memory of the learner."""
    out = Found([], [], {}, {})
    rows = trajectories(size)
    positions, units = 2 * sum(len(r.ids) for r in rows), count_units(rows)
    for kind in ("LoRA", "whole"):
        with serving(size, EmbeddedEngine) as engine:
            learners = []
            fresh_memory()
            for name in ("a", "b"):
                engine.add_policy(name, "base", adapter={"rank": 16} if kind == "LoRA" else None)
                learners.append(learner_of(engine, name, size.micro[1]))

            def both(learners: list[Learner] = learners) -> None:
                for learner in learners:
                    step(learner, [rows], units)

            try:
                taken = seconds(both, size.steps)
            except torch.OutOfMemoryError:
                out.skipped[f"two policies, {kind}"] = f"out of memory at {memory_mib():,.0f} MiB"
                continue
            out.figures[kind] = {"positions_per_s": positions / taken, "peak_mib": memory_mib()}
    out.bars.extend((f"two policies, {k}", found["positions_per_s"], "positions/s") for k, found in out.figures.items())
    if len(out.figures) < 2:
        return out
    lora, whole = out.figures["LoRA"], out.figures["whole"]
    shown = f"{lora['positions_per_s']:,.0f} positions/s"
    against = f"two whole models: {whole['positions_per_s']:,.0f}"
    times = lora["positions_per_s"] / whole["positions_per_s"]
    out.rows.append(row("two policies as two adapters on one base", shown, against, times))
    if device() == "cuda":
        peaks = [found["peak_mib"] for found in (lora, whole)]
        out.rows.append(
            row("their memory", f"{peaks[0]:,.0f} MiB", f"two whole models: {peaks[1]:,.0f}", peaks[0] / peaks[1])
        )
    return out


PARTS: dict[str, Callable[[Size], Found]] = {
    "learner": learn,
    "rollout": rollouts,
    "publish": publish,
    "adapters": adapters,
    "loop": loop,
    "two_policies": two,
}


# -- the command ------------------------------------------------------------------------------------------------------
def measure(part: str, size: Size, path: Path) -> None:
    """One part, in this process; its file appears whole or not at all."""
    begin = time.perf_counter()
    found = PARTS[part](size)
    data = {"part": part, "size": size.name, "device": card(), "took_s": round(time.perf_counter() - begin, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_suffix(".new")
    hidden.write_text(json.dumps(data | found._asdict(), indent=1) + "\n")
    hidden.rename(path)


def in_a_process(part: str, size: str, out: Path, limit_s: float) -> str:
    """Why a part has not come to its end in a process of its own; empty where it has."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--one", part, size, "--out", str(out)]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        code = child.wait(limit_s)
        return f"ended with {code}" if code else ""
    except subprocess.TimeoutExpired:
        return f"not done in {limit_s:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what it has started: vLLM's processes
        child.wait()


def assemble(out: Path, sizes: Sequence[str]) -> dict[str, Any]:
    """All parts that are done as one result, its figure and its table."""
    files = [out / "gpu" / f"{part}.{size}.json" for size in sizes for part in PARTS]
    parts = [json.loads(path.read_text()) for path in files if path.exists()]
    result = {
        "about": (
            "One accelerator, Qwen3's shapes with random weights in bfloat16. Rollouts are dialogues of eight turns. "
            "The learner takes rows of eight turns, 16k positions a step, rank-16 adapters on all linear layers or "
            "whole weights; its share of the peak counts what a step needs (no weight gradients of frozen weights, "
            "the head at trained positions only). Wall time."
        ),
        "rows": [[f"{p['size']}: {cells[0]}", *cells[1:]] for p in parts for cells in p["rows"]],
        "notes": [
            *(f"{p['size']}, {p['part']}: {what} skipped: {why}." for p in parts for what, why in p["skipped"].items()),
            *(f"Measured on: {name}." for name in sorted({p["device"] for p in parts})),
            "![the same as bars](results/gpu.svg)",
        ],
        "parts": parts,
    }
    save("gpu", result, out)
    (out / "gpu.svg").write_text(bars(parts))
    return result


def bars(parts: Sequence[dict[str, Any]]) -> str:
    """All measured values as horizontal bars: a group a part and unit, to its own scale."""
    lines: list[str] = []
    y = 24
    for part in parts:
        if not part["bars"]:
            continue
        lines.append(f'<text class="head" x="8" y="{y}">{escape(part["part"])}, {escape(part["size"])}</text>')
        most = max(value for _, value, _ in part["bars"]) or 1.0
        for label, value, unit in part["bars"]:
            y += 20
            lines.append(f'<text x="248" y="{y}" text-anchor="end">{escape(label)}</text>')
            width = max(1.0, 300 * value / most)
            lines.append(f'<rect x="256" y="{y - 11}" width="{width:.1f}" height="14"/>')
            lines.append(f'<text x="{262 + width:.1f}" y="{y}">{number(value)} {escape(unit)}</text>')
        y += 34
    style = "text{font:12px sans-serif;fill:#333}.head{font-weight:bold}rect{fill:#3a6ea5}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="700" height="{y}" viewBox="0 0 700 {y}">'
        f'<style>{style}</style><rect width="700" height="{y}" style="fill:#fff"/>{"".join(lines)}</svg>\n'
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, write what is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--budget", type=float, default=600, help="seconds, of all parts together (default 600)")
    parser.add_argument("--dry", action="store_true", help="every branch with a tiny model; the figures mean nothing")
    parser.add_argument("--out", type=Path, help=f"folder of the results (default {RESULTS}; dry: none)")
    parser.add_argument("--one", nargs=2, metavar=("PART", "SIZE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.one:
        part, name = chosen.one
        measure(part, SIZES.get(name, DRY), chosen.out / "gpu" / f"{part}.{name}.json")
        return
    if not chosen.dry and device() == "cpu":
        parser.error("torch sees no accelerator here; --dry runs every branch on the CPU")
    with tempfile.TemporaryDirectory() as folder:
        out = chosen.out or (Path(folder) / "results" if chosen.dry else RESULTS)
        begin, left = time.perf_counter(), []
        least = 0 if chosen.dry else 60  # seconds in which a part may come to its end
        for size in [DRY.name] if chosen.dry else chosen.sizes:
            for part in chosen.parts:
                path = out / "gpu" / f"{part}.{size}.json"
                if path.exists():
                    continue
                limit = chosen.budget - (time.perf_counter() - begin)
                problem = in_a_process(part, size, out, limit) if limit > least else "the budget is used up"
                left += [f"{part}.{size}: {problem}"] if problem else []
                print(f"gpu: {part}, {size}: {problem or json.loads(path.read_text())['took_s']}", flush=True)
        result = assemble(out, [DRY.name] if chosen.dry else list(SIZES))
        for cells in result["rows"]:
            print("  " + "  ".join(cells), flush=True)
        for note in result["notes"][:-1]:
            print(f"  {note}", flush=True)
        if not chosen.dry or chosen.out:
            from benchmarks.__main__ import KNOWN

            readme(KNOWN, out)
        if left:
            raise SystemExit("left: " + "; ".join(left) + "\ncall it again for these: what is done stays")


if __name__ == "__main__":
    main()
