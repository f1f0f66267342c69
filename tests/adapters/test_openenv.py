"""OpenEnv in both directions: its own client at our server, our environment at its server, and each at the other."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.cast import play
from palaestra.agents.verify import verify
from palaestra.envs.adapters import openenv
from palaestra.envs.adapters.openenv import OpenEnv
from palaestra.envs.conformance import Effort, check
from palaestra.envs.registry import env_class, make
from palaestra.envs.views import SingleView
from palaestra.errors import EnvError, UnknownNameError
from palaestra.view.serve import openenv_app

try:
    import uvicorn
    from openenv.core import GenericEnvClient
    from openenv.core.env_server import Environment, create_fastapi_app
    from openenv.core.env_server.types import Action, Observation, State
except ModuleNotFoundError as missing:
    why = f"{missing.name} is not installed"
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why, allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address at which an application is served by a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"127.0.0.1:{port}"
    server.should_exit = server.force_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def kuhn() -> Iterator[str]:
    with serving(openenv_app(make("kuhn"), others="greedy")) as address:
        yield address


def talk(address: str, conversation: Callable[[Any], Any]) -> Any:
    """What a conversation of OpenEnv's own client with a server gives."""

    async def run() -> Any:
        async with GenericEnvClient(base_url=f"http://{address}") as client:
            return await conversation(client)

    return asyncio.run(run())


# -- our environments on a server, its own client ----------------------------------------------------------------------


def test_its_client_plays_what_gymnasium_would_play(kuhn: str) -> None:
    async def conversation(client: Any) -> list[Any]:
        seen = await client.reset(seed=4)
        turns = [(seen.observation["text"], seen.reward, seen.done)]
        while not seen.done:
            seen = await client.step({"text": seen.observation["legal_actions"][0]})
            turns.append((seen.observation["text"], seen.reward, seen.done))
        assert seen.observation["outcome"]["cards"]
        assert (await client.state())["step_count"] == len(turns) - 1
        with pytest.raises(RuntimeError, match="the episode is over"):
            await client.step({"text": "[check]"})
        with pytest.raises(RuntimeError, match="Invalid message"):
            await client.step({"words": "[check]"})
        return turns

    view = SingleView(make("kuhn"), others="greedy")
    seen, info = view.reset(seed=4)
    expected, done = [(seen["text"], 0.0, False)], False
    while not done:
        seen, reward, done, _, info = view.step(info["legal_actions"][0])
        expected.append((seen["text"], reward, done))
    assert talk(kuhn, conversation) == expected


def test_sessions_do_not_disturb_each_other(kuhn: str) -> None:
    async def conversation(first: Any) -> bool:
        async with GenericEnvClient(base_url=f"http://{kuhn}") as second:
            one = await first.reset(seed=1)
            other = await second.reset(seed=2)
            await second.step({"text": other.observation["legal_actions"][0]})
            again = await second.reset(seed=1)
            return bool(one.observation == again.observation)

    assert talk(kuhn, conversation)


