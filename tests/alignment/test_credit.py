"""Advantages, checked against vectors worked out by hand."""

import json
import math
import random

import numpy as np
import pytest

from palaestra.agents.episode import Episode
from palaestra.alignment.credit import (
    ESTIMATORS,
    CreditSpec,
    Estimator,
    Sample,
    gae,
    group_advantages,
    rewards_to_go,
    turn_rewards,
)
from palaestra.envs.transcript import Paid, Said, Told, Transcript
from palaestra.errors import CheckpointError, ScenarioError, UnknownNameError


def sample(total, *, instance="i", seat="player_0", rewards=None, **more):
    return Sample(more.pop("episode", 0), instance, seat, "learner", total, rewards or (total,), **more)


def flat(estimator, samples):
    return [a for by_turn in Estimator(estimator).advantages(samples).by_turn for a in by_turn]


def same(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


FOUR = [sample(r) for r in (1.0, 0.0, 0.0, 3.0)]  # mean 1, deviations 0 -1 -1 2, squares 6, std (n-1) sqrt 2


def test_grpo_by_hand():
    same(flat("grpo", FOUR), [0, -1 / math.sqrt(2), -1 / math.sqrt(2), math.sqrt(2)])


def test_dr_grpo_by_hand():
    same(flat("dr_grpo", FOUR), [0, -1, -1, 2])


def test_rloo_by_hand():
    same(flat("rloo", FOUR), [1 - 3 / 3, 0 - 4 / 3, 0 - 4 / 3, 3 - 1 / 3])


def test_population_std_divides_by_n():
    spec = CreditSpec(("instance",), "mean", "population_std")
    same(flat(spec, FOUR), [0, -1 / math.sqrt(1.5), -1 / math.sqrt(1.5), 2 / math.sqrt(1.5)])


def test_leave_one_out_per_instance_and_seat_by_hand():
    samples = [
        sample(2.0, instance="KQ", seat="player_0"),
        sample(-2.0, instance="KQ", seat="player_1"),
        sample(1.0, instance="KQ", seat="player_0"),
        sample(-1.0, instance="KQ", seat="player_1"),
        sample(5.0, instance="JQ", seat="player_0"),
    ]
    same(flat("loo_instance_seat", samples), [1, -1, -1, 1, 0])


def test_running_mean_is_read_before_it_is_updated_and_start_up_bias_is_corrected():
    estimator = Estimator("rae")
    samples = [sample(1.0), sample(0.0), sample(4.0), sample(7.0, seat="player_1")]
    got = [a[0] for a in estimator.advantages(samples).by_turn]
    second = (0.95 * 0.05 * 1.0) / (1 - 0.95**2)  # the mean of 1, 0 with weights .95, 1
    same(got, [0, 0 - 1, 4 - second, 0])
    third = (0.95**2 * 0.05 + 0.05 * 4.0) / (1 - 0.95**3)
    later = estimator.advantages([sample(2.0)])
    same(later.by_turn[0], [2 - third])  # one store for the run
    assert later.stats.singletons == 0


def test_constant_returns_leave_a_corrected_running_mean_at_once():
    same(flat("rae", [sample(3.0)] * 5), [0] * 5)


def test_running_mean_survives_a_checkpoint_exactly():
    rng = random.Random(0)
    batch = [sample(rng.gauss(0, 1), seat=f"player_{i % 2}") for i in range(20)]
    one, two = Estimator("rae"), Estimator("rae")
    one.advantages(batch)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert one.advantages(batch).by_turn == two.advantages(batch).by_turn
    assert one.baselines() == two.baselines()
    with pytest.raises(CheckpointError):
        Estimator(CreditSpec(("seat",), "ema", decay=0.9)).load_state_dict(one.state_dict())


def test_dr_mas_counts_each_turn_of_an_agent_as_a_sample():
    samples = [sample(1.0, rewards=(0.0, 1.0)), sample(4.0, rewards=(4.0,)), sample(9.0, seat="player_1")]
    # player_0: turn samples 1, 1, 4: mean 2, squares 6, std sqrt 3; player_1 is alone
    same(flat("dr_mas", samples), [-1 / math.sqrt(3), -1 / math.sqrt(3), 2 / math.sqrt(3), 0])


def test_at_grpo_groups_equal_turns_with_the_reward_from_there_on():
    samples = [sample(3.0, rewards=(1.0, 2.0)), sample(1.0, rewards=(1.0, 0.0)), sample(2.0, rewards=(2.0,))]
    # turn 0: 3, 1, 2 (mean 2, std 1); turn 1: 2, 0 (mean 1, std sqrt 2)
    result = Estimator("at_grpo").advantages(samples)
    same([a for by_turn in result.by_turn for a in by_turn], [1, 1 / math.sqrt(2), -1, -1 / math.sqrt(2), 0])
    assert (result.stats.groups, result.stats.size_min, result.stats.size_max) == (2, 2, 3)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_group_of_one_gets_zero_and_is_counted(name):
    result = Estimator(name).advantages([sample(5.0), sample(-7.0, instance="other", seat="player_1", env="other")])
    assert result.by_turn == [[0.0], [0.0]]
    assert result.stats.singletons == 2


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_constant_group_gets_exactly_zero_and_is_counted(name):
    result = Estimator(name).advantages([sample(0.1)] * 3)
    assert [round(a, 15) for by_turn in result.by_turn for a in by_turn] == [0.0, 0.0, 0.0]
    assert result.stats.constant == 1 and result.stats.constant_share == 1.0


def test_seven_against_one():
    returns = [1.0] * 7 + [0.0]
    std = math.sqrt((7 / 64 + 49 / 64) / 7)
    same(group_advantages(returns, [0] * 8)[0], [1 / 8] * 7 + [-7 / 8])
    same(group_advantages(returns, [0] * 8, scale="std")[0], [1 / 8 / std] * 7 + [-7 / 8 / std])
    same(group_advantages(returns, [0] * 8, baseline="leave_one_out")[0], [1 / 7] * 7 + [-1.0])


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-4, 1.0])
def test_no_advantage_explodes_where_returns_hardly_differ(spread, offset):
    rng = random.Random(1)
    samples = [sample(offset + spread * rng.random(), instance=str(i % 5)) for i in range(40)]
    for name in ESTIMATORS:
        assert max(map(abs, flat(name, samples))) < 1e3


