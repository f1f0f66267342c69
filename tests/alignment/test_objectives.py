"""Objectives against finite differences, enumeration and each other."""

import math

import pytest
import torch

from palaestra.alignment.objectives import OBJECTIVES, TERMS, Units, make_objective
from palaestra.alignment.objectives.policy_gradient import clipped_share, decoupled, importance, ppo_clip, reinforce
from palaestra.alignment.objectives.regularizers import entropy, k1_of, kl_exact, kl_k1, kl_k2, kl_k3, penalize
from palaestra.alignment.objectives.supervised import sft
from palaestra.errors import UnknownNameError

torch.set_num_threads(1)


def units(logprobs, behavior=None, advantages=None, **more):
    logprobs = torch.as_tensor(logprobs, dtype=torch.float64)
    behavior = logprobs.detach() if behavior is None else torch.as_tensor(behavior, dtype=torch.float64)
    advantages = torch.as_tensor([0.0] * len(logprobs) if advantages is None else advantages, dtype=torch.float64)
    return Units(
        logprobs, behavior, advantages.clamp(min=0), advantages.clamp(max=0), torch.ones_like(behavior), **more
    )


def gradient(function, logits):
    logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    function(logits).backward()
    return logits.grad


def test_reinforce_is_minus_advantage_times_logprob():
    assert reinforce(units([-1.0, -2.0, -0.5], advantages=[2.0, -1.0, 0.0])).item() == 2.0 - 2.0


def test_importance_is_capped_per_token_and_has_no_gradient():
    u = units([0.0, -1.0], behavior=[-3.0, -0.5], advantages=[1.0, 1.0])
    assert importance(u, 2.0).tolist() == pytest.approx([2.0, math.exp(-0.5)])
    logprobs = torch.tensor([0.0, -1.0], dtype=torch.float64, requires_grad=True)
    reinforce(u._replace(logprobs_N=logprobs), cap=2.0).backward()
    assert logprobs.grad.tolist() == pytest.approx([-2.0, -math.exp(-0.5)])


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.0, 1.0, 1.0, 1.0),
        (1.5, 1.0, 1.2, 0.0),
        (0.5, 1.0, 0.5, 0.5),
        (1.5, -1.0, -1.5, -1.5),
        (0.5, -1.0, -0.8, 0.0),
        (9.0, -1.0, -9.0, -9.0),
    ],
)
def test_ppo_clips_by_the_sign_of_the_advantage(ratio, advantage, gain, slope):
    logprobs = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    loss = ppo_clip(units([0.0], behavior=[0.0], advantages=[advantage])._replace(logprobs_N=logprobs))
    loss.backward()
    assert -loss.item() == pytest.approx(gain)
    assert -logprobs.grad.item() == pytest.approx(slope)


def test_ppo_cap_bounds_the_ratio_of_unwanted_tokens():
    u = units([math.log(9.0)], behavior=[0.0], advantages=[-1.0])
    assert ppo_clip(u, cap=3.0).item() == pytest.approx(3.0)


def test_ppo_is_reinforce_at_the_first_epoch():
    logits, actions, advantages = [0.2, -0.4, 0.1], torch.tensor([0, 2, 2, 1]), [1.0, -2.0, 0.5, 3.0]

    def loss(objective):
        def of(x):
            logprobs = x.log_softmax(-1)[actions]
            return objective(units([0.0] * 4, advantages=advantages)._replace(
                logprobs_N=logprobs, behavior_N=logprobs.detach()
            ))  # fmt: skip

        return of

    torch.testing.assert_close(gradient(loss(ppo_clip), logits), gradient(loss(reinforce), logits), rtol=0, atol=1e-12)


@pytest.mark.parametrize("logratio", [-0.5, 0.0, 0.5])
def test_merging_equal_units_is_exact_for_both_signs(logratio):
    advantages = [2.0, -1.0, 0.5]
    apart = units([logratio] * 3, behavior=[0.0] * 3, advantages=advantages)
    one = units([logratio], behavior=[0.0])._replace(
        positive_N=torch.tensor([2.5]), negative_N=torch.tensor([-1.0]), count_N=torch.tensor([3.0])
    )
    for objective in (reinforce, ppo_clip, sft, lambda u: reinforce(u, cap=1.2)):
        assert objective(one).item() == pytest.approx(objective(apart).item(), abs=1e-12)
    got = [[x.item() for x in clipped_share(u, clip_low=0.2, clip_high=0.2)] for u in (one, apart)]
    assert got[0] == got[1]


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize(("moved", "slope"), [(1.0, 1.0), (1.5, None)])
def test_decoupled_ppo_clips_around_the_step_and_weighs_by_what_sampled(advantage, moved, slope):
    proximal, cap = math.log(0.3), 2.0
    for behavior, weight in ((0.3, 1.0), (0.2, 1.5), (0.1, cap), (0.6, 0.5)):
        now = torch.tensor([proximal + math.log(moved)], dtype=torch.float64, requires_grad=True)
        u = units([0.0], behavior=[math.log(behavior)], advantages=[advantage])
        u = u._replace(logprobs_N=now, proximal_N=torch.tensor([proximal], dtype=torch.float64))
        loss = decoupled(u, cap=cap)
        loss.backward()
        kept = slope if slope is not None else (0.0 if advantage > 0 else moved)
        assert -now.grad.item() == pytest.approx(weight * advantage * kept)
        gain = min(moved, 1.2) if advantage > 0 else moved
        assert -loss.item() == pytest.approx(weight * advantage * gain)


def test_decoupled_ppo_is_ppo_where_the_step_began_with_what_sampled():
    u = units([-1.0, -0.2, -3.0], behavior=[-1.3, -0.1, -2.0], advantages=[1.0, -2.0, 0.5])
    assert decoupled(u._replace(proximal_N=u.behavior_N)).item() == pytest.approx(ppo_clip(u).item())


