"""A scenario: who plays what, what is trained on which signal, how it is evaluated. Data, checked as a whole.

Every value has one path (`recipe.kl.coef`), for `--set`, for errors and for diffs; tables are keyed by name and there
are no arrays of tables. `load` reports every problem at once, before any model is loaded.
"""

from __future__ import annotations

import contextlib
import copy
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError

from palaestra.agents.families import family_of
from palaestra.alignment.credit import ESTIMATORS
from palaestra.alignment.exploit import GAMES
from palaestra.alignment.recipe import Count, LeagueSpec, Positive, Recipe, Table
from palaestra.envs.registry import absolute, env_class, names
from palaestra.envs.script import ScriptedEnv, play_random
from palaestra.errors import MissingExtraError, PalaestraError, ScenarioError, nearest

LIBRARY = Path(__file__).parent / "library"


class Adapter(Table):
    """A LoRA adapter on the policy's base."""

    rank: Positive = 16
    alpha: float | None = None
    """Default: twice the rank."""


class Tiny(Table):
    """The shape of a model that is made on the spot (`model = "tiny"`)."""

    width: Positive = 64
    layers: Positive = 2
    heads: Positive = 4
    kind: Literal["llama", "qwen3"] = "llama"
    vocab: Positive = 512
    context: Positive = 512


class Clone(Table):
    """Supervised start: replies of scripted players, cloned before the first step."""

    players: dict[str, str]
    """seat -> scripted player whose replies are cloned."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of its moves that a teacher makes as it does; the rest are random: a beginner to begin from."""
    batches: Count = 250
    batch: Positive = 64
    lr: float = 3e-3
    seed: int = 0


class PolicySpec(Table):
    """A policy: a language model (`model`), or a scripted `player` of the environment."""

    model: str | None = None
    """"tiny", a Hugging Face name, or a path."""
    player: str | None = None
    engine: str = "local"
    adapter: Adapter | None = None
    """Absent: whole weights."""
    train: bool = False
    act: Literal["text", "score"] = "text"
    norm: Literal["sum", "token", "word"] = "sum"
    max_tokens: Positive = 64
    temperature: float = Field(1.0, ge=0)
    history: Literal["keep", "slide", "drop"] = "keep"
    """What of an episode is read at a turn: all of it; or where that outgrows the context, the newest turns that fill
    half of it; or all but the reasoning of replies."""
    renderer: str = "template"
    """How messages become tokens: by the tokenizer's chat "template"; or by the package "renderers", as of the family
    that it knows the model under, or of the family that is named ("renderers:qwen3")."""
    renderer_options: dict[str, Any] = {}
    """Variables of the template, or settings of the family: `{ enable_thinking = false }`."""
    legal: bool = False
    """Record the legal actions of free replies, for exact entropy and KL over them."""
    show_rules: bool | None = None
    """Put the environment's rules into the system message; default: unless `model = "tiny"`."""
    show_legal: bool | None = None
    """List the legal moves at each turn; default: unless `model = "tiny"`."""
    tiny: Tiny = Tiny()
    clone: Clone | None = None


class Seat(Table):
    """A cast entry with more than a policy's name."""

    policy: str
    persona: str = ""


class VllmSpec(Table):
    """Settings of an engine of kind "vllm"; see `palaestra.agents.engines.vllm.VllmEngine`."""

    memory: float | None = Field(None, gt=0)
    """The share of the GPU's memory that vLLM takes (default a half); on a CPU, GiB for its cache."""
    adapters: Positive = 8
    """LoRA adapters in one batch at most."""
    requests: Positive = 256
    """Sequences in one batch at most."""
    tensor_parallel: Positive = 1
    """GPUs that share vLLM's copy of the weights; on a CPU, processes."""
    eager: bool = False
    sleep: bool = False
    """Give vLLM's memory to the learner between rollouts."""
    tolerance: float | None = Field(None, gt=0)
    """Nats that vLLM and the learner may differ by, at any token of the probe that verifies a publication."""


