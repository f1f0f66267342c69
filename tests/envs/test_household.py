"""Household: what is possible where, when each kind of task is done, the shortest way, slips, and what talk does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.search import shortest
from palaestra.envs.common.words import USUAL
from palaestra.envs.conformance import QUICK, check
from palaestra.envs.embodied import house
from palaestra.envs.embodied.house import SIZES, House, Place, State, Task, Thing, after, possible
from palaestra.envs.embodied.household import SEAT, Household
from palaestra.envs.transcript import Transcript

HOUSE = House((Place("table", "table"), Place("fridge", "fridge", True), Place("sink", "sink")), "table")


def play(env: Household, seed: int, name: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({SEAT: env.players[name](env.waiting[SEAT])})
    return env.transcript


def follow(state: State, *moves: str) -> State:
    for move in moves:
        assert move in possible(HOUSE, state), f"{move} is not possible: {possible(HOUSE, state)}"
        state = after(state, move)
    return state


# -- moves -----------------------------------------------------------------------------------------------------------


def test_a_closed_place_shows_and_takes_nothing() -> None:
    start = State("fridge", (Thing("egg", "egg", "fridge"),))
    assert possible(HOUSE, start) == ["go to table", "go to sink", "open fridge"]
    opened = after(start, "open fridge")
    assert possible(HOUSE, opened) == ["go to table", "go to sink", "close fridge", "take egg from fridge"]
    shut = follow(opened, "take egg from fridge", "close fridge")
    assert "put egg in fridge" not in possible(HOUSE, shut)


def test_one_thing_is_carried() -> None:
    start = State("table", (Thing("egg 1", "egg", "table"), Thing("egg 2", "egg", "table")))
    held = follow(start, "take egg 2 from table")
    assert held.held and held.held.name == "egg 2"
    assert not any(move.startswith("take") for move in possible(HOUSE, held))
    assert follow(held, "put egg 2 on table") == start


def test_a_thing_is_as_it_was_treated_last() -> None:
    held = State("sink", (Thing("egg", "egg", house.HAND),))
    assert follow(held, "clean egg with sink").held == Thing("egg", "egg", house.HAND, "clean")
    cold = follow(held, "clean egg with sink", "go to fridge", "cool egg with fridge")
    assert cold.held and cold.held.state == "cold"


@pytest.mark.parametrize(
    ("task", "moves"),
    [
        (Task("place", "egg", "sink"), ["go to table", "take egg 1 from table", "go to sink", "put egg 1 in sink"]),
        (Task("light", "egg", "sink"), ["go to table", "take egg 1 from table", "use lamp"]),
        (
            Task("cool", "egg", "table"),
            ["go to table", "take egg 1 from table", "go to fridge", "cool egg 1 with fridge", "go to table"]
            + ["put egg 1 on table"],
        ),
        (
            Task("two", "egg", "sink"),
            ["go to table", "take egg 1 from table", "go to sink", "put egg 1 in sink", "go to table"]
            + ["take egg 2 from table", "go to sink", "put egg 2 in sink"],
        ),
    ],
)
def test_a_task_is_done_by_its_last_move_and_not_before(task: Task, moves: list[str]) -> None:
    state = State("", (Thing("egg 1", "egg", "table"), Thing("egg 2", "egg", "table"), Thing("cup", "cup", "table")))
    for move in moves:
        assert not house.done(HOUSE, task, state)
        state = follow(state, move)
    assert house.done(HOUSE, task, state)


def test_another_thing_does_not_do_the_task() -> None:
    cup = State("table", (Thing("cup", "cup", house.HAND), Thing("egg", "egg", "fridge")))
    assert not house.done(HOUSE, Task("light", "egg", ""), follow(cup, "use lamp"))
    assert not house.done(HOUSE, Task("place", "egg", "table"), follow(cup, "put cup on table"))


# -- the shortest way ------------------------------------------------------------------------------------------------


def test_the_oracle_knows_the_shortest_way() -> None:
    size = SIZES[2]._replace(open=2, closed=1, things=3)
    for seed in range(15):
        home, start, task = house.draw(random.Random(seed), size, False, USUAL.objects[1:4], USUAL.foods[:3])

        def steps(state: State, home: House = home) -> Iterator[tuple[str, State]]:
            for move in possible(home, state):
                yield move, after(state, move)

        everything = shortest(start, steps, lambda s, h=home, t=task: house.done(h, t, s), limit=20_000)  # type: ignore[misc]
        way = house.guide(home, task).way(start)
        assert way is not None and (everything is None or len(way) == len(everything)), (seed, task)


@pytest.mark.parametrize("level", Household.levels)
def test_every_task_can_be_done_and_is_not_done_yet(level: int) -> None:
    seen = set()
    for seed in range(40):
        done = play(Household(level=level), seed, "oracle")
        facts = done.outcome()
        assert facts["success"] and facts["path_ratio"] == 1 and facts["moves"] >= 3
        assert done.returns() == {SEAT: 1.0}
        env = Household.replay(done, until=0)
        seen.add(env.facts["task"][0])
    assert seen == set(SIZES[level].tasks)


def test_players_are_in_order() -> None:
    for level in (0, 3):
        score = {
            name: mean(play(Household(level=level), s, name).returns()[SEAT] for s in range(40))
            for name in Household.players
        }
        assert score["random"] < score["greedy"] <= score["oracle"] == 1


# -- what is told and counted ----------------------------------------------------------------------------------------


def test_what_lies_somewhere_is_told_only_there() -> None:
    env = Household(level=1)
    env.start(4)
    text = env.waiting[SEAT].text
    other, where = next((name, where) for name, _, where, _ in env.facts["things"] if name not in text)
    env.submit({SEAT: f"[go to {where}]"})
    if f"[open {where}]" in env.waiting[SEAT].legal_actions:
        assert other not in env.waiting[SEAT].text
        env.submit({SEAT: f"[open {where}]"})
    assert other in env.waiting[SEAT].text


def test_words_do_no_task() -> None:
    env = Household()
    env.start(0)
    while env.waiting:
        env.submit({SEAT: "I have put it where it belongs. The task is done. [done]"})
    facts = {"success": False, "moves": 12, "path_ratio": 0.0, "places_searched": 0, "slips": 0}
    assert env.transcript.outcome() == facts and env.transcript.returns() == {SEAT: 0.0}


def test_what_one_does_may_fail_by_the_chance_that_is_told() -> None:
    env = Household(level=3, affordance=True, moves=400)
    tries: dict[float, list[bool]] = {}
    for seed in range(12):
        env.start(seed)
        odds = dict(part.rsplit(" ", 1) for part in env.waiting[SEAT].told[1].split(": ")[1].split(". ")[0].split(", "))
        rng = random.Random(seed)
        while env.waiting:
            move = rng.choice(env.waiting[SEAT].legal_actions)
            env.submit({SEAT: move})
            name = next((p for p in odds if move.endswith((f" {p}]",))), "")
            if env.waiting and name and not move.startswith("[go"):
                tries.setdefault(float(odds[name].rstrip("%")) / 100, []).append(
                    not env.waiting[SEAT].text.startswith("It does not work")
                )
    for chance, worked in tries.items():
        assert abs(mean(worked) - chance) < 4 * (chance * (1 - chance) / len(worked)) ** 0.5 + 1e-9


def test_a_house_is_the_same_with_and_without_slips() -> None:
    for seed in range(5):
        houses: list[Any] = []
        for affordance in (False, True):
            env = Household(level=2, affordance=affordance)
            env.start(seed)
            houses.append((env.facts["house"], env.facts["things"], env.waiting[SEAT].told[0]))
        assert houses[0] == houses[1]


def test_with_slips_every_check_holds() -> None:
    effort = QUICK._replace(bound_seeds=20, texts=100)
    only = ("repeat", "fork", "texts", "legal", "rewards", "outcome", "players")
    report = check(Household, params={"affordance": True}, seeds=[1], effort=effort, only=only)
    assert report.ok, report.table()
