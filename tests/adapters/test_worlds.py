"""TextWorld and ScienceWorld, with the real packages: slow to start, so their checks are played with less effort."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.cast import play
from palaestra.agents.verify import verify
from palaestra.envs.adapters import scienceworlds, textworlds, worlds
from palaestra.envs.checks import Effort
from palaestra.envs.conformance import check
from palaestra.envs.registry import env_class, make
from palaestra.errors import EnvError, MissingExtraError, UnknownNameError

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]

ONE: dict[str, Any] = {"games": 1, "settings": {"level": 3}}  # every game takes seconds to compile
EASY: dict[str, Any] = {"simplifications": "easy", "max_steps": 8}
SLOW = Effort(("1",), 12, 40, 8)
EXPECTED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "textworld/coin_collector": (ONE, set()),
    "scienceworld/lifespan-longest-lived": (EASY, set()),
}
"""id -> the parameters of the check, and the checks that it does not pass."""


def made(name: str) -> Any:
    """The class, or a skip with a reason where its package or Java is not installed (in CI: a failure)."""
    missing = ""
    try:
        cls = env_class(name)
    except MissingExtraError as error:
        missing = str(error)
    if name.startswith("scienceworld") and not shutil.which("java"):
        missing = "no java"
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return cls


@pytest.mark.parametrize("name", EXPECTED)
def test_it_fails_exactly_the_checks_that_the_table_says(name: str) -> None:
    params, expected = EXPECTED[name]
    report = check(made(name), params=params, effort=SLOW, seeds=range(3))
    assert {row.check for row in report.rows() if row.status == "FAIL"} == expected, report.table()


def unreachable(*args: Any, **more: Any) -> Any:
    raise AssertionError("the simulator was asked")


@pytest.mark.parametrize(
    "name, params", [("textworld/coin_collector", ONE), ("scienceworld/lifespan-longest-lived", EASY)]
)
def test_the_oracle_wins_and_its_record_needs_no_simulator(
    name: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = made(name)
    episode = play(name, cast="oracle", seed=2, params=params)
    assert episode.failure is None
    assert episode.outcome["won"] and episode.returns["player_0"] == pytest.approx(1.0)
    assert verify(episode) == []  # asked again, the simulator says the same

    monkeypatch.setattr(cls, "effects", {"step": unreachable})
    again = cls.replay(episode.transcript)
    assert again.events == episode.transcript.events
    middle = cls.replay(episode.transcript, until=len(episode.transcript.answers()) // 2).fork()
    assert middle.events == episode.transcript.events[: len(middle.events)]
    assert verify(episode) != []  # and here it would have been asked


@pytest.mark.parametrize("name", ["textworld/coin_collector", "scienceworld/boil"])
def test_splits_draw_from_different_worlds(name: str) -> None:
    made(name)
    games = {}
    for split in ("train", "test"):
        env = make(name, split=split)
        games[split] = set()
        for seed in range(60):
            env.start(seed)
            (request,) = env.waiting.values()
            games[split].add(json.dumps(request.ask.args[0]))  # type: ignore[union-attr]
    assert len(games["train"]) > 5 and len(games["test"]) > 5
    assert not games["train"] & games["test"]


# -- one simulator, many episodes --------------------------------------------------------------------------------------


def counted() -> tuple[list[str], worlds.Running]:
    """Simulators that say what they have heard, and a list of the games that were started."""
    started: list[str] = []

    def start(game: str) -> worlds.World:
        started.append(game)
        heard: list[str] = []

        def act(command: str) -> Any:
            if command == "break":
                raise OSError("gone")
            heard.append(command)
            return {"text": " ".join(heard)}

        return act

    return started, worlds.Running(start, keep=2)


def test_a_simulator_goes_on_where_it_stood_and_is_started_again_where_it_does_not() -> None:
    started, running = counted()

    def say(game: str, *commands: str) -> str:
        return running.step([game], commands[-1], [([[game], c], None) for c in commands[:-1]])["text"]

    assert [say("a", ""), say("a", "", "x"), say("a", "", "x", "y")] == ["", " x", " x y"]
    assert started == ["a"]
    assert say("a", "", "x", "z") == " x z"  # a fork of the episode after x
    assert started == ["a", "a"]
    assert say("a", "", "x", "y", "u") == " x y u"
    assert started == ["a", "a"]
    say("b", ""), say("c", "")
    assert say("a", "", "x", "z", "v") == " x z v"  # it was put away meanwhile
    assert started == ["a", "a", "b", "c", "a"]


def test_a_broken_simulator_is_an_error_and_no_event() -> None:
    _, running = counted()
    with pytest.raises(EnvError, match="the simulator broke: OSError: gone"):
        running.step(["a"], "break", [])


# -- TextWorld ---------------------------------------------------------------------------------------------------------


def test_a_game_is_compiled_once_and_kept_for_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("textworld/treasure_hunter")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = textworlds.compiled("treasure_hunter", {"level": 1}, 0)
    assert path.is_relative_to(tmp_path) and path.with_suffix(".json").exists()
    assert not list((tmp_path / "palaestra" / "textworld").glob("tmp*"))
    monkeypatch.setattr(subprocess, "run", unreachable)
    assert textworlds.compiled("treasure_hunter", {"level": 1}, 0) == path


def test_what_tw_make_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("textworld/treasure_hunter")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EnvError, match="tw-treasure_hunter --speed=3"):
        textworlds.compiled("treasure_hunter", {"speed": 3}, 0)
    assert not list((tmp_path / "palaestra" / "textworld").glob("*/*"))


def test_only_what_is_admissible_is_a_move_and_the_banner_is_gone() -> None:
    made("textworld/coin_collector")
    env = make("textworld/coin_collector", **ONE)
    env.start(0)
    env.settle()
    (request,) = env.waiting.values()
    assert {"[inventory]", "[look]"} < set(request.legal_actions) and request.enumerable
    assert "coin" in request.text and "$$" not in request.text and "\n\n" not in request.text
    for _ in range(2):
        env.submit({"player_0": "[take the moon]"})
    (effect,) = env.waiting.values()
    assert effect.ask.args[1] == "look"  # type: ignore[union-attr]


def test_unknown_challenges_are_named_with_the_nearest_one() -> None:
    made("textworld/simple")
    with pytest.raises(UnknownNameError, match="did you mean treasure_hunter"):
        env_class("textworld/treasure_hunt")


# -- ScienceWorld ------------------------------------------------------------------------------------------------------


def test_the_table_of_variations_is_the_librarys_own() -> None:
    made("scienceworld/boil")
    server = scienceworlds._java(os.getpid())
    assert set(server.get_task_names()) == scienceworlds.VARIATIONS.keys()
    assert set(scienceworlds.SIMPLIFICATIONS) == {"easy", *server.get_possible_simplifications()}
    for task, (train, dev, end) in scienceworlds.VARIATIONS.items():
        assert server.get_max_variations(task) == end
        if task in ("boil", "lifespan-longest-lived", "identify-life-stages-2"):
            server.server.load(task, 0, "", False)
            assert server.get_variations_train() == list(range(train))
            assert server.get_variations_dev() == list(range(train, dev))
            assert server.get_variations_test() == list(range(dev, end))


def test_two_episodes_share_a_simulator_program_and_do_not_disturb_each_other() -> None:
    made("scienceworld/find-plant")
    moves = ["[look around]", "[open door to kitchen]", "[go to kitchen]", "[look around]"]
    params = {**EASY, "max_steps": len(moves)}

    def told(*names: str) -> list[list[str]]:
        envs = [make(name, **params) for name in names]
        for env in envs:
            env.start(1)
            env.settle()
        for move in moves:
            for env in envs:
                env.submit({"player_0": move})
                env.settle()
        return [[repr(event) for event in env.events] for env in envs]

    alone = told("scienceworld/find-plant")[0]
    scienceworlds._tasks._worlds.clear()
    assert told("scienceworld/find-plant", "scienceworld/find-animal")[0] == alone


def test_without_java_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    made("scienceworld/boil")
    monkeypatch.setattr(scienceworlds.shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match="apt-get install default-jre-headless"):
        scienceworlds._java(-1)


def test_a_simplification_that_does_not_exist_is_named() -> None:
    made("scienceworld/boil")
    with pytest.raises(EnvError, match="did you mean openDoors"):
        make("scienceworld/boil", simplifications="openDoor").start(0)


def test_importing_the_families_starts_nothing() -> None:
    """An id is looked up without the libraries, which take seconds."""
    made("textworld/simple"), made("scienceworld/boil")
    code = (
        "import sys; from palaestra.envs.registry import env_class\n"
        "env_class('textworld/simple'), env_class('scienceworld/boil')\n"
        "assert not {'textworld', 'scienceworld', 'py4j'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
