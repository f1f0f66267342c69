"""The default engine: transformers in this process, on the weights that the learner updates.

A policy is either a module of its own or a LoRA adapter on a base that it shares. Its live weights are one version;
others are frozen copies. Everything that was asked at once is served in batches, one policy version at a time:

- `generate` decodes with a cache. The rows of a batch are *distinct* sequences: replies that agree so far share a row
  and part where they differ, so many episodes that begin alike cost little more than one.
- `score` runs each distinct prompt once, without cache, with its candidates behind it as a tree of tokens: sixty
  candidates that begin alike cost little more than one.

What holds bit for bit (float32, CPU, torch 2.13, transformers 5.19; the tests assert it with one thread): the same
jobs in the same order give the same ids and log-probabilities, in any process, and a frozen copy answers as the live
weights did. In another batch a job keeps its draw, since its uniforms come from its own seed, and its log-probabilities
agree to 1e-5 (1e-6 measured); where all prompts have one length, bit for bit. What moves the last bits is padding,
another number of threads, and matrix products of fewer than 16 rows: so batches have at least `min_rows` rows.
"""

from __future__ import annotations

import copy
import functools
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
    context: int
    tuner: Any = None
    """The `PeftModel` around `model`, once there is an adapter."""
    layers: list[Any] = field(default_factory=list)
    """The layers that carry adapters."""
    trained: list[nn.Parameter] = field(default_factory=list)
    """The live adapters' parameters, of policies that train."""
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
        tokens_per_pass: how many tokens, padding included, one pass over prompts holds at most.
    """

    def __init__(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        min_rows: int = 16,
        max_rows: int = 256,
        tokens_per_pass: int = 4096,
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
        context = getattr(model.config.get_text_config(), "max_position_embeddings", UNBOUNDED)
        self._bases[key] = _Base(model.eval(), tokenizer, context)

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
        self._index(home)

    def live(self, name: str) -> nn.Module:
        """The module whose parameters the learner updates; see `module` for how long it stays this policy."""
        policy = self._policy(name)
        module: nn.Module = self._activated(policy, policy.weights)
        return module

    def module(self, ref: PolicyRef) -> PreTrainedModel:
        """The module that computes a version. Policies on adapters share it: it is `ref` until another is asked for."""
        policy = self._policy(ref.name)
        live = policy.weights if ref.version == policy.version else None
        weights = policy.frozen.get(ref.version, live)  # a copy stays what it is while the live weights move on
        if weights is None:
            known = ", ".join(map(str, sorted({policy.version, *policy.frozen})))
            raise EngineError(f"{ref}: no such version\n  {ref.name} has {known}\n  freeze or publish it first")
        return self._activated(policy, weights)

    def _activated(self, policy: _Policy, weights: Any) -> PreTrainedModel:
        """The module of live or frozen weights; where they are an adapter, with it switched on."""
        home = self._base(policy.base)
        if policy.adapter is None:
            model: PreTrainedModel = weights
            return model
        if home.active != weights:
            for layer in home.layers:
                layer.set_adapter([weights], inference_mode=True)  # takes the gradients from every adapter
            for parameter in home.trained:
                parameter.requires_grad_(True)
            home.active = weights
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
        if ref is not None:  # a copy stays what it is while the live weights move on
            live = weights if ref.version == owner.version else None
            weights = owner.frozen.get(ref.version, live)
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
            self._index(self._base(policy.base))

    def forget(self, ref: PolicyRef) -> None:
        """Drop a frozen version; nothing happens where there is none."""
        policy = self._policy(ref.name)
        kept = policy.frozen.pop(ref.version, None)
        if isinstance(kept, str):
            self.module(PolicyRef(ref.name, policy.version))  # peft would choose another active adapter itself
            home = self._base(policy.base)
            home.tuner.delete_adapter(kept)
            self._index(home)

    def context(self, name: str) -> int:
        """The most positions that a policy's model has."""
        return self._base(self._policy(name).base).context

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

    def prepare(self, refs: Sequence[PolicyRef]) -> None:
        """These versions will be asked for, while the live weights change: an engine elsewhere is given them now."""

    def rest(self) -> None:
        """A rollout is over, and the learner begins: an engine that takes memory for itself may give it back."""

    def close(self) -> None:
        """The engine is not asked any more."""

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
                tokens_per_pass=self.tokens_per_pass,
            )
            for at, answer in zip(places, done, strict=True):
                answers[at] = answer
        return answers

    def _score(self, module: PreTrainedModel, jobs: list[ScoreJob]) -> list[list[list[float]]]:
        asked = [(job.prefix, job.candidates) for job in jobs]
        return score(module, asked, min_rows=self.min_rows, tokens_per_pass=self.tokens_per_pass)

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
                home.tuner = get_peft_model(home.model, config, adapter_name=key)
            else:
                home.tuner.add_adapter(key, config)
        home.model.train(home.model.training)  # the new layers too
        return key

    def _index(self, home: _Base) -> None:
        """Find layers and trained parameters anew, after adapters came or went."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        live = {p.weights for p in self._policies.values() if p.adapter is not None and p.train}
        home.layers = [layer for layer in home.model.modules() if isinstance(layer, BaseTunerLayer)]
        home.trained = []
        for name, parameter in home.model.named_parameters():
            trains = not live.isdisjoint(name.split("."))
            parameter.requires_grad_(trains)
            if trains:
                home.trained.append(parameter)
        home.active = ""

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
    tokens_per_pass: int = 4096,
) -> list[Completion]:
    """One reply after each prefix, by cached batched decoding.

    A draw inverts the cumulative distribution, in float64, at a uniform number of the job's own seed.

    Args:
        limits: the most tokens for each reply, at least 1.
        temperature: 0 takes the most probable token (ties: the lowest id) and reports its log-probability at
            temperature 1; otherwise log-probabilities are those of the tempered distribution that was drawn from.
    """
    jobs = len(prefixes)
    rows: dict[tuple[int, ...], int] = {}
    row_J = np.array([rows.setdefault(tuple(p), len(rows)) for p in prefixes])
    decoder = _Decoder(model, list(rows), min_rows, tokens_per_pass)

    limit_J = np.asarray(limits)
    most = int(limit_J.max())
    tokens_JT = np.zeros((jobs, most), dtype=np.int64)
    logprobs_JT = np.zeros((jobs, most))
    size_J, stopped_J = np.zeros(jobs, dtype=np.int64), np.zeros(jobs, dtype=bool)
    stops = np.array(sorted(stop_ids), dtype=np.int64)
    streams = [random.Random(seed) for seed in seeds]
    uniform_JT = np.zeros((jobs, 32))
    live_J = np.arange(jobs)
    for step in range(most):
        at = step % 32
        if at == 0:
            for job in live_J:
                uniform_JT[job] = [streams[job].random() for _ in range(32)]
        token_J, logprob_J = _draw(decoder.logits_BV, row_J, uniform_JT[live_J, at], temperature)
        tokens_JT[live_J, step], logprobs_JT[live_J, step] = token_J, logprob_J
        size_J[live_J] += 1
        stopped = np.isin(token_J, stops)
        stopped_J[live_J] = stopped
        going = ~stopped & (step + 1 < limit_J[live_J])
        live_J = live_J[going]
        if not len(live_J):
            break
        row_J = decoder.step(row_J[going], token_J[going])
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
        mass_JV = logprobs_BV.double().exp().cumsum(-1)[rows]
        total_J = mass_JV[:, -1]
        target_J = torch.from_numpy(uniform_J).to(rows.device) * total_J
        target_J = torch.minimum(target_J, torch.nextafter(total_J, torch.zeros_like(total_J)))  # never past the end
        token_J = torch.searchsorted(mass_JV, target_J[:, None], right=True)[:, 0]
    return token_J.cpu().numpy(), logprobs_BV[rows, token_J].cpu().numpy()


class _GrowingLayer(DynamicLayer):
    """A cache layer with room to spare: appending a token writes one token instead of copying all of them."""

    ROOM = 64
    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.room: list[Tensor] = []

    def fill(self, rows: int, columns: int, lines: Tensor, layer: DynamicLayer) -> None:
        """Take over the keys and values of some lines; unfilled columns are zeros, for the mask to hide."""
        if not self.is_initialized:
            self.lazy_initialization(layer.keys, layer.values)
            self.size = columns
            for new in (layer.keys, layer.values):
                self.room.append(new.new_zeros(rows, new.shape[1], columns + self.ROOM, new.shape[3]))
        for room, new in zip(self.room, (layer.keys, layer.values), strict=True):
            room[lines, :, : new.shape[2]] = new
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        end = self.size + 1
        if end > self.room[0].shape[2]:
            more = max(self.ROOM, self.size // 2)
            self.room = [torch.cat([r, r.new_zeros(*r.shape[:2], more, r.shape[3])], 2) for r in self.room]
        for room, new in zip(self.room, (key_states, value_states), strict=True):
            room[:, :, self.size : end] = new
        self.size = end
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self.room = [room.index_select(0, indices) for room in self.room]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (room[:, :, : self.size] for room in self.room)


def _attends_to_all(model: PreTrainedModel) -> bool:
    """Whether every layer attends to everything before a token: no sliding windows, no recurrent state."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


