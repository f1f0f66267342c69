"""The sandbox back-ends: what code may do, what it may not, and that what comes back repeats."""

from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from palaestra.envs import sandbox
from palaestra.envs.sandbox import Limits, Result, Sandbox, SandboxMissingError, Workspace
from palaestra.envs.sandboxes import battery, seccomp
from palaestra.envs.sandboxes.processes import Bubblewrap, UnsafeSubprocess
from palaestra.envs.script import Script, ScriptedEnv, stateful
from palaestra.errors import EnvError, MissingExtraError, UnknownNameError

QUICK = Limits(cpu_s=1.0, wall_s=20.0)


@pytest.fixture(params=["bubblewrap", "monty", "unsafe_subprocess"])
def box(request: pytest.FixtureRequest, ready: Callable[[str], Sandbox]) -> Sandbox:
    return ready(request.param)


@pytest.fixture(params=["bubblewrap", "unsafe_subprocess"])
def machine(request: pytest.FixtureRequest, ready: Callable[[str], Sandbox]) -> Sandbox:
    """The back-ends that run CPython and bash."""
    return ready(request.param)


# -- all of them ---------------------------------------------------------------------------------------------------


def test_code_runs_and_its_output_comes_back(box: Sandbox) -> None:
    assert box.exec("print(sum(range(5)))") == Result("10\n", "", 0, None, False)


def test_an_uncaught_exception_is_an_exit(box: Sandbox) -> None:
    done = box.exec("print('before')\n1/0")
    assert (done.stdout, done.exit_code, done.error) == ("before\n", 1, "exit")
    assert done.stderr.strip().endswith("ZeroDivisionError: division by zero")


def test_a_syntax_error_is_an_exit_too(box: Sandbox) -> None:
    done = box.exec("x = = 1")
    assert done.error == "exit"
    assert done.stderr.strip().split("\n")[-1].startswith("SyntaxError")


def test_an_endless_loop_times_out_and_the_next_exec_works(box: Sandbox) -> None:
    assert box.exec("print('begun')\nwhile True: pass", limits=QUICK) == Result("", "", None, "timeout", False)
    assert box.exec("print(1)").stdout == "1\n"


def test_memory_is_limited(box: Sandbox) -> None:
    assert box.exec("x = 'a' * (4 * 10**9)", limits=QUICK).error == "memory"


def test_endless_output_is_cut_at_exactly_the_limit(box: Sandbox) -> None:
    done = box.exec("while True: print('x' * 99)", limits=QUICK._replace(output_bytes=1000))
    assert done == Result(("x" * 99 + "\n") * 10, "", None, "output", True)


def test_output_of_exactly_the_limit_is_not_cut(box: Sandbox) -> None:
    done = box.exec("print('x' * 999)", limits=QUICK._replace(output_bytes=1000))
    assert (len(done.stdout), done.error, done.truncated) == (1000, None, False)


def test_chance_and_hashes_start_alike_in_every_exec(box: Sandbox) -> None:
    code = "import random\nprint(random.random(), hash('a'), {'b', 'a', 'c'})"
    first = box.exec(code)
    assert first.error is None
    box.close()
    assert box.exec(code) == first


def test_execs_share_nothing(box: Sandbox) -> None:
    box.exec("import math\nmath.leak = 1\nleak = 1\nopen('leak', 'w').write('1')")
    assert box.exec("import math\nprint(hasattr(math, 'leak'))").stdout == "False\n"
    assert box.exec("print(leak)").error == "exit"
    assert box.exec("print(open('leak').read())").error == "exit"


def test_threads_may_share_a_sandbox(box: Sandbox) -> None:
    outputs: dict[int, str] = {}

    def work(number: int) -> None:
        outputs[number] = box.exec(f"print({number})").stdout

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {n: f"{n}\n" for n in range(6)}


def test_a_sandbox_outlives_the_thread_that_first_used_it(box: Sandbox) -> None:
    box.close()
    thread = threading.Thread(target=box.exec, args=("print(1)",))
    thread.start()
    thread.join()
    assert box.exec("print(2)") == Result("2\n", "", 0, None, False)


def test_a_language_that_is_not_spoken_is_an_error_of_the_caller(box: Sandbox) -> None:
    with pytest.raises(EnvError, match="no language 'pyton'"):
        box.exec("print(1)", language="pyton")


# -- CPython and bash ----------------------------------------------------------------------------------------------


