"""Public goods: gifts to a common pot are multiplied and shared by all, and who gives nothing shares too.

| fact | value |
|---|---|
| seats | `member_0` to `member_3` |
| turns | one a round for every seat, all at once; level 1: a round of talk first; level 2: punishment after each |
| hidden | the gifts of others until all have given; level 0 tells only their sum |
| reward | what is earned over the endowments: who neither gives nor gets has 1; -1 to 2.8; not zero-sum |
| gold outcome | gifts by round, pot, welfare, equality, reciprocity, punishment, antisocial, pledges, promises broken |
| theory | with factor 1.6: all give nothing 1.0, all give all 1.6 (the optimum), the only one that gives nothing 2.2 |
| controls | `joint` (all are paid the mean), `silent` (no talk), `anonymous` (only the sum of gifts is told) |
| source | E. Fehr and S. Gächter, Altruistic punishment in humans (2002), with one group and no fee for reports |

Rules: each round everyone has the same number of points and gives some of them to the pot, `[give 3]`. The pot times a
factor, which is above 1 and below the number of members, is shared by all alike. What is not given is kept. So every
gift costs its giver something, whatever the others do, and is a gain for all together.

Level 0: 4 rounds, 2 to 6 points. Level 1: 10 rounds, 15 to 30 points; first everybody speaks once to all, and may
promise `[pledge 10]`: to give no less than 10 in any round; the promise binds nobody and is measured; gifts are told by
name; wording varies. Level 2: after each round everyone may punish others, `[punish member_1 2 member_3 5]`, in the
order of their names. A point costs the punisher 1 and the punished 3, who can lose no more than the round's earnings,
and is not told by whom. Punishment is antisocial where it hits one who gave no less than the punisher.

Splits: an instance is the points of a round and the factor, from 1.2 to 2.4; train and test never share one; in ood
there are 7 or 8 points at level 0, else 31 to 40. Parameters: `members`, `rounds` (0: the level's own), `factor` (0:
drawn).

Players: `random`, `greedy` (gives nothing, punishes nobody; also `free_rider`), `oracle` (gives all, punishes nobody;
also `altruist`), `conditional` (first gives all, then as much as the others did on average), `punisher` (gives all, and
spends 2 on everyone that gave less than half of that). With all seats alike, welfare is 1 for greedy, and the factor
for all others but `random`.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from palaestra.envs.common.measures import equality, reciprocity
from palaestra.envs.common.talk import pledge_round
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

HIT = 3  # what a point of punishment takes; it costs 1


class Level(NamedTuple):
    rounds: int
    points: range
    ood: range


LEVELS = (Level(4, range(2, 7), range(7, 9)), *[Level(10, range(15, 31), range(31, 41))] * 2)
OPENINGS = (
    "You are {me}, one of {n}. {points} points a round; the pot is multiplied by {factor}.",
    "You are {me}, one of {n} members of a club. Every round each of you receives {points} points and may give any of "
    "them to a common pot. The pot is multiplied by {factor} and shared out equally; what you do not give is yours.",
    "Your name is {me}. You and your neighbors, {n} in all, get {points} points each in every round. Points given to "
    "the village chest grow by a factor of {factor} and come back to all {n} in equal parts. You keep the others.",
    "{me}, that is you, shares a fund with others; there are {n} of you. Out of {points} new points a round you decide "
    "how many go into the fund. Each receives an equal part of {factor} times the fund, given or not.",
)


def earned(gifts: Sequence[int], points: int, factor: float) -> list[float]:
    """What each has after a round: the points not given, and an equal part of the multiplied pot."""
    return [points - gift + factor * sum(gifts) / len(gifts) for gift in gifts]


def punished(have: Sequence[float], spent: Sequence[Sequence[int]]) -> list[float]:
    """What is left after punishment, `spent[i][j]` being the points that i spends on j."""
    received = [sum(row[j] for row in spent) for j in range(len(have))]
    return [max(0.0, h - HIT * hits) - sum(row) for h, hits, row in zip(have, received, spent, strict=True)]


def against_givers(gifts: Sequence[int], spent: Sequence[Sequence[int]]) -> int:
    """Points of punishment that hit those who gave no less than the punisher."""
    rows = zip(gifts, spent, strict=True)
    return sum(n for mine, row in rows for theirs, n in zip(gifts, row, strict=True) if theirs >= mine)


class PublicGoods(ScriptedEnv):
    """Gifts to a common pot, at a cost to the giver and for the good of all."""

    env_id = "public_goods"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("joint", "silent", "anonymous")
    rules = (
        "Each round every member has the same number of points and gives some of them to a common pot, all at once. "
        "The pot is multiplied and shared out equally, whoever gave; what is not given is kept. Everyone wants to have "
        "many points over all rounds together. Where punishing is allowed, a point spent takes three from another."
    )
    reward_range = (-1.0, 2.8)
    skill = "welfare"
    simultaneous = True

    members: int = 4
    rounds: int = 0
    factor: float = 0.0
    joint: bool = False
    silent: bool = False
    anonymous: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"member_{i}" for i in range(self.members))

    def script(self, rng: random.Random) -> Script:
        rounds = self.rounds or LEVELS[self.level].rounds
        points, drawn = self.item("pot", self._pot)
        factor = self.factor or drawn
        opening = rng.choice(OPENINGS[1:]) if self.level else OPENINGS[0]
        for seat in self.seats:
            text = opening.format(me=seat, points=points, n=self.members, factor=factor)
            self.tell(f"{text} Round 1 of {rounds}.", to=seat)
        pledges: dict[str, int] = {}
        if self.level and not self.silent:
            pledges = yield from pledge_round(self, points, "to give at least {} a round")

        total = dict.fromkeys(self.seats, 0.0)
        history: list[list[int]] = []
        spent = antisocial = broken = 0
        for turn in range(1, rounds + 1):
            moves = yield self.turn(self.seats, f"give 0..{points}", default="give 0")
            gifts = {s: int(moves[s].args[0]) for s in self.seats}
            history.append(list(gifts.values()))
            broken += sum(gifts[s] < pledge for s, pledge in pledges.items())
            have = earned(history[-1], points, factor)
            after = f"Round {turn + 1} of {rounds}." if turn < rounds else "That was the last round."
            names = ", ".join(f"{s} {n}" for s, n in gifts.items())
            names = f" {names}." if self.level and not self.anonymous else ""
            for seat, mine in zip(self.seats, have, strict=True):
                line = f"You gave {gifts[seat]}, all gave {sum(gifts.values())}.{names} You earned {mine:.4g}."
                self.tell(line if self.level == 2 else f"{line} {after}", to=seat)
            if self.level == 2:
                rows = yield from self._punish()
                have = punished(have, rows)
                for i, seat in enumerate(self.seats):
                    lost = HIT * sum(row[i] for row in rows)
                    self.tell(f"You are punished by {lost}, and paid {sum(rows[i])}. {after}", to=seat)
                spent += sum(map(sum, rows))
                antisocial += against_givers(history[-1], rows)
            for seat, amount in zip(self.seats, have, strict=True):
                total[seat] += amount

        welfare = sum(total.values()) / (self.members * rounds * points)
        self.reward({s: welfare if self.joint else x / (rounds * points) for s, x in total.items()})
        self.outcome(
            gifts=history,
            pot=sum(map(sum, history)) / (self.members * rounds * points),
            welfare=welfare,
            equality=equality([max(0.0, x) for x in total.values()]),
            reciprocity=reciprocity(history),
            punishment=spent,
            antisocial=antisocial / spent if spent else None,
            pledges=pledges,
            promises_broken=broken / (rounds * len(pledges)) if pledges else None,
        )

    def _pot(self, rng: random.Random) -> tuple[int, float]:
        """(points of a round, factor)."""
        level = LEVELS[self.level]
        return rng.choice(level.ood if self.split == "ood" else level.points), rng.randint(12, 24) / 10

    def _punish(self) -> Script:
        """Everyone punishes at once; returns what each spends on each of the seats, in their order."""
        turns = []
        for seat in self.seats:
            others = [s for s in self.seats if s != seat]
            some = [c for k in range(1, len(others) + 1) for c in itertools.combinations(others, k)]
            commands = [f"punish {' '.join(f'{s} 1..5' for s in hit)}" for hit in some]
            turns.append(self.turn(seat, *commands, "pass", default="pass"))
        moves = yield tuple(turns)
        hits = {s: dict(zip(m.args[::2], map(int, m.args[1::2]), strict=True)) for s, m in moves.items()}
        return [[hits[s].get(other, 0) for other in self.seats] for s in self.seats]


# -- players -----------------------------------------------------------------------------------------------------


def _most(request: Request) -> int:
    """The points of a round, which can all be given."""
    return int(request.commands[0].rpartition("..")[2])


def _phase(request: Request) -> str:
    """ "give", "punish" or "pledge"."""
    return request.commands[0].split()[0]


def _greedy(request: Request) -> str:
    return "[give 0]" if _phase(request) == "give" else "[pass]"


def _oracle(request: Request) -> str:
    phase = _phase(request)
    return "[pass]" if phase == "punish" else f"[{phase} {_most(request)}]"


def _conditional(request: Request) -> str:
    rounds = re.findall(r"You gave (\d+), all gave (\d+)\.", " ".join(request.heard))
    if _phase(request) != "give" or not rounds:
        return _oracle(request)
    mine, all_ = map(int, rounds[-1])
    return f"[give {round((all_ - mine) / (len(request.env.seats) - 1))}]"


def _punisher(request: Request) -> str:
    if _phase(request) != "punish":
        return _oracle(request)
    gifts = {seat: int(n) for seat, n in re.findall(r"(member_\d+) (\d+)", request.heard[-1])}
    low = [s for s, n in gifts.items() if 2 * n < gifts[request.seat]]
    return f"[punish {' '.join(f'{s} 2' for s in low)}]" if low else "[pass]"


PublicGoods.players = {
    "random": play_random,
    "greedy": _greedy,
    "free_rider": _greedy,
    "oracle": _oracle,
    "altruist": _oracle,
    "conditional": _conditional,
    "punisher": _punisher,
}
