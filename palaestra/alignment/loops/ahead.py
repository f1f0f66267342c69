"""Episodes of coming steps, played while the learner learns: how far ahead is the staleness, and it is bounded.

The episodes of step `k` are played by the versions of step `k - S`, begun as soon as these are there, and trained on at
step `k`. So nothing is discarded, no token is more than `S` versions old, long episodes are trained on like short ones,
and what is played does not depend on the clock: with the embedded engine an asynchronous run repeats bit for bit.
Admission is that of AReaL (arXiv 2505.24298, section 4: at most `(S + version + 1) * batch` episodes begun), kept by
whole batches; `S = 0` is the synchronous loop.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

from palaestra.agents.episode import Episode, PolicyRef, decode, encode

Rollout = Callable[[], list[Episode]]


class Batch(NamedTuple):
    """The episodes of one step, and the versions of the trainees that play them."""

    refs: tuple[PolicyRef, ...]
    episodes: Future[list[Episode]]
    playing: frozenset[PolicyRef] = frozenset()
    """All versions that sit in it, past selves too."""


class Ahead:
    """Batches under way, by step.

    Args:
        staleness: steps that a batch may be begun before it is trained on.
    """

    def __init__(self, staleness: int) -> None:
        self.staleness = staleness
        self._batches: dict[int, Batch] = {}
        self._threads: ThreadPoolExecutor | None = None

    def missing(self, step: int, last: int) -> list[int]:
        """Steps whose episodes may be begun now, at the versions that step `step` begins with."""
        return [k for k in range(step, min(step + self.staleness, last - 1) + 1) if k not in self._batches]

    def begin(
        self, step: int, refs: tuple[PolicyRef, ...], rollout: Rollout, playing: frozenset[PolicyRef] = frozenset()
    ) -> None:
        """Play a step's episodes: at once without staleness, else beside the learner."""
        done: Future[list[Episode]] = Future()
        if not self.staleness:
            done.set_result(rollout())
        else:
            if self._threads is None:
                count = torch.get_num_threads()
                self._threads = ThreadPoolExecutor(
                    self.staleness, "rollout", initializer=lambda: torch.set_num_threads(count)
                )
            done = self._threads.submit(rollout)
        self._batches[step] = Batch(refs, done, playing)

    def take(self, step: int) -> tuple[tuple[PolicyRef, ...], list[Episode]]:
        """A step's episodes, waited for; and who played them."""
        refs, episodes, _ = self._batches.pop(step)
        return refs, episodes.result()

    def held(self) -> set[PolicyRef]:
        """Versions that play, or have played what is not yet trained on."""
        return {ref for batch in self._batches.values() for ref in (*batch.refs, *batch.playing)}

    # -- state
    def state_dict(self) -> dict[str, Any]:
        """What is played and not yet trained on, waited for: a checkpoint loses none of it, and trains none twice."""
        return {
            str(step): {"refs": [str(r) for r in batch.refs], "episodes": [_text(e) for e in batch.episodes.result()]}
            for step, batch in self._batches.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Batches as they were."""
        for step, batch in state.items():
            done: Future[list[Episode]] = Future()
            done.set_result([decode(text.encode()) for text in batch["episodes"]])
            self._batches[int(step)] = Batch(tuple(map(PolicyRef.parse, batch["refs"])), done)

    def close(self) -> None:
        """Wait for what is under way, and begin nothing more."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)


def _text(episode: Episode) -> str:
    return encode(episode).decode()
