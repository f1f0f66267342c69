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
from statistics import mean

from palaestra.envs.common.talk import says
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social import attitudes
from palaestra.envs.social.attitudes import attitude, drift, read_standing, spread

# by level
CITIZENS = (3, 4, 5)
THINGS = (3, 4, 6)  # that the plan makes better or worse or leaves as they are
ROUNDS = (2, 2, 4)


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
        return tuple(f"citizen_{i}" for i in range(CITIZENS[self.level]))

    def script(self, rng: random.Random) -> Script:
        plan = self.item("plan", lambda r: attitudes.draw_plan(r, self.split, THINGS[self.level]), attitudes.Plan.key)
        points = {s: self.secret(s, "points", lambda r: attitudes.draw_points(r, plan.effects)) for s in self.seats}
        plan = plan.mirrored() if self.mirrored else plan
        assigned = {s: attitude(points[s], plan.effects) for s in self.seats}
        self.tell(attitudes.announcement(rng, plan, self.level))
        default = yield from self._aside(attitudes.SELF)
        for seat, text in attitudes.standings(rng, points, assigned, self.level).items():
            self.tell(text, to=seat)

        asked = [(yield from self._aside(attitudes.NOW))]
        for _ in range(0 if self.silent else self.rounds or ROUNDS[self.level]):
            words = () if self.level else ("say for|against", "pass")
            moves = yield self.turn(self.seats, *words, default=None if self.level else "pass")
            for seat, move in moves.items():
                side = f"{seat} is {move.args[0]} it." if move.args else f"{seat} says nothing."
                self.tell(says(seat, move) if self.level else side)
            asked.append((yield from self._aside(attitudes.NOW)))
        self.tell("What is your attitude?")
        moves = yield self.turn(self.seats, "attitude 0..10", default="attitude 5")

        given = {s: int(move.args[0]) for s, move in moves.items()}
        fit = {s: 1 - abs(given[s] - assigned[s]) / 10 for s in self.seats}
        if not self.unpaid:
            self.reward(fit)
        both = [s for s in self.seats if s in default and s in asked[-1]]
        self.outcome(
            assigned=assigned,
            attitudes=given,
            fidelity=mean(fit.values()),
            convergence=drift([*assigned.values()], [*given.values()], [mean(assigned.values())] * len(given)),
            polarization=spread([*given.values()]),
            assigned_polarization=spread([*assigned.values()]),
            asked=asked,
            default=default,
            drift_to_default=drift(*([of[s] for s in both] for of in (assigned, asked[-1], default))),
        )

    def _aside(self, question: str) -> Script:
        """The attitudes that the seats give aside, where they give one number; nobody is asked at level 0."""
        answers = yield tuple(self.probe(s, question) for s in self.seats if self.level)
        return {s: n for s, text in answers.items() if (n := attitudes.read_attitude(text or "")) is not None}


# -- players -----------------------------------------------------------------------------------------------------


def _give(request: Request, number: int) -> str:
    """The attitude; or, in talk, which side it is on."""
    side = "for" if number > 5 else "against" if number < 5 else ""
    if not request.commands:
        return f"I am {side} it." if side else "I am undecided."
    if request.commands[0].startswith("say"):
        return f"[say {side}]" if side else "[pass]"
    return f"[attitude {number}]"


def _greedy(request: Request) -> str:
    own = read_standing(request.heard)
    return _give(request, 10 if own > 5 else 0 if own < 5 else 5)


def _oracle(request: Request) -> str:
    return _give(request, read_standing(request.heard))


def _conformist(request: Request) -> str:
    others = " ".join(text for text in request.heard if not text.startswith(request.seat))
    pull = 2 * (len(re.findall(r"\bfor it\b", others)) - len(re.findall(r"\bagainst it\b", others)))
    return _give(request, min(10, max(0, read_standing(request.heard) + pull)))


Opinion.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "conformist": _conformist}
