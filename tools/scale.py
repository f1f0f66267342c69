"""`python -m tools.scale`: writes the tables of docs/scale.md, from the memory plan's shapes and a simulated pipeline.

Everything is predicted. What goes in is stated here: figures that others have published, with their source, data
sheets, and assumptions that are called so.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from transformers import LlamaConfig, Qwen3Config

from palaestra.agents.shapes import Shape, shape_of
from palaestra.alignment.pipeline import Forecast, Pipeline, always, long_tail, simulate, steady
from palaestra.scenarios.memory import GIB

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"

# -- published ---------------------------------------------------------------------------------------------------------
LEARNER_TOKENS_S = {"0.6B": 13_300.0, "4B": 6_230.0}
"""One H100, LoRA r16, rows of 16k tokens: prime-rl, benchmarks/results/BENCHMARKS.md."""
WHOLE = 11_900 / 13_300
"""Whole weights against LoRA, 0.6B: the same table."""
GPU, HBM, FLOPS = 80e9, 3.35e12, 989e12
"""One H100 SXM: bytes, bytes a second, dense bfloat16 operations a second: NVIDIA's data sheet."""
NETWORK = 50e9
"""Bytes a second of a node: eight GPUs behind one 400 Gbit/s port."""

# -- assumed -----------------------------------------------------------------------------------------------------------
USED = 0.85
"""Of a GPU's memory."""
READS, MULTIPLIES = 0.5, 0.4
"""Of HBM and FLOPS, that an engine reaches while it decodes."""
STEP_S = 0.006
"""For a token, whatever the model: launches and scheduling."""
LINKED = 0.5
"""Of the network, that a broadcast reaches; it is passed on from node to node in pieces."""
SCALED = 0.9
"""Of a learner's speed that is left when its ranks share it out."""
SAMPLED, READ, SPREAD, LONGEST = 2_000, 3_000, 1.0, 8_000
"""Tokens that an episode samples and holds in all (mean); the spread of the former, and its end: a long tail."""
EPISODES = {8: 512, 64: 2_048, 1_024: 8_192}
"""A step, by GPUs: a batch grows more slowly than a machine."""
LIVE = 256
"""Episodes that an engine serves at once at most."""
ENOUGH = 4_096
"""Tokens of a micro-batch that a learner is content with."""
GRID = 32
"""Parts in which a machine is shared out."""


class Model(NamedTuple):
    """A public model: its published shape."""

    name: str
    size: str
    config: Any

    @property
    def shape(self) -> Shape:
        return _shape(self.name)


def _qwen(width: int, layers: int, heads: int, feed: int, tied: bool) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=151_936,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=feed,
        tie_word_embeddings=tied,
        dtype="bfloat16",
    )


MODELS = (
    Model("Qwen3-0.6B", "0.6B", _qwen(1024, 28, 16, 3072, True)),
    Model("Qwen3-4B", "4B", _qwen(2560, 36, 32, 9728, True)),
    Model("Qwen3-8B", "8B", _qwen(4096, 36, 32, 12288, False)),
    Model("Qwen3-32B", "32B", _qwen(5120, 64, 64, 25600, False)),
    Model(
        "Llama-3.1-70B",
        "70B",
        LlamaConfig(
            vocab_size=128_256,
            hidden_size=8192,
            num_hidden_layers=80,
            num_attention_heads=64,
            num_key_value_heads=8,
            intermediate_size=28_672,
            tie_word_embeddings=False,
            dtype="bfloat16",
        ),
    ),
)


@cache
def _shape(name: str) -> Shape:
    return shape_of(next(model.config for model in MODELS if model.name == name))


# -- what follows ------------------------------------------------------------------------------------------------------
class Cost(NamedTuple):
    """What a way of learning takes of the learner's memory, whole, in bytes."""

    weights: int
    trained: int
    """Gradients and both moments."""
    sent: int
    """To the engines, each version."""


def cost(shape: Shape, way: str) -> Cost:
    """LoRA r16 on bfloat16 weights, or whole weights in bfloat16 or float32."""
    if way == "LoRA":
        adapter = shape.adapter(16)
        return Cost(2 * shape.parameters + 4 * adapter, 12 * adapter, 4 * adapter)
    size = 2 if way == "bfloat16" else 4
    return Cost(size * shape.parameters, 3 * size * shape.parameters, 2 * shape.parameters)


WAYS = ("LoRA", "bfloat16", "float32")


