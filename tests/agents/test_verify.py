"""A record is checked against the rules."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

import palaestra
from palaestra.agents.episode import Episode, EpisodeWriter, Failure, encode, read_episodes
from palaestra.agents.verify import verify, verify_all
from palaestra.envs import transcript as record
from palaestra.envs.script import Request, Script, ScriptedEnv


async def later(word: str) -> dict[str, Any]:
    return {"word": word.upper()}


class Workshop(ScriptedEnv):
    """One of everything that a record can hold: tools, a secret, a probe, simultaneous turns, pay, gold facts."""

    seats = ("a_0", "b_0")
    effects = {"double": lambda n: {"value": 2 * n}, "later": later}

    def script(self, rng: random.Random) -> Script:
        hidden = self.secret("a_0", "hidden", lambda r: r.randrange(1000))
        self.tell(f"Your number is {hidden}.", to="a_0")
        moves = yield self.turn(self.seats, "pick 1..9", default="pick 1")
        for seat in self.seats:
            result = yield self.effect("double", int(moves[seat].args[0]))
            self.tell(f"Twice yours is {result['value']}.", to=seat)
        yield self.effect("later", "word")
        yield self.probe("a_0", "How is it going?")
        self.reveal(f"The number was {hidden}.")
        self.reward(a_0=0.5, b_0=-0.5)
        self.outcome(hidden=hidden)


def stubborn(request: Request) -> str:
    return "no" if request.turn == 0 else "[pick 3]"


@pytest.fixture
def episode() -> Episode:
    played = palaestra.play(Workshop(), {"a_0": stubborn, "b_0": "random"}, seed=5)
    assert played.failure is None
    return msgspec.json.decode(encode(played), type=Episode)  # as it is read back


def plant(episode: Episode, kind: type, **changes: Any) -> int:
    """Change the first recorded event of a kind; returns its number."""
    events = episode.transcript.events
    index = next(i for i, e in enumerate(events) if isinstance(e, kind))
    events[index] = msgspec.structs.replace(events[index], **changes)
    return index


def test_a_true_record_has_no_difference_live_and_read_back(episode: Episode) -> None:
    assert verify(episode) == []
    assert verify(palaestra.play(Workshop(), "random", seed=1)) == []


@pytest.mark.parametrize(
    ("kind", "change", "what"),
    [
        (record.Told, {"text": "Your number is 7."}, "told text"),
        (record.Revealed, {"to": ("a_0",)}, "told text"),
        (record.Paid, {"amount": 0.75}, "reward"),
        (record.Outcome, {"facts": {"hidden": -1}}, "outcome"),
        (record.Effect, {"args": [100]}, "effect arguments"),
        (record.Secret, {"parts": {"a_0": -1}}, "secret"),
    ],
)
def test_a_planted_difference_is_found_at_its_event(episode: Episode, kind: type, change: Any, what: str) -> None:
    index = plant(episode, kind, **change)
    (difference,) = verify(episode)
    assert (difference.event, difference.what) == (index, what)
    assert difference.recorded != difference.recomputed
    assert f"event {index}: {what}" in str(difference)


def test_a_planted_effect_result_is_found_and_so_is_what_followed_from_it(episode: Episode) -> None:
    index = plant(episode, record.Effect, result={"value": 7})
    first, told = verify(episode)
    assert (first.event, first.what, first.recorded, first.recomputed) == (
        index,
        "effect result",
        '{"value":7}',
        '{"value":6}',
    )
    assert told.what == "told text"


@pytest.mark.parametrize("kind", [record.Told, record.Paid, record.Outcome])
def test_an_event_that_was_removed_or_added_is_one_difference(episode: Episode, kind: type) -> None:
    events = episode.transcript.events
    index = next(i for i, e in enumerate(events) if isinstance(e, kind))
    removed = events.pop(index)
    (difference,) = verify(episode)
    assert (difference.event, difference.recorded) == (index, "")
    events[index:index] = [removed, removed]
    (difference,) = verify(episode)
    assert difference.recomputed == ""


def test_an_answer_that_is_not_waited_for_is_reported_with_its_event(episode: Episode) -> None:
    events = episode.transcript.events
    events.append(record.Said("a_0", "one more"))
    assert [(d.event, d.what) for d in verify(episode)] == [(len(events) - 1, "rules"), (len(events) - 1, "said")]


def test_a_record_that_ends_too_early_is_reported_unless_it_says_that_it_broke_off(episode: Episode) -> None:
    events = episode.transcript.events
    del events[next(i for i, e in enumerate(events) if isinstance(e, record.Effect)) :]
    assert "end" in [d.what for d in verify(episode)]
    cut = palaestra.play(Workshop(), {"a_0": stubborn, "b_0": lambda request: 1 / 0}, seed=5)
    assert isinstance(cut.failure, Failure)
    assert verify(cut) == []


def test_an_environment_that_is_gone_is_a_difference_not_a_crash(episode: Episode) -> None:
    episode.transcript.env = "no.such.module:Thing"
    (difference,) = verify(episode)
    assert difference.what == "rules" and "no.such.module" in difference.recomputed


def test_a_thousand_episodes_of_several_environments_are_checked_in_one_pass(tmp_path: Path) -> None:
    shard = tmp_path / "step-000001.jsonl"
    with EpisodeWriter(shard) as writer:
        for seed in range(500):
            writer.write(palaestra.play("kuhn", "random", seed=seed))
            writer.write(palaestra.play("arithmetic", "greedy", seed=seed, params={"level": seed % 2}))
    checked = list(verify_all(read_episodes(shard)))
    assert len(checked) == 1000
    assert not [d for _, differences in checked for d in differences]
