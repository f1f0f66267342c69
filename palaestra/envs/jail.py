"""The program that runs submitted code: forked for every exec by `serve` inside a jail, or started once by `once`.

It is started from its source text with a bare interpreter, so it imports nothing but the standard library. What
comes in is trusted; what goes out is not, since the code that ran may have written it.

A job is JSON in a memory file: code, stdin, files ({path: latin-1 text}), limits, and the uid to run as (or null).
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import stat
import sys
import traceback
from typing import Any, NoReturn

# imported here so that a forked child need not: it starts within a millisecond, and `random` starts alike every time
import collections, functools, itertools, math, re, string  # noqa: E401, F401  # isort: skip


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


def run(job: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Become the submitted code: standard streams, files, identity, limits; then run it and exit."""
    if job["uid"] is not None:
        os.setgroups([])
        os.setresgid(job["uid"], job["uid"], job["uid"])
        os.setresuid(job["uid"], job["uid"], job["uid"])
    stdin = os.memfd_create("stdin")
    os.write(stdin, job["stdin"].encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
    os.closerange(3, 1024)  # nothing of the jail's own may reach the code
    for path, text in job["files"].items():
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
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
    random.seed(0)
    status = 1
    try:
        try:
            exec(compile(job["code"], "<code>", "exec"), {"__name__": "__main__"})
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


def collect(folder: str, most_bytes: int) -> dict[str, str]:
    """The regular files below `folder`, as long as they are `most_bytes` together; links are not followed."""
    found: dict[str, str] = {}
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(where, name)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            with os.fdopen(fd, "rb") as file:
                if stat.S_ISREG(os.fstat(fd).st_mode) and os.fstat(fd).st_size <= most_bytes:
                    data = file.read(most_bytes)
                    most_bytes -= len(data)
                    found[os.path.relpath(path, folder)] = data.decode("latin-1")
    return found


def hide() -> None:
    """Children of the same uid may not trace this process or read its memory."""
    import ctypes

    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def serve() -> None:
    """Fork a child for every job that arrives on the socket at fd 0, until it closes. Only ever inside a jail.

    A job comes as three descriptors: the memory file, stdout and stderr. The files that the code left go back into
    the memory file, the rest as one message: the exit code, CPU seconds, and whether the jail is as it was before.
    """
    hide()
    control = socket.socket(fileno=os.dup(0))
    control.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 3)
        if not message:
            return
        memory, stdout, stderr = descriptors
        job = read_job(memory)
        child = os.fork()
        if child == 0:
            run(job, stdout, stderr)
        os.close(stdout)
        os.close(stderr)
        _, status, usage = os.wait4(child, 0)
        try:
            os.kill(-1, signal.SIGKILL)  # all that the code has started; pid 1 and this process are exempt
            clean = False
        except ProcessLookupError:
            clean = True
        files = {}
        if os.listdir("."):
            clean, files = False, collect(".", job["limits"]["file_bytes"])
        os.ftruncate(memory, 0)
        os.pwrite(memory, json.dumps(files).encode(), 0)
        os.close(memory)
        cpu_s = usage.ru_utime + usage.ru_stime
        control.send(json.dumps([os.waitstatus_to_exitcode(status), cpu_s, clean]).encode())


def once(memory: int) -> None:
    """Run one job in this very process, in the current folder."""
    run(read_job(memory), os.dup(1), os.dup(2))


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else once(int(sys.argv[2]))
