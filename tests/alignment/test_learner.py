"""The learner: the same gradient however the work is laid out, and steps that can be taken up again."""

import copy
import io
import math
import random

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from palaestra.agents.episode import Choice, Span, Trajectory
from palaestra.alignment import learner as learning
from palaestra.alignment import packing as packings
from palaestra.alignment.learner import Learner, Schedule, ValueHead
from palaestra.alignment.objectives import make_objective
from palaestra.alignment.packing import Trie, plan
from palaestra.alignment.rows import (
    ChoiceRow,
    TokenRow,
    ValueRow,
    count_units,
    merge,
    rows_of,
    turn_positions,
    value_row,
)
from palaestra.errors import CheckpointError, RecordError, ScenarioError, UnknownNameError

torch.set_num_threads(1)
VOCABULARY = 97


def make_model(seed=0, dtype=torch.float32, **config):
    torch.manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    shape |= {"initializer_range": 0.1, "max_position_embeddings": 512}
    return LlamaForCausalLM(LlamaConfig(**shape | config)).to(dtype).eval()


MODEL = make_model()
REFERENCE = make_model(1)


def learner(model=MODEL, **settings):
    return Learner(model, dict(model.named_parameters()), **{"check": False, **settings})


def tokens(rng, n):
    return [rng.randrange(VOCABULARY) for _ in range(n)]


