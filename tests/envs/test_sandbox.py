"""The sandbox back-ends: what code may do, what it may not, and that what comes back repeats."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra.envs import sandbox
from palaestra.envs.sandbox import Limits, Result, Sandbox, SandboxMissingError
from palaestra.errors import EnvError, MissingExtraError, UnknownNameError

QUICK = Limits(cpu_s=1.0, wall_s=20.0)


def ready(name: str) -> Sandbox:
    """The probed back-end; a skip where it is missing, a failure under CI=true."""
    try:
        return sandbox.get(name)
    except SandboxMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(params=["bubblewrap", "monty", "unsafe_subprocess"])
def box(request: pytest.FixtureRequest) -> Sandbox:
    return ready(request.param)


@pytest.fixture
def jail() -> Iterator[Sandbox]:
    """Bubblewrap, with the files that a test gives it taken away again."""
    made = ready("bubblewrap")
    yield made
    assert isinstance(made, sandbox.Bubblewrap)
    made.given.clear()


@pytest.fixture(params=["bubblewrap", "unsafe_subprocess"])
def python(request: pytest.FixtureRequest) -> Sandbox:
    """The back-ends that run CPython."""
    return ready(request.param)


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


def test_addresses_in_the_output_are_cut(python: Sandbox) -> None:
    assert python.exec("class A: pass\nprint(A())").stdout == "<__main__.A object at 0x>\n"


def test_exit_codes_and_standard_input(python: Sandbox) -> None:
    assert python.exec("import sys\nsys.exit(3)").exit_code == 3
    assert python.exec("import sys\nsys.exit('bye')") == Result("", "bye\n", 1, "exit", False)
    assert python.exec("print(input()[::-1])", stdin="abc\n").stdout == "cba\n"


def test_a_signal_is_a_crash(python: Sandbox) -> None:
    assert python.exec("import os\nos.kill(os.getpid(), 11)").error == "crash"
    assert python.exec("print(1)").stdout == "1\n"


def test_sleeping_past_the_wall_clock_is_a_timeout(python: Sandbox) -> None:
    done = python.exec("import time\ntime.sleep(100)", limits=Limits(wall_s=0.3))
    assert done == Result("", "", None, "timeout", False)


def test_the_environment_holds_nothing_of_ours(python: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "canary")
    python.close()
    done = python.exec("import os\nprint(dict(os.environ))")
    assert done.error is None
    assert "canary" not in done.stdout


def test_files_are_given_and_taken(python: Sandbox) -> None:
    python.write_file("in/a.txt", b"\xffdata")
    for _ in range(2):  # every exec begins with the given files alone
        done = python.exec(
            "d = open('in/a.txt', 'rb').read()\nopen('in/a.txt', 'ab').write(b'!')\nopen('b', 'wb').write(d)"
        )
        assert done.error is None, done
        assert python.read_file("b") == b"\xffdata"
        assert python.read_file("in/a.txt") == b"\xffdata!"
    python.exec("pass")
    with pytest.raises(FileNotFoundError):
        python.read_file("b")
    python.given.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", ""])
def test_a_file_outside_the_folder_is_refused(python: Sandbox, path: str) -> None:
    with pytest.raises(EnvError, match="relative"):
        python.write_file(path, b"")


def test_links_are_not_followed_when_files_are_taken(jail: Sandbox) -> None:
    jail.exec("import os\nos.symlink('/usr/bin/env', 'link')\nos.mkfifo('pipe')\nopen('real', 'w').write('1')")
    assert jail.read_file("real") == b"1"
    for name in ("link", "pipe"):
        with pytest.raises(FileNotFoundError):
            jail.read_file(name)


# -- what only the jail holds back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "open('/usr/canary', 'w')",
        "open('/canary', 'w')",
        "open('/dev/shm/canary', 'w')",
        "import os\nos.setuid(0)",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.fork()",
        "import threading\nthreading.Thread(target=print).start()",
        "import os\nos.listdir(f'/proc/{os.getppid()}/fd')",
        "open(__import__('os').path.realpath('/proc/1/root') + '/etc/shadow').read()",
        "open('big', 'wb').write(bytes(9 << 20))",
        "for i in range(100): open(str(i), 'wb').write(bytes(1 << 20))",
        "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (99, 99))",
        "import socket\nsocket.create_connection(('1.1.1.1', 53), 1)",
    ],
)
def test_the_jail_refuses(jail: Sandbox, code: str) -> None:
    assert jail.exec(code, limits=QUICK).error is not None
    assert jail.exec("print(1)").stdout == "1\n"


def test_the_jail_reaches_no_listener_of_the_host(jail: Sandbox) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as abstract:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        abstract.bind("\0palaestra-test-listener")
        abstract.listen()
        port = tcp.getsockname()[1]
        for code in (
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
            "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0palaestra-test-listener')",
        ):
            assert "ConnectionRefusedError" in jail.exec(code, limits=QUICK).stderr


def test_the_jail_sees_no_files_of_the_user(jail: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    assert jail.exec(f"print(open({str(tmp_path / 'secret')!r}).read())").error == "exit"
    assert jail.exec(f"import os\nprint(os.path.exists({str(Path(__file__))!r}))").stdout == "False\n"


def test_a_token_of_the_host_is_in_no_process_of_the_jail(jail: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "canary")
    jail.close()
    code = """
