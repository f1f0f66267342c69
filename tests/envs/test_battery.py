"""The isolation battery: every attack ends as an observation within its limits, and leaves nothing behind."""

from __future__ import annotations

import os

import pytest

from palaestra.envs import sandbox
from palaestra.envs.sandbox import Sandbox, SandboxMissingError
from palaestra.envs.sandboxes import battery


@pytest.fixture
def jail() -> Sandbox:
    """The probed jail; a skip where it is missing, a failure under CI=true."""
    try:
        return sandbox.get("bubblewrap")
    except SandboxMissingError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.mark.timeout(600)
def test_the_battery_ends_as_observations_and_leaves_nothing(jail: Sandbox) -> None:
    assert battery.fight(jail) == []
