"""The online loop: rollout → credit → objective → step → publish.

With `staleness = 0` every episode of a step is played by the versions that the step began with. The learner does not
recompute what the engine sampled, unless an objective for older versions asks it to. Several policies may learn in one
run; each has its own learner, and the rows of one never meet those of another in a forward pass.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import torch

from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.episode import Episode, PolicyRef, Trajectory
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job
from palaestra.agents.policy import Cast, Policy
from palaestra.agents.workers import Here, Workers
from palaestra.alignment.credit import Advantages, Estimator, GroupStats, Sample, gae
from palaestra.alignment.league import League
from palaestra.alignment.learner import Learner, Scores
from palaestra.alignment.loops.ahead import Ahead
from palaestra.alignment.objectives import Objective
from palaestra.alignment.objectives.regularizers import k1_of
from palaestra.alignment.ranks import Ranks
from palaestra.alignment.recipe import Recipe
from palaestra.alignment.rows import ChoiceRow, Row, TokenRow, ValueRow, merge, rows_of, turn_positions, value_row
from palaestra.envs.transcript import (
    Defaulted,
    Forfeited,
    Instance,
    Malformed,
    Revealed,
    Said,
    Secret,
    Told,
    Transcript,
)

Signal = Callable[[Episode], Mapping[str, float]]
"""Scores an episode: seat -> score."""


def environment_return(episode: Episode) -> Mapping[str, float]:
    """The environment's own reward, summed."""
    return episode.returns


def instance_of(transcript: Transcript) -> str:
    """What the episode is about: every item and secret drawn before the first word. Equal for equal deals."""
    drawn = []
    for event in transcript.events:
        if isinstance(event, Said):
            break
        if isinstance(event, Instance):
            drawn.append(event.key)
        elif isinstance(event, Secret):
            drawn.append(f"{event.name}={event.parts}")
    return "; ".join(drawn) or f"seed {transcript.seed}"


@dataclass
class Trainee:
    """A policy that learns: how it reads and acts, its learner and its objective."""

    policy: LanguagePolicy
    learner: Learner | Ranks
    objective: Objective
    coefficients: Callable[[float], dict[str, float]]
    """From the share of the run that is over to the coefficients of KL and entropy."""
    here: Learner | None = None
    """Where the learner is in other processes: the one on this process's copy of the weights, which scores what frozen
    versions say and keeps the copy up to date."""

    def scores(self, module: torch.nn.Module, rows: list[Row]) -> list[Scores]:
        """What a module of this process says of rows, by the learner's own code."""
        here = self.here or self.learner
        assert isinstance(here, Learner)
        return here.logprobs(module, rows)

    def fetch(self) -> None:
        """This process's copy of the weights, as they are after a step elsewhere."""
        if self.here is not None:
            self.here.load(self.learner.snapshot())

    def send(self) -> None:
        """This process's weights to wherever the learner is."""
        if self.here is not None:
            self.learner.load(self.here.snapshot())