def test_grpo_ignores_the_scale_and_origin_of_rewards():
    returns = [0.0, 1.0, 4.0, 2.0]
    base = group_advantages(returns, [0] * 4, scale="std")[0]
    same(group_advantages([3 * r - 5 for r in returns], [0] * 4, scale="std")[0], base)


def test_order_and_other_groups_change_nothing():
    rng = random.Random(2)
    samples = [sample(rng.gauss(0, 1), instance=str(i % 4), episode=i) for i in range(24)]
    plain = dict(zip(range(24), flat("grpo", samples), strict=True))
    order = rng.sample(range(24), 24)
    got = flat("grpo", [samples[i] for i in order])
    np.testing.assert_allclose(got, [plain[i] for i in order], rtol=1e-12)
    only = [i for i in range(24) if i % 4 == 1]
    np.testing.assert_allclose(flat("grpo", [samples[i] for i in only]), [plain[i] for i in only], rtol=1e-12)


def test_group_key_may_be_any_field_or_a_function():
    samples = [sample(1.0, seat="buyer_0"), sample(3.0, seat="buyer_1"), sample(9.0, seat="seller_0")]
    same(flat(CreditSpec(("role",), "mean"), samples), [-1, 1, 0])
    by_sign = Estimator("dr_grpo", key=lambda s, turn: s.total > 2)
    assert by_sign.advantages(samples).by_turn == [[0.0], [-3.0], [3.0]]


def test_rloo_gradient_is_unbiased_by_enumeration():
    """Over all groups of three draws from a softmax: the mean gradient is the true one; Dr. GRPO's is 2/3 of it."""
    logits, rewards = np.array([0.3, -0.2, 0.9]), np.array([1.0, 0.0, 0.4])
    p = np.exp(logits) / np.exp(logits).sum()
    true = p * (rewards - p @ rewards)
    for baseline, factor in (("leave_one_out", 1.0), ("mean", 2 / 3)):
        total = np.zeros(3)
        for group in np.ndindex(3, 3, 3):
            advantages, _ = group_advantages(rewards[list(group)], [0] * 3, baseline=baseline)
            gradient = sum(a * (np.eye(3)[y] - p) for a, y in zip(advantages, group, strict=True)) / 3
            total += p[list(group)].prod() * gradient
        np.testing.assert_allclose(total, factor * true, atol=1e-12)


