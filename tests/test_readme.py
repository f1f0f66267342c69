"""The README's environment is extracted, counted, checked, played and trained, as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    path = tmp_path_factory.mktemp("readme") / "signal_game.py"
    path.write_text(code)
    return path


def palaestra(file: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palaestra.cli", *arguments]
    return subprocess.run(command, cwd=file.parent, input=typed, capture_output=True, text=True, timeout=110)


def test_it_has_at_most_30_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 30


def test_it_passes_every_check(file: Path) -> None:
    done = palaestra(file, "check", "signal_game.py:Signal")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_person_can_play_it(file: Path) -> None:
    done = palaestra(
        file, "play", "signal_game.py:Signal", "--cast", "sender_0=human", "guesser_0=random", typed="[say green]\n"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The number is" in done.stdout and "The number was" in done.stdout


def test_two_policies_learn_to_signal(file: Path) -> None:
    done = palaestra(
        file,
        "train",
        "signal_game.py:Signal",
        *("--set", "recipe.steps=40", "--set", "eval.every=0", "--set", "recipe.kl.refresh=10"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from palaestra.alignment.run import RunDir

    metrics = RunDir(file.parent / "runs" / "signal-0001").metrics()
    assert metrics[0]["eval/return"] < 0.5 < 0.8 < metrics[-1]["eval/return"]


def test_its_commands_are_the_ones_that_are_tested(file: Path) -> None:
    text = (ROOT / "README.md").read_text()
    for command in ("check signal_game.py:Signal", "train signal_game.py:Signal"):
        assert f"palaestra {command}" in text
