"""The program that runs submitted code: forked for every exec by `serve` inside a jail, or started once by `once`.

It is started from its source text with a bare interpreter, so it imports nothing but the standard library. What comes
in is trusted; what goes out is not, since the code that ran may have written it.

A job is JSON in a memory file: code, language, files ({path: latin-1 text}), limits, and the uid to run as (or null).
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import shutil
import signal
import socket
import stat
import sys
import time
import traceback
from typing import Any, NoReturn

# imported here so that a forked child need not: it starts within a millisecond, and `random` starts alike every time
import collections, datetime, functools, itertools, math, re, string  # noqa: E401, F401  # isort: skip

MOST_FILES = 200  # that are taken; a folder of more is not tidied up but thrown away


# -- what is pinned ------------------------------------------------------------------------------------------------

START_NS = 946_684_800 * 10**9  # 2000-01-01 00:00:00 UTC
_real_sleep, _real_monotonic_ns = time.sleep, time.monotonic_ns
_passed_ns = _slept_ns = 0


def _read_ns() -> int:
    """The time, which passes by being read, a millisecond each time, and by being slept."""
    global _passed_ns
    _passed_ns += 10**6
    return START_NS + _passed_ns


def _sleep(seconds: float) -> None:
    """Time passes at once; others may run."""
    global _passed_ns, _slept_ns
    _real_sleep(min(seconds, 0.001))
    _passed_ns += int(seconds * 1e9)
    _slept_ns += int(seconds * 1e9)


def _seconds(ns: int) -> float:
    return ns // 10**9 + ns % 10**9 / 1e9  # not ns / 1e9, which rounds the last digits


def pin() -> None:
    """Clocks start in 2000 and pass by use alone; chance that the system would give comes from a seed.

    `monotonic` runs on, since the standard library waits by it.
    """
    import ctypes

    clocks = {
        "time": _read_ns,
        "perf_counter": lambda: _read_ns() - START_NS,
        "process_time": lambda: _read_ns() - START_NS,
        "thread_time": lambda: _read_ns() - START_NS,
        "monotonic": lambda: _real_monotonic_ns() + _slept_ns,
    }
    for name, clock in clocks.items():
        setattr(time, name, lambda clock=clock: _seconds(clock()))
        setattr(time, f"{name}_ns", clock)
    for name in ("gmtime", "localtime", "ctime"):
        told = getattr(time, name)
        setattr(time, name, lambda seconds=None, told=told: told(time.time() if seconds is None else seconds))
    asctime, strftime = time.asctime, time.strftime
    time.asctime = lambda when=None: asctime(when or time.localtime())  # type: ignore[assignment]
    time.strftime = lambda form, when=None: strftime(form, when or time.localtime())  # type: ignore[assignment]
    time.sleep = _sleep  # type: ignore[assignment]

    # `now` reads the system's clock in C; the class itself must stay what it is, so it is changed in place
    methods = gc.get_referents(datetime.datetime.__dict__)[0]
    methods["now"] = classmethod(lambda cls, tz=None: cls.fromtimestamp(time.time(), tz))
    methods["utcnow"] = classmethod(lambda cls: cls.utcfromtimestamp(time.time()))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))

    chance = random.Random(0)
    os.urandom = chance.randbytes
    random._urandom = chance.randbytes  # type: ignore[attr-defined]
    seed = random.Random.seed

    def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed(self, chance.getrandbits(64) if a is None else a, version)

    random.Random.seed = seeded  # type: ignore[method-assign]


# -- a job ---------------------------------------------------------------------------------------------------------


def read_job(fd: int) -> dict[str, Any]:
    with os.fdopen(fd, "rb", closefd=False) as file:
        file.seek(0)
        job: dict[str, Any] = json.load(file)
    return job


def limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit, or the one that is already in force where that is lower."""
    _, most = resource.getrlimit(kind)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def visible(to_others: bool) -> None:
    """Whether processes of the same uid may trace this one and read its memory; and it, its own `/proc/self`."""
    import ctypes

    ctypes.CDLL(None).prctl(4, int(to_others), 0, 0, 0)  # PR_SET_DUMPABLE


