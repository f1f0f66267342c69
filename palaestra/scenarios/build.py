"""From a scenario to the moving parts: engine, policies, learners, the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from palaestra.agents.engines.embedded import EmbeddedEngine
from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.families import FamilyRenderer, family_of
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.models import Loaded, load
from palaestra.agents.policy import Cast, Policy, player
from palaestra.agents.remote import Remote, RemotePolicy
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import env_texts, tiny
from palaestra.agents.workers import Here
from palaestra.alignment.credit import ESTIMATORS, Estimator
from palaestra.alignment.league import League
from palaestra.alignment.learner import Learner, Schedule, ValueHead
from palaestra.alignment.loops.imitation import clone
from palaestra.alignment.loops.online import Online, Signal, Trainee
from palaestra.alignment.objectives import Objective, make_objective
from palaestra.alignment.recipe import Recipe
from palaestra.envs.transcript import Malformed
from palaestra.scenarios.scenario import EngineSpec, PolicySpec, Scenario, SignalSpec

CLONE_NOTE_S = 10.0
"""Cloning says how far it is after so many seconds, and every 50 batches."""
TOKENIZER_PLAYS = 200
"""Plays by scripted players whose words a tiny model's tokenizer is trained on."""


def build(scenario: Scenario, *, start: bool = True, show: Callable[[str], None] = lambda text: None) -> Online:
    """Everything that a run needs, at step 0. With `start = False` nothing is cloned."""
    own = [spec for spec in scenario.engines.values() if spec.kind != "openai"]
    spec = scenario.engines["local"] if "local" in scenario.engines else next(iter(own), EngineSpec())
    torch.set_num_threads(spec.threads)
    torch.manual_seed(scenario.run.seed)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if spec.device == "auto" else spec.device
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": None}[spec.dtype]
    engine = make_engine(scenario, spec, device, dtype)
    policies = _policies(scenario, engine)
    fixed = opponent(scenario, policies, scenario.league.opponent) if scenario.league.opponent else None
    for name, policy in policies.items():
        if start and isinstance(policy, LanguagePolicy) and scenario.policies[name].clone:
            _clone(scenario, engine, name, policy, show)
    trainees = {}
    for name in scenario.trained:
        policy = policies[name]
        assert isinstance(policy, LanguagePolicy)
        trainees[name] = Trainee(
            policy, _learner(scenario.recipe, engine, name), objective(scenario.recipe), coefficients(scenario.recipe)
        )
    return Online(
        env=scenario.env,
        params=dict(scenario.env_params),
        cast={seat: seated(scenario, policies, seat) for seat in scenario.make_env().seats},
        engine=engine,
        policies=policies,
        trainees=trainees,
        recipe=scenario.recipe,
        estimator=estimator(scenario.recipe),
        league=League(
            scenario.trained,
            opponent=fixed.label if fixed else "",
            matchmaking=scenario.league.matchmaking,
            share=scenario.league.share,
            every=scenario.league.every,
            limit=scenario.league.limit,
        ),
        signal=signal(scenario.signals[scenario.training_signal]),
        seed=scenario.run.seed,
        workers=Here(scenario.run.live, max(1, scenario.scale.rollouts)),
        opponent=fixed,
    )


def make_engine(scenario: Scenario, spec: EngineSpec, device: str, dtype: torch.dtype | None) -> EmbeddedEngine:
    """The engine of a kind, without policies."""
    if spec.kind == "transformers":
        return EmbeddedEngine(device=device, dtype=dtype)
    from palaestra.agents.engines.vllm import VllmEngine

    ranks = [policy.adapter.rank for policy in scenario.policies.values() if policy.adapter]
    return VllmEngine(device=device, dtype=dtype, rank=max(ranks, default=1), **spec.vllm.model_dump())


def seated(scenario: Scenario, policies: Mapping[str, Policy], seat: str) -> Policy:
    """The policy of a seat, with the persona that the cast gives it there."""
    entry = scenario.seat(seat)
    policy = policies[entry.policy]
    if entry.persona and isinstance(policy, LanguagePolicy | RemotePolicy):
        return replace(policy, persona=entry.persona)
    return policy


def accounts(cast: Cast) -> list[str]:
    """What the servers elsewhere were asked by a cast, a line each."""
    remotes = {id(p.remote): p for p in cast.values() if isinstance(p, RemotePolicy)}
    return [f"{policy.remote.url}: {policy.remote.ledger}" for policy in remotes.values()]


