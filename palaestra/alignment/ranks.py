"""A learner that is several processes: one object with the learner's methods, and a `Rank` behind each of its handles.

A handle is anything that carries a method call to a `Rank` elsewhere and gives a future; `local` starts processes on
this machine. What leaves this process is rows, names and numbers; weights only where they are asked for. The parts of
one step must meet, so a rank is never replaced on its own: all end, and new ones restore a checkpoint.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from palaestra.alignment.learner import Learner, Scores, validate
from palaestra.alignment.objectives import Objective
from palaestra.alignment.rows import Row, UnitCounts, ValueRow, merge
from palaestra.alignment.sharding import (
    Peers,
    deal,
    full_state_dict,
    join,
    load_full_state_dict,
    restore,
    save,
    shard,
    shard_value_head,
)
from palaestra.errors import EngineError, PalaestraError, UnknownNameError, nearest


class Parts(NamedTuple):
    """What a process trains. The function that makes it must give the same weights in every process."""

    module: nn.Module
    parameters: Mapping[str, Parameter]
    settings: Mapping[str, Any] = {}
    """Keyword arguments of `Learner`."""
    others: Mapping[str, nn.Module] = {}
    """Further models, which only score rows, by name."""


class Rank:
    """One of the processes: its shards, and a learner over them. Every rank must get every call."""

    def __init__(
        self,
        rank: int,
        world: int,
        address: str,
        build: Callable[[], Parts],
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        """Meet the others, build the model, keep a part of it.

        Args:
            rank: from 0.
            world: how many there are.
            address: where they meet; see `sharding.join`.
            build: makes the whole model, on the CPU or on `device`.
            device: of this process, "cpu" or such as "cuda:0".
            dtype: what the transformer computes in; None: as its weights are.
            timeout_s: how long to wait for the others in one exchange.
        """
        mesh = join(rank, world, address, device=device, timeout_s=timeout_s)
        parts = build()
        parameters = shard(parts.module, parts.parameters, mesh, dtype=dtype)
        settings = dict(parts.settings)
        if settings.get("value_head") is not None:
            shard_value_head(settings["value_head"], mesh)
        self.module, self.others = parts.module, dict(parts.others)
        for other in self.others.values():
            shard(other, {}, mesh, dtype=dtype)
        self.learner = Learner(parts.module, parameters, peers=Peers(mesh, dtype), **settings)

    def ready(self) -> None:
        """Nothing: it is answered when the rank is built."""

    def forward_backward(
        self,
        rows: Sequence[Row],
        objective: Objective | str,
        reference: Sequence[Scores] | str | None,
        proximal: Sequence[Scores] | None,
        **settings: Any,
    ) -> dict[str, float]:
        """As the learner's, for the rows of this rank; a reference may be the name of another model."""
        against = self._named(reference) if isinstance(reference, str) else reference
        return self.learner.forward_backward(rows, objective, reference=against, proximal=proximal, **settings)

    def optim_step(self) -> dict[str, float]:
        """As the learner's."""
        return self.learner.optim_step()

    def logprobs(self, name: str | None, rows: Sequence[Row]) -> list[Scores]:
        """Scores of this rank's rows by the trained model, or by another one."""
        if name is None:
            self.learner.activate()
        return self.learner.logprobs(self._named(name), rows)

    def values(self, rows: Sequence[ValueRow]) -> list[list[float]]:
        """As the learner's, for the rows of this rank."""
        return self.learner.values(rows)

    def snapshot(self) -> dict[str, Tensor]:
        """The trained parameters, for rank 0."""
        return self.learner.snapshot()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put back a snapshot, which rank 0 has."""
        self.learner.load(weights)

    def state_dict(self) -> dict[str, Any]:
        """The learner's state, with its tensors for rank 0."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state, which rank 0 has."""
        self.learner.load_state_dict(state)

    def module_state(self, name: str | None) -> dict[str, Tensor]:
        """All weights of the trained model or of another one, for rank 0."""
        return full_state_dict(self._named(name))

    def load_module(self, name: str | None, state: Mapping[str, Tensor]) -> None:
        """Put in all weights, which rank 0 has."""
        load_full_state_dict(self._named(name), state)

    def save(self, folder: str) -> None:
        """Write this rank's part of a checkpoint."""
        save(self.learner, folder)

    def restore(self, folder: str) -> None:
        """Read this rank's part of a checkpoint."""
        restore(self.learner, folder)

    def _named(self, name: str | None) -> nn.Module:
        if name is None:
            return self.module
        if name not in self.others:
            raise UnknownNameError(f"no model {name!r} beside the trained one\n  {nearest(name, self.others)}")
        return self.others[name]


class RankLost(EngineError):
    """The process of a rank has ended."""


class LearnerLost(EngineError):
    """A rank is gone or silent, and so is what the ranks had in common; a checkpoint has the rest."""


