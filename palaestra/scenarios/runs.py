"""Training a scenario, resuming it, measuring it, comparing two runs."""

from __future__ import annotations

import gc
import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from palaestra.agents.episode import Episode, PolicyRef
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.policy import Policy
from palaestra.agents.workers import Here, Workers
from palaestra.alignment import sharding
from palaestra.alignment.evaluate import Estimate, Evaluation, bootstrap, evaluate, held_out, paired, rotations
from palaestra.alignment.learner import Learner
from palaestra.alignment.loops.online import Online
from palaestra.alignment.ranks import LearnerLost, Ranks
from palaestra.alignment.run import RunDir, next_path, write_atomically
from palaestra.alignment.watch import watch
from palaestra.errors import CheckpointError, ScenarioError, nearest
from palaestra.scenarios.build import accounts, build, opponent
from palaestra.scenarios.measures.exploitability import nashconv_of
from palaestra.scenarios.scenario import Scenario

RUNS = Path("runs")
LOSSES = 3
"""How often a learner may be lost without a new step before the run ends."""


class Show(Protocol):
    """Who watches a run while it goes on."""

    def begin(self, scenario: Scenario, run: RunDir) -> None: ...
    def note(self, text: str) -> None: ...
    def step(self, metrics: Mapping[str, Any]) -> None: ...
    def alert(self, text: str) -> None: ...
    def end(self, run: RunDir) -> None: ...


class Silent:
    """Nobody watches."""

    def begin(self, scenario: Scenario, run: RunDir) -> None: ...
    def note(self, text: str) -> None: ...
    def step(self, metrics: Mapping[str, Any]) -> None: ...
    def alert(self, text: str) -> None: ...
    def end(self, run: RunDir) -> None: ...


def train(scenario: Scenario, out: Path | None = None, *, show: Show | None = None) -> RunDir:
    """Train a scenario from its start, in a new directory (default `runs/<name>-0001`).

    Raises:
        ScenarioError: nothing is trained in it.
        CheckpointError: there is a run in `out` already.
        KeyboardInterrupt: after Ctrl-C, when the step is finished and saved.
    """
    if not scenario.trained:
        raise ScenarioError(f"{scenario.name}: no policy has train = true\n  `palaestra eval` plays it as it is")
    out = out or next_path(RUNS, scenario.name or scenario.env)
    run = RunDir.create(out, scenario.toml(), seed=scenario.run.seed, command=shlex.join(sys.argv))
    return _Training(run, scenario, show or Silent()).begin()


def resume(path: Path | str, settings: Iterable[str] = (), *, show: Show | None = None) -> RunDir:
    """Go on with a run from its last checkpoint; on one machine, in synchronous mode on the CPU, bit for bit.

    `settings` may change the scenario (recorded in the run's `scenario.toml`); then bits differ, of course.
    """
    run = RunDir.open(path)
    source = run.path / "scenario.toml"
    scenario = Scenario.load(source, settings)
    if list(settings):
        source.write_text(scenario.toml())
    training = _Training(run, scenario, show or Silent())
    return training.go_on() if run.checkpoints() else training.begin()


