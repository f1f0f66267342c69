"""The learner: from rows to gradients to weights.

Whatever the rows, one step is the same: all their tokens are laid out so that equal rows, or with packing equal
prefixes, are computed once (`packing.py`); a micro-batch is one forward of the transformer; only the hidden states from
which something is predicted go through the language-model head, in chunks whose logits are recomputed in the backward
pass. From the logits on everything is float32. Packed and padded rows give the module's own numbers, which is asserted
on the real module when a learner is made. Several processes may share the weights and the rows of a policy
(`sharding.py`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint

from palaestra.alignment.layers import recomputed
from palaestra.alignment.objectives import TERMS, Objective, Units, make_objective
from palaestra.alignment.objectives.regularizers import entropy, kl_exact, kl_k1, kl_k3
from palaestra.alignment.packing import Layout, MicroBatch, layout, plan
from palaestra.alignment.rows import ChoiceRow, Row, TokenRow, UnitCounts, ValueRow, count_units, merge
from palaestra.errors import CheckpointError, ScenarioError, UnknownNameError, nearest

if TYPE_CHECKING:
    from palaestra.alignment.sharding import Peers

VALUE_HEAD = "value_head."
MASKED = -1e30  # log-probability of a candidate that is not there: finite, so that 0 · log 0 stays 0


class Schedule(NamedTuple):
    """Learning rate by step: linear warm-up, then linear decay from the first step to `floor` at `total_steps`."""

    lr: float
    warmup_steps: int = 0
    total_steps: int | None = None
    """None: no decay."""
    floor: float = 0.0
    """Smallest factor."""

    def at(self, step: int) -> float:
        """The rate of optimizer step `step`, counted from 0; the last step's is lr / total_steps, not 0."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay = max(self.floor, 1.0 - step / self.total_steps) if self.total_steps else 1.0
        return self.lr * warm * decay


class ValueHead(nn.Module):
    """A linear map from the last hidden state to one number; starts at 0.

    With `detach` its loss does not reach the transformer.
    """

    def __init__(self, hidden_size: int, *, detach: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)
        self.detach = detach
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (...), float32."""
        hidden = hidden.detach() if self.detach else hidden
        values: Tensor = self.linear(hidden.float()).sum(-1)  # of one: FSDP wants no view as an output
        return values


class Scores(NamedTuple):
    """What a module says of one row, without gradient.

    `logprobs` has one entry a trained token (or one for a drawn action), `legal` the log-softmax over a choice's
    candidates, `values` one entry a position of a `ValueRow`. All float32 on the CPU.
    """

    logprobs: Tensor
    legal: Tensor | None = None
    values: Tensor | None = None


Reference = nn.Module | Callable[[Sequence[Row]], Sequence[Scores]] | Sequence[Scores]


def causal_lm(module: nn.Module) -> Any:
    """The transformers model itself, without a peft wrapper (its LoRA layers stay in place)."""
    peft = sys.modules.get("peft")  # not imported: then the module cannot be one of peft's
    return module.get_base_model() if peft and isinstance(module, peft.PeftModel) else module


def _packable(config: Any) -> str | None:
    """The attention implementation if a 4-D mask works with it, else None."""
    kinds = getattr(config, "layer_types", None)
    windowed = any(k != "full_attention" for k in kinds) if kinds else bool(getattr(config, "sliding_window", None))
    attention: str = config._attn_implementation
    return attention if attention in ("sdpa", "eager") and not windowed else None


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. An accelerator is not waited for: from pinned memory it fetches in its own time."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _logits(lm: Any, hidden: Tensor) -> Tensor:
    """The head's logits in float32, with the three scalings that transformers applies outside of it."""
    config = lm.config.get_text_config()
    logits: Tensor = lm.get_output_embeddings()(hidden).float()
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scaling := getattr(config, "logits_scaling", None):
        logits = logits / scaling
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = cap * torch.tanh(logits / cap)
    return logits


class Output(NamedTuple):
    """What one forward predicts."""

    tokens_N: Tensor
    """log-probability of each trained token."""
    legal_MK: Tensor
    """log-softmax over the candidates of each choice."""
    legal_mask_MK: Tensor
    values_U: Tensor
    reach: Tensor
    """0, with a gradient of 0 for all that the rows of any peer reach; without peers just 0."""


