"""The pipeline's simulation against closed forms."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from palaestra.alignment.pipeline import Pipeline, Slowdown, always, long_tail, simulate, steady

PLAY, LEARN, PUBLISH = 8.0, 5.0, 1.0
FLAT = Pipeline(episodes=4, tokens=always(PLAY), token_s=steady(1.0), learn=always(LEARN), publish_s=PUBLISH)


def test_without_staleness_play_and_learning_add_up() -> None:
    found = simulate(FLAT)
    assert found.step_s == pytest.approx(PLAY + LEARN + PUBLISH)
    assert found.learner == pytest.approx(LEARN / (PLAY + LEARN + PUBLISH))
    assert found.engines == pytest.approx(PLAY / (PLAY + LEARN + PUBLISH))
    assert found.stalest == 0


@pytest.mark.parametrize("admission", ["batches", "continuous"])
@pytest.mark.parametrize(("play", "learn"), [(8.0, 3.0), (3.0, 8.0), (6.0, 6.0)])
def test_one_step_ahead_takes_as_long_as_the_slower(admission: str, play: float, learn: float) -> None:
    pipeline = replace(
        FLAT, tokens=always(play), learn=always(learn), publish_s=0.0, staleness=1, at_once=1, admission=admission
    )
    found = simulate(replace(pipeline, live=pipeline.episodes))
    assert found.step_s == pytest.approx(max(play, learn))
    assert found.learner == pytest.approx(learn / max(play, learn))


def test_an_engine_that_shares_its_time_plays_as_fast_as_its_work_is_great() -> None:
    """Four episodes of 8 tokens at n seconds a token, n at once: 32 s of work a step, however far ahead."""
    pipeline = replace(FLAT, token_s=steady(0.0, 1.0))
    assert simulate(pipeline).step_s == pytest.approx(32 + LEARN + PUBLISH)
    assert simulate(replace(pipeline, staleness=5, at_once=1)).step_s == pytest.approx(32)


def test_places_bound_what_is_served_at_once() -> None:
    assert simulate(replace(FLAT, live=1)).step_s == pytest.approx(4 * PLAY + LEARN + PUBLISH)
    assert simulate(replace(FLAT, live=1, engines=2)).step_s == pytest.approx(2 * PLAY + LEARN + PUBLISH)


def test_a_random_batch_one_step_ahead_takes_the_mean_of_the_slower() -> None:
    """Exponential play R, constant learning L: E max(R, L) = L + E R exp(-L / E R)."""
    mean = 8.0
    pipeline = replace(
        FLAT, episodes=1, tokens=lambda rng: rng.expovariate(1 / mean), publish_s=0.0, staleness=1, at_once=1
    )
    found = simulate(pipeline, steps=20_000)
    assert found.step_s == pytest.approx(LEARN + mean * math.exp(-LEARN / mean), rel=0.02)


def test_far_ahead_only_the_slower_of_the_means_counts() -> None:
    pipeline = replace(FLAT, episodes=1, tokens=long_tail(3.0, 1.0), publish_s=0.0, staleness=200, at_once=1)
    found = simulate(pipeline, steps=3_000, warm=500)
    assert found.step_s == pytest.approx(LEARN, rel=0.01)
    assert found.learner == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_whole_batches_are_never_staler_than_they_may_be(staleness: int) -> None:
    pipeline = replace(FLAT, tokens=long_tail(20.0, 1.0), staleness=staleness, live=3, episodes=8)
    found = simulate(pipeline)
    assert found.stalest == staleness
    assert found.staleness <= staleness


def test_continuous_admission_keeps_places_filled_where_tails_are_long() -> None:
    pipeline = replace(FLAT, episodes=32, tokens=long_tail(8.0, 1.5), live=32, staleness=1)
    batches, one_by_one = simulate(pipeline), simulate(replace(pipeline, admission="continuous"))
    assert one_by_one.step_s < batches.step_s
    assert one_by_one.filled > batches.filled


def test_what_is_shared_slows_both() -> None:
    def shared(playing: int, learning: bool) -> Slowdown:
        return Slowdown(2.0, 2.0) if playing and learning else Slowdown()

    pipeline = replace(FLAT, publish_s=0.0, staleness=1, at_once=1, shared=shared)
    assert simulate(pipeline).step_s == pytest.approx(PLAY + LEARN)  # nothing is gained by overlapping
    assert simulate(replace(pipeline, staleness=0)).step_s == pytest.approx(PLAY + LEARN)


def test_the_same_seed_gives_the_same_forecast() -> None:
    pipeline = replace(FLAT, tokens=long_tail(8.0, 1.0), staleness=1)
    assert simulate(pipeline, seed=3) == simulate(pipeline, seed=3)
    assert simulate(pipeline, seed=3) != simulate(pipeline, seed=4)


def test_a_long_tail_has_the_mean_and_the_spread_that_it_says() -> None:
    rng, draw = random.Random(0), long_tail(10.0, 0.5)
    drawn = [draw(rng) for _ in range(20_000)]
    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(10.0, rel=0.02)
    assert math.sqrt(sum((x - mean) ** 2 for x in drawn) / len(drawn)) == pytest.approx(5.0, rel=0.05)