def test_gae_by_hand():
    # deltas: 0 + .9*2 - 1 = .8 and 3 + .9*.5 - 2 = 1.45; A_1 = 1.45, A_0 = .8 + .9*.8*1.45
    got = gae([0.0, 3.0], [1.0, 2.0], gamma=0.9, lam=0.8, last_value=0.5)
    same(got.advantages_T, [0.8 + 0.72 * 1.45, 1.45])
    same(got.targets_T, [1.8 + 0.72 * 1.45, 3.45])


def test_gae_without_values_is_reward_to_go_and_with_lambda_zero_the_one_step_error():
    rewards, values = [1.0, -2.0, 4.0], [0.5, 0.25, -1.0]
    same(gae(rewards, [0.0] * 3, lam=1.0).advantages_T, rewards_to_go(rewards))
    same(gae(rewards, values, lam=0.0).advantages_T, [1 + 0.25 - 0.5, -2 - 1 - 0.25, 4 + 1])
    with pytest.raises(ScenarioError):
        gae([1.0], [0.0, 0.0])


def transcript(*events):
    return Transcript("kuhn", {}, 0, list(events))


def test_rewards_belong_to_the_turn_before_them_and_early_pay_to_the_first():
    t = transcript(
        Paid("a_0", 5.0),
        Told(("a_0",), "go"),
        Said("a_0", "x"),
        Paid("a_0", 1.0),
        Said("b_0", "y"),
        Paid("a_0", 0.5),
        Said("a_0", "z"),
        Paid("b_0", 2.0),
        Paid("a_0", -3.0),
    )
    assert turn_rewards(t, "a_0") == [6.5, -3.0]
    assert turn_rewards(t, "b_0") == [2.0]
    assert turn_rewards(t, "c_0") == []
    assert sum(turn_rewards(t, "a_0")) == t.returns()["a_0"]


def test_sample_of_an_episode_knows_seat_policy_opponents_and_instance():
    t = transcript(Said("a_0", "x"), Paid("a_0", 1.0), Said("a_0", "y"), Paid("a_0", 2.0))
    episode = Episode("e", t, {"a_0": "learner@3", "b_0": "player:random"}, group="deal 1")
    made = Sample.of(episode, "a_0", 7)
    assert (made.policy, made.opponents, made.instance, made.role) == ("learner", "player:random", "deal 1", "a")
    assert (made.total, made.rewards) == (3.0, (1.0, 2.0))
    other = Sample.of(episode, "a_0", 7, total=10.0)
    assert (other.total, other.rewards) == (10.0, (1.0, 9.0))
    assert made.with_total(10.0) == other


def test_a_seat_that_never_acted_gets_no_advantage_and_shifts_nobody():
    silent = Sample(0, "i", "player_0", "learner", 1.0, ())
    for name in ESTIMATORS:
        assert Estimator(name).advantages([silent, *FOUR]).by_turn == [[], *Estimator(name).advantages(FOUR).by_turn]


def test_wrong_settings_are_named():
    with pytest.raises(UnknownNameError, match="did you mean grpo"):
        Estimator("gpro")
    with pytest.raises(UnknownNameError, match="did you mean seat"):
        Estimator(CreditSpec(("seet",), "mean"))
    with pytest.raises(ScenarioError, match="turn"):
        Estimator(CreditSpec(("instance", "turn"), "mean"))
    with pytest.raises(ScenarioError, match="no scale"):
        Estimator(CreditSpec(("seat",), "ema", "std"))
    with pytest.raises(ScenarioError):
        group_advantages([1.0], ["a", "b"])


def test_no_samples_give_no_advantages():
    for name in ESTIMATORS:
        assert Estimator(name).advantages([]).by_turn == []