@dataclass
class Online:
    """One run's moving parts. `step()` is the loop's body; everything it changes is in `state()`."""

    env: str
    params: dict[str, Any]
    cast: Cast
    engine: EmbeddedEngine
    trainees: dict[str, Trainee]
    recipe: Recipe
    estimator: Estimator
    league: League
    signal: Signal = environment_return
    seed: int = 0
    done: int = 0
    """Steps taken."""
    policies: dict[str, Policy] = field(default_factory=dict)
    """Every policy of the scenario, by name."""
    opponent: Policy | None = None
    """Who holds the league's fixed seat."""
    references: dict[str, PolicyRef] = field(default_factory=dict)
    workers: Workers = field(default_factory=Here)
    measured: dict[str, Any] = field(default_factory=dict)
    """What was measured of frozen versions: they do not change, so it is measured once."""
    ahead: Ahead = field(init=False)
    """Episodes that are played while the learner learns."""
    _fresh: list[PolicyRef] = field(default_factory=list)
    _kept: set[PolicyRef] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.ahead = Ahead(self.recipe.staleness)

    # -- the loop's body
    def step(self) -> tuple[list[Episode], dict[str, float]]:
        """One update of every trainee: the episodes it was made from, and its metrics."""
        clock, begun = Clock(), time.perf_counter()
        share = self.done / self.recipe.steps
        self._refresh_references()
        with clock("rollout"):
            for step in self.ahead.missing(self.done, self.recipe.steps):
                self._begin(step)
            refs, episodes = self.ahead.take(self.done)
            self.engine.rest()
        labels = set(map(str, refs))
        with clock("credit"):
            for episode in episodes:
                episode.group, episode.purpose = instance_of(episode.transcript), "train"
                episode.scores["train"] = dict(self.signal(episode))
            rows, advantages = self.credit(episodes, labels)
        metrics = describe(episodes) | _credit_metrics(advantages)
        metrics["staleness"] = float(max(self.done - ref.version for ref in refs))
        for name, trainee in self.trainees.items():
            with clock("learn"):
                metrics |= self._learn(name, trainee, rows[name], share)
        self.league.record(episodes, labels)
        trained = _sampled(episodes, labels)
        self.done += 1
        for name in self.trainees:
            self.engine.set_version(name, self.done)
        for ref in self.league.snapshot(self.done):
            self._freeze(ref)
        self._forget()
        metrics["tokens/rollout_per_s"] = _sampled(episodes) / max(clock.seconds["rollout"], 1e-9)
        metrics["tokens/train_per_s"] = trained / max(clock.seconds["learn"], 1e-9)
        clock.seconds["step"] = time.perf_counter() - begun
        return episodes, metrics | {f"time/{k}_s": round(v, 4) for k, v in clock.seconds.items()}

    def close(self) -> None:
        """Wait for what is under way; nothing is asked any more."""
        self.workers.close()
        self.ahead.close()
        for trainee in self.trainees.values():
            if isinstance(trainee.learner, Ranks):
                trainee.learner.close()
        self.engine.close()

    def _begin(self, step: int) -> None:
        """Play a step's episodes with the present versions, of which copies stay as long as they play."""
        refs = tuple(self._present_refs())
        if not self.ahead.staleness:
            self.ahead.begin(step, refs, self.workers.ready(self.jobs(step)))
            return
        for ref in refs:
            self._hold(ref)
        jobs = self.jobs(step)
        seated = {p.ref for job in jobs for p in job.cast.values() if isinstance(p, LanguagePolicy)}
        if isinstance(self.workers, Here):
            self.engine.prepare(sorted(seated))  # now: later the learner is at work on what is published
        playing = frozenset(ref for ref in seated if ref.name in self.trainees)
        self.ahead.begin(step, refs, self.workers.ready(jobs), playing)

    def jobs(self, step: int | None = None) -> list[Job]:
        """The episodes of a step (default: the next). Seeds, casts and every draw follow from the run's seed and it."""
        recipe, step = self.recipe, self.done if step is None else step
        rng = random.Random(f"{self.seed}|matchmaking|{step}")
        groups = recipe.episodes // recipe.group_size
        casts = self.league.casts(groups, self._present(), rng)
        policies = {pair: self._at(*pair) for pair in dict.fromkeys(p for cast in casts for p in cast.items())}
        jobs = []
        for g in range(groups):
            cast = {pair[0]: policies[pair] for pair in casts[g].items()}
            if recipe.seeds:
                seed = recipe.seeds[g % len(recipe.seeds)]
            else:
                seed = (self.seed + 1) * 10_000_000 + step * groups + g
            for k in range(recipe.group_size):
                jobs.append(Job(self.env, self.params, cast, seed, f"{self.seed}|{step}|{g}|{k}", purpose="train"))
        return jobs

    def credit(
        self, episodes: list[Episode], labels: set[str] | None = None
    ) -> tuple[dict[str, list[Row]], Advantages]:
        """Advantages of every seat that the named versions played (default: the present), and the rows they make."""
        labels = self._labels if labels is None else labels
        samples, played = [], []
        for index, episode in enumerate(episodes):
            if episode.failure:
                continue
            for seat, label in episode.cast.items():
                if label in labels:
                    samples.append(Sample.of(episode, seat, index, episode.scores["train"][seat]))
                    played.append([t for t in episode.trajectories if t.seat == seat])
        if self.recipe.kl is not None and self.recipe.kl.form == "k1":
            samples = self._penalized(samples, played, self.recipe.kl.coef)
        if self.recipe.shuffle_rewards:
            samples = shuffled(samples, random.Random(f"{self.seed}|shuffle|{self.done}"))
        rows: dict[str, list[Row]] = {name: [] for name in self.trainees}
        if self.recipe.estimator == "gae":
            advantages = self._predicted(samples, played, episodes, rows)
        else:
            advantages = self.estimator.advantages(samples)
        for sample, trajectories, by_turn in zip(samples, played, advantages.by_turn, strict=True):
            rows[sample.policy] += [row for t in trajectories for row in self._rows(t, by_turn)]
        return rows, advantages

    def _rows(self, trajectory: Trajectory, advantages: Sequence[float] | float) -> list[Row]:
        """The rows of a trajectory, its candidates weighed as its policy weighs them."""
        norm = self.trainees[PolicyRef.parse(trajectory.policy).name].policy.norm
        return rows_of(trajectory, advantages, norm="token" if norm == "token" else "sum")

    def _predicted(
        self, samples: list[Sample], played: list[list[Trajectory]], episodes: list[Episode], rows: dict[str, list[Row]]
    ) -> Advantages:
        """Generalized advantages by turn against the value head; adds to `rows` what the head should have said."""
        recipe = self.recipe
        by_turn: list[list[float]] = [[] for _ in samples]
        for name, trainee in self.trainees.items():
            asked: list[tuple[int, list[int], ValueRow]] = []  # sample, turns, row
            for i, sample in enumerate(samples):
                if sample.policy != name:
                    continue
                if recipe.critic == "own":
                    asked += [(i, list(turn_positions(t)), value_row(t)) for t in played[i]]
                else:
                    views = central_views(episodes[sample.episode], sample.seat)
                    ids = [trainee.policy.renderer.start([{"role": "user", "content": v}]) for v in views]
                    asked += [(i, [turn], ValueRow(name, tuple(x), (len(x) - 1,))) for turn, x in enumerate(ids)]
            predicted = trainee.learner.values([row for _, _, row in asked])
            known: dict[int, dict[int, float]] = {}
            for (i, turns, _), values in zip(asked, predicted, strict=True):
                known.setdefault(i, {}).update(zip(turns, values, strict=True))
            targets: dict[int, list[float]] = {}
            for i, values_by_turn in known.items():
                values = [values_by_turn[t] for t in range(len(samples[i].rewards))]
                found = gae(samples[i].rewards, values, gamma=recipe.gamma, lam=recipe.gae_lambda)
                by_turn[i], targets[i] = found.advantages_T.tolist(), found.targets_T.tolist()
            rows[name] += [replace(row, targets=tuple(targets[i][t] for t in turns)) for i, turns, row in asked]
        count = len(samples)
        return Advantages(by_turn, GroupStats(count, 0, 0, min(count, 1), min(count, 1), float(min(count, 1))))

    def _penalized(self, samples: list[Sample], played: list[list[Trajectory]], coef: float) -> list[Sample]:
        """The samples with KL to the reference taken out of their returns: the k1 estimate, as sampled."""
        out = list(samples)
        for name, trainee in self.trainees.items():
            owned = [
                (i, r) for i, s in enumerate(samples) if s.policy == name for t in played[i] for r in self._rows(t, 0.0)
            ]
            scores = trainee.scores(self.engine.module(self.references[name]), [r for _, r in owned])
            for (i, row), score in zip(owned, scores, strict=True):
                if not isinstance(row, ValueRow) and row.trained:
                    behavior = row.behavior if isinstance(row, TokenRow) else [row.behavior]
                    out[i] = out[i].with_total(out[i].total - coef * k1_of(behavior, score.logprobs.tolist()))
        return out

    def _learn(self, name: str, trainee: Trainee, rows: list[Row], share: float) -> dict[str, float]:
        """Epochs of one trainee over its rows."""
        learner, recipe, ref = trainee.learner, self.recipe, self.references.get(name)
        if not rows:
            return {}
        coefficients = trainee.coefficients(share)
        rows, proximal, masked = self._proximal(trainee, rows)
        reference = None
        if ref is not None:
            rows = merge(rows)
            scores = trainee.scores(self.engine.module(ref), rows)
            reference = dict(zip(map(id, rows), scores, strict=True))
        metrics: dict[str, float] = {}
        if not rows:
            return {f"masked/{name}": masked}
        for _ in range(recipe.epochs):
            for part in dealt(rows, recipe.minibatches):
                against = [reference[id(row)] for row in part] if reference is not None else None
                near = [proximal[id(row)] for row in part] if proximal else None
                now = learner.forward_backward(
                    part, trainee.objective, reference=against, proximal=near, coefficients=coefficients
                )
                metrics = metrics or now  # the first pass is on-policy: there the log-ratio is the engine's mismatch
                metrics |= learner.optim_step()
        trainee.fetch()
        named = {METRICS.get(k, k): v for k, v in metrics.items()}
        if self.ahead.staleness:  # what differs is the weights, and no engine
            named = {k.replace("mismatch", "off_policy"): v for k, v in named.items()}
        if recipe.sequence_mask:
            named["masked"] = masked
        return {f"{k}/{name}": v for k, v in named.items()}

    def _proximal(self, trainee: Trainee, rows: list[Row]) -> tuple[list[Row], dict[int, Scores], float]:
        """What the weights say as the step begins, where that is needed, by `id` of the row; the rows that are near
        enough to what sampled them; and the share of the others."""
        limit = self.recipe.sequence_mask
        if not trainee.objective.proximal and limit is None:
            return rows, {}, 0.0
        rows = merge(rows)
        scores = trainee.learner.present(rows)
        pairs = [
            (r, s) for r, s in zip(rows, scores, strict=True) if limit is None or distance(r, s) <= math.log(limit)
        ]
        far = sum(r.weight for r in rows) - sum(r.weight for r, _ in pairs)
        near = {id(r): s for r, s in pairs} if trainee.objective.proximal else {}
        return [r for r, _ in pairs], near, far / max(sum(r.weight for r in rows), 1.0)

    # -- versions
    def speakers(self) -> dict[str, LanguagePolicy]:
        """Every language policy by name; those that learn at their present version."""
        cast = {p.ref.name: p for p in self.cast.values() if isinstance(p, LanguagePolicy)}
        return cast | {n: t.policy.at(self.engine.version(n)) for n, t in self.trainees.items()}

    @property
    def _labels(self) -> set[str]:
        return {str(ref) for ref in self._present_refs()}

    def _present_refs(self) -> list[PolicyRef]:
        return [PolicyRef(name, self.engine.version(name)) for name in self.trainees]

    def _present(self) -> dict[str, str]:
        """seat -> label of who sits there by default, trainees at their present version."""
        out = {}
        for seat, policy in self.cast.items():
            name = PolicyRef.parse(policy.label).name if isinstance(policy, LanguagePolicy) else policy.label
            out[seat] = str(PolicyRef(name, self.engine.version(name))) if name in self.trainees else policy.label
        return out

    def _at(self, seat: str, label: str) -> Policy:
        """The policy that a cast's label means in a seat."""
        default = self.cast[seat]
        if self.opponent is not None and label == self.opponent.label:
            return self.opponent
        if not isinstance(default, LanguagePolicy) or label.startswith("player:"):
            return default
        ref = PolicyRef.parse(label)
        policy = default if ref.name == default.ref.name else self.trainees[ref.name].policy
        return policy.at(ref.version)

    def _refresh_references(self) -> None:
        """The reference of each trainee: an own copy renewed on a schedule, the start, or a version by name."""
        kl = self.recipe.kl
        if kl is None:
            return
        for name in self.trainees:
            if kl.to == "copy" and kl.refresh and self.done % kl.refresh == 0:
                self.references[name] = self._freeze(PolicyRef(name, self.done))
            elif name not in self.references:
                self.references[name] = PolicyRef(name, 0) if kl.to in ("copy", "start") else PolicyRef.parse(kl.to)

    def _freeze(self, ref: PolicyRef) -> PolicyRef:
        """Keep a version, here and with the run."""
        self._hold(ref)
        if ref not in self._kept:
            self._kept.add(ref)
            self._fresh.append(ref)
        return ref

    def _hold(self, ref: PolicyRef) -> None:
        """Keep a copy of the present weights as long as somebody may ask for them."""
        if ref.version not in self.engine.frozen(ref.name):
            self.engine.freeze(ref)

    def fresh_versions(self) -> list[PolicyRef]:
        """Versions frozen since the last call, for the run to keep."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def held_versions(self) -> list[PolicyRef]:
        """Frozen versions that may still be asked for: the start, the pool, the references."""
        start = [PolicyRef(name, 0) for name in self.trainees]
        return sorted({*start, *self.league.members(), *self.references.values()})

    def _forget(self) -> None:
        held = {*self.held_versions(), *self.ahead.held()}
        for name in self.trainees:
            for version in self.engine.frozen(name):
                if PolicyRef(name, version) not in held:
                    self.engine.forget(PolicyRef(name, version))
        self.workers.keep({*held, *self._present_refs()})


def central_views(episode: Episode, seat: str) -> list[str]:
    """For each turn of a seat, all that every seat had been told and had said before it."""
    out: list[str] = []
    seen: list[str] = []
    for event in episode.transcript.events:
        if isinstance(event, Told | Revealed):
            seen.append(f"{', '.join(event.to)}: {event.text}")
        elif isinstance(event, Said):
            if event.seat == seat:
                out.append("\n".join([*seen, f"{seat} is to act."]))
            seen.append(f"{event.seat} said: {event.text}")
    return out


def distance(row: Row, scores: Scores) -> float:
    """|log of the geometric mean over tokens of π / μ|, of a row's trained tokens or its drawn action."""
    behavior = row.behavior if isinstance(row, TokenRow) else [row.behavior] if isinstance(row, ChoiceRow) else []
    if isinstance(row, ValueRow) or not row.trained or not behavior:
        return 0.0
    gaps = [now - then for now, then in zip(scores.logprobs.tolist(), behavior, strict=True)]
    return abs(fmean(gaps))


