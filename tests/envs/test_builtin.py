"""Every environment that comes with the library holds every check, at every level and with every control."""

from __future__ import annotations

import os

import pytest

from palaestra.envs import registry, sandbox
from palaestra.envs.conformance import CHECKS, QUICK, check


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_a_built_in_environment_holds_every_check(name: str) -> None:
    if name == "python_tests":
        try:
            sandbox.get("bubblewrap")
        except sandbox.SandboxMissingError as error:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
    report = check(name, effort=QUICK)
    assert report.ok, report.table()
    assert [row.check for row in report.rows()] == list(CHECKS)


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_a_built_in_environment_declares_all_that_it_can(name: str) -> None:
    cls = registry.env_class(name)
    assert {"random", "greedy", "oracle"} <= cls.players.keys()
    assert len(cls.levels) >= 2 and cls.rules and cls.reward_range and cls.__doc__
    assert cls.name() == name
    for control in cls.controls:
        assert cls().params[control] is False