class _Training:
    """A run and its loop."""

    def __init__(self, run: RunDir, scenario: Scenario, show: Show) -> None:
        self.run, self.scenario, self.show = run, scenario, show
        self.history: list[dict[str, Any]] = []
        self.barking: set[str] = set()
        self.seconds = 0.0
        self.online: Online | None = None
        """What is to be closed."""

    def begin(self) -> RunDir:
        self.show.begin(self.scenario, self.run)
        return self._loop(self._begun)

    def _begun(self) -> Online:
        """The parts at step 0, which is measured and saved."""
        self.run.forget(-1)  # a run that was cut before its first checkpoint begins anew
        online = self._build()
        for trainee in online.trainees.values():
            trainee.send()
        for name, spec in self.scenario.policies.items():
            if name in online.trainees:
                self._keep(online, PolicyRef(name, 0))
            elif spec.model is not None and spec.clone:  # cloned, and fixed since
                self.run.save_version(PolicyRef(name, 0), online.engine.state(name))
        self._log(online, {}, [])
        self._checkpoint(online)
        return online

    def go_on(self) -> RunDir:
        self.show.begin(self.scenario, self.run)
        return self._loop(self._restored)

    def _restored(self) -> Online:
        """The parts as the last checkpoint has them."""
        step, state, tensors = self.run.restore()
        online = self._build(start=False)
        restore(online, self.run, state, tensors)
        self.history = self.run.metrics()
        self.barking = set(state["barking"])
        self.seconds = float(self.run.info["seconds"])
        self.run.describe(status="running")
        self.show.note(f"resumed at step {step}: {', '.join(state['restored'])}")
        return online

    def _build(self, *, start: bool = True) -> Online:
        """The moving parts, and those of them that are elsewhere."""
        self.online = online = build(self.scenario, start=start, show=self.show.note)
        if self.scenario.scale.ray and self.scenario.scale.rollouts:
            from palaestra.scenarios.cluster import RayWorkers

            online.workers = RayWorkers(self.scenario, self.show.note)
        if self.scenario.scale.learners:
            from palaestra.scenarios.cluster import ranks

            for name, trainee in online.trainees.items():
                assert isinstance(trainee.learner, Learner)
                trainee.here, trainee.learner = trainee.learner, ranks(self.scenario, name, self.show.note)
        return online

    def _loop(self, make: Callable[[], Online]) -> RunDir:
        """Steps to the end; where a learner's process is lost, on from the last checkpoint with new ones."""
        lost_at, losses = -1, 0
        with ExitStack() as stack:
            interrupted: Callable[[], bool] | None = None
            while True:
                try:
                    online = make()
                    interrupted = interrupted or stack.enter_context(_first_interrupt_waits())
                    return self._steps(online, interrupted)
                except LearnerLost as error:
                    done = self.online.done if self.online else -1
                    losses = losses + 1 if done <= lost_at else 1
                    lost_at = max(lost_at, done)
                    if losses > LOSSES:
                        raise
                    self.show.note(f"{str(error).splitlines()[0]}; on from the last checkpoint with a new learner")
                finally:
                    if self.online is not None:
                        self.online.close()
                        for line in accounts(self.online.cast):
                            self.show.note(line)
                        self.online = None
                make = self._restored if self.run.checkpoints() else self._begun

    def _steps(self, online: Online, interrupted: Callable[[], bool]) -> RunDir:
        begun = time.perf_counter() - self.seconds
        gc.collect()
        gc.freeze()  # a full collection over everything that torch imports costs 0.2 s, and finds nothing
        while online.done < self.scenario.recipe.steps:
            episodes, metrics = online.step()
            self.seconds = time.perf_counter() - begun
            self._log(online, metrics, episodes)
            last = online.done == self.scenario.recipe.steps
            if last or interrupted() or online.done % self.scenario.run.checkpoint_every == 0:
                self._checkpoint(online)
            if interrupted() and not last:
                self.run.describe(status="interrupted", seconds=round(self.seconds, 1))
                raise KeyboardInterrupt
        self.run.describe(status="finished", seconds=round(self.seconds, 1))
        self.show.end(self.run)
        return self.run

    def _log(self, online: Online, metrics: dict[str, float], episodes: list[Episode]) -> None:
        scenario, step = self.scenario, online.done
        line: dict[str, Any] = {"step": step, **metrics}
        every = scenario.eval.every
        if step in (0, scenario.recipe.steps) or (every and step % every == 0):
            began = time.perf_counter()
            found, result = measure(scenario, online)
            line |= found
            line["time/eval_s"] = round(time.perf_counter() - began, 4)
            self.run.write_episodes(step, result.sample, "eval")
            self.run.write_gold(step, result.values.get(scenario.eval.measure, {}))
        if episodes and scenario.run.record:
            self.run.write_episodes(step, episodes)
        for ref in online.fresh_versions():
            self._keep(online, ref)
        self.history.append(line)
        for kind, text in watch(self.history, self.barking):
            self.run.alert(step, kind, text)
            self.show.alert(text)
        write_atomically(self.run.path / "league.json", json.dumps(payoffs(online), indent=1).encode())
        self.run.write_metrics(line)
        self.show.step(line)

    def _keep(self, online: Online, ref: PolicyRef) -> None:
        if ref.version not in online.engine.frozen(ref.name):  # else the live weights may have moved on from it
            online.engine.freeze(ref)
        self.run.save_version(ref, online.engine.state(ref))

    def _checkpoint(self, online: Online) -> None:
        state, tensors = snapshot(online)
        state["barking"] = sorted(self.barking)
        self.run.describe(seconds=round(self.seconds, 1))

        def shards(folder: Path) -> None:
            for name, trainee in online.trainees.items():
                if isinstance(trainee.learner, Ranks):
                    place = folder.absolute() / f"learner-{name}"
                    trainee.learner.save(place)
                    if not (place / ".metadata").exists():
                        raise CheckpointError(
                            f"{place}: the learner's processes wrote it, and it is not here\n"
                            "  the run directory must be one that all nodes see: --out"
                        )

        self.run.save(online.done, state, tensors, keep=self.scenario.run.keep, also=shards)