def micro_batch(shape: Shape, way: str, ranks: int) -> int:
    """The most tokens of a micro-batch that leave room for the rest on each rank, in rows of 512; layers recomputed."""
    needed = cost(shape, way)
    size = 4 if way == "float32" else 2
    layers = 2 * size * shape.parameters // shape.layers if ranks > 1 else 0
    room = USED * GPU - (needed.weights + needed.trained) / ranks - layers - 16 * shape.vocab * 256
    kept = shape._replace(itemsize=size)
    row = kept.activations(1, 512, packed=True, rank=16 if way == "LoRA" else 0, recomputed=True) + kept.passing(512)
    return max(0, int(room // row)) * 512


def fewest_ranks(shape: Shape, way: str) -> int:
    """The fewest learner ranks (a power of two) that hold a micro-batch that is large enough."""
    ranks = 1
    while micro_batch(shape, way, ranks) < ENOUGH and ranks < 1_024:
        ranks *= 2
    return ranks


def engine_gpus(shape: Shape) -> int:
    """GPUs of one engine: the weights take half of their memory at most."""
    gpus = 1
    while 2 * shape.parameters > 0.5 * USED * GPU * gpus:
        gpus *= 2
    return gpus


def engine_live(shape: Shape) -> int:
    """Episodes whose keys and values an engine holds at once."""
    gpus = engine_gpus(shape)
    room = USED * GPU * gpus - 2 * shape.parameters
    return min(LIVE, int(room / shape.cache(READ)))


def token_s(shape: Shape) -> tuple[float, float]:
    """Seconds for a token: a part for all that are served (weights are read), and a part for each (its cache is)."""
    gpus = engine_gpus(shape)
    each = shape.cache(READ // 2) / (HBM * READS) + 2 * shape.parameters / (FLOPS * MULTIPLIES)
    return STEP_S + 2 * shape.parameters / (HBM * READS * gpus), each / gpus


def learner_tokens_s(model: Model, way: str) -> float:
    """Of one GPU: as published, or that of 4B by the number of weights."""
    shape = model.shape
    known = LEARNER_TOKENS_S.get(model.size)
    speed = known or LEARNER_TOKENS_S["4B"] * _shape("Qwen3-4B").parameters / shape.parameters
    return speed * (1.0 if way == "LoRA" else WHOLE)


def publish_s(shape: Shape, way: str) -> float:
    """Seconds until all engines have a version."""
    return cost(shape, way).sent / (NETWORK * LINKED)


class Split(NamedTuple):
    """A machine's GPUs, shared out."""

    learners: int
    engines: int
    forecast: Forecast


def pipeline(model: Model, way: str, gpus: int, learners: int, staleness: int, admission: str) -> Pipeline:
    """A machine with so many of its GPUs for the learner."""
    shape = model.shape
    return Pipeline(
        episodes=EPISODES[gpus],
        tokens=long_tail(SAMPLED, SPREAD, LONGEST),
        token_s=steady(*token_s(shape)),
        learn=always(learn_s(model, way, gpus, learners)),
        publish_s=publish_s(shape, way),
        engines=(gpus - learners) // engine_gpus(shape),
        live=engine_live(shape),
        staleness=staleness,
        admission="continuous" if admission == "continuous" else "batches",
    )


def learn_s(model: Model, way: str, gpus: int, learners: int) -> float:
    """Seconds to learn from a step's episodes."""
    return EPISODES[gpus] * READ / (learner_tokens_s(model, way) * (learners if learners == 1 else learners * SCALED))


def play_s(model: Model, gpus: int, learners: int, staleness: int) -> float:
    """About how long a step's episodes take, for a first choice of the split: the longest one, or all that is to do."""
    alone, each = token_s(model.shape)
    engines = (gpus - learners) // engine_gpus(model.shape)
    live = min(engine_live(model.shape), EPISODES[gpus] * (1 + staleness) / engines)
    pace = alone + each * live
    return max(LONGEST * pace / (1 + staleness), EPISODES[gpus] * SAMPLED * pace / live / engines)


@cache
def split(name: str, way: str, gpus: int, staleness: int, admission: str = "batches") -> Split | None:
    """The split with the shortest step; None where the learner leaves no GPU to an engine."""
    model = next(m for m in MODELS if m.name == name)
    fewest, unit = fewest_ranks(model.shape, way), engine_gpus(model.shape)
    choices = sorted({max(1, fewest, gpus * part // GRID) for part in range(1, GRID)})
    choices = [learners for learners in choices if gpus - learners >= unit]
    if not choices:
        return None

    def about(learners: int) -> float:
        play, learn = play_s(model, gpus, learners, staleness), learn_s(model, way, gpus, learners)
        return max(play, learn) if staleness else play + learn

    best = choices.index(min(choices, key=about))
    steps, warm = (12, 4) if gpus < 1_000 else (6, 2)
    found = [
        Split(
            n, (gpus - n) // unit, simulate(pipeline(model, way, gpus, n, staleness, admission), steps=steps, warm=warm)
        )
        for n in choices[max(0, best - 1) : best + 2]
    ]
    return min(found, key=lambda candidate: candidate.forecast.step_s)


# -- tables ------------------------------------------------------------------------------------------------------------
def memory_table() -> str:
    """Bytes by model and way of learning."""
    head = ("model", "weights", "learning", "of", "trained", "needs", "ranks at least", "micro-batch there", "on 8")
    rows = []
    for model in MODELS:
        shape = model.shape
        for way in WAYS:
            needed, ranks = cost(shape, way), fewest_ranks(shape, way)
            trained = shape.adapter(16) if way == "LoRA" else shape.parameters
            row: list[Any] = [model.name, f"{shape.parameters / 1e9:.2f} B", "LoRA r16" if way == "LoRA" else "whole"]
            row += ["bfloat16" if way == "LoRA" else way, _short(trained), gib(needed.weights + needed.trained)]
            eight = micro_batch(shape, way, 8)
            rows.append([*row, ranks, f"{micro_batch(shape, way, ranks):,}", f"{eight:,}" if eight else "does not fit"])
    return table(head, rows)


def network_table() -> str:
    """What a version weighs, and how long it is under way."""
    head = ("model", "LoRA r16", "seconds", "whole, bfloat16", "seconds", "times as much")
    rows = []
    for model in MODELS:
        row: list[Any] = [model.name]
        for way in ("LoRA", "bfloat16"):
            row += [gib(cost(model.shape, way).sent), f"{publish_s(model.shape, way):.3f}"]
        rows.append([*row, f"{cost(model.shape, 'bfloat16').sent / cost(model.shape, 'LoRA').sent:.0f}"])
    return table(head, rows)


def engine_table() -> str:
    """What one engine does."""
    head = ("model", "GPUs an engine", "episodes at once", "cache each", "tokens/s of one episode", "tokens/s in all")
    rows = []
    for model in MODELS:
        alone, each = token_s(model.shape)
        live = engine_live(model.shape)
        pace = alone + each * live
        row = (model.name, engine_gpus(model.shape), live, gib(model.shape.cache(READ)))
        rows.append((*row, f"{1 / pace:.0f}", f"{live / pace:,.0f}"))
    return table(head, rows)


CELLS = (("LoRA", 0), ("LoRA", 1), ("LoRA", 2), ("bfloat16", 1))
"""Ways of learning, and steps ahead, of a split."""


def split_table(gpus: int) -> str:
    """The split of a machine."""
    head = (
        "model",
        "learning",
        "ahead",
        "learner GPUs",
        "engines",
        "step, s",
        "steps/h",
        "learner",
        "engines busy",
        "filled",
    )
    rows = []
    for model in MODELS:
        for way, staleness in CELLS:
            found = split(model.name, way, gpus, staleness)
            name = [model.name, "LoRA r16" if way == "LoRA" else "whole", staleness]
            if found is None:
                rows.append([*name, f"needs {fewest_ranks(model.shape, way)}", "does not fit", *[""] * 5])
                continue
            f = found.forecast
            row = [*name, found.learners, found.engines, f"{f.step_s:.0f}", f"{f.steps_an_hour:.1f}"]
            rows.append([*row, f"{f.learner:.0%}", f"{f.engines:.0%}", f"{f.filled:.0%}"])
    return table(head, rows)


def admission_table() -> str:
    """Whole batches against one by one, on 64 GPUs."""
    head = ("model", "ahead", "whole batches: steps/h", "one by one: steps/h", "its staleness, mean", "at most")
    rows = []
    for model in MODELS[1:3]:
        for staleness in (1, 2):
            batches = split(model.name, "LoRA", 64, staleness)
            single = split(model.name, "LoRA", 64, staleness, "continuous")
            if batches and single:
                row = (model.name, staleness, f"{batches.forecast.steps_an_hour:.1f}")
                one = single.forecast
                rows.append((*row, f"{one.steps_an_hour:.1f}", f"{one.staleness:.2f}", one.stalest))
    return table(head, rows)


def gib(count: float) -> str:
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / 2**20:,.0f} MiB"


def _short(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def table(head: Any, rows: Any) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def main() -> None:
    """Put every table between its marks."""
    tables = {
        "memory": memory_table(),
        "network": network_table(),
        "engines": engine_table(),
        **{f"split-{gpus}": split_table(gpus) for gpus in EPISODES},
        "admission": admission_table(),
    }
    text = PAGE.read_text()
    for name, made in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        assert found and closed and begin not in rest, f"{PAGE.name} has not one place for {name}"
        text = f"{before}{begin}\n{made}\n{end}{after}"
    PAGE.write_text(text)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
