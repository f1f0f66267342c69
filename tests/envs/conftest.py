"""What the tests of environments share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from palaestra.envs import sandbox
from palaestra.envs.conformance import CHECKS, QUICK, check


def _ready(name: str) -> sandbox.Sandbox:
    try:
        return sandbox.get(name)
    except sandbox.SandboxMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def ready() -> Callable[[str], sandbox.Sandbox]:
    """The probed back-end of a name; a skip where it is missing, a failure under CI=true."""
    return _ready


@pytest.fixture
def jail() -> sandbox.Sandbox:
    """The default back-end, probed."""
    return _ready("bubblewrap")


@pytest.fixture
def holds() -> Callable[[str], None]:
    """Asserts that an environment holds every check, at every level and with every control."""

    def assert_it(name: str) -> None:
        if name == "python_tests":
            _ready("bubblewrap")
        report = check(name, effort=QUICK)
        assert report.ok, report.table()
        assert [row.check for row in report.rows()] == list(CHECKS)

    return assert_it
