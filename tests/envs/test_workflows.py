"""Steps, plans and generated workflows: by hand, and over many draws."""

from __future__ import annotations

import random

import pytest

from palaestra.envs.common.workflows import Client, Step, Workflow, named, plan, read_card, tells, workflow

OPTIONS = {"color": ("red", "blue", "green"), "day": ("monday", "tuesday", "wednesday")}
CANCEL = Step("cancel", needs=(("status", "open"),), sets=(("status", "cancelled"),))
REFUND = Step("refund", needs=(("status", "cancelled"),), sets=(("status", "refunded"),))
RECOLOR = Step("recolor", ("color",), (("status", "open"),), (("color", "{color}"),))


def test_a_step_names_what_stands_in_its_way_and_fills_in_what_it_is_given() -> None:
    assert REFUND.unmet({"status": "open"}) == ("status", "cancelled")
    assert RECOLOR.done({"status": "open", "color": "red"}, {"color": "blue"}) == {"status": "open", "color": "blue"}


def test_a_plan_is_the_shortest_and_none_where_there_is_none() -> None:
    order, steps = {"status": "open", "color": "red"}, (REFUND, CANCEL, RECOLOR)
    both = plan(steps, order, {"status": "refunded", "color": "blue"}, {"color": "blue"})
    assert both == ["recolor", "cancel", "refund"]  # a cancelled order can no longer be recolored
    assert plan(steps, order, {}, {"color": "blue"}) == []
    assert plan(steps, {**order, "status": "sent"}, {"status": "refunded"}, {"color": "blue"}) is None


def test_the_steps_of_a_workflow_are_those_that_the_case_needs() -> None:
    flow = Workflow(
        (
            Step("seal", ("day",), (("pack", "done"),)),
            Step("wrap", (), (("pack", "done"),), (), ("color", "red")),
            Step("pack", ("color",)),
        ),
        "seal",
        OPTIONS,
    )
    assert [s.name for s in flow.plan({"color": "blue", "day": "monday"})] == ["pack", "seal"]
    assert [s.name for s in flow.plan({"color": "red", "day": "monday"})] == ["pack", "seal", "wrap"]
    assert flow.asks({"color": "blue", "day": "monday"}) == {"color", "day"}
    assert flow.card() == "seal: day, after pack. wrap: after pack, only if color red. pack: color. Goal: seal."


@pytest.mark.parametrize("extra", [0, 2])
def test_in_a_drawn_workflow_every_step_is_needed_and_the_card_tells_all(extra: int) -> None:
    for seed in range(50):
        rng = random.Random(seed)
        flow = workflow(rng, "train", 5, extra, slots=8, size=4)
        cases = {s.only[0]: s.only[1] for s in flow.steps if s.only}
        values = {**flow.wish(rng), **cases}
        wanted = [s for s in flow.steps if not s.only or values[s.only[0]] == s.only[1]]
        done: dict[str, str] = {}
        for step in flow.plan(values):
            assert step.unmet(done) is None
            done = step.done(done, values)
        assert all(step.done(done, values) == done for step in wanted)
        read = read_card(flow.card(), flow.options)
        assert read.goal == flow.goal and read.steps == flow.steps


def test_a_client_says_what_is_due_and_every_answer_can_be_read() -> None:
    values = {"color": "red", "day": "monday"}
    for mood in ("plain", "vague", "eager", "fickle"):
        for seed in range(40):
            client = Client(random.Random(seed), values, OPTIONS, mood, 2)
            for slot in ("color", "day", "color", "day"):
                line, due = client.asked(slot)
                given = {s: client.values[s] for s in due}
                assert named(line, OPTIONS) == given
                assert due or mood == "vague"
            assert client.said == client.values
            assert (client.values != values) is (mood == "fickle")


def test_own_words_must_name_what_is_due_and_nothing_else() -> None:
    due = {"color": "red"}
    assert tells("Red, I suppose.", due, OPTIONS)
    assert not tells("Red, or was it blue?", due, OPTIONS)
    assert not tells("I will not tell.", due, OPTIONS)
    assert not tells("Red, on monday.", due, OPTIONS)
    assert tells("Who knows?", {}, OPTIONS)
