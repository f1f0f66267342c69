"""The tensors that objectives see."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Units(NamedTuple):
    """N trained units and M distributions over legal actions, in float32.

    A trained unit stands for `count_N` equal ones; `positive_N` and `negative_N` are the sums of their positive and of
    their negative advantages. A drawn action is both a trained unit and a distribution; a recorded distribution from
    which nothing was drawn is only the latter.
    """

    logprobs_N: Tensor
    """log π(unit), with gradient."""
    behavior_N: Tensor
    """log-probability as sampled."""
    positive_N: Tensor
    negative_N: Tensor
    count_N: Tensor
    reference_N: Tensor | None = None
    """log-probability under the reference policy."""
    proximal_N: Tensor | None = None
    """log-probability under the weights that the step began with."""
    legal_MK: Tensor | None = None
    """log-softmax over the candidates, with gradient; at padding a large negative number."""
    legal_mask_MK: Tensor | None = None
    """True where there is a candidate."""
    legal_count_M: Tensor | None = None
    reference_legal_MK: Tensor | None = None
