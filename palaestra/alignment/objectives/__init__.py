"""Objectives: functions of per-unit tensors, each with its equation and its source.

A unit is one trained token, or one draw among legal actions. An objective returns the *sum* over units; the learner
divides by the global number of units, so that micro-batches never change a result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from torch import Tensor

from palaestra.alignment.objectives.policy_gradient import (
    clipped_share,
    decoupled,
    decoupled_share,
    ppo_clip,
    reinforce,
)
from palaestra.alignment.objectives.regularizers import entropy, kl_exact, kl_k2
from palaestra.alignment.objectives.supervised import sft
from palaestra.alignment.objectives.units import Units
from palaestra.errors import UnknownNameError, nearest

__all__ = ["OBJECTIVES", "TERMS", "Objective", "Term", "Units", "make_objective"]

Ratio = tuple[Tensor, Tensor]  # numerator, denominator: both are summed over micro-batches


class Objective(NamedTuple):
    """A loss over trained units, and how a row's own tokens weigh in it.

    `reduction` "sum": every trained token of the batch weighs the same (the divisor is their number). "mean": every
    row weighs the same, its tokens 1/length each (the divisor is the number of rows).
    """

    name: str
    loss: Callable[[Units], Tensor]
    reduction: Literal["sum", "mean"] = "sum"
    stats: Callable[[Units], dict[str, Ratio]] | None = None
    proximal: bool = False
    """Whether it needs what the weights said that the step began with."""


class Term(NamedTuple):
    """An additional loss that enters with a coefficient; `over` names its divisor."""

    loss: Callable[[Units], Tensor]
    over: Literal["trained", "legal"]
    reference: bool = False
    """Whether it needs a reference policy."""


def _clipped(share: Callable[[Units], Ratio], units: Units) -> dict[str, Ratio]:
    return {"clip_fraction": share(units)}


def _reinforce(*, cap: float | None = None, reduction: Literal["sum", "mean"] = "sum") -> Objective:
    return Objective("reinforce", partial(reinforce, cap=cap), reduction)


def _ppo(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    cap: float | None = None,
    reduction: Literal["sum", "mean"] = "sum",
) -> Objective:
    loss = partial(ppo_clip, clip_low=clip_low, clip_high=clip_high, cap=cap)
    share = partial(clipped_share, clip_low=clip_low, clip_high=clip_high)
    return Objective("ppo", loss, reduction, partial(_clipped, share))


def _decoupled(
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    cap: float | None = 2.0,
    reduction: Literal["sum", "mean"] = "sum",
) -> Objective:
    loss = partial(decoupled, clip_low=clip_low, clip_high=clip_high, cap=cap)
    share = partial(decoupled_share, clip_low=clip_low, clip_high=clip_high, cap=cap)
    return Objective("decoupled", loss, reduction, partial(_clipped, share), proximal=True)


def _sft(*, reduction: Literal["sum", "mean"] = "sum") -> Objective:
    return Objective("sft", sft, reduction)


OBJECTIVES: Mapping[str, Callable[..., Objective]] = {
    "reinforce": _reinforce,
    "ppo": _ppo,
    "decoupled": _decoupled,
    "sft": _sft,
}
"""Objectives by name; a value takes the objective's settings as keyword arguments."""

TERMS: Mapping[str, Term] = {
    "kl_exact": Term(kl_exact, "legal", reference=True),
    "kl_k2": Term(kl_k2, "trained", reference=True),
    "entropy": Term(lambda units: -entropy(units), "legal"),
}
"""Terms by name. A positive coefficient of `entropy` raises it."""


def make_objective(name: str, **settings: Any) -> Objective:
    """An objective by name.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in OBJECTIVES:
        raise UnknownNameError(f"no objective {name!r}\n  {nearest(name, OBJECTIVES)}")
    return OBJECTIVES[name](**settings)
