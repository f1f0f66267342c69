"""Batches by rule, never by time: everybody who can run runs, then everybody who waits is served at once.

Episodes are coroutines. One of them waits when it has asked an engine or a tool; when all of them wait, the batcher
serves everything that was asked, in the order of submission: tools start in threads, engines work meanwhile, and
only when all is done do the episodes go on. So what lies in a batch depends on what was asked, not on the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Batched(Protocol):
    """An engine that serves many jobs of one kind at once; results in the order of the jobs."""

    def serve(self, kind: str, jobs: list[Any]) -> list[Any]: ...


class Batcher:
    """Counts who runs; serves all waiters when nobody does."""

    def __init__(self, workers: int = 4) -> None:
        self.running = 0
        self._queue: list[tuple[tuple[int, ...], Any, str, Any, asyncio.Future[Any]]] = []
        self._tools = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="tool")

    async def ask(self, engine: Batched, kind: str, job: Any) -> Any:
        """The engine's answer to one job."""
        return await self._wait(engine, kind, job)

    async def run_tool(self, function: Callable[[], Any]) -> Any:
        """The result of `function`, run in a thread while engines work."""
        return await self._wait(None, "tool", function)

    async def _wait(self, engine: Batched | None, kind: str, job: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((_rank.get(), engine, kind, job, future))
        self.running -= 1
        if not self.running:
            self._serve()
        return await future

    def idle(self) -> None:
        """One who ran has stopped (an episode has ended): perhaps now everybody waits."""
        self.running -= 1
        if not self.running and self._queue:
            self._serve()

    def _serve(self) -> None:
        queue, self._queue = sorted(self._queue, key=lambda entry: entry[0]), []
        self.running += len(queue)
        tools = [(self._tools.submit(job), future) for _, engine, _, job, future in queue if engine is None]
        kinds: dict[tuple[int, str], list[tuple[Any, Any, asyncio.Future[Any]]]] = {}
        for _, engine, kind, job, future in queue:
            if engine is not None:
                kinds.setdefault((id(engine), kind), []).append((engine, job, future))
        for (_, kind), entries in kinds.items():
            try:
                answers = entries[0][0].serve(kind, [job for _, job, _ in entries])
            except Exception as error:
                for _, _, future in entries:
                    future.set_exception(error)
                continue
            for (_, _, future), answer in zip(entries, answers, strict=True):
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        for result, future in tools:
            try:
                future.set_result(result.result())
            except Exception as error:
                future.set_exception(error)

    def close(self) -> None:
        self._tools.shutdown(wait=False, cancel_futures=True)


_batcher: ContextVar[Batcher | None] = ContextVar("batcher", default=None)
_rank: ContextVar[tuple[int, ...]] = ContextVar("rank", default=())


def current() -> Batcher | None:
    """The batcher of this task, if it runs under a scheduler."""
    return _batcher.get()


async def serve(engine: Batched, kind: str, job: Any) -> Any:
    """An engine's answer to one job: batched under a scheduler, alone otherwise."""
    batcher = _batcher.get()
    if batcher is not None:
        return await batcher.ask(engine, kind, job)
    answer = engine.serve(kind, [job])[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


async def apart(awaitable: Awaitable[T]) -> T:
    """The result of something that is served elsewhere: the others go on, and are not waited for with it."""
    batcher = _batcher.get()
    if batcher is None:
        return await awaitable
    batcher.idle()
    try:
        return await awaitable
    finally:
        batcher.running += 1


async def gather(*awaitables: Awaitable[T]) -> list[T]:
    """`asyncio.gather` that keeps the batcher's count: the caller rests while its parts run."""
    if len(awaitables) == 1:
        return [await awaitables[0]]
    batcher = _batcher.get()
    if batcher is None:
        return list(await asyncio.gather(*awaitables))
    rank = _rank.get()
    batcher.running += len(awaitables)

    async def part(index: int, awaitable: Awaitable[T]) -> T:
        _rank.set((*rank, index))
        try:
            return await awaitable
        finally:
            done()

    left = len(awaitables)

    def done() -> None:
        nonlocal left
        left -= 1
        if left:  # the last part to finish hands its place in the count to the caller
            batcher.idle()

    tasks = [asyncio.ensure_future(part(i, a)) for i, a in enumerate(awaitables)]
    batcher.running -= 1
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def enter(batcher: Batcher, rank: int) -> None:
    """Make `batcher` the one of the current task, which holds place `rank` in every queue."""
    _batcher.set(batcher)
    _rank.set((rank,))


async def together(*awaitables: Awaitable[T]) -> list[T]:
    """`gather` under a batcher of its own: what engines are asked at once is served at once."""
    batcher = Batcher()
    batcher.running = 1
    enter(batcher, 0)
    try:
        return await gather(*awaitables)
    finally:
        batcher.close()
