"""Several processes that train one policy: the numbers of one process, whatever each of them has to do."""

import multiprocessing
import random
import sys
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Timer

import pytest
import torch
import torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM

from palaestra.alignment.layers import transformer_layers
from palaestra.alignment.learner import Learner, ValueHead
from palaestra.alignment.ranks import Parts, RankLost, Ranks, local
from palaestra.alignment.rows import ChoiceRow, TokenRow, ValueRow
from palaestra.alignment.sharding import (
    Peers,
    deal,
    full_state_dict,
    join,
    load_full_state_dict,
    restore,
    save,
    shard,
    shard_value_head,
)
from palaestra.errors import CheckpointError, EngineError, ScenarioError, UnknownNameError

torch.set_num_threads(1)
VOCABULARY, HIDDEN = 61, 32


# -- what is trained -------------------------------------------------------------------------------------------------
def model(seed=0, **config):
    torch.manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    return LlamaForCausalLM(LlamaConfig(**shape | {"initializer_range": 0.1} | config)).eval()


def lora(seed=0):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model(seed), config).eval()


def parts(kind="untied", value=True, **settings):
    made = {"untied": model, "tied": partial(model, tie_word_embeddings=True), "lora": lora}[kind]()
    head = None
    if value:
        head = ValueHead(HIDDEN, detach=value == "detached")
        torch.nn.init.normal_(head.linear.weight, 0.0, 0.1, generator=torch.Generator().manual_seed(3))
    trained = {n: p for n, p in made.named_parameters() if p.requires_grad}
    return Parts(made, trained, {"value_head": head, "schedule": 1e-3, **settings}, {"reference": model(1)})


def alone(kind="untied", **settings):
    """One process that is not sharded, and its reference."""
    made = parts(kind, **{"check": False, **settings})
    return Learner(made.module, made.parameters, **made.settings), made.others["reference"]


def sharded(mesh, kind="untied", dtype=None, **settings):
    made = parts(kind, **settings)
    own = shard(made.module, made.parameters, mesh, dtype=dtype)
    if made.settings["value_head"] is not None:
        shard_value_head(made.settings["value_head"], mesh)
    shard(made.others["reference"], {}, mesh, dtype=dtype)
    return Learner(made.module, own, peers=Peers(mesh, dtype), **made.settings), made.others["reference"]


def ids(rng, n):
    return [rng.randrange(VOCABULARY) for _ in range(n)]