def test_addresses_in_the_output_are_cut(machine: Sandbox) -> None:
    assert machine.exec("class A: pass\nprint(A())").stdout == "<__main__.A object at 0x>\n"


def test_exit_codes_and_standard_input(machine: Sandbox) -> None:
    assert machine.exec("import sys\nsys.exit(3)").exit_code == 3
    assert machine.exec("import sys\nsys.exit('bye')") == Result("", "bye\n", 1, "exit", False)
    assert machine.exec("print(input()[::-1])", stdin="abc\n").stdout == "cba\n"
    assert machine.exec("read x; echo $x$x; exit 4", language="shell", stdin="ab\n") == Result(
        "abab\n", "", 4, "exit", False
    )


def test_the_shell_has_programs_pipes_and_errors(machine: Sandbox) -> None:
    done = machine.exec("printf 'b\\na\\n' | sort | head -n 1; nothing", language="shell")
    assert (done.stdout, done.exit_code, done.error) == ("a\n", 127, "exit")
    assert done.stderr == "bash: line 1: nothing: command not found\n"
    assert machine.exec("yes | head -n 1", language="shell") == Result("y\n", "", 0, None, False)
    assert machine.exec("echo 'a", language="shell").error == "exit"
    assert machine.exec("echo " + "x" * 200_000, language="shell").error == "exit"  # longer than an argument may be


def test_a_signal_is_a_crash(machine: Sandbox) -> None:
    assert machine.exec("import os\nos.kill(os.getpid(), 11)").error == "crash"
    assert machine.exec("kill -11 $$", language="shell").error == "crash"
    assert machine.exec("print(1)").stdout == "1\n"


def test_waiting_past_the_wall_clock_is_a_timeout(machine: Sandbox) -> None:
    done = machine.exec("import select\nselect.select([], [], [], 100)", limits=Limits(wall_s=0.3))
    assert done == Result("", "", None, "timeout", False)


def test_the_environment_holds_nothing_of_ours(machine: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "canary")
    machine.close()
    for code, language in (("import os\nprint(dict(os.environ))", "python"), ("env", "shell")):
        done = machine.exec(code, language=language)
        assert done.error is None
        assert "canary" not in done.stdout


PINNED = """
import datetime, os, random, secrets, tempfile, time, uuid
print(time.time(), time.time_ns(), time.perf_counter(), time.ctime(), time.strftime('%Y'), time.gmtime().tm_year)
print(datetime.datetime.now(), datetime.datetime.now(datetime.UTC), datetime.date.today(), time.localtime().tm_zone)
time.sleep(3600)
print(datetime.datetime.utcnow(), repr(datetime.datetime.now()), type(datetime.datetime.now()) is datetime.datetime)
print(random.random(), random.Random().random(), random.Random().random(), random.SystemRandom().random())
print(os.urandom(4), uuid.uuid4(), secrets.token_hex(4), tempfile.mktemp(), hash('a'))
import locale
print(locale.setlocale(locale.LC_ALL, ''), os.environ['TZ'])
"""


def test_clock_chance_and_locale_are_pinned(machine: Sandbox) -> None:
    first = machine.exec(PINNED)
    assert first.error is None, first
    lines = first.stdout.split("\n")
    assert lines[0] == "946684800.001 946684800002000000 0.003 Sat Jan  1 00:00:00 2000 2000 2000"
    assert lines[1].startswith("2000-01-01 00:00:00.") and lines[1].endswith(" 2000-01-01 UTC")
    assert lines[2].startswith("2000-01-01 01:00:00.") and "datetime.datetime(2000, 1, 1, 1" in lines[2]
    assert lines[2].endswith("True")
    numbers = lines[3].split()
    assert len(set(numbers)) == 4  # alike in every exec, not alike among themselves
    assert lines[5] == "C.UTF-8 UTC"
    machine.close()
    assert machine.exec(PINNED) == first


def test_clock_chance_and_locale_are_pinned_in_the_shell(machine: Sandbox) -> None:
    code = "date; echo $RANDOM $RANDOM; bash -c 'date +%Y; echo $RANDOM'; printf 'ä\\nb\\nA\\n' | sort; echo $LANG $TZ"
    first = machine.exec(code, language="shell")
    assert first.stdout.startswith("Sat Jan  1 00:00:00 UTC 2000\n") and "\n2000\n" in first.stdout
    assert first.stdout.endswith("A\nb\nä\nC.UTF-8 UTC\n")
    machine.close()
    assert machine.exec(code, language="shell") == first


