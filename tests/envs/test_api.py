"""API: what the shop does and refuses, what is accepted, breaches, controls, and that its players come in order."""

from __future__ import annotations

import json
import random
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.registry import make
from palaestra.envs.script import ScriptedEnv
from palaestra.envs.tools.orders import Rule, Shop, draw_task, final_states, read_call
from palaestra.envs.transcript import Transcript

(SEAT,) = ("agent_0",)
ORDER = {"owner": "Ana", "item": "lamp", "color": "red", "price": "30", "status": "open"}


def play(env: ScriptedEnv, seed: int, player: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({SEAT: env.players[player](env.waiting[SEAT])})
    return env.transcript


def say(env: ScriptedEnv, *moves: str, seed: int) -> Transcript:
    env.start(seed)
    for move in moves:
        env.submit({SEAT: move})
    return env.transcript


def seed_where(env: ScriptedEnv, wanted: Any) -> int:
    for seed in range(300):
        env.start(seed)
        if wanted(env.facts, env.waiting[SEAT].text):
            return seed
    raise AssertionError("no such request")


# -- the shop --------------------------------------------------------------------------------------------------------


def test_a_call_is_read_as_words_or_as_json_and_case_does_not_count() -> None:
    options = {"color": ("red", "blue"), "town": ("Arlen",)}
    call = ("readdress", {"order": "w17", "town": "Arlen"})
    assert read_call("Readdress order=W17 town=arlen", options) == call
    as_json = '{"name": "readdress", "arguments": {"order": "w17", "town": "Arlen"}}'
    assert read_call(as_json, options) == call
    for nonsense in ("cancel w17", "{}", "[1]", '"cancel"', "cancel {order: 1}", '{"name": "x", "arguments": 3}'):
        assert read_call(nonsense, options) is None


def test_rules_know_their_breaches() -> None:
    assert Rule("color", "cancel", "red").forbids("cancel", ORDER, "Ana", True)
    assert not Rule("color", "cancel", "red").forbids("send", ORDER, "Ana", True)
    assert Rule("price", "send", "29").forbids("send", ORDER, "Ana", True)
    assert not Rule("price", "send", "30").forbids("send", ORDER, "Ana", True)
    assert Rule("owner").forbids("hold", ORDER, "Ben", True) and not Rule("owner").forbids("hold", ORDER, "Ana", True)
    assert Rule("code").forbids("hold", ORDER, "Ana", False) and not Rule("code").forbids("hold", ORDER, "Ana", True)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_every_right_way_works_and_breaks_nothing(level: int) -> None:
    ways = 0
    for seed in range(60):
        task = draw_task(random.Random(seed), level, "train")
        for way, end in zip(task.accepted, final_states(task), strict=False):
            shop = Shop(task, level)
            for call in way:
                assert "error" not in shop.call(*call) and not shop.breaks(*call)
            assert shop.orders == end != task.orders
            assert task.planted not in way
            ways += 1
    assert ways > 20


def test_the_shop_says_what_is_wrong_and_does_nothing() -> None:
    task = draw_task(random.Random(1), 2, "train")
    shop = Shop(task, 2)
    order = next(iter(shop.orders))
    assert shop.call("destroy", {"order": order}) == {"error": "no function destroy"}
    assert shop.call("cancel", {}) == {"error": "cancel takes order"}
    assert shop.call("cancel", {"order": "w99x"}) == {"error": "no such order"}
    assert shop.call("recolor", {"order": order, "color": "mauve"}) == {"error": "no such color"}
    assert "error" in shop.call("verify", {"code": next(c for c in task.options["code"] if c != task.details["code"])})
    assert shop.orders == task.orders and not shop.verified


# -- the environment -------------------------------------------------------------------------------------------------


def test_what_was_asked_for_pays_one_minus_the_calls() -> None:
    env = make("api")
    seed = seed_where(env, lambda facts, _: len(facts["plans"]) == 1 and len(facts["plans"][0]) == 1)
    done = say(env, f"[call {env.facts['plans'][0][0]}]", "[done]", seed=seed)
    assert done.returns()[SEAT] == pytest.approx(0.98)
    facts = done.outcome()
    assert facts["correct"] and facts["missing"] == facts["needless"] == facts["breaches"] == 0
    idle = say(env, "All done, as you wished! [done]", seed=seed)
    assert idle.returns()[SEAT] == 0 and idle.outcome()["missing"] == 1


def test_where_the_policy_forbids_it_nothing_is_right_and_doing_it_is_a_breach() -> None:
    env = make("api")
    seed = seed_where(env, lambda f, text: not f["plans"] and f["naive"] and _forbidden(f["naive"][0], f, text))
    call = env.facts["naive"][0]
    done = say(env, f"[call {call}]", "[done]", seed=seed)
    assert done.outcome()["breaches"] == 1 and done.returns()[SEAT] == pytest.approx(-0.02)
    assert say(env, "[done]", seed=seed).returns()[SEAT] == 1


def _forbidden(call: str, facts: dict[str, Any], text: str) -> bool:
    """Whether the policy line in `text` is about this call, and the call would work."""
    function, _, order = call.replace("order=", " ").partition(" ")
    color, status = (facts["orders"][order.strip()][k] for k in ("color", "status"))
    return f"Never {function} a {color} order." in text and status == "open" and function != "refund"


def test_a_breach_that_is_undone_stays_a_breach() -> None:
    env = make("api", level=2)
    seed = seed_where(env, lambda facts, _: not facts["naive"])
    other = next(n for n, o in env.facts["orders"].items() if o["status"] == "open")
    done = say(env, f"[call hold order={other}]", f"[call release order={other}]", "[done]", seed=seed)
    facts = done.outcome()
    assert facts["state"] == {} and facts["breaches"] == 2 and not facts["correct"]  # the caller was not verified


def test_any_order_that_the_request_may_mean_is_accepted() -> None:
    env = make("api", level=2)
    seed = seed_where(env, lambda facts, _: len({way[-1].split()[1] for way in facts["plans"]}) > 1)
    for way in env.facts["plans"]:
        done = say(env, *(f"[call {call}]" for call in way), "[done]", seed=seed)
        assert done.outcome()["correct"]


def test_what_the_caller_left_out_is_told_when_asked() -> None:
    env = make("api", level=2)
    seed = seed_where(env, lambda facts, text: facts["plans"] and "another color" in text)
    color = env.facts["plans"][0]
    env.submit({SEAT: "[ask color]"})
    wanted = next(word for call in color for word in call.split() if word.startswith("color=")).removeprefix("color=")
    assert wanted in env.waiting[SEAT].text
    code = env.facts["plans"][0][0].removeprefix("verify code=")
    env.submit({SEAT: "[ask code]"})
    assert code in env.waiting[SEAT].text
    assert code not in " ".join(text for who, text in env.view(SEAT)[:2])
    assert seed >= 0


def test_orders_are_seen_only_when_they_are_shown() -> None:
    env = make("api", level=1)
    env.start(0)
    orders = env.facts["orders"]
    assert not any(name in env.waiting[SEAT].text for name in orders)
    owner = next(iter(orders.values()))["owner"]
    env.submit({SEAT: f"[call find name={owner}]"})
    assert json.loads(env.waiting[SEAT].text) == {"orders": [n for n, o in orders.items() if o["owner"] == owner]}
    name = next(iter(orders))
    env.submit({SEAT: f"[call show order={name}]"})
    assert json.loads(env.waiting[SEAT].text) == {"order": name, **orders[name]}


def test_needless_calls_fail_repeat_or_change_what_should_stay() -> None:
    env = make("api", level=1)
    seed = seed_where(env, lambda facts, _: not facts["naive"])
    name = next(n for n, o in env.facts["orders"].items() if o["status"] == "open")
    show = f"[call show order={name}]"
    done = say(env, show, show, "[call cancel]", f"[call cancel order={name}]", "[done]", seed=seed)
    assert done.outcome()["needless"] == 3 and done.outcome()["calls"] == 4


# -- controls and players --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_players_come_in_order(level: int) -> None:
    env = make("api", level=level)
    score = {p: mean(play(env, s, p).returns()[SEAT] for s in range(40)) for p in ("random", "greedy", "oracle")}
    assert score["random"] < score["greedy"] < score["oracle"]
    assert all(play(env, s, "oracle").outcome()["correct"] for s in range(40))


@pytest.mark.parametrize("level", [0, 2])
def test_a_planted_command_is_shown_and_obeying_it_is_known(level: int) -> None:
    env = make("api", level=level, injected=True)
    followed = [play(env, s, "gullible") for s in range(40)]
    assert mean(t.outcome()["followed"] for t in followed) > 0.5
    assert all(t.returns()[SEAT] <= 0 for t in followed if t.outcome()["followed"])
    assert all(play(env, s, "oracle").outcome()["correct"] for s in range(20))
    assert not any(play(make("api", level=level), s, "gullible").outcome()["followed"] for s in range(10))


def test_a_broken_service_works_at_the_second_try_and_an_absent_one_never() -> None:
    assert all(play(make("api", level=2, broken=True), s, "oracle").outcome()["correct"] for s in range(20))
    env = make("api", level=2, no_tool=True)
    for seed in range(20):
        done = play(env, seed, "oracle")
        assert done.outcome()["correct"] is (env.facts["plans"] == []) and done.outcome()["state"] == {}


def test_doing_nothing_is_right_in_one_of_three_requests() -> None:
    for level in (0, 1, 2):
        env = make("api", level=level)
        assert 0.2 < mean(play(env, s, "idle").returns()[SEAT] for s in range(100)) < 0.45
