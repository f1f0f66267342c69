"""A run is one directory, readable by hand, that survives Ctrl-C and kill -9.

    scenario.toml  run.json  metrics.jsonl  alerts.jsonl  league.json
    episodes/step-000001.jsonl   eval/step-000000.jsonl, gold-000000.json
    checkpoints/step-000020/     state.json, and state.pt with the weights; learner-NAME/ where several share them
    versions/player@20.safetensors

A checkpoint lies on a step boundary: it is written to a new directory, flushed, and renamed, so it is there whole or
not at all. Resuming takes the last one, forgets whatever was written after it, and goes on.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file

from palaestra import __version__
from palaestra.agents.episode import Episode, EpisodeWriter, PolicyRef, read_episodes
from palaestra.errors import CheckpointError

Weights = dict[str, torch.Tensor]
STEP = re.compile(r"step-(\d+)(?:\.jsonl)?$")


class RunDir:
    """The files of one run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    # -- beginning and describing
    @classmethod
    def create(cls, path: Path, scenario: str, *, seed: int, command: str = "") -> RunDir:
        """A new run directory.

        Raises:
            CheckpointError: there is a run in it already.
        """
        if (path / "run.json").exists():
            raise CheckpointError(f"{path}: there is a run here already\n  palaestra resume {path}")
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        write_atomically(path / "scenario.toml", scenario.encode())
        run.describe(
            version=__version__,
            command=command,
            seed=seed,
            status="running",
            started=time.strftime("%Y-%m-%dT%H:%M:%S"),
            seconds=0.0,
            python=platform.python_version(),
            torch=torch.__version__,
            cores=os.cpu_count(),
            threads=torch.get_num_threads(),
        )
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunDir:
        """An existing run.

        Raises:
            CheckpointError: no run lies there.
        """
        run = cls(path)
        if not (run.path / "run.json").exists():
            raise CheckpointError(f"{path}: no run here (no run.json)\n  a run is made by `palaestra train`")
        return run

    @property
    def info(self) -> dict[str, Any]:
        """`run.json`."""
        data: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        return data

    def describe(self, **facts: Any) -> None:
        """Add facts to `run.json`."""
        old = self.info if (self.path / "run.json").exists() else {}
        write_atomically(self.path / "run.json", json.dumps({**old, **facts}, indent=1).encode())

    @property
    def scenario_text(self) -> str:
        return (self.path / "scenario.toml").read_text()

    # -- what is written along the way
    def write_metrics(self, metrics: dict[str, Any]) -> None:
        _append(self.path / "metrics.jsonl", metrics)

    def alert(self, step: int, kind: str, text: str) -> None:
        _append(self.path / "alerts.jsonl", {"step": step, "kind": kind, "text": text})

    def write_episodes(self, step: int, episodes: list[Episode], folder: str = "episodes") -> None:
        """The shard of a step, replacing one that a killed process left behind."""
        path = self.path / folder / f"step-{step:06d}.jsonl"
        path.unlink(missing_ok=True)
        with EpisodeWriter(path) as writer:
            for episode in episodes:
                writer.write(episode)

    def metrics(self) -> list[dict[str, Any]]:
        """One dict a step."""
        return list(_lines(self.path / "metrics.jsonl"))

    def alerts(self) -> list[dict[str, Any]]:
        return list(_lines(self.path / "alerts.jsonl"))

    def episodes(self, step: int | None = None, folder: str = "episodes") -> Iterator[Episode]:
        """Episodes of a step, or of all steps in order."""
        if step is not None:
            return read_episodes(self.path / folder / f"step-{step:06d}.jsonl")
        return read_episodes(sorted((self.path / folder).glob("*.jsonl")))

    def write_gold(self, step: int, values: Mapping[int, float]) -> None:
        """The gold number by instance at an evaluation, so that versions can be paired later."""
        (self.path / "eval").mkdir(exist_ok=True)
        write_atomically(
            self.path / "eval" / f"gold-{step:06d}.json", json.dumps({str(k): v for k, v in values.items()}).encode()
        )

    def gold(self, step: int) -> dict[int, float]:
        """The gold number by instance at an evaluation."""
        data = json.loads((self.path / "eval" / f"gold-{step:06d}.json").read_text())
        return {int(k): v for k, v in data.items()}

    # -- checkpoints
    def checkpoints(self) -> list[int]:
        """The steps that a whole checkpoint exists for, ascending."""
        found = (STEP.match(p.name) for p in (self.path / "checkpoints").glob("step-*"))
        return sorted(int(m[1]) for m in found if m)

    def save(
        self,
        step: int,
        state: dict[str, Any],
        tensors: dict[str, Any],
        keep: int = 2,
        also: Callable[[Path], object] = lambda folder: None,
    ) -> None:
        """Write the checkpoint of a step: `state` is plain JSON data, `tensors` anything that torch can save, and
        `also` may write more beside them."""
        folder = self.path / "checkpoints"
        temporary, final = folder / f".writing-{step:06d}", folder / f"step-{step:06d}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        (temporary / "state.json").write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        torch.save(tensors, temporary / "state.pt")
        also(temporary)
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        _sync(folder)
        for old in self.checkpoints()[:-keep]:
            shutil.rmtree(folder / f"step-{old:06d}")

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.path / "checkpoints" / f"step-{step:06d}"

    def peek(self, step: int | None = None) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """(step, state, tensors) of a checkpoint, by default the last; nothing is changed.

        Raises:
            CheckpointError: there is none.
        """
        steps = self.checkpoints()
        if not steps or (step is not None and step not in steps):
            raise CheckpointError(f"{self.path}: no checkpoint{f' of step {step}' if step is not None else ''}")
        step = steps[-1] if step is None else step
        folder = self.checkpoint(step)
        state = json.loads((folder / "state.json").read_text())
        return step, state, torch.load(folder / "state.pt", weights_only=True)

    def restore(self) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """(step, state, tensors) of the last checkpoint; whatever was written later is forgotten."""
        step, state, tensors = self.peek()
        self.forget(step)
        return step, state, tensors

    def forget(self, step: int) -> None:
        """Remove what was written after a step (-1: everything that a run writes along the way)."""
        for name in ("metrics.jsonl", "alerts.jsonl"):
            kept = [line for line in _lines(self.path / name) if line["step"] <= step]
            if (self.path / name).exists():
                write_atomically(self.path / name, b"".join(json.dumps(line).encode() + b"\n" for line in kept))
        for name in ("episodes", "eval"):
            for shard in (self.path / name).glob("*-*.json*"):
                if int(shard.stem.rpartition("-")[2]) > step:
                    shard.unlink()
        for ref in self.versions():
            if ref.version > step:
                self.version_path(ref).unlink()

    # -- versions of policies
    def save_version(self, ref: PolicyRef, weights: Weights) -> None:
        """Keep the weights of a version; a version never changes, so it is written once."""
        path = self.version_path(ref)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(".writing")
            save_file({k: v.contiguous() for k, v in weights.items()}, temporary)
            _sync(temporary)
            temporary.rename(path)

    def load_version(self, ref: PolicyRef) -> Weights:
        """The weights of a version.

        Raises:
            CheckpointError: it was not kept; names those that were.
        """
        path = self.version_path(ref)
        if not path.exists():
            kept = ", ".join(map(str, self.versions())) or "none"
            raise CheckpointError(f"{self.path}: no version {ref}\n  kept: {kept}")
        weights: Weights = load_file(path)
        return weights

    def versions(self) -> list[PolicyRef]:
        """Versions whose weights are kept, by name and number."""
        return sorted(PolicyRef.parse(p.stem) for p in (self.path / "versions").glob("*.safetensors"))

    def version_path(self, ref: PolicyRef) -> Path:
        return self.path / "versions" / f"{ref}.safetensors"


def next_path(root: Path, name: str) -> Path:
    """`root/name-0001`, or the first number that is free."""
    number = 1
    while (root / f"{name}-{number:04d}").exists():
        number += 1
    return root / f"{name}-{number:04d}"


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file or the old one, never a part."""
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _append(path: Path, data: dict[str, Any]) -> None:
    with path.open("ab") as file:
        file.write(json.dumps(data).encode() + b"\n")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """JSON lines of a file that may not exist; a torn last line is dropped."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)


def _sync(path: Path) -> None:
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