class _Decoder:
    """A batch of distinct sequences, and the logits of what follows each."""

    def __init__(
        self, model: PreTrainedModel, rows: Sequence[Sequence[int]], min_rows: int, tokens_per_pass: int
    ) -> None:
        self.model, self.min_rows, self.rows = model, min_rows, len(rows)
        lengths = np.array([len(row) for row in rows])
        self.columns = int(lengths.max())
        self.length_B = torch.from_numpy(lengths).to(model.device)
        self.padded = bool((lengths < self.columns).any())
        self.cache: Cache = DynamicCache(config=model.config)
        if _attends_to_all(model):
            self._prefill(rows, lengths, tokens_per_pass)
        else:
            self._prefill_from_the_right(rows)
        #: sdpa takes a boolean mask as it is; having transformers build it costs more than the attention
        self.own_mask = _attends_to_all(model) and model.config._attn_implementation == "sdpa"

    def _prefill(self, rows: Sequence[Sequence[int]], lengths: np.ndarray, tokens_per_pass: int) -> None:
        """Prompts of like length together, padded behind: causal attention then needs no mask.

        A row's own tokens stand in its first columns, what it says will stand behind the longest prompt: where a
        token stands does not matter, its position is told.
        """
        device = self.model.device
        self.mask_BT = torch.arange(self.columns, device=device) < self.length_B[:, None]
        self.cache.layers = [_GrowingLayer() for _ in self.cache.layers]
        logits: list[Tensor] = []
        order = np.argsort(lengths, kind="stable").tolist()
        for chunk in _chunks(order, lengths, np.ones_like(lengths), tokens_per_pass, self.model.config):
            ids_BT = _right_padded([rows[r] for r in chunk])
            cache = DynamicCache(config=self.model.config)
            last_B = lengths[chunk] - 1
            lines = np.arange(len(chunk))
            logits.append(_logits_at(self.model, ids_BT, lines, last_B, self.min_rows, cache=cache))
            for layer, part in zip(self.cache.layers, cache.layers, strict=True):
                filled = torch.tensor(chunk, device=device)
                layer.fill(self.rows, self.columns, filled, _first_rows(part, len(chunk)))
        self.logits_BV = torch.empty_like(torch.cat(logits))
        self.logits_BV[torch.tensor(order, device=device)] = torch.cat(logits)

    def _prefill_from_the_right(self, rows: Sequence[Sequence[int]]) -> None:
        """All prompts in one pass, padded before: a window that slides then lies on the last tokens of each."""
        ids_BT = np.zeros((len(rows), self.columns), dtype=np.int64)
        for line, row in zip(ids_BT, rows, strict=True):
            line[self.columns - len(row) :] = row
        columns = torch.arange(self.columns, device=self.model.device)
        start_B = self.columns - self.length_B
        self.mask_BT = columns >= start_B[:, None]
        out = self.model(
            input_ids=torch.from_numpy(ids_BT).to(self.model.device),
            attention_mask=self.mask_BT.long(),
            position_ids=(columns - start_B[:, None]).clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.logits_BV = out.logits[:, -1].float()

    def step(self, row_J: np.ndarray, token_J: np.ndarray) -> np.ndarray:
        """Append each job's token to its row; jobs that part get rows of their own. Returns the jobs' new rows."""
        device, vocabulary = self.model.device, self.logits_BV.shape[-1]
        branch, new_row_J = np.unique(row_J * vocabulary + token_J, return_inverse=True)
        parent, token = branch // vocabulary, branch % vocabulary
        needed = max(len(branch), self.min_rows)
        if len(np.unique(parent)) == len(parent) and 3 * self.rows < 4 * needed <= 4 * self.rows:
            token_B = np.zeros(self.rows, dtype=np.int64)  # rows that nobody needs any more go on with token 0
            token_B[parent] = token
            new_row_J = row_J
        else:
            filling = np.zeros(needed - len(branch), dtype=np.int64)
            kept = torch.from_numpy(np.concatenate([parent, parent[filling]])).to(device)
            token_B = np.concatenate([token, token[filling]])
            self.cache.batch_select_indices(kept)
            self.mask_BT, self.length_B, self.rows = self.mask_BT[kept], self.length_B[kept], len(kept)
        self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(self.rows, 1)], 1)
        mask = None
        if self.padded:
            mask = self.mask_BT[:, None, None] if self.own_mask else self.mask_BT.long()
        out = self.model(
            input_ids=torch.from_numpy(token_B).to(device)[:, None],
            attention_mask=mask,
            position_ids=self.length_B[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits_BV = out.logits[:, -1].float()
        self.length_B = self.length_B + 1
        return new_row_J


# -- scoring --------------------------------------------------------------------------------------------------------
class _Tree(NamedTuple):
    """Candidates as a tree of tokens: what they begin with in common is one node. Last tokens are only predicted."""

    token_K: np.ndarray
    depth_K: np.ndarray
    sees_KK: np.ndarray
    """A node sees itself and the nodes that it follows."""
    chain: bool
    """Whether each node follows the one before: then causal attention is the tree's own."""
    place_N: np.ndarray
    """For every token of every candidate, the node that predicts it; -1: the last token of the prefix."""
    target_N: np.ndarray
    ends: list[int]
    """Where the tokens of each candidate but the last end."""


@functools.lru_cache(4096)
def _tree(candidates: tuple[tuple[int, ...], ...]) -> _Tree:
    nodes: dict[tuple[int, ...], int] = {(): -1}
    for candidate in candidates:
        for size in range(1, len(candidate)):
            nodes.setdefault(candidate[:size], len(nodes) - 1)
    paths = list(nodes)[1:]
    sees_KK = np.eye(len(paths), dtype=bool)
    for node, path in enumerate(paths):
        if len(path) > 1:
            sees_KK[node] |= sees_KK[nodes[path[:-1]]]
    return _Tree(
        np.array([path[-1] for path in paths], dtype=np.int64),
        np.array([len(path) - 1 for path in paths], dtype=np.int64),
        sees_KK,
        all(nodes[path[:-1]] == node - 1 for node, path in enumerate(paths)),
        np.array([nodes[c[:size]] for c in candidates for size in range(len(c))], dtype=np.int64),
        np.array([token for c in candidates for token in c], dtype=np.int64),
        np.cumsum([len(c) for c in candidates])[:-1].tolist(),
    )


@torch.no_grad()
def score(
    model: PreTrainedModel,
    asked: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]],
    *,
    min_rows: int = 16,
    tokens_per_pass: int = 4096,
) -> list[list[list[float]]]:
    """Per-token log-probabilities of the candidates after each prefix.

    One row a distinct (prefix, candidates): the prefix, and behind it the candidates' tree under a mask of its own.
    """
    keys = [(tuple(prefix), tuple(map(tuple, candidates))) for prefix, candidates in asked]
    trees = _attends_to_all(model) and model.config._attn_implementation in ("sdpa", "eager")
    items = list(dict.fromkeys(keys if trees else [(prefix, (c,)) for prefix, cs in keys for c in cs]))
    items = [item for item in items if item[1]]
    sizes = np.array([len(prefix) + len(_tree(cs).token_K) for prefix, cs in items], dtype=np.int64)
    wanted = np.array([1 + len(_tree(cs).token_K) for _, cs in items], dtype=np.int64)
    done: dict[Any, list[list[float]]] = {}
    order = np.argsort(sizes, kind="stable").tolist()
    for chunk in _chunks(order, sizes, wanted, tokens_per_pass, model.config):
        part = [items[i] for i in chunk]
        done.update(zip(part, _score_rows(model, part, min_rows), strict=True))
    if trees:
        return [done.get(key, []) for key in keys]
    return [[done[prefix, (c,)][0] for c in cs] for prefix, cs in keys]


