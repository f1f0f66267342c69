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

import random
import re

from palaestra.envs.common.measures import share
from palaestra.envs.common.players import most, verb
from palaestra.envs.common.talk import by_name, pledge_round
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social.pot import OPENINGS, Pot, draw_pot, punishments


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
        rounds = self.rounds or (10 if self.level else 4)
        points, drawn = self.item("pot", lambda r: draw_pot(r, self.level, self.split))
        factor = self.factor or drawn
        opening = f"{rng.choice(OPENINGS[1:]) if self.level else OPENINGS[0]} Round 1 of {rounds}."
        for seat in self.seats:
            self.tell(opening.format(me=seat, points=points, n=self.members, factor=factor), to=seat)
        talks = self.level and not self.silent
        pledges = (yield from pledge_round(self, points, "to give at least {} a round")) if talks else {}

        pot, broken = Pot(self.seats, points, factor), list[bool]()
        for turn in range(1, rounds + 1):
            moves = yield self.turn(self.seats, f"give 0..{points}", default="give 0")
            gifts = {s: int(moves[s].args[0]) for s in self.seats}
            broken += [gifts[s] < pledge for s, pledge in pledges.items()]
            after = f"Round {turn + 1} of {rounds}." if turn < rounds else "That was the last round."
            names = by_name(gifts) if self.level and not self.anonymous else ""
            for seat, mine in pot.give(gifts).items():
                line = f"You gave {gifts[seat]}, all gave {sum(gifts.values())}.{names} You earned {mine:.4g}."
                self.tell(line if self.level == 2 else f"{line} {after}", to=seat)
            if self.level == 2:
                hits = yield from self._punish()
                for seat, lost in pot.punish(hits).items():
                    self.tell(f"You are punished by {lost}, and paid {sum(hits[seat].values())}. {after}", to=seat)

        self.reward({s: pot.welfare() if self.joint else x for s, x in pot.shares().items()})
        self.outcome(**pot.facts(), pledges=pledges, promises_broken=share(broken))

    def _punish(self) -> Script:
        """Everyone punishes at once; returns the points that each spends on others."""
        moves = yield tuple(self.turn(s, *punishments(s, self.seats), "pass", default="pass") for s in self.seats)
        return {s: dict(zip(m.args[::2], map(int, m.args[1::2]), strict=True)) for s, m in moves.items()}


# -- players -----------------------------------------------------------------------------------------------------


def _greedy(request: Request) -> str:
    return "[give 0]" if verb(request) == "give" else "[pass]"


def _oracle(request: Request) -> str:
    return "[pass]" if verb(request) == "punish" else f"[{verb(request)} {most(request)}]"


def _conditional(request: Request) -> str:
    rounds = re.findall(r"You gave (\d+), all gave (\d+)\.", " ".join(request.heard))
    if verb(request) != "give" or not rounds:
        return _oracle(request)
    mine, all_ = map(int, rounds[-1])
    return f"[give {round((all_ - mine) / (len(request.env.seats) - 1))}]"


def _punisher(request: Request) -> str:
    if verb(request) != "punish":
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
