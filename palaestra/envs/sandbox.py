"""Running code that nobody has read: one protocol, three back-ends, no silent fallback.

| name | what runs | isolation | needs |
|---|---|---|---|
| `bubblewrap` | CPython, the standard library | namespaces, no network, read-only, limits | Linux, `bwrap` |
| `monty` | a subset of Python, no files | an interpreter without access to anything | `palaestra[monty]` |
| `unsafe_subprocess` | CPython, as the user who runs palaestra | resource limits only | Linux |

`get(name)` gives a back-end that has been probed in this process: it runs code, and refuses what it must refuse.
What an exec returns depends on the code, the files and the input alone. That is why a time-out has no output (how
far the code came depends on the machine), addresses in the output are cut, hashes and `random` start alike, and the
locale is fixed.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

from palaestra.errors import EnvError, MissingExtraError, UnknownNameError, nearest


class Limits(NamedTuple):
    """What one exec may use."""

    cpu_s: float = 2.0
    """CPU seconds of each process; whole seconds, rounded up, where the system counts so."""
    wall_s: float = 20.0
    """A backstop for code that sleeps; generous, because a time-out of a busy machine would not repeat."""
    memory_bytes: int = 256 << 20
    """Address space of each process, the interpreter (20 MB) included; under `monty` the heap."""
    output_bytes: int = 64 << 10
    """Of stdout and of stderr, each."""
    processes: int = 1
    """Processes and threads, the code's own included."""
    file_bytes: int = 8 << 20
    """Of each file written, of all files read back, and half of what all files together may be."""


DEFAULT = Limits()


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


class SandboxMissingError(MissingExtraError, EnvError):
    """A back-end is not installed, or does not work here. Names what to install."""


class Sandbox(Protocol):
    """Runs code. May be shared by threads; execs of one sandbox follow one another."""

    name: str

    def exec(self, code: str, *, stdin: str = "", limits: Limits = DEFAULT) -> Result:
        """Run `code` as a program, beginning with the files that `write_file` gave and nothing else."""

    def write_file(self, path: str, data: bytes) -> None:
        """Every later exec begins with this file, at a path relative to its working folder."""

    def read_file(self, path: str) -> bytes:
        """A file that the last exec left, or that was written. `FileNotFoundError` where there is none."""

    def close(self) -> None:
        """Stop what still runs. A later exec starts it again."""


class _Files:
    """The files that execs begin with, and those that the last one left."""

    def __init__(self) -> None:
        self.given: dict[str, bytes] = {}
        self.left: dict[str, bytes] = {}

    def write_file(self, path: str, data: bytes) -> None:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise EnvError(f"sandbox: file {path!r}\n  a path is relative and has no '..'")
        self.given[str(pure)] = data

    def read_file(self, path: str) -> bytes:
        files = {**self.given, **self.left}
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    def job(self, code: str, stdin: str, limits: Limits, uid: int | None, others: int) -> int:
        """A memory file that holds what `palaestra.envs.jail` runs."""
        files = {path: data.decode("latin-1") for path, data in self.given.items()}
        job = {"code": code, "stdin": stdin, "files": files, "limits": limits._asdict(), "uid": uid, "others": others}
        memory = os.memfd_create("job")
        with os.fdopen(memory, "wb", closefd=False) as file:
            file.write(json.dumps(job).encode())
        return memory


_JAIL = Path(__file__).with_name("jail.py")
_ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
}
# not -I: it would ignore PYTHONHASHSEED
_FLAGS = ("-s", "-S", "-P")


