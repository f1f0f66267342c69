"""Every environment that comes with the library declares all that it can; that it holds the checks: `test_all_*`."""

from __future__ import annotations

from pathlib import Path

import pytest

from palaestra.envs import registry


def test_every_built_in_environment_lies_in_a_folder_whose_checks_are_run() -> None:
    folders = {target.split(".")[2] for target in registry.BUILTIN.values()}
    tested = {path.stem.removeprefix("test_all_").split("_")[0] for path in Path(__file__).parent.glob("test_all_*.py")}
    assert folders == tested


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_a_built_in_environment_declares_all_that_it_can(name: str) -> None:
    cls = registry.env_class(name)
    assert {"random", "greedy", "oracle"} <= cls.players.keys()
    assert len(cls.levels) >= 2 and cls.rules and cls.reward_range and cls.__doc__
    assert cls.name() == name
    for control in cls.controls:
        assert cls().params[control] is False
