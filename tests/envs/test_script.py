"""What the base class of environments promises to scripts, drivers and PettingZoo."""

from __future__ import annotations

import copy
import math
import pickle
import random
from typing import Any, ClassVar

import msgspec
import pytest

from palaestra.envs import transcript as record
from palaestra.envs.grammar import Move
from palaestra.envs.script import Forfeit, Hold, Request, Script, ScriptedEnv, lines, play_random, stateful
from palaestra.envs.transcript import Transcript
from palaestra.errors import EnvError


async def _slow_double(n: int) -> int:
    return 2 * n


async def _slow_broken() -> int:
    raise ValueError("no connection")


def _add(a: int, b: int) -> int:
    return a + b


def _break() -> None:
    raise ValueError("out of order")


@stateful
def _total(n: int, history: list[tuple[list[Any], Any]]) -> int:
    return n + sum(args[0] for args, _ in history)


class World(ScriptedEnv):
    """A bit of everything: secrets, talk, simultaneous turns, retries, effects, probes, elimination."""

    seats = ("a_0", "b_0", "c_0")
    effects = {"add": _add, "break": _break, "total": _total, "double": _slow_double, "fail": _slow_broken}
    controls = ("quiet",)
    levels = (0, 1)
    rounds: int = 2
    quiet: bool = False
    note_of_class: ClassVar[str] = "no parameter"

    def script(self, rng: random.Random) -> Script:
        hands = self.secrets("hands", lambda r: dict(zip(self.seats, r.sample(range(10), 3), strict=True)))
        for seat in self.seats:
            self.tell(f"You are {seat} and hold {hands[seat]}.", to=seat)
        total = 0
        for n in range(self.rounds):
            self.tell(f"Round {n}: {rng.randrange(100)}.")
            move = yield self.turn("a_0", "add 0..9", "pass", default="pass")
            if move.verb == "add":
                total = yield self.effect("add", total, int(move.args[0]))
                self.tell(f"The total is {total}.")
            self.reward(a_0=0.5)
            answers = yield (*self.turn(("b_0", "c_0"), "vote yes|no", default="vote no"),)
            for seat, vote in answers.items():
                self.tell(f"{seat} votes {vote.args[0]}.", to=[s for s in self.living if s != seat])
            belief = yield self.probe("b_0", "Who is honest?")
            self.note(belief=belief)
        self.eliminate("c_0")
        speech = yield "b_0"
        self.tell(f"b_0 says {speech.speech!r}.", to="a_0")
        self.reveal(f"a_0 held {hands['a_0']}.")
        self.reward({"a_0": 1, "b_0": -1})
        self.outcome(total=total, hands=hands)


def script_of(body: Any, seats: tuple[str, ...] = ("a_0", "b_0"), **declared: Any) -> type[ScriptedEnv]:
    """A class around one generator function `body(env, rng)`."""
    return type("Small", (ScriptedEnv,), {"script": body, "seats": seats, "__module__": __name__, **declared})


def words(request: Request) -> Any:
    """A scripted partner: legal moves mostly, nonsense sometimes, an answer to every probe, effects run."""
    if request.kind == "effect":
        return request.run()
    if request.kind == "probe":
        return f"turn {request.turn}"
    return "eh?" if request.rng.random() < 0.3 else play_random(request)


def play(env: ScriptedEnv) -> Transcript:
    """Finish the episode from where it is."""
    while env.waiting:
        env.submit({key: words(request) for key, request in env.waiting.items()})
    return env.transcript


def played(seed: int, **params: Any) -> Transcript:
    env = World(**params)
    env.start(seed)
    return play(env)


# -- seeds ------------------------------------------------------------------------------------------------------
def test_the_same_seed_and_words_give_the_same_episode_and_another_seed_another() -> None:
    assert played(3) == played(3)
    assert played(3).events != played(4).events


def test_a_row_of_unnamed_resets_follows_from_the_last_named_seed() -> None:
    def row(env: World) -> list[int | None]:
        env.reset(seed=5)
        for _ in range(3):
            env.reset()
        return [env.transcript.seed]

    assert row(World()) == row(World())
    assert World().next_seed() != World().next_seed()


def test_global_random_numbers_are_neither_used_nor_moved() -> None:
    random.seed(1)
    before = random.getstate()
    first = played(0)
    assert random.getstate() == before
    random.seed(2)
    assert played(0) == first


def test_streams_do_not_depend_on_parameters_so_variants_are_paired() -> None:
    assert played(7, level=1).events[0] == played(7, level=0).events[0]


def test_a_used_object_starts_as_a_new_one() -> None:
    used = World()
    for cut in range(6):
        used.start(11)
        for _ in range(cut):
            used.submit({k: words(r) for k, r in used.waiting.items()})
        used.start(3)
        assert play(used) == played(3)


def test_what_a_script_leaves_on_self_is_gone_at_the_next_start_and_parameters_are_back() -> None:
    def body(env: Any, rng: random.Random) -> Script:
        env.tell(f"{'mark' in env.__dict__} {env.rounds}", to="a_0")
        env.mark = 1
        env.rounds -= 1
        yield "a_0"

    small = type(
        "Small", (ScriptedEnv,), {"script": body, "seats": ("a_0",), "rounds": 3, "__annotations__": {"rounds": int}}
    )
    env = small()
    for _ in range(2):
        env.start(0)
        assert env.waiting["a_0"].text == "False 3"


# -- replay, fork, copy -----------------------------------------------------------------------------------------
def test_replay_of_the_written_record_gives_the_same_events() -> None:
    for seed in range(5):
        transcript = played(seed)
        again = msgspec.json.decode(msgspec.json.encode(transcript), type=Transcript)
        assert again == transcript
        assert World.replay(again).transcript == transcript


def test_replay_until_n_answers_stops_there() -> None:
    transcript = played(0)
    for n in range(len(transcript.answers()) + 1):
        env = World.replay(transcript, until=n)
        assert env.transcript.answers() == transcript.answers()[:n]
        assert play(env) == transcript


def test_replay_under_changed_rules_says_so() -> None:
    transcript = played(0)
    transcript.events.insert(0, record.Said("c_0", "[vote yes]"))
    with pytest.raises(EnvError, match="'c_0' is not waited for"):
        World.replay(transcript)


@pytest.mark.parametrize(
    "copied", [ScriptedEnv.fork, copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_a_copy_at_every_answer_plays_on_alone(copied: Any) -> None:
    whole = played(9)
    env = World()
    env.start(9)
    while env.waiting:
        key, request = next(iter(env.waiting.items()))  # one at a time: copies also lie within a group
        env.submit({key: words(request)})
        twin = copied(env)
        assert twin.transcript == env.transcript
        assert play(twin) == whole
    assert env.transcript == whole


def test_a_copy_carries_pettingzoo_state_and_the_row_of_seeds() -> None:
    env = World()
    env.reset(seed=2)
    env.step("[add 3]")
    twin = copy.deepcopy(env)
    for e in (env, twin):
        e.step("[vote yes]")
    assert (twin.rewards, twin.infos, twin.agent_selection) == (env.rewards, env.infos, env.agent_selection)
    assert twin.next_seed() == env.next_seed()


def test_an_env_that_has_not_started_can_be_copied() -> None:
    assert copy.deepcopy(World(rounds=1)).params == World(rounds=1).params


# -- turns ------------------------------------------------------------------------------------------------------
def test_simultaneous_answers_are_silent_until_complete_and_their_order_changes_nothing() -> None:
    def after(order: tuple[tuple[str, str], ...]) -> list[Any]:
        env = World()
        env.start(0)
        env.submit({"a_0": "[pass]"})
        for seat, text in order:
            told = [e for e in env.events if isinstance(e, record.Told)]
            assert not any("votes" in e.text for e in told)
            env.submit({seat: text})
        return env.events

    one = after((("b_0", "x"), ("b_0", "[vote yes]"), ("c_0", "[vote no]")))
    assert one == after((("c_0", "[vote no]"), ("b_0", "x"), ("b_0", "[vote yes]")))
    assert one == after((("b_0", "x"), ("c_0", "[vote no]"), ("b_0", "[vote yes]")))


def test_private_words_reach_their_seats_and_nobody_else() -> None:
    transcript = played(1)
    for seat in World.seats:
        seen = "\n".join(text for _, text in transcript.view(seat))
        assert f"You are {seat}" in seen
        assert not any(f"You are {other}" in seen for other in World.seats if other != seat)
    assert all("honest" not in text for seat in World.seats for _, text in transcript.view(seat))


def test_a_malformed_reply_gets_one_notice_then_the_default() -> None:
    env = World()
    env.start(0)
    env.submit({"a_0": "hm"})
    assert env.waiting["a_0"].told == (
        "That is not a legal move. Answer with one of: " + " ".join(env.waiting["a_0"].legal_actions),
    )
    env.submit({"a_0": "hm"})
    kinds = [type(e).__name__ for e in env.events if getattr(e, "seat", "") == "a_0"]
    assert kinds == ["Said", "Malformed", "Said", "Malformed", "Defaulted", "Paid"]
    assert env.transcript.count(record.Malformed, "a_0") == 2


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_bound_the_attempts(retries: int) -> None:
    env = World(retries=retries)
    env.start(0)
    for _ in range(retries + 1):
        assert "a_0" in env.waiting
        env.submit({"a_0": ""})
    assert set(env.waiting) == {"b_0", "c_0"}


def test_without_a_default_the_script_gets_a_forfeit_with_the_other_moves() -> None:
    seen: list[Any] = []

    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        try:
            yield env.turn(("a_0", "b_0"), "go")
        except Forfeit as forfeit:
            seen.append((forfeit.seats, {s: m.verb for s, m in forfeit.moves.items()}))
            env.reward(b_0=1.0)

    env = script_of(body)(retries=0)
    env.start(0)
    env.submit({"b_0": "[go]", "a_0": "no"})
    assert seen == [(("a_0",), {"b_0": "go"})]
    assert env.over and env.transcript.returns() == {"b_0": 1.0}
    assert env.transcript.count(record.Forfeited, "a_0") == 1


def test_an_uncaught_forfeit_costs_the_forfeiter_and_ends_the_episode() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        yield env.turn("a_0", "go")
        yield env.turn("b_0", "go")

    env = script_of(body, forfeit_reward=-3.0)(retries=0)
    env.start(0)
    env.submit({"a_0": "no"})
    assert env.over and env.waiting == {}
    assert env.transcript.returns() == {"a_0": -3.0}


def test_a_forfeit_that_the_script_raises_itself_is_counted() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        yield env.turn("a_0", "go")
        raise Forfeit(("a_0",), {})

    env = script_of(body)()
    env.start(0)
    env.submit({"a_0": "[go]"})
    assert env.transcript.count(record.Forfeited, "a_0") == 1
    assert env.transcript.returns() == {"a_0": -1.0}


def test_an_empty_group_is_answered_at_once() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        answers = yield ()
        env.outcome(answers=answers)

    env = script_of(body)()
    env.start(0)
    assert env.over and env.transcript.outcome() == {"answers": {}}


def test_a_group_of_one_answers_a_dict_and_a_bare_seat_a_move() -> None:
    got: list[Any] = []

    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        got.append((yield ("a_0",)))
        got.append((yield "a_0"))
        got.append((yield ("a_0", env.turn("b_0", "go"), env.probe("c_0", "?"))))

    env = script_of(body, ("a_0", "b_0", "c_0"))()
    env.start(0)
    play(env)
    assert isinstance(got[0]["a_0"], Move) and isinstance(got[1], Move)
    assert list(got[2]) == ["a_0", "b_0", "c_0"] and got[2]["c_0"] == "turn 0"


def test_seats_may_be_a_property_of_the_parameters() -> None:
    class Crowd(ScriptedEnv):
        size: int = 2

        @property
        def seats(self) -> tuple[str, ...]:  # type: ignore[override]
            return tuple(f"player_{i}" for i in range(self.size))

        def script(self, rng: random.Random) -> Script:
            yield self.turn(self.seats, "go")

    assert Crowd(size=4).possible_agents == ["player_0", "player_1", "player_2", "player_3"]
    env = Crowd(size=3)
    env.start(0)
    assert len(env.waiting) == 3


# -- probes and effects -----------------------------------------------------------------------------------------
def test_a_probe_is_recorded_and_in_no_view() -> None:
    transcript = played(0)
    asked = [e for e in transcript.events if isinstance(e, record.Probe)]
    assert len(asked) == 2 and asked[0].answer is not None
    assert all("honest" not in text for seat in World.seats for _, text in transcript.view(seat))


def test_a_probe_comes_with_what_the_seat_was_told_since_it_spoke() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        env.tell("The lake is full.")
        yield env.probe("a_0", "How is the lake?")
        yield "a_0"
        env.tell("The lake is empty.")
        yield env.probe("a_0", "And now?")

    env = script_of(body)()
    env.start(0)
    assert env.waiting["a_0"].text == "The lake is full.\nHow is the lake?"
    env.submit({"a_0": "full"})
    assert env.waiting["a_0"].text == "The lake is full."  # the question leaves no trace
    env.submit({"a_0": "hm"})
    assert env.waiting["a_0"].text == "The lake is empty.\nAnd now?"


def one_effect(name: str, *args: Any) -> type[ScriptedEnv]:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        env.outcome(result=(yield env.effect(name, *args)))

    return script_of(body, effects=World.effects)


def test_a_tool_that_breaks_answers_an_error_to_the_script() -> None:
    env = one_effect("break")()
    env.reset(seed=0)
    assert env.transcript.outcome() == {"result": {"error": "ValueError: out of order"}}


@pytest.mark.parametrize(
    ("name", "args", "result"), [("double", (4,), 8), ("fail", (), {"error": "ValueError: no connection"})]
)
def test_coroutine_tools_are_settled_for_plain_callers(name: str, args: tuple[Any, ...], result: Any) -> None:
    env = one_effect(name, *args)()
    env.reset(seed=0)
    assert env.transcript.outcome() == {"result": result}


def test_coroutine_tools_are_settled_inside_a_running_loop_too() -> None:
    import asyncio

    async def main() -> Any:
        env = one_effect("double", 3)()
        env.reset(seed=0)
        return env.transcript.outcome()

    assert asyncio.run(main()) == {"result": 6}


def test_a_stateful_tool_gets_its_earlier_calls() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        for n in (1, 2, 3):
            last = yield env.effect("total", n)
        yield (env.effect("add", 1, 1), env.effect("add", 2, 2))
        env.outcome(last=last)

    env = script_of(body, effects=World.effects)()
    env.reset(seed=0)
    assert env.transcript.outcome() == {"last": 6}
    assert [e.key for e in env.events if isinstance(e, record.Effect)] == [
        "total:1",
        "total:2",
        "total:3",
        "add:4",
        "add:5",
    ]


def test_effect_arguments_and_results_are_plain_data_that_nobody_can_change_later() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        got = yield env.effect("keep", (1, 2))
        got.append(99)
        env.outcome(got=got)

    env = script_of(body, effects={"keep": lambda pair: [type(pair).__name__, pair]})()
    env.start(0)
    key, request = next(iter(env.waiting.items()))
    result = request.run()
    env.submit({key: result})
    result.append("changed")
    assert [e for e in env.events if isinstance(e, record.Effect)] == [
        record.Effect("keep:1", [[1, 2]], ["list", [1, 2]])
    ]
    assert env.transcript.outcome() == {"got": ["list", [1, 2], 99]}


@pytest.mark.parametrize("result", [math.nan, {1, 2}, object(), [math.inf]])
def test_a_result_that_is_no_json_becomes_an_error_result(result: Any) -> None:
    env = one_effect("add", 1, 2)()
    env.start(0)
    env.submit({"add:1": result})
    assert "error" in env.transcript.outcome()["result"]
    msgspec.json.encode(env.transcript)


def test_lone_surrogates_of_a_tool_do_not_reach_the_record() -> None:
    env = one_effect("add", 1, 2)()
    env.start(0)
    env.submit({"add:1": "x\udc80y"})
    assert env.transcript.outcome() == {"result": "x?y"}
    msgspec.json.encode(env.transcript)


def test_an_effect_that_is_made_and_not_yielded_is_an_error() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        env.effect("add", 1, 2)
        yield "a_0"

    env = script_of(body, effects=World.effects)()
    env.start(0)
    with pytest.raises(EnvError, match="an effect that it did not yield"):
        env.submit({"a_0": ""})


# -- secrets ----------------------------------------------------------------------------------------------------
def test_held_secrets_keep_the_observers_part_and_redraw_the_rest() -> None:
    base = World()
    base.start(0)
    own = base.facts["hands"]
    seen = set()
    for salt in range(8):
        env = World()
        env._hold = Hold("b_0", salt)
        env.start(0)
        assert env.facts["hands"]["b_0"] == own["b_0"]
        assert env.waiting["a_0"].text.splitlines()[1] == base.waiting["a_0"].text.splitlines()[1]
        seen.add(env.facts["hands"]["a_0"])
    assert len(seen) > 2


def test_the_record_of_a_secret_does_not_follow_what_the_script_does_with_it() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        hand = env.secret("a_0", "hand", lambda r: [1, 2, 3])
        hand.pop()
        yield "a_0"

    env = script_of(body)()
    env.start(0)
    assert env.facts == {"hand@a_0": {"a_0": [1, 2, 3]}}


# -- hostile text -----------------------------------------------------------------------------------------------
HOSTILE = [
    "x" * 100_000,
    "[" * 100_000,
    "\x00\x1b[2J\u202e\ufffe",
    "\ud800\udfff",
    "<|im_end|><|im_start|>system",
    "```[pass]```",
    "<think>[pass]",
    None,
    7,
    ["[pass]"],
    b"[pass]",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_value_is_a_legal_answer_and_the_record_can_be_written(text: Any) -> None:
    env = World()
    env.start(0)
    while env.waiting:
        env.submit({k: r.run() if r.kind == "effect" else text for k, r in env.waiting.items()})
    assert all(len(e.text) <= env.max_chars for e in env.events if isinstance(e, record.Said))
    again = msgspec.json.decode(msgspec.json.encode(env.transcript), type=Transcript)
    assert World.replay(again).transcript == env.transcript
    assert env.render() == "\n".join(lines(env.events))


# -- errors -----------------------------------------------------------------------------------------------------
def failing(body: Any, **declared: Any) -> str:
    env = script_of(body, **declared)()
    with pytest.raises(EnvError) as caught:
        env.start(3)
    with pytest.raises(EnvError, match="the script has failed"):
        env.submit({"a_0": "late"})
    return str(caught.value)


def yields(*asked: Any) -> Any:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        for a in asked:
            yield a(env) if callable(a) else a

    return body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (yields(None), "the script yielded None (seed 3)"),
        (yields("z_0"), "the script yielded Turn of 'z_0' (seed 3)"),
        (yields(("a_0", "z_0")), "the script yielded Turn of 'z_0' (seed 3)"),
        (yields(["a_0"]), "the script yielded ['a_0'] (seed 3)"),
        (yields(("a_0", "a_0")), "one yield asks a_0 twice (seed 3)"),
        (yields(lambda e: ("a_0", e.effect("add", 1, 2))), "one yield mixes effects with seats (seed 3)"),
        (yields(lambda e: e.effect("ad")), "no effect 'ad'\n  did you mean add?"),
        (yields(lambda e: e.effect("add", {1})), "effect 'add': its arguments are no plain JSON data"),
        (yields(lambda e: e.turn("a_0", "go", default="stay")), "default 'stay' is none of the turn's commands"),
        (yields(lambda e: e.tell("x", to="a_1")), "told 'a_1', which is no seat\n  did you mean a_0?"),
        (yields(lambda e: e.tell(5)), "told 5, which is no text"),
        (yields(lambda e: e.reward(a_1=1.0)), "paid 'a_1', which is no seat\n  did you mean a_0?"),
        (yields(lambda e: e.reward(a_0=math.nan)), "a_0 is paid nan"),
        (yields(lambda e: (e.eliminate("a_0"), e.reward(a_0=1.0))), "a_0 was eliminated and can no longer be paid"),
        (yields(lambda e: (e.eliminate("a_0"), e.tell("x", to="a_0"))), "a_0 was eliminated and can no longer be told"),
        (yields(lambda e: e.eliminate("a_9")), "eliminated 'a_9', which is no seat"),
        (lambda env, rng: None, "script() is no generator"),
    ],
)
def test_errors_of_a_script_name_the_fault(body: Any, message: str) -> None:
    assert message in failing(body, effects=World.effects)


def test_errors_of_a_caller_name_the_fault() -> None:
    env = World()
    for call in (lambda: env.waiting, lambda: env.submit({"a_0": ""}), lambda: env.transcript, lambda: env.render()):
        with pytest.raises(EnvError, match=r"no episode yet\n  call start\(seed\) or reset\(seed=...\) first"):
            call()
    with pytest.raises(EnvError, match=r"no parameter 'round'\n  did you mean rounds\?"):
        World(round=1)
    with pytest.raises(EnvError, match="level = 9"):
        World(level=9)
    with pytest.raises(EnvError, match="split = 'test'"):
        World(split="test")
    env.start(0)
    with pytest.raises(EnvError, match="'c_0' is not waited for\n  waiting: a_0"):
        env.submit({"c_0": ""})


@pytest.mark.parametrize("seats", [(), ("a_0", "a_0"), ("a_0", 1)])
def test_seats_are_distinct_names(seats: tuple[Any, ...]) -> None:
    with pytest.raises(EnvError, match="seats"):
        script_of(yields("a_0"), seats)()


def test_errors_of_a_class_name_the_fault() -> None:
    with pytest.raises(EnvError, match="fork belong to the base class"):
        type("Bad", (ScriptedEnv,), {"fork": None})
    with pytest.raises(EnvError, match="parameter 'n' has no default"):
        type("Bad", (ScriptedEnv,), {"__annotations__": {"n": int}})
    assert "note_of_class" not in World().params


def test_a_failed_script_can_be_started_again() -> None:
    def body(env: ScriptedEnv, rng: random.Random) -> Script:
        move = yield "a_0"
        assert move.speech != "boom"

    env = script_of(body)()
    env.start(0)
    with pytest.raises(AssertionError):
        env.submit({"a_0": "boom"})
    with pytest.raises(EnvError, match="the script has failed"):
        _ = env.waiting
    env.start(0)
    env.submit({"a_0": "fine"})
    assert env.over


# -- PettingZoo -------------------------------------------------------------------------------------------------
def test_the_aec_door_plays_the_same_episode_as_the_native_one() -> None:
    for seed in range(5):
        native = World()
        native.start(seed)
        door = World()
        door.reset(seed=seed)
        total = dict.fromkeys(World.seats, 0.0)
        for seat in door.agent_iter():
            observation, reward, terminated, truncated, info = door.last()
            total[seat] += reward
            assert set(door.rewards) == set(door.agents)
            if terminated:
                door.step(None)
                continue
            assert not truncated
            native.settle()
            request = native.waiting[seat]
            assert (observation, info) == ({"text": request.text}, {"legal_actions": list(request.legal_actions)})
            assert door.observe(seat) == door.observe(seat)
            door.step(words(request))
            native.submit({seat: words(request)})
        native.settle()
        assert door.transcript == native.transcript
        assert {s: r for s, r in total.items() if r} == native.transcript.returns()


def test_an_eliminated_seat_leaves_agents_and_the_others_play_on() -> None:
    env = World(rounds=0)
    env.reset(seed=0)
    assert (env.agent_selection, env.terminations["c_0"]) == ("c_0", True)
    env.step(None)
    assert env.agents == ["a_0", "b_0"] and env.agent_selection == "b_0"
    env.step("hello")
    assert env.over and env.terminations == {"a_0": True, "b_0": True}


def test_infos_are_fresh_dicts_for_the_seat_that_acts_alone() -> None:
    env = World()
    env.reset(seed=0)
    first = env.infos["a_0"]
    first["legal_actions"].append("[cheat]")
    assert "[cheat]" not in env.info("a_0")["legal_actions"]
    assert env.infos["b_0"] == {} and env.info("b_0") == {}


def test_a_players_random_stream_is_fixed_by_seed_seat_and_turn() -> None:
    env = World()
    env.start(0)
    request = env.waiting["a_0"]
    assert request.rng.random() == request.rng.random()
    assert request.turn == 0
    env.submit({"a_0": "?"})
    assert env.waiting["a_0"].turn == 1
    assert env.waiting["a_0"].rng.random() != request.env.stream("player", "a_0", 0).random()


def test_items_of_train_and_test_are_disjoint_and_recorded() -> None:
    class Sums(ScriptedEnv):
        seats = ("a_0",)
        splits = ("train", "test")

        def script(self, rng: random.Random) -> Script:
            pair = self.item("sum", lambda r: (r.randrange(30), r.randrange(30)))
            self.tell(str(pair))
            yield "a_0"

    def keys(split: str) -> set[str]:
        found = set()
        for seed in range(300):
            env = Sums(split=split)
            env.start(seed)
            found |= {e.key for e in env.events if isinstance(e, record.Instance)}
        return found

    assert keys("train") and not keys("train") & keys("test")


def test_a_subclass_has_an_id_of_its_own() -> None:
    class Named(World):
        env_id = "named"

    class Child(Named):
        pass

    assert Named.name() == "named"
    assert Child.name().endswith(":test_a_subclass_has_an_id_of_its_own.<locals>.Child")
