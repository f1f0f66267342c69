"""A recorded episode in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from palaestra.agents.episode import Episode, read_episodes
from palaestra.envs import transcript as record
from palaestra.envs.script import lines
from palaestra.envs.transcript import Event
from palaestra.errors import RecordError, nearest
from palaestra.view.stage import plain


def words(
    episode: Episode, *, number: int | None = None, until: int | None = None, seat: str | None = None
) -> Iterator[str]:
    """The episode line by line; answers are numbered, so that `until` can name one.

    Args:
        number: its place among the episodes that were read, from 0; shown beside its id.
        until: stop where the answer after the first `until` would come.
        seat: only what this seat was told and said, and its own pay.

    Raises:
        RecordError: no such seat.
    """
    if seat is not None and seat not in episode.cast:
        raise RecordError(f"episode {episode.id}: no seat {seat!r}\n  {nearest(seat, episode.cast)}")
    transcript = episode.transcript
    usual = {"split": "train", "level": 0, "retries": 1}
    params = "".join(f", {k} = {v!r}" for k, v in transcript.params.items() if usual.get(k) != v)
    which = f"id {episode.id}" if number is None else f"{number} (id {episode.id})"
    yield plain(f"episode {which}: {transcript.env}{params}, seed {transcript.seed}")
    yield plain("       " + "   ".join(f"{s} = {who}" for s, who in episode.cast.items()))
    count = 0
    for event in transcript.events:
        answer = isinstance(event, record.Answer)
        if answer and count == until:
            return
        count += answer
        if seat is not None and not _concerns(event, seat):
            continue
        mark = f"{count:>4}   " if answer else "       "
        for line in lines([event]):
            yield mark + plain(line.lstrip()).replace("\n", "\n       ")
    if episode.failure and until is None:
        yield plain(f"       broke off ({episode.failure.boundary}): {episode.failure.message}")


def _concerns(event: Event, seat: str) -> bool:
    """Whether the seat knows of an event. Probes are asked aside and are in no view."""
    if isinstance(event, record.Told | record.Revealed):
        return seat in event.to
    return isinstance(event, record.Said | record.Paid | record.Malformed | record.Defaulted | record.Forfeited) and (
        event.seat == seat
    )


def select(files: list[Path], which: str | None) -> Iterator[Episode]:
    """All episodes of shards and run directories, or one: by its number from 0, or its id.

    Raises:
        RecordError: no such episode.
    """
    episodes = read_episodes(files)
    if which is None:
        yield from episodes
        return
    if which.isdigit():
        found = next(itertools.islice(episodes, int(which), None), None)
    else:
        found = next((e for e in episodes if e.id == which), None)
    if found is None:
        shown = ", ".join(map(str, files))
        raise RecordError(f"{shown}: no episode {which!r}\n  give its number, from 0, or its id")
    yield found
