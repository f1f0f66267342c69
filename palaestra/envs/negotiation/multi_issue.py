"""Multi-issue bargaining: two or three parties divide things that each of them values in another way.

| fact | value |
|---|---|
| seats | `party_0`, `party_1`; at level 2 also `party_2` |
| turns | up to `rounds` offers and their answers |
| hidden | what the things are worth to the other seats, and what those get without a deal |
| reward | own points over 10: 0 to 1; not zero-sum |
| gold outcome | deal, split, points, Pareto efficiency, share of the best Nash product, efficiency, envy |
| theory | frontier and Nash's solution by enumeration of all splits; `oracle` in all seats reaches Nash's |
| controls | `joint` (all are paid the mean), `silent` (speech is not passed on), `swap` (the next seat begins) |
| source | arXiv 1706.05125 (Deal or No Deal); arXiv 2309.17234 (scorable games with a veto) |

Rules: all things together are worth 10 points to each seat, but not the same things. The seats act in turn; who begins
is drawn. `[propose 2 0]` is to take two of the first kind and none of the second; the other gets the rest. With three
seats the numbers of the next party follow (`[propose 2 0 1 1]`: it takes one of each, as far as there are any), and the
last gets the rest. A seat may accept the last proposal, make another or walk away. There is a deal when all accept.
Without a deal everyone gets its fallback: 0 points below level 2, there 0 to 4, known to its seat alone.

Level 0: two kinds, 3 or 4 things, 4 offers; what a proposal is worth to the hearer is added up for it. Level 1: three
kinds, 5 to 7 things, 6 offers, natural wording. Level 2: as level 1, with three parties, 9 offers and fallbacks.

Splits: train and test share no instance (things and values); in ood there is one thing more than ever, and kinds have
other names. Parameters: `rounds` and `parties` (0: the level's own), `conflict`: "any", "same" (all value alike: what
one gains others lose) or "opposed" (little is wanted by all).

Players: `random`, `greedy` (asks for all that it wants, takes its share), `oracle` (knows all values: proposes and
takes Nash's solution), `conceder` (asks for less from offer to offer, and leaves what it values least).
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from palaestra.envs.common.bargaining import Bargaining, offers_left, read_left
from palaestra.envs.common.solutions import nash_product, undominated
from palaestra.envs.common.words import pools
from palaestra.envs.grammar import Move
from palaestra.envs.script import Request, Script, play_random
from palaestra.errors import EnvError

TOTAL = 10  # points of all things together, for every seat
CONFLICT = {
    "any": (0, TOTAL),
    "same": (TOTAL, TOTAL),
    "opposed": (0, 3),
}  # points that all seats see in the same things
Bundle = tuple[int, ...]
"""How many of each kind."""
Split = tuple[Bundle, ...]
"""A bundle for each seat."""


class Level(NamedTuple):
    parties: int
    kinds: int
    things: tuple[int, int]
    offers: int
    most_fallback: int


LEVELS = (Level(2, 2, (3, 4), 4, 0), Level(2, 3, (5, 7), 6, 0), Level(3, 3, (5, 7), 9, 4))
OPENINGS = (
    ("Share {things}.",),
    (
        "You are {seat}. You and {others} empty an old house and divide {things} (what one of each is worth to you).",
        "You are {seat}. With {others} you have found {things}; the numbers say what one of each is worth to you.",
        "A club is closed. Its members, you ({seat}) and {others}, divide {things}, one of each being worth so much "
        "to you alone.",
    ),
)
PROPOSES = ("proposes", "suggests", "would like")


def worth(values: Sequence[int], bundle: Bundle) -> int:
    return sum(v * n for v, n in zip(values, bundle, strict=True))


def points(values: Sequence[Sequence[int]], split: Split) -> Bundle:
    """What a split is worth to each seat."""
    return tuple(map(worth, values, split))


@functools.cache
def splits(counts: Bundle, parties: int) -> list[Split]:
    """Every way to give all things to the parties."""
    if parties == 1:
        return [(counts,)]
    takes = itertools.product(*(range(c + 1) for c in counts))
    return [(take, *others) for take in takes for others in splits(_less(counts, take), parties - 1)]


@functools.cache
def valuations(counts: Bundle) -> list[Bundle]:
    """Every worth of one thing of each kind at which all things make `TOTAL`."""
    return [v for v in itertools.product(range(TOTAL + 1), repeat=len(counts)) if worth(v, counts) == TOTAL]


@functools.lru_cache(256)
def nash_split(counts: Bundle, values: tuple[Bundle, ...], fallbacks: Bundle) -> Split:
    """Nash's solution: the split with the largest product of gains; of equal ones the largest sum."""

    def merit(split: Split) -> tuple[float, int]:
        gets = points(values, split)
        return nash_product(gets, fallbacks), sum(gets)

    return max(splits(counts, len(values)), key=merit)


