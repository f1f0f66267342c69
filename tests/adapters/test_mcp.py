"""MCP in both directions, with the official SDK and a server from the package index."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaestra import read_episodes
from palaestra.agents.cast import play
from palaestra.agents.verify import verify
from palaestra.cli import main
from palaestra.envs.adapters import mcp_tools
from palaestra.envs.adapters.mcp_tools import McpTools, signature
from palaestra.envs.conformance import Effort, check
from palaestra.envs.registry import env_class, make
from palaestra.envs.script import ScriptedEnv
from palaestra.errors import EnvError, UnknownNameError
from palaestra.view.serve import mcp_server

try:
    import mcp
except ModuleNotFoundError:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mcp is not installed", allow_module_level=True)

SERVER = '''
import os
from mcp.server.mcpserver import MCPServer
server, rows = MCPServer("ledger", log_level="ERROR"), []
@server.tool()
def add(value: int, tags: list[str] = []) -> str:
    """Add a row."""
    rows.append(value)
    return f"row {len(rows)}"
@server.tool()
def total() -> str:
    return str(sum(rows))
@server.tool()
def fall() -> str:
    os._exit(1)
server.run()
'''


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> type[McpTools]:
    """An environment around a server that remembers."""
    file = tmp_path_factory.mktemp("server") / "ledger.py"
    file.write_text(SERVER)

    class Ledger(McpTools):
        command = (sys.executable, str(file))
        task = "Make the total 7."

        def judge(self, gold: Any, said: str) -> Any:
            total = yield self.use("total")
            return float(total["text"] == "7")

    return Ledger


def time_server() -> Any:
    """The environment around `mcp-server-time`, or a skip where that is not installed (in CI: a failure)."""
    beside = Path(sys.executable).parent / "mcp-server-time"
    if not beside.exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mcp-server-time is not installed")
    return env_class("mcp/mcp-server-time")


def say(env: ScriptedEnv, *replies: str) -> str:
    """Reply after reply; what is told at the end."""
    for reply in replies:
        env.submit({"solver_0": reply})
        env.settle()
    return env.observe("solver_0")["text"]


def begun(cls: type[McpTools], **params: Any) -> McpTools:
    env = cls(**params)
    env.start(0)
    env.settle()
    return env


# -- a server's tools inside an environment ----------------------------------------------------------------------------


def test_a_server_of_the_package_index_keeps_the_rules_of_all() -> None:
    report = check(time_server(), effort=Effort(("1",), 50, 50, 20))
    assert report.ok, report.table()


def test_its_tools_solve_a_task_and_the_record_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    env = time_server()(task="It is 09:00 in Tokyo. What time is it in Kolkata?", answer="05:30")
    env.start(3)
    env.settle()
    assert "convert_time(source_timezone: string, time: string, target_timezone: string)" in env.render()
    call = '{"source_timezone": "Asia/Tokyo", "time": "09:00", "target_timezone": "Asia/Kolkata"}'
    assert "T05:30:00+05:30" in say(env, f"[call convert_time {call}]")
    assert "failed" in say(env, '[call convert_time {"time": "09:00"}]')
    say(env, "[answer 05:30]")
    assert env.transcript.outcome() == {
        "score": 1.0, "correct": True, "calls": 2, "failed": 1, "tools": ["convert_time"],
    }  # fmt: skip
    monkeypatch.setattr(mcp_tools, "_connect", None)  # whoever wanted a server now would fail
    monkeypatch.setattr(mcp_tools._sessions, "_connect", None)
    assert type(env).replay(env.transcript).events == env.events


def test_a_fork_has_a_server_state_of_its_own(ledger: type[McpTools]) -> None:
    env = begun(ledger)
    assert "add: row 1" in say(env, '[call add {"value": 3}]')
    other = env.fork()
    assert "add: row 2" in say(other, '[call add {"value": 100}]')
    assert "add: row 2" in say(env, '[call add {"value": 4}]')
    say(other, "[answer x]")
    say(env, "[answer x]")
    assert (other.transcript.returns()["solver_0"], env.transcript.returns()["solver_0"]) == (0.0, 1.0)


def test_brackets_go_into_a_block_and_broken_calls_cost_a_turn(ledger: type[McpTools]) -> None:
    env = begun(ledger, turns=6)
    assert "add: row 1" in say(env, '```json\n{"value": 7, "tags": ["a"]}\n```\n[call add]')
    assert "no JSON object" in say(env, "[call add {value: 7}]")
    assert "no JSON object" in say(env, "[call add 7]")
    assert "total: 7" in say(env, "[call total]")
    assert "fall failed" in say(env, "[call fall]")
    say(env, "[call total]", "[answer done]")  # not allowed at the last turn, so it is asked again
    assert env.over
    assert env.transcript.outcome()["failed"] == 3


def test_an_ended_server_is_started_again_with_what_it_had_done(ledger: type[McpTools]) -> None:
    env = begun(ledger)
    say(env, '[call add {"value": 7}]')
    sessions = [s for row in mcp_tools._sessions._waiting.values() for s in row]
    for session in sessions:
        session._task.get_loop().call_soon_threadsafe(session._task.cancel)
    while not all(session.ended for session in sessions):
        time.sleep(0.02)
    assert "total: 7" in say(env, "[call total]")


def test_episodes_share_a_server_that_does_not_remember(ledger: type[McpTools]) -> None:
    class Totals(ledger):  # type: ignore[misc, valid-type]
        remembers = False

    started = []
    for _ in range(3):
        env = begun(Totals)
        say(env, "[call total {}]")
        say(env, "[answer x]")
        started.append(len([s for row in mcp_tools._sessions._waiting.values() for s in row]))
    assert env.over and len(set(started)) == 1
    assert not any(getattr(event, "key", "").startswith("server") for event in env.events)


def test_verify_makes_the_calls_again() -> None:
    class Played(time_server()):  # type: ignore[misc]
        env_id = "mcp/mcp-server-time"
        task, answer = "It is 09:00 in Tokyo. What time is it in Kolkata?", "05:30"
        players = {
            "caller": lambda r: (
                "[answer 05:30]"
                if r.turn
                else '[call convert_time {"source_timezone": "Asia/Tokyo", "time": "09:00", '
                '"target_timezone": "Asia/Kolkata"}]'
            )
        }

    episode = play(Played(), cast="caller", seed=1)
    assert episode.outcome["correct"]
    (call,) = [e for e in episode.transcript.events if getattr(e, "key", "") == "server:2"]
    call.result["text"] = "something else"
    assert [d.what for d in verify(episode)] == ["effect result", "told text"]


def test_what_is_wrong_with_a_server_is_said() -> None:
    with pytest.raises(UnknownNameError, match="with mcp in its name"):
        env_class("mcp/sh")
    with pytest.raises(EnvError, match="no command 'no-such-mcp-server'"):
        begun(env_class("mcp/no-such-mcp-server"))  # type: ignore[arg-type]

    with pytest.raises(EnvError, match="declare its command"):
        begun(McpTools)


def test_a_tool_is_told_with_its_arguments() -> None:
    schema = {
        "properties": {"n": {"type": "integer", "description": "How\nmany."}, "unit": {"enum": ["m", "ft"]}},
        "required": ["n"],
    }
    assert signature({"name": "f", "about": "Does it.", "schema": schema}) == (
        'f(n: integer, unit?: "m"|"ft"): Does it.\n  n: How many.'
    )


# -- an environment as a server ----------------------------------------------------------------------------------------


def served(env: str, talk: Callable[[Any], Any], **params: Any) -> Any:
    """What a conversation with an environment's server gives, client and server in one process."""

    async def run() -> Any:
        async with mcp.Client(mcp_server(make(env), **params)) as client:
            return await talk(client)

    return asyncio.run(run())