def make_rows():
    rng = random.Random(0)
    shared, rows = ids(rng, 10), []
    for i in range(7):
        own = (shared if i % 2 else []) + ids(rng, rng.randrange(8, 40))
        mask = [t >= 6 and (t // 5) % 3 == 1 for t in range(len(own))]
        behavior = [rng.uniform(-6, -3) for m in mask if m]
        rows.append(TokenRow.of("p", own, mask, behavior, [rng.gauss(0, 1)] * sum(mask)))
    for i in range(6):
        candidates = [ids(rng, rng.randrange(1, 4)) for _ in range(2 + i % 3)]
        prefix = shared + ids(rng, 4)
        rows.append(ChoiceRow.of("p", prefix, candidates, i % 2, -0.9, rng.gauss(0, 1)))
    values = [ValueRow("p", tuple(shared + ids(rng, 5)), (3, 12), (0.5, -1.0)) for _ in range(3)]
    return rows, values


POLICY, VALUES = make_rows()
ROWS = POLICY + VALUES
COEFFICIENTS = {"kl_exact": 0.5, "kl_k2": 0.1, "entropy": 0.2, "value": 0.7}
SMALL = {"tokens_per_micro_batch": 50}  # several micro-batches


def dealt(rows, rank):
    return rows if rank is None else [rows[i] for i in deal(rows, 2)[rank]]


def all_on_first(rows, rank):
    return [] if rank == 1 else rows


def values_apart(rows, rank):
    return [r for r in rows if rank is None or isinstance(r, ValueRow) == (rank == 1)]


CASES = {  # rows of a rank, rows of all, how the learner is made
    "packed": (dealt, ROWS, SMALL),
    "padded": (dealt, ROWS, {"packing": False, **SMALL}),
    "tied": (dealt, ROWS, {"kind": "tied", "head_chunk": 7, **SMALL}),
    "lora": (dealt, ROWS, {"kind": "lora", **SMALL}),
    "a rank without rows": (all_on_first, ROWS, SMALL),
    "a rank with values only": (values_apart, ROWS, SMALL),
    "no values": (dealt, POLICY, {"head_chunk": 7}),
    "values that leave the model alone": (dealt, VALUES, {"value": "detached"}),
    "recomputed": (dealt, ROWS, {"checkpointing": True, "head_chunk": 7, **SMALL}),
    "recomputed lora": (all_on_first, ROWS, {"kind": "lora", "checkpointing": True}),
}


def gradients(made):
    return made._whole({n: p.grad for n, p in made.parameters.items() if p.grad is not None})


def one_step(made, reference, rows):
    asked = {} if reference is None else COEFFICIENTS
    metrics = made.forward_backward(rows, "ppo", reference=reference, coefficients=asked)
    grads = gradients(made)
    made.logprobs(made.module, rows[:1])  # a scoring pass in between must not leave old weights behind
    return {"metrics": metrics | made.optim_step(), "gradients": grads}


def steps(made, reference, rows, count=3):
    done = [one_step(made, reference, rows) for _ in range(count)]
    scores = made.logprobs(made.module, rows)
    values = made.values([r for r in rows if isinstance(r, ValueRow)])
    return {"steps": done, "weights": made.snapshot(), "scores": scores, "values": values}


# -- two processes ---------------------------------------------------------------------------------------------------
def work(rank, folder):
    """What each of the two does; what it finds is left in the folder."""
    torch.set_num_threads(1)
    mesh = join(rank, 2, f"file://{folder}/meet", timeout_s=60.0)
    found = {}
    for name, (share, rows, settings) in CASES.items():
        made, reference = sharded(mesh, check=name == "lora", **settings)
        found[name] = steps(made, reference, share(rows, rank))
    mine = dealt(ROWS, rank)

    made, reference = sharded(mesh)  # checked when it is made
    restore(made, f"{folder}/by one")
    found["restored"] = {"step": made.step, **steps(made, reference, mine, 1)}
    save(made, f"{folder}/by two")
    found["state"], found["state weights"] = made.state_dict(), made.snapshot()
    found["next"] = steps(made, reference, mine, 1)

    made, reference = sharded(mesh, check=False)
    given = torch.load(f"{folder}/state.pt") if rank == 0 else {"weights": {}, "learner": {}}
    made.load(given["weights"])
    made.load_state_dict(given["learner"])
    found["loaded"] = {"step": made.step, **steps(made, reference, mine, 1)}
    load_full_state_dict(made.module, model(5).state_dict() if rank == 0 else {})
    found["module"] = full_state_dict(made.module)

    made, _ = sharded(mesh, dtype=torch.bfloat16)
    found["bfloat16"] = one_step(made, None, mine)
    found["kept in"] = {p.dtype for p in made.parameters.values()}
    try:
        made.load({"odd": torch.zeros(1)})
    except CheckpointError as err:
        found["refused"] = str(err)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def importable():
    """So that a spawned process finds this module by the name that it has here."""
    root = str(Path(__file__).parents[__name__.count(".")])
    sys.path.insert(0, root)
    yield
    sys.path.remove(root)


@pytest.fixture(scope="module")
def two(importable, tmp_path_factory):
    """What each of two processes found, and the folder in which they worked."""
    folder = tmp_path_factory.mktemp("two")
    made, reference = alone()
    steps(made, reference, ROWS, 2)
    save(made, folder / "by one")
    torch.save({"weights": made.snapshot(), "learner": made.state_dict()}, folder / "state.pt")
    context = multiprocessing.get_context("forkserver")  # imports once for both
    context.set_forkserver_preload([__name__])
    both = [context.Process(target=work, args=(rank, str(folder)), daemon=True) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(100)
        if process.exitcode != 0:
            [other.kill() for other in both]
            pytest.fail(f"a process ended with {process.exitcode}")
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)], folder


def gap(a, b):
    assert a.keys() == b.keys()
    return max((float((a[n] - b[n]).abs().max()) for n in a), default=0.0)


def agree(found, base, rows, share):
    """Losses, gradients, weights, scores and values of two processes are those of one."""
    first, second = found
    for mine, other, plain in zip(first["steps"], second["steps"], base["steps"], strict=True):
        assert mine["metrics"] == other["metrics"]  # every rank reports the same
        for name in plain["metrics"].keys() - {"tokens_forward"}:
            assert mine["metrics"][name] == pytest.approx(plain["metrics"][name], rel=1e-4, abs=1e-5), name
        assert mine["metrics"].keys() == plain["metrics"].keys()
    loss = abs(first["steps"][0]["metrics"]["loss"] - base["steps"][0]["metrics"]["loss"])
    exact = base["steps"][0]["gradients"]
    scale = max(1.0, max(float(g.abs().max()) for g in exact.values()))
    grads = gap(first["steps"][0]["gradients"], exact) / scale
    weights = gap(first["weights"], base["weights"])
    assert second["weights"] == {}
    assert loss < 1e-5 and grads < 1e-5 and weights < 5e-5, (loss, grads, weights)
    for rank, one in enumerate(found):
        owned = [id(r) for r in share(rows, rank)]
        plain_scores = [s for r, s in zip(rows, base["scores"], strict=True) if id(r) in owned]
        order = sorted(range(len(owned)), key=lambda k: [id(r) for r in rows].index(owned[k]))
        assert len(one["scores"]) == len(owned)
        for k, plain_score in zip(order, plain_scores, strict=True):
            torch.testing.assert_close(one["scores"][k].logprobs, plain_score.logprobs, atol=1e-3, rtol=0)
            if plain_score.values is not None:
                torch.testing.assert_close(one["scores"][k].values, plain_score.values, atol=1e-3, rtol=0)
    assert sum(len(one["values"]) for one in found) == len(base["values"])
    return loss, grads, weights


@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_numbers_of_one(two, name):
    share, rows, settings = CASES[name]
    made, reference = alone(**{**settings, "checkpointing": False})
    agree([rank[name] for rank in two[0]], steps(made, reference, rows), rows, share)


def test_the_cases_are_those_that_they_say():
    assert not all_on_first(ROWS, 1) and {type(r) for r in values_apart(ROWS, 1)} == {ValueRow}
    counts = [len(alone(**SMALL)[0]._plan(share(ROWS, r))) for share in (dealt, all_on_first) for r in (0, 1)]
    assert counts[2] > 3 and counts[3] == 0  # so that ranks without work must still take part
    made, _ = alone()
    made.forward_backward(POLICY, "ppo")
    assert all(p.grad is None for n, p in made.parameters.items() if "value_head" in n)  # not zero: as when sharded


def test_a_checkpoint_of_one_process_is_continued_by_two(two):
    made, reference = alone()
    restore(made, two[1] / "by one")
    assert made.step == 2 and two[0][0]["restored"]["step"] == two[0][1]["restored"]["step"] == 2
    base = steps(made, reference, ROWS, 1)
    agree([rank["restored"] for rank in two[0]], base, ROWS, dealt)
    agree([rank["loaded"] for rank in two[0]], base, ROWS, dealt)
    fresh, reference = alone()
    fresh.load(torch.load(two[1] / "state.pt")["weights"])
    assert gap(steps(fresh, reference, ROWS, 1)["weights"], base["weights"]) > 1e-4  # the optimizer's state matters


def test_a_checkpoint_of_two_processes_is_continued_by_one(two):
    for how in ("by two", "state"):
        made, reference = alone()
        if how == "by two":
            restore(made, two[1] / how)
        else:
            made.load(two[0][0]["state weights"])
            made.load_state_dict(two[0][0]["state"])
        assert made.step == 3
        agree([rank["next"] for rank in two[0]], steps(made, reference, ROWS, 1), ROWS, dealt)


def test_all_weights_go_in_and_come_out_on_the_first_rank(two):
    first, second = (rank["module"] for rank in two[0])
    assert gap(first, model(5).state_dict()) == 0.0 and second == {}


def test_sharded_low_precision_is_near_and_keeps_weights_in_single_precision(two):
    made, _ = alone()
    base = one_step(made, None, ROWS)
    found = two[0][0]["bfloat16"]
    assert two[0][0]["kept in"] == {torch.float32}
    assert found["metrics"]["nll"] == pytest.approx(base["metrics"]["nll"], rel=0.01)
    assert found["metrics"]["nll"] != pytest.approx(base["metrics"]["nll"], rel=1e-6)  # it is indeed lower precision
    flat, exact = (torch.cat([g.flatten() for g in one["gradients"].values()]) for one in (found, base))
    assert float((flat - exact).norm() / exact.norm()) < 0.1


def test_weights_of_others_are_refused_by_every_rank(two):
    for rank in two[0]:
        assert "not of these parameters" in rank["refused"]
    made, _ = alone(value=None)
    with pytest.raises(CheckpointError, match="value_head"):
        restore(made, two[1] / "by two")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        restore(made, two[1] / "nowhere")


# -- dealing ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_rows_are_dealt_evenly_and_always_the_same(world):
    rng = random.Random(1)
    rows = [TokenRow.of("p", own, [False] * (n - 1) + [True]) for n in range(2, 90) if (own := ids(rng, n))]
    rng.shuffle(rows)
    shares = deal(rows, world)
    assert sorted(i for share in shares for i in share) == list(range(len(rows)))
    loads = [sum(len(rows[i].ids) - 1 for i in share) for share in shares]
    assert max(loads) - min(loads) <= 2 * 89
    assert shares == deal(rows, world)
    assert deal([], world) == [[] for _ in range(world)]
    again = list(reversed(rows))
    assert [{rows[i] for i in s} for s in shares] == [{again[i] for i in s} for s in deal(again, world)]


def test_rows_with_one_prompt_stay_together_and_cost_it_once():
    rng = random.Random(2)
    prompts = [sorted(ids(rng, 40)), sorted(ids(rng, 40), reverse=True)]
    rows = [TokenRow.of("p", prompt + ids(rng, 5), [False] * 40 + [True] * 5) for _ in range(8) for prompt in prompts]
    shares = deal(rows, 2)
    assert [{rows[i].ids[:40] for i in share} for share in shares] in (
        [{tuple(p)} for p in o] for o in (prompts, prompts[::-1])
    )


# -- recomputing -----------------------------------------------------------------------------------------------------
def counted(kind, **settings):
    """Gradients, how often the layers' inner parts ran, and how many bytes the forward pass kept."""
    made, _ = alone(kind, **settings)
    calls, kept = [], {}
    for layer in transformer_layers(made.module):
        layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        made.forward_backward(ROWS, "ppo", coefficients={"entropy": 0.1})
    assert not any("forward" in vars(m) for m in made.module.modules())  # nothing is left on the model
    return gradients(made), len(calls), sum(kept.values())


@pytest.mark.parametrize("kind", ["untied", "lora"])
@pytest.mark.parametrize("packing", [True, False])
def test_recomputing_layers_changes_no_gradient_and_does_take_place(kind, packing):
    plain, once, much = counted(kind, packing=packing)
    again, twice, little = counted(kind, packing=packing, checkpointing=True)
    assert gap(again, plain) < 1e-6
    assert twice == 2 * once and little < 0.7 * much


def test_scoring_recomputes_nothing_and_an_unknown_model_is_refused():
    made, _ = alone(checkpointing=True)
    calls = []
    transformer_layers(made.module)[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    made.logprobs(made.module, ROWS[:1])
    assert len(calls) == 1
    with pytest.raises(ScenarioError, match="no layers found"):
        transformer_layers(torch.nn.Linear(2, 2))


# -- one object for all of them --------------------------------------------------------------------------------------
def test_ranks_are_used_like_a_learner_and_a_killed_one_is_named(importable, tmp_path):
    made, reference = alone(**SMALL)
    ranks = local(partial(parts, check=False, **SMALL), 2, timeout_s=60.0)
    try:
        scores = ranks.logprobs("reference", ROWS)
        for mine, plain in zip(scores, made.logprobs(reference, ROWS), strict=True):
            torch.testing.assert_close(mine.logprobs, plain.logprobs, atol=1e-5, rtol=0)
        with pytest.raises(ScenarioError, match="several policies"):  # before anything was sent
            ranks.forward_backward([*ROWS, TokenRow.of("other", [1, 2], [False, True])], "ppo")
        with pytest.raises(CheckpointError, match="not of these parameters"):  # by the ranks, which live on
            ranks.load({"odd": torch.zeros(1)})
        with pytest.raises(UnknownNameError, match="did you mean reference"):
            ranks.logprobs("referenc", ROWS)
        start = ranks.snapshot()
        assert gap(start, made.snapshot()) == 0.0
        for against in (scores, "reference"):
            asked = {"reference": against, "coefficients": COEFFICIENTS}
            metrics = ranks.forward_backward(ROWS, "ppo", **asked) | ranks.optim_step()
            plain = made.forward_backward(ROWS, "ppo", reference=reference, coefficients=COEFFICIENTS)
            plain |= made.optim_step()
            assert metrics.keys() == plain.keys()
            for name in plain.keys() - {"tokens_forward"}:
                assert metrics[name] == pytest.approx(plain[name], rel=1e-4, abs=1e-5), name
        near, plain_near = ranks.present(ROWS), made.present(ROWS)
        metrics = ranks.forward_backward(ROWS, "decoupled", proximal=near) | ranks.optim_step()
        plain = made.forward_backward(ROWS, "decoupled", proximal=plain_near) | made.optim_step()
        assert metrics["loss"] == pytest.approx(plain["loss"], rel=1e-4)
        assert gap(ranks.snapshot(), made.snapshot()) < 5e-5 and gap(start, made.snapshot()) > 1e-4
        for mine, plain in zip(ranks.values(VALUES), made.values(VALUES), strict=True):
            assert mine == pytest.approx(plain, abs=1e-4)
        ranks.save(tmp_path / "saved")
        state, weights = ranks.state_dict(), ranks.snapshot()
        assert state["step"] == 3
        ranks.forward_backward(ROWS, "sft")
        ranks.optim_step()
        for back in (
            lambda: (ranks.load(weights), ranks.load_state_dict(state)),
            lambda: ranks.restore(tmp_path / "saved"),
        ):
            assert gap(ranks.snapshot(), weights) > 0
            back()
            assert gap(ranks.snapshot(), weights) == 0.0 and ranks.state_dict()["step"] == 3
            ranks.forward_backward(ROWS, "sft")
            ranks.optim_step()
        ranks.load_module(model(5).state_dict(), "reference")
        assert gap(ranks.module_state("reference"), model(5).state_dict()) == 0.0

        ranks.handles[1].process.kill()
        began = time.perf_counter()
        with pytest.raises(EngineError, match=r"rank 1 of 2, forward_backward: .* exit code -9"):
            ranks.forward_backward(ROWS, "ppo")
        with pytest.raises(EngineError, match="restore a checkpoint"):
            ranks.optim_step()
        assert time.perf_counter() - began < 20 and not ranks.handles[0].process.is_alive()
    finally:
        ranks.close()


class Fake:
    """A handle whose rank answers, or fails, after a while; or never."""

    def __init__(self, outcome=None, after_s=0.0):
        self.outcome, self.after_s, self.closed = outcome, after_s, False

    def call(self, method, *args, **kwargs):
        future = Future()
        if isinstance(self.outcome, Exception):
            Timer(self.after_s, future.set_exception, [self.outcome]).start()
        elif self.outcome is not None:
            future.set_result(self.outcome)
        return future

    def close(self):
        self.closed = True


LOST, BROKEN = RankLost("its process 7 ended with exit code -9"), RuntimeError("connection closed by peer")


@pytest.mark.parametrize(
    ("handles", "said"),
    [
        ([Fake({}), Fake()], "rank 1 of 2, optim_step: no answer in 0.5 s"),
        ([Fake(BROKEN), Fake()], "rank 0 of 2, optim_step: RuntimeError: connection closed by peer"),
        (
            [Fake(BROKEN), Fake(LOST, 0.2)],
            "rank 1 of 2, optim_step: RankLost: its process 7",
        ),  # the cause, not the echo
        ([Fake(LOST), Fake()], "rank 0 of 2, optim_step: RankLost"),
        ([Fake(ScenarioError("wrong")), Fake()], "rank 0 of 2, optim_step: ScenarioError: wrong"),
    ],
)
def test_ranks_that_fall_silent_or_fail_are_named_and_all_are_ended(handles, said):
    ranks = Ranks(handles, timeout_s=0.5, grace_s=0.5)
    for _ in range(2):
        with pytest.raises(EngineError, match=said):
            ranks.optim_step()
    assert all(handle.closed for handle in handles)


def test_a_mistake_that_every_rank_sees_ends_none():
    handles = [Fake(ScenarioError("wrong")), Fake(ScenarioError("wrong"), 0.1)]
    ranks = Ranks(handles, timeout_s=5.0, grace_s=5.0)
    for _ in range(2):
        with pytest.raises(ScenarioError, match=r"^wrong$"):
            ranks.optim_step()
    assert not any(handle.closed for handle in handles)


def test_a_rank_that_cannot_be_built_says_why():
    with pytest.raises(EngineError, match=r"rank 0 of 1, ready: ValueError: .*'no model'"):
        local(partial(int, "no model"), 1)
