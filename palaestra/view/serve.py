"""One seat of an environment for programs elsewhere: as an MCP server, or behind OpenEnv.

The others in the world are scripted players. Both doors show the same of a turn: what the seat was told since it last
acted, its legal actions, what it was paid since, whether it is over, and at the end the outcome.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from palaestra import __version__
from palaestra.agents.episode import Episode
from palaestra.envs.adapters.foreign import library
from palaestra.envs.grammar import _options
from palaestra.envs.script import Request, ScriptedEnv, play_random
from palaestra.envs.views import SingleView
from palaestra.errors import EnvError, PalaestraError
from palaestra.view.terminal import append

_writing = threading.Lock()
PROBE_SEEDS, PROBE_TURNS = 3, 40  # random play that shows which commands there are


class Seat:
    """A seat that is played from outside, one call after another. With `save`, finished episodes go into that file."""

    def __init__(
        self, env: ScriptedEnv, seat: str | None = None, others: str = "random", save: Path | None = None
    ) -> None:
        self._view = SingleView(type(env)(**env.params), seat, others)
        self._cast = dict.fromkeys(env.seats, f"player:{others}") | {self._view.seat: "outside"}
        self._save = save
        self._lock = threading.Lock()
        self._last: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return self._view.seat

    def reset(self, seed: int | None = None) -> dict[str, Any]:
        """Begin an episode."""
        with self._lock:
            seen, info = self._view.reset(seed=seed)
            return self._shown(seen["text"], 0.0, info)

    def observe(self) -> dict[str, Any]:
        """The turn once more."""
        with self._lock:
            return self._begun()

    def act(self, text: str) -> dict[str, Any]:
        """Reply, and see what comes of it.

        Raises:
            EnvError: there is no episode, or it is over.
        """
        with self._lock:
            if self._begun()["done"]:
                raise EnvError("the episode is over\n  reset begins another")
            seen, reward, _, _, info = self._view.step(text)
            return self._shown(seen["text"], float(reward), info)

    def _begun(self) -> dict[str, Any]:
        if not self._last:
            raise EnvError("no episode yet\n  reset begins one")
        return self._last

    def _shown(self, text: str, reward: float, info: dict[str, Any]) -> dict[str, Any]:
        done = "outcome" in info
        legal = list(info.get("legal_actions", []))
        self._last = {"text": text, "legal_actions": legal, "reward": reward, "done": done}
        self._last["outcome"] = info.get("outcome", {})
        if done and self._save:
            record = self._view.env.transcript
            with _writing:
                append(self._save, Episode(str(record.seed), record, self._cast))
        return self._last


# -- MCP -------------------------------------------------------------------------------------------------------------
def mcp_server(env: ScriptedEnv, seat: str | None = None, others: str = "random", save: Path | None = None) -> Any:
    """An MCP server with the tools `reset`, `observe`, `act` and one for each kind of move, such as `calc`.

    Raises:
        MissingExtraError: the package mcp is not installed.
    """
    mcp = library("mcp.server.mcpserver", "mcp")
    game = Seat(env, seat, others, save)
    server = mcp.MCPServer(env.name(), instructions=env.rules, version=__version__, log_level="ERROR")

    def add(function: Callable[..., dict[str, Any]], name: str, about: str) -> None:
        def tool(*args: Any, **kwargs: Any) -> dict[str, Any]:
            try:
                return function(*args, **kwargs)
            except PalaestraError as error:  # which the caller can mend
                raise mcp.exceptions.ToolError(str(error)) from error

        tool.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
        server.add_tool(tool, name=name, description=about)

    add(game.reset, "reset", "Begin an episode. The same seed gives the same episode. Returns the first turn.")
    add(game.observe, "observe", "The turn once more: what you were told, and the legal actions.")
    add(game.act, "act", "Reply in words, the move in brackets. Returns the next turn, or the end and its outcome.")
    for verb, patterns in _commands(env, game.name, others).items():
        if verb not in ("reset", "observe", "act"):
            about = f"Reply with {' or '.join(f'[{verb}{pattern}]' for pattern in patterns[:4])}, as `act` would."
            add(_move(game, verb, patterns), verb, about)
    return server


def _commands(env: ScriptedEnv, seat: str, others: str) -> dict[str, list[str]]:
    """The seat's commands in some random episodes, by verb: `{"calc": [" ..."]}`."""
    found: dict[str, list[str]] = {}
    view = SingleView(type(env)(**env.params), seat, others)
    for seed in range(PROBE_SEEDS):
        try:
            view.reset(seed=seed)
            for _ in range(PROBE_TURNS):
                request: Request | None = view.env.waiting.get(seat)
                if request is None:
                    break
                for command in request.commands:
                    verb, space, rest = command.partition(" ")
                    known = found.setdefault(verb.lower(), [])
                    known += [space + rest] * (space + rest not in known)
                view.step(play_random(request))
        except PalaestraError:  # a tool that is not there will be told to whoever plays
            continue
    return found