class RemoteSpec(Table):
    """Settings of an engine of kind "openai"; see `palaestra.agents.remote.Remote`."""

    url: str | None = None
    key_env: str = "OPENAI_API_KEY"
    """The environment variable with the key: keys are never written into a scenario."""
    at_once: Positive = 16
    per_minute: float | None = Field(None, gt=0)
    retries: Count = 4
    timeout: float = Field(60.0, gt=0)
    price_in: float = Field(0.0, ge=0)
    """For a million tokens."""
    price_out: float = Field(0.0, ge=0)
    budget: float | None = Field(None, ge=0)
    cache: str | None = None
    extra: dict[str, Any] = {}


class EngineSpec(Table):
    """Where tokens are sampled and scored."""

    kind: Literal["transformers", "vllm", "openai"] = "transformers"
    """"vllm" samples replies in a process of its own; the learner's weights are in this one either way. "openai" is a
    server elsewhere, for policies that do not train."""
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    threads: Positive = 1
    """CPU threads; bitwise repetition holds for one fixed number."""
    vllm: VllmSpec = VllmSpec()
    openai: RemoteSpec = RemoteSpec()


class ScaleSpec(Table):
    """How many processes a run has beside this one, and where; see `docs/scale.md`."""

    ray: str = ""
    """"" no Ray; "local" a Ray of this run's own on this machine; "auto" the one that runs here; or its address."""
    rollouts: Count = 0
    """Rollout workers, each with environments and an engine of its own; 0: this process plays. Without Ray the episodes
    of a step are played here in so many parts one after another, which gives the same numbers bit for bit."""
    learners: Count = 0
    """Processes that the learner's weights, gradients and optimizer are sharded over; 0: this process learns."""


class SignalSpec(Table):
    """Something that scores an episode's seats."""

    of: str = "return"
    """"return" (the environment's reward), or the name of a gold fact."""
    malformed: float = 0.0
    """Added to a seat's score for each of its malformed replies."""
    train: bool = False


class EvalSpec(Table):
    """What is measured on held-out instances, at the start, every so many steps, and at the end."""

    every: Count = 0
    """0: only at the start and at the end."""
    instances: Positive = 100
    split: str | None = None
    """Default: "test" where the environment has it."""
    against: list[str] = []
    """Opponents: `player:random`, `name@0`; empty: the cast of the scenario."""
    focal: str = ""
    """The policy that is measured; default: the first trained one."""
    measure: str = "return"
    """The named gold number: "return" of the focal seats, a gold fact, or "nashconv"."""
    goal: Literal["max", "min"] = "max"
    params: dict[str, Any] = {}
    """Parameters of the environment that differ in evaluation."""


class RunSpec(Table):
    """Where and how the run is kept."""

    seed: int = 0
    checkpoint_every: Positive = 20
    keep: Positive = 2
    """Checkpoints kept."""
    live: Positive = 256
    """Completions under way at once."""
    record: bool = True
    """Write the episodes."""


