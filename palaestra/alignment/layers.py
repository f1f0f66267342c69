"""The layers of a transformer: the units in which it is recomputed, and in which it is sharded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from palaestra.errors import ScenarioError


def transformer_layers(module: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a transformers model, also inside a peft wrapper, in order.

    Raises:
        ScenarioError: the model marks none.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [m for m in module.modules() if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise ScenarioError(
            f"{type(module).__name__}: no layers found\n"
            "  recomputing and sharding need a transformers model whose blocks are GradientCheckpointingLayers"
        )
    return layers


@contextmanager
def recomputed(module: nn.Module) -> Iterator[None]:
    """Inside, the forward of a layer keeps its input only, and the backward pass computes the rest once more.

    transformers' own switch works in training mode only, which would also bring back dropout; this one leaves the mode
    alone. Nothing stays on the module afterwards: the backward pass holds the layers' own forward functions.

    Source: arXiv 1604.06174 sec. 4 (a segment is a layer).
    """
    layers = transformer_layers(module)
    before = [vars(layer).get("forward") for layer in layers]  # set where another library has hooked in
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward
