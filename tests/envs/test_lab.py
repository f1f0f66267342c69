"""Lab: states by degrees, points by hand, the fewest actions by a search over all moves, and what guessing earns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from statistics import mean

import msgspec
import pytest

from palaestra.envs.common.search import shortest
from palaestra.envs.embodied.lab import KINDS, Bench, Lab, Sample, Task, act, first, goals, plan
from palaestra.envs.transcript import Transcript
from palaestra.errors import EnvError

SEAT = "chemist_0"
WAX = Sample("wax", melts=50, boils=90, conducts=False)
TIN = Sample("tin", melts=70, boils=150, conducts=True)
GLUE = Sample("glue", melts=30, boils=70, conducts=True, made=True)


def play(env: Lab, seed: int, player: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({SEAT: env.players[player](env.waiting[SEAT])})
    return env.transcript


def task_of(env: Lab) -> Task:
    return msgspec.convert(env.facts["task"], Task)


def after(task: Task, *actions: str) -> Bench:
    bench = first(task)
    for action in actions:
        bench = act(task, bench, action)
    return bench


def points(task: Task, *actions: str) -> int:
    """Points that were earned at any time, as the environment counts them."""
    bench, earned = first(task), {n for n, (_, ok) in enumerate(goals(task, first(task))) if ok}
    for action in actions:
        bench = act(task, bench, action)
        earned |= {n for n, (_, ok) in enumerate(goals(task, bench)) if ok}
    return sum(goals(task, bench)[n][0] for n in earned)


# -- the bench ---------------------------------------------------------------------------------------------------


def test_solid_liquid_gas() -> None:
    assert [WAX.state(d) for d in (-60, 40, 50, 80, 90, 160)] == ["solid", "solid", "liquid", "liquid", "gas", "gas"]


def test_only_a_running_device_warms_or_cools_and_only_what_is_there() -> None:
    task = Task("melt", 0, (WAX, TIN))
    assert after(task, "put wax stove", "wait").degrees == (20, 20)
    assert after(task, "put wax stove", "turn stove", "wait", "wait").degrees == (60, 20)
    assert after(task, "put wax freezer", "turn freezer", "put tin stove", "turn stove", "wait").degrees == (0, 40)
    assert after(task, "turn stove", "turn stove", "put wax stove", "wait").degrees == (20, 20)
    assert after(task, "put wax stove", "turn stove", *["wait"] * 20).degrees == (160, 20)


def test_a_mix_uses_up_its_parts_and_a_wrong_one_spoils_the_work() -> None:
    task = Task("mix", 2, (WAX, TIN, GLUE), (("wax", "tin", "glue"),))
    assert first(task).at == ("table", "table", "")
    assert after(task, "mix tin wax").at == ("", "", "table")
    assert after(Task("mix", 2, (WAX, TIN, GLUE), (("wax", "ash", "glue"),)), "mix tin wax").end == "spoiled"


# -- points ------------------------------------------------------------------------------------------------------


def test_points_of_a_change_by_hand() -> None:
    task = Task("melt", 0, (WAX,))
    assert points(task, "put wax stove") == 20
    assert points(task, "turn stove", "put wax stove", "put wax table") == 50  # earned is earned
    assert points(task, "put wax freezer", "turn freezer") == 0
    start = ("put wax stove", "turn stove", "wait")
    assert points(task, *start, "done") == 50  # 40 degrees: solid
    assert points(task, *start, "wait", "done") == 100
    assert points(task, *start, *["wait"] * 3, "done") == 50  # 100 degrees: a gas


def test_points_of_a_measurement_by_hand() -> None:
    task = Task("measure", 0, (WAX,), line=40)  # it melts at 50: yes
    start = ("put wax stove", "turn stove")
    assert points(task, "box wax red") == 0  # right, but nobody has looked
    assert points(task, *start, "read wax", "box wax red") == 0
    assert points(task, *start, "wait", "box wax red") == 20
    assert points(task, *start, "wait", "read wax") == 60  # solid at 40
    assert points(task, *start, "wait", "wait", "read wax", "box wax red") == 20  # liquid at 60 decides nothing
    assert points(task, *start, "wait", "read wax", "box wax red") == 100
    assert points(task, *start, "wait", "read wax", "box wax blue") == 60
    assert points(task._replace(line=60), *start, "wait", "wait", "read wax", "box wax blue") == 100


def test_points_of_a_circuit_by_hand() -> None:
    loop = ("connect battery lamp", "connect wax lamp", "connect battery wax")
    task = Task("test", 0, (WAX, TIN))
    assert points(task, "box wax blue") == 0
    assert points(task, *loop[:2], "box wax blue") == 0
    assert points(task, *loop, "box wax blue") == 100
    assert points(task, *loop, "box wax red") == 60
    assert points(task, *loop, "box tin blue") == 60  # another substance
    assert points(task._replace(boxes=("blue", "red")), *loop, "box wax red") == 100


def test_points_of_what_must_be_mixed_first_by_hand() -> None:
    task = Task("test", 2, (WAX, TIN, GLUE), (("wax", "tin", "glue"),))
    loop = ("connect battery lamp", "connect glue lamp", "connect battery glue")
    assert [p for p, _ in goals(task, first(task))] == [40, 36, 24]
    assert points(task, "mix wax tin", *loop, "box glue red") == 100
    assert points(task, "mix wax tin", "box glue red") == 40


@pytest.mark.parametrize("params", [{"level": n} for n in Lab.levels] + [{"level": 1, "split": "ood"}])
def test_points_sum_to_a_hundred(params: dict[str, int]) -> None:
    env = Lab(**params)
    for seed in range(20):
        done = play(env, seed, "oracle")
        facts = done.outcome()
        assert facts["points"] == 100 and facts["success"] and facts["steps"] == facts["best"]
        assert done.returns() == {SEAT: 1.0}


# -- the fewest actions ------------------------------------------------------------------------------------------


def every_move(task: Task, bench: Bench) -> Iterator[tuple[str, Bench]]:
    """All that can be done at the bench, useful or not; wires among all."""
    if bench.end:
        return
    there = [s.name for s, at in zip(task.samples, bench.at, strict=True) if at]
    moves = [f"put {x} {place}" for x in there for place in ("table", "stove", "freezer")]
    moves += [f"read {x}" for x in there] + [f"box {x} {c}" for x in there for c in ("red", "blue")]
    moves += [f"mix {a} {b}" for a, b in itertools.permutations(there, 2)]
    moves += [f"connect {a} {b}" for a, b in itertools.combinations(("battery", "lamp", *there), 2)]
    for move in (*moves, "turn stove", "turn freezer", "wait", "done"):
        yield move, act(task, bench, move)


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_move_makes_the_work_shorter(kind: str) -> None:
    env = Lab(kind=kind)
    for seed in range(4):
        env.start(seed)
        task = task_of(env)
        best = plan(task, first(task))
        found = shortest(first(task), lambda b, t=task: every_move(t, b), lambda b, t=task: goals(t, b)[-1][1])
        assert found is not None and len(found) == len(best)


def test_what_was_overheated_can_be_cooled() -> None:
    task = Task("melt", 0, (WAX,))
    bench = after(task, "put wax stove", "turn stove", *["wait"] * 5)
    assert plan(task, bench) == ["turn freezer", "put wax freezer", "wait", "wait", "done"]


# -- play --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", Lab.levels)
def test_players_are_in_order(level: int) -> None:
    env = Lab(level=level)
    score = {p: mean(play(env, s, p).returns()[SEAT] for s in range(40)) for p in ("random", "greedy", "oracle")}
    assert score["random"] < score["greedy"] < score["oracle"] == 1.0


@pytest.mark.parametrize("kind", ["measure", "test"])
def test_a_verdict_at_once_earns_nothing(kind: str) -> None:
    env = Lab(level=1, kind=kind)
    for seed, color in itertools.product(range(5), ("red", "blue")):
        env.start(seed)
        x = env.facts["task"][2][env.facts["task"][1]][0]
        env.submit({SEAT: f"I have measured it and I am sure. [box {x} {color}]"})
        assert env.over and env.transcript.returns() == {SEAT: 0.0}


def test_only_readings_tell_degrees_at_level_two() -> None:
    for level, told in ((1, True), (2, False)):
        env = Lab(level=level, kind="melt")
        env.start(0)
        for move in plan(task_of(env), first(task_of(env)))[:-1]:
            env.submit({SEAT: f"[{move}]"})
        assert (" degrees, liquid." in env.waiting[SEAT].text) is told
        assert ("melts at" in env.waiting[SEAT].view[0][1]) is told


def test_the_control_tells_what_experiments_would_show() -> None:
    plain, told = Lab(level=1, kind="test"), Lab(level=1, kind="test", oracle=True)
    for seed in range(5):
        plain.start(seed), told.start(seed)
        assert plain.facts == told.facts
        assert any(w in told.waiting[SEAT].told[0] for w in (" conducts.", "does not conduct."))
        assert " conducts." not in plain.waiting[SEAT].told[0]


def test_kinds_of_ood_are_held_out() -> None:
    seen: dict[str, set[str]] = {}
    for split in Lab.splits:
        env = Lab(level=1, split=split)
        for seed in range(60):
            env.start(seed)
            kind, recipes, boxes = (env.facts["task"][i] for i in (0, 3, 6))
            seen.setdefault(split, set()).add(f"{kind} {len(recipes)} {boxes[0]}")
    assert not seen["ood"] & (seen["train"] | seen["test"])


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(EnvError, match="kind"):
        Lab(kind="explode")


def test_nonsense_waits() -> None:
    env = Lab(kind="melt")
    env.start(0)
    before = env.facts["bench"]
    env.submit({SEAT: "It is already liquid."})
    env.submit({SEAT: "[put fire stove]"})
    assert env.waiting[SEAT].text.startswith("You wait.") and env.facts["bench"] == before