def proposal(numbers: Iterable[str], counts: Bundle) -> Split:
    """The bundles that the numbers name, each cut to what is left, and the rest."""
    bundles, wanted = [], [int(n) for n in numbers]
    while wanted:
        asked, wanted = wanted[: len(counts)], wanted[len(counts) :]
        bundles.append(tuple(map(min, asked, counts)))
        counts = _less(counts, bundles[-1])
    return (*bundles, counts)


def _less(counts: Bundle, take: Bundle) -> Bundle:
    return tuple(c - t for c, t in zip(counts, take, strict=True))


def _things(bundle: Bundle, kinds: list[str]) -> str:
    """`2 lamps, 0 coins, 1 kite`."""
    return ", ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in zip(bundle, kinds, strict=True))


class MultiIssue(Bargaining):
    """Dividing things that are worth different points to each seat."""

    env_id = "multi_issue"
    levels = (0, 1, 2)
    rules = (
        "Some things are divided. All together are worth 10 points to everyone, but each values other kinds, in "
        "secret. In turn, propose how many of each kind you take (the other gets the rest; with three, add what the "
        "next one takes), accept the last proposal, or walk away. There is a deal when all accept."
    )
    reward_range = (0.0, 1.0)
    skill = "nash_ratio"

    parties: int = 0
    conflict: str = "any"

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"party_{i}" for i in range(self.parties or LEVELS[self.level].parties))

    def script(self, rng: random.Random) -> Script:
        level = LEVELS[self.level]
        rounds = self.rounds or level.offers
        counts = self._counts(rng)
        kinds = rng.sample(pools(self.split).objects, len(counts))
        deal = self._law(counts)
        private = self.secrets("values", deal, redraw=deal, item=lambda parts: (counts, *_dealt(parts)))
        values, fallbacks = zip(*(p.values() for p in private.values()), strict=True)
        self.note(counts=counts)
        order = self.order(rng)
        opening = rng.choice(OPENINGS[min(self.level, 1)])
        for seat, mine in zip(self.seats, values, strict=True):
            others = " and ".join(s for s in self.seats if s != seat)
            things = ", ".join(f"{_things((n,), [k])} at {v}" for n, k, v in zip(counts, kinds, mine, strict=True))
            fallback = (
                f" Without a deal you get {private[seat]['fallback']} of 10 points." if level.most_fallback else ""
            )
            text = opening.format(seat=seat, others=others, things=things)
            self.tell(f"{text}{fallback} {offers_left(rounds)}", to=seat)

        def bundles(seat: str, move: Move) -> dict[str, Bundle]:
            order = (seat, *(s for s in self.seats if s != seat))
            return dict(zip(order, proposal(move.args, counts), strict=True))

        def told(seat: str, move: Move, hearer: str) -> str:
            takes = bundles(seat, move)
            mine = takes.pop(hearer)
            if not self.level:
                theirs, yours = (" ".join(map(str, b)) for b in (takes[seat], mine))
                return f"They get {theirs}; you get {yours}: {worth(private[hearer]['values'], mine)} points."
            others = "; ".join(f"{s} gets {_things(b, kinds)}" for s, b in takes.items())
            return f"{seat} {rng.choice(PROPOSES)}: {others}; you get {_things(mine, kinds)}."

        numbers = " ".join(f"0..{c}" for c in counts * (len(self.seats) - 1))
        done = yield from self.bargain(order, rounds, f"propose {numbers}", told)

        self.tell(f"{done.last} accepts. The deal is made." if done.deal else f"{done.last} walks away. No deal.")
        named = bundles(*done.offers[-1]) if done.deal else {}
        split = tuple(named[s] for s in self.seats if named)
        gets = points(values, split) if split else fallbacks
        self.pay({s: p / TOTAL for s, p in zip(self.seats, gets, strict=True)})
        possible = [points(values, s) for s in splits(counts, len(self.seats))]
        self.outcome(
            deal=done.deal,
            split=named or None,
            points=dict(zip(self.seats, gets, strict=True)),
            pareto=undominated(gets, possible),
            nash_ratio=nash_product(gets, fallbacks) / max(nash_product(p, fallbacks) for p in possible),
            efficiency=sum(gets) / max(map(sum, possible)),
            envy=max(worth(v, b) - worth(v, own) for v, own in zip(values, split, strict=True) for b in split)
            if split
            else None,
            offers=len(done.offers),
            walked=None if done.deal else done.last,
        )

    def _counts(self, rng: random.Random) -> Bundle:
        """How many of each kind there are."""
        level = LEVELS[self.level]
        total = level.things[1] + 1 if self.split == "ood" else rng.randint(*level.things)
        cuts = [0, *sorted(rng.sample(range(1, total), level.kinds - 1)), total]
        return tuple(b - a for a, b in itertools.pairwise(cuts))

    def _law(self, counts: Bundle) -> Any:
        """The law of all seats' values and fallbacks; one seat's part may be held. Some deal is good for all."""
        if self.conflict not in CONFLICT:
            raise EnvError(f"{self.name()}: conflict = {self.conflict!r}\n  it may be {', '.join(CONFLICT)}")
        low, high = CONFLICT[self.conflict]

        def part(rng: random.Random) -> dict[str, Any]:
            fallback = rng.randint(0, LEVELS[self.level].most_fallback)
            return {"values": list(rng.choice(valuations(counts))), "fallback": fallback}

        def draw(rng: random.Random, holder: str = "", held: Any = None) -> dict[str, Any]:
            while True:
                parts = {s: held if s == holder else part(rng) for s in self.seats}
                values, fallbacks = _dealt(parts)
                shared = sum(n * min(kind) for n, *kind in zip(counts, *values, strict=True))
                possible = (points(values, split) for split in splits(counts, len(values)))
                if low <= shared <= high and any(nash_product(p, fallbacks) for p in possible):
                    return parts

        return draw


