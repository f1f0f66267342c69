"""A language model small enough to learn on one CPU core, made on the spot.

Its tokenizer is a byte-level BPE trained on the words of the environments it will live in, so nothing is unknown and
a frequent word is one token. Its embeddings are untied and its weights drawn with standard deviation 0.1: with the
usual 0.02 a model of width 64 hardly moves.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from palaestra.agents.models import Loaded, save
from palaestra.envs.registry import make
from palaestra.envs.script import play_random

__all__ = ["env_texts", "save", "tiny", "tokenizer"]

PAD, END = "<pad>", "<|end|>"
CONTROL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def tiny(
    texts: Iterable[str],
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    kind: Literal["llama", "qwen3"] = "llama",
    vocab: int = 1024,
    context: int = 512,
    seed: int = 0,
) -> Loaded:
    """A randomly initialized model and its tokenizer: 0.17 M parameters at width 64, in float32.

    Args:
        texts: what the tokenizer is trained on, for example `env_texts(...)`.
        vocab: the most tokens there may be; at least the 261 of the bytes and the control tokens. Frequent words
            run out long before on the texts of one environment.
        context: positions.
        seed: of the weights. The global random state is left as it was.
    """
    words = tokenizer(texts, vocab=vocab)
    config = config_of(words, width=width, layers=layers, heads=heads, kind=kind, context=context)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config) if isinstance(config, Qwen3Config) else LlamaForCausalLM(config)
    return Loaded(model.float().eval(), words)


def config_of(
    words: PreTrainedTokenizerFast, *, width: int, layers: int, heads: int, kind: str, context: int
) -> LlamaConfig | Qwen3Config:
    """The shape of a tiny model with these words."""
    shape: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": context,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
        "attn_implementation": "sdpa",
        "dtype": "float32",
    }
    return Qwen3Config(head_dim=width // heads, **shape) if kind == "qwen3" else LlamaConfig(**shape)


def tokenizer(texts: Iterable[str], *, vocab: int = 1024) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`, with control tokens and a chat template.

    Every byte has a token, so nothing is unknown; each digit is a token of its own.
    """
    core = Tokenizer(BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(CONTROL[2:]),
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = TEMPLATE
    return made


def env_texts(name: str, params: Mapping[str, Any] | None = None, n: int = 64, seed: int = 0) -> list[str]:
    """Everything told and said in `n` plays of an environment by its scripted players, drawn anew for every seat.

    An environment without players is played at random. Seeds of the plays are `seed`, `seed + 1` ...
    """
    env = make(name, **(params or {}))
    players = [env.players[key] for key in sorted(env.players)] or [play_random]
    texts: list[str] = []
    for play in range(seed, seed + n):
        rng = random.Random(f"{seed}|{play}")
        cast = {seat: rng.choice(players) for seat in env.seats}
        env.start(play)
        env.settle()
        while env.waiting:
            env.submit({key: cast[request.seat](request) for key, request in env.waiting.items()})
            env.settle()
        texts += [text for seat in env.seats for _, text in env.view(seat)]
    return texts