def become(uid: int | None) -> None:
    """Give up what this process may do, where it may do more than others."""
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def run(job: dict[str, Any], stdin: int, stdout: int, stderr: int) -> NoReturn:
    """Become the submitted code: standard streams, files, identity, limits; then run it and exit."""
    become(job["uid"])
    visible(to_others=True)
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
    os.closerange(3, 4096)  # nothing of the jail's own may reach the code
    for path, text in job["files"].items():
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o755), "wb") as file:
            file.write(text.encode("latin-1"))
    limits = job["limits"]
    seconds = max(1, -int(-limits["cpu_s"] // 1))
    limit(resource.RLIMIT_CPU, seconds, seconds + 1)  # SIGXCPU, and a second later SIGKILL
    limit(resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"])
    limit(resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"])
    limit(resource.RLIMIT_NOFILE, 64, 64)
    limit(resource.RLIMIT_CORE, 0, 0)
    limit(resource.RLIMIT_NPROC, limits["processes"] + job["others"], limits["processes"] + job["others"])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    (run_shell if job["language"] == "shell" else run_python)(job["code"])


def run_shell(code: str) -> NoReturn:
    """Run `code` as bash does."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, not by other programs
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv("/bin/bash", ["bash", "-c", code])
    except (OSError, ValueError) as error:
        os.write(2, f"bash: {error}\n".encode("utf-8", "replace"))
        os._exit(126)


def run_python(code: str) -> NoReturn:
    """Run `code` as a program."""
    random.seed(0)  # a fork has just drawn another seed for it
    sys.argv = [""]
    sys.path.insert(0, os.getcwd())
    status = 1
    try:
        try:
            exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
            status = 0
        except SystemExit as end:
            if end.code is None or isinstance(end.code, int):
                status = (end.code or 0) & 255
            else:
                print(end.code, file=sys.stderr)
        except BaseException as error:
            trace = error.__traceback__.tb_next if error.__traceback__ else None  # without this frame
            traceback.print_exception(type(error), error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


# -- what it leaves ------------------------------------------------------------------------------------------------


def collect(most_bytes: int) -> dict[str, str]:
    """The regular files of the current folder, as long as they are `most_bytes` together; links are not followed."""
    found: dict[str, str] = {}
    for where, folders, names in os.walk("."):
        if where.count(os.sep) > 16 or len(found) + len(names) > MOST_FILES:
            raise OverflowError("too many files")
        folders.sort()
        for name in sorted(names):
            path = os.path.normpath(os.path.join(where, name))
            try:
                path.encode()
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except (OSError, UnicodeEncodeError):
                continue
            with os.fdopen(fd, "rb") as file:
                if stat.S_ISREG(os.fstat(fd).st_mode) and os.fstat(fd).st_size <= most_bytes:
                    data = file.read(most_bytes)
                    most_bytes -= len(data)
                    found[path] = data.decode("latin-1")
    return found


def put(memory: int, files: dict[str, str]) -> None:
    """Answer with files, in place of the job."""
    os.ftruncate(memory, 0)
    os.pwrite(memory, json.dumps(files).encode(), 0)


def tidy(job: dict[str, Any], memory: int) -> bool:
    """Take the files that were left, in a child that is who made them, and remove them; whether all are gone."""
    child = os.fork()
    if child == 0:
        try:
            become(job["uid"])
            limit(resource.RLIMIT_CPU, 5, 5)
            put(memory, collect(job["limits"]["file_bytes"]))
            for name in os.listdir("."):
                shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return not os.listdir(".")


def serve() -> None:
    """Fork a child for every job that arrives on the socket at fd 0, until it closes. Only ever inside a jail.

    A job comes as four descriptors: the memory file, stdin, stdout and stderr. The files that the code left go back
    into the memory file, the rest as one message: exit code, CPU seconds, and whether the jail is as it was before.
    """
    visible(to_others=False)
    pin()
    os.umask(0o022)
    control = socket.socket(fileno=os.dup(0))
    gc.freeze()  # collecting in a child would copy all that it shares with this process
    control.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 4)
        if not message:
            return
        memory, *streams = descriptors
        job = read_job(memory)
        child = os.fork()
        if child == 0:
            run(job, *streams)
        for fd in streams:
            os.close(fd)
        _, status, usage = os.wait4(child, 0)
        try:
            os.kill(-1, signal.SIGKILL)  # all that the code has started; pid 1 and this process are exempt
            clean = False
        except ProcessLookupError:
            clean = True
        put(memory, {})
        if os.listdir("."):
            clean = tidy(job, memory) and clean
        os.close(memory)
        cpu_s = usage.ru_utime + usage.ru_stime
        control.send(json.dumps([os.waitstatus_to_exitcode(status), cpu_s, clean]).encode())


def once(memory: int, stdin: int) -> None:
    """Run one job in this very process, in the current folder."""
    pin()
    os.umask(0o022)
    run(read_job(memory), stdin, os.dup(1), os.dup(2))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else once(int(sys.argv[2]), int(sys.argv[3]))