def opponent(scenario: Scenario, policies: Mapping[str, Policy], text: str) -> Policy:
    """An opponent by its name: `player:random`, `debater`, or `debater@0`."""
    kind, _, name = text.partition(":")
    if kind == "player":
        return player(scenario.env_class, name)
    ref = PolicyRef.parse(text)
    policy = policies[ref.name]
    return policy.at(ref.version) if isinstance(policy, LanguagePolicy) and "@" in text else policy


def _policies(scenario: Scenario, engine: EmbeddedEngine) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    tokenizers: dict[str, Any] = {}
    renderers: dict[str, Renderer] = {}
    remotes: dict[str, Remote] = {}
    for name, spec in scenario.policies.items():
        if spec.player is not None:
            policies[name] = player(scenario.env_class, spec.player)
            continue
        home = scenario.engines.get(spec.engine)
        if home is not None and home.kind == "openai":
            if spec.engine not in remotes:
                remotes[spec.engine] = Remote(**home.openai.model_dump())
            policies[name] = _remote(spec, remotes[spec.engine])
            continue
        base = base_of(spec)
        read = reader(spec)  # what it needs may be missing, which is said before any weights are loaded
        if base not in tokenizers:
            loaded = _load(scenario, spec)
            engine.add_base(base, loaded.model, loaded.tokenizer)
            tokenizers[base] = loaded.tokenizer
        style = f"{base} {spec.renderer} {sorted(spec.renderer_options.items())}"
        if style not in renderers:
            renderers[style] = read(tokenizers[base])
        adapter = None
        if spec.adapter:
            adapter = {"rank": spec.adapter.rank, "alpha": spec.adapter.alpha or 2 * spec.adapter.rank}
        engine.add_policy(name, base, adapter=adapter, train=spec.train or spec.clone is not None)
        policies[name] = LanguagePolicy(
            ref=PolicyRef(name),
            engine=engine,
            renderer=renderers[style],
            temperature=spec.temperature,
            **manner(spec),
        )
    return policies


def manner(spec: PolicySpec) -> dict[str, Any]:
    """How a policy reads and acts: keyword arguments of `LanguagePolicy`, all but how it draws."""
    small = spec.model == "tiny"
    return {
        "act": spec.act,
        "max_tokens": spec.max_tokens,
        "norm": spec.norm,
        "history": spec.history,
        "show_rules": not small if spec.show_rules is None else spec.show_rules,
        "show_legal": not small if spec.show_legal is None else spec.show_legal,
        "legal": spec.legal,
    }


def reader(spec: PolicySpec) -> Callable[[Any], Renderer]:
    """From a tokenizer to what makes tokens of a policy's messages."""
    if spec.renderer == "template":
        return partial(Renderer, options=spec.renderer_options)
    family = family_of(spec.renderer, str(spec.model))
    return partial(FamilyRenderer, family=family, options=spec.renderer_options)


def _remote(spec: PolicySpec, remote: Remote) -> RemotePolicy:
    assert spec.model is not None
    return RemotePolicy(
        spec.model,
        remote,
        max_tokens=spec.max_tokens,
        temperature=spec.temperature,
        show_rules=spec.show_rules is not False,
        show_legal=spec.show_legal is not False,
    )


def base_of(spec: PolicySpec) -> str:
    """Policies with the same base share its weights: the same model, and for tiny ones the same shape."""
    return f"tiny {spec.tiny.model_dump_json()}" if spec.model == "tiny" else str(spec.model)


def _load(scenario: Scenario, spec: PolicySpec) -> Loaded:
    if spec.model != "tiny":
        assert spec.model is not None
        return load(spec.model, attention="sdpa", local_only=Path(spec.model).exists())
    texts = env_texts(scenario.env, scenario.env_params, TOKENIZER_PLAYS)
    return tiny(texts, **spec.tiny.model_dump(), seed=scenario.run.seed)


def _learner(recipe: Recipe, engine: EmbeddedEngine, name: str, schedule: Schedule | None = None) -> Learner:
    return Learner(engine.live(name), engine.parameters(name), **learner_settings(recipe, engine, name, schedule))