class Scenario(Table):
    """The whole file."""

    name: str = ""
    about: str = ""
    env: str
    env_params: dict[str, Any] = {}
    policies: dict[str, PolicySpec]
    cast: dict[str, str | Seat]
    engines: dict[str, EngineSpec] = {"local": EngineSpec()}
    scale: ScaleSpec = ScaleSpec()
    signals: dict[str, SignalSpec] = {"env": SignalSpec(train=True)}
    recipe: Recipe = Recipe()
    league: LeagueSpec = LeagueSpec()
    eval: EvalSpec = EvalSpec()
    run: RunSpec = RunSpec()
    twins: dict[str, list[str]] = {"shuffled": ["recipe.shuffle_rewards=true"]}
    """Controls: label -> settings that take away what the claim rests on. `load("name:label")` is the twin."""

    # -- reading
    @classmethod
    def load(cls, source: str | Path, settings: Iterable[str] = ()) -> Self:
        """A scenario from a file, or from the library by name, with `key=value` settings applied.

        `name:label` is its control twin of that label. The id of an environment is a scenario too: one tiny policy
        learns in all its seats, from scratch.

        Raises:
            ScenarioError: every problem at once, each with the key and the nearest right word.
        """
        data, where, folder, label = _read(str(source))
        if label:
            twins = data.get("twins", cls.model_fields["twins"].default)
            if label not in twins:
                raise ScenarioError(f"{where}: no twin {label!r}\n  {nearest(label, twins)}")
            data["name"] += f"-{label}"
            settings = [*twins[label], *settings]
        for setting in settings:
            apply_setting(data, setting)
        if isinstance(data.get("env"), str):
            data["env"] = absolute(data["env"], folder)  # so that a run is found again from anywhere
        return cls.parse(data, where, folder)

    @classmethod
    def parse(cls, data: dict[str, Any], where: str = "scenario", folder: Path = Path()) -> Self:
        """A scenario from plain data, checked as a whole; `folder` is where it was read."""
        try:
            scenario = cls.model_validate(data)
        except ValidationError as error:
            problems = [_explain(e, cls) for e in error.errors()]
            wrong = [_keys(e) for e in error.errors()]
            with contextlib.suppress(ValidationError):  # what is left of the file is checked across tables too
                rest = cls.model_validate(_without(data, wrong)).problems(folder)
                problems += [p for p in rest if not any(_follows(p, keys) for keys in wrong)]
            raise ScenarioError(_report(where, problems)) from None
        if problems := scenario.problems(folder):
            raise ScenarioError(_report(where, problems))
        return scenario

    # -- what follows from it
    @property
    def env_class(self) -> type[ScriptedEnv]:
        return env_class(self.env)

    def make_env(self, **params: Any) -> ScriptedEnv:
        return self.env_class(**{**self.env_params, **params})

    def seat(self, seat: str) -> Seat:
        """The cast entry of a seat."""
        entry = self.cast[seat]
        return Seat(policy=entry) if isinstance(entry, str) else entry

    @property
    def trained(self) -> list[str]:
        """Names of the policies that learn."""
        return [name for name, spec in self.policies.items() if spec.train]

    @property
    def focal(self) -> str:
        return self.eval.focal or (self.trained or list(self.policies))[0]

    @property
    def training_signal(self) -> str:
        return next(name for name, spec in self.signals.items() if spec.train)

    def toml(self) -> str:
        """The scenario with every default written out, as TOML."""
        return to_toml(json.loads(self.model_dump_json(exclude_none=True)))

    # -- checks across tables
    def problems(self, folder: Path = Path()) -> list[str]:
        """Everything that is wrong across tables, one text each."""
        out: list[str] = []
        try:
            env = self.make_env()
        except PalaestraError as error:
            return [f"env: {_uninstalled(self.env, folder) or error}"]
        players = {"random": play_random, **env.players}
        for name, spec in self.policies.items():
            at = f"policies.{name}"
            if (spec.model is None) == (spec.player is None):
                out.append(f"{at}: give either model or player")
            if spec.player is not None and spec.player not in players:
                out.append(
                    f"{at}.player: {self.env} has no player {spec.player!r}\n      {nearest(spec.player, players)}"
                )
            if spec.player is not None and spec.train:
                out.append(f"{at}.train: a scripted player cannot be trained\n      give it a model")
            if spec.train and spec.temperature != 1.0:
                out.append(
                    f"{at}.temperature: {spec.temperature:g} while training\n      what is trained is sampled at 1"
                )
            if spec.train and spec.act == "score" and spec.norm == "word":
                out.append(f'{at}.norm: "word" cannot be trained\n      set norm = "sum" or "token"')
            engines = {"local": EngineSpec(), **self.engines}
            if spec.model is not None and spec.engine not in engines:
                out.append(f"{at}.engine: no engine named {spec.engine!r}\n      {nearest(spec.engine, engines)}")
            elif spec.model is not None and engines[spec.engine].kind == "openai":
                wrong: dict[str, Any] = {
                    "train": spec.train,
                    "act": spec.act == "score",
                    "clone": spec.clone,
                    "adapter": spec.adapter,
                    "renderer": spec.renderer != "template",
                    "renderer_options": spec.renderer_options,
                }
                out += [
                    f"{at}.{key}: its engine {spec.engine!r} is a server elsewhere, which only speaks\n"
                    "      take it out, or choose an engine of another kind"
                    for key, value in wrong.items()
                    if value
                ]
            elif spec.model is not None and spec.renderer != "template":
                try:
                    family_of(spec.renderer, spec.model)
                except MissingExtraError:
                    pass  # not wrong, only not here: said where it is needed
                except ScenarioError as error:
                    out.append(f"{at}.renderer: {error}".replace("\n  ", "\n      "))
            if spec.clone:
                for seat, who in spec.clone.players.items():
                    if seat not in env.seats:
                        out.append(f"{at}.clone.players.{seat}: no such seat\n      {nearest(seat, env.seats)}")
                    if who not in players:
                        out.append(f"{at}.clone.players.{seat}: no player {who!r}\n      {nearest(who, players)}")
        for seat in env.seats:
            if seat not in self.cast:
                out.append(f"cast.{seat}: nobody sits here\n      name a policy of [policies]")
        for seat in self.cast:
            if seat not in env.seats:
                out.append(f"cast.{seat}: no such seat\n      {nearest(seat, env.seats)}")
            elif self.seat(seat).policy not in self.policies:
                name = self.seat(seat).policy
                out.append(f"cast.{seat}: no policy named {name!r}\n      {nearest(name, self.policies)}")
        out += self._recipe_problems()
        out += self._eval_problems(env, players)
        return out

    def _recipe_problems(self) -> list[str]:
        out = []
        recipe = self.recipe
        training = [n for n, s in self.signals.items() if s.train]
        if self.trained and len(training) != 1:
            got = ", ".join(training) or "none"
            out.append(f"signals: exactly one signal is trained on, got {got}\n      add train = true to one of them")
        if recipe.episodes % recipe.group_size:
            out.append(f"recipe.episodes: {recipe.episodes} is no multiple of group_size = {recipe.group_size}")
        if recipe.estimator not in ("gae", *ESTIMATORS):
            out.append(
                f"recipe.estimator: no estimator {recipe.estimator!r}\n"
                f"      {nearest(recipe.estimator, ['gae', *ESTIMATORS])}"
            )
        needs_group = recipe.estimator in ("grpo", "dr_grpo", "rloo", "dr_mas", "at_grpo")
        if needs_group and recipe.group_size < 2:
            out.append(
                f'recipe.estimator = "{recipe.estimator}" needs groups of 2 or more, recipe.group_size is 1\n'
                '      set group_size = 4, or estimator = "rae"'
            )
        exact = recipe.kl is not None and recipe.kl.form == "exact" and recipe.kl.coef > 0
        if exact or recipe.entropy.start or recipe.entropy.end:
            what = 'recipe.kl.form = "exact"' if exact else "recipe.entropy"
            for name in self.trained:
                spec = self.policies[name]
                if spec.act != "score" and not spec.legal:
                    out.append(
                        f"{what} is over legal actions, and policies.{name} records none\n"
                        f'      set policies.{name}.act = "score", or legal = true'
                    )
        if recipe.staleness:
            adapters = [name for name in self.trained if self.policies[name].adapter]
            elsewhere = bool(self.scale.ray and self.scale.rollouts)
            here = [
                n
                for n in adapters
                if not elsewhere
                and (
                    self.policies[n].act == "score"
                    or self.engines.get(self.policies[n].engine, EngineSpec()).kind == "transformers"
                )
            ]
            if recipe.objective == "reinforce" and recipe.importance_cap is None and not recipe.unclipped:
                out.append(
                    f'recipe.objective = "reinforce" has no trust region, for episodes up to {recipe.staleness} '
                    'versions old\n      set objective = "ppo" or "decoupled", or importance_cap = 2,'
                    " or, all the same, unclipped = true"
                )
            out += [
                f"recipe.staleness: policies.{name} is an adapter on a base that the learner uses too\n"
                '      set [engines.local] kind = "vllm" and act = "text", or scale.ray and scale.rollouts,'
                " or learn whole weights"
                for name in here
            ]
            out += [
                f"engines.{name}.vllm.sleep: while it sleeps for the learner it cannot play ahead\n"
                "      set sleep = false, or recipe.staleness = 0"
                for name, engine in self.engines.items()
                if engine.vllm.sleep and not elsewhere
            ]
        if self.scale.ray and not (self.scale.rollouts or self.scale.learners):
            out.append(
                f'scale.ray = "{self.scale.ray}": nothing is to run there\n'
                "      set scale.rollouts = 2, scale.learners = 2, or both"
            )
        if recipe.kl and recipe.kl.to not in ("copy", "start"):
            name = recipe.kl.to.partition("@")[0]
            if name not in self.policies:
                out.append(
                    f"recipe.kl.to: no policy named {name!r}\n      {nearest(name, ['copy', 'start', *self.policies])}"
                )
        if self.league.matchmaking == "fixed" and not self.league.opponent:
            out.append('league.opponent: matchmaking = "fixed" needs one\n      such as opponent = "player:random"')
        return out

    def _eval_problems(self, env: ScriptedEnv, players: Any) -> list[str]:
        out = []
        for opponent in self.eval.against:
            kind, _, name = opponent.partition(":")
            if kind == "player" and name not in players:
                out.append(f"eval.against: no player {name!r}\n      {nearest(name, players)}")
            elif kind != "player" and opponent.partition("@")[0] not in self.policies:
                out.append(f"eval.against: no policy named {opponent!r}\n      write player:NAME, or NAME@VERSION")
        if self.eval.focal and self.eval.focal not in self.policies:
            out.append(
                f"eval.focal: no policy named {self.eval.focal!r}\n      {nearest(self.eval.focal, self.policies)}"
            )
        if self.eval.measure == "nashconv" and env.name() not in GAMES:
            out.append(f'eval.measure: "nashconv" is computed for {" and ".join(GAMES)} only')
        if self.eval.split and self.eval.split not in env.splits:
            out.append(f"eval.split: {self.env} has {', '.join(env.splits)}")
        return out


