"""Cloning: the log-likelihood of what was shown."""

from __future__ import annotations

from torch import Tensor

from palaestra.alignment.objectives.units import Units


def sft(units: Units) -> Tensor:
    """L = −Σ_i log π_i, every unit with advantage 1; divided by their number it is the mean over trained tokens.

    Source: maximum likelihood. Differs: advantages of the rows are not read.
    """
    return -(units.count_N * units.logprobs_N).sum()
