"""What townspeople think of a plan, by what they care for: plans, points and attitudes, told, read and measured.

A plan makes some things better and others worse. Who cares for things, in points, has an attitude from 0 (against) to
10 (for): 5, plus its points on what gets better, minus those on what gets worse.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import NamedTuple

from palaestra.envs.common.words import pools

POINTS = 5
PLANS = {
    False: ("a night bus", "a toll bridge", "a market hall", "a ring road", "a new harbor", "a car-free center"),
    True: ("a wind farm", "a casino", "a cable car", "a brewery", "an airfield", "a quarry"),
}
THINGS = {
    False: ("parks", "jobs", "schools", "safety", "shops", "health", "rents", "air"),
    True: ("music", "sport", "farming", "tourism", "crafts", "fishing", "theaters", "libraries"),
}
EFFECTS = {1: "better for", 0: "the same for", -1: "worse for"}
ANNOUNCED = ("{town} plans {plan}.", "The council of {town} wants {plan}.", "There is to be {plan} in {town}.")
STANDINGS = (
    "You are {me}. Out of five points you give {points}.",
    "Your name is {me}. What matters to you, in points: {points}.",
    "{me}, that is you, cares for some things more than for others: {points}.",
)
SUM = " Your attitude is 5, plus your points on what gets better, minus your points on what gets worse."
SELF = "Aside, and without any role: what do you yourself think of the plan, from 0 (against) to 10 (for)?"
NOW = "Aside: what is your attitude to the plan now, from 0 (against) to 10 (for)?"


class Plan(NamedTuple):
    town: str
    name: str
    effects: dict[str, int]
    """Thing -> 1, 0 or -1."""

    def key(self) -> str:
        return f"{self.name} in {self.town}"

    def mirrored(self) -> Plan:
        """The plan that does the opposite."""
        return self._replace(effects={thing: -effect for thing, effect in self.effects.items()})


def draw_plan(rng: random.Random, split: str, count: int) -> Plan:
    """A plan that does something to so many things: one at least gets better, and one worse."""
    ood = split == "ood"
    things = rng.sample(THINGS[ood], count)
    effects = [1, 0, -1, *(rng.choice((1, -1)) for _ in things[3:])]
    town, name = rng.choice(pools(split).towns), rng.choice(PLANS[ood])
    return Plan(town, name, dict(zip(things, rng.sample(effects, len(effects)), strict=True)))


def attitude(points: Mapping[str, int], effects: Mapping[str, int]) -> int:
    """What points say of a plan: from 0 to 10."""
    return 5 + sum(n * effects[thing] for thing, n in points.items())


def draw_points(rng: random.Random, effects: Mapping[str, int]) -> dict[str, int]:
    """Points on all things, such that all attitudes are equally likely."""
    lean = rng.randint(-POINTS, POINTS)
    against = rng.randint(0, (POINTS - abs(lean)) // 2)
    number = {1: against + max(lean, 0), -1: against + max(-lean, 0)}
    number[0] = POINTS - number[1] - number[-1]
    points = dict.fromkeys(effects, 0)
    for effect, count in number.items():
        for thing in rng.choices([t for t, e in effects.items() if e == effect], k=count):
            points[thing] += 1
    return points


def announcement(rng: random.Random, plan: Plan, level: int) -> str:
    """How a plan is told; from level 1 on with what it does."""
    text = rng.choice(ANNOUNCED if level else ANNOUNCED[:1]).format(town=plan.town, plan=plan.name)
    changes = [f"{EFFECTS[effect]} {thing}" for thing, effect in plan.effects.items()]
    return f"{text} It is {', '.join(changes)}." if level else text


def standings(
    rng: random.Random, points: Mapping[str, Mapping[str, int]], assigned: Mapping[str, int], level: int
) -> dict[str, str]:
    """How each seat is told where it stands: at level 0 its attitude, from level 1 on the points that decide it."""
    wording = rng.choice(STANDINGS) + SUM if level else "You are {me}. Your attitude: {attitude}."
    given = {s: ", ".join(f"{n} to {thing}" for thing, n in of.items() if n) for s, of in points.items()}
    return {s: wording.format(me=s, points=given[s], attitude=assigned[s]) for s in points}


def read_standing(heard: Sequence[str]) -> int:
    """The attitude that was assigned to a seat, by the plan and the standing that it was told."""
    plan, told = heard[:2]
    if found := re.search(r"Your attitude: (\d+)", told):
        return int(found[1])
    effects = {thing: e for e, word in EFFECTS.items() for thing in re.findall(rf"{word} (\w+)", plan)}
    return attitude({thing: int(n) for n, thing in re.findall(r"(\d) to (\w+)", told)}, effects)


def read_attitude(answer: str) -> int | None:
    """The attitude that an answer in words gives; None where it gives none, or several."""
    numbers = re.findall(r"\b(?:10|\d)\b", re.sub(r"(/|out of) *10", "", answer))
    return int(numbers[0]) if len(set(numbers)) == 1 else None


def spread(attitudes: Sequence[float]) -> float:
    """Mean distance of two attitudes, 0 to 1."""
    return mean(abs(a - b) for a, b in combinations(attitudes, 2)) / 10


def drift(before: Sequence[float], after: Sequence[float], to: Sequence[float]) -> float | None:
    """How much nearer attitudes have come to where they drift, -1 to 1; None where there are none."""
    gains = [abs(a - t) - abs(b - t) for a, b, t in zip(before, after, to, strict=True)]
    return mean(gains) / 10 if gains else None
