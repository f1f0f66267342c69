"""Back-ends that run CPython and bash: in a jail of namespaces, or as the user's own processes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from palaestra.envs.sandbox import Limits, Result, SandboxMissingError, limits_of
from palaestra.envs.sandboxes import jail as inside
from palaestra.envs.sandboxes import seccomp

_JAIL = Path(inside.__file__).read_text()
# what bash does first: chance and the date are pinned, as in `jail.pin`
_PRELUDE = 'RANDOM=0\ndate() { command date -d @946684800 "$@"; }\n'
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


def _memory(name: str, data: bytes) -> int:
    """A file in memory, at its beginning."""
    fd = os.memfd_create(name)
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Job:
    """The host's ends of one exec: the job, standard input, and stdout and stderr, which are read up to a limit."""

    def __init__(self, code: str, language: str, files: Mapping[str, bytes], stdin: str, limits: Limits) -> None:
        self.limits, self.files = limits, dict(files)
        self.data = {
            "code": code,
            "language": language,
            "files": {path: data.decode("latin-1") for path, data in files.items()},
            "limits": limits._asdict(),
        }
        self.stdin = _memory("stdin", stdin.encode("utf-8", "surrogatepass"))
        pipes = os.pipe(), os.pipe()
        self.ours, self.theirs = [pipe[0] for pipe in pipes], [pipe[1] for pipe in pipes]
        self.texts = {fd: bytearray() for fd in self.ours}

    def memory(self, uid: int | None, others: int) -> int:
        """What `palaestra.envs.sandboxes.jail` reads, and writes the files to that are left."""
        self.shared = _memory("job", json.dumps({**self.data, "uid": uid, "others": others}).encode())
        return self.shared

    def handed_over(self) -> None:
        """The other side has its descriptors; ours of the same are closed."""
        for fd in (*self.theirs, self.stdin):
            os.close(fd)
        self.theirs, self.stdin = [], -1

    def follow(self, ended: int, on_end: Callable[[], None]) -> str | None:
        """Read until `ended` is readable and both streams are at their end. None, "timeout" or "output"."""
        deadline = time.monotonic() + self.limits.wall_s
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
                    if len(self.texts[fd]) > self.limits.output_bytes:
                        return "output"
                if not data:
                    poll.unregister(fd)
                    waiting.discard(fd)
        return None

    def left(self) -> dict[str, bytes]:
        """The files that a jail put into the memory file."""
        with os.fdopen(os.dup(self.shared), "rb") as file:
            file.seek(0)
            return {path: text.encode("latin-1") for path, text in json.load(file).items()}

    def result(self, why: str | None, exit_code: int | None, cpu_s: float, files: Mapping[str, bytes]) -> Result:
        """What came of it. Code that was stopped has changed no file: how far it came depends on the machine."""
        most = self.limits.output_bytes
        raw = [bytes(self.texts[fd]) for fd in self.ours]
        if why == "output":  # how much of the other stream had come by then depends on the machine, too
            raw = [text[:most] if len(text) > most else b"" for text in raw]
            return Result(_text(raw[0]), _text(raw[1]), None, "output", True, self.files)
        killed = exit_code == -signal.SIGKILL and cpu_s >= self.limits.cpu_s
        if why == "timeout" or exit_code == -signal.SIGXCPU or killed:
            return Result("", "", None, "timeout", False, self.files)
        stdout, stderr = _text(raw[0]), _text(raw[1])
        if exit_code is None or exit_code < 0:
            return Result(stdout, stderr, None, "crash", False, self.files)
        if exit_code == 0:
            return Result(stdout, stderr, 0, None, False, files)
        out_of_memory = stderr.rstrip().rpartition("\n")[2].startswith("MemoryError")
        return Result(stdout, stderr, exit_code, "memory" if out_of_memory else "exit", False, files)

    def close(self) -> None:
        for fd in (*self.ours, *self.theirs, self.stdin, getattr(self, "shared", -1)):
            if fd >= 0:
                os.close(fd)


def _text(raw: bytes) -> str:
    """Output as text, without the addresses in `<object object at 0x7f...>`: they would not repeat."""
    return re.sub(r" at 0x[0-9a-f]+", " at 0x", raw.decode("utf-8", "replace"))


# -- in a jail -----------------------------------------------------------------------------------------------------


