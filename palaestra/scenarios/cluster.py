"""Rollout workers and learners as Ray actors: in other processes, on this machine or on many.

A worker builds the scenario's engine and policies as the driver did, and is told of everything else with each call: the
jobs, and the weights of the versions that sit in them, which lie in Ray's object store once. So it has nothing to lose:
where it dies, or its node, another plays the same jobs, and since every draw is fixed by the job, the same episodes.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import socket
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import torch
from safetensors import torch as tensors

from palaestra.agents.episode import Episode, PolicyRef, decode, encode
from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job
from palaestra.agents.policy import Policy, player
from palaestra.agents.remote import RemotePolicy
from palaestra.agents.workers import Here, cut
from palaestra.alignment.ranks import LearnerLost, Parts, Rank, RankLost, Ranks, local
from palaestra.envs.script import ScriptedEnv
from palaestra.errors import EngineError, MissingExtraError
from palaestra.scenarios.build import build, learner_settings
from palaestra.scenarios.scenario import ScaleSpec, Scenario

DEATHS = 5
"""Workers that may die over the same jobs before the jobs are held to be at fault."""
STARTS = 3
"""How often a worker may fail to be built, by its own fault, before the run ends."""
CLOSE_S = 5.0
PATIENCE_S = 600.0
"""How long a run waits for a worker where none is alive: the time to bring up another node."""
ROOM_S = 10.0
"""After so long without room for all workers the run says what it waits for."""
HERE = ("engine", "renderer", "teacher", "remote")
"""Fields of a policy that stay in their process; all others travel."""


class Packed(NamedTuple):
    """A job for another process: its cast as names and settings."""

    job: Job
    cast: dict[str, Any]


def pack(job: Job) -> Packed:
    """A job without anything that belongs to this process."""
    return Packed(job._replace(cast={}), {seat: _plain(policy) for seat, policy in job.cast.items()})


def _plain(policy: Policy) -> Any:
    if isinstance(policy, LanguagePolicy | RemotePolicy):
        return {f.name: getattr(policy, f.name) for f in dataclasses.fields(policy) if f.name not in HERE}
    return policy.label


def _at_home(plain: Any, policies: Mapping[str, Policy], env: type[ScriptedEnv]) -> Policy:
    """The policy that was made plain, from the same policies in this process."""
    if isinstance(plain, str):
        return player(env, plain.removeprefix("player:"))
    for name, policy in policies.items():
        if isinstance(policy, LanguagePolicy) and "ref" in plain and name == plain["ref"].name:
            return dataclasses.replace(policy, **plain)
        if isinstance(policy, RemotePolicy) and "ref" not in plain and policy.model == plain["model"]:
            return dataclasses.replace(policy, **plain)
    raise EngineError(f"a rollout worker has no policy for {plain}")


class Worker:
    """What an actor does. `scenario` is the driver's, as TOML."""

    def __init__(self, scenario: str, workers: int = 1) -> None:
        parsed = alone(scenario)
        for engine in parsed.engines.values():
            if engine.openai.budget is not None:
                engine.openai.budget /= workers  # each counts what it asks itself
        self.scenario, self.online = parsed, build(parsed, start=False)
        self.here = Here(parsed.run.live)
        self._live: dict[str, int] = {}

    def ping(self) -> int:
        """The process, once it is ready."""
        return os.getpid()

    def play(self, packed: Sequence[Packed], weights: Mapping[PolicyRef, Any]) -> list[bytes]:
        """Play, with the given weights (by version, where they lie); the records as they are written to a file."""
        self._take(weights)
        env = self.scenario.env_class
        jobs = [
            p.job._replace(cast={seat: _at_home(who, self.online.policies, env) for seat, who in p.cast.items()})
            for p in packed
        ]
        return [encode(episode) for episode in self.here.ready(jobs)()]

    def close(self) -> None:
        """Remove what was written for engines elsewhere."""
        self.online.close()

    def _take(self, weights: Mapping[PolicyRef, Any]) -> None:
        """Have the versions that are asked for, and no others: the newest of a policy live, the others as copies."""
        import ray

        engine = self.online.engine
        for name in {ref.name for ref in weights}:
            versions = sorted(ref.version for ref in weights if ref.name == name)
            for version in engine.frozen(name):
                if version not in versions:
                    engine.forget(PolicyRef(name, version))
            for version in versions:
                ref = PolicyRef(name, version)
                newest = version == versions[-1]
                if self._live.get(name) == version if newest else version in engine.frozen(name):
                    continue
                state = tensors.load(ray.get(weights[ref]))
                if newest:
                    engine.load(name, state)
                    engine.set_version(name, version)
                    self._live[name] = version
                else:
                    engine.freeze(ref, state)


