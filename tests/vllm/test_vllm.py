"""The real vLLM, in its CPU build: same ids, same log-probabilities, whatever was published when. `make test-vllm`."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import torch

from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.engines import vllm as engine_module
from palaestra.agents.engines import vllm_transfer as module
from palaestra.agents.engines.embedded import score
from palaestra.agents.engines.vllm import VllmEngine
from palaestra.agents.episode import PolicyRef
from palaestra.agents.tiny import tiny
from palaestra.errors import EngineError, MismatchError, MissingExtraError

TEXTS = ["You are player_0. Your card is J.", "[bet]", "[check]"] * 3
CONTEXT, CLOSE, APART = 512, 2e-5, 1e-2
"""Log-probabilities of the same weights agree to CLOSE nats (float32); those of others differ by more than APART."""


def base(*, tied: bool = False, seed: int = 0) -> Any:
    model, tokenizer = tiny(TEXTS, width=64, heads=2, context=CONTEXT, seed=seed)
    if tied:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    return model, tokenizer


def disturb(engine: VllmEngine, name: str, by: float = 0.05) -> PolicyRef:
    """Other weights, as an optimizer's step makes them; the version that they are."""
    generator = torch.Generator().manual_seed(engine.version(name) + 1)
    with torch.no_grad():
        for parameter in engine.parameters(name).values():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    engine.set_version(name, engine.version(name) + 1)
    return PolicyRef(name, engine.version(name))


def prompt(length: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(5, 260) for _ in range(length)]


def gap(engine: VllmEngine, ref: PolicyRef, asked: list[int], done: Completion, begin: int = 0) -> float:
    """How far the sampled log-probabilities are from those that the learner gives the same tokens."""
    again = score(engine.module(ref), [(asked, [done.ids])])[0][0]
    return max(abs(a - b) for a, b in zip(done.logprobs[begin:], again[begin:], strict=True))


def cores(*others: psutil.Process) -> list[psutil.Process]:
    """The processes in which a vLLM of ours lives, without those of other tests."""
    return [p for p in psutil.Process().children(recursive=True) if "EngineCore" in p.name() and p not in others]


def ask(engine: VllmEngine, *jobs: tuple[list[int], Sampling, PolicyRef, int]) -> list[Completion]:
    async def all_of_them() -> list[Completion]:
        return list(await asyncio.gather(*(engine.generate(*job) for job in jobs)))

    return asyncio.run(all_of_them())


@pytest.fixture(scope="module", params=["untied", "tied"])
def whole(request: Any) -> Iterator[VllmEngine]:
    made = VllmEngine(requests=16)
    made.add_base("b", *base(tied=request.param == "tied"))
    made.add_policy("p", "b")
    yield made
    made.close()


@pytest.fixture(scope="module")
def adapters() -> Iterator[VllmEngine]:
    made = VllmEngine(requests=16, adapters=3, rank=8)
    made.add_base("b", *base())
    for n in range(10):
        made.add_policy(f"p{n}", "b", adapter={"rank": 8})
        disturb(made, f"p{n}", 0.1)
    yield made
    made.close()


# -- sampling ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_logprobs_are_those_of_the_learner(whole: VllmEngine, temperature: float) -> None:
    ref = PolicyRef("p", whole.version("p"))
    jobs = [(prompt(5 + 7 * n, n), Sampling(16, temperature), ref, n) for n in range(12)]
    for (asked, *_), done in zip(jobs, ask(whole, *jobs), strict=True):
        assert len(done.ids) == 16 and done.stop == "length"
        if temperature == 1.0:
            assert gap(whole, ref, asked, done) < CLOSE
        elif temperature == 0.0:
            logits = whole.module(ref)(torch.tensor([asked + done.ids])).logits[0, len(asked) - 1 : -1]
            assert logits.argmax(-1).tolist() == done.ids


def test_a_stop_token_ends_the_reply_and_is_in_it(whole: VllmEngine) -> None:
    ref = PolicyRef("p", whole.version("p"))
    (free,) = ask(whole, (prompt(30), Sampling(40), ref, 1))
    stop = free.ids[10]
    (cut,) = ask(whole, (prompt(30), Sampling(40, stop_ids=(stop,)), ref, 1))
    assert cut.stop == "stop" and cut.ids == free.ids[: free.ids.index(stop) + 1]


