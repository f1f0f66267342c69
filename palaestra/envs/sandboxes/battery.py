"""Attacks on a sandbox: each must end as an observation, within its limits, and leave nothing behind.

    wrong = fight(sandbox.get("bubblewrap"))        # [] where it holds; else a line for each thing that is wrong

For the tests of palaestra, and for whoever adds a back-end of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from palaestra.envs.sandbox import Limits, Result, Sandbox

CANARY = "canary-3141592653"
QUICK = Limits(cpu_s=1.0, wall_s=20.0)
STOPPED = ("timeout", "memory", "exit", "crash", "output")
ANY = (*STOPPED, None)


class Attack(NamedTuple):
    """What runs, within which limits, and what may come of it: kinds of error, and words that stdout must hold."""

    name: str
    language: str
    code: str
    errors: tuple[str | None, ...]
    says: str
    limits: Limits


def python(name: str, code: str, *errors: str | None, says: str = "", **limits: Any) -> Attack:
    return Attack(name, "python", dedent(code), errors, says, QUICK._replace(**limits))


def shell(name: str, code: str, *errors: str | None, says: str = "", **limits: Any) -> Attack:
    return Attack(name, "shell", code, errors, says, QUICK._replace(**{"processes": 8, **limits}))


def refused(name: str, *statements: str) -> Attack:
    """Python that tries every statement, of which each must fail as the system makes it fail."""
    head = """
        import ctypes, mmap, os, resource, socket
        libc = ctypes.CDLL(None, use_errno=True)
        def call(name, *args):
            if getattr(libc, name)(*args) == -1: raise OSError(ctypes.get_errno(), 'refused')
    """
    tries = [f"try: {s}; print('done', {s!r})\nexcept (OSError, ValueError): pass" for s in statements]
    return python(name, "\n".join([dedent(head), *tries, "print('refused the rest')"]), None, says="refused the rest")


def more_processes() -> Iterator[Attack]:
    bomb = """
        import os
        while True:
            try: os.fork()
            except OSError: pass
    """
    counted = """
        import os, select
        try:
            while os.fork(): pass
            select.select([], [], [], 60)
        except OSError:
            print('stopped')
    """
    yield python("fork bomb", bomb, "timeout", processes=8, wall_s=2.0)
    yield python("forks, counted", counted, None, says="stopped", processes=8)
    yield python("one process more", "import os\nos.fork()", "exit")
    yield python("one thread more", "import threading\nthreading.Thread(target=print).start()", "exit")
    yield shell("fork bomb of the shell", ":(){ :|:& };:", *ANY, wall_s=2.0)


def more_memory() -> Iterator[Attack]:
    yield python("4 GB", "x = 'a' * (4 * 10**9)", "memory")
    yield python("4 GB bit by bit", "x = []\nwhile True: x.append(bytes(1 << 20))", "memory")
    yield shell("4 GB in the shell", "head -c 4000000000 /dev/zero | tail -n 1 | wc -c", *ANY)
    yield refused(
        "4 GB that no process holds",
        "mmap.mmap(-1, 4 << 30)",
        "os.memfd_create('x')",
        "call('shmget', 0, 1 << 28, 0o1600)",
        "call('msgget', 0, 0o1600)",
        "call('semget', 0, 9, 0o1600)",
    )


def more_time() -> Iterator[Attack]:
    ignoring = """
        import select, signal
        for n in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(n, signal.SIG_IGN)
    """
    wait = "import select\nselect.select([], [], [], 1000)"
    yield python("endless loop", "print('begun', flush=True)\nwhile True: pass", "timeout")
    yield shell("endless loop of the shell", "while :; do :; done", "timeout")
    yield python("waiting", wait, "timeout", wall_s=0.5)
    yield shell("waiting in the shell", "sleep 1000", "timeout", wall_s=0.5)
    yield python("signals ignored", dedent(ignoring) + "while True: pass", "timeout")
    yield python("signals ignored while waiting", dedent(ignoring) + wait, "timeout", wall_s=0.5)
    yield shell("signals ignored by the shell", "trap '' TERM XCPU INT HUP; while :; do :; done", "timeout")
    yield python("stopping itself", "import os\nos.kill(os.getpid(), 19)", "timeout", wall_s=0.5)


def more_output() -> Iterator[Attack]:
    yield python("flood", "while True: print('x' * 999)", "output")
    yield python("flood of stderr", "import sys\nwhile True: sys.stderr.write('x' * 999)", "output")
    yield python("flood of bytes", "import os\nwhile True: os.write(1, os.urandom(1 << 16))", "output")
    yield shell("flood of the shell", "yes", "output")


def the_host(secret: str) -> Iterator[Attack]:
    """Its files and environment, and writing to it."""
    environment = """
        import os
        print(dict(os.environ))
        for number in filter(str.isdigit, os.listdir('/proc')):
            for name in ('environ', 'cmdline'):
                try: print(open(f'/proc/{number}/{name}').read()[:2000])
                except OSError: pass
    """
    links = f"""
        import os
        os.symlink({secret!r}, 'file')
        os.symlink('/', 'folder')
        os.symlink('/usr/bin/env', 'env')
        os.mkfifo('pipe')
        open('real', 'w').write('real')
        try: print(open('file').read())
        except OSError: print('no')
    """
    folders = ("/usr", "", "/etc", "/dev", "/dev/shm", "/proc", "/bin", os.path.dirname(secret))
    yield refused(
        "host files",
        f"print(open({secret!r}).read())",
        "open('/etc/passwd')",
        "open('/etc/shadow')",
        *(f"os.listdir({folder!r})" for folder in ("/home", "/var", "/sys", "/root/.ssh")),
    )
    yield shell("host files in the shell", f"cat {secret} /etc/shadow ~root/.bashrc /proc/1/root/etc/shadow", "exit")
    yield python("environment", environment, None)
    yield shell("environment in the shell", "env; cat /proc/*/environ /proc/*/cmdline | head -c 20000", *ANY)
    yield refused(
        "writing outside",
        *(f"open('{folder}/{CANARY}', 'w')" for folder in folders),
        "open('/usr/bin/env', 'ab')",
        "os.remove('/etc/prelude.sh')",
        "os.mkdir('/x')",
    )
    yield shell(
        "writing outside in the shell", f"echo x > /usr/{CANARY} || touch ../{CANARY} || cp /bin/sh /etc", "exit"
    )
    yield python("links", links, None, says="no")


def the_network(tcp: int, udp: int) -> Iterator[Attack]:
    yield refused(
        "network",
        f"socket.create_connection(('127.0.0.1', {tcp}), 1)",
        f"socket.create_connection(('localhost', {tcp}), 1)",
        "socket.create_connection(('1.1.1.1', 53), 1)",
        "socket.socket(socket.AF_UNIX).connect('\\0palaestra-battery')",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK)",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
        "socket.socket(socket.AF_PACKET)",
    )
    send = f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {udp}))"
    yield python("datagrams", f"import socket\n{send}", *ANY)
    yield shell("network in the shell", f"exec 3<>/dev/tcp/127.0.0.1/{tcp} && echo done", "exit")


def other_processes() -> Iterator[Attack]:
    daemon = """
        import os, select
        print('daemon begun', flush=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in range({closed}): os.close(fd)
                select.select([], [], [], 1000)
            os._exit(0)
    """
    forged = """
        import os
        for fd in range(3, 200):
            try:
                os.write(fd, b'[0, 0.0, true]')
                print('done')
            except OSError: pass
        os._exit(7)
    """
    yield python("killing the parent", "import os\nos.kill(os.getppid(), 9)\nwhile True: pass", *STOPPED)
    yield python("stopping the parent", "import os\nos.kill(os.getppid(), 19)\nprint(1)", *STOPPED, wall_s=0.5)
    yield python("killing all", "import os\nos.kill(1, 9)\nos.kill(-1, 9)\nprint(1)", *ANY)
    yield shell("killing all in the shell", "kill -9 -1; kill -9 1; kill -9 $PPID", *ANY)
    yield refused("killing the host", f"os.kill({os.getpid()}, 9)", f"os.kill({os.getppid()}, 9)")
    yield python("daemon", daemon.format(closed=3), None, says="daemon begun", processes=8)
    yield python("daemon that keeps the streams", daemon.format(closed=0), None, says="daemon begun", processes=8)
    yield shell("daemon of the shell", "nohup setsid sleep 1000 >/dev/null 2>&1 & echo begun", None, says="begun")
    yield python("forged answer", forged, "exit")
    yield refused(
        "/proc",
        "os.listdir(f'/proc/{os.getppid()}/fd')",
        "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
        "open('/proc/1/root/etc/shadow')",
        "open('/proc/kcore', 'rb').read(1)",
        "open('/proc/sysrq-trigger', 'w').write('h')",
        "open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')",
        "open('/proc/sys/vm/drop_caches', 'w').write('1')",
        "call('ptrace', 16, os.getppid(), 0, 0)",
    )


def other_powers() -> Iterator[Attack]:
    """Namespaces, identities, limits."""
    yield refused(
        "other namespaces",
        "call('unshare', 0x10000000)",
        "call('unshare', 0x20000)",
        "call('setns', 0, 0)",
        "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
        "call('clone', ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0), ctypes.c_void_p(), 0x10000011, None)",
        "call('syscall', 425, 8, 0)",
        "os.setuid(0)",
        "os.chroot('/tmp')",
    )
    yield shell("other namespaces in the shell", "unshare -Urm true || unshare -n true", "exit")
    yield refused(
        "limits lifted",
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))",
        "resource.setrlimit(resource.RLIMIT_NPROC, (99, 99))",
        "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    )


def the_disk() -> Iterator[Attack]:
    odd = """
        import os
        for name in (b'\\xff', b'new\\nline', b'-rf', b'a' * 255): open(name, 'w').close()
        os.mkdir('closed', 0)
        open('unreadable', 'w').close()
        os.chmod('unreadable', 0)
    """
    yield python("huge file", "f = open('big', 'wb')\nwhile True: f.write(bytes(1 << 20))", "exit")
    yield python("huge file with holes", "open('big', 'wb').truncate(1 << 40)", "exit")
    yield python("many large files", "for n in range(100): open(str(n), 'wb').write(bytes(1 << 20))", "exit")
    yield shell("huge file of the shell", "dd if=/dev/zero of=big bs=1M count=100", *STOPPED)
    yield python("many small files", "for n in range(20_000): open(str(n), 'w').close()", "timeout", "exit", None)
    yield python("deep folders", "import os\nfor n in range(3000):\n    os.mkdir('d')\n    os.chdir('d')", *ANY)
    yield python("odd names", odd, None)


def the_stack() -> Iterator[Attack]:
    deeper = "import sys\nsys.setrecursionlimit(10**9)\n"
    yield python("deep recursion", "def f(): f()\nf()", "exit")
    yield python("deeper recursion", f"{deeper}def f(): f()\nf()", *STOPPED)
    yield python("recursion in C", f"{deeper}x = []\nfor _ in range(10**6): x = [x]\nrepr(x)", *STOPPED)
    yield python("deep syntax", "eval('(' * 10**5 + ')' * 10**5)", *STOPPED)
    yield shell("recursion of the shell", "f() { f; }; f", *STOPPED)


def attacks(tcp: int, udp: int, secret: str) -> list[Attack]:
    """All of them, against listeners and a file of the host."""
    found = [*more_processes(), *more_memory(), *more_time(), *more_output(), *the_host(secret)]
    return found + [*the_network(tcp, udp), *other_processes(), *other_powers(), *the_disk(), *the_stack()]


# -- the fight -----------------------------------------------------------------------------------------------------

PROBE = "import os\nprint(len(list(filter(str.isdigit, os.listdir('/proc')))), os.listdir('.'))"
"""Processes and files that code finds: no more after an attack than before."""


def fight(box: Sandbox) -> list[str]:
    """Every attack in turn; what was wrong, a line each."""
    wrong: list[str] = []
    box.close()
    os.environ["BATTERY_TOKEN"] = CANARY  # before it starts again
    before, idle = children(), box.exec(PROBE)
    with _listeners() as (tcp, udp, visited), tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "secret")
        secret.write_text(CANARY)
        os.chmod(folder, 0o755)
        for attack in attacks(tcp, udp, str(secret)):
            began = time.monotonic()
            done = box.exec(attack.code, language=attack.language, limits=attack.limits)
            seen = list(_problems(attack, done, time.monotonic() - began))
            if visited():
                seen.append("it reached a listener")
            if os.listdir(folder) != ["secret"] or secret.read_text() != CANARY:
                seen.append("it wrote to the host")
            wrong += [f"{attack.name}: {problem}: {_short(done)}" for problem in seen]
            if (after := box.exec(PROBE)) != idle:
                wrong.append(f"{attack.name}: afterwards {_short(after)}")
    box.close()
    if left := children() - before:
        wrong.append(f"processes left: {left}")
    return wrong


def _problems(attack: Attack, done: Result, took_s: float) -> Iterator[str]:
    """What is not as it must be about one result."""
    if done.error not in attack.errors:
        yield f"error {done.error}, expected {attack.errors}"
    if attack.says not in done.stdout:
        yield f"no {attack.says!r}"
    if "done" in done.stdout:
        yield "it was not refused"
    if CANARY in done.stdout or any(CANARY.encode() in data or b"root:" in data for data in done.files.values()):
        yield "something of the host came out"
    if max(len(done.stdout), len(done.stderr)) > attack.limits.output_bytes:
        yield "too much output"
    if took_s > attack.limits.wall_s + 10:
        yield f"took {took_s:.1f} s"


def _short(done: Result) -> str:
    cut = done._replace(stdout=done.stdout[-300:], stderr=done.stderr[-300:], files={})
    return f"{cut!r} {sorted(done.files)[:9]}"


@contextlib.contextmanager
def _listeners() -> Iterator[tuple[int, int, Callable[[], bool]]]:
    """A TCP, a UDP and an abstract Unix listener of the host: the ports, and whether anybody came."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX) as unix:
        for listener in (tcp, udp, unix):
            listener.bind("\0palaestra-battery" if listener is unix else ("127.0.0.1", 0))
            listener.setblocking(False)
        tcp.listen()
        unix.listen()

        def visited() -> bool:
            knocks: list[Callable[[], Any]] = [tcp.accept, unix.accept, lambda: udp.recv(100)]
            for knock in knocks:
                with contextlib.suppress(BlockingIOError):
                    knock()
                    return True
            return False

        yield tcp.getsockname()[1], udp.getsockname()[1], visited


def children() -> set[int]:
    """Processes started by this one that are still there, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(number) for number in (task / "children").read_text().split()}
    return found


def as_user(uid: int, function: Callable[[], Any]) -> Any:
    """What `function` returns, as JSON, in a forked process that has given up being root."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.chdir("/")
            answer = json.dumps(function())
        except BaseException as error:
            answer = json.dumps([f"{type(error).__name__}: {error}"])
        os.write(theirs, answer.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)