def test_the_command_line_serves(tmp_path: Path) -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "palaestra.cli", "serve", "haggle", "--as", "openenv", "--port", port]
    process = subprocess.Popen([*command, "--seat", "seller_0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and f"127.0.0.1:{port}" in process.stdout.readline()
        env: Any = make(f"openenv/127.0.0.1:{port}")
        for _ in range(600):
            try:
                env.start(0)
                env.settle()
                break
            except EnvError:  # it is not listening yet
                time.sleep(0.1)
        assert "seller" in env.render()
    finally:
        process.terminate()
        process.wait(20)


# -- a server as an environment ----------------------------------------------------------------------------------------


def test_our_server_as_an_environment_keeps_the_rules_of_all(kuhn: str) -> None:
    cls = env_class(f"openenv/{kuhn}")
    report = check(cls, effort=Effort(("1",), 50, 50, 20))
    assert report.ok, report.table()
    episode = play(f"openenv/{kuhn}", cast="random", seed=8)
    assert episode.outcome["cards"] and not episode.outcome["truncated"]
    assert episode.transcript.returns()["player_0"] == episode.outcome["total"] != 0
    assert verify(episode) == []


def test_turns_have_the_commands_that_the_server_lists(kuhn: str) -> None:
    env: Any = make(f"openenv/{kuhn}")
    env.start(1)
    env.settle()
    (request,) = env.waiting.values()
    assert request.enumerable and "[bet]" in request.legal_actions


def test_a_record_needs_no_server_and_a_fork_a_session_of_its_own(kuhn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = make(f"openenv/{kuhn}")
    env.start(1)
    env.settle()
    twin = env.fork()
    for one in (env, twin):
        while one.waiting:
            (request,) = one.waiting.values()
            one.submit({"player_0": request.legal_actions[0]})
            one.settle()
    assert env.events == twin.events
    monkeypatch.setattr(openenv._sessions, "_connect", None)
    assert type(env).replay(env.transcript).events == env.events


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The environment that openenv-core brings as a template, made and served as it is."""
    import openenv.cli.templates as templates

    folder = tmp_path_factory.mktemp("openenv") / "echo_box"
    shutil.copytree(Path(templates.__file__).parent / "openenv_env", folder, ignore=shutil.ignore_patterns("__pyc*"))
    for file in sorted(folder.rglob("*"), reverse=True):
        if file.is_file():
            text = file.read_text()
            for mark, value in (("NAME", "echo_box"), ("CLASS_NAME", "EchoBox"), ("TITLE_NAME", "Echo Box")):
                text = text.replace(f"__ENV_{mark}__", value)
            file.write_text(text)
        file.rename(file.with_name(file.name.replace("__ENV_NAME__", "echo_box")))
    sys.path.insert(0, str(folder.parent))
    from echo_box.server.app import app

    with serving(app) as address:
        yield address
    sys.path.remove(str(folder.parent))


def test_the_environment_of_its_template_plays(echo: str) -> None:
    env: Any = make(f"openenv/{echo}", turns=2)
    env.start(0)
    env.settle()
    assert "ready" in env.observe("player_0")["text"]
    assert not env.waiting["player_0"].commands  # its action is one text
    for reply in ("hello", "[world]"):
        env.submit({"player_0": reply})
        env.settle()
    assert env.over
    assert env.transcript.outcome() == {"total": pytest.approx(0.5 + 0.7), "steps": 2, "truncated": True}


def served(reset: Callable[[int | None], int]) -> Any:
    """An application in which one moves on a line, from where `reset` puts one, to 0."""

    class Step(Action):  # type: ignore[misc]
        by: int

    class Place(Observation):  # type: ignore[misc]
        place: int

    class Line(Environment):  # type: ignore[misc]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def reset(self, seed: int | None = None, **more: Any) -> Any:
            self.place = reset(seed)
            return Place(place=self.place)

        def step(self, action: Any, timeout_s: float | None = None, **more: Any) -> Any:
            self.place += action.by
            return Place(place=self.place, done=self.place == 0, reward=float(self.place == 0))

        @property
        def state(self) -> Any:
            return State()

    Step.model_rebuild(_types_namespace=globals())
    return create_fastapi_app(Line, Step, Place, max_concurrent_envs=4)


def test_actions_of_other_kinds_are_json_and_refused_ones_change_nothing() -> None:
    with serving(served(lambda seed: random.Random(seed).randint(3, 9))) as address:
        env: Any = make(f"openenv/{address}")
        env.start(5)
        env.settle()
        told = env.observe("player_0")["text"]
        assert told.startswith("An action is [act JSON] with by: integer.")
        place = int(told.rpartition(":")[2].strip(" }"))

        def say(text: str) -> str:
            env.submit({"player_0": text})
            env.settle()
            return str(env.observe("player_0")["text"])

        assert say('[act {"by": -1}]') == f'{{"place": {place - 1}}}'
        assert "That is no action" in say("[act forward]")
        assert "Invalid message" in say('[act {"by": "far"}]')
        assert say('```\n{"by": -1}\n```\n[act]') == f'{{"place": {place - 2}}}'
        say(f'[act {{"by": {2 - place}}}]')
        assert env.over and env.transcript.outcome() == {"total": 1.0, "steps": 5, "truncated": False}

        class Walk(OpenEnv):
            def shown(self, observation: dict[str, Any]) -> str:
                return f"You are at {observation['place']}."

            def action(self, move: Any, fields: dict[str, str]) -> dict[str, Any]:
                return {"by": int(move.args[0])}

        Walk.address = address
        walk = Walk()
        walk.start(5)
        walk.settle()
        assert f"You are at {place}." in walk.observe("player_0")["text"]


def test_a_server_that_takes_no_seed_is_refused() -> None:
    chance = random.Random(1)
    with serving(served(lambda seed: chance.randint(1, 10**9))) as address:
        env = make(f"openenv/{address}")
        with pytest.raises(EnvError, match="two resets by one seed differ"):
            env.start(0)
            env.settle()


def test_where_there_is_no_server_the_address_is_said() -> None:
    with pytest.raises(UnknownNameError, match="HOST:PORT"):
        env_class("openenv/kuhn")
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(EnvError, match=f"no OpenEnv server at {address}"):
        env = make(f"openenv/{address}")
        env.start(0)
        env.settle()
