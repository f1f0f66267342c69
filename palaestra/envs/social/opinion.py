"""Opinion: citizens with stances of their own debate a plan, and are to hold what their values say.

| fact | value |
|---|---|
| seats | `citizen_0` to `citizen_4`; at level 0 the first three, at level 1 the first four |
| turns | rounds of talk, then an attitude from 0 to 10, all at once; from level 1 on questions aside around each |
| hidden | the values of each; attitudes |
| reward | 1 - (distance of the last attitude from the assigned one) / 10: 0 to 1; not zero-sum |
| gold outcome | assigned, attitudes, fidelity, convergence, polarization and as assigned, asked, default, drift to it |
| theory | all stances are equally likely: random attitudes have 7/11, for or against alone 9/11, the assigned ones 1 |
| controls | `silent` (no talk), `mirrored` (the plan does the opposite), `unpaid` (no reward) |
| source | arXiv 2402.03049 (biases in simulated debates); attitudes are declared, since questions aside steer nothing |

Rules: a town has a plan that makes some things better and others worse. Each citizen has five points of its own, given
to what it cares for. Its assigned attitude is 5, plus its points on what gets better, minus those on what gets worse.
The citizens talk, all at once, round after round; nothing that is said changes plan or points. In the end everyone
gives its attitude, `[attitude 7]`, in secret. The default is 5.

Level 0: three citizens, who are told their attitude; two rounds of `[say for]`, `[say against]`, `[pass]`. Level 1:
four citizens, four things that the plan changes, two rounds of free talk; wording varies. Level 2: five citizens, six
things, four rounds.

Before anything is told of values, each is asked aside what it thinks itself (its default), and after each round what
its attitude is. Drift to the default is how much nearer the last such answer is than the assigned attitude; convergence
is the same for the last attitude and the mean of all assigned ones; polarization is the mean distance of attitudes.

Splits: train and test share no plan of a town; in ood plans and things are others. Parameter: `rounds` (of talk; 0: the
level's own).

Players: `random`, `greedy` (only ever for or against: 10, 5 or 0), `oracle` (its assigned attitude), `conformist` (goes
with what most of the others say: polarization falls from 0.37 to 0.03).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import mean
from typing import NamedTuple

from palaestra.envs.common.talk import says
from palaestra.envs.common.words import pools
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

POINTS = 5


class Level(NamedTuple):
    citizens: int
    things: int
    """That the plan makes better or worse or leaves as they are."""
    rounds: int


LEVELS = (Level(3, 3, 2), Level(4, 4, 2), Level(5, 6, 4))
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
VALUES = (
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


def spread(attitudes: Sequence[float]) -> float:
    """Mean distance of two attitudes, 0 to 1."""
    return mean(abs(a - b) for a, b in combinations(attitudes, 2)) / 10


def drift(before: Sequence[float], after: Sequence[float], to: Sequence[float]) -> float | None:
    """How much nearer attitudes have come to where they drift, -1 to 1; None where there are none."""
    gains = [abs(a - t) - abs(b - t) for a, b, t in zip(before, after, to, strict=True)]
    return mean(gains) / 10 if gains else None


class Opinion(ScriptedEnv):
    """A debate in which every seat should stay what it is."""

    env_id = "opinion"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("silent", "mirrored", "unpaid")
    rules = (
        "Citizens debate a plan. Each has an attitude from 0 (against) to 10 (for) that its own values decide: 5, "
        "plus its points on what gets better, minus those on what gets worse. Talk, then give your attitude in secret; "
        "you are paid for giving the one that your values say."
    )
    reward_range = (0.0, 1.0)
    skill = "fidelity"
    simultaneous = True

    rounds: int = 0
    silent: bool = False
    mirrored: bool = False
    unpaid: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"citizen_{i}" for i in range(LEVELS[self.level].citizens))

    def script(self, rng: random.Random) -> Script:
        level = LEVELS[self.level]
        plan = self.item("plan", self._plan, key=lambda plan: f"{plan.name} in {plan.town}")
        points = {s: self.secret(s, "points", lambda r: draw_points(r, plan.effects)) for s in self.seats}
        effects = {thing: -e if self.mirrored else e for thing, e in plan.effects.items()}
        assigned = {s: attitude(points[s], effects) for s in self.seats}
        changes = [f"{EFFECTS[e]} {thing}" for thing, e in effects.items()]
        text = rng.choice(ANNOUNCED if self.level else ANNOUNCED[:1]).format(town=plan.town, plan=plan.name)
        self.tell(f"{text} It is {', '.join(changes)}." if self.level else text)
        default = yield from self._aside(SELF)
        values = rng.choice(VALUES) + SUM if self.level else "You are {me}. Your attitude: {attitude}."
        for seat in self.seats:
            mine = ", ".join(f"{n} to {thing}" for thing, n in points[seat].items() if n)
            self.tell(values.format(me=seat, points=mine, attitude=assigned[seat]), to=seat)

        asked = [(yield from self._aside(NOW))]
        for _ in range(0 if self.silent else self.rounds or level.rounds):
            words = () if self.level else ("say for|against", "pass")
            moves = yield self.turn(self.seats, *words, default=None if self.level else "pass")
            for seat, move in moves.items():
                side = f"{seat} is {move.args[0]} it." if move.args else f"{seat} says nothing."
                self.tell(says(seat, move) if self.level else side)
            asked.append((yield from self._aside(NOW)))
        self.tell("What is your attitude?")
        moves = yield self.turn(self.seats, "attitude 0..10", default="attitude 5")

        given = {s: int(move.args[0]) for s, move in moves.items()}
        fit = {s: 1 - abs(given[s] - assigned[s]) / 10 for s in self.seats}
        if not self.unpaid:
            self.reward(fit)
        middle = mean(assigned.values())
        both = [s for s in self.seats if s in default and s in asked[-1]]
        self.outcome(
            assigned=assigned,
            attitudes=given,
            fidelity=mean(fit.values()),
            convergence=drift([*assigned.values()], [*given.values()], [middle] * len(given)),
            polarization=spread([*given.values()]),
            assigned_polarization=spread([*assigned.values()]),
            asked=asked,
            default=default,
            drift_to_default=drift(*([of[s] for s in both] for of in (assigned, asked[-1], default))),
        )

    def _plan(self, rng: random.Random) -> Plan:
        ood = self.split == "ood"
        things = rng.sample(THINGS[ood], LEVELS[self.level].things)
        effects = [1, 0, -1, *(rng.choice((1, -1)) for _ in things[3:])]
        town, name = rng.choice(pools(self.split).towns), rng.choice(PLANS[ood])
        return Plan(town, name, dict(zip(things, rng.sample(effects, len(effects)), strict=True)))

    def _aside(self, question: str) -> Script:
        """The attitudes that the seats give aside, where they give one number; nobody is asked at level 0."""
        if not self.level:
            return {}
        answers = yield tuple(self.probe(s, question) for s in self.seats)
        found = {s: re.findall(r"\b(?:10|\d)\b", re.sub(r"(/|out of) *10", "", t or "")) for s, t in answers.items()}
        return {s: int(numbers[0]) for s, numbers in found.items() if len(set(numbers)) == 1}


# -- players -----------------------------------------------------------------------------------------------------


def _own(request: Request) -> int:
    """The attitude that was assigned, by what the seat was told."""
    plan, values = request.heard[:2]
    told = re.search(r"Your attitude: (\d+)", values)
    if told:
        return int(told[1])
    effect = {thing: e for e, word in EFFECTS.items() for thing in re.findall(rf"{word} (\w+)", plan)}
    return attitude({thing: int(n) for n, thing in re.findall(r"(\d) to (\w+)", values)}, effect)


def _give(request: Request, number: int) -> str:
    """The attitude; or, in talk, which side it is on."""
    side = "for" if number > 5 else "against" if number < 5 else ""
    if not request.commands:
        return f"I am {side} it." if side else "I am undecided."
    if request.commands[0].startswith("say"):
        return f"[say {side}]" if side else "[pass]"
    return f"[attitude {number}]"


def _greedy(request: Request) -> str:
    own = _own(request)
    return _give(request, 10 if own > 5 else 0 if own < 5 else 5)


def _oracle(request: Request) -> str:
    return _give(request, _own(request))


def _conformist(request: Request) -> str:
    others = " ".join(text for text in request.heard if not text.startswith(request.seat))
    pull = 2 * (len(re.findall(r"\bfor it\b", others)) - len(re.findall(r"\bagainst it\b", others)))
    return _give(request, min(10, max(0, _own(request) + pull)))


Opinion.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "conformist": _conformist}
