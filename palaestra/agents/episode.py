"""The record of an episode: what happened in the world, and every token that a policy was told, sampled or forced.

What the engine sampled is what the learner trains on: ids and log-probabilities as sampled, never re-tokenised.
A seat's sequence of tokens is a list of spans; where a prompt could not extend the last one verbatim, a new sequence
was begun, so a seat may have several trajectories. Records are JSON lines, one shard a step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import msgspec

from palaestra.envs.transcript import Transcript
from palaestra.errors import RecordError

Origin = Literal["told", "sampled", "forced"]


class PolicyRef(NamedTuple):
    """A policy and one of its versions; printed `debater@12`."""

    name: str
    version: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> PolicyRef:
        """`name@version`; without a version, version 0."""
        name, _, version = text.partition("@")
        return cls(name, int(version or 0))


class Span(msgspec.Struct, array_like=True):
    """A run of tokens of one origin, in the seat's turn `turn` (counted from 0).

    `logprobs` are the natural-log probabilities as sampled, one a token; empty for told and forced tokens.
    """

    origin: Origin
    ids: list[int]
    logprobs: list[float]
    turn: int


class Choice(msgspec.Struct, array_like=True):
    """The legal replies at one turn, as tokens, each following the `position` tokens before it.

    With `chosen >= 0` the reply was drawn from these candidates' normalised probabilities `exp(logprobs)`, and the
    choice is what is trained. With `chosen = -1` the reply was sampled freely; the candidates then serve exact
    entropy and KL over legal actions, and `logprobs` is empty.
    """

    turn: int
    position: int
    candidates: list[list[int]]
    chosen: int
    logprobs: list[float]


class Trajectory(msgspec.Struct):
    """What one seat saw and said in one sequence of tokens."""

    seat: str
    policy: str
    spans: list[Span]
    choices: list[Choice] = []
    stops: list[str] = []
    """Why each reply ended: "stop", "length", "choice" or "context"."""
    versions: list[tuple[int, int]] = []
    """Where weights changed while it was sampled: (number of the token in the sequence, version from there on)."""

    def ids(self) -> list[int]:
        """All tokens, in order."""
        return [i for span in self.spans for i in span.ids]

    def sampled(self) -> int:
        """Number of tokens that the policy sampled."""
        return sum(len(s.ids) for s in self.spans if s.origin == "sampled")


class Failure(msgspec.Struct):
    """Why an episode broke off, and the boundary that was crossed: env, engine, agent or tool."""

    boundary: str
    message: str


class Episode(msgspec.Struct):
    """One play, seed to end, all seats. `cast` says who sat where: `name@version`, or `player:random`."""

    id: str
    transcript: Transcript
    cast: dict[str, str]
    trajectories: list[Trajectory] = []
    group: str = ""
    """Episodes with the same group share an instance: the same env, parameters and seed."""
    purpose: Literal["train", "eval", "play"] = "play"
    scores: dict[str, dict[str, float]] = {}
    """By signal, then by seat."""
    failure: Failure | None = None

    @property
    def returns(self) -> dict[str, float]:
        """Sum of the environment's rewards by seat; 0 for a seat that was never paid."""
        paid = self.transcript.returns()
        return {seat: paid.get(seat, 0.0) for seat in self.cast}

    @property
    def outcome(self) -> dict[str, Any]:
        """Gold facts computed by the environment."""
        return self.transcript.outcome()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Episode)


def encode(episode: Episode) -> bytes:
    """One JSON line, without the line end."""
    return _encoder.encode(episode)


def decode(line: bytes) -> Episode:
    """An episode from its JSON line."""
    return _decoder.decode(line)


class EpisodeWriter:
    """Appends episodes to one shard; every line is flushed, the file is fsynced on close."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")

    def write(self, episode: Episode) -> None:
        self._file.write(_encoder.encode(episode) + b"\n")
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def read_episodes(paths: Path | str | Iterable[Path | str]) -> Iterator[Episode]:
    """Episodes of a shard, of several, or of a run directory (its `episodes/`), in order.

    A torn last line (no line end) is dropped. Any other line that does not decode is an error.

    Raises:
        RecordError: names the file and the line.
    """
    for path in _shards(paths):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break  # the writer was killed in this line
                try:
                    yield _decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise RecordError(f"{path}:{number}: not an episode: {error}") from error


def _shards(paths: Path | str | Iterable[Path | str]) -> list[Path]:
    if not isinstance(paths, Path | str):
        return [shard for p in paths for shard in _shards(p)]
    path = Path(paths)
    if path.is_dir():
        folder = path / "episodes" if (path / "episodes").is_dir() else path
        return sorted(folder.glob("*.jsonl"))
    if not path.exists():
        raise RecordError(f"{path}: no such file\n  give a shard (*.jsonl) or a run directory")
    return [path]
