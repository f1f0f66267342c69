import asyncio
import random

import pytest
import torch

from palaestra.agents.engines import Completion, Sampling
from palaestra.agents.engines.embedded import EmbeddedEngine, GenerateJob, ScoreJob
from palaestra.agents.episode import PolicyRef
from palaestra.agents.tiny import tiny
from palaestra.errors import EngineError

TEXTS = ["You are player_0. Your card is J.", "[bet]", "[check]"] * 3
P = PolicyRef("p")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model(kind="llama", seed=0, **shape):
    return tiny(TEXTS, kind=kind, width=32, context=128, seed=seed, **shape)


@pytest.fixture(params=["llama", "qwen3"])
def engine(request):
    made = EmbeddedEngine()
    made.add_base("b", *model(request.param))
    made.add_policy("p", "b")
    return made


def prefixes(count, seed=0, low=3, high=60):
    rng = random.Random(seed)
    return [[rng.randrange(5, 260) for _ in range(rng.randrange(low, high))] for _ in range(count)]


def jobs(count, *, tokens=12, temperature=1.0, stop_ids=(), policy=P, **kw):
    sampling = Sampling(tokens, temperature, stop_ids)
    return [GenerateJob(prefix, sampling, policy, seed) for seed, prefix in enumerate(prefixes(count, **kw))]


def slow(module, prefix, reply, temperature=1.0):
    """Log-probabilities of a reply, in one plain forward."""
    with torch.no_grad():
        logits = module(input_ids=torch.tensor([prefix + reply]), use_cache=False).logits.float() / (temperature or 1)
    logprobs = torch.log_softmax(logits[0], -1)
    return [logprobs[len(prefix) - 1 + i, token].item() for i, token in enumerate(reply)]


def furthest(a, b):
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


# -- generate -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_logprobs_are_those_of_the_distribution_that_was_sampled(engine, temperature):
    asked = jobs(20, temperature=temperature)
    for job, done in zip(asked, engine.serve("generate", asked), strict=True):
        assert done.stop == "length" and len(done.ids) == 12
        assert furthest(done.logprobs, slow(engine.live("p"), job.prefix, done.ids, temperature)) < 1e-5


def test_temperature_zero_takes_the_most_probable_token(engine):
    asked = jobs(3, temperature=0.0)
    for job, done in zip(asked, engine.serve("generate", asked), strict=True):
        ids = list(job.prefix)
        for token in done.ids:
            logits = engine.live("p")(torch.tensor([ids])).logits[0, -1]
            assert logits[token] > logits.max() - 1e-4
            ids.append(token)


def test_of_equal_logits_temperature_zero_takes_the_lowest_id(engine):
    with torch.no_grad():
        engine.live("p").get_output_embeddings().weight.zero_()
    assert {t for done in engine.serve("generate", jobs(3, temperature=0.0)) for t in done.ids} == {0}


def test_sampled_frequencies_follow_the_distribution(engine):
    prefix, count = prefixes(1)[0], 4000
    sampling = Sampling(1)
    done = engine.serve("generate", [GenerateJob(prefix, sampling, P, seed) for seed in range(count)])
    with torch.no_grad():
        expected = torch.softmax(engine.live("p")(torch.tensor([prefix])).logits[0, -1], -1)
    observed = torch.bincount(torch.tensor([d.ids[0] for d in done]), minlength=len(expected)) / count
    assert (observed - expected).abs().sum() < 0.25  # total variation of 4000 draws over some 270 tokens
    top = int(expected.argmax())
    assert abs(observed[top] - expected[top]) < 5 * (expected[top] / count) ** 0.5


def test_stop_token_ends_a_reply_and_belongs_to_it(engine):
    stops = tuple(range(5, 15))
    done = engine.serve("generate", jobs(40, tokens=40, stop_ids=stops))
    assert {d.stop for d in done} == {"stop", "length"}
    for d in done:
        assert (d.ids[-1] in stops) == (d.stop == "stop")
        assert not set(d.ids[:-1]) & set(stops)
        assert len(d.ids) == len(d.logprobs) and (d.stop == "stop" or len(d.ids) == 40)


def test_each_job_keeps_its_own_limit(engine):
    limits = [1, 5, 3, 40, 1]
    asked = [j._replace(sampling=Sampling(n)) for j, n in zip(jobs(5), limits, strict=True)]
    assert [len(d.ids) for d in engine.serve("generate", asked)] == limits


def test_same_jobs_give_the_same_bits(engine):
    asked = jobs(40, tokens=30, stop_ids=(7, 8, 9))
    assert engine.serve("generate", asked) == engine.serve("generate", asked)