def _score_rows(model: PreTrainedModel, items: Sequence[Any], min_rows: int) -> list[list[list[float]]]:
    trees = [_tree(candidates) for _, candidates in items]
    ids_BT = _right_padded([(*prefix, *tree.token_K) for (prefix, _), tree in zip(items, trees, strict=True)])
    width = ids_BT.shape[1]
    position_BT = np.tile(np.arange(width), (len(items), 1))
    mask_BTT = None if all(t.chain for t in trees) else np.tile(np.tri(width, dtype=bool), (len(items), 1, 1))
    for line, ((prefix, _), tree) in enumerate(zip(items, trees, strict=True)):
        here = slice(len(prefix), len(prefix) + len(tree.token_K))
        position_BT[line, here] = len(prefix) + tree.depth_K
        if mask_BTT is not None:
            mask_BTT[line, here, here] = tree.sees_KK
    sizes = [len(tree.target_N) for tree in trees]
    line_N = np.repeat(np.arange(len(items)), sizes)
    column_N = np.concatenate([len(prefix) + tree.place_N for (prefix, _), tree in zip(items, trees, strict=True)])
    place_P, place_N = np.unique(line_N * width + column_N, return_inverse=True)
    logits_PV = _logits_at(
        model, ids_BT, place_P // width, place_P % width, min_rows, position_BT=position_BT, mask_BTT=mask_BTT
    )
    target_N = torch.from_numpy(np.concatenate([tree.target_N for tree in trees])).to(model.device)
    logprobs_N = torch.log_softmax(logits_PV, -1)[torch.from_numpy(place_N).to(model.device), target_N]
    of_item = np.split(logprobs_N.double().cpu().numpy(), np.cumsum(sizes)[:-1])
    return [[p.tolist() for p in np.split(f, tree.ends)] for f, tree in zip(of_item, trees, strict=True)]


