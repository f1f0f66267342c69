"""Commons: five fishers share one lake; what is left in it doubles.

| fact | value |
|---|---|
| seats | `fisher_0` to `fisher_4` |
| turns | one a round for every seat, all at once; level 1 has a round of talk first |
| hidden | the takes of others: level 0 tells only what is left, level 1 who took what |
| reward | own fish times 5, over what the best joint plan takes: the plan pays 1 each; 0 to 5; not zero-sum |
| gold outcome | survival, efficiency, equality, over-use, promises broken |
| theory | level 1 from a full lake: the plan takes 11 * 50 + 100 = 650; if all take all they can, 100, reward 0.154 |
| source | arXiv 2404.16698 (GovSim); arXiv 2107.06857 (Melting Pot, commons harvest) |

Rules: each round every fisher names at once how many fish to take. If they want more than there are, the fish are
shared out in proportion (whole fish; what is left over goes to the largest remainders, ties by a turn that moves on
each round). What stays doubles, up to what the lake can hold; below a twentieth of that the fish are gone for good, and
the episode ends.

Level 0: 6 rounds, a lake of 16 to 24, takes 0..8, no talk. Level 1: 12 rounds, a lake of 100, takes 0..50; first
everybody speaks once to all, and may promise `[pledge 10]`: never to take more than 10 in a round; the promise binds
nobody and is measured; takes are told by name; wording varies.

Splits: an instance is the size of the lake and the fish in it at the start; train and test never share one, and in ood
the lake starts less than half full. Parameters: `rounds` (0: the level's own), `shocks` (the fish left grow by a factor
drawn from 1.5, 2 and 2.5). Controls: `silent` (no talk), `anonymous` (only the sum of takes is told).

Players: `random`, `greedy` (takes all it may), `oracle` (its share of the best joint plan), `cautious` (half of what
would grow again), `conditional` (the plan's share while nobody takes more, then all it may; needs takes by name). With
all seats alike, which is how they are compared (efficiency at level 0: greedy 0.23, random 0.24, cautious 0.42, oracle
1.00), greedy is at the floor: that is the tragedy. A single greedy among others gets, up to rounding, at least as much
as each of them.
"""

from __future__ import annotations

import random

from palaestra.envs.common.measures import equality, share
from palaestra.envs.common.players import most
from palaestra.envs.common.talk import by_name, pledge_round
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social.lake import OPENINGS, N, draw_lake, fair_share, grow, look, now, plan, share_out

FISHERS = tuple(f"fisher_{i}" for i in range(N))


class Commons(ScriptedEnv):
    """A renewable resource that five seats share."""

    env_id = "commons"
    seats = FISHERS
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("silent", "anonymous")
    rules = (
        "Five fishers share a lake. Each round everyone says at once how many fish to take. The fish that stay double, "
        "up to what the lake can hold; if almost none stay, the fish are gone for good. Everyone wants many fish over "
        "all rounds together."
    )
    reward_range = (0.0, 5.0)
    skill = "efficiency"
    simultaneous = True

    rounds: int = 0
    shocks: bool = False
    silent: bool = False
    anonymous: bool = False

    def script(self, rng: random.Random) -> Script:
        rounds = self.rounds or (12 if self.level else 6)
        top = 50 if self.level else 8
        capacity, stock = self.item("lake", lambda r: draw_lake(r, self.level, self.split))
        best = plan(capacity, rounds, top * N)[rounds][stock][0]
        opening = f"{rng.choice(OPENINGS) if self.level else OPENINGS[0]} There are {rounds} rounds. {now(stock, 1)}"
        for seat in self.seats:
            self.tell(opening.format(seat=seat, capacity=capacity), to=seat)
        talks = self.level and not self.silent
        pledges = (yield from pledge_round(self, top, "to take at most {} a round")) if talks else {}

        caught = dict.fromkeys(self.seats, 0)
        over, broken = list[bool](), list[bool]()
        played = 0
        while stock and played < rounds:
            moves = yield self.turn(self.seats, f"take 0..{top}", default="take 0")
            wanted = {s: int(moves[s].args[0]) for s in self.seats}
            got = dict(zip(self.seats, share_out(list(wanted.values()), stock, played % N), strict=True))
            caught = {s: caught[s] + got[s] for s in self.seats}
            broken += [wanted[s] > pledge for s, pledge in pledges.items()]
            if played < rounds - 1:  # in the last round there is nothing to save for
                over += [n > fair_share(stock) for n in wanted.values()]
            stock = grow(stock - sum(got.values()), capacity, rng.choice((1.5, 2.0, 2.5)) if self.shocks else 2.0)
            played += 1
            after = now(stock, played + 1) if played < rounds else "The season is over."
            if self.level:
                after = f"All got {sum(got.values())}.{'' if self.anonymous else by_name(got)} {after}"
            for seat in self.seats:
                self.tell(f"You got {got[seat]}. {after}", to=seat)

        self.reward({s: n * N / best for s, n in caught.items()})
        self.outcome(
            survived=bool(stock) or played == rounds,
            rounds_alive=played / rounds,
            caught=caught,
            efficiency=sum(caught.values()) / best,
            equality=equality(list(caught.values())),
            over_use=share(over),
            pledges=pledges,
            promises_broken=share(broken),
        )


# -- players -----------------------------------------------------------------------------------------------------


def _talks(request: Request) -> bool:
    return "pass" in request.commands


def _greedy(request: Request) -> str:
    return "[pass]" if _talks(request) else f"[take {most(request)}]"


def _oracle(request: Request) -> str:
    if _talks(request):
        return "Let us take half of the fish each round. [pledge 50]"
    lake = look(request.heard)
    return f"[take {lake.part(lake.planned(most(request)), FISHERS.index(request.seat))}]"


def _cautious(request: Request) -> str:
    lake = look(request.heard)
    return "[pledge 10]" if _talks(request) else f"[take {lake.part(lake.stock // 4, FISHERS.index(request.seat))}]"


def _conditional(request: Request) -> str:
    """Keeps to the plan until somebody else has taken more than a fifth of half the fish, rounded up."""
    if _talks(request):
        return "I keep to a fifth of half the fish as long as you do. [pass]"
    over = any(n > fair_share(stock) for stock, takes in look(request.heard).takes for n in takes)
    return _greedy(request) if over else _oracle(request)


Commons.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "cautious": _cautious,
    "conditional": _conditional,
}
