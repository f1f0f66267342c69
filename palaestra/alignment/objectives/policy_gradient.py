"""REINFORCE and PPO-clip over units whose advantages are summed apart by sign."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from palaestra.alignment.objectives.units import Units


def importance(units: Units, cap: float) -> Tensor:
    """Truncated importance weights, one a unit, without gradient: w = min(π(unit) / μ(unit), cap).

    μ is the behavior policy as recorded. Per token, never a product over tokens, which explodes or vanishes with
    length.

    Source: arXiv 1802.01561 eq. 1 (V-trace's ρ̄); for the gap between engine and learner, Yao et al. 2025, "Your
    efficient RL framework secretly brings you off-policy RL training". Differs: nothing; there is no lower bound.
    """
    return (units.logprobs_N.detach() - units.behavior_N).exp().clamp(max=cap)


def reinforce(units: Units, *, cap: float | None = None) -> Tensor:
    """L = −Σ_i w_i A_i log π_i, with w_i = min(π_i / μ_i, cap) held constant, or 1 without a cap.

    Source: Williams 1992; with `cap`, the truncated importance correction of `importance`.
    Differs: nothing; without a cap staleness is not corrected, so use it on-policy only.
    """
    advantages_N = units.positive_N + units.negative_N
    if cap is not None:
        advantages_N = importance(units, cap) * advantages_N
    return -(advantages_N * units.logprobs_N).sum()


def ppo_clip(units: Units, *, clip_low: float = 0.2, clip_high: float = 0.2, cap: float | None = None) -> Tensor:
    """L = −Σ_i min(ρ_i A_i, clip(ρ_i, 1−low, 1+high) A_i), with ρ_i = π_i / μ_i, cut at `cap`.

    For A ≥ 0 the minimum is A·min(ρ, 1+high), for A < 0 it is A·max(ρ, 1−low). Each is linear in A, so equal units
    merge exactly as long as the two signs are summed apart.

    `cap` bounds ρ where A < 0, which the clip leaves unbounded above.

    Source: arXiv 1707.06347 eq. 7; two bounds as in arXiv 2503.14476 (clip-higher); cap as in arXiv 1912.09729
    (dual clip).
    Differs: the ratio is to the recorded behavior policy, not to a recomputed old policy. At the first epoch ρ = 1,
    the clip fraction is 0 and the gradient is REINFORCE's.
    """
    ratio_N = (units.logprobs_N - units.behavior_N).exp()
    lower_N = ratio_N.clamp(1 - clip_low, cap)
    gain_N = ratio_N.clamp(max=1 + clip_high) * units.positive_N + lower_N * units.negative_N
    return -gain_N.sum()


def decoupled(units: Units, *, clip_low: float = 0.2, clip_high: float = 0.2, cap: float | None = None) -> Tensor:
    """L = −Σ_i w_i min(ρ_i A_i, clip(ρ_i, 1−low, 1+high) A_i), with ρ_i = π_i / π'_i and w_i = min(π'_i / μ_i, cap).

    π' are the weights that the step began with: the trust region is around them, and the importance weight w, held
    constant, corrects for the older weights that sampled.

    Source: arXiv 2505.24298 eq. 5 (decoupled PPO, after arXiv 2110.00641); the cap as in `importance`.
    Differs: nothing; with equal weights, as in a synchronous step, it is PPO-clip.
    """
    return ppo_clip(_around(units, cap), clip_low=clip_low, clip_high=clip_high)


def decoupled_share(units: Units, *, clip_low: float, clip_high: float, cap: float | None) -> tuple[Tensor, Tensor]:
    """As `clipped_share`, of `decoupled`."""
    return clipped_share(_around(units, cap), clip_low=clip_low, clip_high=clip_high)


def _around(units: Units, cap: float | None) -> Units:
    """The units with the proximal policy in the behavior policy's place, their advantages weighed by the truth."""
    assert units.proximal_N is not None, "decoupled: what the weights of the step's begin say is needed"
    weight_N = (units.proximal_N - units.behavior_N).exp().clamp(max=math.inf if cap is None else cap)
    return units._replace(
        behavior_N=units.proximal_N,
        positive_N=weight_N * units.positive_N,
        negative_N=weight_N * units.negative_N,
    )


def clipped_share(units: Units, *, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """Absolute advantage whose gradient the clip removes, and all of it. (Weighted so that merging changes nothing.)"""
    ratio_N = (units.logprobs_N.detach() - units.behavior_N).exp()
    cut_N = units.positive_N * (ratio_N > 1 + clip_high) - units.negative_N * (ratio_N < 1 - clip_low)
    return cut_N.sum(), torch.sum(units.positive_N - units.negative_N)
