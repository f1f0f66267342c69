"""Playing an episode, and playing many at once."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal, NamedTuple, TypeVar

from palaestra.agents.batching import Batcher, current, enter, gather
from palaestra.agents.episode import Episode, Failure
from palaestra.agents.policy import Cast, Scripted
from palaestra.envs.registry import env_class
from palaestra.envs.script import Request, ScriptedEnv
from palaestra.errors import EngineError, EnvError, MismatchError, ScenarioError, nearest

T = TypeVar("T")


async def play(env: ScriptedEnv, cast: Cast, seed: int, key: str = "") -> Episode:
    """One episode, seed to end. `key` names it in every random draw (default: the seed).

    What goes wrong on the way breaks off this episode only, and is recorded as its `failure`.

    Raises:
        MismatchError: an engine samples from other weights than it should; that is wrong for every episode.
    """
    key = key or str(seed)
    table = {seat: cast[seat].sit(seat, key) for seat in env.seats}
    failure = None

    async def answer(request: Request) -> Any:
        return await tool(request) if request.kind == "effect" else await table[request.seat].answer(request)

    try:
        env.start(seed)
        while waiting := env.waiting:
            answers = await gather(*(answer(request) for request in waiting.values()))
            env.submit(dict(zip(waiting, answers, strict=True)))
    except MismatchError:
        raise
    except Exception as error:
        failure = Failure(_boundary(error), f"{type(error).__name__}: {error}")
    trajectories = [t for sitter in table.values() for t in sitter.trajectories()]
    return Episode(key, env.transcript, {s: cast[s].label for s in env.seats}, trajectories, failure=failure)


async def tool(request: Request) -> Any:
    """The result of an effect: in a thread, while other episodes go on; a coroutine in this loop."""
    batcher = current()
    result = await batcher.run_tool(request.run) if batcher else request.run()
    return await result if inspect.isawaitable(result) else result


def _boundary(error: Exception) -> str:
    return "engine" if isinstance(error, EngineError) else "env" if isinstance(error, EnvError) else "agent"


class Job(NamedTuple):
    """An episode that is to be played. `group` marks episodes of one instance that share a baseline."""

    env: str
    params: dict[str, Any]
    cast: Cast
    seed: int
    key: str
    group: str = ""
    purpose: Literal["train", "eval", "play"] = "play"


class Envs:
    """Environments that are used again: an environment that has ended may start anew."""

    def __init__(self) -> None:
        self._idle: dict[str, list[ScriptedEnv]] = {}

    def take(self, job: Job) -> ScriptedEnv:
        idle = self._idle.get(self._key(job))
        return idle.pop() if idle else env_class(job.env)(**job.params)

    def give_back(self, job: Job, env: ScriptedEnv) -> None:
        self._idle.setdefault(self._key(job), []).append(env)

    @staticmethod
    def _key(job: Job) -> str:
        return job.env + json.dumps(job.params, sort_keys=True)


async def rollout(
    jobs: Iterable[Job],
    *,
    live: int = 256,
    workers: int = 4,
    envs: Envs | None = None,
    on_episode: Callable[[Episode], None] | None = None,
) -> list[Episode]:
    """Play all jobs at once and hand the episodes over in the order of the jobs.

    `live` bounds the completions that may be under way: a job counts as many as it has seats that are no scripted
    player (at least one). The same jobs give the same batches, in whatever time they run.
    """
    envs = envs or Envs()
    batcher = Batcher(workers)
    waiting = list(enumerate(jobs))[::-1]
    done: dict[int, Episode] = {}
    tasks: set[asyncio.Task[None]] = set()
    handed = load = 0

    def weight(job: Job) -> int:
        return max(1, sum(not isinstance(p, Scripted) for p in job.cast.values()))

    async def one(index: int, job: Job) -> None:
        nonlocal load, handed
        enter(batcher, index)
        env = envs.take(job)
        episode = await play(env, job.cast, job.seed, job.key)
        envs.give_back(job, env)
        episode.group, episode.purpose = job.group, job.purpose
        done[index] = episode
        while on_episode and handed in done:
            on_episode(done[handed])
            handed += 1
        load -= weight(job)
        admit()
        batcher.idle()

    def admit() -> None:
        nonlocal load
        while waiting and (not load or load + weight(waiting[-1][1]) <= live):
            index, job = waiting.pop()
            load += weight(job)
            batcher.running += 1
            task = asyncio.ensure_future(one(index, job))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    try:
        admit()
        while tasks:
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        batcher.close()
    return [done[i] for i in range(len(done))]


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; also where an event loop is already running (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    result: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(coroutine))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def check_cast(env: ScriptedEnv, cast: Cast) -> None:
    """Every seat has a policy, and no policy sits nowhere.

    Raises:
        ScenarioError: names the seat.
    """
    for seat in env.seats:
        if seat not in cast:
            raise ScenarioError(f"{env.name()}: nobody sits in {seat}\n  cast {', '.join(env.seats)}")
    for seat in cast:
        if seat not in env.seats:
            raise ScenarioError(f"{env.name()}: no seat {seat!r}\n  {nearest(seat, env.seats)}")