METRICS = {"kl_exact": "kl_reference", "mismatch_max": "mismatch"}
"""Names of the log, where they differ from the learner's."""


def dealt(rows: list[Row], parts: int) -> list[list[Row]]:
    """The rows in `parts` minibatches, in a random order; as they are where there is only one."""
    if parts == 1 or len(rows) < parts:
        return [rows]
    order = torch.randperm(len(rows)).tolist()
    return [[rows[i] for i in sorted(order[p::parts])] for p in range(parts)]


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begin


def shuffled(samples: list[Sample], rng: random.Random) -> list[Sample]:
    """The samples with their returns permuted seat by seat: the control that carries no information."""
    out = list(samples)
    for seat in sorted({s.seat for s in samples}):
        places = [i for i, s in enumerate(samples) if s.seat == seat]
        for i, j in zip(places, rng.sample(places, len(places)), strict=True):
            old, new = samples[i], samples[j].total
            out[i] = old.with_total(new)
    return out


def describe(episodes: list[Episode]) -> dict[str, float]:
    """Returns by seat, numeric gold facts, and what went wrong, over the episodes that were played to the end."""
    whole = [e for e in episodes if not e.failure]
    out: dict[str, float] = {"failed": float(len(episodes) - len(whole))}
    if not whole:
        return out
    for seat in whole[0].cast:
        out[f"return/{seat}"] = fmean(e.returns[seat] for e in whole)
    if len(whole[0].cast) > 1:
        best = [[s for s, r in e.returns.items() if r == max(e.returns.values())] for e in whole]
        out |= {f"wins/{seat}": fmean(b == [seat] for b in best) for seat in whole[0].cast}
    facts: dict[str, list[float]] = {}
    for e in whole:
        for fact, value in e.outcome.items():
            if isinstance(value, bool | int | float):
                facts.setdefault(fact, []).append(float(value))
    out |= {f"outcome/{fact}": fmean(values) for fact, values in facts.items()}
    turns = sum(isinstance(e, Said) for w in whole for e in w.transcript.events)
    for kind in (Malformed, Defaulted, Forfeited):
        count = sum(isinstance(e, kind) for w in whole for e in w.transcript.events)
        out[kind.__name__.lower()] = count / max(turns, 1)
    out["turns"] = turns / len(whole)
    return out


def _credit_metrics(advantages: Advantages) -> dict[str, float]:
    stats = advantages.stats
    return {
        "constant_groups": stats.constant_share,
        "group_size": stats.size_mean,
        "singletons": float(stats.singletons),
    }


def _sampled(episodes: list[Episode], labels: set[str] | None = None) -> int:
    """Tokens that policies sampled, of all or of the given ones."""
    return sum(t.sampled() for e in episodes for t in e.trajectories if labels is None or t.policy in labels)
