"""Environments of PettingZoo and Gymnasium behind the native door."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium
import msgspec
import pytest
from pettingzoo.test import api_test

from palaestra.envs import registry
from palaestra.envs.adapters.farama import from_gymnasium, from_pettingzoo
from palaestra.envs.conformance import QUICK, check
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.script import ScriptedEnv, play_random
from palaestra.envs.transcript import Forfeited, Malformed, Out, Transcript
from palaestra.envs.views import ParallelView, SingleView
from palaestra.errors import EnvError

FILE = Path(__file__).with_name("farama_style.py")
THEIRS = registry._module(str(FILE))
NAMES = ["WordChain", "wrapped_chain", "Chorus", "Riddle"]


def words(env: ScriptedEnv, request: Any) -> str:
    """Words that make chains, duets and guesses."""
    text = request.text
    if "last word" in text:
        last = text.split("'")[-2][-1]
        return f"{last if request.rng.random() < 0.8 else 'q'}{request.rng.choice(['ant', 'bee', 'cow'])}"
    return request.rng.choice(["la", "la", "lalala", "3", "5", "7"])


def play(env: ScriptedEnv) -> Transcript:
    while env.waiting:
        env.submit({k: words(env, r) for k, r in env.waiting.items()})
    return env.transcript


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_environment_holds_what_ours_must(name: str) -> None:
    report = check(f"{FILE}:{name}", effort=QUICK)
    assert report.ok, report.table()


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_environment_replays_forks_and_pickles(name: str) -> None:
    cls = registry.env_class(f"{FILE}:{name}")
    assert registry.env_class(cls.name()) is cls
    for seed in range(6):
        env = cls()
        env.start(seed)
        while env.waiting:
            twins = [env.fork(), pickle.loads(pickle.dumps(env))]
            ends = [play(twin) for twin in twins]
            assert ends[0] == ends[1]
            env.submit({k: words(env, r) for k, r in env.waiting.items()})
        assert ends[0] == env.transcript
        again = msgspec.json.decode(msgspec.json.encode(env.transcript), type=Transcript)
        assert registry.env_class(again.env).replay(again).transcript == env.transcript


def test_an_aec_environment_pays_and_tells_as_it_does_by_itself() -> None:
    seen_elimination = False
    for seed in range(20):
        env, theirs = from_pettingzoo(THEIRS.WordChain)(), THEIRS.WordChain()
        env.start(seed)
        theirs.reset(seed=seed)
        total: dict[str, float] = dict.fromkeys(theirs.possible_agents, 0.0)
        for agent in theirs.agent_iter():
            observation, reward, terminated, truncated, _ = theirs.last()
            total[agent] += reward
            if terminated or truncated:
                theirs.step(None)
                continue
            assert set(env.waiting) == {agent}
            assert env.waiting[agent].text.splitlines()[-1] == observation["text"]
            word = words(env, env.waiting[agent])
            env.submit({agent: word})
            theirs.step(word)
        assert env.over
        assert {a: env.transcript.returns().get(a, 0.0) for a in total} == total
        seen_elimination |= any(isinstance(e, Out) for e in env.events)
    assert seen_elimination


def test_a_parallel_environment_plays_at_once_and_in_the_parallel_view() -> None:
    cls = from_pettingzoo(THEIRS.Chorus)
    env = cls(rounds=2)
    env.start(7)
    assert set(env.waiting) == {"alto_0", "tenor_0", "bass_0"}
    assert env.waiting["alto_0"].text == "Sing, alto_0. Key 7."
    env.submit({"alto_0": "la", "tenor_0": "lalala", "bass_0": "la"})
    assert env.living == ("alto_0", "bass_0")
    env.submit({"alto_0": "la", "bass_0": "la"})
    assert env.transcript.returns() == {"alto_0": 1.0, "tenor_0": 1.0, "bass_0": 1.0}
    assert env.transcript.outcome() == {"truncated": ["alto_0", "bass_0"], "rounds": 2}
    view = ParallelView(cls())
    observations, _ = view.reset(seed=7)
    assert observations["bass_0"] == {"text": "Sing, bass_0. Key 7."}


def test_a_gymnasium_environment_has_one_seat_and_its_parameters() -> None:
    env = from_gymnasium(THEIRS.Riddle)(limit=3, tries=9)
    assert env.params["limit"] == 3 and env.seats == ("player_0",)
    env.start(0)
    assert env.waiting["player_0"].text == "Guess a number below 3."
    for guess in ("0", "1", "2"):
        if env.waiting:
            env.submit({"player_0": guess})
    assert env.transcript.returns() == {"player_0": 1.0}
    assert env.transcript.outcome()["right"] is True
    assert env.view("player_0")[-1] == ("told", "Right.")


def test_truncation_ends_an_episode_and_is_reported() -> None:
    env = from_gymnasium(THEIRS.Riddle)(limit=1000, tries=1)
    env.start(0)
    env.submit({"player_0": "no idea"})
    assert env.over and env.transcript.outcome()["truncated"] == ["player_0"]


def test_a_reply_outside_the_space_of_texts_is_asked_again_and_then_forfeits() -> None:
    env = from_pettingzoo(THEIRS.WordChain)(retries=1)
    env.start(0)
    env.submit({"player_0": "UPPER!"})
    assert "not a legal move: 1 to 12 characters" in env.waiting["player_0"].text
    env.submit({"player_0": "<think>a... ant</think>ant"})
    assert "player_1" in env.waiting and "'ant'" in env.waiting["player_1"].text
    env.submit({"player_1": "1"})
    env.submit({"player_1": "2"})
    assert env.over and env.transcript.returns()["player_1"] == -1.0
    assert env.transcript.count(Malformed, "player_1") == 2
    assert env.transcript.count(Forfeited, "player_1") == 1


def test_other_kinds_of_observations_and_actions_need_functions() -> None:
    with pytest.raises(EnvError, match="pass observe="):
        from_gymnasium(THEIRS.Counter)().start(0)
    cls = from_gymnasium(THEIRS.Counter, observe=lambda n: f"The sum is {n}.", act=lambda text: int("2" in text) + 1)
    env = cls()
    env.start(0)
    while env.waiting:
        assert env.waiting["player_0"].text.startswith("The sum is ")
        env.submit({"player_0": "I add 2"})
    assert env.transcript.returns() == {"player_0": 6.0}
    assert env.fork().transcript == env.transcript


def test_an_object_is_copied_for_every_episode() -> None:
    theirs = THEIRS.Riddle(limit=5)
    env = from_gymnasium(theirs)()
    env.start(0)
    play(env)
    assert not hasattr(theirs, "secret")


def test_an_adapted_environment_opens_farama_s_own_doors_too() -> None:
    api_test(from_pettingzoo(THEIRS.WordChain)(), num_cycles=30)
    view = SingleView(from_pettingzoo(THEIRS.WordChain)(), "player_1", lambda request: words(request.env, request))
    observation, _ = view.reset(seed=3)
    assert observation["text"].startswith("The last word was ")


def test_a_scripted_environment_through_its_aec_door_is_the_same_game() -> None:
    cls = from_pettingzoo(Kuhn)
    for seed in range(10):
        env, native = cls(), Kuhn()
        env.start(seed)
        native.start(seed)
        while native.waiting:
            (seat,) = native.waiting
            word = play_random(native.waiting[seat])
            assert env.waiting[seat].text.endswith(native.waiting[seat].text)
            env.submit({seat: word})
            native.submit({seat: word})
        assert env.over and env.transcript.returns() == native.transcript.returns()


def test_equal_origins_give_one_class_and_wrong_things_are_named() -> None:
    assert from_pettingzoo(THEIRS.WordChain) is from_pettingzoo(THEIRS.WordChain)
    with pytest.raises(EnvError, match="no PettingZoo or Gymnasium environment"):
        from_pettingzoo(dict)
    with pytest.raises(EnvError, match="cannot be made without arguments"):
        from_gymnasium(type("Needy", (gymnasium.Env,), {"__init__": lambda self, size: None}))