def test_waiting_of_the_standard_library_still_ends(machine: Sandbox) -> None:
    code = "import asyncio, threading\nasyncio.run(asyncio.sleep(0.05))\nprint(threading.Event().wait(0.05))"
    assert machine.exec(code).stdout == "False\n"


# -- files ---------------------------------------------------------------------------------------------------------


def test_files_are_given_and_taken(machine: Sandbox) -> None:
    code = "d = open('in/a.txt', 'rb').read()\nopen('in/a.txt', 'ab').write(b'!')\nopen('b', 'wb').write(d)"
    for _ in range(2):  # every exec begins with the given files alone
        done = machine.exec(code, files={"in/a.txt": b"\xffdata"})
        assert done.error is None, done
        assert done.files == {"in/a.txt": b"\xffdata!", "b": b"\xffdata"}
    assert machine.exec("print(__import__('os').listdir())") == Result("[]\n", "", 0, None, False)


def test_a_workspace_keeps_what_each_exec_leaves_in_both_languages(machine: Sandbox) -> None:
    space = Workspace(machine, files={"lib/tool.py": b"def double(x): return 2 * x\n"})
    assert space.exec("from lib.tool import double\nopen('n', 'w').write(str(double(21)))").error is None
    assert space.exec("cat n; echo '#!/bin/sh' > run; echo 'echo ran' >> run", language="shell").stdout == "42"
    assert space.exec("./run && rm n && ls", language="shell").stdout == "ran\nlib\nrun\n"
    assert space.read("run") == b"#!/bin/sh\necho ran\n"
    with pytest.raises(FileNotFoundError):
        space.read("n")
    other = Workspace(machine)
    assert other.exec("ls", language="shell").stdout == ""


def test_what_was_stopped_has_changed_no_file(machine: Sandbox) -> None:
    space = Workspace(machine, files={"a": b"1"}, limits=QUICK)
    assert space.exec("open('a', 'w').write('2')\nopen('b', 'w').close()\nwhile True: pass").error == "timeout"
    assert space.files == {"a": b"1"}
    assert space.exec("open('a', 'w').write('2')\n1/0").error == "exit"
    assert space.files == {"a": b"2"}


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "", "a\0b"])
def test_a_file_outside_the_folder_is_refused(path: str) -> None:
    with pytest.raises(EnvError, match="relative"):
        Workspace(UnsafeSubprocess()).write(path, b"")


def test_links_and_what_is_no_file_are_not_taken(jail: Sandbox) -> None:
    code = "ln -s /usr/bin/env link; ln -s / folder; mkfifo pipe; mkdir empty; echo 1 > real"
    assert jail.exec(code, language="shell").files == {"real": b"1\n"}
    # nor followed when a workspace is laid again
    space = Workspace(jail, files={"folder/x": b"1"})
    assert space.exec("ls -d /x; rm -r folder; ln -s / folder", language="shell").error is None
    assert space.files == {}


def test_more_files_than_can_be_kept_are_none(jail: Sandbox) -> None:
    assert jail.exec("for n in range(300): open(str(n), 'w').close()") == Result("", "", 0, None, False)
    assert jail.exec("open('a', 'wb').write(bytes(6 << 20)); open('b', 'wb').write(bytes(6 << 20))").files.keys() == {
        "a"
    }
    assert jail.exec("print(1)").stdout == "1\n"


# -- in an episode -------------------------------------------------------------------------------------------------


class Terminal(ScriptedEnv):
    """Commands run in one workspace."""

    seats = ("agent_0",)
    backend: str = "unsafe_subprocess"
    effects = {"run": stateful(sandbox.execute)}

    def script(self, rng: random.Random) -> Script:
        for _ in range(3):
            move = yield self.turn("agent_0", "sh ...", default="sh true")
            ran = yield self.effect("run", self.backend, "shell", move.args[0])
            self.tell(f"{ran['stdout']}({ran['exit_code']})")


def test_an_episode_has_a_workspace_of_its_own_and_replays_without_running(monkeypatch: pytest.MonkeyPatch) -> None:
    env, other = Terminal(), Terminal()
    for e, word in ((env, "one"), (other, "two")):
        e.start(0)
        e.submit({"agent_0": f"[sh echo {word} > f]"})
        e.settle()
    fork = env.fork()
    for e, word in ((env, "one"), (other, "two"), (fork, "one")):
        e.submit({"agent_0": "[sh cat f; echo more >> f]"})
        e.settle()
        assert e.waiting["agent_0"].text == f"{word}\n(0)"
    monkeypatch.setattr(sandbox, "get", None)
    assert Terminal.replay(env.transcript).transcript == env.transcript