def test_arithmetic_is_played_by_its_tools_and_recorded(tmp_path: Path) -> None:
    async def talk(client: Any) -> None:
        tools = {t.name: t for t in (await client.list_tools()).tools}
        assert tools.keys() == {"reset", "observe", "act", "calc", "answer"}
        assert tools["calc"].input_schema["required"] == ["text"]
        early = await client.call_tool("act", {"text": "[answer 1]"})
        assert early.is_error and "reset begins one" in early.content[0].text

        first = (await client.call_tool("reset", {"seed": 5})).structured_content
        again = (await client.call_tool("reset", {"seed": 5})).structured_content
        assert first == again
        question = first["text"].removeprefix("Compute ").rstrip(".")
        told = (await client.call_tool("calc", {"text": question})).structured_content
        assert told == (await client.call_tool("observe", {})).structured_content
        value = told["text"].removeprefix("Result ").rstrip(".")
        end = (await client.call_tool("answer", {"text": value})).structured_content
        assert end["done"] and end["reward"] == 1.0 and end["outcome"]["correct"]
        after = await client.call_tool("observe", {})
        assert after.structured_content == end
        assert (await client.call_tool("act", {"text": "x"})).is_error

    served("arithmetic", talk, save=tmp_path / "played.jsonl")
    (episode,) = read_episodes(tmp_path / "played.jsonl")
    assert episode.cast == {"solver_0": "outside"} and verify(episode) == []


def test_arguments_of_commands_are_typed_and_other_seats_play() -> None:
    async def talk(client: Any) -> None:
        tools = {t.name: t.input_schema["properties"] for t in (await client.list_tools()).tools}
        assert tools["check"].keys() == {"speech"}
        seen = (await client.call_tool("reset", {"seed": 2})).structured_content
        while not seen["done"]:
            verb = seen["legal_actions"][0].strip("[]")
            seen = (await client.call_tool(verb, {"speech": "I am sure."})).structured_content
        assert abs(seen["reward"]) in (0.5, 1.0) and "cards" in seen["outcome"]

    served("kuhn", talk)

    async def numbers(client: Any) -> None:
        tools = {t.name: t.input_schema["properties"] for t in (await client.list_tools()).tools}
        number = tools["offer"]["number"]
        assert number["type"] == "integer" and number["minimum"] < number["maximum"]

    served("haggle", numbers)


def test_the_two_directions_meet_over_standard_input_and_output() -> None:
    class Served(McpTools):
        command = (sys.executable, "-m", "palaestra.cli", "serve", "arithmetic", "--as", "mcp", "--set", "tool_calls=1")

    env = begun(Served)
    assert "calc(text: string, speech?: string)" in env.render()
    assert "Compute" in say(env, '[call reset {"seed": 5}]')
    assert "Result" in say(env, '[call calc {"text": "2 * 3"}]')


def test_serve_says_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "kuhn", "--as", "mpc"]) == 2
    assert "did you mean mcp?" in capsys.readouterr().err
