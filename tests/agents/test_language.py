"""A language model in a seat: what it is told, what it says, and what is recorded of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from palaestra.agents.engines.embedded import EmbeddedEngine, score
from palaestra.agents.episode import Episode, PolicyRef, encode, read_episodes
from palaestra.agents.language import LanguagePolicy, draw_seed
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.render import Renderer
from palaestra.agents.tiny import env_texts, tiny
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.script import Request
from palaestra.envs.social.public_goods import PublicGoods
from palaestra.errors import RecordError


@pytest.fixture(scope="module")
def policy() -> LanguagePolicy:
    model, tokenizer = tiny(env_texts("kuhn", n=32), width=32, heads=2)
    engine = EmbeddedEngine()
    engine.add_base("tiny", model, tokenizer)
    engine.add_policy("p", "tiny")
    return LanguagePolicy(PolicyRef("p"), engine, Renderer(tokenizer), max_tokens=8)


def episodes(policy: LanguagePolicy, n: int = 8, **how: object) -> list[Episode]:
    cast = dict.fromkeys(Kuhn.seats, replace(policy, **how))
    made = wait_for(rollout(Job("kuhn", {}, dict(cast), s, f"t{s}") for s in range(n)))
    assert all(e.failure is None for e in made), made[0].failure
    return made


@pytest.mark.parametrize("act", ["text", "score"])
def test_the_same_key_says_the_same_in_any_company(policy: LanguagePolicy, act: str) -> None:
    many, few = episodes(policy, 8, act=act), episodes(policy, 3, act=act)
    assert [e.transcript for e in many[:3]] == [e.transcript for e in few]


def test_the_next_prompt_extends_the_last_one_verbatim(policy: LanguagePolicy) -> None:
    for episode in episodes(policy, 8, act="text"):
        assert all(e.trajectories for e in [episode])
        assert [t.seat for t in episode.trajectories] == sorted(t.seat for t in episode.trajectories)
        for trajectory in episode.trajectories:
            origins = [s.origin for s in trajectory.spans]
            assert origins[0] == "told" and "sampled" in origins


def test_a_dropped_history_begins_a_new_sequence_each_turn(policy: LanguagePolicy) -> None:
    for episode in episodes(policy, 4, act="text", history="drop"):
        turns = sum(1 for e in episode.transcript.events if type(e).__name__ == "Said")
        assert len(episode.trajectories) == turns


@pytest.mark.parametrize("act", ["text", "score"])
def test_a_history_that_slides_never_outgrows_the_context(act: str) -> None:
    context = 160
    model, tokenizer = tiny(env_texts("public_goods", n=8), width=32, heads=2, context=context)
    engine = EmbeddedEngine()
    engine.add_base("tiny", model, tokenizer)
    engine.add_policy("p", "tiny")
    policy = LanguagePolicy(
        PolicyRef("p"), engine, Renderer(tokenizer), act=act, max_tokens=12, persona="You are careful."
    )

    def play(history: str) -> Episode:
        cast = dict.fromkeys(PublicGoods().seats, replace(policy, history=history))
        (episode,) = wait_for(rollout([Job("public_goods", {"rounds": 12}, cast, 0, "t")]))
        return episode

    kept, slid = play("keep"), play("slide")
    if act == "score":
        assert kept.failure is not None
    else:
        assert any("context" in trajectory.stops for trajectory in kept.trajectories)
    assert slid.failure is None and len(slid.trajectories) > len(kept.trajectories)
    for seat in PublicGoods().seats:
        own = [t for t in slid.trajectories if t.seat == seat]
        before = next(t for t in kept.trajectories if t.seat == seat)
        same = len(own[0].spans)
        assert len(own) > 1 and before.spans[:same] == own[0].spans  # what fits is as it was
        turns = [span.turn for t in own for span in t.spans if span.origin == "sampled"]
        assert turns == list(range(len(turns)))  # each turn once, all of them
        for trajectory in own:
            assert sum(len(span.ids) for span in trajectory.spans) <= context
            assert "context" not in trajectory.stops
            prefix: list[int] = []
            for span in trajectory.spans:
                if span.origin == "sampled" and act == "text":
                    ((again,),) = score(engine.module(policy.ref), [(prefix, [span.ids])])
                    assert again == pytest.approx(span.logprobs, abs=1e-4)
                prefix += span.ids
        for trajectory in own[1:]:
            begin = tokenizer.decode(trajectory.spans[0].ids)
            assert len(trajectory.spans[0].ids) <= context // 2 and "You are careful." in begin


def test_a_choice_records_the_normalized_probability_of_every_candidate(policy: LanguagePolicy) -> None:
    for episode in episodes(policy, 4, act="score"):
        for trajectory in episode.trajectories:
            for choice in trajectory.choices:
                assert math.isclose(sum(map(math.exp, choice.logprobs)), 1.0, abs_tol=1e-9)
                assert len(choice.candidates) == len(choice.logprobs) == 2


def test_choices_follow_their_probabilities(policy: LanguagePolicy) -> None:
    made = episodes(policy, 300, act="score")
    first = [e.trajectories[0].choices[0] for e in made]
    expected = sum(math.exp(c.logprobs[1]) for c in first) / len(first)
    got = sum(c.chosen == 1 for c in first) / len(first)
    assert abs(got - expected) < 4 * math.sqrt(0.25 / len(first))


def test_temperature_zero_takes_the_most_probable_action(policy: LanguagePolicy) -> None:
    for episode in episodes(policy, 6, act="score", temperature=0.0):
        for trajectory in episode.trajectories:
            for choice in trajectory.choices:
                assert choice.logprobs[choice.chosen] == max(choice.logprobs)


def test_norms_divide_the_score_by_tokens_or_words(policy: LanguagePolicy) -> None:
    scores, ids, texts = [[-1.0, -2.0], [-4.0]], [[1, 2], [3]], ("[go on]", "[stop]")
    total = policy.weigh(scores, ids, texts)
    token = replace(policy, norm="token").weigh(scores, ids, texts)
    word = replace(policy, norm="word").weigh(scores, ids, texts)
    assert math.isclose(total[0] - total[1], 1.0) and math.isclose(token[0] - token[1], 2.5)
    assert math.isclose(word[0] - word[1], 2.5)


def test_rules_and_legal_moves_are_shown_where_asked_for(policy: LanguagePolicy) -> None:
    asked = replace(policy, show_rules=True, show_legal=True, persona="You are calm.")
    (episode,) = episodes(asked, 1, act="text")
    told = asked.renderer.decode(episode.trajectories[0].spans[0].ids)
    assert "Kuhn poker" in told and "You are calm." in told and "Legal moves: [check] [bet]" in told


def test_a_teacher_speaks_and_its_words_are_recorded_as_if_sampled(policy: LanguagePolicy) -> None:
    def teacher(request: Request) -> str:
        return request.legal_actions[0]

    (episode,) = episodes(policy, 1, act="text", teacher=teacher)
    spans = [s for t in episode.trajectories for s in t.spans if s.origin == "sampled"]
    assert all(s.ids[-1] == policy.renderer.end_id for s in spans)
    assert episode.transcript.outcome()["line"] == ["check", "check"]


def test_records_survive_the_file_and_a_torn_last_line_is_dropped(policy: LanguagePolicy, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "step-000001.jsonl"
    made = episodes(policy, 4, act="score")
    whole = b"".join(encode(e) + b"\n" for e in made)
    path.write_bytes(whole)
    assert list(read_episodes(path)) == made
    path.write_bytes(whole[:-7])
    assert list(read_episodes(path)) == made[:-1]
    path.write_bytes(whole.replace(b'"seed"', b'"sead"', 1))
    with pytest.raises(RecordError, match=r"step-000001.jsonl:1"):
        list(read_episodes(path))


def test_draws_depend_on_every_part_of_their_key() -> None:
    assert len({draw_seed(*key) for key in [("a", 1), ("a", 2), ("b", 1), ("a|1",)]}) == 3  # the parts are joined by |
    assert all(0 <= draw_seed(i) < 2**63 for i in range(100))
