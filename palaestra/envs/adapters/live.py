"""Sessions with servers elsewhere, for effects that have to be functions of what was called before.

An effect may be run after a fork, in another process, or again by `replay --verify`, while a server has one past only.
So a call brings the calls before it. A session that stands exactly there takes it; where there is none, a new one is
opened and the earlier calls are made again. Two episodes never share a session.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from palaestra.envs.views import _loop

Connect = Callable[[Any], AbstractAsyncContextManager[Any]]
Ask = Callable[[Any, Any], Awaitable[Any]]


class _Session:
    """A connection, held open by one task: what was entered in a task has to be left in it."""

    def __init__(self, connect: Connect, ask: Ask, origin: Any) -> None:
        self._requests: asyncio.Queue[tuple[Any, asyncio.Future[Any]] | None] = asyncio.Queue()
        self._open = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(connect(origin), ask))

    async def _hold(self, connection: AbstractAsyncContextManager[Any], ask: Ask) -> None:
        async with connection as client:
            self._open.set_result(None)
            while item := await self._requests.get():
                request, answer = item
                try:
                    answer.set_result(await ask(client, request))
                except Exception as error:
                    answer.set_exception(error)

    async def _wait(self, answer: asyncio.Future[Any], seconds: float) -> Any:
        """The answer, unless the connection ends or the time runs out before it comes."""
        await asyncio.wait({answer, self._task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self.ended:
            raise (not self._task.cancelled() and self._task.exception()) or ConnectionError("the server has ended")
        raise TimeoutError(f"no answer in {seconds:g} seconds")

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def opened(self, seconds: float) -> None:
        await self._wait(self._open, seconds)

    async def call(self, request: Any, seconds: float) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self._requests.put_nowait((request, answer))
        return await self._wait(answer, seconds)

    def close(self) -> None:
        """Leave the connection, soon; a call that hangs is given up."""
        self._requests.put_nowait(None)
        asyncio.get_running_loop().call_later(1.0, self._task.cancel)
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody asks any more


class Sessions:
    """The open sessions of this process, each under the calls that it has seen.

    Args:
        connect: origin (plain data: a command, an address) -> a context manager that gives a client.
        ask: (client, request) -> the result of one call.
        seconds: that a call may take; opening may take three times as long.
        keep: sessions between two calls; beyond, the one that waited longest is closed.
    """

    def __init__(self, connect: Connect, ask: Ask, *, seconds: float = 30.0, keep: int = 256) -> None:
        self._connect, self._ask, self._seconds, self._keep = connect, ask, seconds, keep
        self._process = 0
        self._waiting: OrderedDict[str, list[_Session]] = OrderedDict()

    async def call(self, origin: Any, earlier: list[Any], request: Any, *, remembers: bool = True) -> Any:
        """The result of a request after the earlier ones. May be awaited in any loop.

        Where the server does not remember, its session stands after the call where it stood before.

        Raises:
            Exception: whatever the connection raises; `TimeoutError` where no answer comes.
        """
        return await self._there(self._call(origin, earlier, request, remembers))

    async def close(self, origin: Any, earlier: list[Any]) -> None:
        """Close a session that stands after these calls, if there is one."""
        await self._there(self._close(origin, earlier))

    async def _there(self, coroutine: Any) -> Any:
        if self._process != os.getpid():  # connections are not forked
            self._process, self._waiting = os.getpid(), OrderedDict()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, _loop(os.getpid())))

    async def _call(self, origin: Any, earlier: list[Any], request: Any, remembers: bool) -> Any:
        session = self._take(origin, earlier)
        fresh = session is None
        if session is None:
            session = _Session(self._connect, self._ask, origin)
        try:
            if fresh:
                await session.opened(3 * self._seconds)
                for past in earlier:
                    await session.call(past, self._seconds)
            result = await session.call(request, self._seconds)
        except BaseException:
            session.close()
            raise
        seen = [*earlier, request] if remembers else earlier
        self._waiting.setdefault(_key(origin, seen), []).append(session)
        if sum(map(len, self._waiting.values())) > self._keep:
            _, oldest = self._waiting.popitem(last=False)
            for old in oldest:
                old.close()
        return result

    async def _close(self, origin: Any, earlier: list[Any]) -> None:
        if session := self._take(origin, earlier):
            session.close()

    def _take(self, origin: Any, earlier: list[Any]) -> _Session | None:
        sessions = self._waiting.pop(key := _key(origin, earlier), [])
        alive = [s for s in sessions if not s.ended]
        if alive[1:]:
            self._waiting[key] = alive[1:]
        return alive[0] if alive else None


def _key(origin: Any, calls: list[Any]) -> str:
    return json.dumps([origin, calls], sort_keys=True)
