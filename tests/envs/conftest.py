"""What the tests of environments share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from palaestra.envs import sandbox
from palaestra.envs.conformance import CHECKS, QUICK, check


@pytest.fixture
def holds() -> Callable[[str], None]:
    """Asserts that an environment holds every check, at every level and with every control."""

    def assert_it(name: str) -> None:
        if name == "python_tests":
            try:
                sandbox.get("bubblewrap")
            except sandbox.SandboxMissingError as error:
                (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
        report = check(name, effort=QUICK)
        assert report.ok, report.table()
        assert [row.check for row in report.rows()] == list(CHECKS)

    return assert_it