def payoffs(online: Online) -> dict[str, Any]:
    """The payoff table for reading: row -> column -> count, mean return of the row, interval, share of games won."""
    table: dict[str, Any] = {}
    for (row, column), cell in online.league.payoffs.cells().items():
        low, high = cell.interval if cell.games > 1 else (None, None)
        entry = {"n": cell.games, "mean": cell.mean, "low": low, "high": high, "win_share": cell.win_share}
        table.setdefault(row, {})[column] = entry
    return {"pool": [str(ref) for ref in online.league.members()], "payoff": table}


def snapshot(online: Online) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything that the next step depends on: plain data, and tensors."""
    state: dict[str, Any] = {
        "step": online.done,
        "estimator": online.estimator.state_dict(),
        "league": online.league.state_dict(),
        "references": {name: str(ref) for name, ref in online.references.items()},
        "ahead": online.ahead.state_dict(),
        "versions": [str(ref) for ref in online.held_versions()],
        "restored": ["weights", "optimizer", "random states", "baselines", "league", "references"],
    }
    tensors: dict[str, Any] = {
        "torch_random": torch.get_rng_state(),
        "policies": {
            name: {"weights": online.engine.state(name)}
            | ({"learner": trainee.learner.state_dict()} if isinstance(trainee.learner, Learner) else {})
            for name, trainee in online.trainees.items()
        },
    }
    return state, tensors


def restore(online: Online, run: RunDir, state: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Put a snapshot back into freshly built parts."""
    online.done = state["step"]
    for label in state["versions"]:
        ref = PolicyRef.parse(label)
        if ref.name in online.trainees or ref in run.versions():  # else it is as it was built
            online.engine.freeze(ref, run.load_version(ref))
    for name, trainee in online.trainees.items():
        saved = tensors["policies"][name]
        online.engine.load(name, saved["weights"])
        online.engine.set_version(name, online.done)
        folder = run.checkpoint(online.done).absolute() / f"learner-{name}"
        if isinstance(trainee.learner, Ranks) and folder.is_dir():
            trainee.learner.restore(folder)
        elif folder.is_dir():
            assert isinstance(trainee.learner, Learner)
            sharding.restore(trainee.learner, folder)
        elif "learner" in saved:
            trainee.send()
            trainee.learner.load_state_dict(saved["learner"])
        else:
            raise CheckpointError(f"{folder}: gone, and with it the optimizer of {name}")
    for ref in run.versions():
        if ref.name not in online.trainees:
            online.engine.load(ref.name, run.load_version(ref))
    online.estimator.load_state_dict(state["estimator"])
    online.league.load_state_dict(state["league"])
    online.references = {name: PolicyRef.parse(label) for name, label in state["references"].items()}
    online.ahead.load_state_dict(state.get("ahead", {}))
    torch.set_rng_state(tensors["torch_random"])