class Handle(Protocol):
    """A way to a `Rank`. Calls are carried out in order; a future fails with what the rank raised."""

    def call(self, method: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a method called. The future fails with `RankLost` when the process ends, however it does."""

    def close(self) -> None:
        """End the rank, whatever it is doing; its open futures fail."""


class Ranks:
    """The learner's methods, carried out by ranks. Rows are dealt to them by tokens; metrics are over all rows.

    When a rank dies or falls silent all are ended and every call raises `EngineError`: the others may be waiting for
    it in the middle of a step. Build new ranks and restore a checkpoint.
    """

    def __init__(
        self,
        handles: Sequence[Handle],
        *,
        timeout_s: float = 3600.0,
        grace_s: float = 30.0,
        closed: Callable[[], object] = lambda: None,
    ) -> None:
        """A learner over handles in order of rank.

        Args:
            handles: one a rank.
            timeout_s: longest time of one call.
            grace_s: how long the other ranks may go on after one of them has failed, before all are ended.
            closed: called when all have been ended.
        """
        self.handles = list(handles)
        self.timeout_s, self.grace_s = timeout_s, grace_s
        self._closed = closed
        self._open = True
        self._broken: str | None = None

    def __len__(self) -> int:
        return len(self.handles)

    def ready(self) -> None:
        """Wait until every rank is built."""
        self._all("ready")

    # -- the learner's methods -----------------------------------------------------------------------------------
    def forward_backward(
        self,
        rows: Sequence[Row],
        objective: Objective | str,
        *,
        reference: Sequence[Scores] | str | None = None,
        proximal: Sequence[Scores] | None = None,
        coefficients: Mapping[str, float] | None = None,
        units: UnitCounts | None = None,
    ) -> dict[str, float]:
        """As `Learner.forward_backward`; a reference is scores by row, or the name of another model of `Parts`."""
        validate(rows, coefficients or {}, reference)
        scores = None if reference is None or isinstance(reference, str) else reference
        whole = merge(rows) if scores is None and proximal is None else list(rows)
        shares = deal(whole, len(self))
        each = [
            (
                [whole[i] for i in share],
                objective,
                reference if scores is None else [scores[i] for i in share],
                None if proximal is None else [proximal[i] for i in share],
            )
            for share in shares
        ]
        metrics: dict[str, float] = self._all("forward_backward", each, coefficients=coefficients, units=units)[0]
        return metrics

    def optim_step(self) -> dict[str, float]:
        """As `Learner.optim_step`."""
        metrics: dict[str, float] = self._all("optim_step")[0]
        return metrics

    def logprobs(self, module: str | None, rows: Sequence[Row]) -> list[Scores]:
        """What the trained model (None), or another one of `Parts` by name, says of each row."""
        return self._scattered("logprobs", rows, module)

    def present(self, rows: Sequence[Row]) -> list[Scores]:
        """As `Learner.present`."""
        return self.logprobs(None, rows)

    def values(self, rows: Sequence[ValueRow]) -> list[list[float]]:
        """As `Learner.values`."""
        return self._scattered("values", rows)

    def snapshot(self) -> dict[str, Tensor]:
        """CPU copies of the trained parameters, whole."""
        weights: dict[str, Tensor] = self._all("snapshot")[0]
        return weights

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put a snapshot back into the parameters."""
        self._all("load", self._for_first(weights))

    def state_dict(self) -> dict[str, Any]:
        """As `Learner.state_dict`: fits any number of ranks, and a learner without."""
        state: dict[str, Any] = self._all("state_dict")[0]
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._all("load_state_dict", self._for_first(state))

    # -- more than a learner has ---------------------------------------------------------------------------------
    def module_state(self, module: str | None = None) -> dict[str, Tensor]:
        """All weights of the trained model (None), or of another one by name."""
        state: dict[str, Tensor] = self._all("module_state", [(module,)] * len(self))[0]
        return state

    def load_module(self, state: Mapping[str, Tensor], module: str | None = None) -> None:
        """Put all weights into the trained model (None), or into another one, such as a reference that is renewed."""
        self._all("load_module", [(module, *own) for own in self._for_first(state)])

    def save(self, folder: Path | str) -> None:
        """Write a checkpoint, each rank its part; the folder must be one that all can see."""
        self._all("save", [(str(folder),)] * len(self))

    def restore(self, folder: Path | str) -> None:
        """Continue from a checkpoint of any number of ranks."""
        self._all("restore", [(str(folder),)] * len(self))

    def close(self) -> None:
        """End all ranks; again does nothing."""
        if not self._open:
            return
        self._open = False
        for handle in self.handles:
            handle.close()
        self._closed()
        self._broken = self._broken or "the ranks of this learner were closed"

    # -- calls ---------------------------------------------------------------------------------------------------
    def _for_first(self, thing: Mapping[str, Any]) -> list[tuple[Mapping[str, Any]]]:
        """Arguments that only rank 0 needs."""
        return [(thing,), *[({},)] * (len(self) - 1)]

    def _scattered(self, method: str, rows: Sequence[Row], *first: Any) -> list[Any]:
        """A call whose answers are one a row."""
        shares = deal(rows, len(self))
        parts = self._all(method, [(*first, [rows[i] for i in share]) for share in shares])
        out: list[Any] = [None] * len(rows)
        for share, part in zip(shares, parts, strict=True):
            for i, answer in zip(share, part, strict=True):
                out[i] = answer
        return out

    def _all(self, method: str, each: Sequence[tuple[Any, ...]] | None = None, **kwargs: Any) -> list[Any]:
        """Every rank's answer, by rank.

        Raises:
            LearnerLost: a rank died, failed in an unforeseen way, or did not answer.
        """
        if self._broken:
            raise LearnerLost(f"{self._broken}\n  build the ranks anew and restore a checkpoint")
        arguments = each or [()] * len(self)
        futures = [h.call(method, *args, **kwargs) for h, args in zip(self.handles, arguments, strict=True)]
        wait(futures, timeout=self.timeout_s, return_when=FIRST_EXCEPTION)
        errors = _errors(futures)
        if errors and not any(isinstance(e, RankLost) for e in errors.values()):
            wait(futures, timeout=self.grace_s)  # the others may be done soon, or say which rank has died
            errors = _errors(futures)
        silent = [rank for rank, future in enumerate(futures) if not future.done()]
        if not errors and not silent:
            return [future.result() for future in futures]
        lost = [rank for rank, e in errors.items() if isinstance(e, RankLost)]
        rank = min(lost or errors or silent)
        err = errors.get(rank)
        if isinstance(err, PalaestraError) and not lost and not silent:
            raise err  # a mistake of the caller's: all ranks are well and wait for the next call
        what = f"{type(err).__name__}: {err}" if err else f"no answer in {self.timeout_s:g} s"
        self._broken = f"learner, rank {rank} of {len(self)}, {method}: {what}"
        self.close()
        raise LearnerLost(f"{self._broken}\n  build the ranks anew and restore a checkpoint") from err


def _errors(futures: Sequence[Future[Any]]) -> dict[int, BaseException]:
    return {r: e for r, f in enumerate(futures) if f.done() and (e := f.exception())}


# -- processes on this machine ---------------------------------------------------------------------------------------
def local(build: Callable[[], Parts], world: int, *, timeout_s: float = 3600.0, **settings: Any) -> Ranks:
    """Ranks in processes of this machine.

    Args:
        build: as for `Rank`; it is pickled, so a function of a module, or a `functools.partial` of one.
        world: how many.
        timeout_s: longest time of one call.
        settings: of `Rank`. `device="cuda"` gives each rank the accelerator of its number.
    Raises:
        EngineError: a rank could not be built.
    """
    folder = tempfile.TemporaryDirectory(prefix="ranks-")
    device = settings.pop("device", "cpu")
    handles: list[Process] = []
    for rank in range(world):
        own = {**settings, "device": f"{device}:{rank}" if device == "cuda" else device}
        handles.append(Process(partial(Rank, rank, world, f"file://{folder.name}/meet", build, **own)))
    ranks = Ranks(handles, timeout_s=timeout_s, closed=folder.cleanup)
    try:
        ranks.ready()
    except BaseException:
        ranks.close()
        raise
    return ranks


class Process:
    """A handle to a rank in a process of its own."""

    def __init__(self, make: Callable[[], Rank]) -> None:
        """Start the process; `make` is pickled, and what it raises there is the answer to every call."""
        context = multiprocessing.get_context("spawn")  # a forked torch may hang
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, pickle.dumps(make)), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the process does
        self._open: deque[Future[Any]] = deque()
        self._lock = threading.Lock()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a method called."""
        future: Future[Any] = Future()
        message = pickle.dumps((method, args, kwargs))
        with self._lock:
            if self._ended:
                future.set_exception(self._lost())
                return future
            self._open.append(future)
            with suppress(OSError):  # then the reader will see the end of the pipe, and fail this future
                self._pipe.send_bytes(message)
        return future

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()

    def _read(self) -> None:
        """Answers, as they come, to the oldest open call."""
        while True:
            try:
                well, answer = pickle.loads(self._pipe.recv_bytes())
            except (EOFError, OSError):
                break
            future = self._open.popleft()
            future.set_result(answer) if well else future.set_exception(answer)
        self.process.join()
        with self._lock:
            self._ended = True
            for future in self._open:
                future.set_exception(self._lost())

    def _lost(self) -> RankLost:
        return RankLost(f"its process {self.process.pid} ended with exit code {self.process.exitcode}")


def _serve(pipe: Connection, make: bytes) -> None:
    """The life of a process: make the rank, then answer calls until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which finishes its step with us
    rank: Rank | None = None
    failed: Exception | None = None
    try:
        rank = pickle.loads(make)()
    except Exception as err:
        failed = err
    while True:
        try:
            method, args, kwargs = pickle.loads(pipe.recv_bytes())
        except EOFError:
            return
        try:
            if rank is None:
                assert failed is not None
                raise failed
            answer = True, getattr(rank, method)(*args, **kwargs)
        except Exception as err:
            answer = False, _portable(err)
        pipe.send_bytes(pickle.dumps(answer))


def _portable(err: Exception) -> Exception:
    """The error, or where it cannot travel one that says the same."""
    try:
        pickle.loads(pickle.dumps(err))
    except Exception:
        return EngineError(f"{type(err).__name__}: {err}")
    return err
