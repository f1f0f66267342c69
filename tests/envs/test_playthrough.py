"""Golden playthroughs: what each environment tells whom, compared with the text that was reviewed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from palaestra.envs import playthrough, registry, sandbox

FOLDER = Path(__file__).parents[1] / "playthroughs"
LEVELS = [(name, level) for name in registry.BUILTIN for level in registry.env_class(name).levels]


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_a_play_reads_as_the_golden_text(name: str, level: int) -> None:
    if name == "python_tests":
        try:
            sandbox.get("bubblewrap")
        except sandbox.SandboxMissingError as error:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
    golden = playthrough.golden(name, level, FOLDER)
    assert golden.exists(), "palaestra check --update writes it"
    assert playthrough.write(name, level).splitlines() == golden.read_text(encoding="utf-8").splitlines()


def test_no_golden_text_is_left_over() -> None:
    assert {p.name for p in FOLDER.glob("*.txt")} == {f"{name}-{level}.txt" for name, level in LEVELS}


def test_update_writes_only_what_changed(tmp_path: Path) -> None:
    assert playthrough.update(["kuhn"], tmp_path) == [tmp_path / "kuhn-0.txt", tmp_path / "kuhn-1.txt"]
    assert playthrough.update("kuhn", tmp_path) == []
    (tmp_path / "kuhn-1.txt").write_text("old")
    assert playthrough.update(["kuhn"], tmp_path) == [tmp_path / "kuhn-1.txt"]
