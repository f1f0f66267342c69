"""One scheduler plays many episodes: in order, in batches by rule, and what breaks one breaks no other."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from palaestra.agents.batching import gather, serve
from palaestra.agents.episode import Episode, Trajectory
from palaestra.agents.play import Job, check_cast, play, rollout, wait_for
from palaestra.agents.policy import Scripted, player
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.transcript import Effect, Probe
from palaestra.errors import ScenarioError, UnknownNameError


class Chat(ScriptedEnv):
    """Two seats that speak a drawn number of times, at once or in turn, with a tool and a probe between."""

    seats = ("a_0", "b_0")
    effects = {"double": lambda x: 2 * x}
    rounds: int = 3

    def script(self, rng: random.Random) -> Script:
        for number in range(rng.randrange(1, self.rounds + 1)):
            self.tell(f"Round {number}.")
            said = yield self.turn(self.seats, "say 1..3", default="say 1")
            twice = yield self.effect("double", int(said["a_0"].args[0]))
            yield self.probe("b_0", "How do you feel?")
            self.tell(f"Twice a_0 is {twice}.")
        self.reward(a_0=1.0, b_0=0.0)


class Breaks(ScriptedEnv):
    """Fails at some seeds."""

    seats = ("a_0",)

    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        if self._seed is not None and self._seed % 3 == 1:
            raise ZeroDivisionError("as planned")
        self.reward(a_0=1.0)


CHAT, BREAKS = f"{__file__}:Chat", f"{__file__}:Breaks"


class FakeEngine:
    """Answers each job with its batch: which jobs were served together."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def serve(self, kind: str, jobs: list[Any]) -> list[Any]:
        self.batches.append(list(jobs))
        return [f"[say {job[2] % 3 + 1}]" for job in jobs]


class Batching:
    """A policy that asks an engine."""

    label = "asks@0"

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine

    def sit(self, seat: str, key: str) -> _Asks:
        return _Asks(self, seat, key)


class _Asks:
    def __init__(self, policy: Batching, seat: str, key: str) -> None:
        self.policy, self.seat, self.key = policy, seat, key

    async def answer(self, request: Request) -> str:
        reply: str = await serve(self.policy.engine, "say", (self.key, self.seat, request.turn))
        return reply

    def trajectories(self) -> list[Trajectory]:
        return []


def jobs(n: int, engine: FakeEngine) -> list[Job]:
    cast = {seat: Batching(engine) for seat in Chat.seats}
    return [Job(CHAT, {}, dict(cast), seed, f"e{seed}") for seed in range(n)]


def test_episodes_come_in_the_order_of_the_jobs_whatever_their_length() -> None:
    handed: list[str] = []
    episodes = wait_for(rollout(jobs(20, FakeEngine()), on_episode=lambda e: handed.append(e.id)))
    assert [e.id for e in episodes] == handed == [f"e{i}" for i in range(20)]
    assert len({len(e.transcript.events) for e in episodes}) > 1


def test_everybody_who_waits_is_served_at_once_in_the_order_of_submission() -> None:
    engine = FakeEngine()
    episodes = wait_for(rollout(jobs(5, engine)))
    assert engine.batches[0] == [(f"e{i}", seat, 0) for i in range(5) for seat in Chat.seats]
    rounds = max(sum(isinstance(e, Effect) for e in episode.transcript.events) for episode in episodes)
    assert len(engine.batches) == 2 * rounds  # one of moves and one of probes in each


def test_batches_are_the_same_every_time() -> None:
    one, two = FakeEngine(), FakeEngine()
    first = wait_for(rollout(jobs(12, one), live=8, workers=1))
    second = wait_for(rollout(jobs(12, two), live=8, workers=4))
    assert one.batches == two.batches
    assert [e.transcript for e in first] == [e.transcript for e in second]


@pytest.mark.parametrize("live", [1, 2, 6])
def test_live_bounds_completions_not_episodes(live: int) -> None:
    engine = FakeEngine()
    episodes = wait_for(rollout(jobs(7, engine), live=live))
    assert len(episodes) == 7
    assert max(map(len, engine.batches)) <= max(live, 2)


def test_effects_and_probes_are_answered_and_recorded() -> None:
    (episode,) = wait_for(rollout(jobs(1, FakeEngine())))
    effects = [e for e in episode.transcript.events if isinstance(e, Effect)]
    assert effects and all(e.result == 2 * e.args[0] for e in effects)
    assert all(e.answer is not None for e in episode.transcript.events if isinstance(e, Probe))


def test_a_broken_episode_is_recorded_and_disturbs_no_other() -> None:
    cast = {"a_0": Scripted("random", play_random)}
    episodes = wait_for(rollout(Job(BREAKS, {}, cast, s, str(s)) for s in range(6)))
    assert [e.failure is not None for e in episodes] == [False, True, False, False, True, False]
    assert "as planned" in episodes[1].failure.message and episodes[0].returns == {"a_0": 1.0}


def test_an_engine_that_fails_breaks_off_only_the_episodes_that_asked_it() -> None:
    class Dead(FakeEngine):
        def serve(self, kind: str, jobs: list[Any]) -> list[Any]:
            raise RuntimeError("out of memory")

    cast = {"a_0": Batching(Dead()), "b_0": Batching(FakeEngine())}
    scripted = {s: Scripted("random", play_random) for s in Chat.seats}
    made = wait_for(rollout([Job(CHAT, {}, cast, 1, "x"), Job(CHAT, {}, scripted, 1, "y")]))
    assert made[0].failure is not None and "out of memory" in made[0].failure.message
    assert made[1].failure is None


def test_play_works_without_a_scheduler_and_inside_a_running_loop() -> None:
    cast = {s: player(Chat, "random") for s in Chat.seats}

    async def main() -> Episode:
        return await play(Chat(), cast, 3)

    outside = asyncio.run(main())

    async def notebook() -> Episode:
        return wait_for(play(Chat(), cast, 3))

    assert asyncio.run(notebook()).transcript == outside.transcript


def test_gather_keeps_the_order_of_its_parts() -> None:
    async def part(i: int) -> int:
        await asyncio.sleep(0)
        return i

    assert asyncio.run(gather(*(part(i) for i in range(5)))) == [0, 1, 2, 3, 4]  # type: ignore[arg-type]


def test_an_unknown_player_and_an_empty_seat_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean random"):
        player(Chat, "rndom")
    with pytest.raises(ScenarioError, match="nobody sits in b_0"):
        check_cast(Chat(), {"a_0": player(Chat, "random")})
    with pytest.raises(ScenarioError, match="did you mean a_0"):
        check_cast(Chat(), {**{s: player(Chat, "random") for s in Chat.seats}, "a_1": player(Chat, "random")})
