"""An environment that another package adds is found, once the package is installed, under every door."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import palaestra

SOURCE = Path(__file__).parent / "packages" / "palaestra-higher"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package, with nothing from the network."""
    copy = tmp_path_factory.mktemp("source") / "package"  # a build leaves files beside the source
    shutil.copytree(SOURCE, copy)
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--isolated", "install", "--quiet"]
    flags = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([*pip, *flags, str(copy)], check=True, capture_output=True, text=True)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """What a fresh process prints that can import what is in `folder`."""
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_where_it_is_installed(installed: Path) -> None:
    lines = run(installed, "-m", "palaestra.cli", "list", "envs", "--json").splitlines()
    assert {entry["id"]: entry for entry in map(json.loads, lines)}["higher"] == {
        "id": "higher",
        "seats": ["player_0"],
        "levels": [0],
        "splits": ["train"],
        "about": "Find a hidden number by asking whether it is higher or lower.",
    }
    assert "higher" not in palaestra.names()


def test_it_opens_through_every_door_and_its_record_verifies(installed: Path, tmp_path: Path) -> None:
    code = """
import gymnasium, palaestra, sys
from palaestra.cli import main
from pettingzoo.env_registry import registration as zoo
assert palaestra.make("higher").name() == "higher"
for seed in range(9):
    assert palaestra.play("higher", cast="greedy", seed=seed).outcome["found"]
env = gymnasium.make("palaestra/higher-v0")
print(env.reset(seed=3)[0]["text"])
aec = zoo.make("aec", "palaestra/higher-v0")
aec.reset(seed=3)
print(aec.observe("player_0")["text"])
assert main(["play", "higher", "player_0=oracle", "--save", sys.argv[1]]) == 0
assert main(["replay", sys.argv[1], "--verify"]) == 0
"""
    printed = run(installed, "-c", code, str(tmp_path / "higher.jsonl")).splitlines()
    assert printed[:2] == ["Guess a number of 1 to 15, four times."] * 2
    assert any("found" in line for line in printed)
    assert "no difference" in printed[-1]
