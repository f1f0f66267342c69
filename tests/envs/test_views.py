"""The Parallel and Gymnasium doors, and the ids under which Gymnasium and PettingZoo find every environment."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from pettingzoo.env_registry import registration as zoo
from pettingzoo.test import parallel_api_test

from palaestra.envs import registry
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.transcript import Defaulted
from palaestra.envs.views import ParallelView, SingleView
from palaestra.errors import EnvError, UnknownNameError


def existing() -> list[str]:
    """The registered environments whose module is there."""
    found = []
    for name in registry.names():
        try:
            registry.env_class(name)
        except UnknownNameError:
            continue
        found.append(name)
    return found


class Crowd(ScriptedEnv):
    """All living seats vote at once; one is voted out a round."""

    seats = ("a_0", "b_0", "c_0")
    simultaneous = True
    rounds: int = 2

    def script(self, rng: random.Random) -> Script:
        self.reward(a_0=0.25)
        for _ in range(self.rounds):
            self.tell(f"The weather is {rng.randrange(10)}.")
            moves = yield self.turn(self.living, "stay", "leave", default="stay")
            for seat, move in moves.items():
                self.reward({seat: 1.0})
                if move.verb == "leave":
                    self.eliminate(seat)
        self.outcome(left=list(self.living))


class Second(ScriptedEnv):
    """a_0 may end the episode before b_0 is ever asked."""

    seats = ("a_0", "b_0")
    effects = {"double": lambda n: 2 * n}

    def script(self, rng: random.Random) -> Script:
        move = yield self.turn("a_0", "end", "go", default="end")
        if move.verb == "go":
            two = yield self.effect("double", 1)
            yield self.probe("b_0", "Well?")
            self.tell(f"Two is {two}.", to="b_0")
            yield self.turn("b_0", "end", "go", default="end")
        self.reward(b_0=0.5)
        self.outcome(end=move.verb)


def say(text: str) -> Any:
    return lambda request: text


# -- ParallelView -----------------------------------------------------------------------------------------------
def test_parallel_view_passes_pettingzoos_test() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(ParallelView(Crowd()), num_cycles=20)


def test_parallel_view_plays_the_native_episode_and_loses_no_reward() -> None:
    view, native = ParallelView(Crowd()), Crowd(retries=0)
    observations, _ = view.reset(seed=4)
    native.start(4)
    total = dict.fromkeys(Crowd.seats, 0.0)
    while view.agents:
        actions = {s: play_random(r) for s, r in native.waiting.items()}
        assert {s: o["text"] for s, o in observations.items() if s in actions} == {
            s: r.text for s, r in native.waiting.items()
        }
        observations, rewards, ended, cut, infos = view.step(actions)
        native.submit(actions)
        assert rewards.keys() == ended.keys() == cut.keys() == infos.keys() == actions.keys()
        assert not any(cut.values())
        for seat, amount in rewards.items():
            total[seat] += amount
    assert native.over and total == native.transcript.returns()
    assert view.env.transcript == native.transcript


def test_parallel_view_never_asks_again_and_takes_silence_for_a_missing_action() -> None:
    view = ParallelView(Crowd(retries=3))
    view.reset(seed=0)
    view.step({"a_0": "nonsense"})
    assert view.env.transcript.count(Defaulted, "a_0") == view.env.transcript.count(Defaulted, "b_0") == 1


def test_parallel_view_is_refused_where_seats_take_turns() -> None:
    with pytest.raises(EnvError, match="not declared simultaneous"):
        ParallelView(Kuhn())


def test_parallel_view_names_a_false_declaration() -> None:
    false = type("False_", (Kuhn,), {"simultaneous": True})
    with pytest.raises(EnvError, match="declared simultaneous, but only player_0 may act"):
        ParallelView(false()).reset(seed=0)


# -- SingleView -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", existing())
@pytest.mark.filterwarnings("ignore:.*not within the observation space")
def test_every_seat_passes_gymnasiums_check(name: str) -> None:
    seats = registry.make(name).seats
    for seat in seats if len(seats) < 4 else seats[:1]:
        env = gymnasium.make(f"palaestra/{name}-v0", seat=seat, others="random")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env.unwrapped)


def test_single_view_plays_the_native_episode() -> None:
    for seed in range(20):
        view, native = SingleView(Kuhn(), "player_1", "greedy"), Kuhn()
        observation, info = view.reset(seed=seed)
        native.start(seed)
        native.submit({"player_0": Kuhn.players["greedy"](native.waiting["player_0"])})
        done, total = False, 0.0
        while not done:
            assert observation["text"] == native.waiting["player_1"].text
            assert tuple(info["legal_actions"]) == native.waiting["player_1"].legal_actions
            word = np.str_(play_random(native.waiting["player_1"]))
            observation, reward, done, cut, info = view.step(word)
            assert not cut
            total += float(reward)
            native.submit({"player_1": word})
            if "player_0" in native.waiting:
                native.submit({"player_0": Kuhn.players["greedy"](native.waiting["player_0"])})
        assert native.transcript == view.env.transcript
        assert total == native.transcript.returns()["player_1"]
        assert info["outcome"] == native.transcript.outcome()


def test_partners_may_be_functions_and_coroutine_functions_that_run_together() -> None:
    seen: list[str] = []
    meeting = []

    async def meets(request: Request) -> str:
        seen.append(threading.current_thread().name)
        if not meeting:
            meeting.append(asyncio.Event())
            await meeting[0].wait()  # only the other partner can set it, so both must be running
        else:
            meeting[0].set()
        return "[leave]"

    view = SingleView(Crowd(rounds=1), "a_0", {"b_0": meets, "c_0": meets})
    view.reset(seed=0)
    _, _, done, _, info = view.step("[stay]")
    assert done and info["outcome"] == {"left": ["a_0"]}
    assert set(seen) == {"palaestra-others"}


def test_a_learner_whose_seat_is_eliminated_is_done_while_others_play_on() -> None:
    view = SingleView(Crowd(rounds=2), "a_0", say("[stay]"))
    view.reset(seed=0)
    _, reward, done, cut, _ = view.step("[leave]")
    assert (reward, done, cut) == (1.25, True, False)


def test_an_episode_that_ends_before_the_learner_acts_ends_at_its_first_step() -> None:
    view = SingleView(Second(), "b_0", say("[end]"))
    observation, info = view.reset(seed=0)
    assert observation == {"text": ""} and info == {"outcome": {"end": "end"}}
    assert view.step("anything") == ({"text": ""}, 0.5, True, False, {"outcome": {"end": "end"}})


def test_effects_and_probes_are_settled_for_the_learner() -> None:
    view = SingleView(Second(), "b_0", say("[go]"))
    assert view.reset(seed=0)[0] == {"text": "Two is 2."}


def test_infos_are_never_shared() -> None:
    view = SingleView(Kuhn(), "player_0", "random")
    _, first = view.reset(seed=0)
    first["legal_actions"].clear()
    assert view.reset(seed=0)[1]["legal_actions"] == ["[check]", "[bet]"]
    _, _, _, _, last = view.step("[bet]")
    last["outcome"]["cards"].clear()
    assert view.env.transcript.outcome()["cards"]


def test_wrong_seats_and_players_are_named() -> None:
    with pytest.raises(EnvError, match=r"no seat 'player_2'\n  did you mean player_"):
        SingleView(Kuhn(), "player_2")
    with pytest.raises(EnvError, match="no seat 'seller_0'"):
        SingleView(Kuhn(), "player_0", {"seller_0": "random"})
    with pytest.raises(EnvError, match=r"no player 'gredy'\n  did you mean greedy\?"):
        SingleView(Kuhn(), "player_0", "gredy")


def test_vector_environments_carry_whole_texts_and_shared_memory_is_refused() -> None:
    def make() -> gymnasium.Env[Any, Any]:
        return SingleView(Kuhn(), "player_0", "random")

    sync = SyncVectorEnv([make, make])
    texts, _ = sync.reset(seed=[0, 1])
    assert [str(t) for t in texts["text"]] == [SingleView(Kuhn()).reset(seed=s)[0]["text"] for s in (0, 1)]
    sync.close()
    with pytest.raises(ValueError, match="shared_memory=False"):
        AsyncVectorEnv([make])
    with_pipes = AsyncVectorEnv([make], shared_memory=False)
    assert str(with_pipes.reset(seed=0)[0]["text"][0]).startswith("You are player_0. Your card is ")
    with_pipes.close()


# -- registries -------------------------------------------------------------------------------------------------
def test_registration_imports_no_environment_and_no_torch() -> None:
    code = (
        "import sys, palaestra.envs, gymnasium\n"
        "from pettingzoo.env_registry import registration as zoo\n"
        "assert 'palaestra/kuhn-v0' in gymnasium.registry and 'palaestra/kuhn-v0' in zoo.aec_registry\n"
        "assert 'palaestra.envs.games.kuhn' not in sys.modules and 'torch' not in sys.modules\n"
        "assert 'palaestra.envs.views' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", existing())
def test_both_registries_make_every_environment(name: str) -> None:
    cls = registry.env_class(name)
    full = f"palaestra/{name}-v0"
    aec = zoo.make("aec", full, level=cls.levels[-1])
    assert type(aec) is cls and aec.level == cls.levels[-1]
    assert isinstance(gymnasium.make(full).unwrapped, SingleView)
    assert (full in zoo.parallel_registry) == cls.simultaneous
    if cls.simultaneous:
        assert isinstance(zoo.make("parallel", full), ParallelView)


def test_a_class_registered_here_is_published_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", {})
    registry.register("crowd_of_tests", Crowd)
    assert "crowd_of_tests" in registry.names()
    assert "palaestra/crowd_of_tests-v0" in gymnasium.registry
    assert "palaestra/crowd_of_tests-v0" in zoo.parallel_registry
    registry.register("crowd_of_tests", Crowd)  # again is fine


def test_ids_name_files_and_modules_and_errors_name_the_nearest(tmp_path: Any) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from palaestra.envs import ScriptedEnv\n\n\nclass Mine(ScriptedEnv):\n    seats = ('a_0',)\n\n"
        "    def script(self, rng):\n        yield 'a_0'\n"
    )
    mine = registry.env_class(f"{path}:Mine")
    assert mine.name() == f"{path}:Mine"
    assert registry.env_class(mine.name()) is mine
    assert registry.env_class("palaestra/kuhn-v0") is registry.env_class("kuhn") is Kuhn
    for name, message in [
        ("khun", "no environment 'khun'"),
        (f"{path}:Mien", "did you mean Mine"),
        ("no.such.module:Env", "cannot import no.such.module"),
        (f"{tmp_path}/none.py:Env", "cannot import"),
    ]:
        with pytest.raises(UnknownNameError, match=message):
            registry.env_class(name)
