"""Short executions a second in a sandbox, on one core, beside a bare subprocess and other people's sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import in_turns, ratio, row
from palaestra.envs import sandbox
from palaestra.envs.sandbox import Sandbox, Workspace

CODE = "print(sum(n * n for n in [1, 2, 3]))"
ANSWER = "14"
PLAIN = "print(sum([1, 4, 9]))"  # for interpreters of a part of Python
SHELL = "echo $((1 + 4 + 9))"


def repeated(n: int, once: Callable[[], str]) -> Callable[[], float]:
    """`n` executions, each of which must have printed the answer."""

    def side() -> float:
        for _ in range(n):
            assert once().strip() == ANSWER
        return n

    return side


def anew(box: Sandbox) -> str:
    """An execution in a jail that is started for it."""
    box.close()
    return box.exec(CODE).stdout


def bare() -> str:
    """A subprocess without any limit or isolation, started with as little as ours."""
    command = [sys.executable, "-s", "-S", "-P", "-c", CODE]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def monty_alone() -> Callable[[], str]:
    """pydantic-monty through its own interface: a pool of one worker, a fresh session each time."""
    import pydantic_monty

    pool = pydantic_monty.Monty(request_timeout=60).__enter__()

    def once() -> str:
        out: list[str] = []
        with pool.checkout(limits={"max_feed_duration_secs": 2.0, "max_memory": 256 << 20}) as session:
            session.feed_run(PLAIN, print_callback=lambda stream, text: out.append(text))
        return "".join(out)

    return once


def inspect_local(n: int) -> Callable[[], float]:
    """inspect_ai's `local` sandbox: a subprocess in a temporary folder, with a time-out."""
    from inspect_ai.util._sandbox.local import LocalSandboxEnvironment

    async def many() -> float:
        box = LocalSandboxEnvironment()
        for _ in range(n):
            done = await box.exec([sys.executable, "-s", "-S", "-P", "-c", CODE], timeout=20)
            assert done.stdout.strip() == ANSWER
        return n

    return lambda: asyncio.run(many())


def smolagents_local() -> Callable[[], str]:
    """smolagents' `LocalPythonExecutor`: an interpreter of Python's syntax tree, in this process."""
    from smolagents.local_python_executor import LocalPythonExecutor

    def once() -> str:
        executor = LocalPythonExecutor([])
        executor.send_tools({})
        return str(executor(PLAIN).logs)

    return once


def cpu_of_all() -> float:
    """CPU seconds of this process, of all that it started, and of all that they started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total, waiting = time.process_time() + ended.ru_utime + ended.ru_stime, [os.getpid()]
    while waiting:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                for child in (task / "children").read_text().split():
                    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                    total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
                    waiting.append(int(child))
    return total


PEERS = {
    "pydantic-monty": "an interpreter of a part of Python in a worker process, without files or a shell",
    "inspect_ai local": "a subprocess in a temporary folder, without isolation",
    "smolagents local": "an interpreter of a part of Python in this very process, without a limit on memory",
}


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    n, rounds = (3, 1) if quick else (60, 9)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # what is started from here on inherits it
    try:
        return measured(n, rounds)
    finally:
        os.sched_setaffinity(0, cores)


def measured(n: int, rounds: int) -> dict[str, Any]:
    box = sandbox.get("bubblewrap")
    box.close()  # its jails are to be on this core, too
    space = Workspace(box, files={"data": b"14\n"})
    sides: dict[str, Callable[[], float]] = {
        "python": repeated(n, lambda: box.exec(CODE).stdout),
        "shell": repeated(n, lambda: box.exec(SHELL, language="shell").stdout),
        "workspace": repeated(n, lambda: space.exec("print(open('data').read())").stdout),
        "new jail": repeated(max(1, n // 10), lambda: anew(box)),
        "bare subprocess": repeated(max(1, n // 3), bare),
    }
    notes = []
    makers: dict[str, Callable[[], Callable[[], float]]] = {
        "pydantic-monty": lambda: repeated(20 * n, monty_alone()),  # fast: the system counts in hundredths of a second
        "inspect_ai local": lambda: inspect_local(max(1, n // 3)),
        "smolagents local": lambda: repeated(n, smolagents_local()),
    }
    for peer, make in makers.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sides[peer] = make()
        except ImportError as error:
            notes.append(f"Not measured: {peer} ({error}).")
    found = in_turns(sides, rounds, cpu_of_all)
    box.close()
    found["new jail"] = found["new jail"]._replace(cpu_s=found["new jail"].wall_s)  # what is killed is not counted

    def line(what: str, name: str, other: str, clock: str = "cpu", aim: int = 0) -> list[str]:
        ours, theirs = (found[side].rate(clock) for side in (name, other))
        times = ratio(found[name], found[other], clock)
        unit = "execs/s" if clock == "wall" else "execs/CPU s"
        return row(
            what, f"{ours:,.0f} {unit}", f"{other} {theirs:,.0f}", times, f"at least {aim}" if aim else "", ours >= aim
        )

    rows = [
        line("bubblewrap, warm, Python: by the clock, on a busy core", "python", "bare subprocess", "wall", 50),
        line("bubblewrap, warm, Python", "python", "bare subprocess"),
        line("bubblewrap, warm, shell", "shell", "bare subprocess"),
        line("bubblewrap, warm, Python in a workspace with a file", "workspace", "bare subprocess"),
        line("bubblewrap, a new jail each time: by the clock", "new jail", "bare subprocess", "wall"),
    ]
    rows += [line("bubblewrap, warm, Python", "python", peer) for peer in PEERS if peer in found]
    notes += [f"{peer}: {what}." for peer, what in PEERS.items() if peer in found]
    return {
        "about": "Executions of a program of one line whose output is read and checked. A CPU second counts all "
        "processes that take part: it is what an idle core does in a second. This process and all that it starts are "
        "held to one core, which other work shares: so by the clock it is less.",
        "rows": rows,
        "notes": notes,
        "sides": {name: side.plain() for name, side in found.items()},
    }
