"""Watchdogs: patterns in a run's metrics that its owner should look at, each reported once until it has passed."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

History = list[dict[str, Any]]
WINDOW = 10


def _recent(history: History, key: str, n: int = WINDOW) -> list[float]:
    return [m[key] for m in history[-n:] if key in m]


def _keys(history: History, prefix: str) -> list[str]:
    return [k for k in history[-1] if k.startswith(prefix)]


def entropy_collapse(history: History) -> str | None:
    for key in _keys(history, "entropy/"):
        early = [m[key] for m in history[: WINDOW + 1] if key in m]
        late = _recent(history, key)
        if len(late) == WINDOW and early and fmean(late) < 0.05 * max(early) and len(history) > 2 * WINDOW:
            return f"{key} fell from {max(early):.3f} to {fmean(late):.4f}: the policy hardly explores"
    return None


def constant_groups(history: History) -> str | None:
    shares = _recent(history, "constant_groups")
    if len(shares) == WINDOW and fmean(shares) > 0.8:
        return f"{fmean(shares):.0%} of groups have equal returns: they teach nothing"
    return None


def forfeits_rising(history: History) -> str | None:
    for key in ("forfeited", "malformed"):
        late = _recent(history, key)
        early = [m[key] for m in history[1 : WINDOW + 1] if key in m]
        if len(late) == WINDOW and early and len(history) > 2 * WINDOW:
            if fmean(late) > 0.1 and fmean(late) > 2 * fmean(early):
                return f"{key} rose from {fmean(early):.1%} to {fmean(late):.1%} of turns: the format is being lost"
    return None


def one_seat_wins(history: History) -> str | None:
    for key in _keys(history, "wins/"):
        late = _recent(history, key)
        if len(late) == WINDOW and fmean(late) > 0.95:
            return f"{key.partition('/')[2]} earned most in {fmean(late):.0%} of episodes: one seat always wins"
    return None


def reward_up_gold_down(history: History) -> str | None:
    evals = [m for m in history if "eval/gold" in m and "eval/return" in m][-3:]
    if len(evals) < 3:
        return None
    gold, reward = [m["eval/gold"] for m in evals], [m["eval/return"] for m in evals]
    if reward[0] < reward[1] < reward[2] and gold[0] > gold[1] > gold[2]:
        return f"reward rose ({reward[0]:.3f} -> {reward[2]:.3f}) while gold fell ({gold[0]:.3f} -> {gold[2]:.3f})"
    return None


def mismatch(history: History) -> str | None:
    for key in _keys(history, "mismatch/"):
        if history[-1][key] > 1e-2:
            return f"{key} = {history[-1][key]:.1e} nats: engine and learner disagree about the same weights"
    return None


WATCHDOGS: dict[str, Callable[[History], str | None]] = {
    "entropy": entropy_collapse,
    "constant_groups": constant_groups,
    "forfeits": forfeits_rising,
    "payoff_asymmetry": one_seat_wins,
    "gold_falls": reward_up_gold_down,
    "mismatch": mismatch,
}


def watch(history: History, barking: set[str]) -> list[tuple[str, str]]:
    """New alerts as (kind, text). `barking` holds the kinds that are on, and is updated: it is part of the state."""
    out = []
    for kind, look in WATCHDOGS.items():
        text = look(history) if history else None
        if text and kind not in barking:
            out.append((kind, text))
        barking.discard(kind) if text is None else barking.add(kind)
    return out
