"""Service: what the desk notes and refuses, what a client may say, and that its players come in order."""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.workflows import Workflow, read_card
from palaestra.envs.registry import make
from palaestra.envs.script import ScriptedEnv
from palaestra.envs.transcript import Transcript

AGENT, CLIENT = "agent_0", "client_0"


def play(env: ScriptedEnv, seed: int, agent: str, client: str = "client") -> Transcript:
    env.start(seed)
    while env.waiting:
        cast = {AGENT: agent, CLIENT: client}
        env.submit({key: env.players[cast[key]](request) for key, request in env.waiting.items()})
    return env.transcript


def begun(seed: int = 0, **params: Any) -> tuple[ScriptedEnv, Workflow, dict[str, str]]:
    env = make("service", **params)
    env.start(seed)
    request = env.waiting[AGENT]
    options = re.findall(r"(\w+)=(\w+)", " ".join(request.commands))
    flow = read_card(request.text, {slot: [v for s, v in options if s == slot] for slot, _ in options})
    return env, flow, env.facts["values@client_0"][CLIENT]


def commits(flow: Workflow, values: dict[str, str]) -> list[str]:
    return [" ".join(["[step", s.name, *(f"{t}={values[t]}" for t in s.takes)]) + "]" for s in flow.plan(values)]


def say(env: ScriptedEnv, *moves: str) -> Transcript:
    for move in moves:
        env.submit({AGENT: move})
    return env.transcript


def test_the_right_steps_in_order_pay_one_without_a_question() -> None:
    env, flow, values = begun()
    done = say(env, *commits(flow, values), "[done]")
    assert done.returns() == {AGENT: 1.0}  # the client was asked nothing and is paid nothing
    assert done.outcome()["completion"] == 1.0 and done.outcome()["faithful"] is None


def test_a_step_before_its_time_is_refused_and_costs_a_tenth() -> None:
    env, flow, values = begun()
    first, second, third = commits(flow, values)
    say(env, second)
    assert env.waiting[AGENT].text == f"Refused: first {flow.plan(values)[0].name}."
    done = say(env, first, second, third, "[done]")
    assert done.returns()[AGENT] == pytest.approx(0.9) and done.outcome()["wrong"] == 1


def test_a_wrong_value_is_noted_without_a_word_and_may_be_replaced() -> None:
    env, flow, values = begun()
    step = flow.plan(values)[0]
    (slot,) = step.takes
    other = next(v for v in flow.options[slot] if v != values[slot])
    say(env, f"[step {step.name} {slot}={other}]")
    assert env.waiting[AGENT].text == f"{step.name} is noted."
    assert say(env, *commits(flow, values), "[done]").returns()[AGENT] == pytest.approx(0.9)
    env.start(0)
    done = say(env, f"[step {step.name} {slot}={other}]", *commits(flow, values)[1:], "[done]")
    assert done.returns()[AGENT] == pytest.approx(2 / 3 - 0.1)


def test_doing_a_step_twice_costs_and_doing_nothing_pays_nothing() -> None:
    env, flow, values = begun()
    first, *_ = commits(flow, values)
    assert say(env, first, first, "[done]").returns()[AGENT] == pytest.approx(1 / 3 - 0.1)
    env.start(0)
    assert say(env, "I have done all the steps, and the client is happy. [done]").returns()[AGENT] == 0


def test_a_step_for_another_case_is_a_wrong_commitment() -> None:
    for seed in range(20):
        env, flow, values = begun(seed, level=1)
        (case,) = [s for s in flow.steps if s.only]
        if case in flow.plan(values):
            continue
        extra = " ".join(["[step", case.name, *(f"{t}={values[t]}" for t in case.takes)]) + "]"
        done = say(env, *commits(flow, values), extra, "[done]")
        assert done.outcome()["completion"] == 1.0 and done.returns()[AGENT] == pytest.approx(0.9)
        return
    raise AssertionError


def test_the_agent_is_told_a_value_only_when_it_asks_or_under_the_control() -> None:
    env, _, values = begun()
    assert not any(value in env.waiting[AGENT].text for value in values.values())
    slot = next(iter(values))
    env.submit({AGENT: f"[ask {slot}]"})
    env.submit({CLIENT: f"[say {values[slot]}]"})
    assert env.waiting[AGENT].text == f'The client says: "{slot}: {values[slot]}."'
    env, _, values = begun(oracle=True)
    assert all(f"{slot}: {value}." in env.waiting[AGENT].text for slot, value in values.items())


def test_a_client_can_neither_lie_nor_be_misread_at_level_zero() -> None:
    env, flow, values = begun()
    slot = next(iter(values))
    other = next(v for v in flow.options[slot] if v != values[slot])
    env.submit({AGENT: f"[ask {slot}]"})
    env.submit({CLIENT: f"[say {other}]"})
    assert env.waiting[AGENT].text == f'The client says: "{slot}: {values[slot]}."'
    assert say(env, "[done]").returns()[CLIENT] == 0.0


def test_own_words_pass_where_they_say_what_is_due_and_the_line_else() -> None:
    for words, heard in (("Well... {value}, my dear!", True), ("{value} or {other}", False), ("Guess!", False)):
        env, flow, values = begun(1, level=1, calm=True)
        slot = next(iter(values))
        other = next(v for v in flow.options[slot] if v != values[slot])
        env.submit({AGENT: f"Which {slot}? [ask {slot}]"})
        assert f'It says: "Which {slot}?"' in env.waiting[CLIENT].text
        text = words.format(value=values[slot], other=other)
        env.submit({CLIENT: text})
        assert (text in env.waiting[AGENT].text) is heard
        assert values[slot] in env.waiting[AGENT].text
        assert say(env, "[done]").returns()[CLIENT] == float(heard)


def test_a_client_leaves_after_three_needless_questions() -> None:
    env, flow, values = begun(1, level=1, calm=True)
    slot = next(iter(flow.asks(values)))
    for _ in range(4):
        assert not env.over
        env.submit({AGENT: f"[ask {slot}]"})
        env.submit({CLIENT: "I said so."})
    assert env.over
    facts = env.transcript.outcome()
    assert facts["left"] and facts["needless"] == 3 and facts["questions"] == 4


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_come_in_order_and_an_honest_one_reaches_the_ceiling(level: int) -> None:
    env = make("service", level=level)
    score = {p: mean(play(env, s, p).returns()[AGENT] for s in range(40)) for p in ("random", "greedy", "clerk")}
    assert score["random"] < score["greedy"] < 0.6 < score["clerk"] == 1.0
    assert all(play(env, s, "oracle").returns()[AGENT] == 1.0 for s in range(40))


def test_who_plays_the_client_changes_nothing_for_a_good_agent() -> None:
    env = make("service", level=2)
    assert all(play(env, s, "clerk", "random").returns()[AGENT] == 1.0 for s in range(20))


def test_a_change_of_mind_counts_from_when_it_is_told() -> None:
    env = make("service", level=2)
    for seed in range(60):
        facts = play(env, seed, "clerk").outcome()
        first = env.facts["values@client_0"][CLIENT]
        if facts["mood"] == "fickle":
            told = " ".join(text for _, text in env.view(AGENT))
            assert facts["wrong"] == 0 and ("changed my mind" in told or "no longer want" in told)
            assert first  # the record keeps what was wanted at first
            return
    raise AssertionError