# -- forwards -------------------------------------------------------------------------------------------------------
MOST_LOGITS = 1 << 26
"""How many logits one forward may hold: 256 MiB in float32."""


def _chunks(
    order: Sequence[int], sizes: np.ndarray, wanted: np.ndarray, budget: int, config: Any
) -> Iterator[list[int]]:
    """Consecutive parts of `order` (by rising size), such that tokens with padding, and logits, stay in bounds.

    Args:
        sizes: tokens by row.
        wanted: positions by row whose logits are wanted; all rows give logits at the positions of all.
    """
    vocabulary = config.get_text_config().vocab_size
    chunk: list[int] = []
    columns = 0
    for row in order:
        columns += int(wanted[row])
        rows = len(chunk) + 1
        if chunk and (rows * sizes[row] > budget or rows * columns * vocabulary > MOST_LOGITS):
            yield chunk
            chunk, columns = [], int(wanted[row])
        chunk.append(row)
    if chunk:
        yield chunk


def _right_padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    ids_BT = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for line, row in zip(ids_BT, rows, strict=True):
        line[: len(row)] = row
    return ids_BT


def _first_rows(layer: DynamicLayer, rows: int) -> DynamicLayer:
    layer.keys, layer.values = layer.keys[:rows], layer.values[:rows]
    return layer