class _Jail:
    """One `bwrap` with a server in it, which forks for every exec."""

    def __init__(self, command: list[str], uid: int | None, starter: ThreadPoolExecutor) -> None:
        self.uid = uid
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [_memory("filter", seccomp.program()), _memory("prelude", _PRELUDE.encode())]
        command = [word.format(filter=given[0], prelude=given[1]) for word in command]
        with tempfile.TemporaryFile() as complaints, theirs:
            launch = lambda: subprocess.Popen(
                [*command, "-c", _JAIL, "serve"],
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=complaints, pass_fds=given,
                env=_ENVIRONMENT,  # not --clearenv: bwrap's own environment can be read in the jail's /proc/1
                start_new_session=True,
            )  # fmt: skip
            self.process = starter.submit(launch).result()
            theirs.close()
            for fd in given:
                os.close(fd)
            self.control.settimeout(30)
            try:
                ready = self.control.recv(64)
            except TimeoutError:
                ready = b""
            self.control.settimeout(None)
            if ready != b"ready":
                complaints.seek(0)
                why = complaints.read().decode(errors="replace").strip().split("\n")[-1]
                self.stop()
                raise SandboxMissingError(
                    f'sandbox "bubblewrap": the jail does not start: {why}\n  user namespaces must be permitted\n'
                    '  or sandbox = "monty", a subset of Python: pip install "palaestra[monty]"'
                )

    def run(self, job: _Job) -> tuple[Result, bool]:
        """What came of a job, and whether the jail is as it was before."""
        others = 0 if self.uid is not None else 2  # the jail's init and server count, where the uid is the same
        memory = job.memory(self.uid, others)
        answer: list[Any] = []

        def on_end() -> None:
            message = self.control.recv(4096)
            answer.extend(json.loads(message) if message else (None, 0.0, False))

        socket.send_fds(self.control, [b"run"], [memory, job.stdin, *job.theirs])
        job.handed_over()
        why = job.follow(self.control.fileno(), on_end)
        exit_code, cpu_s, clean = answer or (None, 0.0, False)
        files = job.left() if why is None and exit_code is not None else {}
        return job.result(why, exit_code, cpu_s, files), clean and why is None

    def stop(self) -> None:
        """End it and everything in it."""
        self.control.close()
        # The jail's init first: bwrap then reaps it and ends. Killed itself, it would leave a zombie behind in
        # containers whose own init does not reap.
        outer = self.process.pid
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            for inner in Path(f"/proc/{outer}/task/{outer}/children").read_text().split():
                os.kill(int(inner), signal.SIGKILL)
            self.process.wait(5)
        _kill_group(self.process)


