"""How many bytes a run will take, and where, before anything is loaded.

Parameters are counted on the model's own shape, built without memory (torch's meta device). How long the rows are that
the learner meets is not guessed either: one step's episodes are rehearsed, with random legal moves at the greatest
length that is allowed, by the real agents, and the micro-batches are those of the real packing.

What a forward pass keeps for the backward one was read off autograd's saved tensors for the Llama and Qwen3 layers of
transformers with `sdpa` (a test does so again): in elements by token and layer, `D` the width, `A` and `K` the widths
of queries and of keys, `F` the feed-forward width, `T` the row's length,

    4 D (two norms: what came in, and normalized) + 2 D (what they gave) + 2 A + 2 K (attention) + 4 F (feed-forward)
    + heads and 2 in float32, + T in a packed row, whose mask every layer turns into numbers of its own; K is A there

Below float32 the norms keep what came in as float32. With adapters on frozen weights, what was normalized is not kept,
and each adapted matrix keeps its `rank` numbers; Qwen3 keeps 2 A + 2 K more for its norms of queries and keys.

On a CPU the allocator is given back much that it cannot use again, between what is kept: measured with glibc 2.36, all
that a forward pass makes and does not keep, where a step has several micro-batches, and two fifths of it where it has
one; the optimizer's state fills what it can of it. What is in no figure: the environments, and what others allocate.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from palaestra.agents import batching
from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.engines.embedded import MOST_LOGITS, GenerateJob, ScoreJob
from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.language import LanguagePolicy, LanguageSitter
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import Cast, player
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import config_of, env_texts, tokenizer
from palaestra.alignment.packing import MicroBatch
from palaestra.alignment.packing import plan as packed
from palaestra.alignment.recipe import Recipe
from palaestra.alignment.rows import ChoiceRow, Row, merge, rows_of, value_row
from palaestra.envs.script import Request, play_random
from palaestra.errors import ScenarioError
from palaestra.scenarios.build import TOKENIZER_PLAYS, base_of
from palaestra.scenarios.scenario import EngineSpec, PolicySpec, Scenario

FIRST_USE = 50 << 20
"""What torch takes when it computes for the first time: kernels that are paged in, and buffers of its libraries."""
GPU_CONTEXT = 1 << 29
"""What CUDA takes of a GPU for each process. An assumption: not measured."""
MAX_ROWS, TOKENS_PER_PASS, ROOM = 256, 4096, 64
"""Of the embedded engine."""
HEAD_CHUNK = 256
"""Of the learner."""
MOST_EPISODES = 256
"""Episodes that are rehearsed at most."""
UNUSABLE = 0.4
"""Share of what a single micro-batch discards that the CPU's allocator cannot use again."""
GIB = 1 << 30


