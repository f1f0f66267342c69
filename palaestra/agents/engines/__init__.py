"""Engines sample tokens and score given ones. `Engine` is the protocol; `embedded` is the default."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec

from palaestra.agents.episode import PolicyRef


class Sampling(msgspec.Struct, frozen=True):
    """How a reply is sampled. Training uses temperature 1; 0 takes the most probable token (ties: the lowest id)."""

    max_tokens: int = 64
    temperature: float = 1.0
    stop_ids: tuple[int, ...] = ()


class Completion(NamedTuple):
    """Sampled ids (the stop token included where one was sampled), their natural-log probabilities, and why it ended.

    `stop` is "stop", "length", or "context" where the prefix left no room (then `ids` is empty). `versions` is there
    where weights changed on the way: (version, first of its ids), in order.
    """

    ids: list[int]
    logprobs: list[float]
    stop: str
    versions: tuple[tuple[int, int], ...] = ()


class Engine(Protocol):
    """Tokens in, tokens out. `seed` fixes the draw of one reply whatever else lies in the batch."""

    def context(self, name: str) -> int:
        """The most tokens that a policy's prompt and reply may have."""
        ...

    async def generate(self, prefix: list[int], sampling: Sampling, policy: PolicyRef, seed: int) -> Completion:
        """A reply that follows `prefix`."""
        ...

    async def score(self, prefix: list[int], candidates: list[list[int]], policy: PolicyRef) -> list[list[float]]:
        """Per-token natural-log probabilities of each candidate, each following `prefix`."""
        ...

    async def publish(self, policy: PolicyRef, weights: Any = None) -> None:
        """Make a version known: `weights` is a state dict, or None for a copy of the policy's live weights."""
        ...

    async def retire(self, policy: PolicyRef) -> None:
        """Forget a version."""
        ...
