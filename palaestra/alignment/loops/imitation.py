"""Cloning scripted players: the supervised start of a policy that would otherwise not know the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import Cast, Scripted
from palaestra.alignment.learner import Learner
from palaestra.alignment.rows import Row, seat_rows
from palaestra.envs.common.players import at_times
from palaestra.envs.registry import env_class
from palaestra.envs.script import Player, play_random


def demonstrations(
    env: str, params: dict[str, Any], policy: LanguagePolicy, teachers: Mapping[str, Player], seeds: range
) -> list[Row]:
    """Rows of what scripted players said, as `policy` would have read and said it. One episode a seed.

    `teachers` maps seats to players, whose rows are cloned; the other seats play at random.
    """
    cast: Cast = {seat: Scripted("random", play_random) for seat in env_class(env)(**params).seats}
    cast |= {seat: replace(policy, teacher=teacher) for seat, teacher in teachers.items()}
    jobs = [Job(env, params, cast, seed, f"demonstration|{seed}") for seed in seeds]
    episodes = wait_for(rollout(jobs))
    return [row for e in episodes if not e.failure for seat in teachers for row in seat_rows(e, seat, 1.0)]


def clone(
    env: str,
    params: dict[str, Any],
    policy: LanguagePolicy,
    learner: Learner,
    teachers: Mapping[str, str],
    *,
    batches: int,
    batch: int,
    seed: int,
    share: float = 1.0,
    show: Callable[[int, float], None] | None = None,
) -> float:
    """Maximum likelihood on fresh demonstrations, `batch` episodes a step; the last batch's mean loss a token, in nats.

    Seats without a teacher play at random and are not cloned. With a `share` below 1 the teachers, too, make the rest
    of their moves at random.
    """
    known = {"random": play_random, **env_class(env).players}
    players = {seat: at_times(known[name], share) if share < 1 else known[name] for seat, name in teachers.items()}
    loss = 0.0
    for step in range(batches):
        first = -1 - (seed * batches + step + 1) * batch  # negative: never an instance of training or evaluation
        rows = demonstrations(env, params, policy, players, range(first, first + batch))
        loss = learner.forward_backward(rows, "sft")["nll"]
        learner.optim_step()
        if show:
            show(step, loss)
    return loss