def token_rows(count=12, seed=0, shortest=8, longest=60):
    """Rows of several turns that partly share a prefix."""
    rng = random.Random(seed)
    shared, rows = tokens(rng, 10), []
    for i in range(count):
        ids = (shared if i % 2 else []) + tokens(rng, rng.randrange(shortest, longest))
        mask = [t >= 6 and (t // 5) % 3 == 1 for t in range(len(ids))]
        n = sum(mask)
        behavior = [rng.uniform(-6, -3) for _ in range(n)]
        rows.append(TokenRow.of("p", ids, mask, behavior, [rng.gauss(0, 1)] * n))
    return rows


def choice_rows(count=14, seed=1):
    """Draws among candidates of one to three tokens, some with equal prefixes, some without a draw."""
    rng = random.Random(seed)
    shared, rows = tokens(rng, 12), []
    for i in range(count):
        prefix = shared if i % 3 else shared + tokens(rng, rng.randrange(3, 9))
        candidates = [tokens(rng, rng.randrange(1, 4)) for _ in range(2 + i % 3)]
        chosen = -1 if i % 5 == 4 else rng.randrange(len(candidates))
        rows.append(ChoiceRow.of("p", prefix, candidates, chosen, -0.9, rng.gauss(0, 1)))
    return rows


ROWS = token_rows() + choice_rows()
COEFFICIENTS = {"kl_exact": 0.5, "kl_k2": 0.1, "entropy": 0.2}


def gradient(rows=ROWS, objective="ppo", *, model=MODEL, reference=REFERENCE, coefficients=COEFFICIENTS, **settings):
    """The flat gradient of one call, and its metrics."""
    made = learner(model, **settings)
    metrics = made.forward_backward(rows, objective, reference=reference, coefficients=coefficients)
    flat = torch.cat([p.grad.flatten().clone() for p in made.parameters.values()])
    made.optimizer.zero_grad(set_to_none=True)
    return flat, metrics


def distance(a, b):
    """Relative, in the norm."""
    return float((a - b).double().norm() / b.double().norm())


LIMIT = 1e-6
BASE, METRICS = gradient(packing=False, tokens_per_micro_batch=10**6)


# -- one gradient, however it is laid out ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "settings",
    [
        {"packing": False, "tokens_per_micro_batch": 1},
        {"packing": False, "tokens_per_micro_batch": 200},
        {"packing": True, "tokens_per_micro_batch": 10**6},
        {"packing": True, "tokens_per_micro_batch": 150},
        {"packing": True, "tokens_per_micro_batch": 1},
        {"packing": False, "head_chunk": 7},
        {"packing": True, "head_chunk": 7},
        {"packing": True, "head_chunk": 1, "tokens_per_micro_batch": 300},
    ],
    ids=str,
)
def test_micro_batches_packing_padding_and_head_chunks_change_no_gradient(settings):
    got, metrics = gradient(**settings)
    assert distance(got, BASE) <= LIMIT
    for name in METRICS.keys() - {"tokens_forward"}:
        assert metrics[name] == pytest.approx(METRICS[name], rel=1e-4, abs=1e-6), name


def test_the_order_of_rows_changes_no_gradient():
    rows = random.Random(3).sample(ROWS, len(ROWS))
    for packing in (False, True):
        assert distance(gradient(rows, packing=packing)[0], BASE) <= LIMIT


def test_packed_attention_of_an_eager_model_agrees():
    model = make_model(attn_implementation="eager")
    assert distance(gradient(model=model, packing=True)[0], BASE) <= LIMIT


def test_one_forward_a_trajectory_and_one_a_turn_give_the_same_gradient():
    rng = random.Random(5)
    whole, by_turn = [], []
    for _ in range(4):
        ids, mask, behavior, advantages = [], [], [], []
        for turn in range(4):
            ids += tokens(rng, 8 + 4)
            mask += [False] * 8 + [True] * 4
            own = [rng.uniform(-6, -3) for _ in range(4)]
            advantage = [rng.gauss(0, 1)] * 4
            behavior, advantages = behavior + own, advantages + advantage
            only = [t >= 12 * turn and m for t, m in enumerate(mask)]
            by_turn.append(TokenRow.of("p", ids, only, own, advantage))
        whole.append(TokenRow.of("p", ids, mask, behavior, advantages))
    settings = {"coefficients": {"kl_k2": 0.1}, "tokens_per_micro_batch": 10**6}
    base, _ = gradient(whole, packing=False, **settings)
    for packing in (False, True):
        got, metrics = gradient(by_turn, packing=packing, **settings)
        assert distance(got, base) <= LIMIT
        assert metrics["tokens_forward"] == 4 * 47  # earlier turns are prefixes of the last and are computed once
        apart, metrics = gradient(by_turn, packing=packing, **{**settings, "tokens_per_micro_batch": 1})
        assert distance(apart, base) <= LIMIT
        assert metrics["tokens_forward"] == 4 * (11 + 23 + 35 + 47)


def test_merging_equal_rows_changes_no_gradient():
    rng = random.Random(7)
    rows = [copy.copy(row) for row in ROWS for _ in range(rng.randrange(2, 5))]
    redrawn = []
    for row in rows:  # equal tokens, other advantages of either sign
        a = rng.gauss(0, 1)
        if isinstance(row, TokenRow):
            redrawn.append(TokenRow.of("p", row.ids, row.mask, row.behavior, [a] * row.trained))
        else:
            redrawn.append(ChoiceRow.of("p", row.prefix, row.candidates, row.chosen, row.behavior, a))
    merged = merge(redrawn)
    assert len(merged) == len(ROWS) and len(redrawn) > 2 * len(ROWS)
    assert sum(r.weight for r in merged) == len(redrawn)
    assert count_units(merged) == count_units(redrawn)
    scores = learner().logprobs(REFERENCE, redrawn)  # given as a list, so that these rows are not merged
    apart, _ = gradient(redrawn, reference=scores)
    assert distance(gradient(merged)[0], apart) <= LIMIT


def test_rows_with_other_behavior_stay_apart_but_are_computed_once():
    ids, mask = [1, 2, 3, 4], [False, False, True, True]
    rows = [TokenRow.of("p", ids, mask, [-1.0 - i, -2.0], [1.0, 1.0]) for i in range(5)]
    assert len(merge(rows)) == 5
    assert gradient(rows, coefficients={})[1]["tokens_forward"] == 3


def test_several_calls_with_global_counts_are_one():
    counts, made = count_units(ROWS), learner(packing=True)
    for part in (ROWS[:9], ROWS[9:10], ROWS[10:]):
        made.forward_backward(part, "ppo", reference=REFERENCE, coefficients=COEFFICIENTS, units=counts)
    got = torch.cat([p.grad.flatten() for p in made.parameters.values()])
    assert distance(got, BASE) <= LIMIT
    made.optimizer.zero_grad()


# -- against the plain computation -----------------------------------------------------------------------------------
def plain_logprobs(model, ids):
    logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def plain_choice(model, row):
    scores = []
    for k, candidate in enumerate(row.candidates):
        unit = row.divisors[k] if row.divisors else 1.0
        scores.append(plain_logprobs(model, [*row.prefix, *candidate])[-len(candidate) :].sum() / unit)
    return torch.stack(scores).log_softmax(-1)


def plain_loss(model, reference):
    """REINFORCE + KL + entropy, row by row, as one would write it down."""
    policy, k2, kl, h = [], [], [], []
    for row in ROWS:
        if isinstance(row, TokenRow):
            at = [t - 1 for t, m in enumerate(row.mask) if m]
            lp = plain_logprobs(model, list(row.ids))[at]
            ref = plain_logprobs(reference, list(row.ids)).detach()[at]
            policy.append(-(lp * (torch.tensor(row.positive) + torch.tensor(row.negative))).sum())
            k2.append((0.5 * (lp - ref) ** 2).sum())
        else:
            legal, ref = plain_choice(model, row), plain_choice(reference, row).detach()
            kl.append((legal.exp() * (legal - ref)).sum())
            h.append(-(legal.exp() * legal).sum())
            if row.trained:
                policy.append(-legal[row.chosen] * (row.positive + row.negative))
                k2.append(0.5 * (legal[row.chosen] - ref[row.chosen]) ** 2)
    n, m = count_units(ROWS).trained, count_units(ROWS).legal
    return sum(policy) / n + 0.1 * sum(k2) / n + 0.5 * sum(kl) / m - 0.2 * sum(h) / m


def test_loss_and_gradient_are_those_written_down_plainly():
    model = make_model()
    loss = plain_loss(model, REFERENCE)
    loss.backward()
    plain = torch.cat([p.grad.flatten() for p in model.parameters()])
    for packing in (False, True):
        got, metrics = gradient(objective="reinforce", packing=packing)
        assert distance(got, plain) <= LIMIT
        assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_logprobs_are_those_of_the_module():
    for packing in (False, True):
        for row, score in zip(ROWS, learner(packing=packing).logprobs(MODEL, ROWS), strict=True):
            with torch.no_grad():
                if isinstance(row, TokenRow):
                    at = [t - 1 for t, m in enumerate(row.mask) if m]
                    torch.testing.assert_close(score.logprobs, plain_logprobs(MODEL, list(row.ids))[at])
                else:
                    torch.testing.assert_close(score.legal, plain_choice(MODEL, row))
                    assert len(score.logprobs) == row.trained


def test_candidates_may_be_weighed_by_their_length():
    row = ChoiceRow.of("p", [1, 2, 3], [[4], [5, 6, 7]], 0, divisors=[1.0, 3.0])
    (score,) = learner().logprobs(MODEL, [row])
    with torch.no_grad():
        torch.testing.assert_close(score.legal, plain_choice(MODEL, row))


def test_on_policy_rows_have_no_mismatch_no_clipping_and_the_gradient_of_reinforce():
    rows = []
    for row, score in zip(ROWS, learner().logprobs(MODEL, ROWS), strict=True):
        own = score.logprobs.tolist()
        if isinstance(row, TokenRow):
            rows.append(TokenRow.of("p", row.ids, row.mask, own, [1.0 + len(rows)] * row.trained))
        elif row.trained:
            rows.append(ChoiceRow.of("p", row.prefix, row.candidates, row.chosen, own[0], -1.0))
    ppo, metrics = gradient(rows, "ppo", coefficients={})
    assert distance(ppo, gradient(rows, "reinforce", coefficients={})[0]) < 1e-5
    assert metrics["clip_fraction"] == 0.0 and metrics["mismatch_max"] < 1e-5
    assert metrics["mismatch_std"] < 1e-5 and metrics["mismatch_outside"] == 0.0


def test_cloning_is_the_mean_negative_log_likelihood_of_the_shown_tokens():
    rows = [TokenRow.of("p", r.ids, r.mask) for r in token_rows(5)]
    _, metrics = gradient(rows, "sft", coefficients={}, reference=None)
    shown = []
    with torch.no_grad():
        for row in rows:
            shown += plain_logprobs(MODEL, list(row.ids))[[t - 1 for t, m in enumerate(row.mask) if m]].tolist()
    assert metrics["nll"] == pytest.approx(-sum(shown) / len(shown), rel=1e-5)
    assert metrics["loss"] == pytest.approx(metrics["nll"], rel=1e-6)
    assert metrics["mismatch_max"] == 0.0  # behavior is unknown


def test_reduction_by_rows_weighs_each_row_the_same():
    rows = [TokenRow.of("p", tokens(random.Random(n), n), [False] + [True] * (n - 1)) for n in (3, 30)]
    _, by_row = gradient(rows, make_objective("sft", reduction="mean"), coefficients={}, reference=None)
    with torch.no_grad():
        each = [-plain_logprobs(MODEL, list(r.ids)).mean().item() for r in rows]
    assert by_row["loss"] == pytest.approx(sum(each) / 2, rel=1e-5)


def test_rows_without_a_trained_token_cost_nothing():
    silent = TokenRow.of("p", [1, 2, 3], [False] * 3)
    made = learner()
    metrics = made.forward_backward([silent], "ppo")
    assert metrics["units_trained"] == 0.0
    assert made.forward_backward([], "ppo")["rows"] == 0.0
    assert all(p.grad is None for p in made.parameters.values())
    assert distance(gradient([*ROWS, silent])[0], BASE) <= LIMIT


# -- several policies ------------------------------------------------------------------------------------------------
def test_rows_of_two_policies_are_refused():
    with pytest.raises(ScenarioError, match="several policies: a, b"):
        learner().forward_backward([TokenRow.of(p, [1, 2], [False, True]) for p in "ab"], "ppo")


def adapted():
    """Two LoRA adapters on one base, and how to make one of them the active one."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(make_model(), config, adapter_name="first").eval()
    model.add_adapter("second", config)
    model.eval()

    def made(name):
        model.set_adapter(name)
        own = {n: p for n, p in model.named_parameters() if f".{name}." in n}
        return Learner(model, own, activate=lambda: model.set_adapter(name))

    return model, made("first"), made("second")


def test_gradients_of_one_adapter_are_bitwise_independent_of_the_others_training():
    results = []
    for other_trains in (False, True):
        _, a, b = adapted()
        before = b.snapshot()
        for _ in range(2):
            if other_trains:
                b.forward_backward(ROWS[5:], "ppo")
            a.forward_backward(ROWS, "ppo")
            if other_trains:
                b.optim_step()
            grads = {n: p.grad.clone() for n, p in a.parameters.items()}
            a.optim_step()
        results.append((grads, a.snapshot()))
        moved = any(not torch.equal(p, before[n]) for n, p in b.snapshot().items())
        assert moved == other_trains
    (g0, w0), (g1, w1) = results
    assert all(torch.equal(g0[n], g1[n]) for n in g0) and all(torch.equal(w0[n], w1[n]) for n in w0)


def test_the_base_of_an_adapter_never_moves():
    model, a, _ = adapted()
    base = {n: p.clone() for n, p in model.named_parameters() if "lora" not in n}
    a.forward_backward(ROWS, "ppo")
    a.optim_step()
    assert all(torch.equal(p, base[n]) for n, p in model.named_parameters() if n in base)
    assert all(p.grad is None for n, p in model.named_parameters() if n in base)


# -- steps and state -------------------------------------------------------------------------------------------------
def test_schedule_warms_up_and_decays():
    schedule = Schedule(1.0, warmup_steps=4, total_steps=10)
    rates = [schedule.at(s) for s in range(10)]
    assert rates == pytest.approx([0.25, 0.45, 0.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert Schedule(2.0).at(1000) == 2.0
    assert Schedule(1.0, total_steps=10, floor=0.3).at(9) == 0.3


def test_clipping_bounds_the_gradient_that_is_stepped_on():
    model = make_model()
    made = learner(model, clip_norm=1e-3, schedule=0.1)
    made.forward_backward(ROWS, "sft")
    seen = []
    made.optimizer.register_step_pre_hook(
        lambda *_: seen.append(torch.cat([p.grad.flatten() for p in made.parameters.values()]).norm().item())
    )
    metrics = made.optim_step()
    assert metrics["grad_norm"] > 1e-2 and seen == [pytest.approx(1e-3, rel=1e-3)]
    assert metrics["lr"] == 0.1


def test_a_gradient_that_is_not_finite_is_dropped_and_counted():
    model = make_model()
    made = learner(model)
    before = made.snapshot()
    bad = TokenRow.of("p", [1, 2, 3], [False, True, True], [-1.0, -1.0], [math.inf, 1.0])
    made.forward_backward([bad], "reinforce")
    assert made.optim_step()["skipped"] == 1.0
    assert all(torch.equal(p, before[n]) for n, p in made.snapshot().items())
    made.forward_backward(ROWS, "sft")
    made.optim_step()
    assert made.skipped == 1 and all(torch.isfinite(p).all() for p in made.parameters.values())


def test_momentum_alone_moves_nothing():
    model = make_model()
    made = learner(model)
    made.forward_backward(ROWS, "sft")
    made.optim_step()
    before = made.snapshot()
    equal = TokenRow.of("p", [1, 2, 3], [False, True, True], [-1.0, -1.0], [0.0, 0.0])
    made.forward_backward([equal], "reinforce")
    metrics = made.optim_step()
    assert metrics["grad_norm"] == 0.0 and metrics["skipped"] == 0.0
    assert all(torch.equal(p, before[n]) for n, p in made.snapshot().items())


def trained(steps, made):
    for _ in range(steps):
        made.forward_backward(ROWS, "ppo", reference=REFERENCE, coefficients=COEFFICIENTS)
        made.optim_step()
    return made.snapshot()


def test_a_resumed_learner_continues_bitwise():
    settings = {"schedule": Schedule(1e-2, warmup_steps=2, total_steps=6)}
    unbroken = trained(4, learner(make_model(), **settings))
    first = learner(make_model(), **settings)
    weights = trained(2, first)
    file = io.BytesIO()
    torch.save({"weights": weights, "learner": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = learner(make_model(9), **settings)
    second.load(saved["weights"])
    second.load_state_dict(saved["learner"])
    resumed = trained(2, second)
    assert all(torch.equal(resumed[n], unbroken[n]) for n in unbroken)
    without = learner(make_model(9), **settings)
    without.load(saved["weights"])
    assert not all(torch.equal(p, unbroken[n]) for n, p in trained(2, without).items())  # the test has teeth


def test_state_of_other_parameters_is_refused():
    made = learner(make_model())
    state, weights = made.state_dict(), made.snapshot()
    del weights["lm_head.weight"]
    with pytest.raises(CheckpointError, match="lm_head"):
        made.load(weights)
    state["names"] = state["names"][::-1]
    with pytest.raises(CheckpointError, match="another order"):
        made.load_state_dict(state)


def test_the_policy_moves_towards_what_is_rewarded():
    model = make_model()
    made = learner(model, schedule=1e-3)
    row = ChoiceRow.of("p", [1, 2, 3], [[4], [5, 6]], 1, math.nan, 1.0)
    before = made.logprobs(model, [row])[0].logprobs.item()
    for _ in range(10):
        made.forward_backward([row], "reinforce")
        made.optim_step()
    assert made.logprobs(model, [row])[0].logprobs.item() > before


# -- values ----------------------------------------------------------------------------------------------------------
def test_value_head_learns_the_targets_beside_the_policy():
    model = make_model()
    made = learner(model, value_head=ValueHead(64), schedule=1e-2)
    rows = [ValueRow("p", (1, 2, 3, 4, 5), (2, 4), (1.0, -1.0)), ValueRow("p", (1, 2, 9), (2,), (0.5,))]
    assert made.values(rows) == [[0.0, 0.0], [0.0]]
    metrics = made.forward_backward([*rows, *ROWS], "ppo", coefficients={"value": 1.0})
    assert metrics["value_loss"] == pytest.approx((0.5 + 0.5 + 0.125) / 3)
    assert count_units(rows).value == 3
    made.optim_step()
    for _ in range(60):
        made.forward_backward(rows, "ppo", coefficients={"value": 1.0})
        made.optim_step()
    assert made.values(rows)[0] == pytest.approx([1.0, -1.0], abs=0.2)
    other = learner(make_model(), value_head=ValueHead(64))
    other.load_state_dict(made.state_dict())
    assert torch.equal(other.value_head.linear.weight, made.value_head.linear.weight)


def test_a_detached_value_head_leaves_the_transformer_alone():
    model = make_model()
    made = learner(model, value_head=ValueHead(64, detach=True))
    made.forward_backward([ValueRow("p", (1, 2, 3), (2,), (1.0,))], "ppo")
    grads = {n for n, p in made.parameters.items() if p.grad is not None and p.grad.abs().sum() > 0}
    assert grads <= {"value_head.linear.weight", "value_head.linear.bias"} and grads


def test_value_rows_need_a_head():
    with pytest.raises(ScenarioError, match="no value head"):
        learner().forward_backward([ValueRow("p", (1, 2), (1,), (0.0,))], "ppo")


# -- start-up check, settings ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_start_up_check_passes_on_a_sound_model(packing, dtype):
    learner(make_model(dtype=dtype), packing=packing, check=True)
    if dtype == torch.float32:
        learner(MODEL, packing=packing, check=True, autocast=torch.bfloat16)


def test_low_precision_keeps_losses_in_single_precision_and_near():
    for settings in ({"autocast": torch.bfloat16}, {"model": make_model(dtype=torch.bfloat16)}):
        got, metrics = gradient(objective="reinforce", coefficients={}, reference=None, **settings)
        base, exact = gradient(objective="reinforce", coefficients={}, reference=None)
        assert metrics["nll"] == pytest.approx(exact["nll"], rel=0.01)
        assert distance(got, base) < 0.1


def test_an_adapter_in_single_precision_trains_on_a_base_in_half_the_bits():
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(make_model(dtype=torch.bfloat16), config).eval()
    own = {n: p for n, p in model.named_parameters() if p.requires_grad}
    made = Learner(model, own, autocast=torch.bfloat16)
    metrics = made.forward_backward(token_rows(), "ppo")
    assert {p.dtype for p in own.values()} == {p.grad.dtype for p in own.values()} == {torch.float32}
    assert made.logprobs(model, token_rows())[0].logprobs.dtype == torch.float32
    assert 0 < made.optim_step()["grad_norm"] < 1e3 and metrics["nll"] > 0


# -- what an accelerator gains ---------------------------------------------------------------------------------------
def test_nothing_is_read_back_from_the_device_inside_a_step():
    """On a CPU reading a number shows as one operation; the metrics are fetched at the end, all at once."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
            return function(*args, **kwargs or {})

    made = learner(tokens_per_micro_batch=64, head_chunk=8)
    scores = made.logprobs(REFERENCE, ROWS)
    with Reads() as reads:
        metrics = made.forward_backward(ROWS, "ppo", reference=scores, coefficients=COEFFICIENTS)
    assert metrics["tokens_forward"] > 4 * 64 and reads.count == 0
    made.optimizer.zero_grad()


def test_packed_rows_in_which_nothing_branches_need_no_mask(monkeypatch):
    """Long rows on an accelerator: causal attention has a faster kernel, and gives the same gradient."""
    rows = token_rows(4, shortest=520, longest=560)
    rows = [row for row in rows if row.ids[:10] != rows[1].ids[:10]] + [rows[1]]
    settings = {
        "objective": "reinforce",
        "coefficients": {},
        "reference": None,
        "model": make_model(max_position_embeddings=1024),
    }
    masked, _ = gradient(rows, **settings)
    seen = []

    def causal(*args, **kwargs):
        seen.append(packings.layout(*args, **kwargs | {"chains_causal": True}))
        return seen[-1]

    monkeypatch.setattr(learning, "layout", causal)
    plain, _ = gradient(rows, **settings)
    assert all(where.visible_BTT is None for where in seen) and distance(plain, masked) < 1e-5
    gradient(ROWS, **settings | {"model": MODEL})
    assert seen[-1].visible_BTT is not None  # these branch


def test_a_compiled_transformer_gives_the_same_gradient():
    settings = {"objective": "reinforce", "coefficients": {}, "reference": None}
    assert distance(gradient(compile="eager", **settings)[0], gradient(**settings)[0]) < 1e-6


def test_the_start_up_check_finds_a_head_that_the_learner_does_not_know():
    model = make_model()
    model.config.logit_scale = 2.0  # the learner believes it, the model does not apply it
    with pytest.raises(ScenarioError, match="differ from its own"):
        learner(model, check=True)


def test_the_start_up_check_finds_packed_sequences_that_see_each_other(monkeypatch):
    monkeypatch.setattr(Trie, "visible", lambda self, length: torch.ones(length, length).tril().bool().numpy())
    with pytest.raises(ScenarioError, match="packed"):
        learner(check=True, packing=True)
    learner(check=True, packing=False)


def test_models_with_windowed_attention_are_not_packed():
    from transformers import MistralConfig, MistralForCausalLM

    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = MistralForCausalLM(MistralConfig(vocab_size=50, num_key_value_heads=2, sliding_window=4, **shape)).eval()
    with pytest.raises(ScenarioError, match="set packing = false"):
        learner(model, packing=True, check=True)
    learner(model, packing=False, check=True)


def test_wrong_coefficients_are_named():
    with pytest.raises(UnknownNameError, match="did you mean entropy"):
        learner().forward_backward(ROWS, "ppo", coefficients={"entropi": 1.0})
    with pytest.raises(ScenarioError, match="needs a reference"):
        learner().forward_backward(ROWS, "ppo", coefficients={"kl_exact": 1.0})


def test_micro_batches_stay_in_the_token_budget():
    for packing in (False, True):
        seen = []
        for batch in plan(ROWS, tokens_per_micro_batch=256, packing=packing):
            longest = max(len(t) if packing else max(t.depths) + 1 for t in batch.tries)
            rows = len(batch.tries) if packing else len(batch.tries[0].leaves())
            assert rows * longest <= 256
            seen += batch.rows
        assert sorted(seen) == list(range(len(ROWS)))


# -- from the record to rows -----------------------------------------------------------------------------------------
def spoken():
    return Trajectory(
        "player_0",
        "learner@3",
        [
            Span("told", [1, 2, 3], [], 0),
            Span("sampled", [4, 5], [-0.5, -0.25], 0),
            Span("forced", [6], [], 0),
            Span("told", [7, 8], [], 1),
            Span("sampled", [9], [-1.0], 1),
            Span("told", [10, 11], [], 2),
        ],
    )


def test_a_trajectory_becomes_one_row_with_the_sampled_tokens_trained():
    (row,) = rows_of(spoken(), [2.0, -1.0])
    assert row.policy == "learner"
    assert row.ids == (1, 2, 3, 4, 5, 6, 7, 8, 9)  # what comes after the last trained token is not needed
    assert [i for i, m in zip(row.ids, row.mask, strict=True) if m] == [4, 5, 9]
    assert row.behavior == (-0.5, -0.25, -1.0)
    assert (row.positive, row.negative) == ((2.0, 2.0, 0.0), (0.0, 0.0, -1.0))
    assert turn_positions(spoken()) == {0: 2, 1: 7}
    assert value_row(spoken(), {0: 0.5, 1: -0.5}) == ValueRow("learner", (1, 2, 3, 4, 5, 6, 7, 8), (2, 7), (0.5, -0.5))
    assert value_row(spoken()).targets == ()


def test_a_drawn_choice_is_one_unit_and_its_tokens_are_not_trained_again():
    t = spoken()
    t.choices = [Choice(0, 3, [[4, 5], [6]], 0, [-0.1, -2.3]), Choice(1, 8, [[9], [12, 13]], -1, [])]
    token, drawn, aside = rows_of(t, [2.0, -1.0])
    assert [i for i, m in zip(token.ids, token.mask, strict=True) if m] == [9]
    assert (drawn.prefix, drawn.chosen, drawn.behavior, drawn.positive) == ((1, 2, 3), 0, -0.1, 2.0)
    assert aside.prefix == (1, 2, 3, 4, 5, 6, 7, 8) and aside.trained == 0 and aside.positive == aside.negative == 0
    assert count_units([token, drawn, aside]) == (2.0, 2.0, 0.0)
    assert rows_of(t, 0.0, norm="token")[1].divisors == (2.0, 1.0)


def test_impossible_rows_are_refused():
    with pytest.raises(RecordError, match="first token"):
        TokenRow.of("p", [1, 2], [True, True])
    with pytest.raises(RecordError, match="one mask entry"):
        TokenRow.of("p", [1, 2], [False, True], [-1.0, -1.0])
    with pytest.raises(RecordError, match="candidates"):
        ChoiceRow.of("p", [], [[1]])
    with pytest.raises(RecordError, match="candidates"):
        ChoiceRow.of("p", [1], [[1], []])
