"""The tools of an MCP server, any, inside an environment: `mcp/mcp-server-time`, or a subclass with a command.

| fact | value |
|---|---|
| seats | `solver_0` |
| turns | up to `turns` |
| hidden | nothing; the answer is not told |
| reward | 1 for the right answer, else 0 (a subclass may score otherwise): 0 to 1 |
| gold outcome | score, correct, calls, failed, tools |
| needs | `palaestra[mcp]` |

    palaestra play mcp/mcp-server-calculator --set task="What is 17 * 23?" --set answer=391 solver_0=human

    class Ledger(McpTools):
        command = ("npx", "-y", "some-server")
        def problem(self, rng):
            n = self.item("n", lambda r: r.randint(1, 99))
            return f"Add a row with value {n}, then answer its id.", n
        def judge(self, gold, said):
            rows = yield self.use("query", sql="select value from ledger")
            return float(str(gold) in rows["text"])

The seat is told the server's tools with their arguments, calls them with `[call TOOL {"name": value}]` and ends with
`[answer ...]`. Arguments that hold brackets go into a fenced block of the reply, and `[call TOOL]` after it. A broken
call (no JSON, arguments that the server refuses, no answer in 30 seconds) is told and costs a turn.

All that the server says is recorded, so replay needs no server; `replay --verify` makes the calls again, of records
that you trust. Every episode has a server process of its own, over stdio, unless the class says
that the server does not remember; it is not in a sandbox.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Foreign, library, made
from palaestra.envs.adapters.live import Sessions
from palaestra.envs.grammar import Move, blocks
from palaestra.envs.script import Effect, Request, Script, play_random, stateful
from palaestra.errors import EnvError, UnknownNameError

MAX_RESULT = 20_000  # characters of a result that are recorded


@asynccontextmanager
async def _connect(command: list[str]) -> AsyncIterator[Any]:
    """A client of a server that runs as a process of its own, silent but for the protocol."""
    stdio = library("mcp.client.stdio", "mcp")
    beside = Path(sys.executable).parent / command[0]  # a command of this Python's packages, on the path or not
    program = str(beside) if beside.is_file() else shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(f"no command {command[0]!r}; install the server that has it")
    parameters = stdio.StdioServerParameters(command=program, args=command[1:])
    with open(os.devnull, "w") as quiet:
        async with library("mcp", "mcp").Client(stdio.stdio_client(parameters, errlog=quiet)) as client:
            yield client


async def _ask(client: Any, request: list[Any]) -> Any:
    """The list of tools, or the result of a call, as plain data."""
    if not request:
        tools = (await client.list_tools()).tools
        return [{"name": t.name, "about": t.description or "", "schema": t.input_schema} for t in tools]
    name, arguments = request
    try:
        result = await client.call_tool(name, arguments)
    except library("mcp", "mcp").MCPError as error:  # the server does not know the tool, say
        return {"text": str(error), "failed": True}
    said = [part.text if part.type == "text" else f"({part.type}, not shown)" for part in result.content]
    return {"text": "\n".join(said)[:MAX_RESULT], "failed": bool(result.is_error)}


_sessions = Sessions(_connect, _ask)


@stateful
async def server(command: list[str], *request: Any, history: list[tuple[list[Any], Any]]) -> Any:
    """`[]` lists the tools, `[name, arguments]` calls one, `["close"]` ends the server."""
    earlier = [args[1:] for args, result in history if "error" not in result]
    if request == ("close",):
        await _sessions.close(command, earlier)
        return {}
    return await _sessions.call(command, earlier, list(request))


async def shared(command: list[str], *request: Any) -> Any:
    """The same of a server that does not remember: whichever is free answers."""
    return await _sessions.call(command, [], list(request), remembers=False)


def fields_of(schema: dict[str, Any]) -> dict[str, str]:
    """The fields of a JSON schema of an object, each with its type in a word; `?` marks those that may be left out."""
    needed = schema.get("required", [])
    return {
        name + ("" if name in needed else "?"): "|".join(map(json.dumps, about["enum"]))
        if "enum" in about
        else str(about.get("type", "any"))
        for name, about in schema.get("properties", {}).items()
    }


def signature(tool: dict[str, Any]) -> str:
    """A tool in a few lines, as a seat is told it: `calculate(expression: string): Evaluates ...`."""
    fields = ", ".join(f"{name}: {kind}" for name, kind in fields_of(tool["schema"]).items())
    described = {n: about.get("description") for n, about in tool["schema"].get("properties", {}).items()}
    notes = "".join(f"\n  {name}: {' '.join(text.split())}" for name, text in described.items() if text)
    return f"{tool['name']}({fields}): {' '.join(tool['about'].split())}{notes}"


def read_object(text: str, move: Move) -> dict[str, Any]:
    """The JSON object in `text`; where that is empty, in the reply's last fenced block, or an empty one.

    Raises:
        ValueError: it is none.
    """
    read = json.loads(text or (blocks(move.raw) or ["{}"])[-1])
    json.dumps(read, allow_nan=False)
    if not isinstance(read, dict):
        raise ValueError("no object in braces")
    return read


def _oracle(request: Request) -> str:
    return f"[answer {request.facts['answer']}]"


class McpTools(Foreign):
    """A task to be solved with the tools of an MCP server."""

    task: str = "Try the tools, then answer anything."
    answer: str = ""
    """The right answer; empty: none is."""
    args: str = ""
    """More arguments of the server's command, written as in a shell."""
    turns: int = 8

    command: ClassVar[tuple[str, ...]] = ()
    """The server's command and its arguments."""
    remembers: ClassVar[bool] = True
    """Whether a call changes what later ones give. If not, episodes need no server each, which is much faster."""
    max_shown: ClassVar[int] = 2000
    """Characters of a result that the seat is told."""
    seats = ("solver_0",)
    reward_range = (0.0, 1.0)
    effects = {"server": server, "shared": shared}
    players = {"random": play_random, "greedy": lambda request: "[answer none]", "oracle": _oracle}
    rules = 'Solve the task. [call TOOL {"name": value}] calls a tool, [answer ...] ends the episode.'

    def problem(self, rng: random.Random) -> tuple[str, Any]:
        """The task, and what `judge` needs to know."""
        return self.task, self.answer

    def judge(self, gold: Any, said: str) -> Script:
        """The score of an answer, 0 to 1. A generator: it may look at the server with `yield self.use(...)`."""
        return float(bool(gold) and " ".join(said.lower().split()) == " ".join(str(gold).lower().split()))
        yield

    def use(self, tool: str, **arguments: Any) -> Effect:
        """A call of a tool, to be yielded; its result is `{"text": ..., "failed": ...}`, or `{"error": ...}`."""
        return self._server(tool, arguments)

    def _server(self, *request: Any) -> Effect:
        return self.effect("server" if self.remembers else "shared", [*self.command, *shlex.split(self.args)], *request)

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        if not self.command:
            raise EnvError(f'{self.name()}: no server\n  declare its command: command = ("npx", "-y", "some-server")')
        task, gold = self.problem(rng)
        self.note(answer=gold)
        offered = yield self._server()
        if not offered or "error" in offered:
            what = offered["error"] if offered else "it has no tools"
            raise EnvError(f"{self.name()}: the server {shlex.join(self.command)} gives no tools\n  {what}")
        names = {tool["name"].lower(): tool["name"] for tool in offered}
        calls = f"call {'|'.join(names)}"
        self.tell("\n".join((task, "Tools:", *map(signature, offered))))

        said, used, failed = "", [], 0
        for left in range(self.turns - 1, -1, -1):
            commands = (f"{calls} ...", calls, "answer ...") if left else ("answer ...",)
            move = yield self.turn(seat, *commands, default="answer none")
            if move.verb == "answer":
                said = move.args[0]
                break
            name = names[move.args[0]]
            used.append(name)
            try:
                result = yield self._server(name, read_object(" ".join(move.args[1:]), move))
            except (ValueError, RecursionError) as error:
                result = {"error": f"the arguments are no JSON object: {error}"}
            bad = result.get("failed", True)
            failed += bad
            text = result["error"] if "error" in result else result["text"]
            self.tell(f"{name}{' failed' * bad}: {text[: self.max_shown]}\nTurns left: {left}.")
        score = yield from self.judge(gold, said)
        if self.remembers:
            yield self._server("close")
        self.reward({seat: score})
        self.outcome(score=score, correct=score == 1.0, calls=len(used), failed=failed, tools=sorted(set(used)))


def member(name: str) -> type[McpTools]:
    """The class of a server that an installed package brings, by its command.

    A record names its environment and may come from anywhere, so the command has to be called an MCP server: `mcp` is
    in its name.
    """
    if not re.fullmatch(r"[\w.-]*mcp[\w.-]*", name):
        raise UnknownNameError(
            f"mcp has no {name!r}\n  mcp/COMMAND is an installed command with mcp in its name, such as "
            "mcp/mcp-server-time\n  for any other server, subclass palaestra.envs.adapters.mcp_tools:McpTools"
        )
    return made(McpTools, f"mcp/{name}", command=(name,))
