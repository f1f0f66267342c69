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

import functools
import random
import re
from collections.abc import Sequence

from palaestra.envs.common.measures import equality
from palaestra.envs.common.talk import pledge_round
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

FISHERS = tuple(f"fisher_{i}" for i in range(5))
N = len(FISHERS)
GROWTH = (1.5, 2.0, 2.5)


def grow(rest: int, capacity: int, factor: float = 2.0) -> int:
    """The fish of the next round: below a twentieth of the capacity they are gone."""
    return 0 if rest * 20 < capacity else min(capacity, int(rest * factor))


def share_out(wanted: Sequence[int], stock: int, first: int = 0) -> list[int]:
    """What each gets: all that is wanted, or the stock in proportion, in whole fish.

    Fish left over by rounding go to the largest remainders; equal ones by order, beginning with `first`.
    """
    total = sum(wanted)
    if total <= stock:
        return list(wanted)
    got = [w * stock // total for w in wanted]
    order = sorted(range(len(wanted)), key=lambda i: (-(wanted[i] * stock % total), (i - first) % len(wanted)))
    for i in order[: stock - sum(got)]:
        got[i] += 1
    return got


def fair_share(stock: int) -> int:
    """A fifth of what grows again (half of the fish), rounded up; who takes more over-uses the lake."""
    return -(-stock // (2 * N))


@functools.lru_cache(256)
def plan(capacity: int, rounds: int, most: int) -> list[list[tuple[int, int]]]:
    """The best joint plan: `plan(...)[r][s]` = (fish still to be had, fish to take now), r rounds left, stock s.

    `most` is the largest sum that can be taken in a round. Growth by two; of equal plans the one that takes less now.
    """
    table = [[(0, 0)] * (capacity + 1)]
    for left in range(1, rounds + 1):
        before = table[left - 1]
        row = []
        for stock in range(capacity + 1):
            options = ((take + before[grow(stock - take, capacity)][0], take) for take in range(min(stock, most) + 1))
            row.append(max(options, key=lambda o: (o[0], -o[1])))
        table.append(row)
    return table


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
        capacity, stock = self.item("lake", self._lake)
        best = plan(capacity, rounds, top * N)[rounds][stock][0]
        wording = rng.randrange(len(STARTS)) if self.level else 0
        by_name = self.level > 0 and not self.anonymous
        for seat in self.seats:
            opening = STARTS[wording].format(seat=seat, capacity=capacity)
            self.tell(f"{opening} There are {rounds} rounds. {_now(stock, 1)}", to=seat)

        pledges: dict[str, int] = {}
        if self.level and not self.silent:
            pledges = yield from pledge_round(self, top, "to take at most {} a round")

        caught = dict.fromkeys(self.seats, 0)
        over = broken = asked = played = 0
        while stock and played < rounds:
            moves = yield self.turn(self.seats, f"take 0..{top}", default="take 0")
            wanted = [int(moves[s].args[0]) for s in self.seats]
            got = dict(zip(self.seats, share_out(wanted, stock, played % N), strict=True))
            for seat in self.seats:
                caught[seat] += got[seat]
            broken += sum(w > pledges[s] for s, w in zip(self.seats, wanted, strict=True) if s in pledges)
            if played < rounds - 1:  # in the last round there is nothing to save for
                over += sum(w > fair_share(stock) for w in wanted)
                asked += N
            factor = rng.choice(GROWTH) if self.shocks else 2.0
            stock = grow(stock - sum(got.values()), capacity, factor)
            played += 1
            after = _now(stock, played + 1) if played < rounds else "The season is over."
            if self.level:
                names = " " + ", ".join(f"{s} {n}" for s, n in got.items()) + "." if by_name else ""
                after = f"All got {sum(got.values())}.{names} {after}"
            for seat in self.seats:
                self.tell(f"You got {got[seat]}. {after}", to=seat)

        self.reward({s: n * N / best for s, n in caught.items()})
        self.outcome(
            survived=bool(stock) or played == rounds,
            rounds_alive=played / rounds,
            caught=caught,
            efficiency=sum(caught.values()) / best,
            equality=equality(list(caught.values())),
            over_use=over / asked if asked else None,
            pledges=pledges,
            promises_broken=broken / (played * len(pledges)) if pledges else None,
        )

    def _lake(self, rng: random.Random) -> tuple[int, int]:
        """(capacity, fish at the start)."""
        capacity = 100 if self.level else rng.randrange(16, 25)
        half = capacity // 2
        return capacity, rng.randrange(capacity // 5, half) if self.split == "ood" else rng.randint(half, capacity)


STARTS = (
    "You are {seat}. The lake holds at most {capacity}.",
    "You are {seat}, one of five fishers at a lake that can feed {capacity} fish.",
    "Your name is {seat}. Five of you fish here; the lake has room for {capacity} fish.",
)


def _now(stock: int, turn: int) -> str:
    return f"Round {turn}: {stock} fish." if stock else "The fish are gone."


# -- players -----------------------------------------------------------------------------------------------------


def _lake_now(request: Request) -> tuple[int, int, int, int]:
    """Capacity, fish, round and number of rounds, as the seat was told."""
    told = request.heard
    capacity = re.search(r"(?:at most|feed|room for) (\d+)", told[0])
    rounds = re.search(r"There are (\d+) rounds", told[0])
    now = [found for text in told if (found := re.search(r"Round (\d+): (\d+) fish\.\Z", text))][-1]
    assert capacity is not None and rounds is not None
    return int(capacity[1]), int(now[2]), int(now[1]), int(rounds[1])


def _top(request: Request) -> int:
    return int(request.commands[0].rpartition("..")[2])


def _talks(request: Request) -> bool:
    return "pass" in request.commands


def _mine(total: int, seat: str, turn: int) -> int:
    """A seat's part of a joint take; odd fish go round by turns."""
    return total // N + ((FISHERS.index(seat) - turn) % N < total % N)


def _greedy(request: Request) -> str:
    return "[pass]" if _talks(request) else f"[take {_top(request)}]"


def _planned(request: Request) -> int:
    capacity, stock, turn, rounds = _lake_now(request)
    left = rounds - turn + 1
    return _mine(plan(capacity, left, _top(request) * N)[left][stock][1], request.seat, turn)


def _oracle(request: Request) -> str:
    return "Let us take half of the fish each round. [pledge 50]" if _talks(request) else f"[take {_planned(request)}]"


def _cautious(request: Request) -> str:
    if _talks(request):
        return "[pledge 10]"
    _, stock, turn, _ = _lake_now(request)
    return f"[take {_mine(stock // 4, request.seat, turn)}]"


def _conditional(request: Request) -> str:
    """Keeps to the plan until somebody else has taken more than a fifth of half the fish, rounded up."""
    if _talks(request):
        return "I keep to a fifth of half the fish as long as you do. [pass]"
    told = request.heard
    stocks = [int(found[1]) for text in told if (found := re.search(r": (\d+) fish\.\Z", text))]
    rounds = [found[1] for text in told if (found := re.match(r"You got \d+\. All got \d+\.(.*)", text))]
    for stock, line in zip(stocks, rounds, strict=False):
        if any(int(n) > fair_share(stock) for n in re.findall(r"fisher_\d (\d+)", line)):
            return f"[take {_top(request)}]"
    return _oracle(request)


Commons.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "cautious": _cautious,
    "conditional": _conditional,
}