def library() -> list[str]:
    """Names of the built-in scenarios."""
    return sorted(p.stem for p in LIBRARY.glob("*.toml"))


def _read(source: str) -> tuple[dict[str, Any], str, Path, str]:
    """A scenario's plain data, how it is called, the folder that it lies in, and the label of a twin of it."""
    for name, label in ((source, ""), source.rpartition(":")[::2]):
        path = next((p for p in (Path(name), LIBRARY / f"{name}.toml") if p.is_file() and p.suffix != ".py"), None)
        if path is None:
            if data := default_data(name):
                return data, name, Path(), label
            continue
        try:
            data = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise ScenarioError(f"{path.name}: {error}") from None
        return {"name": path.stem, **data}, path.name, path.parent, label
    name = source.partition(":")[0]
    raise ScenarioError(
        f"no scenario {name!r}\n  give a TOML file or a name of the library\n  {nearest(name, library())}"
    )


def _uninstalled(env: str, folder: Path) -> str:
    """What is to be said of an environment's name that means nothing yet, where its code lies beside the scenario."""
    if not env.isidentifier() or env in names():
        return ""
    for place in (folder.resolve(), folder.resolve().parent):
        entries: dict[str, str] = {}
        with contextlib.suppress(OSError, tomllib.TOMLDecodeError):
            project = tomllib.loads((place / "pyproject.toml").read_text())["project"]
            entries = project.get("entry-points", {}).get("palaestra.envs", {})
        if env in entries:
            module, _, attribute = entries[env].partition(":")
            file = place.joinpath(*module.split(".")).with_suffix(".py")
            return f"{env!r} is not installed\n      pip install -e {place}, or --set env={file}:{attribute}"
    if (file := folder.resolve() / "env.py").exists():
        return f"no environment {env!r} is installed\n      --set env={file} takes the one beside the scenario"
    return ""