class _Streams:
    """The host's ends of a program's stdout and stderr, read up to a limit."""

    def __init__(self) -> None:
        self.ours, self.theirs = zip(os.pipe(), os.pipe(), strict=True)
        self.texts = {fd: bytearray() for fd in self.ours}

    def follow(self, ended: int, on_end: Callable[[], None], limits: Limits) -> str | None:
        """Read until `ended` is readable and both streams are at their end. None, "timeout" or "output"."""
        for fd in self.theirs:
            os.close(fd)
        deadline = time.monotonic() + limits.wall_s
        poll = select.poll()
        waiting = {ended, *self.ours}
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        while waiting:
            ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ready:
                return "timeout"
            for fd, _ in ready:
                data = b"" if fd == ended else os.read(fd, 1 << 16)
                if fd == ended:
                    on_end()
                else:
                    self.texts[fd] += data
                    if len(self.texts[fd]) > limits.output_bytes:
                        return "output"
                if not data:
                    poll.unregister(fd)
                    waiting.discard(fd)
        return None

    def result(self, why: str | None, exit_code: int | None, cpu_s: float, limits: Limits) -> Result:
        """What came of it; closes the streams."""
        for fd in self.ours:
            os.close(fd)
        raw = [bytes(self.texts[fd]) for fd in self.ours]
        if why == "output":  # how much of the other stream had come by then depends on the machine
            raw = [text[: limits.output_bytes] if len(text) > limits.output_bytes else b"" for text in raw]
            return Result(_text(raw[0]), _text(raw[1]), None, "output", True)
        if why is None and (exit_code == -signal.SIGXCPU or (exit_code == -signal.SIGKILL and cpu_s >= limits.cpu_s)):
            why = "timeout"
        if why == "timeout":
            return Result("", "", None, "timeout", False)
        stdout, stderr = _text(raw[0]), _text(raw[1])
        if exit_code is None or exit_code < 0:
            return Result(stdout, stderr, None, "crash", False)
        if exit_code == 0:
            return Result(stdout, stderr, 0, None, False)
        out_of_memory = stderr.rstrip().rpartition("\n")[2].startswith("MemoryError")
        return Result(stdout, stderr, exit_code, "memory" if out_of_memory else "exit", False)


def _text(raw: bytes) -> str:
    """Output as text, without the addresses in `<object object at 0x7f...>`: they would not repeat."""
    return re.sub(r" at 0x[0-9a-f]+", " at 0x", raw.decode("utf-8", "replace"))