def test_the_same_seed_gives_the_same_reply_and_a_full_context_none(whole: VllmEngine) -> None:
    ref = PolicyRef("p", whole.version("p"))
    job = (prompt(40), Sampling(16), ref, 7)
    assert ask(whole, job)[0].ids == ask(whole, job)[0].ids
    assert ask(whole, (prompt(CONTEXT), Sampling(16), ref, 7))[0].stop == "context"
    assert len(ask(whole, (prompt(CONTEXT - 4), Sampling(16), ref, 7))[0].ids) == 4


def test_more_long_prompts_at_once_than_fit_a_step(whole: VllmEngine) -> None:
    ref = PolicyRef("p", whole.version("p"))
    jobs = [(prompt(450, 100 + n), Sampling(4), ref, n) for n in range(24)]
    for (asked, *_), done in zip(jobs, ask(whole, *jobs), strict=True):
        assert gap(whole, ref, asked, done) < CLOSE


# -- whole weights -----------------------------------------------------------------------------------------------------
def test_after_an_update_it_is_the_new_weights_also_behind_a_cached_prompt(whole: VllmEngine) -> None:
    old = PolicyRef("p", whole.version("p"))
    long = prompt(300, seed=5)
    ask(whole, (long, Sampling(4), old, 0))
    whole.freeze(old)
    new = disturb(whole, "p")
    (done,) = ask(whole, (long, Sampling(24), new, 1))
    assert gap(whole, new, long, done) < CLOSE and gap(whole, old, long, done) > APART
    assert whole.verified[new] < CLOSE
    (past,) = ask(whole, (long, Sampling(24), old, 1))  # a frozen version is sampled by its copy
    assert gap(whole, old, long, past) < CLOSE
    whole.forget(old)


def test_a_request_under_way_carries_both_versions_and_each_is_right(whole: VllmEngine) -> None:
    old = PolicyRef("p", whole.version("p"))
    asked = prompt(60, seed=6)

    async def both() -> Completion:
        under_way = asyncio.ensure_future(whole.generate(asked, Sampling(400), old, 3))
        while not whole._served["b of p"].leases[old]:
            await asyncio.sleep(0)
        await asyncio.sleep(0.4)
        whole.freeze(old)
        await whole.publish(disturb(whole, "p"))
        return await under_way

    done = asyncio.run(both())
    new = PolicyRef("p", whole.version("p"))
    (first, zero), (second, middle) = done.versions
    assert (first, zero, second) == (old.version, 0, new.version) and 0 < middle < 400
    before = Completion(done.ids[:middle], done.logprobs[:middle], "length")
    assert gap(whole, old, asked, before) < CLOSE and gap(whole, new, asked, before) > APART
    assert gap(whole, new, asked, done, middle) < CLOSE and gap(whole, old, asked, done, middle) > APART
    whole.forget(old)