def test_a_job_alone_draws_what_it_draws_in_a_batch_of_forty(engine):
    asked = jobs(40, tokens=12, stop_ids=tuple(range(5, 15)))
    together = engine.serve("generate", asked)
    for job, done in zip(asked, together, strict=True):
        alone = engine.serve("generate", [job])[0]
        assert alone.ids == done.ids and alone.stop == done.stop
        assert furthest(alone.logprobs, done.logprobs) < 1e-5


def test_prompts_of_one_length_in_at_least_sixteen_rows_give_the_same_bits_in_any_batch(engine):
    asked = jobs(40, tokens=12, low=30, high=31)
    together = engine.serve("generate", asked)
    assert engine.serve("generate", asked[:20]) == together[:20]
    assert [engine.serve("generate", [job])[0] for job in asked[::3]] == together[::3]


def test_order_of_jobs_does_not_change_a_jobs_reply(engine):
    asked = jobs(30)
    forward, backward = engine.serve("generate", asked), engine.serve("generate", asked[::-1])[::-1]
    assert [d.ids for d in forward] == [d.ids for d in backward]


def test_equal_prompts_share_rows_and_part_where_they_differ(engine):
    few = prefixes(3)
    asked = [GenerateJob(few[i % 3], Sampling(10), P, seed=i // 6) for i in range(36)]  # seeds repeat too
    done = engine.serve("generate", asked)
    assert len({tuple(d.ids) for d in done}) > 12
    for job, d in zip(asked, done, strict=True):
        assert furthest(d.logprobs, slow(engine.live("p"), job.prefix, d.ids)) < 1e-5
    assert [engine.serve("generate", [job])[0].ids for job in asked[::6]] == [d.ids for d in done[::6]]
    twins = [d for job, d in zip(asked, done, strict=True) if job.prefix == few[0] and job.seed == 0]
    assert len(twins) == 2 and twins[0] == twins[1]


def test_long_batches_are_cut_and_answered_in_order(engine):
    engine.max_rows = 7
    asked = jobs(30)
    for job, done in zip(asked, engine.serve("generate", asked), strict=True):
        assert furthest(done.logprobs, slow(engine.live("p"), job.prefix, done.ids)) < 1e-5


def test_a_reply_ends_where_the_context_does(engine):
    full, nearly, short = (GenerateJob([9] * n, Sampling(50), P, 0) for n in (128, 126, 10))
    done = engine.serve("generate", [full, nearly, short])
    assert done[0] == Completion([], [], "context")
    assert len(done[1].ids) == 2 and done[1].stop == "length"
    assert len(done[2].ids) == 50


def test_training_mode_is_left_as_it_was(engine):
    module = engine.live("p").train()
    engine.serve("generate", jobs(2))
    assert module.training
    module.eval()
    engine.serve("score", [ScoreJob([9, 9], [[8]], P)])
    assert not module.training


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_is_masked_under_every_attention(attention):
    made, words = model()
    made.set_attn_implementation(attention)
    engine = EmbeddedEngine()
    engine.add_base("b", made, words)
    engine.add_policy("p", "b")
    asked = jobs(20)
    for job, done in zip(asked, engine.serve("generate", asked), strict=True):
        assert furthest(done.logprobs, slow(made, job.prefix, done.ids)) < 1e-5
    check_scores(engine)


def test_layers_that_slide_are_served_too():
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
        max_position_embeddings=128, initializer_range=0.1,
    )  # fmt: skip
    engine = EmbeddedEngine()
    engine.add_base("b", Gemma3ForCausalLM(config).eval(), model().tokenizer)
    engine.add_policy("p", "b")
    asked = [*jobs(10), *jobs(10)]
    for job, done in zip(asked, engine.serve("generate", asked), strict=True):
        assert furthest(done.logprobs, slow(engine.live("p"), job.prefix, done.ids)) < 1e-4
    check_scores(engine, 1e-4)


# -- score ----------------------------------------------------------------------------------------------------------
def candidates(count, seed=1):
    rng = random.Random(seed)
    made = [[rng.randrange(5, 260) for _ in range(rng.randrange(1, 5))] for _ in range(count)]
    return [*made, made[0][:1], made[0] + [7]]


def check_scores(engine, bound=1e-5):
    asked = [ScoreJob(prefix, candidates(4, i), P) for i, prefix in enumerate(prefixes(30))]
    asked += asked[:3] + [ScoreJob(asked[0].prefix[:4], [asked[0].prefix[4:6]], P), ScoreJob([9], [], P)]
    for job, scored in zip(asked, engine.serve("score", asked), strict=True):
        assert [len(s) for s in scored] == [len(c) for c in job.candidates]
        for candidate, logprobs in zip(job.candidates, scored, strict=True):
            assert furthest(logprobs, slow(engine.live("p"), job.prefix, candidate)) < bound


def test_scores_are_the_logprobs_of_each_candidate_after_its_prefix(engine):
    check_scores(engine)
    engine.tokens_per_pass = 150  # many passes
    check_scores(engine)


def test_candidates_that_begin_alike_are_scored_apart(engine):
    tree = [[5], [5, 6], [5, 6, 7], [5, 6, 8], [5, 9, 7], [6, 6, 7], [5, 6, 7]]
    scored = engine.serve("score", [ScoreJob([9, 8, 7], tree, P)])[0]
    for candidate, logprobs in zip(tree, scored, strict=True):
        assert furthest(logprobs, slow(engine.live("p"), [9, 8, 7], candidate)) < 1e-5
    assert scored[2] == scored[6] and scored[2][:2] == scored[1]


def test_scoring_what_was_sampled_gives_the_logprobs_as_sampled(engine):
    asked = jobs(20)
    done = engine.serve("generate", asked)
    scored = engine.serve("score", [ScoreJob(j.prefix, [d.ids], P) for j, d in zip(asked, done, strict=True)])
    for d, (logprobs,) in zip(done, scored, strict=True):
        assert furthest(d.logprobs, logprobs) < 1e-5


def test_scores_have_the_same_bits_every_time(engine):
    asked = [ScoreJob(prefix, candidates(4), P) for prefix in prefixes(20)]
    assert engine.serve("score", asked) == engine.serve("score", asked)


def test_only_the_jobs_that_cannot_be_served_fail(engine):
    asked = [
        ScoreJob([9] * 127, [[5, 6]], P),
        ScoreJob([9], [[]], P),
        ScoreJob([], [[5]], P),
        ScoreJob([9], [[5]], PolicyRef("q")),
        ScoreJob([9], [[5]], P._replace(version=3)),
        ScoreJob([9], [[5]], P),
    ]
    answers = engine.serve("score", asked)
    words = ["exceed the context of 128", "without tokens", "empty prompt", "no policy 'q'", "p@3: no such version"]
    for answer, text in zip(answers, words, strict=False):
        assert isinstance(answer, EngineError) and text in str(answer)
    assert len(answers[-1][0]) == 1
    with pytest.raises(EngineError, match="empty prompt"):
        asyncio.run(engine.generate([], Sampling(1), P, 0))


# -- versions -------------------------------------------------------------------------------------------------------
def nudge(engine, name, amount=0.05):
    """A step of plain gradient ascent on one reply, as a learner would do it."""
    parameters = engine.parameters(name)
    logits = engine.live(name)(torch.tensor([[5, 6, 7, 8]]), use_cache=False).logits
    torch.log_softmax(logits, -1)[0, :, 9].sum().backward()
    with torch.no_grad():
        for parameter in parameters.values():
            parameter += amount * parameter.grad
            parameter.grad = None
    engine.set_version(name, engine.version(name) + 1)


def ask(engine, ref):
    return engine.serve("generate", jobs(4, policy=ref))


def lora(**options):
    made = EmbeddedEngine()
    made.add_base("b", *model())
    for name in ("p", "q"):
        made.add_policy(name, "b", adapter={"rank": 4, **options})
    return made


def whole():
    made = EmbeddedEngine()
    made.add_base("b", *model())
    made.add_policy("p", "b")
    made.add_policy("q", "b")
    return made


@pytest.fixture(params=[whole, lora])
def two(request):
    return request.param()


def test_a_frozen_version_answers_as_the_live_one_did(two):
    before = ask(two, P)
    asyncio.run(two.publish(P))
    nudge(two, "p")
    assert ask(two, P) == before
    assert ask(two, PolicyRef("p", 1)) != before
    assert two.frozen("p") == [0]
    asyncio.run(two.retire(P))
    assert isinstance(ask(two, P)[0], EngineError) and two.frozen("p") == []


def test_policies_on_one_base_do_not_touch_each_other(two):
    q, before = PolicyRef("q"), ask(two, PolicyRef("q"))
    nudge(two, "p")
    assert ask(two, q) == before and two.version("q") == 0
    mixed = two.serve("generate", [*jobs(4, policy=q), *jobs(4, policy=PolicyRef("p", 1))])
    assert mixed[:4] == before and mixed[4:] == ask(two, PolicyRef("p", 1)) != before


def test_state_is_a_copy_that_loads_back(two):
    two.freeze(P)
    start = two.state("p")
    nudge(two, "p")
    moved, answers = two.state("p"), ask(two, PolicyRef("p", 1))
    assert any(not torch.equal(start[k], moved[k]) for k in start)
    assert all(torch.equal(start[k], two.state(P)[k]) for k in start)
    held = two.parameters("p")
    two.load("p", start)
    assert all(torch.equal(start[k], two.state("p")[k]) for k in start)
    assert all(a is b for a, b in zip(held.values(), two.parameters("p").values(), strict=True))
    asyncio.run(two.publish(PolicyRef("p", 9), moved))
    assert ask(two, PolicyRef("p", 9)) == answers


def test_a_state_of_another_shape_is_refused(two):
    state = two.state("p")
    name, tensor = next(iter(state.items()))
    with pytest.raises(EngineError, match="does not fit"):
        two.load("p", {"odd": tensor, **state})
    with pytest.raises(EngineError, match="has shape"):
        two.load("p", {**state, name: tensor[:1]})


def test_a_policy_that_does_not_train_has_no_parameters():
    made = EmbeddedEngine()
    made.add_base("b", *model())
    made.add_policy("p", "b", train=False)
    made.add_policy("q", "b")
    assert not made.parameters("p") and made.parameters("q")


def test_base_weights_are_untouched_by_adapters_that_train():
    made, words = model()
    before = {k: v.clone() for k, v in made.state_dict().items()}
    engine = EmbeddedEngine()
    engine.add_base("b", made, words)
    engine.add_policy("p", "b", adapter={"rank": 4})
    engine.add_policy("q", "b", adapter={"rank": 8, "targets": ["q_proj"]})
    for step in range(3):
        engine.freeze(PolicyRef("p", step))
        nudge(engine, "p")
        nudge(engine, "q")
        ask(engine, PolicyRef("p", 0))
    after = {k.replace(".base_layer", ""): v for k, v in made.state_dict().items() if "lora_" not in k}
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert set(engine.state("q")) == {
        f"model.layers.{n}.self_attn.q_proj.lora_{x}.weight" for n in (0, 1) for x in "AB"
    }


def test_only_the_live_adapters_ask_for_gradients():
    engine = lora()
    engine.freeze(P)
    ask(engine, P)
    ask(engine, PolicyRef("q"))
    wanted = {id(p) for name in ("p", "q") for p in engine.parameters(name).values()}
    assert wanted == {id(p) for p in engine.live("q").parameters() if p.requires_grad}
    nudge(engine, "p")
    assert all(p.grad is None for p in engine.parameters("q").values())


def test_an_adapter_begins_as_the_base_and_alike_in_whatever_order_it_was_added():
    plain = EmbeddedEngine()
    plain.add_base("b", *model())
    plain.add_policy("p", "b")
    torch.manual_seed(7)
    random_state = torch.get_rng_state()
    engine = lora()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [d.ids for d in ask(engine, P)] == [d.ids for d in ask(plain, P)]
    other = EmbeddedEngine()
    other.add_base("b", *model())
    other.add_policy("q", "b", adapter={"rank": 4})
    state, same = engine.state("q"), other.state("q")
    assert all(torch.equal(state[k], same[k]) for k in state)


def test_several_bases_with_their_own_tokenizers_serve_side_by_side():
    engine = EmbeddedEngine()
    engine.add_base("a", *model())
    engine.add_base("b", *tiny(["quite other words"] * 3, width=32, context=64, seed=1))
    engine.add_policy("p", "a")
    engine.add_policy("r", "b", adapter={"rank": 2})
    assert (engine.context("p"), engine.context("r")) == (128, 64)
    assert engine.tokenizer("p") is not engine.tokenizer("r")
    r = PolicyRef("r")
    asked = [*jobs(3), *jobs(3, policy=r)]
    apart = engine.serve("generate", jobs(3)) + engine.serve("generate", jobs(3, policy=r))
    assert engine.serve("generate", asked) == apart


def test_whole_weights_and_adapters_do_not_share_a_base():
    engine = whole()
    with pytest.raises(EngineError, match="whole policies and adapters"):
        engine.add_policy("r", "b", adapter={"rank": 2})
    with pytest.raises(EngineError, match="no option 'rnk'"):
        lora(rnk=3)


def test_weights_in_bfloat16_sample_with_logprobs_in_float32():
    engine = EmbeddedEngine(dtype=torch.bfloat16)
    engine.add_base("b", *model())
    engine.add_policy("p", "b")
    done = engine.serve("generate", jobs(4))
    assert engine.live("p").dtype == torch.bfloat16
    assert all(abs(sum(d.logprobs)) > 0 and len(d.ids) == 12 for d in done)
    assert done == engine.serve("generate", jobs(4))