class Bubblewrap(_Files):
    """CPython inside `bwrap`: own namespaces, a read-only system, one small scratch folder, no network.

    One jail stays warm. A server in it forks for every exec, which takes a millisecond or two; the jail is thrown
    away as soon as code leaves anything behind: a file, a process, a broken server.
    """

    name = "bubblewrap"

    def __init__(self) -> None:
        super().__init__()
        self._program = shutil.which("bwrap")
        if sys.platform != "linux" or self._program is None:
            raise SandboxMissingError(
                'sandbox "bubblewrap": bwrap is not installed\n  apt-get install bubblewrap (Linux only)\n'
                '  or sandbox = "monty", a subset of Python: pip install "palaestra[monty]"'
            )
        self._lock = threading.Lock()
        # The jail dies with the thread that started it (--die-with-parent), so that thread must live on.
        self._starter = ThreadPoolExecutor(1)
        self._jail: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        # A root that may set up namespaces by itself also changes its uid: limits on processes do not bind root.
        self._uid = 65534 if os.geteuid() == 0 else None

    def exec(self, code: str, *, stdin: str = "", limits: Limits = DEFAULT) -> Result:
        with self._lock:
            control = self._start()
            others = 0 if self._uid is not None else 2  # the jail's init and server count, where the uid is the same
            memory, streams = self.job(code, stdin, limits, self._uid, others), _Streams()
            answer: list[Any] = []

            def on_end() -> None:
                message = control.recv(4096)
                answer.extend(json.loads(message) if message else (None, 0.0, False))

            socket.send_fds(control, [b"run"], [memory, *streams.theirs])
            why = streams.follow(control.fileno(), on_end, limits)
            exit_code, cpu_s, clean = answer or (None, 0.0, False)
            self.left = {}
            if why is None and exit_code is not None:
                with os.fdopen(memory, "rb") as file:
                    file.seek(0)
                    self.left = {path: text.encode("latin-1") for path, text in json.load(file).items()}
            else:
                os.close(memory)
            if why or not clean:
                self._stop()
            return streams.result(why, exit_code, cpu_s, limits)

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _start(self) -> socket.socket:
        """The control socket of a jail that is ready."""
        if self._jail is not None and self._jail.poll() is None and self._control is not None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as complaints, theirs:

            def launch() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    self._command(), stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=complaints,
                    env=_ENVIRONMENT,  # not --clearenv: bwrap's own environment can be read in the jail's /proc/1
                    start_new_session=True,
                )  # fmt: skip

            self._jail = self._starter.submit(launch).result()
            theirs.close()
            ours.settimeout(30)
            try:
                ready = ours.recv(64)
            except TimeoutError:
                ready = b""
            ours.settimeout(None)
            if ready != b"ready":
                complaints.seek(0)
                why = complaints.read().decode(errors="replace").strip().split("\n")[-1]
                ours.close()
                self._stop()
                raise SandboxMissingError(
                    f'sandbox "bubblewrap": the jail does not start: {why}\n  user namespaces must be permitted\n'
                    '  or sandbox = "monty", a subset of Python: pip install "palaestra[monty]"'
                )
        self._control = ours
        return ours

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._jail is not None:
            # The jail's init first: bwrap then reaps it and ends. Killed itself, it would leave a zombie behind in
            # containers whose own init does not reap.
            outer = self._jail.pid
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                for inner in Path(f"/proc/{outer}/task/{outer}/children").read_text().split():
                    os.kill(int(inner), signal.SIGKILL)
                self._jail.wait(5)
            _kill_group(self._jail)
        self._jail = self._control = None

    def _command(self) -> list[str]:
        python = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
        prefix = Path(os.path.realpath(sys.base_prefix))
        command = [str(self._program), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        command += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if self._uid is None:
            command += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
        else:
            command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_KILL"]
        command += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        for folder in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
            if os.path.islink(folder):
                command += ["--symlink", os.readlink(folder), folder]
            else:
                command += ["--ro-bind-try", folder, folder]
        if not prefix.is_relative_to("/usr"):
            for parent in reversed(prefix.parents[:-1]):  # made by hand: those that bwrap makes are closed to others
                command += ["--perms", "0755", "--dir", str(parent)]
            command += ["--ro-bind", str(prefix), str(prefix)]
        command += ["--proc", "/proc", "--dev", "/dev"]
        command += ["--perms", "1777", "--size", str(2 * DEFAULT.file_bytes), "--tmpfs", "/tmp"]
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
        return [*command, "--", str(python), *_FLAGS, "-c", _JAIL.read_text(), "serve"]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and its process group. Only once: after that its id may be another's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class UnsafeSubprocess(_Files):
    """CPython as the user who runs palaestra, in a folder of its own, with resource limits and nothing else.

    The code can read and delete whatever the user can, and use the network. For code that you wrote yourself.
    """

    name = "unsafe_subprocess"

    def exec(self, code: str, *, stdin: str = "", limits: Limits = DEFAULT) -> Result:
        streams = _Streams()
        memory = self.job(code, stdin, limits, None, 1000)  # the user's other processes count, too: no real limit
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen(
                [sys.executable, *_FLAGS, "-c", _JAIL.read_text(), "once", str(memory)],
                stdin=subprocess.DEVNULL, stdout=streams.theirs[0], stderr=streams.theirs[1], cwd=folder,
                env=_ENVIRONMENT | {"HOME": folder}, pass_fds=[memory], start_new_session=True,
            )  # fmt: skip
            os.close(memory)
            ended = os.pidfd_open(process.pid)
            try:
                why = streams.follow(ended, lambda: _kill_group(process), limits)
            finally:
                os.close(ended)
                _kill_group(process)
            self.left = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted(Path(folder).rglob("*"))
                if path.is_file() and not path.is_symlink()
            }
        return streams.result(why, process.returncode, limits.cpu_s, limits)

    def close(self) -> None:
        pass