# -- the shape of a model ----------------------------------------------------------------------------------------------
class Shape(NamedTuple):
    """What the memory of a model depends on."""

    kind: str
    parameters: int
    largest: int
    """Elements of the largest parameter."""
    layers: int
    width: int
    feed: int
    heads: int
    queries: int
    """Heads times their width."""
    keys: int
    vocab: int
    context: int
    itemsize: int
    linears: tuple[tuple[int, int], ...]
    """(in, out) of every linear map but the head: what "all-linear" adapters lie on."""

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter."""
        return rank * sum(i + o for i, o in self.linears)

    def cache(self, tokens: int) -> int:
        """Bytes of keys and values."""
        return tokens * self.layers * 2 * self.keys * self.itemsize

    def activations(self, rows: int, length: int, *, packed: bool, rank: int = 0, recomputed: bool = False) -> int:
        """Bytes that the forward pass of a rectangle of tokens keeps for the backward pass.

        With `recomputed` layers: what enters each of them, and all of one.
        """
        size, width = self.itemsize, self.width
        norm = (4 if size < 4 else size) * width + (0 if rank else size * width) + size * width + 4
        keys = self.queries if packed else self.keys  # under a mask, shared keys are repeated for every query head
        attention = 2 * size * (self.queries + keys) + 4 * self.heads
        if "qwen3" in self.kind:
            each = (4 if size < 4 else size) + (0 if rank else size)
            attention += each * (self.queries + self.keys) + 4 * (self.heads + self.heads * self.keys // self.queries)
        adapters = 4 * rank * len(self.linears) // self.layers
        lowered = 4 * (self.queries + self.feed + 2 * width) if rank and size < 4 else 0  # adapters read float32
        layer = 2 * norm + attention + 4 * self.feed * size + adapters + lowered + (length * size if packed else 0)
        layers = self.layers * size * width + layer if recomputed else self.layers * layer
        return rows * length * (layers + norm + 8 + 2 * size * self.queries // self.heads + 4)

    def discarded(self, tokens: int, rank: int = 0) -> int:
        """Bytes that the forward pass of a micro-batch makes and does not keep, over all layers."""
        elements = 4 * self.width + 5 * (self.queries + self.keys)
        if rank:  # normalized inputs, and of each adapted matrix: the base's product, the adapter's, that scaled
            elements += 2 * self.width + 3 * sum(out for _, out in self.linears) // self.layers
        return tokens * self.layers * elements * self.itemsize

    def passing(self, tokens: int) -> int:
        """Bytes that a pass without gradient holds at once, in one layer."""
        return tokens * self.itemsize * (3 * self.feed + 4 * self.width)


def shape_of(config: Any, dtype: torch.dtype | None = None) -> Shape:
    """The shape of a causal language model, counted on the module itself, which is built without memory."""
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    head = module.get_output_embeddings()
    linears = tuple(
        (m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear) and m is not head
    )
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kept = dtype or getattr(text, "dtype", None) or torch.float32
    return Shape(
        text.model_type,
        sum(p.numel() for p in module.parameters()),
        max(p.numel() for p in module.parameters()),
        text.num_hidden_layers,
        text.hidden_size,
        text.intermediate_size,
        text.num_attention_heads,
        size * text.num_attention_heads,
        size * (getattr(text, "num_key_value_heads", None) or text.num_attention_heads),
        text.vocab_size,
        getattr(text, "max_position_embeddings", 1 << 30),
        torch.empty(0, dtype=kept).element_size(),
        linears,
    )


class _Base(NamedTuple):
    shape: Shape
    tokenizer: Any


def _base(scenario: Scenario, spec: PolicySpec, dtype: torch.dtype | None) -> _Base:
    """A policy's base as it will be loaded, from what lies on this machine.

    Raises:
        ScenarioError: its config or tokenizer is not here.
    """
    if spec.model == "tiny":
        words = tokenizer(env_texts(scenario.env, scenario.env_params, TOKENIZER_PLAYS), vocab=spec.tiny.vocab)
        shape = spec.tiny
        config = config_of(
            words, width=shape.width, layers=shape.layers, heads=shape.heads, kind=shape.kind, context=shape.context
        )
        return _Base(shape_of(config, dtype or torch.float32), words)
    where = str(spec.model)
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=True)
        return _Base(shape_of(config, dtype), AutoTokenizer.from_pretrained(where, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"memory: the config of {where!r} is not on this machine\n  what it takes is known once it is downloaded"
        ) from error


# -- the rehearsal -----------------------------------------------------------------------------------------------------
class Asked(NamedTuple):
    """One batch that an engine was asked for."""

    policy: str
    rows: int
    length: int
    """Of the longest prompt, with the candidates behind it."""
    more: int
    """Tokens that may be sampled behind it."""
    predicted: int
    """Positions of a row that logits are wanted of."""


@dataclass
class _Stage:
    """Stands in for the engine: draws nothing, computes nothing, and writes down what it is asked."""

    contexts: dict[str, int]
    asked: list[Asked] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    async def generate(self, prefix: list[int], sampling: Sampling, policy: PolicyRef, seed: int) -> Completion:
        words, limit = self.words, min(sampling.max_tokens, self.contexts[policy.name] - len(prefix))
        done: bool = await batching.serve(self, "generate", GenerateJob(prefix, sampling, policy, seed))
        ids = words[-limit:] if done and limit > 0 else []
        return Completion(ids, [-1.0] * len(ids), "length" if ids else "context")

    async def score(self, prefix: list[int], candidates: list[list[int]], policy: PolicyRef) -> list[list[float]]:
        await batching.serve(self, "score", ScoreJob(prefix, candidates, policy))
        return [[-1.0] * len(c) for c in candidates]

    async def publish(self, policy: PolicyRef, weights: Any = None) -> None: ...
    async def retire(self, policy: PolicyRef) -> None: ...

    def serve(self, kind: str, jobs: list[Any]) -> list[Any]:
        for name in dict.fromkeys(job.policy.name for job in jobs):
            own = [job for job in jobs if job.policy.name == name]
            longest = max(len(job.prefix) for job in own)
            if kind == "generate":
                more = max(min(job.sampling.max_tokens, self.contexts[name] - len(job.prefix)) for job in own)
                self.asked.append(Asked(name, len(own), longest, max(more, 0), 1))
            else:
                tree = max(len({c[:n] for c in map(tuple, job.candidates) for n in range(1, len(c))}) for job in own)
                rows = len({(tuple(job.prefix), tuple(map(tuple, job.candidates))) for job in own})
                self.asked.append(Asked(name, rows, longest + tree, 0, 1 + tree))
        return [True] * len(jobs)


@dataclass(frozen=True)
class _Rehearsing(LanguagePolicy):
    """Says random letters and then a random legal move, as many tokens as it may."""

    def sit(self, seat: str, key: str) -> LanguageSitter:
        return _Sitter(self, seat, key)


class _Sitter(LanguageSitter):
    async def _speak(self, request: Request) -> str:
        stage, most = self.policy.engine, self.policy.max_tokens
        assert isinstance(stage, _Stage)
        rng = random.Random(f"{self.key}|{self.seat}|{request.turn}")
        move = self.policy.renderer.encode(" " + play_random(request, rng))
        letters = [self.policy.renderer.encode(letter)[0] for letter in "abcdefghijklmnopqrstuvwxyz"]
        stage.words = (rng.choices(letters, k=max(most - len(move), 0)) + move)[-most:]
        return await super()._speak(request)


class Rehearsal(NamedTuple):
    """A step's episodes as far as memory goes."""

    rows: dict[str, list[Row]]
    """By policy that trains."""
    asked: list[Asked]


