"""The shape of a language model, and the bytes that follow from it, before any weight is loaded.

Parameters are counted on the model itself, built without memory (torch's meta device).

What a forward pass keeps for the backward one was read off autograd's saved tensors for the Llama and Qwen3 layers of
transformers with `sdpa` (a test does so again): in elements by token and layer, `D` the width, `A` and `K` the widths
of queries and of keys, `F` the feed-forward width, `T` the row's length,

    4 D (two norms: what came in, and normalized) + 2 D (what they gave) + 2 A + 2 K (attention) + 4 F (feed-forward)
    + heads and 2 in float32, + T in a packed row, whose mask every layer turns into numbers of its own; K is A there

Below float32 the norms keep what came in as float32. With adapters on frozen weights, what was normalized is not kept,
and each adapted matrix keeps its `rank` numbers; Qwen3 keeps 2 A + 2 K more for its norms of queries and keys.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoModelForCausalLM


class Shape(NamedTuple):
    """What the memory of a model depends on."""

    kind: str
    parameters: int
    largest: int
    """Elements of the largest parameter."""
    layers: int
    width: int
    feed: int
    heads: int
    queries: int
    """Heads times their width."""
    keys: int
    vocab: int
    context: int
    itemsize: int
    linears: tuple[tuple[int, int], ...]
    """(in, out) of every linear map but the head: what "all-linear" adapters lie on."""

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter."""
        return rank * sum(i + o for i, o in self.linears)

    def cache(self, tokens: int) -> int:
        """Bytes of keys and values."""
        return tokens * self.layers * 2 * self.keys * self.itemsize

    def activations(self, rows: int, length: int, *, packed: bool, rank: int = 0, recomputed: bool = False) -> int:
        """Bytes that the forward pass of a rectangle of tokens keeps for the backward pass.

        With `recomputed` layers: what enters each of them, and all of one.
        """
        size, width = self.itemsize, self.width
        norm = (4 if size < 4 else size) * width + (0 if rank else size * width) + size * width + 4
        keys = self.queries if packed else self.keys  # under a mask, shared keys are repeated for every query head
        attention = 2 * size * (self.queries + keys) + 4 * self.heads
        if "qwen3" in self.kind:
            each = (4 if size < 4 else size) + (0 if rank else size)
            attention += each * (self.queries + self.keys) + 4 * (self.heads + self.heads * self.keys // self.queries)
        adapters = 4 * rank * len(self.linears) // self.layers
        lowered = 4 * (self.queries + self.feed + 2 * width) if rank and size < 4 else 0  # adapters read float32
        layer = 2 * norm + attention + 4 * self.feed * size + adapters + lowered + (length * size if packed else 0)
        layers = self.layers * size * width + layer if recomputed else self.layers * layer
        return rows * length * (layers + norm + 8 + 2 * size * self.queries // self.heads + 4)

    def discarded(self, tokens: int, rank: int = 0) -> int:
        """Bytes that the forward pass of a micro-batch makes and does not keep, over all layers."""
        elements = 4 * self.width + 5 * (self.queries + self.keys)
        if rank:  # normalized inputs, and of each adapted matrix: the base's product, the adapter's, that scaled
            elements += 2 * self.width + 3 * sum(out for _, out in self.linears) // self.layers
        return tokens * self.layers * elements * self.itemsize

    def passing(self, tokens: int) -> int:
        """Bytes that a pass without gradient holds at once, in one layer."""
        return tokens * self.itemsize * (3 * self.feed + 4 * self.width)


def shape_of(config: Any, dtype: torch.dtype | None = None) -> Shape:
    """The shape of a causal language model, counted on the module itself, which is built without memory."""
    with torch.device("meta"):
        module = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    head = module.get_output_embeddings()
    linears = tuple(
        (m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear) and m is not head
    )
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kept = dtype or getattr(text, "dtype", None) or torch.float32
    return Shape(
        text.model_type,
        sum(p.numel() for p in module.parameters()),
        max(p.numel() for p in module.parameters()),
        text.num_hidden_layers,
        text.hidden_size,
        text.intermediate_size,
        text.num_attention_heads,
        size * text.num_attention_heads,
        size * (getattr(text, "num_key_value_heads", None) or text.num_attention_heads),
        text.vocab_size,
        getattr(text, "max_position_embeddings", 1 << 30),
        torch.empty(0, dtype=kept).element_size(),
        linears,
    )
