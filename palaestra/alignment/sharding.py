"""One learner over several processes: FSDP2 shards, what they tell each other, and checkpoints for any number of them.

Every process has a `Learner` whose module was sharded here, and calls the same methods with its own rows (`deal`).
A forward or backward pass gathers weights and scatters gradients, in which all processes must take part; so all run
the same number of passes, the missing ones with no rows, and every pass reaches the same parameters. The numbers are
those of one process with all rows, up to the order of the sums.

Source: arXiv 2304.11277 (FSDP), in the per-parameter form of `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as load_parts
from torch.distributed.checkpoint.state_dict_saver import save as save_parts
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter

from palaestra.alignment.layers import transformer_layers
from palaestra.alignment.learner import Learner, causal_lm
from palaestra.alignment.packing import needed
from palaestra.alignment.rows import Row
from palaestra.errors import CheckpointError

T = TypeVar("T")


# -- processes -------------------------------------------------------------------------------------------------------
def join(rank: int, world: int, address: str, *, device: str = "cpu", timeout_s: float = 600.0) -> DeviceMesh:
    """Meet the other processes, once in the life of a process; the mesh of all of them.

    Args:
        rank: of this process, from 0.
        world: how many there are.
        address: where they meet, the same for all: "tcp://host:port" on the host of rank 0, or "file:///path" of a
            file that does not exist yet and that all can see.
        device: "cpu" (gloo) or this process's accelerator, such as "cuda:0" (nccl; objects still go through gloo).
        timeout_s: how long a process waits for the others in one exchange before it fails.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(torch.device(device))
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    limit = timedelta(seconds=timeout_s)
    dist.init_process_group(backend, init_method=address, rank=rank, world_size=world, timeout=limit)
    return init_device_mesh(kind, (world,))


@dataclass(frozen=True)
class Peers:
    """The processes that train the same weights, as one of them sees them. Each method is for all of them at once."""

    mesh: DeviceMesh
    dtype: torch.dtype | None = None
    """What the transformer computes in; None: as its weights are."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return self.mesh.get_rank()

    @property
    def world(self) -> int:
        """How many processes there are."""
        return self.mesh.size()

    def gather(self, own: T) -> list[T]:
        """What every process gave, by rank."""
        every: list[Any] = [None] * self.world
        dist.all_gather_object(every, own, group=self.mesh.get_group())
        return every

    def within(self, lm: Any, compute: Callable[[], T]) -> T:
        """What `compute` returns while the root's own weights (embeddings, norm, head) are gathered.

        A sharded model does this in its own forward; the learner calls parts of the model one by one.
        """
        return getattr(lm, RUN)(compute) if isinstance(lm, FSDPModule) else compute()  # type: ignore[no-any-return]

    def full(self, tensor: Tensor) -> Tensor:
        """The whole of a sharded tensor, everywhere; another tensor as it is."""
        whole: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        return whole

    def shard_of(self, full: Tensor | None, like: Tensor) -> Tensor:
        """This process's part of the tensor that rank 0 gives, laid out as `like`."""
        given = torch.empty(like.shape, dtype=like.dtype, device=like.device)
        if self.rank == 0:
            assert full is not None
            given.copy_(full)
        dist.broadcast(given, group=self.mesh.get_group(), group_src=0)
        if not isinstance(like, DTensor):
            return given
        return distribute_tensor(given, like.device_mesh, like.placements, src_data_rank=None)