def test_each_call_of_an_episode_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sandbox.get("unsafe_subprocess")
    ran: list[str] = []

    class Counting:
        name, languages = "counting", made.languages

        def exec(self, code: str, **more: Any) -> Result:
            ran.append(code)
            return made.exec(code, **more)

        def close(self) -> None:
            pass

    monkeypatch.setitem(sandbox._ready, (os.getpid(), "unsafe_subprocess"), Counting())
    history: list[tuple[list[Any], Any]] = []
    for code in ("echo x > counted", "cat counted", "cat counted"):
        found = sandbox.execute("unsafe_subprocess", "shell", code, history=history)
        history.append((["unsafe_subprocess", "shell", code], found))
    assert ran == ["echo x > counted", "cat counted", "cat counted"]
    assert history[-1][1] == {"stdout": "x\n", "stderr": "", "exit_code": 0, "error": None, "truncated": False}


# -- the jail ------------------------------------------------------------------------------------------------------


def test_a_hundred_execs_need_one_jail_and_leave_none(jail: Sandbox) -> None:
    jail.close()
    before = battery.children()
    began = [jail.exec("print(open('/proc/sys/kernel/random/boot_id').read() and 1)").stdout for _ in range(100)]
    assert set(began) == {"1\n"}
    assert len(battery.children() - before) == 1
    jail.close()
    assert battery.children() == before


def test_a_tidied_folder_keeps_the_jail_warm(jail: Sandbox) -> None:
    jail.close()
    before = battery.children()
    space = Workspace(jail)
    seen = set()
    for _ in range(5):
        assert space.exec("mkdir -p a/b; echo x >> a/b/c", language="shell").error is None
        seen |= battery.children() - before
    assert space.read("a/b/c") == b"x\n" * 5 and len(seen) == 1


def test_slow_code_does_not_hold_up_other_episodes(ready: Callable[[str], Sandbox]) -> None:
    ready("bubblewrap")
    box = Bubblewrap(workers=2)
    slow = threading.Thread(
        target=box.exec, args=("import select\nselect.select([], [], [], 100)",), kwargs={"limits": Limits(wall_s=3.0)}
    )
    slow.start()
    began = time.monotonic()
    assert box.exec("print(1)").stdout == "1\n"
    assert slow.is_alive() and time.monotonic() - began < 3
    slow.join()
    box.close()


def test_dead_jails_are_replaced(jail: Sandbox) -> None:
    assert isinstance(jail, Bubblewrap)
    assert jail.exec("print(1)").stdout == "1\n"
    jail._idle[-1].process.kill()
    jail._idle[-1].process.wait()
    assert jail.exec("print(2)") == Result("2\n", "", 0, None, False)


def test_a_forked_process_has_sandboxes_of_its_own(jail: Sandbox) -> None:
    child = os.fork()
    if child == 0:
        same = sandbox.get("bubblewrap") is jail
        right = sandbox.get("bubblewrap").exec("print(5)").stdout == "5\n"
        sandbox.get("bubblewrap").close()
        os._exit(0 if right and not same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert jail.exec("print(6)").stdout == "6\n"


# -- the filter ----------------------------------------------------------------------------------------------------


def decide(program: bytes, number: int, architecture: int, first: int = 0) -> int:
    """What the kernel does with a call: the filter, run by hand."""
    call = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, architecture, 0, first, 0, 0, 0, 0, 0)
    lines = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = loaded = 0
    while True:
        code, yes, no, value = lines[at]
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", call, value)
            at += 1
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            at += 1 + (yes if holds else no)