class Work(NamedTuple):
    """What one call is about, over the rows of all peers."""

    passes: int
    """Forward passes of the peer that has most."""
    head: bool
    """Whether anything is asked of the language-model head."""
    values: bool
    """Whether anything is asked of the value head."""
    units: UnitCounts
    rows: int


IDLE: list[Row] = [TokenRow.of("", (0, 0), (False, True), advantages=0.0)]
"""What a peer computes, for nothing, while others still have rows."""


class Learner:
    """Gradients and steps for the trainable parameters of one policy.

    The module's mode is left alone: leave it in eval mode, or without dropout, so that the ratio to the behavior
    policy is 1 at the first epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: Mapping[str, Parameter],
        *,
        schedule: Schedule | float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        clip_norm: float = 1.0,
        tokens_per_micro_batch: int = 16_384,
        packing: bool = True,
        head_chunk: int = 256,
        autocast: torch.dtype | None = None,
        value_head: ValueHead | None = None,
        activate: Callable[[], object] | None = None,
        checkpointing: bool = False,
        peers: Peers | None = None,
        compile: str | None = None,
        check: bool = True,
    ) -> None:
        """A learner.

        Args:
            module: a Hugging Face causal language model, or a peft model around one.
            parameters: what is trained, by name; everything else stays as it is.
            schedule: the step size, or a `Schedule`.
            clip_norm: the gradient's largest norm; 0: not clipped.
            tokens_per_micro_batch: most token positions of one forward pass, padding included.
            packing: tries in one row instead of padded rows.
            head_chunk: positions that go through the head at once.
            autocast: dtype of the transformer's matrix products; None: as the weights are.
            value_head: trained along with the parameters.
            activate: called before each forward of `module`, for example to make an adapter the active one.
            checkpointing: keep only what enters each layer, and compute the rest again in the backward pass: about a
                third more time, for activations that no longer grow with what is inside a layer.
            peers: the processes that `module` (and the value head) is sharded over. All call the same methods in the
                same order, each with its own rows; metrics are over the rows of all, scores those of its own rows.
            compile: a back-end of `torch.compile` for the transformer, such as "inductor": for long runs on an
                accelerator, since each adapter and each number of dimensions is compiled anew.
            check: compare packed, padded and the module's own logits on a few tokens, now.
        Raises:
            ScenarioError: packing does not give the module's own log-probabilities.
        """
        self.module, self.value_head = module, value_head
        self.parameters = dict(parameters)
        if value_head is not None:
            self.parameters |= {VALUE_HEAD + n: p for n, p in value_head.named_parameters()}
        self.schedule = schedule if isinstance(schedule, Schedule) else Schedule(schedule)
        self.clip_norm, self.tokens_per_micro_batch = clip_norm, tokens_per_micro_batch
        self.packing, self.head_chunk = packing, head_chunk
        self.autocast, self.activate = autocast, activate or (lambda: None)
        self.checkpointing, self.peers = checkpointing, peers
        self._compiled = torch.compile(causal_lm(module).base_model, backend=compile, dynamic=True) if compile else None
        self.step = 0
        self.skipped = 0
        """Steps that were not taken because the gradient was not finite."""
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=self.schedule.lr, betas=betas, weight_decay=weight_decay
        )
        if check:
            self.check()

    # -- gradients and steps -------------------------------------------------------------------------------------
    def forward_backward(
        self,
        rows: Sequence[Row],
        objective: Objective | str,
        *,
        reference: Reference | None = None,
        proximal: Sequence[Scores] | None = None,
        coefficients: Mapping[str, float] | None = None,
        units: UnitCounts | None = None,
    ) -> dict[str, float]:
        """Add the gradient of the loss of these rows, and return its metrics.

        loss = objective / trained units + Σ coefficient · term / units of that term

        Args:
            rows: of one policy.
            objective: an `Objective` or the name of one.
            reference: for KL: a module, scores by row, or a function from rows to scores.
            proximal: what `present` said of these rows when the step began, for objectives that need it; the rows are
                then taken as they are, so merge them before.
            coefficients: of `TERMS` by name ("kl_exact", "kl_k2", "entropy"), and "value" (default 0.5) for the
                squared error (V − target)² / 2 of `ValueRow`s.
            units: divisors of the whole step, where it takes several calls; None: these rows, and those that peers
                call this with, are all.
        Returns:
            means over these rows: loss, nll, entropy, kl_exact, kl_k1, kl_k3 (with a reference), the objective's own,
            and mismatch_std, mismatch_outside (share outside ±10 %), mismatch_k3, mismatch_max of the log-ratio
            learner / behavior, which is the engine's mismatch as long as both have the same weights.
        Raises:
            ScenarioError: rows of several policies, a KL term without a reference, or an objective without what it
                needs.
            UnknownNameError: no such objective or coefficient.
        """
        goal = make_objective(objective) if isinstance(objective, str) else objective
        weights = dict(coefficients or {})
        validate(rows, weights, reference)
        if goal.proximal and proximal is None:
            raise ScenarioError(f"objective {goal.name} needs what the weights said when the step began: proximal")
        value_weight = weights.pop("value", 0.5)
        whole = list(rows) if isinstance(reference, Sequence) or proximal is not None else merge(rows)
        batches = self._plan(whole)
        work = self._work(whole, batches, count_units(whole, goal.reduction))
        divisors = units or work.units
        scores = self._reference(reference, whole)
        self.activate()
        tally = Tally()
        for batch in batches:
            out, size = self._forward(self.module, whole, batch, work)
            data, known_N = self._units(whole, batch, out, scores, goal.reduction)
            if proximal is not None:
                data = data._replace(proximal_N=_sent(_trained(proximal, whole, batch), data.logprobs_N.device))
            loss = goal.loss(data) / max(divisors.trained, 1.0)
            for name, weight in weights.items():
                if weight:
                    over: float = getattr(divisors, TERMS[name].over)
                    loss = loss + weight * TERMS[name].loss(data) / max(over, 1.0)
            if out.values_U.numel():
                error = self._value_loss(whole, batch, out.values_U)
                loss = loss + value_weight * error / max(divisors.value, 1.0)
                tally.add("value_loss", error.detach(), work.units.value)
            self._backward(loss, out.reach)
            tally.add("loss", loss.detach(), None)
            tally.units(data, known_N)
            for name, (part, of) in (goal.stats(data) if goal.stats else {}).items():
                tally.add(name, part, of)
            tally.add("tokens_forward", torch.tensor(float(size)), None)
        for _ in range(work.passes - len(batches)):
            idle, _ = self._forward(self.module, IDLE, self._plan(IDLE)[0], work)
            self._backward(torch.zeros_like(idle.reach), idle.reach)
        means = tally.means(self.peers.gather if self.peers else None)
        return means | {
            "units_trained": work.units.trained,
            "units_legal": work.units.legal,
            "rows": float(work.rows),
        }

    def _backward(self, loss: Tensor, reach: Tensor) -> None:
        if self.peers is None:
            torch.autograd.backward(loss, inputs=list(self.parameters.values()))
        else:  # the gathered weights are the leaves, not the parameters; and the peers' gradients are averaged
            torch.autograd.backward((loss + reach) * self.peers.world)

    def optim_step(self) -> dict[str, float]:
        """Clip, step, clear the gradients, advance the schedule.

        A gradient that is not finite is dropped and counted. One that is exactly zero, as when every group agrees,
        moves nothing: Adam's momentum alone would walk on from a policy that has nothing left to learn.

        Returns:
            grad_norm before clipping, lr, skipped (how many steps were dropped for a gradient that is not finite).
        """
        lr = self.schedule.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        norm_all = nn.utils.clip_grad_norm_(self.parameters.values(), self.clip_norm or math.inf)
        norm = float(self.peers.full(norm_all) if self.peers else norm_all)
        if not math.isfinite(norm):
            self.skipped += 1
        elif norm > 0:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return {"grad_norm": norm, "lr": lr, "skipped": float(self.skipped)}

    def logprobs(self, module: nn.Module, rows: Sequence[Row]) -> list[Scores]:
        """What `module` says of each row, without gradient, through the same code as training."""
        out: list[Scores] = [Scores(torch.empty(0))] * len(rows)
        batches = self._plan(rows)
        work = self._work(rows, batches, UnitCounts())
        with torch.no_grad():
            for _ in range(work.passes - len(batches)):
                self._forward(module, IDLE, self._plan(IDLE)[0], work)
            for batch in batches:
                result, _ = self._forward(module, rows, batch, work)
                tokens, legal, values = result.tokens_N.cpu(), result.legal_MK.cpu(), result.values_U.cpu()
                n = m = u = 0
                for i in batch.rows:
                    row = rows[i]
                    if isinstance(row, TokenRow):
                        out[i] = Scores(tokens[n : n + row.trained])
                        n += row.trained
                    elif isinstance(row, ChoiceRow):
                        own = legal[m, : len(row.candidates)]
                        out[i] = Scores(own[row.chosen : row.chosen + 1] if row.trained else own[:0], own)
                        m += 1
                    else:
                        out[i] = Scores(tokens[:0], values=values[u : u + len(row.positions)])
                        u += len(row.positions)
        return out

    def present(self, rows: Sequence[Row]) -> list[Scores]:
        """What the trained weights say of each row as they are now."""
        self.activate()
        return self.logprobs(self.module, rows)

    def values(self, rows: Sequence[ValueRow]) -> list[list[float]]:
        """What the value head predicts at the positions of each row, for `credit.gae`."""
        return [s.values.tolist() for s in self.present(rows) if s.values is not None]

    # -- state ---------------------------------------------------------------------------------------------------
    def snapshot(self) -> dict[str, Tensor]:
        """CPU copies of the trained parameters. With peers: whole ones for rank 0, nothing for the others."""
        return self._whole({name: p.detach() for name, p in self.parameters.items()})

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put a snapshot back into the parameters. With peers: the one that rank 0 gives.

        Raises:
            CheckpointError: other names.
        """
        self._same(list(weights), "snapshot")
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(self._part(weights.get(name), p))

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on except the module's weights: optimizer, step, value head.

        With peers: the same, of whole tensors, for rank 0 and without tensors for the others (`sharding.save` never
        holds it whole).
        """
        optimizer = self.optimizer.state_dict()
        if self.peers:
            optimizer["state"] = {i: self._whole(moments) for i, moments in optimizer["state"].items()}
        head = None if self.value_head is None else self.value_head.state_dict()
        return {
            "step": self.step,
            "skipped": self.skipped,
            "names": list(self.parameters),
            "optimizer": optimizer,
            "value_head": self._whole(head) if self.peers and head is not None else head,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state. With peers: the one that rank 0 gives.

        Raises:
            CheckpointError: it belongs to other parameters.
        """
        self._same(state.get("names", []), "optimizer state")
        if self.peers:
            self._spread(state)
            return
        self.step, self.skipped = state["step"], state["skipped"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.value_head is not None:
            self.value_head.load_state_dict(state["value_head"])

    def _spread(self, state: Mapping[str, Any]) -> None:
        """Give every peer its part of the state that rank 0 has."""
        assert self.peers is not None
        moments: dict[int, dict[str, Tensor]] = state["optimizer"]["state"] if self.peers.rank == 0 else {}
        scalars = {i: {k: t if t.ndim == 0 else None for k, t in own.items()} for i, own in moments.items()}
        self.step, self.skipped, kinds = self.peers.gather((state.get("step", 0), state.get("skipped", 0), scalars))[0]
        self.optimizer.state.clear()
        for i, (name, p) in enumerate(self.parameters.items()):
            if i in kinds:
                self.optimizer.state[p] = {
                    key: scalar.clone() if scalar is not None else self._part(moments.get(i, {}).get(key), p)
                    for key, scalar in kinds[i].items()
                }
            if name.startswith(VALUE_HEAD):
                head = state["value_head"] if self.peers.rank == 0 else {}
                with torch.no_grad():
                    p.copy_(self._part(head.get(name.removeprefix(VALUE_HEAD)), p))

    def _whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """CPU copies; with peers of the whole tensors, and only for rank 0."""
        out: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            full = self.peers.full(tensor) if self.peers else tensor  # one at a time: it may not fit twice
            if self.peers is None or self.peers.rank == 0:
                out[name] = full.to("cpu", copy=True)
        return out

    def _part(self, full: Tensor | None, like: Tensor) -> Tensor:
        if self.peers:
            return self.peers.shard_of(full, like.detach())
        assert full is not None
        return full

    def _same(self, names: Sequence[str], what: str) -> None:
        names = self.peers.gather(list(names))[0] if self.peers else list(names)
        if names != list(self.parameters):
            odd = sorted(set(names) ^ self.parameters.keys())
            raise CheckpointError(f"{what}: not of these parameters ({', '.join(odd[:3]) or 'another order'})")

    # -- the forward pass ----------------------------------------------------------------------------------------
    def _plan(self, rows: Sequence[Row]) -> list[MicroBatch]:
        return plan(rows, tokens_per_micro_batch=self.tokens_per_micro_batch, packing=self.packing)

    def _work(self, rows: Sequence[Row], batches: Sequence[MicroBatch], units: UnitCounts) -> Work:
        used = [rows[i] for batch in batches for i in batch.rows]
        values = any(isinstance(row, ValueRow) for row in used)
        own = Work(len(batches), any(not isinstance(r, ValueRow) for r in used), values, units, len(rows))
        work = own
        if self.peers:
            passes, head, value, counts, sizes = zip(*self.peers.gather(own), strict=True)
            sums = UnitCounts(*map(sum, zip(*counts, strict=True)))
            work = Work(max(passes), any(head), any(value), sums, sum(sizes))
        if work.values and self.value_head is None:  # seen by all peers alike: none waits for another that has raised
            raise ScenarioError(
                "value rows, and the learner has no value head\n  Learner(..., value_head=ValueHead(size))"
            )
        return work

    def _forward(self, module: nn.Module, rows: Sequence[Row], batch: MicroBatch, work: Work) -> tuple[Output, int]:
        """The predictions of a micro-batch, and how many token positions were computed."""
        lm = causal_lm(module)
        device = next(lm.parameters()).device
        where = layout(rows, batch, packing=self.packing, chains_causal=device.type != "cpu")

        def put(array: np.ndarray) -> Tensor:
            return _sent(torch.from_numpy(np.ascontiguousarray(array)), device)

        transformer = self._compiled if self._compiled is not None and module is self.module else lm.base_model

        def compute() -> tuple[Tensor, Tensor, Tensor]:
            saving = self.checkpointing and torch.is_grad_enabled()
            with torch.autocast(device.type, self.autocast, enabled=self.autocast is not None):
                with recomputed(lm) if saving else nullcontext():
                    hidden_BTD = transformer(
                        input_ids=put(where.ids_BT),
                        position_ids=put(where.positions_BT),
                        attention_mask=self._mask(lm, where.visible_BTT, put),
                        use_cache=False,  # a cache makes transformers forget that rows are packed
                    ).last_hidden_state
                hidden = hidden_BTD.flatten(0, 1)
                asked = put(where.head_Q), put(where.target_Q)
                logprobs_Q = self._queried(lm, hidden[put(where.heads_C)], *asked, where)
                reach = hidden.new_zeros((), dtype=torch.float32)
                if self.peers and work.head:
                    reach = 0 * _logits(lm, hidden[:1])[:, 0].sum()
            return hidden_BTD, logprobs_Q, reach

        hidden_BTD, logprobs_Q, reach = self.peers.within(lm, compute) if self.peers else compute()
        hidden = hidden_BTD.flatten(0, 1)
        choices = put(where.choices_MKJ)
        there = choices >= 0
        mask_MK = there.any(-1)
        scores_MK = (logprobs_Q[choices.clamp(min=0)] * there).sum(-1) if choices.numel() else mask_MK.float()
        scores_MK = scores_MK / put(where.divisors_MK)
        legal_MK = scores_MK.masked_fill(~mask_MK, MASKED).log_softmax(-1)
        values_U = hidden.new_zeros(0)
        if len(where.values_U):
            assert self.value_head is not None  # or `_work` would have raised
            values_U = self.value_head(hidden[put(where.values_U)])
        elif self.peers and work.values and self.value_head is not None:
            reach = reach + 0 * self.value_head(hidden[:1]).sum()
        return Output(logprobs_Q[put(where.tokens_N)], legal_MK, mask_MK, values_U, reach), where.ids_BT.size

    def _queried(self, lm: Any, hidden_CD: Tensor, head_Q: Tensor, target_Q: Tensor, where: Layout) -> Tensor:
        """log-probability of each query's target; one chunk of logits at a time, recomputed in backward."""

        def chunk(hidden: Tensor, head: Tensor, target: Tensor) -> Tensor:
            logits = _logits(lm, hidden)
            return logits[head, target] - logits.logsumexp(-1)[head]

        if not len(head_Q):
            return hidden_CD.new_zeros(0).float()
        if len(hidden_CD) <= self.head_chunk:  # one chunk is all there is: nothing to save by recomputing
            return chunk(hidden_CD, head_Q, target_Q)
        starts = range(0, len(hidden_CD), self.head_chunk)
        bounds = np.searchsorted(where.head_Q, [*starts, len(hidden_CD)])  # queries are in the order of their heads
        parts = [
            checkpoint(
                chunk,
                *(hidden_CD[c : c + self.head_chunk], head_Q[a:b] - c, target_Q[a:b]),
                use_reentrant=False,
                preserve_rng_state=False,  # nothing is drawn
            )
            for c, a, b in zip(starts, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]
        return torch.cat(parts)

    def _mask(self, lm: Any, visible: np.ndarray | None, put: Callable[[np.ndarray], Tensor]) -> Tensor | None:
        """The 4-D mask of packed rows: boolean for sdpa, additive for eager. None: causal, padding on the right."""
        if visible is None:
            return None
        mask = put(visible)[:, None]
        if _packable(lm.config.get_text_config()) == "eager":
            dtype = self.autocast or lm.dtype
            return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
        return mask

    # -- from predictions to units -------------------------------------------------------------------------------
    def _reference(self, reference: Reference | None, rows: Sequence[Row]) -> Sequence[Scores] | None:
        if reference is None:
            return None
        if isinstance(reference, nn.Module):
            return self.logprobs(reference, rows)
        return reference(rows) if callable(reference) else reference

    def _units(
        self,
        rows: Sequence[Row],
        batch: MicroBatch,
        out: Output,
        scores: Sequence[Scores] | None,
        reduction: str,
    ) -> tuple[Units, Tensor]:
        """The tensors that objectives see: tokens first, then drawn actions. And which units' behavior is known."""
        tokens = [(i, rows[i]) for i in batch.rows if isinstance(rows[i], TokenRow)]
        choices = [(i, r) for i in batch.rows if isinstance(r := rows[i], ChoiceRow)]
        drawn = [(m, r) for m, (_, r) in enumerate(choices) if r.trained]
        behavior: list[float] = []
        positive: list[float] = []
        negative: list[float] = []
        count: list[float] = []
        for _, row in tokens:
            assert isinstance(row, TokenRow)
            share = 1.0 / max(row.trained, 1) if reduction == "mean" else 1.0
            behavior += row.behavior or [math.nan] * row.trained
            positive += [share * a for a in row.positive]
            negative += [share * a for a in row.negative]
            count += [share * row.weight] * row.trained
        for _, choice in drawn:
            behavior.append(choice.behavior)
            positive.append(choice.positive)
            negative.append(choice.negative)
            count.append(choice.weight)
        device = out.tokens_N.device

        def put(numbers: list[float]) -> Tensor:
            return _sent(torch.tensor(numbers, dtype=torch.float32), device)

        at_M = _sent(torch.tensor([m for m, _ in drawn], dtype=torch.long), device)
        chosen_M = _sent(torch.tensor([r.chosen for _, r in drawn], dtype=torch.long), device)
        logprobs_N = torch.cat([out.tokens_N, out.legal_MK[at_M, chosen_M]]) if drawn else out.tokens_N
        behavior_N = put(behavior)
        known_N = ~behavior_N.isnan()
        units = Units(
            logprobs_N=logprobs_N,
            behavior_N=torch.where(known_N, behavior_N, logprobs_N.detach()),
            positive_N=put(positive),
            negative_N=put(negative),
            count_N=put(count),
        )
        if choices:
            units = units._replace(
                legal_MK=out.legal_MK,
                legal_mask_MK=out.legal_mask_MK,
                legal_count_M=put([r.weight for _, r in choices]),
            )
        if scores is not None:
            units = units._replace(reference_N=_sent(_trained(scores, rows, batch), device))
            if choices:
                legal = torch.full(out.legal_MK.shape, MASKED)
                for m, (i, _) in enumerate(choices):
                    own = scores[i].legal
                    assert own is not None, "a reference scores every choice"
                    legal[m, : len(own)] = own
                units = units._replace(reference_legal_MK=_sent(legal, device))
        return units, known_N

    def _value_loss(self, rows: Sequence[Row], batch: MicroBatch, values_U: Tensor) -> Tensor:
        """Σ weight · (V − target)² / 2 over positions that have a target."""
        owners = [r for i in batch.rows if isinstance(r := rows[i], ValueRow)]
        weights = [r.weight * bool(r.targets) for r in owners for _ in r.positions]
        targets = [t for r in owners for t in (r.targets or [0.0] * len(r.positions))]
        weight_U, target_U = (_sent(torch.tensor(x, dtype=values_U.dtype), values_U.device) for x in (weights, targets))
        return (0.5 * weight_U * (values_U - target_U) ** 2).sum()

    # -- start-up ------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def check(self) -> None:
        """Compare this learner's log-probabilities with the module's own, on a few short sequences that share a prefix.

        transformers has silent ways to let packed sequences see each other, and models scale their logits in their
        own ways; here either would show.

        Raises:
            ScenarioError: they differ.
        """
        self.activate()
        lm = causal_lm(self.module)
        config = lm.config.get_text_config()
        if self.packing and _packable(config) is None:
            raise ScenarioError(
                f"packing: {type(lm).__name__} with attention {config._attn_implementation!r} cannot take a 4-D mask\n"
                '  packing needs full attention everywhere, with attn_implementation "sdpa" or "eager"\n'
                "  set packing = false"
            )
        vocabulary: int = config.vocab_size
        shared = [(7 * t + 3) % vocabulary for t in range(6)]
        sequences = [shared + [(11 * t + 5 * i + 1) % vocabulary for t in range(3 + 2 * i)] for i in range(3)]
        rows = [TokenRow.of("check", ids, [False] + [True] * (len(ids) - 1)) for ids in sequences]
        ours = self.logprobs(self.module, rows)
        device = next(lm.parameters()).device
        computed = self.autocast or (self.peers and self.peers.dtype) or lm.dtype
        tolerance = 1e-4 if computed == torch.float32 else 0.1
        for ids, score in zip(sequences, ours, strict=True):
            tokens = torch.tensor([ids], device=device)
            with torch.autocast(device.type, self.autocast, enabled=self.autocast is not None):
                logits = self.module(input_ids=tokens, use_cache=False).logits
            theirs = logits[0, :-1].float().log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0].cpu()
            gap = float((score.logprobs - theirs).abs().max())
            if not gap <= tolerance:
                raise ScenarioError(
                    f"learner: log-probabilities of {type(lm).__name__} differ from its own by {gap:.2g} "
                    f"({'packed' if self.packing else 'padded'})\n  set packing = false; if it stays, this model has a "
                    "head that the learner does not know"
                )


def validate(rows: Sequence[Row], coefficients: Mapping[str, float], reference: object | None) -> None:
    """Refuse what no `forward_backward` can do.

    Raises:
        ScenarioError: rows of several policies, or a term without the reference that it needs.
        UnknownNameError: no such coefficient.
    """
    policies = sorted({row.policy for row in rows})
    if len(policies) > 1:
        raise ScenarioError(f"rows of several policies: {', '.join(policies)}\n  one call has rows of one policy")
    for name in coefficients:
        if name not in TERMS and name != "value":
            raise UnknownNameError(f"no coefficient {name!r}\n  {nearest(name, [*TERMS, 'value'])}")
        if name in TERMS and TERMS[name].reference and coefficients[name] and reference is None:
            raise ScenarioError(f"coefficient {name} needs a reference policy")


def _trained(scores: Sequence[Scores], rows: Sequence[Row], batch: MicroBatch) -> Tensor:
    """The scores of a micro-batch in the order of its units: trained tokens, then drawn actions. float32, (N,)."""
    tokens = [scores[i].logprobs for i in batch.rows if isinstance(rows[i], TokenRow)]
    drawn = [scores[i].logprobs for i in batch.rows if isinstance(r := rows[i], ChoiceRow) and r.trained]
    return torch.cat([*tokens, *drawn, torch.empty(0)])


Floats = dict[str, list[tuple[float, float | None]]]


class Tally:
    """Sums over micro-batches; one synchronization with the device, at the end."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[Tensor, Tensor | float | None]]] = {}

    def add(self, name: str, part: Tensor, of: Tensor | float | None) -> None:
        """A numerator and its denominator; None: a plain sum."""
        self._parts.setdefault(name, []).append((part.detach(), of))

    def units(self, data: Units, known_N: Tensor) -> None:
        """The metrics of any objective."""
        with torch.no_grad():
            total = data.count_N.sum()
            if data.count_N.numel():
                self.add("nll", -(data.count_N * data.logprobs_N).sum(), total)
                gap_N = data.logprobs_N - data.behavior_N
                weight_N = data.count_N * known_N
                known = weight_N.sum()
                self.add("_gap", (weight_N * gap_N).double().sum(), known)
                self.add("_gap2", (weight_N * gap_N.double() ** 2).sum(), known)
                self.add("mismatch_outside", (weight_N * ((gap_N.exp() - 1).abs() > 0.1)).sum(), known)
                self.add("mismatch_k3", (weight_N * (torch.expm1(gap_N) - gap_N)).sum(), known)
                self.add("mismatch_max", gap_N.abs().max(), None)
                if data.reference_N is not None:
                    self.add("kl_k1", kl_k1(data), total)
                    self.add("kl_k3", kl_k3(data), total)
            if data.legal_count_M is not None:
                legal = data.legal_count_M.sum()
                self.add("entropy", entropy(data), legal)
                if data.reference_legal_MK is not None:
                    self.add("kl_exact", kl_exact(data), legal)

    def _fetched(self) -> Floats:
        """All of it as numbers, in one transfer from each device: doubles hold every float32 as it is."""
        tensors = [t for pairs in self._parts.values() for pair in pairs for t in pair if isinstance(t, Tensor)]
        numbers: dict[int, float] = {}
        for device in {t.device for t in tensors}:
            here = [t for t in tensors if t.device == device]
            numbers |= zip(map(id, here), torch.stack([t.double() for t in here]).tolist(), strict=True)

        def plain(value: Tensor | float | None) -> float | None:
            return numbers[id(value)] if isinstance(value, Tensor) else value

        return {name: [(numbers[id(part)], plain(of)) for part, of in pairs] for name, pairs in self._parts.items()}

    def means(self, gather: Callable[[Floats], list[Floats]] | None = None) -> dict[str, float]:
        """The metrics by name, over what all peers have added."""
        own = self._fetched()
        every = gather(own) if gather else [own]
        out: dict[str, float] = {}
        for name in dict.fromkeys(name for tally in every for name in tally):
            pairs = [pair for tally in every for pair in tally.get(name, [])]
            parts = [p for p, _ in pairs]
            if name == "mismatch_max":
                out[name] = max(parts)
            elif pairs[0][1] is None:
                out[name] = sum(parts)
            elif name == "value_loss":
                out[name] = sum(parts) / max(pairs[0][1], 1.0)
            else:
                of = sum(d for _, d in pairs if d is not None)
                out[name] = sum(parts) / of if of else 0.0
        if "_gap" in out:
            mean = out.pop("_gap")
            out["mismatch_std"] = math.sqrt(max(out.pop("_gap2") - mean * mean, 0.0))
        return out