def default_data(env: str) -> dict[str, Any] | None:
    """The scenario of an environment that has none: a tiny policy in every seat; None where `env` is no id.

    Raises:
        UnknownNameError: a Python file was named, and the class is not in it.
    """
    try:
        seats = env_class(env)().seats
    except PalaestraError:
        if env.endswith(".py") or env.rpartition(":")[0].endswith(".py"):
            raise
        return None
    return {
        "name": env_class(env).__name__.lower(),
        "about": f"One tiny policy learns in all seats of {env}.",
        "env": env,
        "policies": {"learner": {"model": "tiny", "train": True, "act": "score"}},
        "cast": dict.fromkeys(seats, "learner"),
        "recipe": {
            "steps": 150,
            "episodes": 128,
            "estimator": "loo_instance_seat",
            "kl": {"refresh": 20, "coef": 0.1},
            "entropy": {"start": 0.1, "end": 0.01},
        },
        "eval": {"every": 25},
    }


def apply_setting(data: dict[str, Any], setting: str) -> None:
    """Write `a.b.c=value` into plain data; the value is TOML, or else a bare string.

    Raises:
        ScenarioError: no `=`, or the path goes through something that is no table.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ScenarioError(f"--set {setting}: not of the form key=value\n  such as --set recipe.steps=10")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        data = data.setdefault(table, {})
        if not isinstance(data, dict):
            raise ScenarioError(f"--set {setting}: {table} is no table")
    if value == "none":
        data.pop(last, None)
    else:
        data[last] = value


def _report(where: str, problems: list[str]) -> str:
    head = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {where}"
    return "\n".join([head, *(f"  {p}" for p in problems)])


def _keys(error: Any) -> list[str]:
    """The path of a wrong value in the file."""
    return [str(p) for p in error["loc"] if p not in ("Seat", "str")]


def _without(data: dict[str, Any], paths: Iterable[list[str]]) -> dict[str, Any]:
    """Plain data less what lies at the paths."""
    kept = copy.deepcopy(data)
    for *tables, last in paths:
        table: Any = kept
        for name in tables:
            table = table.get(name, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict):
            table.pop(last, None)
    return kept


def _follows(problem: str, keys: list[str]) -> bool:
    """Whether a problem across tables may only follow from a value that was wrong in itself."""
    at = problem.partition(":")[0].partition(" ")[0]
    return at == ".".join(keys[:-1]) or f"{at}.".startswith(".".join(keys) + ".")


def _explain(error: Any, model: type[BaseModel]) -> str:
    path = [str(p) for p in error["loc"]]
    shown = ".".join(_keys(error))
    if error["type"] == "extra_forbidden":
        return f"{shown}: unknown key\n      {nearest(path[-1], _fields(model, path[:-1]))}"
    if error["type"] == "missing":
        return f"{shown}: missing"
    text = error["msg"].replace("Input should be", "should be")
    return f"{shown}: {text}, got {error['input']!r}"


def _fields(model: Any, path: list[str]) -> list[str]:
    """Field names of the table at `path`."""
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
        field = model.model_fields.get(part)
        if field is None:
            continue  # a name inside a table keyed by name
        model = _table(field.annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _table(annotation: Any) -> Any:
    """The table model inside an annotation such as `KL | None` or `dict[str, PolicySpec]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _table(argument)) is not None:
            return found
    return None


def to_toml(data: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Plain data as TOML: values first, then the tables."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if not isinstance(v, dict)]
    if path and (lines or not data):
        lines.insert(0, f"[{'.'.join(map(_key, path))}]")
    parts = ["\n".join(lines)] if lines else []
    parts += [to_toml(v, (*path, k)) for k, v in data.items() if isinstance(v, dict)]
    return "\n\n".join(p for p in parts if p).rstrip() + ("" if path else "\n")


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)