import os
for number in filter(str.isdigit, os.listdir('/proc')):
    for name in ('environ', 'cmdline'):
        try:
            print(open(f'/proc/{number}/{name}').read())
        except OSError:
            pass
"""
    assert "canary" not in jail.exec(code).stdout


def test_a_fork_bomb_is_bounded_and_leaves_nothing(jail: Sandbox) -> None:
    bomb = """
import os, time
forks = 0
try:
    while os.fork():
        forks += 1
    time.sleep(60)
except OSError:
    print('stopped', forks)
"""
    assert jail.exec(bomb, limits=QUICK._replace(processes=8)).stdout == "stopped 7\n"
    assert jail.exec("import os\nprint(len(list(filter(str.isdigit, os.listdir('/proc')))))").stdout == "3\n"


def test_broken_servers_and_dead_jails_are_replaced(jail: Sandbox) -> None:
    assert isinstance(jail, sandbox.Bubblewrap)
    assert jail.exec("print(1)").stdout == "1\n"
    assert jail._jail is not None
    jail._jail.kill()
    jail._jail.wait()
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


# -- monty, and what is missing ------------------------------------------------------------------------------------


def test_monty_names_syntax_outside_its_subset() -> None:
    assert ready("monty").exec("def f():\n    yield 1").error == "unsupported"


def test_monty_reads_no_files_clock_or_environment() -> None:
    monty = ready("monty")
    assert monty.exec("open('/etc/passwd')").error == "exit"
    assert monty.exec("import os\nprint(os.environ)").error == "exit"
    assert monty.exec("import time\nprint(time.time())").stdout == "946684800.0\n"
    with pytest.raises(EnvError, match="no files"):
        monty.write_file("a", b"")


def test_a_missing_program_is_one_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_ready", {})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SandboxMissingError, match="apt-get install bubblewrap") as caught:
        sandbox.get("bubblewrap")
    assert isinstance(caught.value, MissingExtraError)
    assert isinstance(caught.value, EnvError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_sandbox_that_protects_nothing_does_not_pass_its_probe() -> None:
    open_box = sandbox.UnsafeSubprocess()
    open_box.name = "bubblewrap"
    with pytest.raises(SandboxMissingError, match="does not protect"):
        sandbox.probe(open_box)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean bubblewrap"):
        sandbox.get("bublewrap")


def test_nothing_runs_without_isolation_unless_the_name_says_so() -> None:
    assert [name for name, made in sandbox.BACKENDS.items() if made is sandbox.UnsafeSubprocess] == [
        "unsafe_subprocess"
    ]