class RayWorkers:
    """`scale.rollouts` workers in a placement group, and what they are sent.

    Args:
        note: is told when a worker is lost and when another has taken its place.
    Raises:
        MissingExtraError: Ray is not installed.
        EngineError: Ray cannot be reached, or no worker can be placed.
    """

    def __init__(self, scenario: Scenario, note: Callable[[str], None] = lambda text: None) -> None:
        self._ray, self._own = connect(scenario)
        self._environment = inherited(scenario)
        self._note = note
        self._count = scenario.scale.rollouts
        self._scenario = scenario.toml()
        self._sent = {name for name, spec in scenario.policies.items() if spec.train or spec.clone}
        self._weights: dict[PolicyRef, Any] = {}
        self._closed = threading.Event()
        self._why = ""
        """Why a worker did not start."""
        self._failed: Exception | None = None
        """Something that no other worker would do better."""
        engines = [engine for engine in scenario.engines.values() if engine.kind == "vllm"]
        self._bundle = bundle(max((engine.vllm.tensor_parallel for engine in engines), default=1))
        self._group = self._ray.util.placement_group([self._bundle] * self._count, strategy="SPREAD")
        self._idle: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._starting: dict[int, threading.Thread] = {}
        self._threads = ThreadPoolExecutor(self._count, "ray")
        if not self._group.wait(ROOM_S):
            free = free_of(self._ray, self._bundle)
            note(f"waiting for room: {self._count} rollout workers of {self._bundle} each, with {free} free")
        for place in range(self._count):
            self._begin(place)

    # -- the protocol of workers ---------------------------------------------------------------------------------
    def ready(self, jobs: Sequence[Job]) -> Callable[[], list[Episode]]:
        """Put the weights of the casts' versions into the object store, unless they are there."""
        parts = [[pack(job) for job in part] for part in cut(jobs, self._count)]
        needed: dict[PolicyRef, Any] = {}
        for policy in (policy for job in jobs for policy in job.cast.values()):
            if isinstance(policy, LanguagePolicy) and policy.ref not in needed and policy.ref.name in self._sent:
                needed[policy.ref] = self._put(policy)

        def play() -> list[Episode]:
            futures = [self._threads.submit(self._play, part, needed) for part in parts]
            return [decode(line) for future in futures for line in future.result()]

        return play

    def keep(self, versions: Iterable[PolicyRef]) -> None:
        """Let go of the weights of all others; the store frees them when nobody plays with them any more."""
        kept = set(versions)
        self._weights = {ref: lies for ref, lies in self._weights.items() if ref in kept or ref.version == 0}

    def close(self) -> None:
        """Stop the workers, and give their places back."""
        self._closed.set()
        idle = []
        while not self._idle.empty():
            idle.append(self._idle.get()[1])
        if idle:
            self._ray.wait([worker.close.remote() for worker in idle], num_returns=len(idle), timeout=CLOSE_S)
        self._ray.util.remove_placement_group(self._group)  # with whoever still plays: nobody will ask
        self._threads.shutdown(wait=True, cancel_futures=True)
        for starting in self._starting.values():
            starting.join(CLOSE_S)
        if self._own:
            self._ray.shutdown()

    # -- parts ---------------------------------------------------------------------------------------------------
    def _put(self, policy: LanguagePolicy) -> Any:
        if policy.ref not in self._weights:
            state = policy.engine.state(policy.ref)  # type: ignore[attr-defined]
            self._weights[policy.ref] = self._ray.put(tensors.save({n: t.contiguous() for n, t in state.items()}))
        return self._weights[policy.ref]

    def _begin(self, place: int) -> None:
        """An actor in a place of the group, among the idle ones as soon as it answers."""
        actor = placed(self._ray, Worker, self._group, place, self._bundle, self._environment)

        def wait() -> None:
            tries = 0
            while not self._closed.is_set():
                worker = actor.remote(self._scenario, self._count)
                ready = worker.ping.remote()
                try:
                    while not self._ray.wait([ready], timeout=1.0)[0]:
                        if self._closed.is_set():
                            return  # without its place it may never answer
                    self._ray.get(ready)
                except Exception as error:  # whatever it was: the next one may live; a run without any ends by itself
                    if self._closed.is_set():
                        return  # its place was taken from it
                    tries += 1
                    inside = getattr(error, "actor_init_failed", False)
                    self._why = _line(error, last=inside)
                    if inside and tries == STARTS:
                        self._failed = EngineError(f"no rollout worker can be built: {self._why}")
                    self._note(f"rollout worker {place}: did not start, {self._why}")
                    self._closed.wait(min(2.0**tries, 30.0))
                    continue
                self._idle.put((place, worker))
                return

        self._starting[place] = threading.Thread(target=wait, name=f"ray {place}", daemon=True)
        self._starting[place].start()

    def _play(self, part: list[Packed], weights: Mapping[PolicyRef, Any]) -> list[bytes]:
        """A part played by whoever is idle; by another one where that one dies."""
        from ray.exceptions import RayError, RayTaskError

        for _ in range(DEATHS):
            place, worker = self._next()
            try:
                lines: list[bytes] = self._ray.get(worker.play.remote(part, weights))
            except RayTaskError as error:
                self._idle.put((place, worker))
                raise error.cause from error
            except RayError as error:  # its process, its node, or its memory
                if self._closed.is_set():
                    raise EngineError("the rollout workers were closed") from error
                self._note(f"rollout worker {place}: lost, {_line(error)}; another plays its {len(part)} episodes")
                self._ray.kill(worker)
                self._begin(place)
                continue
            self._idle.put((place, worker))
            return lines
        jobs = [p.job for p in part]
        raise EngineError(
            f"{DEATHS} rollout workers died over the episodes {jobs[0].key} to {jobs[-1].key} of {jobs[0].env}\n"
            "  their environment or their memory is at fault; `palaestra resume` goes on from the last checkpoint"
        )

    def _next(self) -> tuple[int, Any]:
        began = time.monotonic()
        while not self._closed.is_set() and time.monotonic() - began < PATIENCE_S:
            if self._failed is not None:
                raise self._failed
            try:
                return self._idle.get(timeout=1.0)
            except queue.Empty:
                continue
        if self._closed.is_set():
            raise EngineError("the rollout workers were closed")
        raise EngineError(
            f"no rollout worker is there for {PATIENCE_S:.0f} s{': ' * bool(self._why)}{self._why}\n"
            "  see `ray status`; `palaestra resume` goes on from the last checkpoint"
        )


