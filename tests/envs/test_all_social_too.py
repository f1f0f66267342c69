"""The built-in environments of social life (the second half) hold every check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from palaestra.envs.registry import BUILTIN

NAMES = sorted(name for name, target in BUILTIN.items() if ".envs.social." in target)[1::2]


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_every_check(name: str, holds: Callable[[str], None]) -> None:
    holds(name)
