"""The isolation battery once more, run by somebody who is not root."""

from __future__ import annotations

import os

import pytest

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandboxes import battery
from palaestra.envs.sandboxes.processes import Bubblewrap


@pytest.mark.timeout(600)
def test_the_battery_as_an_ordinary_user(jail: Sandbox) -> None:
    if os.geteuid() != 0:
        pytest.skip("the tests are run by one")
    python = next(
        (p for p in (os.path.realpath("/usr/bin/python3"), "/usr/local/bin/python3") if os.path.exists(p)), ""
    )
    made = lambda: battery.fight(Bubblewrap(python=python))
    assert battery.as_user(65534, made) == []