# -- learners ----------------------------------------------------------------------------------------------------------
def parts(scenario: str, name: str) -> Parts:
    """What a rank trains: a policy of a scenario in TOML, as the driver made it before anything was learned."""
    parsed = alone(scenario)
    for spec in parsed.engines.values():
        spec.kind = "transformers" if spec.kind == "vllm" else spec.kind  # nothing is sampled here
    engine = build(parsed, start=False).engine
    return Parts(engine.live(name), engine.parameters(name), learner_settings(parsed.recipe, engine, name))


def ranks(scenario: Scenario, name: str, note: Callable[[str], None] = lambda text: None) -> Ranks:
    """`scale.learners` processes that share the weights of a policy: with Ray its actors, without on this machine.

    Raises:
        LearnerLost: one of them could not be built.
        EngineError: there is no room for them.
    """
    make = partial(parts, scenario.toml(), name)
    count = scenario.scale.learners
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not scenario.scale.ray:
        return local(make, count, device=device)
    ray, own = connect(scenario)
    one = bundle()
    group = ray.util.placement_group([one] * count, strategy="PACK")
    if not group.wait(ROOM_S):
        need = f"{count} learners of {name}, {one} each, with {free_of(ray, one)} free"
        note(f"waiting for room: {need}")
        if not group.wait(PATIENCE_S):
            ray.util.remove_placement_group(group)
            raise EngineError(f"no room for {need}\n  lower scale.learners or scale.rollouts, or add nodes")
    environment = inherited(scenario)
    handles = [RankActor(ray, placed(ray, Seat, group, place, one, environment).remote()) for place in range(count)]

    def closed() -> None:
        ray.util.remove_placement_group(group)
        if own:
            ray.shutdown()

    made = Ranks(handles, closed=closed)
    try:
        address = handles[0].call("address").result()
        for place, handle in enumerate(handles):
            handle.call("__init__", place, count, address, make, device="cuda:0" if device == "cuda" else "cpu")
        made.ready()
    except RankLost as error:
        made.close()
        raise LearnerLost(f"learner of {name}: {error}") from error
    except BaseException:
        made.close()
        raise
    return made


