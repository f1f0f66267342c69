"""Assembly: members propose principles and vote on them, and each holds other principles dear.

| fact | value |
|---|---|
| seats | `member_0` to `member_4`; at level 0 the first three |
| turns | in each round a proposal and a vote, all at once; from level 1 on a round of talk before them |
| hidden | what the principles are worth to the others; votes, but for their number |
| reward | own worth of what is adopted, from the worst (0) to the best (1) possible for the seat; not zero-sum |
| gold outcome | adopted, worth, welfare, worst off, Condorcet, minority veto, sincerity |
| theory | worths are equal in scale, so their sum counts; best set by sum: welfare 1, which `oracle` reaches |
| controls | `silent` (no talk), `truthful` (votes are cast by the script: for all that is worth something) |
| source | arXiv 2406.07814 (Collective Constitutional AI); S. Brams, P. Fishburn, Approval voting (1978) |

Rules: each round all propose a principle, `[propose brevity]` or `[pass]`; what is proposed is on the table. Then all
vote for any number of those, in their order, `[vote brevity warmth]` or `[vote none]`. The one with most votes is
adopted if it has enough, of several the first of a drawn order; else nothing is. Every member has the same numbers,
some below zero, in an order of its own: what each principle is worth to it if adopted. What is not adopted is worth
nothing.

Level 0: three members, three principles, one round; more than half of the members are enough. Level 1: five members,
six principles, two rounds; free talk, wording varies. Level 2: eight principles, three rounds; four of five members
must agree, so that two can block.

Gold: welfare is the sum of worths between the least and the most that there could be, worst off the lowest reward;
Condorcet the share of rounds whose outcome beats all others (of what is open, and of adopting nothing) by true worths,
of those rounds in which there is such an outcome; a minority veto is a round in which nothing was adopted though
something on the table was worth something to a majority; sincerity the share of votes for all that is worth something
and nothing else.

Splits: train and test share no place with its principles; in ood the principles are others. Parameter: `rounds` (0: the
level's own).

Players: `random`, `greedy` (proposes its dearest, votes for all that is worth something to it), `oracle` (what has the
largest sum of worths), `stubborn` (only ever its dearest), `compromiser` (goes with what others have named most, as
long as it loses no more than 1 by it). Welfare with all seats alike, by level: random 0.43, 0.48, 0.46, stubborn 0.76,
0.46, 0.41, greedy 0.95, 0.93, 0.69, compromiser 0.94, 0.91, 0.79.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeVar

from palaestra.envs.common.measures import share
from palaestra.envs.common.talk import says
from palaestra.envs.common.votes import approval, condorcet, leaders
from palaestra.envs.common.words import pools
from palaestra.envs.script import Player, Request, Script, ScriptedEnv, play_random

T = TypeVar("T")
NONE, NO_VOTE = "none", "vote none"
Worth = Mapping[str, int]
"""What every principle is worth to a seat."""


class Level(NamedTuple):
    members: int
    worths: tuple[int, ...]
    rounds: int
    needed: int
    """Votes that a principle must have."""


LEVELS = (
    Level(3, (3, 1, -2), 1, 2),
    Level(5, (5, 3, 1, -1, -2, -4), 2, 3),
    Level(5, (6, 4, 2, 1, -1, -2, -3, -5), 3, 4),
)
PRINCIPLES = {
    False: {
        "brevity": "answers are short",
        "warmth": "it is friendly, whatever is said to it",
        "caution": "in doubt it refuses",
        "privacy": "nothing about people is kept",
        "candor": "it says how sure it is",
        "balance": "it takes no side in disputes",
        "sources": "every claim names where it comes from",
        "humor": "it may joke",
        "patience": "it explains as often as asked",
        "initiative": "it does more than it was asked for",
    },
    True: {
        "curfew": "streets are quiet after ten",
        "gardens": "empty lots become gardens",
        "bells": "bells ring every hour",
        "tolls": "the bridge costs a coin",
        "markets": "there is a market on every square",
        "ferries": "ferries run by night",
        "murals": "walls may be painted",
        "orchards": "fruit belongs to all",
        "lanterns": "lanterns burn until dawn",
        "fairs": "each season has its fair",
    },
}
OPENINGS = (
    "You are {me}. {worths}.",
    "You are {me}, one of {n} members of an assembly in {town} that adopts principles for you all. What each is worth "
    "to you: {worths}.",
    "Your name is {me}. In {town}, {n} citizens were drawn by lot to write down principles, and you are one of them. "
    "You have given them points: {worths}.",
    "{me}, that is you, has one of {n} seats in the convention of {town}. Your gain or loss from every principle that "
    "could be adopted: {worths}.",
)
NEEDED = " In each of {rounds} rounds one may be adopted: the one with most votes, if it has at least {needed}."


def scaled(x: float, worths: Sequence[float], most: int) -> float:
    """Where x lies between the least (0) and the most (1) that up to `most` of the worths can sum up to."""
    ordered = sorted(worths)
    least, best = sum(w for w in ordered[:most] if w < 0), sum(w for w in ordered[-most:] if w > 0)
    return (x - least) / (best - least)


class Round(NamedTuple):
    free: list[str]
    """The principles that were not adopted before."""
    table: list[str]
    ballots: Mapping[str, list[str]]
    winner: str


def liked(principles: Sequence[str], worth: Worth) -> list[str]:
    """Those that are worth something."""
    return [p for p in principles if worth[p] > 0]


def unbeaten(free: Sequence[str], worths: Sequence[Worth]) -> str | None:
    """The principle, or none of them, that beats all others by true worths."""
    return condorcet([{**{p: worth[p] for p in free}, NONE: 0} for worth in worths])


def vetoed(done: Round, worths: Sequence[Worth]) -> bool:
    """Whether nothing was adopted though something on the table was worth something to a majority."""
    favor = approval(liked(done.table, worth) for worth in worths)
    return done.winner == NONE and any(2 * n > len(worths) for n in favor.values())


class Assembly(ScriptedEnv):
    """Principles are proposed and adopted by vote."""

    env_id = "assembly"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("silent", "truthful")
    rules = (
        "Members adopt principles. In private, each principle is worth something to a member, or less than nothing. "
        "Each round all propose one, then vote for any number of those proposed; the one with most votes is adopted if "
        "it has enough. You are paid by what the adopted principles are worth to you together."
    )
    reward_range = (0.0, 1.0)
    skill = "welfare"
    simultaneous = True

    rounds: int = 0
    silent: bool = False
    truthful: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"member_{i}" for i in range(LEVELS[self.level].members))

    def script(self, rng: random.Random) -> Script:
        level = LEVELS[self.level]
        rounds = min(self.rounds or level.rounds, len(level.worths))
        town, principles = self.item("place", self._place)
        law: Callable[[random.Random], Worth] = lambda r: dict(zip(principles, _shuffled(r, level.worths), strict=True))
        worth: dict[str, Worth] = {s: self.secret(s, "worth", law) for s in self.seats}
        total = {p: sum(worth[s][p] for s in self.seats) for p in principles}
        self.note(total=total)
        self._open(rng, town, worth, rounds)

        free, history = list(principles), list[Round]()
        for turn in range(1, rounds + 1):
            if self.level and not self.silent:
                said = yield self.turn(self.seats)
                for seat, move in said.items():
                    self.tell(says(seat, move))
            table = yield from self._propose(free)
            ballots = yield from self._vote(table, worth)
            votes = approval(ballots.values())
            first = leaders({p: n for p, n in votes.items() if n >= level.needed})
            winner = next((p for p in _shuffled(rng, free) if p in first), NONE)
            history.append(Round(free, table, ballots, winner))
            free = [p for p in free if p != winner]
            counted = ", ".join(f"{p} {votes[p]}" for p in table) or NONE
            after = f"Round {turn + 1} of {rounds}." if turn < rounds else "The assembly is over."
            tell = self.reveal if self.truthful else self.tell
            tell(f"Votes: {counted}. Adopted: {winner}. {after}")

        adopted = [r.winner for r in history if r.winner != NONE]
        own = {s: sum(worth[s][p] for p in adopted) for s in self.seats}
        worths = list(worth.values())
        gains = {s: scaled(own[s], level.worths, rounds) for s in self.seats}
        self.reward(gains)
        self.outcome(
            adopted=adopted,
            worth=own,
            welfare=scaled(sum(own.values()), [*total.values()], rounds),
            worst_off=min(gains.values()),
            condorcet=share(r.winner == best for r in history if (best := unbeaten(r.free, worths))),
            minority_veto=share(vetoed(r, worths) for r in history),
            sincerity=share({*b} == {*liked(r.table, worth[s])} for r in history for s, b in r.ballots.items()),
        )

    def _place(self, rng: random.Random) -> tuple[str, list[str]]:
        """A town and its principles."""
        names = list(PRINCIPLES[self.split == "ood"])
        return rng.choice(pools(self.split).towns), rng.sample(names, len(LEVELS[self.level].worths))

    def _open(self, rng: random.Random, town: str, worth: Mapping[str, Worth], rounds: int) -> None:
        meaning = PRINCIPLES[self.split == "ood"]
        opening = rng.choice(OPENINGS[1:]) + NEEDED if self.level else OPENINGS[0]
        for seat in self.seats:
            named = {p: f"{p} ({meaning[p]})" if self.level else p for p in worth[seat]}
            worths = ", ".join(f"{named[p]} {n}" for p, n in worth[seat].items())
            told = {"me": seat, "n": len(self.seats), "town": town, "worths": worths, "rounds": rounds}
            self.tell(opening.format(**told, needed=LEVELS[self.level].needed), to=seat)

    def _propose(self, free: Sequence[str]) -> Script:
        """All propose at once; returns what is on the table, in the order of `free`."""
        moves = yield self.turn(self.seats, f"propose {'|'.join(free)}", "pass", default="pass")
        by = {p: [s for s, move in moves.items() if p in move.args] for p in free}
        table = [p for p in free if by[p]]
        proposed = "; ".join(f"{p} by {', '.join(by[p])}" for p in table)
        self.tell(f"Proposed: {proposed or 'nothing'}.")
        return table

    def _vote(self, table: Sequence[str], worth: Mapping[str, Worth]) -> Script:
        """All vote at once for what is on the table; returns the ballots."""
        if not table:
            return {}
        if self.truthful:
            return {s: liked(table, worth[s]) for s in self.seats}
        some = [names for n in range(len(table)) for names in combinations(table, n + 1)]
        moves = yield self.turn(self.seats, *(f"vote {' '.join(names)}" for names in some), NO_VOTE, default=NO_VOTE)
        return {s: [p for p in move.args if p != NONE] for s, move in moves.items()}


def _shuffled(rng: random.Random, things: Sequence[T]) -> list[T]:
    return rng.sample(things, len(things))


# -- players -----------------------------------------------------------------------------------------------------


def _member(choose: Callable[[Request, Worth, list[str]], list[str]]) -> Player:
    """A player that ranks what is open or on the table, as far as it wants it; proposes the first and votes for all."""

    def play(request: Request) -> str:
        names = {**PRINCIPLES[False], **PRINCIPLES[True]}
        found = re.findall(r"([a-z]+)(?: \([^)]*\))? (-?\d+)", request.heard[0])
        worth = {p: int(n) for p, n in found if p in names}
        verb, *options = (request.commands or ("say",))[0].replace("|", " ").split()
        if verb == "vote":
            options = [c.split()[1] for c in request.commands if len(c.split()) == 2 and c != NO_VOTE]
        if verb == "say":
            options = [p for p in worth if f"Adopted: {p}." not in " ".join(request.heard)]
        wanted = choose(request, worth, options)
        if verb == "say":
            return f"I am for {wanted[0]}." if wanted else "I am for none."
        if verb == "propose":
            return f"[propose {wanted[0]}]" if wanted else "[pass]"
        return f"[vote {' '.join(p for p in options if p in wanted) or NONE}]"

    return play


def _greedy(request: Request, worth: Worth, options: list[str]) -> list[str]:
    return sorted((p for p in options if worth[p] > 0), key=lambda p: -worth[p])


def _oracle(request: Request, worth: Worth, options: list[str]) -> list[str]:
    total = request.facts["total"]
    best = max(options, key=lambda p: int(total[p]))
    return [best] if total[best] > 0 else []


def _stubborn(request: Request, worth: Worth, options: list[str]) -> list[str]:
    return [p for p in options if worth[p] == max(worth.values())]


def _compromiser(request: Request, worth: Worth, options: list[str]) -> list[str]:
    """What others have named most, where it loses no more than 1 by it."""
    others = " ".join(text for text in request.heard[1:] if not text.startswith(request.seat))
    named = {p: len(re.findall(rf"\b{p}\b", others)) for p in options}
    return sorted((p for p in options if worth[p] >= -1), key=lambda p: (-named[p], -worth[p]))


Assembly.players = {
    "random": play_random,
    "greedy": _member(_greedy),
    "oracle": _member(_oracle),
    "stubborn": _member(_stubborn),
    "compromiser": _member(_compromiser),
}
