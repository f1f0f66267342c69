"""What a recipe may say: the settings of the online loop and of the league, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """A table of a scenario: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


class KL(Table):
    """A pull towards a reference policy."""

    to: str = "copy"
    """"copy" (an own copy, refreshed), "start", or a version `name@n`."""
    refresh: Count = 0
    """Steps between refreshes of the copy; 0 keeps the copy of the start."""
    coef: float = Field(0.1, ge=0)
    form: Literal["exact", "k2", "k1"] = "exact"
    """"exact" over legal actions, "k2" in the loss, "k1" in the reward (arXiv 2506.09477 on their gradients)."""


class Schedule(Table):
    """A number that changes linearly from `start` to `end` over the run."""

    start: float = 0.0
    end: float | None = None

    def at(self, share: float) -> float:
        """The value after `share` of the run."""
        end = self.start if self.end is None else self.end
        return self.start + (end - self.start) * share


class Recipe(Table):
    """How episodes become an update."""

    loop: Literal["online"] = "online"
    steps: Positive = 100
    episodes: Positive = 64
    """Episodes a step."""
    group_size: Positive = 1
    """Episodes that share one instance seed."""
    staleness: Count = 0
    """Steps that episodes may be begun before they are trained on; above 0, rollout and learning overlap."""
    unclipped: bool = False
    """Learn from episodes of older versions without a trust region, which is refused otherwise."""
    seeds: list[int] = []
    """Instance seeds to cycle through; empty: a new seed for every group."""
    estimator: str = "rae"
    """A name of `alignment.credit.ESTIMATORS`, or "gae" (a value head and generalized advantages by turn)."""
    critic: Literal["own", "central"] = "own"
    """What the value head of "gae" reads: the seat's own tokens, or what all seats were told and have said."""
    gamma: float = Field(1.0, gt=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    value_coef: float = Field(0.5, ge=0)
    group_by: list[str] | None = None
    """Replaces the estimator's group key: any of episode, instance, seat, role, policy, opponents, env, turn, group."""
    scale: Literal["std", "none"] | None = None
    objective: Literal["ppo", "decoupled", "reinforce"] = "ppo"
    """"decoupled": PPO-clip around the weights that the step began with, the older ones that sampled corrected for by
    importance; it costs one more forward pass."""
    clip: float = Field(0.2, gt=0)
    importance_cap: float | None = Field(None, gt=0)
    """Largest importance weight of a token: of "reinforce" (default: not weighed), of "decoupled" (default 2)."""
    sequence_mask: float | None = Field(None, gt=1)
    """Leave out what is too far off: replies whose probability has changed by more than this factor a token, up or
    down, in the geometric mean over their tokens, since they were sampled."""
    lr: float = Field(1e-3, gt=0)
    warmup: Count = 0
    decay: bool = True
    """Step size falls linearly to 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    epochs: Positive = 1
    minibatches: Positive = 1
    """Optimizer steps an epoch; above 1 the rows are dealt to them in a random order (torch's global generator)."""
    kl: KL | None = None
    entropy: Schedule = Schedule()
    tokens_per_micro_batch: Positive = 16_384
    packing: bool = False
    recompute: bool = False
    """Compute each layer's activations anew in the backward pass instead of keeping them: a third more time, and far
    less memory."""
    shuffle_rewards: bool = False
    """Control twin: returns are permuted among the episodes of a step, seat by seat."""


class LeagueSpec(Table):
    """Who plays whom."""

    matchmaking: Literal["mirror", "fixed", "uniform"] = "mirror"
    share: Share = 0.5
    """Share of games against past selves (uniform) or the fixed opponent."""
    opponent: str = ""
    """fixed: a policy of the scenario, `name@version`, or `player:name`."""
    every: Positive = 5
    """Steps between snapshots."""
    limit: Positive = 20