def test_clip_fraction_is_the_share_of_advantage_whose_gradient_is_cut():
    u = units([0.5, -0.5, -0.5, 0.0], behavior=[0.0] * 4, advantages=[1.0, -2.0, 4.0, 1.0])
    cut, of = clipped_share(u, clip_low=0.2, clip_high=0.2)
    assert (cut.item(), of.item()) == (3.0, 8.0)


def test_sft_is_negative_log_likelihood_whatever_the_advantages():
    assert sft(units([-1.0, -2.0], advantages=[5.0, -5.0])).item() == 3.0


def test_kl_estimators_as_numbers_and_as_losses():
    """k1 and k3 are unbiased numbers, k2 is not; as losses k1 has no gradient, k2 that of KL(p|q), k3 would not."""
    logits, reference = [0.5, -0.3, 1.1], torch.tensor([0.1, 0.4, -0.2], dtype=torch.float64).log_softmax(-1)
    p = torch.tensor(logits, dtype=torch.float64).softmax(-1)

    def every(x, log_p=None):  # one unit an outcome, counted by its probability: the expectation
        lp = x.log_softmax(-1) if log_p is None else log_p
        return units([0.0] * 3)._replace(logprobs_N=lp, count_N=p, reference_N=reference)

    kl = (p * (p.log() - reference)).sum().item()
    now = every(torch.tensor(logits, dtype=torch.float64))
    assert kl_k1(now).item() == pytest.approx(kl) and kl_k3(now).item() == pytest.approx(kl)
    assert kl_k2(now).item() != pytest.approx(kl, rel=1e-3)

    def true(x):
        return (x.softmax(-1) * (x.log_softmax(-1) - reference)).sum()

    torch.testing.assert_close(gradient(lambda x: kl_k2(every(x)), logits), gradient(true, logits), rtol=0, atol=1e-12)
    score = gradient(lambda x: (p * x.log_softmax(-1)).sum(), logits)  # what k1 as a loss would give
    assert score.abs().max() < 1e-12
    live = every(torch.tensor(logits, dtype=torch.float64, requires_grad=True))
    assert not kl_k1(live).requires_grad and not kl_k3(live).requires_grad


def legal(x, mask):
    return x.masked_fill(~mask, -1e30).log_softmax(-1)


MASK = torch.tensor([[True, True, True], [True, True, False]])
LOGITS = [[0.2, -1.0, 0.7], [0.4, 0.1, 9.0]]
OTHER = legal(torch.tensor([[0.0, 0.3, -0.3], [1.0, -1.0, 0.0]], dtype=torch.float64), MASK)


def chosen_among(x, counts=(1.0, 1.0)):
    return units([0.0])._replace(
        legal_MK=legal(x, MASK), legal_mask_MK=MASK, legal_count_M=torch.tensor(counts), reference_legal_MK=OTHER
    )


def test_entropy_and_exact_kl_over_legal_actions_leave_padding_out():
    x = torch.tensor(LOGITS, dtype=torch.float64)
    h = kl = 0.0
    for row, other, n in zip(x, OTHER, (3, 2), strict=True):
        p, q = row[:n].softmax(-1), other[:n].exp()
        h -= (p * p.log()).sum().item()
        kl += (p * (p / q).log()).sum().item()
    assert entropy(chosen_among(x)).item() == pytest.approx(h, abs=1e-12)
    assert kl_exact(chosen_among(x)).item() == pytest.approx(kl, abs=1e-12)
    assert entropy(chosen_among(x, (2.0, 0.0))).item() == pytest.approx(
        2 * -(x[0].softmax(-1) * x[0].log_softmax(-1)).sum().item(), abs=1e-6
    )


@pytest.mark.parametrize("term", [entropy, kl_exact])
def test_gradients_over_legal_actions_are_finite_and_none_at_padding(term):
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    term(chosen_among(x)).backward()
    assert torch.isfinite(x.grad).all() and x.grad[1, 2] == 0
    assert torch.autograd.gradcheck(lambda y: term(chosen_among(y)), x)


def test_terms_over_legal_actions_are_zero_where_there_are_none():
    for term in (entropy, kl_exact):
        assert term(units([-1.0])).item() == 0.0


def test_kl_in_the_reward_is_subtracted_from_the_return():
    assert k1_of([-1.0, -2.0], [-1.5, -2.25]) == 0.75
    assert penalize([1.0, 0.0], [0.75, -0.5], 0.2) == pytest.approx([0.85, 0.1])


def test_objectives_and_terms_are_found_by_name():
    assert set(OBJECTIVES) == {"reinforce", "ppo", "decoupled", "sft"} and set(TERMS) == {
        "kl_exact",
        "kl_k2",
        "entropy",
    }
    objective = make_objective("ppo", clip_low=0.1, clip_high=0.3)
    u = units([1.0, -1.0], behavior=[0.0, 0.0], advantages=[1.0, -1.0])
    assert objective.loss(u).item() == pytest.approx(-1.3 + 0.9)
    assert objective.stats(u)["clip_fraction"][0].item() == 2.0
    assert make_objective("reinforce", cap=1.0).loss(u).item() == pytest.approx(-1.0 - math.exp(-1.0))
    with pytest.raises(UnknownNameError, match="did you mean reinforce"):
        make_objective("reinforcee")


@pytest.mark.parametrize(
    "function", [reinforce, importance, ppo_clip, decoupled, sft, kl_exact, kl_k2, entropy, penalize]
)
def test_every_method_names_its_source_and_what_differs(function):
    assert "Source:" in function.__doc__
    if function is not penalize:
        assert "Differs" in function.__doc__