class Monty(_Files):
    """A subset of Python 3.14 in an interpreter that has no files, network or clock; 0.3 ms an exec.

    Without generators, `del`, inheritance, and most of the standard library: such syntax is "unsupported".
    """

    name = "monty"

    def __init__(self) -> None:
        super().__init__()
        try:
            import pydantic_monty
        except ImportError as error:
            raise SandboxMissingError('sandbox "monty" is not installed\n  pip install "palaestra[monty]"') from error
        self._monty = pydantic_monty
        self._lock = threading.Lock()
        self._pool: Any = None

    def exec(self, code: str, *, stdin: str = "", limits: Limits = DEFAULT) -> Result:
        out: dict[str, str] = {"stdout": "", "stderr": ""}

        def printed(stream: str, text: str) -> None:
            if len(out[stream]) <= limits.output_bytes:
                out[stream] += text[: limits.output_bytes + 1]

        with self._lock:
            if self._pool is None:
                self._pool = self._monty.Monty(request_timeout=60).__enter__()
            session = self._pool.checkout(
                limits={"max_feed_duration_secs": limits.cpu_s, "max_memory": limits.memory_bytes},
                os_policy={
                    "datetime": datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
                    "sleep": "zero",
                    "random_start": {"seed": 0},
                },
            )
            error: Exception | None = None
            try:
                with session as running:
                    running.feed_run(code, print_callback=printed)
            except Exception as raised:
                error = raised
        full = {name: text for name, text in out.items() if len(text) > limits.output_bytes}
        if full:
            cut = {name: text[: limits.output_bytes] for name, text in full.items()}
            return Result(cut.get("stdout", ""), cut.get("stderr", ""), None, "output", True)
        if error is None:
            return Result(out["stdout"], out["stderr"], 0, None, False)
        if isinstance(error, self._monty.MontyCrashedError):
            return Result("", "", None, "crash", False)
        inner = error.exception() if isinstance(error, self._monty.MontyError) else error
        if isinstance(inner, TimeoutError):
            return Result("", "", None, "timeout", False)
        stderr = out["stderr"] + (error.display() if isinstance(error, self._monty.MontyError) else str(error))
        kind = "memory" if isinstance(inner, MemoryError) else "exit"
        if isinstance(inner, NotImplementedError) and "monty syntax parser" in str(inner):
            kind = "unsupported"
        return Result(out["stdout"], stderr, 1, kind, False)

    def write_file(self, path: str, data: bytes) -> None:
        raise EnvError('sandbox "monty" has no files\n  use sandbox = "bubblewrap"')

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.__exit__(None, None, None)
            self._pool = None


BACKENDS: dict[str, Callable[[], Sandbox]] = {
    "bubblewrap": Bubblewrap,
    "monty": Monty,
    "unsafe_subprocess": UnsafeSubprocess,
}
_FORBIDDEN = "open('/etc/passwd').read()"
_ready: dict[tuple[int, str], Sandbox] = {}  # by process: a forked child must not speak to its parent's jail
_ready_lock = threading.Lock()


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
            sandbox = BACKENDS[name]()
            probe(sandbox)
            atexit.register(sandbox.close)
            _ready[key] = sandbox
        return _ready[key]


def probe(sandbox: Sandbox) -> None:
    """Let a sandbox run one line and refuse another; `SandboxMissingError` where it fails either."""
    works = sandbox.exec("print(1)")
    if works.stdout != "1\n" or works.error:
        raise SandboxMissingError(f"sandbox {sandbox.name!r} does not work here: print(1) gave {works}")
    if sandbox.name != UnsafeSubprocess.name and not sandbox.exec(_FORBIDDEN).error:
        raise SandboxMissingError(f"sandbox {sandbox.name!r} does not protect: it could read /etc/passwd")
