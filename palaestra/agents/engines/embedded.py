"""The default engine: transformers in this process, on the weights that the learner updates.

A policy is either a module of its own or a LoRA adapter on a base that it shares. Its live weights are one version;
others are frozen copies. Everything that was asked at once is served in batches, one policy version at a time:

- `generate` decodes with a cache. The rows of a batch are *distinct* sequences: replies that agree so far share a row
  and part where they differ, so many episodes that begin alike cost little more than one.
- `score` runs each distinct sequence once, without cache and right-padded as in training; a sequence that is the
  beginning of another one costs nothing.

What holds bit for bit (float32, CPU, one thread; torch 2.13, transformers 5.19; the tests assert it): the same jobs
in the same order give the same ids and log-probabilities, in any process. In another batch a job keeps its draw,
since its uniforms come from its own seed, and its log-probabilities agree to 1e-5: matrix products of fewer than 16
rows and the padding before a shorter prompt move the last bits. So batches have at least `min_rows` rows.
"""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from palaestra.agents import batching
from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.episode import PolicyRef
from palaestra.errors import EngineError, nearest

UNBOUNDED = 1 << 30


class GenerateJob(NamedTuple):
    """Ask for one reply."""

    prefix: list[int]
    sampling: Sampling
    policy: PolicyRef
    seed: int


class ScoreJob(NamedTuple):
    """Ask for the per-token log-probabilities of candidates that follow one prefix."""

    prefix: list[int]
    candidates: list[list[int]]
    policy: PolicyRef


@dataclass
class _Base:
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    tuner: Any = None
    """The `PeftModel` around `model`, once there is an adapter."""
    active: str = ""


@dataclass
class _Policy:
    base: str
    weights: Any
    """The live module, or the name of the live adapter."""
    adapter: dict[str, Any] | None
    train: bool
    version: int = 0
    frozen: dict[int, Any] = field(default_factory=dict)
    """Frozen modules or names of frozen adapters, by version."""


