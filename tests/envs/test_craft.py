"""Craft: what a thing takes, the fewest actions by search, skills, what is told and what is not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from statistics import mean
from typing import Any

import pytest

from palaestra.envs.common.search import shortest
from palaestra.envs.common.words import made_up
from palaestra.envs.embodied.craft import Craft, Thing, depths, fewest, grow, lacking, needs, plan
from palaestra.envs.transcript import Transcript

SEAT = "crafter_0"
TREE = [
    Thing("wood", raw=True),
    Thing("axe", parts=(("wood", 2),)),
    Thing("log", raw=True, tool="axe"),
    Thing("bench", parts=(("log", 1), ("wood", 1))),
    Thing("door", parts=(("log", 2),), tool="axe", place="bench"),
]
BOOK = {t.name: t for t in TREE}


def play(env: Craft, seed: int, player: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        env.submit({SEAT: env.players[player](env.waiting[SEAT])})
    return env.transcript


def say(env: Craft, *texts: str) -> str:
    """What is told after the last of the texts."""
    for text in texts:
        env.submit({SEAT: text})
    return env.waiting[SEAT].text if env.waiting else ""


# -- the arithmetic of a tree ------------------------------------------------------------------------------------


def test_what_is_lacking() -> None:
    assert lacking(BOOK["door"], Counter(), ()) == ["log", "axe", "bench"]
    assert lacking(BOOK["door"], Counter(log=2, axe=1), ["bench"]) == []
    assert lacking(BOOK["log"], Counter(wood=9), ()) == ["axe"]
    assert needs(BOOK["door"]) == "2 log, a axe in the pack, a placed bench"


def test_the_fewest_actions_by_hand() -> None:
    least = fewest(TREE, ["door"])
    assert least == {
        "get wood": 3, "craft axe": 1, "get log": 3, "craft bench": 1, "place bench": 1, "craft door": 1,
    }  # fmt: skip
    assert fewest(TREE, ["axe"]) == {"get wood": 2, "craft axe": 1}
    assert depths(TREE) == {"": -1, "wood": 0, "axe": 1, "log": 2, "bench": 3, "door": 4}


State = tuple[tuple[tuple[str, int], ...], frozenset[str], frozenset[str]]


def steps_of(tree: list[Thing], most: Counter[str]) -> Any:
    """The world as a graph of (pack, placed, made); more than `most` of a thing is never needed."""

    def steps(state: State) -> Iterator[tuple[str, State]]:
        pack, placed, made = Counter(dict(state[0])), state[1], state[2]
        for thing in tree:
            if not lacking(thing, pack, placed) and pack[thing.name] < most[thing.name]:
                after = pack.copy()
                after.subtract(dict(thing.parts))
                after[thing.name] += 1
                yield thing.name, (tuple(sorted(after.items())), placed, made | {thing.name})
            if any(other.place == thing.name for other in tree) and pack[thing.name] and thing.name not in placed:
                after = pack.copy()
                after[thing.name] -= 1
                yield f"place {thing.name}", (tuple(sorted(after.items())), placed | {thing.name}, made)

    return steps


@pytest.mark.parametrize("seed", range(12))
def test_no_search_finds_fewer_actions(seed: int) -> None:
    rng = random.Random(seed)
    tree = grow(rng, made_up(rng, 7, "train"), helpers=True)
    for wanted in ([tree[-1].name], [t.name for t in tree]):
        least = fewest(tree, wanted)
        planned = list(plan({t.name: t for t in tree}, wanted))
        assert Counter(planned) == least
        if least.total() > 14:
            continue
        most = Counter({t.name: least[f"get {t.name}"] + least[f"craft {t.name}"] for t in tree})
        done = frozenset(wanted).issubset
        found = shortest(((), frozenset(), frozenset()), steps_of(tree, most), lambda s, done=done: done(s[2]))
        assert found is not None and len(found) == least.total()


def test_a_plan_uses_what_is_at_hand() -> None:
    assert list(plan(BOOK, ["door"], Counter(axe=1, log=2), ["bench"])) == ["craft door"]
    assert list(plan(BOOK, ["door"], Counter(axe=1, log=2, bench=1))) == ["place bench", "craft door"]


# -- play --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", Craft.levels)
def test_the_oracle_needs_the_fewest_actions_and_gets_everything(level: int) -> None:
    env = Craft(level=level)
    for seed in range(4):
        done = play(env, seed, "oracle")
        facts = done.outcome()
        assert done.returns() == {SEAT: 1.0}
        assert facts["reached"] and facts["steps"] == facts["best"] and facts["useless"] == 0
        assert facts["depth"] == facts["depth_best"]


@pytest.mark.parametrize("level", Craft.levels)
def test_players_are_in_order_and_what_is_told_is_enough(level: int) -> None:
    env = Craft(level=level)
    score = {p: mean(play(env, s, p).returns()[SEAT] for s in range(12)) for p in ("random", "greedy", "planner")}
    assert score["random"] < score["greedy"] < score["planner"] == 1.0


def test_progress_counts_only_what_the_goal_needs() -> None:
    env = Craft()
    env.start(2)  # bubuf from memof, memof from mozek; zobaf serves nothing
    for _ in range(6):
        say(env, "[get zobaf]")
    assert env.over and env.transcript.returns() == {SEAT: 0.0}
    env.start(2)
    for _ in range(6):
        say(env, "[get mozek]")
    assert env.transcript.returns() == {SEAT: pytest.approx(1 / 3 / 2)}
    assert env.transcript.outcome()["progress"] == pytest.approx(1 / 3)


def test_a_failed_try_costs_a_step_and_uses_nothing_up() -> None:
    env = Craft()
    env.start(2)
    say(env, "[get mozek]")
    told = say(env, "[craft bubuf]")
    assert told == "You cannot craft bubuf. bubuf takes 1 memof. You have 1 mozek. Steps left: 4."
    assert say(env, "I have made a bubuf. The task is done.", "[craft nothing]").endswith("1 mozek. Steps left: 3.")


def test_recipes_are_hidden_from_level_two_on_unless_the_control_tells_them() -> None:
    for params, told in (({"level": 1}, True), ({"level": 2}, False), ({"level": 2, "oracle": True}, True)):
        env = Craft(**params)
        env.start(0)
        assert (" in the pack" in env.waiting[SEAT].told[0]) is told
    plain, open_ = Craft(level=3), Craft(level=3, oracle=True)
    plain.start(5), open_.start(5)
    assert plain.facts == open_.facts
    assert plain.waiting[SEAT].told[1] == open_.waiting[SEAT].told[1]  # the same steps are granted


# -- skills ------------------------------------------------------------------------------------------------------


def raws(env: Craft) -> list[str]:
    return env.waiting[SEAT].commands[0].partition(" ")[2].split("|")


def steps_left(env: Craft) -> int:
    return int(env.waiting[SEAT].told[-1].rpartition(" ")[2][:-1])


def test_a_skill_saves_replies_and_no_steps() -> None:
    env = Craft(level=2)
    env.start(0)
    first, before = raws(env)[0], steps_left(env)
    assert f"You know how to pair: get {first}; get {first}." in say(env, f"[define pair: get {first}; get {first}]")
    assert steps_left(env) == before
    say(env, "[define four: do pair; do pair]", "[do four]")
    assert steps_left(env) == before - 4 and f"You have 4 {first}." in env.waiting[SEAT].text
    while env.waiting:
        say(env, "[wait]")
    facts = env.transcript.outcome()
    assert (facts["skills"], facts["skill_uses"], facts["replies"]) == (2, 1, 3 + before - 4)
    assert facts["steps"] == before


def test_a_skill_stops_where_it_fails() -> None:
    env = Craft(level=2)
    env.start(0)
    first, goal = raws(env)[0], env.facts["wanted"][0]
    before = steps_left(env)
    say(env, f"[define rash: get {first}; craft {goal}; get {first}; get {first}]", "[do rash]")
    assert steps_left(env) == before - 2 and f"You have 1 {first}." in env.waiting[SEAT].text


def test_what_defines_no_skill_costs_a_step() -> None:
    env = Craft(level=2)
    env.start(0)
    first = raws(env)[0]
    say(env, f"[define a: get {first}]")
    long = "; ".join([f"get {first}"] * 21)
    for bad in ("pair", "pair: fly", f"a: get {first}", "b: do b", f"b|c: get {first}", f"b: {long}", "b:"):
        before = steps_left(env)
        assert "That defines no new skill." in say(env, f"[define {bad}]")
        assert steps_left(env) == before - 1
    for i in range(7):
        say(env, f"[define b{'x' * i}: get {first}]")
    assert "That defines no new skill." in say(env, f"[define ninth: get {first}]")  # the reply count is bounded


# -- names -------------------------------------------------------------------------------------------------------


def test_names_are_new_in_every_episode_and_of_other_syllables_in_ood() -> None:
    usual = {n for seed in range(50) for n in made_up(random.Random(seed), 60, "train")}
    other = {n for seed in range(50) for n in made_up(random.Random(seed), 60, "ood")}
    assert not {n[:2] for n in usual} & {n[:2] for n in other}
    env = Craft()
    openings = set()
    for seed in range(30):
        env.start(seed)
        openings.add(env.waiting[SEAT].text)
    assert len(openings) >= 29


def test_words_are_distinct() -> None:
    names = made_up(random.Random(0), 200, "train")
    assert len(set(names)) == 200


def test_a_few_words_are_always_the_same() -> None:
    drawn = {n for seed in range(50) for n in made_up(random.Random(seed), 5, "train", few=12)}
    assert 10 <= len(drawn) <= 13
