"""Evaluation pairs instances, rotates seats, and keeps what broke off out of its means."""

from __future__ import annotations

import random

import numpy as np
import pytest

from palaestra.agents.policy import Scripted, player
from palaestra.alignment.evaluate import bootstrap, evaluate, held_out, paired, rotations
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.negotiation.haggle import Haggle
from palaestra.envs.script import Script, ScriptedEnv, play_random


class Flaky(ScriptedEnv):
    """Breaks off at odd seeds."""

    seats = ("a_0",)

    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        if self._seed is not None and self._seed % 2:
            raise RuntimeError("odd")
        self.reward(a_0=1.0)


def test_the_bootstrap_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        found = bootstrap(rng.normal(1.0, 2.0, 60).tolist(), seed=trial, draws=500)
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_pairing_takes_the_difficulty_of_the_instance_out() -> None:
    rng = np.random.default_rng(1)
    luck = rng.normal(0, 10, 50)
    before = dict(enumerate(luck))
    after = {i: v + 0.5 + 0.1 * rng.normal() for i, v in before.items()}
    found = paired(after, before)
    assert found.low > 0.4 and found.high < 0.6
    apart = bootstrap(list(after.values()))
    assert apart.high - apart.low > 10 * (found.high - found.low)


def test_pairing_uses_only_instances_that_both_have() -> None:
    assert paired({1: 2.0, 2: 3.0}, {2: 1.0, 9: 5.0}) == paired({2: 3.0}, {2: 1.0})
    assert paired({1: 1.0}, {2: 1.0}).n == 0


def test_the_focal_policy_takes_every_seat_in_turn_against_an_opponent() -> None:
    focal, foe = Scripted("f", play_random), Scripted("o", play_random)
    cast = {"player_0": foe, "player_1": foe, "judge_0": foe}
    turned = rotations(cast, focal, ["player_0", "player_1"], foe)
    assert [s.focal for s in turned] == [("player_0",), ("player_1",)]
    assert all(sum(p is focal for p in s.cast.values()) == 1 for s in turned)
    (alone,) = rotations(cast, focal, ["player_0", "player_1"], None)
    assert alone.focal == ("player_0", "player_1") and alone.cast["judge_0"] is foe


def test_a_clairvoyant_beats_a_random_player_from_both_seats() -> None:
    oracle, other = player(Kuhn, "oracle"), player(Kuhn, "random")
    settings = {"random": rotations({}, oracle, Kuhn.seats, other)}
    found = evaluate("kuhn", {}, settings, 150)
    assert found.episodes == 300 and found.failed == 0
    assert found.estimate("return").low > 0 and found.estimate("return").n == 150
    assert all(found.by_seat[s].mean > 0 for s in Kuhn.seats)


def test_gold_facts_become_measures() -> None:
    split = player(Haggle, "split")
    found = evaluate("haggle", {}, {"self": rotations({}, split, Haggle.seats, None)}, 20)
    assert {"return", "malformed", "forfeited"} < set(found.values) and len(found.values) > 4


def test_broken_episodes_are_counted_and_in_no_mean() -> None:
    settings = {"self": rotations({}, Scripted("r", play_random), ["a_0"], None)}
    found = evaluate(f"{__file__}:Flaky", {}, settings, 10)
    assert found.failed == 5 and found.estimate("return") == bootstrap([1.0] * 5)


@pytest.mark.parametrize(("splits", "expected"), [(("train", "test"), "test"), (("train",), "train")])
def test_evaluation_uses_the_test_split_where_there_is_one(splits: tuple[str, ...], expected: str) -> None:
    assert held_out(splits) == expected