# -- shards ----------------------------------------------------------------------------------------------------------
def shard(
    module: nn.Module,
    parameters: Mapping[str, Parameter],
    mesh: DeviceMesh,
    *,
    dtype: torch.dtype | None = None,
) -> dict[str, Parameter]:
    """Spread a model's weights over the processes, in place; the parameters to train, by the same names, afterwards.

    Each transformer layer is a unit that is gathered for its own forward and backward; all else (embeddings, final
    norm, head: whether tied or not) is another. What is not among `parameters` is frozen.

    Args:
        module: a Hugging Face causal language model or a peft model around one, the same weights in every process.
        parameters: what is trained, of `module`. Empty for a model that only scores.
        mesh: of one dimension.
        dtype: what weights are cast to for the forward and backward pass, while shards, gradients and the optimizer
            stay as the weights are, and gradients are summed in float32. None: no cast.
    """
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    trained = {id(p): name for name, p in parameters.items()}
    theirs = {n: trained.get(id(p)) for n, p in module.named_parameters()}
    for name, p in module.named_parameters():
        p.requires_grad_(theirs[name] is not None)
    lm = causal_lm(module)
    for layer in transformer_layers(lm):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    # By default a root stays gathered after its forward; a step taken after a scoring pass would then not reach it.
    fully_shard(lm, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    setattr(lm, RUN, _run)
    register_fsdp_forward_method(lm, RUN)
    now = {own: p for n, p in module.named_parameters() if (own := theirs[n]) is not None}
    return {name: now[name] for name in parameters}


RUN = "run_gathered"
"""A method of a sharded model, beside `forward`, that runs what it is given with the root's weights gathered."""


def _run(compute: Callable[[], T]) -> T:
    return compute()


def shard_value_head(head: nn.Module, mesh: DeviceMesh) -> None:
    """Spread a value head as well, in float32, so that all trained parameters are of one kind."""
    fully_shard(head, mesh=mesh, reshard_after_forward=True)


def full_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """All weights of a sharded module on the CPU of rank 0; elsewhere empty."""
    state = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def load_full_state_dict(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put all weights into a sharded module; only rank 0's `state` is read."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(module, dict(state), options=options)


# -- rows ------------------------------------------------------------------------------------------------------------
def deal(rows: Sequence[Row], world: int) -> list[list[int]]:
    """Which rows each rank gets, by index, so that all compute about the same number of tokens.

    Rows are cut in lexicographic order, in which neighbors share prefixes, so that a rank that gets a shared prefix
    computes it once; a row costs the tokens that the one before it does not have. A rank is off the mean by at most
    one row at either end, and some are empty where there are few rows. The same rows are always dealt the same way.
    """
    order = sorted(range(len(rows)), key=lambda i: needed(rows[i])[0])
    cost: list[int] = []
    before: tuple[int, ...] = ()
    for i in order:
        ids, more = needed(rows[i])
        shared = next(
            (t for t, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), min(len(before), len(ids))
        )
        cost.append(len(ids) - shared + more)
        before = ids
    middle = np.cumsum(cost) - np.asarray(cost) / 2
    ranks = np.minimum(middle * world // max(sum(cost), 1), world - 1).astype(int)
    return [[i for i, at in zip(order, ranks, strict=True) if at == rank] for rank in range(world)]


# -- checkpoints -----------------------------------------------------------------------------------------------------
def save(learner: Learner, folder: Path | str) -> None:
    """Write trained weights, optimizer, value head and step counter; every process writes its own part.

    What is written can be read by any number of processes, and by a learner that is not sharded.
    """
    with _quietly():
        save_parts(_tensors(learner, _moments(learner)), checkpoint_id=str(folder), no_dist=learner.peers is None)


def read(folder: Path | str) -> dict[str, Tensor]:
    """What `save` wrote, by name and whole, wherever it came from."""
    saved = FileSystemReader(str(folder)).read_metadata().state_dict_metadata
    state = {key: torch.zeros(of.size, dtype=of.properties.dtype) for key, of in saved.items()}  # type: ignore[union-attr]
    with _quietly():
        load_parts(state, checkpoint_id=str(folder), no_dist=True)
    return state


def restore(learner: Learner, folder: Path | str) -> None:
    """Continue from what `save` wrote, whatever the number of processes was then.

    Raises:
        CheckpointError: there is none, or it belongs to other parameters.
    """
    try:
        saved = FileSystemReader(str(folder)).read_metadata().state_dict_metadata
    except (OSError, ValueError) as err:
        raise CheckpointError(f"{folder}: no checkpoint of a learner\n  {err}") from err
    names = {key.removeprefix(WEIGHT) for key in saved if key.startswith(WEIGHT)}
    if odd := sorted(names ^ learner.parameters.keys()):
        raise CheckpointError(f"{folder}: not of these parameters ({', '.join(odd[:3])})")
    moments: dict[str, dict[str, Tensor]] = {}
    for name, p in learner.parameters.items():  # one without moments never had a gradient
        found = [key for key in saved if key.startswith(MOMENT + name + ":")]
        moments[name] = {
            key.rpartition(":")[2]: torch.zeros_like(p.detach() if saved[key].size else torch.zeros(()))  # type: ignore[union-attr]
            for key in found
        }
    state = _tensors(learner, moments)
    with _quietly():  # into the parameters themselves
        load_parts(state, checkpoint_id=str(folder), no_dist=learner.peers is None)
    learner.step, learner.skipped = map(int, state[COUNTS].tolist())
    for name, p in learner.parameters.items():
        learner.optimizer.state.pop(p, None)
        if moments[name]:
            learner.optimizer.state[p] = moments[name]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's warning that a single process is a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


WEIGHT, MOMENT, COUNTS = "weight:", "moment:", "step, skipped"


def _moments(learner: Learner) -> dict[str, dict[str, Tensor]]:
    return {name: dict(learner.optimizer.state.get(p, {})) for name, p in learner.parameters.items()}


def _tensors(learner: Learner, moments: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Everything that the next step depends on as a flat dictionary."""
    out: dict[str, Tensor] = {COUNTS: torch.tensor([learner.step, learner.skipped])}
    out |= {WEIGHT + name: p.detach() for name, p in learner.parameters.items()}
    return out | {f"{MOMENT}{name}:{key}": t for name, own in moments.items() for key, t in own.items()}
