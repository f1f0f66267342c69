"""How many bytes a run will take, and where, before anything is loaded.

Parameters are counted on the model's own shape (`agents/shapes.py`, where also what a forward pass keeps is derived).
How long the rows are that the learner meets is not guessed either: a step's episodes are rehearsed with random moves
(`rehearsal.py`), and the micro-batches are those of the real packing.

On a CPU the allocator is given back much that it cannot use again, between what is kept: measured with glibc 2.36, all
that a forward pass makes and does not keep, where a step has several micro-batches, and two fifths of it where it has
one; the optimizer's state fills what it can of it. What is in no figure: the environments, and what others allocate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoTokenizer

from palaestra.agents.engines.embedded import MOST_LOGITS
from palaestra.agents.shapes import Shape, shape_of
from palaestra.agents.tiny import config_of, env_texts, tokenizer
from palaestra.alignment.packing import MicroBatch
from palaestra.alignment.packing import plan as packed
from palaestra.alignment.recipe import Recipe
from palaestra.alignment.rows import ChoiceRow, Row, merge
from palaestra.errors import ScenarioError
from palaestra.scenarios.build import TOKENIZER_PLAYS, base_of
from palaestra.scenarios.rehearsal import MOST_EPISODES, Base, Rehearsal, rehearse
from palaestra.scenarios.scenario import EngineSpec, PolicySpec, Scenario

FIRST_USE = 50 << 20
"""What torch takes when it computes for the first time: kernels that are paged in, and buffers of its libraries."""
GPU_CONTEXT = 1 << 29
"""What CUDA takes of a GPU for each process. An assumption: not measured."""
MAX_ROWS, TOKENS_PER_PASS, ROOM = 256, 4096, 64
"""Of the embedded engine."""
HEAD_CHUNK = 256
"""Of the learner."""
UNUSABLE = 0.4
"""Share of what a single micro-batch discards that the CPU's allocator cannot use again."""
GIB = 1 << 30


# -- what is known beforehand ----------------------------------------------------------------------------------------
def _base(scenario: Scenario, spec: PolicySpec, dtype: torch.dtype | None) -> Base:
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
        return Base(shape_of(config, dtype or torch.float32), words)
    where = str(spec.model)
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=True)
        return Base(shape_of(config, dtype), AutoTokenizer.from_pretrained(where, local_files_only=True))
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"memory: the config of {where!r} is not on this machine\n  what it takes is known once it is downloaded"
        ) from error


# -- the plan ----------------------------------------------------------------------------------------------------------
class Part(NamedTuple):
    """Something that lies in memory: all the time, or while the run `starts`, `plays`, `learns` or
    `saves`."""

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
    "activations": "set recipe.recompute = true, or lower recipe.tokens_per_micro_batch",
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