def _dealt(parts: dict[str, Any]) -> tuple[Split, Bundle]:
    """All seats' values, and their fallbacks."""
    return tuple(tuple(p["values"]) for p in parts.values()), tuple(p["fallback"] for p in parts.values())


# -- players -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    counts: Bundle
    values: Bundle
    fallback: int
    offered: int | None
    """Points of the last proposal."""
    left: int
    """Offers that may still be made."""


def _seen(request: Request) -> Seen:
    told = request.heard
    counts, values = zip(*((int(n), int(v)) for n, v in re.findall(r"(\d+) \w+ at (\d+)", told[0])), strict=True)
    fallback = re.search(r"you get (\d+) of", told[0])
    mine = [found[1] for text in told if (found := re.match(r'[^"]*; you get ([\w, ]*)', text))]
    offered = worth(values, tuple(map(int, re.findall(r"\d+", mine[-1])))) if mine else None
    return Seen(counts, values, int(fallback[1]) if fallback else 0, offered, read_left(request))


def _reply(request: Request, take: Bundle, least: float) -> str:
    """Accept what is worth `least` (where no offer is left: the fallback); else take `take` and share out the rest."""
    seen = _seen(request)
    if seen.offered is not None and seen.offered >= (least if seen.left else seen.fallback):
        return "[accept]"
    if not seen.left:
        return "[walk]"
    split, rest = [take], _less(seen.counts, take)
    for others in range(len(request.env.seats) - 1, 1, -1):
        split.append(tuple(-(-n // others) for n in rest))
        rest = _less(rest, split[-1])
    return _propose(split)


def _propose(bundles: Iterable[Bundle]) -> str:
    return f"[propose {' '.join(str(n) for bundle in bundles for n in bundle)}]"


def _greedy(request: Request) -> str:
    seen = _seen(request)
    wanted = tuple(n * (v > 0) for n, v in zip(seen.counts, seen.values, strict=True))
    return _reply(request, wanted, TOTAL / len(request.env.seats))


def _conceder(request: Request) -> str:
    """Goes down evenly from all points to its share, and asks for few things."""
    seen, parties = _seen(request), len(request.env.seats)
    done = request.turn / (request.turn + max(0, seen.left - 1) // parties or 1)
    least = TOTAL - (TOTAL - TOTAL / parties) * min(1.0, done)
    good = [take for take, *_ in splits(seen.counts, 2) if worth(seen.values, take) >= least]
    return _reply(request, min(good, key=lambda take: (sum(take), worth(seen.values, take))), least)


def _oracle(request: Request) -> str:
    values, fallbacks = _dealt(request.facts["values"])
    seats, me = request.env.seats, request.env.seats.index(request.seat)
    best = nash_split(tuple(request.facts["counts"]), values, fallbacks)
    least, seen = points(values, best)[me], _seen(request)
    if not seen.left or (seen.offered or 0) >= least:
        return _reply(request, best[me], least)
    return _propose([best[me], *(best[i] for i in range(len(seats)) if i != me)][:-1])


MultiIssue.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "conceder": _conceder}
