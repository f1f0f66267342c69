"""Running code that nobody has read: one protocol, a workspace an episode, no silent fallback.

| name | what runs | isolation | needs |
|---|---|---|---|
| `bubblewrap` | CPython with the standard library, bash | namespaces, system call filter, limits | Linux, `bwrap` |
| `monty` | a subset of Python, no files | an interpreter without access to anything | `palaestra[monty]` |
| `unsafe_subprocess` | CPython and bash, as the user who runs palaestra | resource limits only | Linux |

`get(name)` gives a back-end that has been probed in this process: it runs code, and refuses what it must refuse.
`Workspace(get(name))` is what one episode works in: files that later execs find as earlier ones left them. In an
environment, `execute` is an effect of it:

    effects = {"run": stateful(sandbox.execute)}
    ran = yield self.effect("run", "bubblewrap", "shell", "ls -l")      # {"stdout", "stderr", "exit_code", "error"}

What an exec returns depends on the code, the files and the input alone. That is why a time-out has no output and
changes no file (how far the code came depends on the machine), addresses in the output are cut, hashes and chance
start alike, the locale is fixed, and clocks start on 2000-01-01 and pass by being read and slept, not by themselves.
Not pinned are process ids, the times of files, `monotonic`, and in the shell whatever is not bash's own.

## Another back-end

A container, a remote machine: any object with the attributes of `Sandbox`, made known under a name.

    class Container:
        name, languages = "docker", ("python", "shell")

        def exec(self, code, *, language="python", files=None, stdin="", limits=None):
            limits = sandbox.limits_of(self, language, limits)
            ...                                     # docker run --rm --network none --memory ... --pids-limit ...
            return sandbox.Result(stdout, stderr, exit_code, error, truncated, files)

        def close(self): ...

    sandbox.register("docker", Container)           # sandbox = "docker" works in every environment from then on

It is probed like the others: `exec` must run `print(1)` and must not be able to read `/etc/passwd` of the host.
"""

from __future__ import annotations

import atexit
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from palaestra.errors import EnvError, MissingExtraError, UnknownNameError, nearest


class Limits(NamedTuple):
    """What one exec may use."""

    cpu_s: float = 2.0
    """CPU seconds of each process; whole seconds, rounded up, where the system counts so."""
    wall_s: float = 20.0
    """A backstop for code that waits; generous, because a time-out of a busy machine would not repeat."""
    memory_bytes: int = 256 << 20
    """Address space of each process, the interpreter (20 MB) included; under `monty` the heap."""
    output_bytes: int = 64 << 10
    """Of stdout and of stderr, each."""
    processes: int = 1
    """Processes and threads, the code's own included."""
    file_bytes: int = 8 << 20
    """Of each file written, of all files kept, and half of what all files together may be while the code runs."""


DEFAULT = {"python": Limits(), "shell": Limits(processes=8)}
"""By language. A shell without processes can run nothing."""


class Result(NamedTuple):
    """What came of an exec, as data: no timings, no addresses of ours."""

    stdout: str
    stderr: str
    exit_code: int | None
    """None where the code was stopped."""
    error: str | None
    """None; "exit" (an exit code other than 0: an uncaught exception is 1); "timeout", "memory", "output", "crash"
    (a signal, or the sandbox itself was brought down); "unsupported" (the syntax is outside `monty`'s subset)."""
    truncated: bool
    """Output beyond `output_bytes` was cut off."""
    files: Mapping[str, bytes] = MappingProxyType({})
    """The files afterwards, by relative path: what the exec began with where it was stopped."""


class SandboxMissingError(MissingExtraError, EnvError):
    """A back-end is not installed, or does not work here. Names what to install."""