# -- measuring -------------------------------------------------------------------------------------------------------
def measure(scenario: Scenario, online: Online) -> tuple[dict[str, float], Evaluation]:
    """The evaluation of the present versions: as metrics `eval/...`, and by instance."""
    out: dict[str, float] = {}
    focal = online.trainees[scenario.focal].policy if scenario.focal in online.trainees else None
    if scenario.eval.measure == "nashconv":
        present = {name: t.policy.at(online.engine.version(name)) for name, t in online.trainees.items()}
        cast = {seat: present.get(scenario.seat(seat).policy, policy) for seat, policy in online.cast.items()}
        params = {**scenario.env_params, **scenario.eval.params}
        out["eval/nashconv"], out["eval/nashconv_unread"] = nashconv_of([cast], scenario.env, params)
        if pool := pool_casts(online, cast):
            out["eval/nashconv_pool"] = nashconv_of(pool, scenario.env, params, known=online.measured).value
    assert focal is not None
    policy = focal.at(online.engine.version(scenario.focal))
    result = evaluate_policy(scenario, online.cast, policy, scenario.eval.against, workers=online.workers)
    for name, estimate in result.summary.items():
        out |= {f"eval/{name}": estimate.mean, f"eval/{name}/low": estimate.low, f"eval/{name}/high": estimate.high}
    if scenario.eval.measure in result.values:
        out["eval/gold"] = result.estimate(scenario.eval.measure).mean
    out["eval/failed"] = float(result.failed)
    return out, result


def pool_casts(online: Online, cast: Mapping[str, Policy]) -> list[dict[str, Policy]]:
    """One cast for each generation of the league's pool."""
    names = list(online.trainees)
    generations = zip(*(online.league.members(name) for name in names), strict=False)
    out = []
    for refs in generations:
        version = dict(zip(names, (ref.version for ref in refs), strict=True))
        out.append(
            {
                seat: policy.at(version[policy.ref.name])
                if isinstance(policy, LanguagePolicy) and policy.ref.name in version
                else policy
                for seat, policy in cast.items()
            }
        )
    return out


def evaluate_policy(
    scenario: Scenario,
    cast: Mapping[str, Policy],
    policy: Policy,
    against: Iterable[str] = (),
    *,
    instances: int | None = None,
    policies: Mapping[str, Policy] | None = None,
    workers: Workers | None = None,
    samples: int = 4,
) -> Evaluation:
    """`policy` in the seats of the focal policy, on held-out instances, against each opponent in every seat."""
    seats = [s for s in cast if scenario.seat(s).policy == scenario.focal]
    learned = [s for s in cast if scenario.policies[scenario.seat(s).policy].train] or seats
    split = scenario.eval.split or held_out(scenario.env_class.splits)
    params = {**scenario.env_params, "split": split, **scenario.eval.params}
    named = policies or {scenario.seat(s).policy: p for s, p in cast.items()}
    settings = {}
    for text in against:
        other = opponent(scenario, named, text)
        settings[text] = [r for r in rotations(dict(cast), policy, learned, other) if r.focal[0] in seats]
    if not settings:
        settings["self"] = rotations(dict(cast), policy, seats, None)
    count = instances or scenario.eval.instances
    workers = workers or Here(scenario.run.live)
    return evaluate(scenario.env, params, settings, count, workers=workers, samples=samples)


@dataclass
class EvalTable:
    """Two columns of measures on the same instances, and their paired difference."""

    title: str
    labels: tuple[str, str]
    rows: list[tuple[str, Estimate, Estimate, Estimate]]
    failed: int = 0

    def text(self) -> str:
        """As the terminal shows it."""
        a, b = self.labels
        lines = [f"{self.title}", f"  {'measure':<24}{a:<26}{b:<26}paired difference"]
        lines += [f"  {name:<24}{x!s:<26}{y!s:<26}{d!s}" for name, x, y, d in self.rows]
        if self.failed:
            lines.append(f"  {self.failed} episodes broke off and are in no mean")
        lines.append("  intervals: bootstrap over instances, 95%")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "labels": list(self.labels),
            "failed": self.failed,
            "measures": {
                name: {"a": x._asdict(), "b": y._asdict(), "difference": d._asdict()} for name, x, y, d in self.rows
            },
        }