def _logits_at(
    model: PreTrainedModel,
    ids_BT: np.ndarray,
    line_P: np.ndarray,
    column_P: np.ndarray,
    min_rows: int,
    *,
    position_BT: np.ndarray | None = None,
    mask_BTT: np.ndarray | None = None,
    cache: Cache | None = None,
) -> Tensor:
    """float32 (P, V): the logits at some places of right-padded rows.

    Matrix products get at least `min_rows` rows: copies of the first row, and of the last column, make them up.
    """
    device = model.device
    rows, width = ids_BT.shape
    filling = np.zeros(max(0, -(-min_rows // width) - rows), dtype=np.int64)
    kept = np.unique(column_P)
    which_P = np.searchsorted(kept, column_P)
    repeated = np.repeat(kept[-1:], max(0, -(-min_rows // (rows + len(filling))) - len(kept)))

    def moved(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate([array, array[filling]])).to(device)

    mask = None
    if mask_BTT is not None:
        mask = moved(mask_BTT)[:, None]
        if model.config._attn_implementation == "eager":  # which adds its mask to the scores
            mask = torch.where(mask, 0.0, torch.finfo(model.dtype).min).to(model.dtype)
    out = model(
        input_ids=moved(ids_BT),
        attention_mask=mask,
        position_ids=moved(np.tile(np.arange(width), (rows, 1)) if position_BT is None else position_BT),
        past_key_values=cache,
        use_cache=cache is not None,
        # Always an index: the int 1 makes a strided slice, and for that torch picks its matrix product by
        # weight.requires_grad, so that a frozen copy would differ from the live weights in the last bits.
        logits_to_keep=torch.from_numpy(np.concatenate([kept, repeated])).to(device),
    )
    logits: Tensor = out.logits[torch.from_numpy(line_P).to(device), torch.from_numpy(which_P).to(device)]
    return logits.float()