class Seat:
    """The actor of a rank."""

    def __init__(self) -> None:
        self._rank: Rank | None = None
        self._failed: Exception | None = None

    def _address(self) -> str:
        """Where the ranks may meet: a free port of this node."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind(("", 0))
            return f"tcp://{host}:{free.getsockname()[1]}"

    def call(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Say where the ranks may meet, make the rank (`Rank`'s arguments), or call one of its methods."""
        if method == "address":
            return self._address()
        if method == "__init__":
            try:
                self._rank = Rank(*arguments, **named)
            except Exception as error:
                self._failed = error
            return None
        if self._failed is not None:
            raise self._failed
        return getattr(self._rank, method)(*arguments, **named)


class RankActor:
    """A handle to a rank that is a Ray actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def call(self, method: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a method called."""
        from ray.exceptions import RayError, RayTaskError

        done: Future[Any] = Future()

        def tell(theirs: Future[Any]) -> None:
            error = theirs.exception()
            if error is None:
                done.set_result(theirs.result())
            elif isinstance(error, RayTaskError):
                done.set_exception(error.cause)
            elif isinstance(error, RayError):
                done.set_exception(RankLost(f"its actor is gone: {_line(error)}"))
            else:
                done.set_exception(error)

        self._actor.call.remote(method, args, kwargs).future().add_done_callback(tell)
        return done

    def close(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)


# -- what both need ---------------------------------------------------------------------------------------------------
def alone(scenario: str) -> Scenario:
    """The driver's scenario, as one process of it has it: with nothing beside it."""
    parsed = Scenario.parse(tomllib.loads(scenario))
    parsed.scale = ScaleSpec()
    return parsed


def bundle(gpus: int = 1) -> dict[str, float]:
    """What a process gets: a CPU, and where this process sees GPUs so many of them."""
    return {"CPU": 1.0, "GPU": float(gpus)} if torch.cuda.is_available() else {"CPU": 1.0}


def free_of(ray: Any, wanted: Mapping[str, float]) -> dict[str, float]:
    """How much of a bundle's resources nobody has."""
    free = ray.available_resources()
    return {resource: free.get(resource, 0.0) for resource in wanted}


def placed(
    ray: Any, kind: type, group: Any, place: int, wanted: Mapping[str, float], environment: dict[str, str]
) -> Any:
    """An actor class with its place in a placement group; `.remote(...)` starts one."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return ray.remote(kind).options(
        num_cpus=wanted["CPU"],
        num_gpus=wanted.get("GPU", 0),
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place),
        runtime_env={"env_vars": environment},
    )


def connect(scenario: Scenario) -> tuple[Any, bool]:
    """Ray, connected as `scale.ray` says, and whether it is this run's own; a connection that is there is kept.

    Raises:
        MissingExtraError: it is not installed.
        EngineError: there is none at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError('scale.ray needs Ray\n  pip install "palaestra[scale]"') from None
    scale = scenario.scale
    if ray.is_initialized():
        return ray, False
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        if scale.ray == "local":
            needed = scale.rollouts + scale.learners * len(scenario.trained)
            ray.init("local", num_cpus=max(os.cpu_count() or 1, needed), **quiet)
        else:
            ray.init(address=scale.ray, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"scale.ray = {scale.ray!r}: {_line(error)}\n"
            '  start one with `ray start --head`, or set scale.ray = "local"'
        ) from error
    return ray, scale.ray == "local"


def inherited(scenario: Scenario) -> dict[str, str]:
    """What the processes of a cluster take over from this one's environment: the keys of servers too."""
    names = {"OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "HF_HOME", "HF_TOKEN", "PYTHONPATH"}
    names |= {engine.openai.key_env for engine in scenario.engines.values() if engine.kind == "openai"}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


def _line(error: BaseException, *, last: bool = False) -> str:
    """What an error says in one line: the first, or where it quotes another error the last."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-last]