def open_run(path: Path | str, *, seed: int | None = None) -> tuple[Scenario, Online, RunDir]:
    """A run's parts at its last checkpoint, ready to play: any kept version can act."""
    run = RunDir.open(path)
    scenario = Scenario.load(run.path / "scenario.toml")
    online = build(scenario, start=False)
    step, state, tensors = run.peek()
    restore(online, run, state, tensors)
    for ref in run.versions():
        if ref.name in online.trainees and str(ref) not in state["versions"] and ref.version != step:
            online.engine.freeze(ref, run.load_version(ref))
    return scenario, online, run


def compare(
    source: str,
    *,
    policy: str | None = None,
    baseline: str | None = None,
    against: Iterable[str] = (),
    instances: int | None = None,
    settings: Iterable[str] = (),
) -> EvalTable:
    """Two policies on the same held-out instances: of a run (default: last version against version 0), or the cast of
    a scenario as it is (scripted players included) against random play.
    """
    path = Path(source)
    if (path / "run.json").exists():
        scenario, online, _ = open_run(path)
        if settings:
            data = json.loads(scenario.model_dump_json(exclude_none=True))
            from palaestra.scenarios.scenario import apply_setting

            for setting in settings:
                apply_setting(data, setting)
            scenario = Scenario.parse(data)
        last = PolicyRef(scenario.focal, online.engine.version(scenario.focal))
        first = policy or str(last)
        second = baseline or str(PolicyRef(scenario.focal, 0))
        named = {name: t.policy for name, t in online.trainees.items()}
        cast: Mapping[str, Policy] = online.cast
    else:
        scenario = Scenario.load(source, settings)
        online = build(scenario)
        named = {scenario.seat(s).policy: p for s, p in online.cast.items()}  # type: ignore[misc]
        first, second = policy or scenario.focal, baseline or "player:random"
        cast = online.cast
    foes = list(against) or scenario.eval.against
    results = [
        evaluate_policy(scenario, cast, opponent(scenario, named, who), foes, instances=instances, policies=named)
        for who in (second, first)
    ]
    before, after = results
    rows = []
    for name in after.values:
        if name in before.values:
            a, b = before.values[name], after.values[name]
            rows.append((name, bootstrap(list(a.values())), bootstrap(list(b.values())), paired(b, a)))
    n = instances or scenario.eval.instances
    title = f"{scenario.env}, {n} held-out instances" + (f", against {', '.join(foes)}" if foes else "")
    return EvalTable(title, (second, first), rows, before.failed + after.failed)


# -- plans and differences -------------------------------------------------------------------------------------------
def plan(scenario: Scenario) -> str:
    """What `train` would do, before anything is loaded."""
    env, recipe = scenario.make_env(), scenario.recipe
    params = ", ".join(f"{k}={v}" for k, v in env.params.items())
    who = []
    for name, spec in scenario.policies.items():
        how = spec.player or f"{spec.model}, {f'LoRA r={spec.adapter.rank}' if spec.adapter else 'whole weights'}"
        who.append(f"{name} ({'trained, ' if spec.train else ''}{how})")
    kl = f", kl to {recipe.kl.to} {recipe.kl.coef} ({recipe.kl.form})" if recipe.kl else ""
    if recipe.kl and recipe.kl.refresh:
        kl += f" refreshed every {recipe.kl.refresh} steps"
    measure = scenario.eval.measure
    lines = {
        "env": f"{scenario.env} ({params})   seats {' '.join(env.seats)}",
        "policies": "   ".join(who),
        "cast": "   ".join(f"{seat} = {scenario.seat(seat).policy}" for seat in env.seats),
        "league": f"{scenario.league.matchmaking}"
        + (f", {scenario.league.share:.0%} of games" if scenario.league.matchmaking != "mirror" else ""),
        "data": f"{recipe.episodes} episodes a step in groups of {recipe.group_size}, {recipe.steps} steps",
        "learning": f"estimator {recipe.estimator}, objective {recipe.objective}, lr {recipe.lr:g}"
        f"{' decayed to 0' if recipe.decay else ''}{kl}",
        "evaluation": f"{measure} on {scenario.eval.instances} held-out instances"
        + (f" against {', '.join(scenario.eval.against)}" if scenario.eval.against else "")
        + (f", every {scenario.eval.every} steps" if scenario.eval.every else ", at the start and the end"),
        "scale": ", ".join(f"{k} {v}" for k, v in scenario.scale if v) or "one process",
        "writes": f"{next_path(RUNS, scenario.name or scenario.env)}/",
    }
    return "\n".join(f"  {key:<12}{value}" for key, value in lines.items())


