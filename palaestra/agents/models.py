"""Causal language models in the hub's directory format: weights, config, tokenizer and chat template in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from palaestra.errors import EngineError

logging.disable_progress_bar()  # a run has its own progress; bars of a millisecond only break its lines


class Loaded(NamedTuple):
    """A model and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(
    name_or_path: str | Path,
    dtype: torch.dtype | str | None = None,
    *,
    attention: str | None = None,
    local_only: bool = False,
) -> Loaded:
    """A causal language model by its name on the hub or by its directory, in evaluation mode, on the CPU.

    Args:
        dtype: a torch dtype or its name ("bfloat16"); None keeps the one that the weights were saved in.
        attention: "sdpa", "eager", "flash_attention_2" ...; None lets transformers choose.
        local_only: never ask the network, even for a hub name (a directory never does).

    Raises:
        EngineError: there is no such model, or it is no causal language model.
    """
    where = str(name_or_path)
    if isinstance(dtype, str) and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise EngineError(f"dtype = {dtype!r} is no torch dtype\n  for example float32, bfloat16")
    kind: Any = "auto" if dtype is None else getattr(torch, dtype) if isinstance(dtype, str) else dtype
    local = local_only or Path(where).is_dir()
    more: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=local)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=kind, local_files_only=local, **more)
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise EngineError(f"model {where!r} cannot be loaded: {first}\n  give a hub name or a directory") from error
    return Loaded(model.eval(), tokenizer)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path | str) -> None:
    """Write model and tokenizer as any Hugging Face checkpoint; `load` and transformers read it back."""
    model.save_pretrained(str(directory))
    tokenizer.save_pretrained(str(directory))
