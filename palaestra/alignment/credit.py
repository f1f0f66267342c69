"""Credit: advantages as one form, `return · group key · baseline · scale`.

    A_i = (R_i − b(g_i)) / s(g_i)

The group key is free: any fields of a sample. A group of one has no baseline of its own: its advantage is 0 and it is
counted. Scales have an absolute floor, because a spread that is only rounding error would make huge advantages.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from palaestra.agents.episode import Episode, PolicyRef
from palaestra.envs.transcript import Paid, Said, Transcript
from palaestra.errors import CheckpointError, ScenarioError, UnknownNameError, nearest

Floats = NDArray[np.float64]
Baseline = Literal["mean", "leave_one_out", "ema", "none"]
Scale = Literal["std", "population_std"] | None
FLOOR = 1e-3
"""Smallest scale, for rewards of order 1."""


class Sample(msgspec.Struct, frozen=True):
    """One trained seat of one episode, as credit sees it."""

    episode: int
    """Which episode of the batch."""
    instance: str
    """Label of the instance (deal, task, passage) that the episode is about."""
    seat: str
    policy: str
    total: float
    """The return."""
    rewards: tuple[float, ...] = ()
    """The part of it that followed each turn of the seat; as many as turns."""
    opponents: str = ""
    """Who sat in the other seats."""
    env: str = ""

    @property
    def group(self) -> str:
        """Another word for the instance."""
        return self.instance

    @property
    def role(self) -> str:
        """The seat's name without its index: `buyer_0` is a `buyer`."""
        head, _, index = self.seat.rpartition("_")
        return head if head and index.isdigit() else self.seat

    def with_total(self, total: float) -> Sample:
        """The same sample with another return; the difference is credited to the last turn."""
        rewards = (*self.rewards[:-1], self.rewards[-1] + total - self.total) if self.rewards else ()
        return msgspec.structs.replace(self, total=total, rewards=rewards)

    @classmethod
    def of(cls, episode: Episode, seat: str, index: int, total: float | None = None) -> Self:
        """The sample of one seat; `total` replaces the environment's return (a signal's score, a penalized return).

        What the replacement adds to the environment's return is credited to the last turn.
        """
        rewards = turn_rewards(episode.transcript, seat)
        paid = episode.returns[seat]
        if total is not None and rewards:
            rewards[-1] += total - paid
        others = ",".join(who for other, who in episode.cast.items() if other != seat)
        return cls(
            episode=index,
            instance=episode.group or f"{episode.transcript.env}/{episode.transcript.seed}",
            seat=seat,
            policy=PolicyRef.parse(episode.cast[seat]).name,
            total=paid if total is None else total,
            rewards=tuple(rewards),
            opponents=others,
            env=episode.transcript.env,
        )


def turn_rewards(transcript: Transcript, seat: str) -> list[float]:
    """The seat's rewards by its own turns: what it was paid after that turn and before its next; retries are turns.

    Pay before its first turn counts to the first, so the sum is the return. Empty for a seat that never acted.
    """
    rewards: list[float] = []
    early = 0.0
    for event in transcript.events:
        if isinstance(event, Said) and event.seat == seat:
            rewards.append(early)
            early = 0.0
        elif isinstance(event, Paid) and event.seat == seat:
            if rewards:
                rewards[-1] += event.amount
            else:
                early += event.amount
    return rewards


def rewards_to_go(rewards_T: Sequence[float], gamma: float = 1.0) -> Floats:
    """G_t = Σ_{l≥0} γ^l r_{t+l}: float64, one a turn."""
    out = np.zeros(len(rewards_T))
    tail = 0.0
    for t in reversed(range(len(rewards_T))):
        tail = rewards_T[t] + gamma * tail
        out[t] = tail
    return out


class Gae(NamedTuple):
    """Advantages, and the value targets A + V."""

    advantages_T: Floats
    targets_T: Floats


def gae(
    rewards_T: Sequence[float],
    values_T: Sequence[float],
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
    last_value: float = 0.0,
) -> Gae:
    """Generalized advantage estimates of one trajectory; time runs over the seat's own turns.

    δ_t = r_t + γ V_{t+1} − V_t,  A_t = Σ_l (γ λ)^l δ_{t+l},  target_t = A_t + V_t.

    Args:
        rewards_T: what followed each turn.
        values_T: the prediction before each turn.
        last_value: V after the last own turn: 0 where the episode terminated, a prediction where it was truncated.
    Raises:
        ScenarioError: lengths differ.

    Source: arXiv 1506.02438 eq. 16. Differs: steps are the seat's own turns, not tokens and not the others' turns.
    """
    if len(rewards_T) != len(values_T):
        raise ScenarioError(f"gae: {len(rewards_T)} rewards and {len(values_T)} values\n  one value a turn")
    values = np.asarray([*values_T, last_value], np.float64)
    deltas = np.asarray(rewards_T, np.float64) + gamma * values[1:] - values[:-1]
    advantages = rewards_to_go(deltas.tolist(), gamma * lam)
    return Gae(advantages, advantages + values[:-1])