class Sandbox(Protocol):
    """Runs code. May be shared by threads and episodes: nothing of an exec is left for the next."""

    name: str
    languages: tuple[str, ...]

    def exec(
        self,
        code: str,
        *,
        language: str = "python",
        files: Mapping[str, bytes] | None = None,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Result:
        """Run `code` as a program in a folder that holds `files` and nothing else. Whatever the code does is a result.

        Files keep their contents and become executable; links, empty folders and other marks are not kept.

        Args:
            language: one of `languages`.
            limits: None: `DEFAULT` of the language.
        """

    def close(self) -> None:
        """Stop what still runs. A later exec starts it again."""


def limits_of(sandbox: Sandbox, language: str, limits: Limits | None) -> Limits:
    """The limits that hold for an exec; an `EnvError` where the sandbox does not speak the language."""
    if language not in sandbox.languages:
        raise EnvError(f"sandbox {sandbox.name!r}: no language {language!r}\n  {nearest(language, sandbox.languages)}")
    return DEFAULT[language] if limits is None else limits


class Workspace:
    """The files of one episode: every exec begins with those that the last one left."""

    def __init__(
        self, sandbox: Sandbox, *, files: Mapping[str, bytes] | None = None, limits: Limits | None = None
    ) -> None:
        self.sandbox, self.limits = sandbox, limits
        self.files: dict[str, bytes] = {}
        for path, data in (files or {}).items():
            self.write(path, data)

    def exec(self, code: str, *, language: str = "python", stdin: str = "") -> Result:
        """Run code in the workspace."""
        result = self.sandbox.exec(code, language=language, files=self.files, stdin=stdin, limits=self.limits)
        self.files = dict(result.files)
        return result

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, at a path relative to the working folder."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
            raise EnvError(f"sandbox: file {path!r}\n  a path is relative and has no '..'")
        self.files[str(pure)] = data

    def read(self, path: str) -> bytes:
        """A file's contents. `FileNotFoundError` where there is none."""
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]


def execute(backend: str, language: str, code: str, *, history: Iterable[tuple[list[Any], Any]] = ()) -> dict[str, Any]:
    """An effect: run code in the workspace that the earlier calls of the episode made (mark it `stateful`)."""
    calls: list[Call] = [*(tuple(args) for args, _ in history), (backend, language, code)]
    done = len(calls) - 1
    while done and tuple(calls[:done]) not in _after:
        done -= 1
    files = _after.get(tuple(calls[:done]), {})
    for n in range(done, len(calls)):
        name, spoken, text = calls[n]
        result = get(name).exec(text, language=spoken, files=files)
        files = _after[tuple(calls[: n + 1])] = result.files
    while len(_after) > 64:
        _after.pop(next(iter(_after)), None)
    return {name: value for name, value in result._asdict().items() if name != "files"}


Call = tuple[str, str, str]
_after: dict[tuple[Call, ...], Mapping[str, bytes]] = {}
"""The files after some calls, so that the next call of an episode need not run the earlier ones again."""


_HOME = "palaestra.envs.sandboxes"
BACKENDS: dict[str, str | Callable[[], Sandbox]] = {
    "bubblewrap": f"{_HOME}.processes:Bubblewrap",
    "monty": f"{_HOME}.monty:Monty",
    "unsafe_subprocess": f"{_HOME}.processes:UnsafeSubprocess",
}
"""By name: what makes a back-end, or where to import that from."""
UNSAFE = "unsafe_subprocess"
"""The one name that says that nothing is protected."""
_FORBIDDEN = "open('/etc/passwd').read()"
_ready: dict[tuple[int, str], Sandbox] = {}  # by process: a forked child must not speak to its parent's jails
_ready_lock = threading.Lock()


def register(name: str, make: Callable[[], Sandbox]) -> None:
    """Make `name` mean a back-end, in this process; `make` is called when it is first asked for."""
    if name in BACKENDS and BACKENDS[name] is not make:
        raise EnvError(f"sandbox {name!r} is already there\n  choose another name")
    BACKENDS[name] = make


def get(name: str) -> Sandbox:
    """The back-end of this process under `name`, probed when it is first asked for.

    Raises:
        UnknownNameError: there is no such back-end.
        SandboxMissingError: it is not installed, does not work here, or permits what it must not.
    """
    if name not in BACKENDS:
        raise UnknownNameError(f"no sandbox {name!r}\n  {nearest(name, BACKENDS)}")
    with _ready_lock:
        key = (os.getpid(), name)
        if key not in _ready:
            make = BACKENDS[name]
            if isinstance(make, str):
                module, _, attribute = make.partition(":")
                make = getattr(importlib.import_module(module), attribute)
            sandbox: Sandbox = make()
            probe(sandbox, protects=name != UNSAFE)
            atexit.register(sandbox.close)
            _ready[key] = sandbox
        return _ready[key]


def probe(sandbox: Sandbox, *, protects: bool = True) -> None:
    """Let a sandbox run one line and refuse another; `SandboxMissingError` where it fails either."""
    works = sandbox.exec("print(1)")
    if works.stdout != "1\n" or works.error:
        raise SandboxMissingError(f"sandbox {sandbox.name!r} does not work here: print(1) gave {works}")
    if protects and not sandbox.exec(_FORBIDDEN).error:
        raise SandboxMissingError(f"sandbox {sandbox.name!r} does not protect: it could read /etc/passwd")