class Bubblewrap:
    """CPython and bash inside `bwrap`: own namespaces, a read-only system, one small scratch folder, no network.

    Jails stay warm, as many as there are execs at once and at most `workers`. A server in each forks for every exec,
    which takes a millisecond or two; it tidies up after it, and a jail that is not as it was before is thrown away.
    """

    name = "bubblewrap"
    languages: tuple[str, ...] = ("python", "shell")

    def __init__(self, workers: int = 0, python: str = "") -> None:
        """`workers` (default: one a core): jails at once; `python` (default: this one): the interpreter in them."""
        self._program = shutil.which("bwrap")
        if sys.platform != "linux" or self._program is None:
            raise SandboxMissingError(
                'sandbox "bubblewrap": bwrap is not installed\n  apt-get install bubblewrap (Linux only)\n'
                '  or sandbox = "monty", a subset of Python: pip install "palaestra[monty]"'
            )
        if not seccomp.program():
            raise SandboxMissingError(
                f'sandbox "bubblewrap": no filter of system calls for {platform.machine()}\n'
                '  use sandbox = "monty", a subset of Python: pip install "palaestra[monty]"'
            )
        self._python = python
        self._slots = threading.BoundedSemaphore(workers or os.cpu_count() or 1)
        self._idle: list[_Jail] = []
        self._lock = threading.Lock()
        self._begun = 0
        # A jail dies with the thread that started it (--die-with-parent), so that thread must live on.
        self._starter = ThreadPoolExecutor(1)

    def exec(
        self,
        code: str,
        *,
        language: str = "python",
        files: Mapping[str, bytes] | None = None,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Result:
        job = _Job(code, language, files or {}, stdin, limits_of(self, language, limits))
        jail = None
        try:
            with self._slots:
                jail = self._ready()
                result, clean = jail.run(job)
                if clean:
                    with self._lock:
                        self._idle.append(jail)
                    jail = None
                return result
        finally:
            job.close()
            if jail is not None:
                jail.stop()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for jail in idle:
            jail.stop()

    def _ready(self) -> _Jail:
        """An idle jail that lives, or a new one."""
        while True:
            with self._lock:
                jail = self._idle.pop() if self._idle else None
                self._begun += jail is None
                number = self._begun
            if jail is None:
                uid = _uid(number)
                return _Jail(self._command(uid), uid, self._starter)
            if jail.process.poll() is None:
                return jail
            jail.stop()

    def _command(self, uid: int | None) -> list[str]:
        """`{filter}` and `{prelude}` are the numbers of their descriptors."""
        python = Path(os.path.realpath(self._python or getattr(sys, "_base_executable", sys.executable)))
        prefix = python.parents[1] if self._python else Path(os.path.realpath(sys.base_prefix))
        command = [str(self._program), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        command += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if uid is None:
            command += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
        else:
            command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_KILL"]
        command += ["--perms", "0755", "--dir", "/etc"]  # made by hand: what bwrap makes is closed to others
        command += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        for folder in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
            if os.path.islink(folder):
                command += ["--symlink", os.readlink(folder), folder]
            else:
                command += ["--ro-bind-try", folder, folder]
        if not prefix.is_relative_to("/usr"):
            for parent in reversed(prefix.parents[:-1]):
                command += ["--perms", "0755", "--dir", str(parent)]
            command += ["--ro-bind", str(prefix), str(prefix)]
        command += [
            "--perms",
            "0755",
            "--dir",
            "/etc",
            "--perms",
            "0444",
            "--ro-bind-data",
            "{prelude}",
            "/etc/prelude.sh",
        ]
        command += ["--setenv", "BASH_ENV", "/etc/prelude.sh", "--proc", "/proc", "--dev", "/dev"]
        command += ["--perms", "1777", "--size", str(2 * Limits().file_bytes), "--tmpfs", "/tmp"]
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--seccomp", "{filter}"]
        return [*command, "--", str(python), *_FLAGS]


def _uid(number: int) -> int | None:
    """Whom code in a jail is to be where we are root: nobody else, so that its processes are counted alone.

    A root that may set up namespaces by itself changes the uid, since limits on processes do not bind root. Where few
    ids are mapped, it is "nobody".
    """
    if os.geteuid() != 0:
        return None
    chosen = 10**9 + os.getpid() * 64 + number % 64
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return chosen if any(first <= chosen < first + count for first, _, count in ranges) else 65534


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and its process group. Only once: after that its id may be another's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# -- without one ---------------------------------------------------------------------------------------------------


class UnsafeSubprocess:
    """CPython and bash as the user who runs palaestra, in a folder of its own, with resource limits and nothing else.

    The code can read and delete whatever the user can, and use the network. For code that you wrote yourself.
    """

    name = "unsafe_subprocess"
    languages: tuple[str, ...] = ("python", "shell")

    def exec(
        self,
        code: str,
        *,
        language: str = "python",
        files: Mapping[str, bytes] | None = None,
        stdin: str = "",
        limits: Limits | None = None,
    ) -> Result:
        job = _Job(code, language, files or {}, stdin, limits_of(self, language, limits))
        with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as prelude, contextlib.closing(job):
            prelude.write(_PRELUDE.encode())
            prelude.flush()
            memory = job.memory(None, 1000)  # the user's other processes count, too: no real limit
            process = subprocess.Popen(
                [sys.executable, *_FLAGS, "-c", _JAIL, "once", str(memory), str(job.stdin)],
                stdin=subprocess.DEVNULL, stdout=job.theirs[0], stderr=job.theirs[1], cwd=folder,
                env=_ENVIRONMENT | {"HOME": folder, "BASH_ENV": prelude.name},
                pass_fds=[memory, job.stdin], start_new_session=True,
            )  # fmt: skip
            job.handed_over()
            ended = os.pidfd_open(process.pid)
            try:
                why = job.follow(ended, lambda: _kill_group(process))
            finally:
                os.close(ended)
                _kill_group(process)
            left = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted(Path(folder).rglob("*"))
                if path.is_file() and not path.is_symlink()
            }
            return job.result(why, process.returncode, job.limits.cpu_s, left)

    def close(self) -> None:
        pass