@pytest.mark.parametrize(("machine", "column", "architecture"), [("x86_64", 0, 0xC000003E), ("aarch64", 1, 0xC00000B7)])
def test_the_filter_refuses_what_it_lists_and_permits_the_rest(machine: str, column: int, architecture: int) -> None:
    program = seccomp.program(machine)
    allow, kill, fail = 0x7FFF0000, 0x80000000, 0x00050000

    def decided(number: int, first: int = 0) -> int:
        return decide(program, number, architecture, first)

    special = {seccomp.CLONE[column], seccomp.CLONE3[column], seccomp.SOCKET[column]}
    listed = {numbers[column] for numbers in seccomp.REFUSED.values()}
    for number in range(500):
        if number not in special:
            assert decided(number) == (fail | errno.EPERM if number in listed else allow), number
    assert decided(seccomp.CLONE3[column]) == fail | errno.ENOSYS
    assert decided(seccomp.CLONE[column], 0x01200011) == allow  # fork
    assert decided(seccomp.CLONE[column], 0x003D0F00) == allow  # a thread
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decided(seccomp.CLONE[column], namespace | 17) == fail | errno.EPERM
    for family, fate in ((1, allow), (2, allow), (10, allow), (16, fail | 97), (38, fail | 97), (40, fail | 97)):
        assert decided(seccomp.SOCKET[column], family) == fate
    assert decide(program, 0, 0x40000003) == kill
    assert decide(program, 0x40000000 | 1, architecture) == kill


def test_a_machine_without_a_filter_has_no_jail(
    monkeypatch: pytest.MonkeyPatch, ready: Callable[[str], Sandbox]
) -> None:
    assert seccomp.program("pdp11") == b""
    ready("bubblewrap")
    monkeypatch.setattr(seccomp, "program", lambda: b"")
    with pytest.raises(SandboxMissingError, match="no filter"):
        Bubblewrap()


# -- monty ---------------------------------------------------------------------------------------------------------


def test_monty_names_syntax_outside_its_subset(ready: Callable[[str], Sandbox]) -> None:
    assert ready("monty").exec("def f():\n    yield 1").error == "unsupported"


def test_monty_reads_no_files_clock_or_environment(ready: Callable[[str], Sandbox]) -> None:
    monty = ready("monty")
    assert monty.exec("open('/etc/passwd')").error == "exit"
    assert monty.exec("import os\nprint(os.environ)").error == "exit"
    assert monty.exec("import time\nprint(time.time())").stdout == "946684800.0\n"
    with pytest.raises(EnvError, match="no files"):
        monty.exec("print(1)", files={"a": b""})


# -- names ---------------------------------------------------------------------------------------------------------


def test_a_missing_program_is_one_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_ready", {})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SandboxMissingError, match="apt-get install bubblewrap") as caught:
        sandbox.get("bubblewrap")
    assert isinstance(caught.value, MissingExtraError)
    assert isinstance(caught.value, EnvError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """`register`, undone after the test."""
    monkeypatch.setattr(sandbox, "BACKENDS", dict(sandbox.BACKENDS))
    monkeypatch.setattr(sandbox, "_ready", dict(sandbox._ready))
    return sandbox.register  # type: ignore[return-value]


class Container:
    """A back-end from elsewhere; what it runs in stands in for a container."""

    name: str = "container"
    languages: tuple[str, ...] = ("python",)
    protects = True

    def exec(
        self, code: str, *, language: str = "python", files: Any = None, stdin: str = "", limits: Any = None
    ) -> Result:
        limits = sandbox.limits_of(self, language, limits)
        if self.protects and "/etc/passwd" in code:
            return Result("", "FileNotFoundError", 1, "exit", False)
        return UnsafeSubprocess().exec(code, language=language, files=files, stdin=stdin, limits=limits)

    def close(self) -> None:
        pass


def test_a_back_end_of_ones_own_has_a_name_in_every_environment(named: Callable[..., None]) -> None:
    from palaestra.envs.tools.harness import run_tests

    named("container", Container)
    assert run_tests("container", "def f(x):\n    return x + 1", [1, 2])["results"] == [{"value": "2"}, {"value": "3"}]
    assert Workspace(sandbox.get("container")).exec("print(7)").stdout == "7\n"
    with pytest.raises(EnvError, match="already there"):
        named("monty", Container)


def test_a_sandbox_that_protects_nothing_does_not_pass_its_probe(named: Callable[..., None]) -> None:
    class Open(Container):
        protects = False

    named("open", Open)
    with pytest.raises(SandboxMissingError, match="does not protect"):
        sandbox.get("open")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean bubblewrap"):
        sandbox.get("bublewrap")


def test_nothing_runs_without_isolation_unless_the_name_says_so() -> None:
    assert [name for name, made in sandbox.BACKENDS.items() if "UnsafeSubprocess" in str(made)] == ["unsafe_subprocess"]
    assert sandbox.UNSAFE == "unsafe_subprocess"