class GroupStats(NamedTuple):
    """How informative the groups were."""

    groups: int
    singletons: int
    """Groups of one, whose advantage is 0."""
    constant: int
    """Groups of two or more with equal returns, whose advantages are 0."""
    size_min: int
    size_max: int
    size_mean: float

    @property
    def constant_share(self) -> float:
        """Share of constant groups among those of two or more."""
        return self.constant / max(self.groups - self.singletons, 1)

    def metrics(self) -> dict[str, float]:
        """As named numbers for the log."""
        return {
            "groups": float(self.groups),
            "singletons": float(self.singletons),
            "constant_share": self.constant_share,
            "group_size_min": float(self.size_min),
            "group_size_mean": self.size_mean,
            "group_size_max": float(self.size_max),
        }


def group_advantages(
    returns_E: Sequence[float] | Floats,
    groups_E: Sequence[Hashable],
    *,
    baseline: Literal["mean", "leave_one_out", "none"] = "mean",
    scale: Scale = None,
    floor: float = FLOOR,
) -> tuple[Floats, GroupStats]:
    """Advantages against a baseline of one's own group, and how the groups were.

    A_e = (R_e − b(g_e)) / s(g_e), where b is the group's mean, the mean of the others ("leave_one_out", that is
    n/(n−1)·(R − mean)) or 0, and s is max(std, floor) with divisor n−1 ("std") or n ("population_std"), or 1.

    Args:
        returns_E: in the environment's reward unit.
        groups_E: any labels; equal label = same group.
    Returns:
        float64 (E,) in the same order. 0 for a group of one, unless there is neither baseline nor scale, and exactly
        0 for a constant group.

    Source: arXiv 2402.03300 eq. 3 (mean, std: GRPO), arXiv 2503.20783 (mean: Dr. GRPO), arXiv 2402.14740 (leave one
    out). Differs: a floor under the scale instead of an addend; groups of one give 0.
    """
    returns = np.asarray(returns_E, np.float64)
    label: dict[Hashable, int] = {}
    group = np.asarray([label.setdefault(g, len(label)) for g in groups_E], np.int64)
    if len(group) != len(returns):
        raise ScenarioError(f"{len(returns)} returns and {len(group)} group labels\n  one label a return")
    count = len(label)
    if not count:
        return returns, GroupStats(0, 0, 0, 0, 0, 0.0)
    sizes = np.bincount(group, minlength=count)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, group, returns)
    np.maximum.at(high, group, returns)
    flat = low == high
    mean = np.where(flat, low, np.bincount(group, returns, count) / sizes)
    out = returns.copy()
    if baseline != "none":
        out -= mean[group]
        if baseline == "leave_one_out":
            out *= (sizes / np.maximum(sizes - 1, 1))[group]
    if scale is not None:
        squares = np.bincount(group, (returns - mean[group]) ** 2, count)  # two passes: no cancellation
        divisor = np.maximum(sizes - 1, 1) if scale == "std" else sizes
        out /= np.maximum(np.sqrt(squares / divisor), floor)[group]
    if baseline != "none" or scale is not None:
        out[sizes[group] == 1] = 0.0
    stats = GroupStats(
        groups=count,
        singletons=int((sizes == 1).sum()),
        constant=int((flat & (sizes > 1)).sum()),
        size_min=int(sizes.min()),
        size_max=int(sizes.max()),
        size_mean=float(sizes.mean()),
    )
    return out, stats


class CreditSpec(msgspec.Struct, frozen=True):
    """One setting of the form.

    `key` names the sample fields (and "turn") that make a group. `unit` says what is counted: a trajectory once, or
    each of its turns. `returns` is the whole return, or what came after the turn ("to_go", turns only).
    """

    key: tuple[str, ...]
    baseline: Baseline
    scale: Scale = None
    unit: Literal["trajectory", "turn"] = "trajectory"
    returns: Literal["total", "to_go"] = "total"
    decay: float = 0.95
    """Of the running mean ("ema"), a trajectory."""
    floor: float = FLOOR


FIELDS = ("episode", "instance", "seat", "role", "policy", "opponents", "env", "turn", "group")

ESTIMATORS: Mapping[str, CreditSpec] = {
    # arXiv 2402.03300 eq. 3. Divisor n−1 (as verl and TRL); no 1/|y|, which is the objective's reduction.
    "grpo": CreditSpec(("instance",), "mean", "std"),
    # arXiv 2503.20783: GRPO without the division, and without the length term.
    "dr_grpo": CreditSpec(("instance",), "mean"),
    # arXiv 2402.14740: mean of the others.
    "rloo": CreditSpec(("instance",), "leave_one_out"),
    # arXiv 2506.24119 sec. 3.3. Reads before it updates; the start-up bias is corrected; one store for the run.
    "rae": CreditSpec(("env", "seat"), "ema"),
    # arXiv 2602.08847: per (prompt, agent) over turn samples; divisor n−1; groups of one give 0, not the raw return.
    "dr_mas": CreditSpec(("instance", "seat"), "mean", "std", unit="turn"),
    # arXiv 2510.11062: per (task, turn, agent). There, K branches are sampled at each turn; here, equal turns of
    # parallel episodes form the group, with the reward from that turn on.
    "at_grpo": CreditSpec(("instance", "turn", "seat"), "mean", "std", unit="turn", returns="to_go"),
    # Mean of the other episodes with the same instance, per seat: takes the luck of the deal out.
    "loo_instance_seat": CreditSpec(("instance", "seat"), "leave_one_out"),
}


