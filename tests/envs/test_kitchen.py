"""Kitchen: what hands, board, pot and plate do, who gives way, the joint plan, and what does not pay."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from statistics import mean

import pytest

from palaestra.envs.common.search import shortest
from palaestra.envs.conformance import QUICK, check
from palaestra.envs.embodied.cooking import STATION, Order, Work, plan, possible, turn
from palaestra.envs.embodied.kitchen import Kitchen
from palaestra.envs.embodied.menus import HOME, reword
from palaestra.envs.transcript import Transcript

SHELVES = ("egg", "fish", "melon")
SALAD: tuple[Order, ...] = (("chopped egg", "chopped fish"),)
SOUP: tuple[Order, ...] = (("cooked egg",),)


def play(env: Kitchen, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        who = {seat: cast[n % len(cast)] for n, seat in enumerate(env.seats)}
        env.submit({seat: env.players[who[seat]](request) for seat, request in env.waiting.items()})
    return env.transcript


def follow(work: Work, orders: tuple[Order, ...], *turns: str) -> tuple[Work, dict[str, int]]:
    """What is under way after turns of one cook or, joined by `|`, of several, and all that was counted."""
    counts: dict[str, int] = {}
    for moves in turns:
        work, counted, _ = turn(work, moves.split("|"), orders)
        counts = {k: counts.get(k, 0) + counted.get(k, 0) for k in {*counts, *counted}}
    return work, counts


# -- one cook --------------------------------------------------------------------------------------------------------


def test_a_salad_takes_seven_turns_alone() -> None:
    salad = ("get egg", "chop", "plate", "get fish", "chop", "plate", "serve")
    work, counts = follow(Work(("",)), SALAD, *salad)
    assert work.served == 1 and counts == {"chops": 2, "dishes": 1}
    assert len(plan(SALAD, SHELVES, False).way(Work(("",))) or ()) == 7


def test_the_pot_takes_two_turns_and_then_holds_it() -> None:
    work, _ = follow(Work(("",)), SOUP, "get egg", "chop", "cook")
    assert "fetch" not in possible(work, 0, SHELVES, True)
    work, _ = follow(work, SOUP, "wait")
    assert "fetch" in possible(work, 0, SHELVES, True)
    work, counts = follow(work, SOUP, "fetch", "plate", "serve")
    assert work.served == 1 and counts == {"dishes": 1}


def test_only_what_is_chopped_goes_into_an_empty_pot() -> None:
    assert "cook" not in possible(Work(("egg",)), 0, SHELVES, True)
    assert "cook" in possible(Work(("chopped egg",)), 0, SHELVES, True)
    assert "cook" not in possible(Work(("chopped egg",), pot="cooked fish"), 0, SHELVES, True)
    assert "cook" not in possible(Work(("chopped egg",)), 0, SHELVES, False)


@pytest.mark.parametrize("plate", [("chopped egg",), ("chopped egg", "fish"), ("chopped egg",) * 2 + ("chopped fish",)])
def test_a_dish_that_is_not_exactly_what_is_ordered_is_wrong(plate: tuple[str, ...]) -> None:
    work, counts = follow(Work(("",), plate=plate), SALAD, "serve")
    assert work.served == 0 and work.plate == () and counts == {"wrong": 1, "wasted": len(plate)}


def test_chopping_and_throwing_away_earns_once() -> None:
    _, counts = follow(Work(("",)), SALAD, *["get egg", "chop", "bin"] * 3, "get melon", "chop")
    assert counts == {"chops": 1, "wasted": 3}
    assert follow(Work(("",)), SALAD * 2, *["get egg", "chop", "bin"] * 3)[1]["chops"] == 2  # two dishes name it


# -- two cooks -------------------------------------------------------------------------------------------------------


def test_of_two_at_the_board_one_stands_idle_by_turns() -> None:
    for first in (0, 1):
        after = turn(Work(("egg", "fish")), ("chop", "chop"), SALAD, first)
        assert after.blocked == [1 - first] and after.counts == {"chops": 1, "idle": 1, "blocked": 1}
        assert after.work.hands[first].startswith("chopped")


def test_shelves_are_wide_enough_for_all() -> None:
    assert turn(Work(("", "")), ("get egg", "get egg"), SALAD).work.hands == ("egg", "egg")


def test_two_make_a_salad_in_five_turns() -> None:
    assert len(plan(SALAD, SHELVES, False).way(Work(("", ""))) or ()) == 5


@pytest.mark.parametrize(
    ("orders", "cooks"), [(SALAD, 2), (SOUP, 2), (SOUP + SALAD, 1), ((SALAD[0], ("chopped fish",)), 2)]
)
def test_the_plan_is_the_shortest_by_plain_search(orders: tuple[Order, ...], cooks: int) -> None:
    shelves, stove = ("egg", "fish"), "cooked" in str(orders)

    def steps(work: Work) -> Iterator[tuple[str, Work]]:
        if work.served < len(orders) and len(work.plate) < 4:
            for moves in itertools.product(*(possible(work, c, shelves, stove) for c in range(cooks))):
                stations = [STATION[m] for m in moves if m in STATION]
                if len(stations) == len(set(stations)):
                    yield "|".join(moves), turn(work, moves, orders).work._replace(chops=())

    start = Work(("",) * cooks)
    everything = shortest(start, steps, lambda work: work.served == len(orders))
    assert everything and len(plan(orders, shelves, stove).way(start) or ()) == len(everything)


@pytest.mark.parametrize("level", Kitchen.levels)
def test_oracles_keep_to_the_plan_and_serve_everything(level: int) -> None:
    for seed in range(10):
        facts = play(Kitchen(level=level), seed, "oracle").outcome()
        assert facts["all_served"] and facts["pace"] == 1 and facts["wrong"] == facts["blocked"] == 0


def test_an_oracle_beside_a_cook_that_spoils_the_work_still_serves_more() -> None:
    def score(*cast: str) -> float:
        return mean(play(Kitchen(level=1), s, *cast).outcome()["score"] for s in range(30))

    assert score("oracle", "random") > score("random", "random") + 0.5


def test_players_are_in_order() -> None:
    for cooks in (1, 2):
        facts = {
            name: [play(Kitchen(level=1, cooks=cooks), s, name).outcome() for s in range(25)]
            for name in Kitchen.players
        }
        score = {name: mean(f["score"] for f in found) for name, found in facts.items()}
        assert score["random"] < score["greedy"] <= score["oracle"] + 1e-9
    assert mean(f["pace"] for f in facts["greedy"]) < 0.9 < mean(f["pace"] for f in facts["oracle"])


# -- pay and talk ----------------------------------------------------------------------------------------------------


def test_all_are_paid_the_same_by_what_was_done() -> None:
    done = play(Kitchen(level=1), 5, "greedy", "random")
    facts, paid = done.outcome(), set(done.returns().values())
    chops = (facts["score"] - facts["dishes"] + 0.1 * facts["wrong"]) / 0.2
    assert paid == {facts["score"]} and 0 <= chops <= 4


@pytest.mark.parametrize("silent", [False, True])
def test_speech_is_heard_by_the_other_and_serves_nothing(silent: bool) -> None:
    env = Kitchen(level=1, silent=silent)
    env.start(0)
    claim = "I have served everything.\nThat dish was right."
    env.submit({"cook_0": f"{claim} [wait]", "cook_1": "[wait]"})
    assert ("served everything" in env.waiting["cook_1"].text) is not silent
    assert "served everything" not in env.waiting["cook_0"].text
    assert env.waiting["cook_1"].text.count("\n") == 0
    while env.waiting:
        env.submit(dict.fromkeys(env.waiting, claim))
    facts = env.transcript.outcome()
    assert facts["dishes"] == 0 and facts["idle"] == 1 and facts["score"] == pytest.approx(-0.03)


def test_at_home_the_same_work_has_other_words() -> None:
    for seed in range(3):
        here, there = (play(Kitchen(level=2, home=home), seed, "greedy") for home in (False, True))
        assert here.outcome() == there.outcome()
        said = [reply for _, reply in there.answers()]
        assert said == [reword(reply, HOME) for _, reply in here.answers()]
        told = " ".join(text for _, text in there.view("cook_0")[1:])
        assert not any(f" {word} " in told for word in ("chopped", "cooked", "Plate", "Pot", "Order"))


def test_variants_hold_every_check() -> None:
    class Small(Kitchen):
        env_id = "kitchen"
        levels = (0, 1)

    effort = QUICK._replace(bound_seeds=8, texts=60)
    only = ("repeat", "fork", "texts", "legal", "rewards", "outcome", "players")
    for params in ({"cooks": 1}, {"home": True}):
        report = check(Small, params=params, seeds=[1], effort=effort, only=only)
        assert report.ok, report.table()


def test_shelves_differ_between_splits() -> None:
    rng = random.Random(0)
    foods: dict[str, set[str]] = {}
    for split in ("train", "test", "ood"):
        env = Kitchen(split=split)
        for _ in range(30):
            env.start(rng.randrange(10_000))
            foods.setdefault(split, set()).update(env.facts["menu"][0])
    assert foods["train"] == foods["test"] and not foods["train"] & foods["ood"]
