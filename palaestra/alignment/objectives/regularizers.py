"""KL to a reference policy, and entropy.

With y drawn from π and u = log π₀(y) − log π(y): k1 = −u, k2 = u²/2, k3 = e^u − 1 − u. As a *number* k1 and k3 are
unbiased estimates of KL(π‖π₀), k2 is not. As a *loss* differentiated through log π: k1 has zero expected gradient,
k2 has exactly the gradient of KL(π‖π₀), k3 that of KL(π₀‖π). Hence k1 belongs in the reward, k2 in the loss, and k3
in the log only. Where the legal actions are scored, the exact sum replaces all three.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from palaestra.alignment.objectives.units import Units


def entropy(units: Units) -> Tensor:
    """H = Σ_m n_m H(π_m), with H(π_m) = −Σ_k π_m(k) log π_m(k) over legal actions only; 0 where there are none.

    Source: arXiv 1602.01783 sec. 4. Differs: over the legal actions' normalized probabilities. (Over the whole
    vocabulary entropy is cheapest bought with illegal words, and destroys the format.)
    """
    if units.legal_MK is None:
        return units.logprobs_N.sum() * 0.0
    assert units.legal_mask_MK is not None and units.legal_count_M is not None
    terms_MK = units.legal_MK.exp() * units.legal_MK * units.legal_mask_MK
    return -(units.legal_count_M * terms_MK.sum(-1)).sum()


def kl_exact(units: Units) -> Tensor:
    """Σ_m n_m KL(π_m‖π₀_m), with KL = Σ_k π(k) (log π(k) − log π₀(k)) over legal actions; 0 where there are none.

    Source: definition; towards a slowly refreshed copy of oneself it is the regularization of arXiv 2206.15378
    (regularized Nash dynamics). Differs from there: in the loss, not in the reward.
    """
    if units.legal_MK is None or units.reference_legal_MK is None:
        return units.logprobs_N.sum() * 0.0
    assert units.legal_mask_MK is not None and units.legal_count_M is not None
    terms_MK = units.legal_MK.exp() * (units.legal_MK - units.reference_legal_MK) * units.legal_mask_MK
    return (units.legal_count_M * terms_MK.sum(-1)).sum()


def kl_k2(units: Units) -> Tensor:
    """Σ_i n_i (log π_i − log π₀_i)² / 2 over trained units; its gradient is that of KL(π‖π₀) where π sampled them.

    Source: Schulman 2020, "Approximating KL divergence"; as a loss, arXiv 2506.09477. Differs: nothing.
    """
    assert units.reference_N is not None
    return (0.5 * units.count_N * (units.logprobs_N - units.reference_N) ** 2).sum()


@torch.no_grad()
def kl_k1(units: Units) -> Tensor:
    """Σ_i n_i (log π_i − log π₀_i): an unbiased, noisy number. Without gradient: it would have none in expectation."""
    assert units.reference_N is not None
    return (units.count_N * (units.logprobs_N - units.reference_N)).sum()


@torch.no_grad()
def kl_k3(units: Units) -> Tensor:
    """Σ_i n_i (e^u − 1 − u): an unbiased number that is never negative, for the log. Without gradient on purpose."""
    assert units.reference_N is not None
    u_N = units.reference_N - units.logprobs_N
    return (units.count_N * (torch.expm1(u_N) - u_N)).sum()


def penalize(returns: Sequence[float], penalties: Sequence[float], coefficient: float) -> list[float]:
    """Returns with KL taken out of the reward: R_e − coefficient · k1_e.

    Args:
        returns: one a sample.
        penalties: k1 of the sample, `k1_of` summed over its rows.
        coefficient: in units of return a nat.

    Source: arXiv 2203.02155 sec. 3.5. Differs: subtracted from the whole return, not token by token.
    """
    return [r - coefficient * k for r, k in zip(returns, penalties, strict=True)]


def k1_of(behavior: Sequence[float], reference: Sequence[float]) -> float:
    """Σ (log μ − log π₀) over one row's trained units, as sampled: the k1 estimate of its KL in nats."""
    return float(np.sum(np.asarray(behavior, np.float64) - np.asarray(reference, np.float64)))