def rehearse(scenario: Scenario, bases: dict[str, _Base]) -> Rehearsal:
    """Play a step's episodes at random, and keep what learner and engine would see of them."""
    stage = _Stage({name: base.shape.context for name, base in bases.items()})
    cast: Cast = {}
    for seat in scenario.make_env().seats:
        entry = scenario.seat(seat)
        spec = scenario.policies[entry.policy]
        if spec.player is not None or entry.policy not in bases:
            cast[seat] = player(scenario.env_class, spec.player or "random")
            continue
        small = spec.model == "tiny"
        cast[seat] = _Rehearsing(
            ref=PolicyRef(entry.policy),
            engine=stage,
            renderer=Renderer(bases[entry.policy].tokenizer),
            act=spec.act,
            max_tokens=spec.max_tokens,
            norm=spec.norm,
            history=spec.history,
            persona=entry.persona,
            show_rules=not small if spec.show_rules is None else spec.show_rules,
            show_legal=not small if spec.show_legal is None else spec.show_legal,
            legal=spec.legal,
        )
    recipe = scenario.recipe
    jobs = []
    for n in range(min(recipe.episodes, MOST_EPISODES)):
        group = n // recipe.group_size
        seed = recipe.seeds[group % len(recipe.seeds)] if recipe.seeds else group
        jobs.append(Job(scenario.env, dict(scenario.env_params), cast, seed, f"rehearsal|{n}"))
    episodes = wait_for(rollout(jobs, live=scenario.run.live))
    rows = {name: list(_rows(scenario, name, episodes)) for name in scenario.trained}
    return Rehearsal(rows, stage.asked)


def _rows(scenario: Scenario, name: str, episodes: Sequence[Episode]) -> Iterator[Row]:
    norm = "token" if scenario.policies[name].norm == "token" else "sum"
    for trajectory in (t for e in episodes for t in e.trajectories if PolicyRef.parse(t.policy).name == name):
        yield from rows_of(trajectory, 1.0, norm="token" if norm == "token" else "sum")
        if scenario.recipe.estimator == "gae":
            yield value_row(trajectory)