def _parameter(arg: str, options: list[str] | None) -> tuple[str, Any]:
    """Name and type of an argument of a command."""
    if options is None:
        return "text", str
    if ".." in arg:
        low, _, high = arg.partition("..")
        return "number", Annotated[int, Field(ge=int(low), le=int(high))]
    return "choice", Literal[tuple(options)]


def _move(game: Seat, verb: str, patterns: list[str]) -> Callable[..., dict[str, Any]]:
    """A function that plays `verb`, with a typed parameter an argument where all its turns have the same ones."""
    arguments = patterns[0].split() if len(patterns) == 1 else ["..."]
    kinds: dict[str, Any] = {}
    words: list[str | None] = []  # a word that is always the same, or the next parameter
    for arg in arguments:
        options = _options(arg)
        if options and len(options) == 1:
            words.append(options[0])
            continue
        name, kind = _parameter(arg, options)
        kinds[f"{name}_{len(kinds) + 1}" if name in kinds else name] = kind
        words.append(None)

    def play(speech: str = "", **given: Any) -> dict[str, Any]:
        values = iter(str(given[name]) for name in kinds)
        said = " ".join(word if word is not None else next(values) for word in words).strip()
        return game.act(f"{speech}\n[{verb} {said}]".strip() if said else f"{speech}\n[{verb}]".strip())

    keyword = inspect.Parameter.KEYWORD_ONLY
    speech = Annotated[str, Field(description="What is said before the move, or code in a fenced block.")]
    play.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(inspect.Parameter(name, keyword, annotation=kind) for name, kind in kinds.items()),
            inspect.Parameter("speech", keyword, default="", annotation=speech),
        ],
        return_annotation=dict[str, Any],
    )
    return play


def serve_mcp(env: ScriptedEnv, seat: str | None = None, others: str = "random", save: Path | None = None) -> None:
    """Serve one client over standard input and output, until it leaves."""
    mcp_server(env, seat, others, save).run("stdio")


# -- OpenEnv ---------------------------------------------------------------------------------------------------------
def openenv_app(
    env: ScriptedEnv, seat: str | None = None, others: str = "random", save: Path | None = None, sessions: int = 64
) -> Any:
    """A FastAPI application that OpenEnv's clients can play; each session has an environment of its own.

    An action is `{"text": ...}`; an observation has `text`, `legal_actions` and, at the end, `outcome`.

    Raises:
        MissingExtraError: the package openenv-core is not installed.
    """
    server = library("openenv.core.env_server", "openenv")
    types = library("openenv.core.env_server.types", "openenv")

    class TextAction(types.Action):  # type: ignore[misc, name-defined]
        """A reply in words, the move in brackets."""

        text: str

    class TextObservation(types.Observation):  # type: ignore[misc, name-defined]
        """A turn of the seat."""

        text: str
        legal_actions: list[str] = []
        outcome: dict[str, Any] = {}

    class Game(server.Environment):  # type: ignore[misc, name-defined]
        """An environment of palaestra behind OpenEnv's interface."""

        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self._seat = Seat(env, seat, others, save)
            self._state = types.State()

        def reset(self, seed: int | None = None, episode_id: str | None = None, **more: Any) -> Any:
            self._state = types.State(episode_id=episode_id, step_count=0)
            return TextObservation(**self._seat.reset(seed))

        def step(self, action: Any, timeout_s: float | None = None, **more: Any) -> Any:
            seen = TextObservation(**self._seat.act(action.text))
            self._state.step_count += 1
            return seen

        @property
        def state(self) -> Any:
            return self._state

        def get_metadata(self) -> Any:
            return types.EnvironmentMetadata(name=env.name(), description=env.rules, version=__version__)

    return server.create_fastapi_app(Game, TextAction, TextObservation, max_concurrent_envs=sessions)


def serve_openenv(
    env: ScriptedEnv, seat: str | None = None, others: str = "random", save: Path | None = None, port: int = 8000
) -> None:
    """Serve on this machine, until interrupted."""
    app = openenv_app(env, seat, others, save)
    print(f"{env.name()} at http://127.0.0.1:{port}.  Ctrl-C ends it.", flush=True)
    library("uvicorn", "openenv").run(app, host="127.0.0.1", port=port, log_level="warning")