def learner_settings(
    recipe: Recipe, engine: EmbeddedEngine, name: str, schedule: Schedule | None = None
) -> dict[str, Any]:
    """What a recipe says of the learner of a policy: keyword arguments of `Learner`."""
    module = engine.live(name)
    head = None
    if recipe.estimator == "gae" and schedule is None:
        head = ValueHead(module.config.get_text_config().hidden_size).to(engine.device)  # type: ignore[union-attr,operator,arg-type]
    return {
        "value_head": head,
        "schedule": schedule or Schedule(recipe.lr, recipe.warmup, _updates(recipe) if recipe.decay else None),
        "betas": recipe.betas,
        "weight_decay": recipe.weight_decay,
        "clip_norm": recipe.clip_norm,
        "tokens_per_micro_batch": recipe.tokens_per_micro_batch,
        "packing": recipe.packing,
        "checkpointing": recipe.recompute,
        "autocast": engine.dtype if engine.dtype == torch.bfloat16 else None,  # adapters are in float32
        "activate": lambda: engine.live(name),
    }


def _updates(recipe: Recipe) -> int:
    return recipe.steps * recipe.epochs * recipe.minibatches


def _clone(
    scenario: Scenario, engine: EmbeddedEngine, name: str, policy: LanguagePolicy, show: Callable[[str], None]
) -> None:
    spec = scenario.policies[name].clone
    assert spec is not None
    learner = _learner(scenario.recipe, engine, name, Schedule(spec.lr, 20, spec.batches, floor=0.1))

    begun = last = time.perf_counter()

    def tell(step: int, loss: float) -> None:
        nonlocal last
        done, now = step + 1, time.perf_counter()
        if done % 50 == 0 or done == spec.batches or now - last >= CLONE_NOTE_S:
            last, left_s = now, (now - begun) / done * (spec.batches - done)
            more = f", about {left_s:.0f} s left" if done < spec.batches else ""
            show(f"cloning {name}: batch {done} of {spec.batches}, {loss:.3f} nats a token{more}")

    clone(
        scenario.env,
        dict(scenario.env_params),
        policy,
        learner,
        spec.players,
        batches=spec.batches,
        batch=spec.batch,
        share=spec.share,
        seed=spec.seed + scenario.run.seed,
        show=tell,
    )


def objective(recipe: Recipe) -> Objective:
    """The recipe's objective with its settings."""
    if recipe.objective == "ppo":
        return make_objective("ppo", clip_low=recipe.clip, clip_high=recipe.clip)
    if recipe.objective == "decoupled":
        return make_objective(
            "decoupled", clip_low=recipe.clip, clip_high=recipe.clip, cap=recipe.importance_cap or 2.0
        )
    return make_objective("reinforce", cap=recipe.importance_cap)


def coefficients(recipe: Recipe) -> Callable[[float], dict[str, float]]:
    """From the share of the run that is over to the coefficients of KL and entropy."""

    def at(share: float) -> dict[str, float]:
        out = {"entropy": recipe.entropy.at(share)}
        if recipe.kl and recipe.kl.form != "k1":
            out[f"kl_{recipe.kl.form}"] = recipe.kl.coef
        if recipe.estimator == "gae":
            out["value"] = recipe.value_coef
        return {name: value for name, value in out.items() if value}

    return at


def estimator(recipe: Recipe) -> Estimator:
    """The recipe's credit setting, with its replacements."""
    spec = ESTIMATORS["rae" if recipe.estimator == "gae" else recipe.estimator]
    changes: dict[str, Any] = {}
    if recipe.group_by is not None:
        changes["key"] = tuple(recipe.group_by)
    if recipe.scale is not None:
        changes["scale"] = None if recipe.scale == "none" else recipe.scale
    return Estimator(msgspec.structs.replace(spec, **changes))


def signal(spec: SignalSpec) -> Signal:
    """What an episode's seats are scored with."""

    def score(episode: Episode) -> Mapping[str, float]:
        if spec.of == "return":
            scores = episode.returns
        else:
            scores = dict.fromkeys(episode.cast, float(episode.outcome.get(spec.of, 0.0)))
        if spec.malformed:
            for seat in scores:
                scores[seat] += spec.malformed * episode.transcript.count(Malformed, seat)
        return scores

    return score


__all__ = ["Cast", "build", "opponent", "seated"]
