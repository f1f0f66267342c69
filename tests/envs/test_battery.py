"""The isolation battery: every attack ends as an observation within its limits, and leaves nothing behind."""

from __future__ import annotations

import pytest

from palaestra.envs.sandbox import Sandbox
from palaestra.envs.sandboxes import battery


@pytest.mark.timeout(600)
def test_the_battery_ends_as_observations_and_leaves_nothing(jail: Sandbox) -> None:
    assert battery.fight(jail) == []