def test_a_publication_that_did_nothing_is_refused(whole: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def said_to_be_done(served: Any, ref: PolicyRef) -> None:
        served.version = ref.version

    monkeypatch.setattr(whole, "_send", said_to_be_done)
    ref = disturb(whole, "p")
    for _ in range(2):  # and not only once
        with pytest.raises(MismatchError, match=r"vLLM and the learner differ by .* nats") as caught:
            ask(whole, (prompt(20), Sampling(4), ref, 0))
        assert "tolerance" in str(caught.value)
    monkeypatch.undo()
    assert ask(whole, (prompt(20), Sampling(4), PolicyRef("p", whole.version("p")), 0))


# -- adapters ----------------------------------------------------------------------------------------------------------
def test_ten_policies_interleaved_never_mix(adapters: VllmEngine) -> None:
    refs = [PolicyRef(f"p{n}", adapters.version(f"p{n}")) for n in range(10)]
    asked = prompt(300, seed=8)  # the same for all: what is cached of one would show in another
    jobs = [(asked, Sampling(12), refs[n % 10], n) for n in range(40)]
    random.Random(0).shuffle(jobs)
    for (_, _, ref, _), done in zip(jobs, ask(adapters, *jobs), strict=True):
        assert gap(adapters, ref, asked, done) < CLOSE
        assert gap(adapters, refs[int(ref.name[1:]) - 1], asked, done) > APART


def test_versions_of_one_adapter_are_served_side_by_side_and_go_when_forgotten(adapters: VllmEngine) -> None:
    refs, asked = [PolicyRef("p0", adapters.version("p0"))], prompt(200, seed=9)
    for _ in range(3):
        adapters.freeze(refs[-1])
        refs.append(disturb(adapters, "p0", 0.1))
    jobs = [(asked, Sampling(12), refs[n % 4], n) for n in range(12)]
    for (_, _, ref, _), done in zip(jobs, ask(adapters, *jobs), strict=True):
        assert gap(adapters, ref, asked, done) < CLOSE
    served = adapters._served["b"]
    gone = served.adapters[refs[0]]
    served.leases[refs[0]] += 1  # as a request under way does
    adapters.forget(refs[0])
    assert gone.path.exists()
    served.leases[refs[0]] -= 1
    for ref in refs[1:3]:
        adapters.forget(ref)
    there = served.server.call(served.server.llm.list_loras())
    assert not gone.path.exists() and gone.request.lora_int_id not in there
    assert {r for r in served.adapters if r.name == "p0"} == {refs[3]}


def test_weights_that_two_processes_share_are_the_learners() -> None:
    engine = VllmEngine(requests=16, tensor_parallel=2)
    for name in ("first", "second"):
        engine.add_base(name, *base(tied=True))
    engine.add_policy("whole", "first")
    engine.add_policy("adapted", "second", adapter={"rank": 4})
    try:
        for name in ("whole", "adapted"):
            old = PolicyRef(name)
            before = ask(engine, (prompt(60), Sampling(24), old, 7))[0]
            assert gap(engine, old, prompt(60), before) < CLOSE
            ref = disturb(engine, name)
            after = ask(engine, (prompt(60), Sampling(24), ref, 7))[0]
            assert gap(engine, ref, prompt(60), after) < CLOSE
            assert gap(engine, ref, prompt(60), before) > APART
    finally:
        engine.close()


def test_heads_that_cannot_be_shared_are_refused() -> None:
    engine = VllmEngine(tensor_parallel=3)
    try:
        with pytest.raises(EngineError, match="base: 2 heads of attention cannot be shared by tensor_parallel = 3"):
            engine.add_base("base", *base())
    finally:
        engine.close()


# -- what is there -----------------------------------------------------------------------------------------------------
def test_another_version_of_vllm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.installed()
    monkeypatch.setattr(module, "version", lambda name: "0.11.2")
    with pytest.raises(EngineError, match=r"vLLM 0\.11\.2 .* tried with 0\.32"):
        module.installed()

    def none(name: str) -> str:
        raise module.PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", none)
    with pytest.raises(MissingExtraError, match="palaestra\\[vllm\\]"):
        VllmEngine()


def test_a_vllm_that_dies_is_started_again_and_no_request_is_lost() -> None:
    others = cores()
    engine = VllmEngine()
    engine.add_base("base", *base())
    engine.add_policy("one", "base", adapter={"rank": 4})
    ref = disturb(engine, "one")
    job = (prompt(60), Sampling(200), ref, 7)
    try:
        (whole,) = ask(engine, job)
        (core,) = cores(*others)
        killer = threading.Timer(0.1, core.kill)
        killer.start()
        replies = ask(engine, *[job] * 4)
        killer.join()
        (after,) = ask(engine, job)
        assert not core.is_running() and cores(*others)
        assert all(len(reply.ids) == 200 and gap(engine, ref, job[0], reply) < CLOSE for reply in replies)
        assert after.ids == whole.ids
    finally:
        engine.close()


def test_a_vllm_that_dies_again_and_again_over_a_request_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "RESTARTS", 0)
    others = cores()
    engine = VllmEngine()
    engine.add_base("base", *base())
    engine.add_policy("one", "base", adapter={"rank": 4})
    try:
        ask(engine, (prompt(60), Sampling(2), PolicyRef("one"), 7))
        (core,) = cores(*others)
        killer = threading.Timer(0.1, core.kill)
        killer.start()
        with pytest.raises(EngineError, match="vLLM died 1 times over one request of 60 tokens"):
            ask(engine, (prompt(60), Sampling(400), PolicyRef("one"), 7))
    finally:
        engine.close()