TIMED = ("time/", "tokens/")


def diff(a: Path | str, b: Path | str, exact: bool = False) -> list[str]:
    """What differs between two runs, one line each: scenario keys and metrics; with `exact` also weights, optimizers,
    league and episodes, bit for bit. Times are never compared.
    """
    one, two = RunDir.open(a), RunDir.open(b)
    out = _tree_diff("scenario", _data(one), _data(two))
    left, right = one.metrics(), two.metrics()
    if len(left) != len(right):
        out.append(f"metrics: {len(left)} and {len(right)} lines")
    for x, y in zip(left, right, strict=False):
        for key in sorted(x.keys() | y.keys()):
            if not key.startswith(TIMED) and not _same(x.get(key), y.get(key)):
                out.append(f"metrics: step {x['step']}: {key} = {x.get(key)} and {y.get(key)}")
    if not exact:
        return out
    if one.checkpoints()[-1:] != two.checkpoints()[-1:]:
        return [*out, f"checkpoints: last {one.checkpoints()[-1:]} and {two.checkpoints()[-1:]}"]
    _, state_a, tensors_a = one.peek()
    _, state_b, tensors_b = two.peek()
    out += _tree_diff("state", state_a, state_b) + _tree_diff("tensors", tensors_a, tensors_b)
    folders = [r.checkpoint(r.checkpoints()[-1]) for r in (one, two)]
    for name in sorted({p.name for folder in folders for p in folder.glob("learner-*")}):
        shards = [sharding.read(folder / name) if (folder / name).is_dir() else {} for folder in folders]
        out += _tree_diff(name, *shards)
    for folder in ("episodes", "eval", "versions"):
        names = {p.name for r in (one, two) for p in (r.path / folder).glob("*")}
        for name in sorted(names):
            files = [r.path / folder / name for r in (one, two)]
            if not all(f.exists() for f in files):
                out.append(f"{folder}/{name}: only in one of them")
            elif files[0].read_bytes() != files[1].read_bytes():
                out.append(f"{folder}/{name}: differs")
    return out


def _data(run: RunDir) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Scenario.load(run.path / "scenario.toml").model_dump_json(exclude_none=True))
    return data


def _same(x: Any, y: Any) -> bool:
    return bool(x == y) or (isinstance(x, float) and isinstance(y, float) and x != x and y != y)


def _tree_diff(path: str, x: Any, y: Any) -> list[str]:
    if isinstance(x, dict) and isinstance(y, dict):
        out: list[str] = []
        for key in sorted({*x, *y}, key=str):
            if key not in x or key not in y:
                out.append(f"{path}.{key}: only in one of them")
            else:
                out += _tree_diff(f"{path}.{key}", x[key], y[key])
        return out
    if isinstance(x, list | tuple) and isinstance(y, list | tuple) and len(x) == len(y):
        return [line for i, (u, v) in enumerate(zip(x, y, strict=True)) for line in _tree_diff(f"{path}.{i}", u, v)]
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return [] if x.dtype == y.dtype and torch.equal(x, y) else [f"{path}: tensors differ"]
    return [] if _same(x, y) else [f"{path}: {x!r} and {y!r}"]


@contextmanager
def _first_interrupt_waits() -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C only sets a flag (to be asked for); the second interrupts at once."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    old = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, old)


def find_version(run: RunDir, text: str) -> PolicyRef:
    """A kept version by its label.

    Raises:
        CheckpointError: it was not kept; names the nearest.
    """
    ref = PolicyRef.parse(text)
    if ref not in run.versions():
        raise CheckpointError(f"{run.path}: no version {ref}\n  {nearest(str(ref), map(str, run.versions()))}")
    return ref


__all__ = ["LanguagePolicy", "compare", "diff", "plan", "resume", "train"]
