"""One step's episodes, played by the real agents with random legal moves and no model: how long everything will be.

Free replies are as long as they may be, with a legal move at their end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from palaestra.agents import batching
from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.engines.embedded import GenerateJob, ScoreJob
from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.language import LanguagePolicy, LanguageSitter
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import Cast, player
from palaestra.agents.shapes import Shape
from palaestra.alignment.rows import Row, rows_of, value_row
from palaestra.envs.script import Request, play_random
from palaestra.scenarios.build import manner, reader
from palaestra.scenarios.scenario import Scenario

MOST_EPISODES = 256
"""Episodes that are rehearsed at most."""


class Base(NamedTuple):
    """What a policy's words and weights will be."""

    shape: Shape
    tokenizer: Any


class Asked(NamedTuple):
    """One batch that an engine was asked for."""

    policy: str
    rows: int
    length: int
    """Of the longest prompt, with the candidates behind it."""
    more: int
    """Tokens that may be sampled behind it."""
    predicted: int
    """Positions of a row that logits are wanted of."""


@dataclass
class _Stage:
    """Stands in for the engine: draws nothing, computes nothing, and writes down what it is asked."""

    contexts: dict[str, int]
    asked: list[Asked] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    def context(self, name: str) -> int:
        return self.contexts[name]

    async def generate(self, prefix: list[int], sampling: Sampling, policy: PolicyRef, seed: int) -> Completion:
        words, limit = self.words, min(sampling.max_tokens, self.contexts[policy.name] - len(prefix))
        done: bool = await batching.serve(self, "generate", GenerateJob(prefix, sampling, policy, seed))
        ids = words[-limit:] if done and limit > 0 else []
        return Completion(ids, [-1.0] * len(ids), "length" if ids else "context")

    async def score(self, prefix: list[int], candidates: list[list[int]], policy: PolicyRef) -> list[list[float]]:
        await batching.serve(self, "score", ScoreJob(prefix, candidates, policy))
        return [[-1.0] * len(c) for c in candidates]

    async def publish(self, policy: PolicyRef, weights: Any = None) -> None: ...
    async def retire(self, policy: PolicyRef) -> None: ...

    def serve(self, kind: str, jobs: list[Any]) -> list[Any]:
        for name in dict.fromkeys(job.policy.name for job in jobs):
            own = [job for job in jobs if job.policy.name == name]
            longest = max(len(job.prefix) for job in own)
            if kind == "generate":
                more = max(min(job.sampling.max_tokens, self.contexts[name] - len(job.prefix)) for job in own)
                self.asked.append(Asked(name, len(own), longest, max(more, 0), 1))
            else:
                tree = max(len({c[:n] for c in map(tuple, job.candidates) for n in range(1, len(c))}) for job in own)
                rows = len({(tuple(job.prefix), tuple(map(tuple, job.candidates))) for job in own})
                self.asked.append(Asked(name, rows, longest + tree, 0, 1 + tree))
        return [True] * len(jobs)


@dataclass(frozen=True)
class _Rehearsing(LanguagePolicy):
    """Says random letters and then a random legal move, as many tokens as it may."""

    def sit(self, seat: str, key: str) -> LanguageSitter:
        return _Sitter(self, seat, key)


class _Sitter(LanguageSitter):
    async def _speak(self, request: Request) -> str:
        stage, most = self.policy.engine, self.policy.max_tokens
        assert isinstance(stage, _Stage)
        rng = random.Random(f"{self.key}|{self.seat}|{request.turn}")
        move = self.policy.renderer.encode(" " + play_random(request, rng))
        letters = [self.policy.renderer.encode(letter)[0] for letter in "abcdefghijklmnopqrstuvwxyz"]
        stage.words = (rng.choices(letters, k=max(most - len(move), 0)) + move)[-most:]
        return await super()._speak(request)


class Rehearsal(NamedTuple):
    """A step's episodes as far as memory goes."""

    rows: dict[str, list[Row]]
    """By policy that trains."""
    asked: list[Asked]


def rehearse(scenario: Scenario, bases: Mapping[str, Base]) -> Rehearsal:
    """Play a step's episodes at random, and keep what learner and engine would see of them."""
    stage = _Stage({name: base.shape.context for name, base in bases.items()})
    cast: Cast = {}
    for seat in scenario.make_env().seats:
        entry = scenario.seat(seat)
        spec = scenario.policies[entry.policy]
        if spec.player is not None or entry.policy not in bases:
            cast[seat] = player(scenario.env_class, spec.player or "random")
            continue
        cast[seat] = _Rehearsing(
            ref=PolicyRef(entry.policy),
            engine=stage,
            renderer=reader(spec)(bases[entry.policy].tokenizer),
            persona=entry.persona,
            **manner(spec),
        )
    recipe = scenario.recipe
    jobs = []
    for n in range(min(recipe.episodes, MOST_EPISODES)):
        group = n // recipe.group_size
        seed = recipe.seeds[group % len(recipe.seeds)] if recipe.seeds else group
        jobs.append(Job(scenario.env, dict(scenario.env_params), cast, seed, f"rehearsal|{n}"))
    episodes = wait_for(rollout(jobs, live=scenario.run.live))
    rows = {name: list(_rows(scenario, name, episodes)) for name in scenario.trained}
    return Rehearsal(rows, stage.asked)


def _rows(scenario: Scenario, name: str, episodes: Sequence[Episode]) -> Iterator[Row]:
    norm = scenario.policies[name].norm
    for trajectory in (t for e in episodes for t in e.trajectories if PolicyRef.parse(t.policy).name == name):
        yield from rows_of(trajectory, 1.0, norm="token" if norm == "token" else "sum")
        if scenario.recipe.estimator == "gae":
            yield value_row(trajectory)