# -- the plan ----------------------------------------------------------------------------------------------------------
class Part(NamedTuple):
    """Something that lies in memory: all the time, or while the run `plays`, `learns` or `saves`."""

    name: str
    bytes: int
    about: str = ""
    when: str = ""


class Process(NamedTuple):
    """A process, and what lies in it."""

    name: str
    device: str
    parts: tuple[Part, ...]
    together: bool = False
    """Playing and learning at the same time."""
    number: int = 1
    """Of such processes."""

    @property
    def peak(self) -> int:
        """Bytes at the worst moment."""
        phases = {when: sum(p.bytes for p in self.parts if p.when == when) for when in {p.when for p in self.parts}}
        always = phases.pop("", 0)
        if self.together:
            phases["both"] = phases.get("learns", 0) + phases.get("plays", 0)
        return always + max(phases.values(), default=0)


class Plan(NamedTuple):
    """What a run takes, by process."""

    processes: tuple[Process, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """A table for the terminal."""
        lines = []
        for process in self.processes:
            count = f"{process.number} x " if process.number > 1 else ""
            lines.append(f"  {'memory':<12}{count}{process.name} on {process.device}: {show(process.peak)} at the peak")
            for part in process.parts:
                when = f"while it {part.when}" if part.when else ""
                lines.append(f"  {'':<12}  {part.name:<16}{show(part.bytes):>10}  {when:<16}{part.about}".rstrip())
        return "\n".join([*lines, *(f"  {'memory':<12}{note}" for note in self.notes)])

    def problems(self, room: dict[str, int] | None = None) -> list[str]:
        """Where it cannot fit, with advice; `room` is bytes by device, by default those of this machine."""
        room = free(self.processes) if room is None else room
        out = []
        for device in dict.fromkeys(p.device for p in self.processes):
            here = [p for p in self.processes if p.device == device]
            need = sum(p.peak * p.number for p in here)
            if device in room and need > room[device]:
                out.append(
                    f"memory: {show(need)} on {device}, and {show(room[device])} is there\n      {_advice(here)}"
                )
        return out

    def check(self, where: str, room: dict[str, int] | None = None) -> None:
        """Refuse what cannot fit.

        Raises:
            ScenarioError: where it does not, and what to change.
        """
        if problems := self.problems(room):
            head = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {where}"
            raise ScenarioError("\n".join([head, *(f"  {p}" for p in problems)]))


ADVICE = {
    "activations": "lower recipe.tokens_per_micro_batch",
    "allocator": "lower recipe.tokens_per_micro_batch",
    "frozen copies": "lower league.limit or recipe.staleness, or learn an adapter: its copies are small",
    "optimizer": "learn an adapter: policies.NAME.adapter = { rank = 16 }",
    "gradients": "learn an adapter: policies.NAME.adapter = { rank = 16 }",
    "weights": "take a smaller model, or more learners",
    "cache": "lower run.live or policies.NAME.max_tokens",
    "pass": "lower run.live",
    "copies to save": "learn an adapter: policies.NAME.adapter = { rank = 16 }",
    "vLLM": "lower engines.local.vllm.memory",
    "process": "take fewer rollouts",
}


def _advice(processes: Sequence[Process]) -> str:
    """What to change: the largest part first, of those that matter."""
    sizes: dict[str, int] = {}
    for process in processes:
        for part in process.parts:
            sizes[part.name] = sizes.get(part.name, 0) + part.bytes * process.number
    first, second = (sorted(sizes, key=lambda name: -sizes[name]) + [""])[:2]
    texts = [f"{name} {show(sizes[name])}: {ADVICE[name]}" for name in (first, second) if name in ADVICE]
    return "\n      ".join(texts)


def memory(scenario: Scenario, *, rollouts: int = 0, learners: int = 1) -> Plan:
    """What a run of a scenario takes.

    Args:
        rollouts: workers that play, each with an engine and all versions that play; 0: the learner's process does.
        learners: ranks that share weights, gradients, optimizer state and references (FSDP), each learning from its
            part of a step's rows.
    Raises:
        ScenarioError: a model's config is not on this machine.
    """
    spec = _engine(scenario)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if spec.device == "auto" else spec.device
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": None}[spec.dtype]
    found: dict[str, _Base] = {}
    bases = {}
    for name, policy in scenario.policies.items():
        home = scenario.engines.get(policy.engine, EngineSpec())
        if policy.model is not None and home.kind != "openai":
            key = base_of(policy)
            if key not in found:
                found[key] = _base(scenario, policy, dtype)
            bases[name] = found[key]
    rehearsal = rehearse(scenario, bases)
    held = copies(scenario)
    own = sum(_own(scenario, bases, name)[1] for name in scenario.trained)
    models = Part("weights", _weights(scenario, bases), _counted(scenario, bases))
    stored = Part(
        "frozen copies", held * own, f"at most {held} of each that trains: start, league, reference, staleness"
    )
    learning = list(_learning(scenario, bases, rehearsal, device, learners))
    playing = list(_playing(scenario, bases, rehearsal))
    here = Part("process", process_bytes(), "Python, torch, all that is imported, and torch's first use")
    process = here if device == "cpu" else Part("process", GPU_CONTEXT, "CUDA's context (an assumption)")
    saving = Part("copies to save", own, "", "saves")
    place = "the CPU" if device == "cpu" else "a GPU" if rollouts or learners > 1 else "the GPU"
    out = []
    if rollouts or learners > 1:
        copied = 1 + bool(scenario.recipe.kl) + bool(scenario.recipe.kl and scenario.recipe.kl.refresh)
        kept = stored._replace(bytes=copied * own, about="start and references")
        parts = [process, _shared(models, learners), _shared(kept, learners), *learning]
        out.append(Process("learner", place, _seen([*parts, *([saving] if device == "cpu" else [])]), number=learners))
        if spec.kind != "vllm":
            name, parts = "rollout worker", [process, models, stored, *playing]
            out.append(Process(name, place, _seen(parts), number=max(rollouts, 1)))
    else:
        parts = [process, models, stored, *learning, *(playing if spec.kind != "vllm" else [])]
        parts += [saving] if device == "cpu" else []
        out.append(Process("the run", place, _seen(parts), bool(scenario.recipe.staleness)))
    if spec.kind == "vllm":
        out.append(_vllm(spec, bases, device, place, here)._replace(number=max(rollouts, 1)))
    if device != "cpu":
        number = max(rollouts, 1) + learners - 1 + bool(rollouts)
        out.append(Process("each process", "the CPU", (here, saving), number=number))
    return Plan(tuple(out), tuple(_notes(scenario, bases, spec)))


def _notes(scenario: Scenario, bases: dict[str, _Base], spec: EngineSpec) -> Iterator[str]:
    if any(base.shape.kind not in ("llama", "qwen3") for base in bases.values()):
        yield "activations are those of a Llama of this shape: other architectures were not measured"
    if spec.kind == "vllm":
        yield "vLLM's own process was not measured, and a copy of the base lies in shared memory for it"
    if scenario.recipe.episodes > MOST_EPISODES:
        yield f"the figures are from {MOST_EPISODES} of a step's {scenario.recipe.episodes} episodes"


def _seen(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(p for p in parts if p.bytes)


def _shared(part: Part, learners: int) -> Part:
    return part._replace(
        bytes=-(-part.bytes // learners), about=f"{part.about} / {learners}" if learners > 1 else part.about
    )


def _engine(scenario: Scenario) -> EngineSpec:
    own = [spec for spec in scenario.engines.values() if spec.kind != "openai"]
    return scenario.engines["local"] if "local" in scenario.engines else next(iter(own), EngineSpec())


def _own(scenario: Scenario, bases: dict[str, _Base], name: str) -> tuple[int, int]:
    """Parameters that belong to a policy alone, and their bytes: all of them, or its adapter's in float32."""
    spec, shape = scenario.policies[name], bases[name].shape
    if spec.adapter is None:
        return shape.parameters, shape.parameters * shape.itemsize
    count = shape.adapter(spec.adapter.rank)
    return count, count * 4


def _weights(scenario: Scenario, bases: dict[str, _Base]) -> int:
    """Bytes of all live weights: each base once, whole policies beyond the first of a base copied, and adapters."""
    total, seen = 0, set()
    for name, base in bases.items():
        spec = scenario.policies[name]
        key = base_of(spec)
        if spec.adapter is None or key not in seen:
            total += base.shape.parameters * base.shape.itemsize
        if spec.adapter is not None:
            total += _own(scenario, bases, name)[1]
        seen.add(key)
    return total


def _counted(scenario: Scenario, bases: dict[str, _Base]) -> str:
    texts = []
    for name, base in bases.items():
        adapter = scenario.policies[name].adapter
        more = f" + {_own(scenario, bases, name)[0]:,} of its adapter" if adapter else ""
        texts.append(f"{name} {base.shape.parameters:,}{more}")
    return "parameters: " + ", ".join(texts)


def copies(scenario: Scenario) -> int:
    """The most frozen versions of a trained policy that are held while it learns."""
    recipe, league = scenario.recipe, scenario.league
    refresh = recipe.kl.refresh if recipe.kl and recipe.kl.to == "copy" else 0
    pool: list[int] = []
    most = reference = before = 0
    for step in range(min(recipe.steps, 10_000)):
        if refresh and step % refresh == 0:
            before, reference = reference, step
        late = range(max(0, step - recipe.staleness), step + 1) if recipe.staleness else ()
        most = max(most, len({0, before, reference, *pool, *late}))
        before = reference
        if (step + 1) % league.every == 0:
            pool = [*pool, step + 1][-league.limit :]
    return most


def _learning(
    scenario: Scenario, bases: dict[str, _Base], rehearsal: Rehearsal, device: str, learners: int
) -> Iterator[Part]:
    """Optimizer state all the time; gradients, and the largest micro-batch, while the run learns."""
    recipe = scenario.recipe
    state = gradients = gathered = lost = 0
    most, head = Part("activations", 0, "", "learns"), 0
    for name in scenario.trained:
        spec, shape = scenario.policies[name], bases[name].shape
        size = _own(scenario, bases, name)[1]
        state += 2 * size
        rows = merge(rehearsal.rows[name][:: recipe.minibatches * learners])
        batches = packed(rows, tokens_per_micro_batch=recipe.tokens_per_micro_batch, packing=recipe.packing)
        rank = spec.adapter.rank if spec.adapter else 0
        kept, tokens, about = _largest(recipe, shape, batches, rank)
        lost = max(lost, int(shape.discarded(tokens, rank) * (1 if len(batches) > 1 else UNUSABLE)))
        if kept > most.bytes:
            most = most._replace(bytes=kept, about=about)
        asked = max((sum(_predictions(rows[i]) for i in batch.rows) for batch in batches), default=0)
        head = max(head, 4 * 4 * shape.vocab * min(asked, HEAD_CHUNK))  # logits and their gradients, in float32
        largest = shape.largest * shape.itemsize
        beside = size if len(batches) > 1 else max(size - kept, largest)  # in one pass they come as activations go
        step = size if device != "cpu" else 2 * largest  # what AdamW holds: on a GPU it works on all at once
        gradients = max(gradients, size if spec.adapter else max(beside, size + step - kept))
        gathered = max(gathered, 2 * shape.itemsize * shape.parameters // shape.layers)
    yield _shared(Part("optimizer", state, "two moments a parameter"), learners)
    yield _shared(Part("gradients", gradients, "", "learns"), learners)
    yield most
    yield Part("logits", head, f"of {HEAD_CHUNK} positions at most, and their gradients", "learns")
    if device == "cpu":
        yield Part("allocator", max(lost - state // learners, 0), "what was freed between what is kept", "learns")
    if learners > 1:
        yield Part("gathered", gathered, "the weights of two layers", "learns")


def _largest(recipe: Recipe, shape: Shape, batches: Sequence[MicroBatch], rank: int) -> tuple[int, int, str]:
    """Bytes and tokens of the largest micro-batch, and what it is. Where a step has several, one of them is full."""
    most, tokens, about = 0, 0, ""
    for batch in batches:
        rows, length = _rectangle(batch.tries, recipe.packing)
        if len(batches) > 1:
            rows = max(rows, recipe.tokens_per_micro_batch // length)
        kept = shape.activations(rows, length, packed=recipe.packing, rank=rank)
        kept += shape.passing(rows * length)  # the gradients of a layer's parts
        if kept > most:
            most, tokens, about = kept, rows * length, f"{rows} rows of {length} tokens at most"
    return most, tokens, about


def _predictions(row: Row) -> int:
    """Positions that logits are wanted of, at most."""
    return sum(map(len, row.candidates)) if isinstance(row, ChoiceRow) else row.trained


def _rectangle(tries: Sequence[Any], packing: bool) -> tuple[int, int]:
    """Rows and columns of a forward pass."""
    if packing:
        return len(tries), max(map(len, tries))
    (trie,) = tries
    leaves = trie.leaves()
    return max(len(leaves), 1), max((trie.depths[leaf] + 1 for leaf in leaves), default=1)


def _playing(scenario: Scenario, bases: dict[str, _Base], rehearsal: Rehearsal) -> Iterator[Part]:
    """The cache of the largest batch, and what one pass over prompts and one draw hold."""
    weight = max(1, sum(scenario.seat(s).policy in bases for s in scenario.make_env().seats))
    at_once = max(scenario.run.live // weight, 1)
    tested = scenario.eval.instances * max(len(scenario.eval.against), 1)
    played = min(scenario.recipe.episodes, MOST_EPISODES)
    more = max(1.0, min(at_once, max(tested, scenario.recipe.episodes)) / min(at_once, played))
    cache, about, passing = 0, "", 0
    for asked in rehearsal.asked:
        shape = bases[asked.policy].shape
        rows = max(16, min(MAX_ROWS, round(asked.rows * more)) if asked.more else round(asked.rows * more))
        tokens = min(rows * asked.length, max(TOKENS_PER_PASS, asked.length))
        lines = max(tokens // asked.length, 1)
        places = lines * min(lines * asked.predicted, asked.length)
        logits = 4 * min(places * shape.vocab, max(MOST_LOGITS, asked.predicted * shape.vocab))
        now = shape.passing(tokens) + logits
        if asked.more:
            columns = asked.length + ROOM
            while columns < asked.length + asked.more:
                columns += max(ROOM, columns // 2)
            kept = shape.cache(rows * columns) * (shape.layers + 1) // shape.layers
            if kept > cache:
                cache, about = kept, f"{rows} replies at once, of {asked.length} + {asked.more} tokens"
            now = max(now + shape.cache(tokens), rows * shape.vocab * 32)
        passing = max(passing, now)
    yield Part("cache", cache, about, "plays")
    yield Part("pass", passing, "over prompts, and the draw", "plays")


def _vllm(spec: EngineSpec, bases: dict[str, _Base], device: str, place: str, process: Part) -> Process:
    """vLLM's own process: on a GPU its share of all memory, on a CPU weights and the cache that it was given."""
    share = spec.vllm.memory if spec.vllm.memory is not None else (1 if device == "cpu" else 0.5)
    if device != "cpu":
        total = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
        return Process("vLLM", place, (Part("vLLM", int(share * total), f"{share:.0%} of the GPU, as it is told"),))
    weights = sum(base.shape.parameters * base.shape.itemsize for base in {b.shape: b for b in bases.values()}.values())
    parts = (process, Part("weights", weights), Part("vLLM", int(share * GIB), "its cache"))
    return Process("vLLM", place, parts)


# -- the machine -------------------------------------------------------------------------------------------------------
def process_bytes() -> int:
    """Resident bytes of this process, which has imported what the run's will, and what torch takes at its first use."""
    return resident() + FIRST_USE


def resident() -> int:
    """Bytes of this process that lie in memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def free(processes: Sequence[Process]) -> dict[str, int]:
    """Bytes by device that a run may take on this machine; a device that cannot be asked is left out."""
    out = {}
    if (available := available_bytes()) is not None:
        out["the CPU"] = available + resident()  # this process is counted as part of the run
    if torch.cuda.is_available():
        rooms = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
        out["the GPU"] = rooms[0]
        asked = sum(p.number for p in processes if p.device == "a GPU")
        if asked <= len(rooms):
            out["a GPU"] = sum(sorted(rooms)[-asked:]) if asked else 0
    return out


def available_bytes() -> int | None:
    """Memory that programs can still be given without swapping; None where the system does not say."""
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def show(count: int) -> str:
    """Bytes for reading."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / (1 << 20):.1f} MiB"