class Advantages(NamedTuple):
    """One list a sample: one advantage a turn."""

    by_turn: list[list[float]]
    stats: GroupStats


Key = Callable[[Sample, int], Hashable]


class Estimator:
    """A credit setting with its state. Only "ema" has any: a mean and a count by group, for the whole run."""

    def __init__(self, spec: CreditSpec | str, key: Key | None = None) -> None:
        """`spec` may be a name of `ESTIMATORS`; `key(sample, turn)` replaces the group key (hashable, for "ema" a
        string).

        Raises:
            UnknownNameError: no such estimator, or no such field in its key.
            ScenarioError: turns in the key or reward to go, with trajectories as unit.
        """
        if isinstance(spec, str):
            if spec not in ESTIMATORS:
                raise UnknownNameError(f"no estimator {spec!r}\n  {nearest(spec, ESTIMATORS)}")
            spec = ESTIMATORS[spec]
        for name in spec.key:
            if name not in FIELDS:
                raise UnknownNameError(f"credit key {name!r}: no such field\n  {nearest(name, FIELDS)}")
        if spec.unit == "trajectory" and ("turn" in spec.key or spec.returns == "to_go"):
            raise ScenarioError('credit by turn needs unit = "turn"\n  a trajectory has one return and no turn')
        if spec.baseline == "ema" and spec.scale is not None:
            raise ScenarioError('baseline = "ema" has no scale\n  set scale = None')
        self.spec = spec
        self._key = key or self._fields
        self._means: dict[str, tuple[float, int]] = {}

    def _fields(self, sample: Sample, turn: int) -> Hashable:
        return tuple(turn if f == "turn" else getattr(sample, f) for f in self.spec.key)

    def advantages(self, samples: Sequence[Sample]) -> Advantages:
        """One advantage a turn for each sample (a sample without turns gets an empty list and counts
        nowhere). Updates the state."""
        by_turn = self.spec.unit == "turn"
        to_go = self.spec.returns == "to_go"
        returns: list[float] = []
        groups: list[Hashable] = []
        for s in samples:
            values = rewards_to_go(s.rewards) if to_go else [s.total] * len(s.rewards)
            for turn in range(len(s.rewards) if by_turn else min(len(s.rewards), 1)):
                returns.append(float(values[turn]) if by_turn else s.total)
                groups.append(self._key(s, turn))
        if self.spec.baseline == "ema":
            flat, stats = self._running(returns, groups)
        else:
            flat, stats = group_advantages(
                returns, groups, baseline=self.spec.baseline, scale=self.spec.scale, floor=self.spec.floor
            )
        rest = iter(flat.tolist())
        out: list[list[float]] = []
        for s in samples:
            turns = len(s.rewards)
            out.append([next(rest) for _ in range(turns)] if by_turn or not turns else [next(rest)] * turns)
        return Advantages(out, stats)

    def _running(self, returns: Sequence[float], groups: Sequence[Hashable]) -> tuple[Floats, GroupStats]:
        """Against the running mean of the group, one return after another, each read before it is added.

        m ← decay·m + (1−decay)·R from m = 0; the baseline is m / (1 − decay^n). The first return ever of a group has
        none: 0, counted as a singleton.
        """
        decay = self.spec.decay
        out = np.zeros(len(returns))
        fresh = 0
        seen: dict[str, list[float]] = {}
        for i, (r, g) in enumerate(zip(returns, groups, strict=True)):
            name = g if isinstance(g, str) else "|".join(map(str, g)) if isinstance(g, tuple) else str(g)
            mean, count = self._means.get(name, (0.0, 0))
            if count:
                out[i] = r - mean / (1.0 - decay**count)
            else:
                fresh += 1
            self._means[name] = (decay * mean + (1.0 - decay) * r, count + 1)
            seen.setdefault(name, []).append(r)
        sizes = [len(rs) for rs in seen.values()] or [0]
        constant = sum(len(rs) > 1 and min(rs) == max(rs) for rs in seen.values())
        return out, GroupStats(len(seen), fresh, constant, min(sizes), max(sizes), float(np.mean(sizes)))

    def baselines(self) -> dict[str, float]:
        """The running mean of each group, bias corrected."""
        return {g: m / (1.0 - self.spec.decay**n) for g, (m, n) in self._means.items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON data; the floats survive it exactly."""
        return {"decay": self.spec.decay, "means": {g: [m, n] for g, (m, n) in self._means.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state.

        Raises:
            CheckpointError: it was saved with another decay.
        """
        if state["decay"] != self.spec.decay:
            raise CheckpointError(f"running means with decay {state['decay']}, the estimator has {self.spec.decay}")
        self._means = {g: (float(m), int(n)) for g, (m, n) in state["means"].items()}
