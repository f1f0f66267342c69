"""Watchdogs bark once, about what they are for."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.alignment.watch import watch


def barks(history: list[dict[str, Any]]) -> list[str]:
    barking: set[str] = set()
    return [kind for n in range(1, len(history) + 1) for kind, _ in watch(history[:n], barking)]


@pytest.mark.parametrize(
    ("kind", "history"),
    [
        ("entropy", [{"entropy/p": 1.0 if i < 15 else 0.001} for i in range(40)]),
        ("constant_groups", [{"constant_groups": 1.0} for _ in range(12)]),
        ("forfeits", [{"malformed": 0.01 if i < 20 else 0.5} for i in range(40)]),
        ("payoff_asymmetry", [{"wins/a_0": 1.0, "wins/b_0": 0.0} for _ in range(12)]),
        ("gold_falls", [{"eval/gold": 1.0 - i, "eval/return": float(i)} for i in range(3)]),
        ("mismatch", [{"mismatch/p": 0.5}]),
    ],
)
def test_each_watchdog_barks_once_at_its_own_pattern(kind: str, history: list[dict[str, Any]]) -> None:
    assert barks([{"step": i, **m} for i, m in enumerate(history)]) == [kind]


def test_a_healthy_run_is_quiet() -> None:
    healthy = {"entropy/p": 0.5, "constant_groups": 0.2, "malformed": 0.01, "wins/a_0": 0.6, "wins/b_0": 0.4}
    assert barks([{"step": i, **healthy, "mismatch/p": 1e-6} for i in range(50)]) == []


def test_a_watchdog_barks_again_after_its_pattern_has_passed() -> None:
    bad, good = {"mismatch/p": 1.0}, {"mismatch/p": 0.0}
    assert barks([bad, bad, good, bad]) == ["mismatch", "mismatch"]