class EmbeddedEngine:
    """Serves policies from weights that lie in this process.

    Args:
        device: where models are moved when they are added.
        dtype: what models are cast to when they are added; None leaves them.
        min_rows: batches are filled up to this many rows.
        max_rows: generation jobs decoded at once.
        tokens_per_pass: how many tokens, padding included, one forward without cache holds at most.
    """

    def __init__(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        min_rows: int = 16,
        max_rows: int = 256,
        tokens_per_pass: int = 8192,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.min_rows, self.max_rows, self.tokens_per_pass = min_rows, max_rows, tokens_per_pass
        self._bases: dict[str, _Base] = {}
        self._policies: dict[str, _Policy] = {}
        self._adapters = 0

    # -- bases and policies --------------------------------------------------------------------------------------
    def add_base(self, key: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """A model that policies are made from. It is moved and cast in place."""
        if key in self._bases:
            raise EngineError(f"base {key!r} is there already")
        model.to(self.device)  # type: ignore[arg-type]
        if self.dtype is not None:
            model.to(self.dtype)
        self._bases[key] = _Base(model.eval(), tokenizer)

    def add_policy(self, name: str, base: str, *, adapter: Mapping[str, Any] | None = None, train: bool = True) -> None:
        """A policy at version 0, with the base's weights.

        Args:
            adapter: None for whole weights: the first policy of a base owns the base itself, each further one a
                copy of it as it then is. Else a LoRA adapter: `rank` (16), `alpha` (2 rank), `targets` ("all-linear",
                or names of linear layers), `seed` (0). A base carries adapters or whole policies, not both.
            train: whether its parameters ask for gradients.
        """
        if name in self._policies:
            raise EngineError(f"policy {name!r} is there already")
        home = self._base(base)
        peers = [p for p in self._policies.values() if p.base == base]
        if any((p.adapter is None) != (adapter is None) for p in peers):
            raise EngineError(
                f"policy {name!r}: base {base!r} has whole policies and adapters\n"
                "  whole weights would change under the adapters\n  add the model a second time as another base"
            )
        if adapter is None:
            module = copy.deepcopy(home.model) if peers else home.model
            module.requires_grad_(train)
            self._policies[name] = _Policy(base, module, None, train)
            return
        options = {"rank": 16, "targets": "all-linear", "seed": 0, **adapter}
        if unknown := set(options) - {"rank", "alpha", "targets", "seed"}:
            raise EngineError(f"policy {name!r}: adapter has no option {min(unknown)!r}\n  rank, alpha, targets, seed")
        options.setdefault("alpha", 2 * options["rank"])
        self._policies[name] = _Policy(base, self._new_adapter(home, options, name), options, train)
        self._set_flags(home)

    def live(self, name: str) -> nn.Module:
        """The module whose parameters the learner updates; see `module` for how long it stays this policy."""
        module: nn.Module = self.module(PolicyRef(name, self.version(name)))
        return module

    def module(self, ref: PolicyRef) -> PreTrainedModel:
        """The module that computes a version. Policies on adapters share it: it is `ref` until another is asked for."""
        policy, home = self._policy(ref.name), self._base(self._policy(ref.name).base)
        weights = policy.weights if ref.version == policy.version else policy.frozen.get(ref.version)
        if weights is None:
            known = ", ".join(map(str, sorted({policy.version, *policy.frozen})))
            raise EngineError(f"{ref}: no such version\n  {ref.name} has {known}\n  freeze or publish it first")
        if policy.adapter is None:
            model: PreTrainedModel = weights
            return model
        if home.active != weights:
            home.tuner.set_adapter(weights)
            home.active = weights
            self._set_flags(home)  # set_adapter makes the active adapter trainable and all others not
        return home.model

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The trainable parameters of a policy's live weights; none where it does not train."""
        policy = self._policy(name)
        return {n: p for n, p in self._own(policy, policy.weights) if p.requires_grad}

    def state(self, policy: str | PolicyRef) -> dict[str, Tensor]:
        """CPU copies of what belongs to a policy alone: its adapter, or all weights. A name means the live weights."""
        name, ref = (policy, None) if isinstance(policy, str) else (policy.name, policy)
        owner = self._policy(name)
        weights = owner.weights
        if ref is not None and ref.version != owner.version:
            weights = owner.frozen.get(ref.version)
            if weights is None:
                self.module(ref)  # raises
        return {n: t.detach().to("cpu", copy=True) for n, t in self._tensors(owner, weights).items()}

    def load(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Copy `state` into the live weights, in place: optimizers keep their parameters."""
        policy = self._policy(name)
        self._copy(policy, policy.weights, state, name)

    def version(self, name: str) -> int:
        """The version that the live weights are."""
        return self._policy(name).version

    def set_version(self, name: str, version: int) -> None:
        """Say which version the live weights are now."""
        self._policy(name).version = version

    def frozen(self, name: str) -> list[int]:
        """The versions that were frozen and not forgotten."""
        return sorted(self._policy(name).frozen)

    def freeze(self, ref: PolicyRef, state: Mapping[str, Tensor] | None = None) -> None:
        """Keep a copy of the live weights, or `state`, as that version."""
        policy = self._policy(ref.name)
        self.forget(ref)
        if policy.adapter is None:
            kept: Any = copy.deepcopy(policy.weights).requires_grad_(False).eval()
        else:
            kept = self._new_adapter(self._base(policy.base), policy.adapter, ref.name)
        self._copy(policy, kept, self._tensors(policy, policy.weights) if state is None else state, str(ref))
        policy.frozen[ref.version] = kept
        if policy.adapter is not None:
            self._set_flags(self._base(policy.base))

    def forget(self, ref: PolicyRef) -> None:
        """Drop a frozen version; nothing happens where there is none."""
        policy = self._policy(ref.name)
        kept = policy.frozen.pop(ref.version, None)
        if isinstance(kept, str):
            self.module(PolicyRef(ref.name, policy.version))  # peft would choose another active adapter itself
            home = self._base(policy.base)
            home.tuner.delete_adapter(kept)
            self._set_flags(home)

    def context(self, name: str) -> int:
        """The most positions that a policy's model has."""
        config = self._base(self._policy(name).base).model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", UNBOUNDED))

    def tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """The tokenizer of a policy's base."""
        return self._base(self._policy(name).base).tokenizer

    # -- the protocol of engines ---------------------------------------------------------------------------------
    async def generate(self, prefix: list[int], sampling: Sampling, policy: PolicyRef, seed: int) -> Completion:
        """A reply that follows `prefix`."""
        done: Completion = await batching.serve(self, "generate", GenerateJob(prefix, sampling, policy, seed))
        return done

    async def score(self, prefix: list[int], candidates: list[list[int]], policy: PolicyRef) -> list[list[float]]:
        """Per-token natural-log probabilities of each candidate, each following `prefix`."""
        done: list[list[float]] = await batching.serve(self, "score", ScoreJob(prefix, candidates, policy))
        return done

    async def publish(self, policy: PolicyRef, weights: Any = None) -> None:
        """Make a version known: a state, or None for a copy of the live weights."""
        self.freeze(policy, weights)

    async def retire(self, policy: PolicyRef) -> None:
        """Forget a version."""
        self.forget(policy)

    def serve(self, kind: str, jobs: list[Any]) -> list[Any]:
        """Answers in the order of the jobs; a job that cannot be served answers with an `EngineError`."""
        answers: list[Any] = [None] * len(jobs)
        groups: dict[Any, list[int]] = {}
        for at, job in enumerate(jobs):
            problem = self._problem(job)
            if problem is not None:
                answers[at] = problem
            elif kind == "generate":
                groups.setdefault((job.policy, job.sampling.temperature, job.sampling.stop_ids), []).append(at)
            else:
                groups.setdefault((job.policy,), []).append(at)
        work = self._generate if kind == "generate" else self._score
        for (policy, *_), places in groups.items():
            try:
                module = self.module(policy)
                training = module.training
                module.eval()
                for at, answer in zip(places, work(module, [jobs[at] for at in places]), strict=True):
                    answers[at] = answer
                if training:
                    module.train()
            except EngineError as error:
                for at in places:
                    answers[at] = error
        return answers

    def _problem(self, job: GenerateJob | ScoreJob) -> Completion | EngineError | None:
        """The answer to a job that needs no model: refused, or over the context."""
        try:
            context = self.context(job.policy.name)
        except EngineError as error:
            return error
        if not job.prefix:
            return EngineError(f"{job.policy}: an empty prompt\n  there must be a token to go on from")
        if isinstance(job, GenerateJob):
            return Completion([], [], "context") if len(job.prefix) >= context else None
        if not all(job.candidates):
            return EngineError(f"{job.policy}: a candidate without tokens cannot be scored")
        longest = max(map(len, job.candidates), default=0)
        if len(job.prefix) + longest > context:
            return EngineError(
                f"{job.policy}: a prompt of {len(job.prefix)} tokens and a candidate of {longest}"
                f" exceed the context of {context}\n  shorten the episode, or take a model with a longer context"
            )
        return None

    def _generate(self, module: PreTrainedModel, jobs: list[GenerateJob]) -> list[Completion]:
        context = self.context(jobs[0].policy.name)
        order = sorted(range(len(jobs)), key=lambda at: len(jobs[at].prefix))  # neighbours need little padding
        answers: list[Any] = [None] * len(jobs)
        for begin in range(0, len(order), self.max_rows):
            places = order[begin : begin + self.max_rows]
            batch = [jobs[at] for at in places]
            limits = [min(j.sampling.max_tokens, context - len(j.prefix)) for j in batch]
            done = sample(
                module,
                [j.prefix for j in batch],
                limits,
                [j.seed for j in batch],
                temperature=batch[0].sampling.temperature,
                stop_ids=batch[0].sampling.stop_ids,
                min_rows=self.min_rows,
            )
            for at, answer in zip(places, done, strict=True):
                answers[at] = answer
        return answers

    def _score(self, module: PreTrainedModel, jobs: list[ScoreJob]) -> list[list[list[float]]]:
        flat = [(job.prefix, candidate) for job in jobs for candidate in job.candidates]
        scored = iter(score(module, flat, min_rows=self.min_rows, tokens_per_pass=self.tokens_per_pass))
        return [[next(scored) for _ in job.candidates] for job in jobs]

    # -- weights -------------------------------------------------------------------------------------------------
    def _base(self, key: str) -> _Base:
        if key not in self._bases:
            raise EngineError(f"no base {key!r}\n  {nearest(key, self._bases)}")
        return self._bases[key]

    def _policy(self, name: str) -> _Policy:
        if name not in self._policies:
            raise EngineError(f"no policy {name!r}\n  {nearest(name, self._policies)}")
        return self._policies[name]

    def _new_adapter(self, home: _Base, options: Mapping[str, Any], name: str) -> str:
        """A fresh adapter on a base, initialized from the policy's name: the order of adding changes nothing."""
        from peft import LoraConfig, get_peft_model  # takes seconds to import, and whole weights do not need it

        self._adapters += 1
        key = f"adapter{self._adapters}"
        config = LoraConfig(
            r=options["rank"],
            lora_alpha=options["alpha"],
            target_modules=options["targets"],
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(f"{options['seed']}|{name}".encode()))
            if home.tuner is None:
                home.tuner, home.active = get_peft_model(home.model, config, adapter_name=key), key
            else:
                home.tuner.add_adapter(key, config)
        home.model.train(home.model.training)  # the new layers too
        return key

    def _set_flags(self, home: _Base) -> None:
        """Gradients for the live adapters of policies that train, and for nothing else."""
        trained = {p.weights for p in self._policies.values() if p.adapter is not None and p.train}
        for name, parameter in home.model.named_parameters():
            parameter.requires_grad_(not trained.isdisjoint(name.split(".")))

    def _own(self, policy: _Policy, weights: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that belong to these weights alone, adapters without the adapter's name."""
        if policy.adapter is None:
            yield from weights.named_parameters()
            return
        for name, parameter in self._base(policy.base).model.named_parameters():
            parts = name.split(".")
            if weights in parts:
                yield ".".join(p for p in parts if p != weights), parameter

    def _tensors(self, policy: _Policy, weights: Any) -> dict[str, Tensor]:
        return dict(weights.state_dict()) if policy.adapter is None else dict(self._own(policy, weights))

    def _copy(self, policy: _Policy, weights: Any, state: Mapping[str, Tensor], label: str) -> None:
        own = self._tensors(policy, weights)
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[0]
            raise EngineError(f"{label}: the state does not fit\n  {odd!r} is in only one of state and policy")
        with torch.no_grad():
            for name, tensor in own.items():
                if tensor.shape != state[name].shape:
                    raise EngineError(
                        f"{label}: {name!r} has shape {tuple(state[name].shape)} in the state"
                        f" and {tuple(tensor.shape)} in the policy"
                    )
                tensor.copy_(state[name])


# -- sampling -------------------------------------------------------------------------------------------------------
class _GrowingLayer(DynamicLayer):
    """A cache layer with room to spare: appending a token writes one token instead of copying all of them."""

    ROOM = 64
    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.size + key_states.shape[-2]
        if self.room is None or end > self.room[0].shape[-2]:
            grown = []
            for new, old in ((key_states, self.keys), (value_states, self.values)):
                shape = list(new.shape)
                shape[-2] = end + max(self.ROOM, self.size // 2)
                grown.append(new.new_empty(shape))
                if self.size:
                    grown[-1][..., : self.size, :] = old
            self.room = (grown[0], grown[1])
        keys, values = self.room
        keys[..., self.size : end, :] = key_states
        values[..., self.size : end, :] = value_states
        self.size = end
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.room is not None:
            keys, values = self.room[0].index_select(0, indices), self.room[1].index_select(0, indices)
            self.room = (keys, values)
            self.keys, self.values = keys[..., : self.size, :], values[..., : self.size, :]


def _new_cache(model: PreTrainedModel) -> tuple[Cache, bool]:
    """An empty cache, and whether all its layers attend to everything."""
    cache = DynamicCache(config=model.config)
    full = all(type(layer) is DynamicLayer for layer in cache.layers)
    if full:
        cache.layers = [_GrowingLayer() for _ in cache.layers]
    return cache, full


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prefixes: Sequence[Sequence[int]],
    limits: Sequence[int],
    seeds: Sequence[int],
    *,
    temperature: float = 1.0,
    stop_ids: Sequence[int] = (),
    min_rows: int = 16,
) -> list[Completion]:
    """One reply after each prefix, by cached decoding with padding on the left.

    A draw inverts the cumulative distribution, in float64, at a uniform number of the job's own seed.

    Args:
        limits: the most tokens for each reply, at least 1.
        temperature: 0 takes the most probable token (ties: the lowest id) and reports its log-probability at
            temperature 1; otherwise log-probabilities are those of the tempered distribution that was drawn from.
    """
    device, jobs = model.device, len(prefixes)
    rows: dict[tuple[int, ...], int] = {}
    row_J = np.array([rows.setdefault(tuple(p), len(rows)) for p in prefixes])
    padded = list(rows) + [next(iter(rows))] * (min_rows - len(rows))
    longest = max(map(len, padded))
    ids_BT = np.zeros((len(padded), longest), dtype=np.int64)
    start_B = np.array([longest - len(row) for row in padded])
    for line, start, row in zip(ids_BT, start_B, padded, strict=True):
        line[start:] = row
    decoder = _Decoder(model, torch.from_numpy(ids_BT).to(device), torch.from_numpy(start_B).to(device))

    limit_J = np.asarray(limits)
    most = int(limit_J.max())
    tokens_JT = np.zeros((jobs, most), dtype=np.int64)
    logprobs_JT = np.zeros((jobs, most))
    size_J, stopped_J = np.zeros(jobs, dtype=np.int64), np.zeros(jobs, dtype=bool)
    stops = np.array(sorted(stop_ids), dtype=np.int64)
    streams = [random.Random(seed) for seed in seeds]
    uniform_JT = np.zeros((jobs, 0))
    live_J = np.arange(jobs)
    for step in range(most):
        at = step % 32
        if at == 0:
            uniform_JT = np.zeros((jobs, 32))
            for job in live_J:
                uniform_JT[job] = [streams[job].random() for _ in range(32)]
        token_J, logprob_J = _draw(decoder.logits, row_J, uniform_JT[live_J, at], temperature)
        tokens_JT[live_J, step], logprobs_JT[live_J, step] = token_J, logprob_J
        size_J[live_J] += 1
        stopped = np.isin(token_J, stops)
        stopped_J[live_J] = stopped
        going = ~stopped & (step + 1 < limit_J[live_J])
        live_J = live_J[going]
        if not len(live_J):
            break
        row_J = decoder.step(row_J[going], token_J[going], min_rows)
    return [
        Completion(tokens[:n].tolist(), logprobs[:n].tolist(), "stop" if stopped else "length")
        for tokens, logprobs, n, stopped in zip(tokens_JT, logprobs_JT, size_J, stopped_J, strict=True)
    ]


def _draw(
    logits_BV: Tensor, row_J: np.ndarray, uniform_J: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each job's token from the distribution of its row, and the token's log-probability."""
    rows = torch.from_numpy(row_J).to(logits_BV.device)
    logprobs_BV = torch.log_softmax(logits_BV / (temperature or 1.0), -1)
    if temperature == 0:
        best_BV = logits_BV == logits_BV.max(-1, keepdim=True).values
        numbers = torch.arange(logits_BV.shape[-1], device=logits_BV.device)
        token_J = torch.where(best_BV, numbers, len(numbers)).min(-1).values[rows]
    else:
        mass_BV = logprobs_BV.double().exp().cumsum(-1)
        mass_JV = mass_BV[rows]
        total_J = mass_JV[:, -1]
        target_J = torch.from_numpy(uniform_J).to(rows.device) * total_J
        target_J = torch.minimum(target_J, torch.nextafter(total_J, torch.zeros_like(total_J)))  # never past the end
        token_J = torch.searchsorted(mass_JV, target_J[:, None], right=True)[:, 0]
    return token_J.cpu().numpy(), logprobs_BV[rows, token_J].cpu().numpy()


class _Decoder:
    """A batch of distinct sequences, and the logits of what follows each."""

    def __init__(self, model: PreTrainedModel, ids_BT: Tensor, start_B: Tensor) -> None:
        self.model = model
        self.cache, full = _new_cache(model)
        #: sdpa takes a boolean mask as it is; building one anew in every layer type costs more than the attention
        self.own_mask = full and model.config._attn_implementation == "sdpa"
        columns = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        self.padded = bool(start_B.any())
        self.mask_BT = columns >= start_B[:, None]
        self.length_B = ids_BT.shape[1] - start_B
        self.rows = len(ids_BT)
        position_BT = (columns - start_B[:, None]).clamp(min=0)
        self._forward(ids_BT, position_BT, self.mask_BT.long() if self.padded else None)

    def _forward(self, ids_BT: Tensor, position_BT: Tensor, mask: Tensor | None) -> None:
        out = self.model(
            input_ids=ids_BT,
            attention_mask=mask,
            position_ids=position_BT,
            past_key_values=self.cache,
            use_cache=True,
            # An index, since the int 1 makes a strided slice, and for that torch picks its matrix product by
            # weight.requires_grad: a frozen copy would differ from the live weights in the last bits.
            logits_to_keep=torch.tensor([ids_BT.shape[1] - 1], device=ids_BT.device),
        )
        self.logits = out.logits[:, -1].float()

    def step(self, row_J: np.ndarray, token_J: np.ndarray, min_rows: int) -> np.ndarray:
        """Append each job's token to its row; jobs that part get rows of their own. Returns the jobs' new rows."""
        vocabulary = self.logits.shape[-1]
        branch, new_row_J = np.unique(row_J * vocabulary + token_J, return_inverse=True)
        parent, token = branch // vocabulary, branch % vocabulary
        needed = max(len(branch), min_rows)
        if len(np.unique(parent)) == len(parent) and 4 * needed > 3 * self.rows:
            token_B = np.zeros(self.rows, dtype=np.int64)  # rows that nobody needs any more go on with token 0
            token_B[parent] = token
            new_row_J = row_J
        else:
            filling = np.zeros(needed - len(branch), dtype=np.int64)
            kept = torch.from_numpy(np.concatenate([parent, parent[filling]])).to(self.logits.device)
            token_B = np.concatenate([token, token[filling]])
            self.cache.batch_select_indices(kept)
            self.mask_BT, self.length_B, self.rows = self.mask_BT[kept], self.length_B[kept], len(kept)
        self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(self.rows, 1)], 1)
        mask = None
        if self.padded:
            mask = self.mask_BT[:, None, None] if self.own_mask else self.mask_BT.long()
        ids_BT = torch.from_numpy(token_B).to(self.logits.device)[:, None]
        self._forward(ids_BT, self.length_B[:, None], mask)
        self.length_B = self.length_B + 1
        return new_row_J


# -- scoring --------------------------------------------------------------------------------------------------------
class _Asked(NamedTuple):
    """Where the log-probabilities of one candidate come from: a row and the position before its first token."""

    row: int
    position: int
    candidate: tuple[int, ...]


@torch.no_grad()
def score(
    model: PreTrainedModel,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    min_rows: int = 16,
    tokens_per_pass: int = 8192,
) -> list[list[float]]:
    """Per-token log-probabilities of each (prefix, candidate), in one forward per distinct sequence."""
    keys = [(tuple(prefix), tuple(candidate)) for prefix, candidate in pairs]
    # The last token of a candidate is predicted, never read.
    sequences = sorted({prefix + candidate[:-1] for prefix, candidate in keys})
    row_of: dict[tuple[int, ...], int] = {}
    rows: list[tuple[int, ...]] = []
    for sequence in reversed(sequences):  # the beginning of a sequence stands right before it
        if not rows or rows[-1][: len(sequence)] != sequence:
            rows.append(sequence)
        row_of[sequence] = len(rows) - 1
    asked = {k: _Asked(row_of[k[0] + k[1][:-1]], len(k[0]) - 1, k[1]) for k in dict.fromkeys(keys)}
    of_row: list[list[tuple[Any, _Asked]]] = [[] for _ in rows]
    for key, item in asked.items():
        of_row[item.row].append((key, item))

    done: dict[Any, list[float]] = {}
    order = sorted(range(len(rows)), key=lambda r: len(rows[r]))
    for chunk in _chunks(order, [len(r) for r in rows], tokens_per_pass):
        wanted = [(line, key, item) for line, row in enumerate(chunk) for key, item in of_row[row]]
        found = _score_chunk(model, [rows[r] for r in chunk], [(line, item) for line, _, item in wanted], min_rows)
        for (_, key, _), logprobs in zip(wanted, found, strict=True):
            done[key] = logprobs
    return [list(done[key]) for key in keys]


def _chunks(order: Sequence[int], sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Consecutive parts of `order` (by rising size) whose padded size stays within the budget."""
    chunk: list[int] = []
    for row in order:
        if chunk and (len(chunk) + 1) * sizes[row] > budget:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def _score_chunk(
    model: PreTrainedModel, rows: list[tuple[int, ...]], wanted: list[tuple[int, _Asked]], min_rows: int
) -> list[list[float]]:
    device = model.device
    padded = rows + [rows[0]] * (min_rows - len(rows))
    ids_BT = np.zeros((len(padded), max(map(len, padded))), dtype=np.int64)
    for line, row in zip(ids_BT, padded, strict=True):
        line[: len(row)] = row
    sizes = [len(item.candidate) for _, item in wanted]
    line_N = np.repeat([line for line, _ in wanted], sizes)
    position_N = np.concatenate(
        [np.arange(i.position, i.position + n) for (_, i), n in zip(wanted, sizes, strict=True)]
    )
    target_N = np.concatenate([item.candidate for _, item in wanted])
    kept, column_N = np.unique(position_N, return_inverse=True)
    ids = torch.from_numpy(ids_BT).to(device)
    out = model(
        input_ids=ids,
        position_ids=torch.arange(ids.shape[1], device=device).expand(len(ids), -1),
        use_cache=False,
        logits_to_keep=torch.from_numpy(kept).to(device),
    )
    place_N, which_N = np.unique(line_N * len(kept) + column_N, return_inverse=True)
    logits_PV = out.logits.flatten(0, 1)[torch.from_numpy(place_N).to(device)].float()
    logprobs_PV = torch.log_softmax(logits_PV, -1)
    found = logprobs_PV[torch.from_numpy(which_N).to(device), torch.from_numpy(target_N).to(device)].cpu().numpy()
    return [part.tolist() for part in np.split(found.astype(np.float64), np.cumsum(sizes)[:-1])]