def memory(scenario: Scenario) -> Plan:
    """What a run of a scenario takes, in the processes that its table `scale` names.

    Workers that play hold an engine each, and all versions that play; learners share weights, gradients and optimizer
    state (FSDP), each learning from its part of a step's rows; the process that was started holds a copy of the weights
    and every frozen one, and does what no other does.

    Raises:
        ScenarioError: a model's config is not on this machine.
    """
    spec = _engine(scenario)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if spec.device == "auto" else spec.device
    bases = _bases(scenario, spec)
    rehearsal = rehearse(scenario, bases)
    held = copies(scenario)
    own = sum(_own(scenario, bases, name)[1] for name in scenario.trained)
    here = Part("process", process_bytes(), "Python, torch, all that is imported, and torch's first use")
    process = here if device == "cpu" else Part("process", GPU_CONTEXT, "CUDA's context (an assumption)")
    models = Part("weights", _weights(scenario, bases), _counted(scenario, bases))
    stored = Part("frozen copies", held * own, f"at most {held} of each that trains: start, league, references, ahead")
    rollouts, learners = scenario.scale.rollouts if scenario.scale.ray else 0, scenario.scale.learners
    learning = list(_learning(scenario, bases, rehearsal, device, max(learners, 1)))
    playing = list(_playing(scenario, bases, rehearsal))
    saving = Part("copies to save", own, "", "saves")
    apart = bool(rollouts or learners)
    place = "the CPU" if device == "cpu" else "a GPU" if apart else "the GPU"
    beside = []
    if spec.kind == "vllm":
        server, ways = _vllm(spec, bases, device, place, here), spec.vllm.tensor_parallel
        if place == "the GPU" and ways > 1:  # the run is on the first of its GPUs
            beside.append(server._replace(device="a GPU", number=ways - 1))
        else:
            server = server._replace(number=max(rollouts, 1) * ways)
        playing = []
        if spec.vllm.sleep and device != "cpu" and not apart:  # it gives its memory back while the run learns
            playing = [part._replace(when="plays") for part in server.parts]
        else:
            beside.append(server)
    if rollouts:
        beside.append(Process("rollout worker", place, _seen([process, models, stored, *playing]), number=rollouts))
        playing = []
    if learners:
        share = _shared(models, learners)
        whole = Part("before sharing", models.bytes - share.bytes, "each makes the whole model first", "starts")
        beside.append(Process("learner", place, _seen([process, share, whole, *learning]), number=learners))
        learning = []
    parts = [process, models, stored, *learning, *playing, *([saving] if device == "cpu" else [])]
    together = bool(scenario.recipe.staleness) and bool(learning and playing)
    out = [Process("the driver" if apart else "the run", place, _seen(parts), together), *beside]
    if device != "cpu":
        out.append(Process("each process", "the CPU", (here, saving), number=1 + rollouts + learners))
    return Plan(tuple(out), tuple(_notes(scenario, bases, spec)))


def _bases(scenario: Scenario, spec: EngineSpec) -> dict[str, Base]:
    """The base of every policy whose weights will be here."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": None}[spec.dtype]
    found: dict[str, Base] = {}
    bases = {}
    for name, policy in scenario.policies.items():
        home = scenario.engines.get(policy.engine, EngineSpec())
        if policy.model is not None and home.kind != "openai":
            key = base_of(policy)
            if key not in found:
                found[key] = _base(scenario, policy, dtype)
            bases[name] = found[key]
    return bases


def _notes(scenario: Scenario, bases: dict[str, Base], spec: EngineSpec) -> Iterator[str]:
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


def _own(scenario: Scenario, bases: dict[str, Base], name: str) -> tuple[int, int]:
    """Parameters that belong to a policy alone, and their bytes: all of them, or its adapter's in float32."""
    spec, shape = scenario.policies[name], bases[name].shape
    if spec.adapter is None:
        return shape.parameters, shape.parameters * shape.itemsize
    count = shape.adapter(spec.adapter.rank)
    return count, count * 4


def _weights(scenario: Scenario, bases: dict[str, Base]) -> int:
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


def _counted(scenario: Scenario, bases: dict[str, Base]) -> str:
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
    scenario: Scenario, bases: dict[str, Base], rehearsal: Rehearsal, device: str, learners: int
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
        kept = shape.activations(rows, length, packed=recipe.packing, rank=rank, recomputed=recipe.recompute)
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


def _playing(scenario: Scenario, bases: dict[str, Base], rehearsal: Rehearsal) -> Iterator[Part]:
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


def _vllm(spec: EngineSpec, bases: dict[str, Base], device: str, place: str, process: Part) -> Process:
    """A process of vLLM's: on a GPU its share of all memory, on a CPU weights and the cache that it was given."""
    share = spec.vllm.memory if spec.vllm.memory is not None else (1 if device == "cpu" else 0.5)
    if device != "cpu":
        total = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
        return Process("vLLM", place, (Part("vLLM", int(share * total), f"{share:.0%} of the GPU, as it is told"),))
    weights = sum(base.shape.parameters * base.shape.itemsize for base in {b.shape: b for b in bases.values()}.values())
    part = Part("weights", -(-weights // spec.vllm.tensor_parallel))
    parts = (process, part, Part("vLLM", int(share * GIB), "its cache"))
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
