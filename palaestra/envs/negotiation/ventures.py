"""Joint ventures: what groups of players are worth, drawn from several laws, told as a table, and read back."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from palaestra.envs.common.solutions import Worths, coalitions, complaint, in_core, shapley

Worth = Callable[[frozenset[str]], int]
"""What a group is worth; each law draws what decides it."""
Table = dict[str, int]
"""The worth of each group that has one, by its letters in order."""


def _three(rng: random.Random, players: str, whole: int) -> Worth:
    pairs = {frozenset(pair): rng.randint(0, whole - 2) for pair in itertools.combinations(players, 2)}
    return lambda group: pairs.get(group, whole * (len(group) == 3))


def _gloves(rng: random.Random, players: str) -> Worth:
    """Members hold left and right gloves; a pair is worth four."""
    left, right = ({p: rng.randint(0, 2) for p in players} for _ in range(2))
    return lambda group: 4 * min(sum(left[p] for p in group), sum(right[p] for p in group))


def _votes(rng: random.Random, players: str) -> Worth:
    """Who has enough votes has all."""
    votes = {p: rng.randint(1, 9) for p in players}
    quota = rng.randint(sum(votes.values()) // 2 + 1, sum(votes.values()))
    return lambda group: 12 * (sum(votes[p] for p in group) >= quota)


def _pairs(rng: random.Random, players: str) -> Worth:
    """Every two members gain something from each other."""
    gain = {pair: rng.randint(0, 5) for pair in itertools.combinations(players, 2)}
    return lambda group: sum(gain[pair] for pair in itertools.combinations(sorted(group), 2))


def _squares(rng: random.Random, players: str) -> Worth:
    size = {p: rng.randint(1, 5) for p in players}
    return lambda group: sum(size[p] for p in group) ** 2 // 2


def draw_game(rng: random.Random, players: str, *, ood: bool) -> Table:
    """What each coalition is worth, where that is something. All together are worth more than all alone."""
    if len(players) == 3:
        worth = _three(rng, players, 16 if ood else 10)
    else:
        worth = (_squares if ood else rng.choice((_gloves, _votes, _pairs)))(rng, players)
    table = {"".join(sorted(group)): w for group in coalitions(players) if (w := worth(group))}
    alone = sum(table.get(p, 0) for p in players)
    return table if table.get(players, 0) > alone else draw_game(rng, players, ood=ood)


def complete(table: Table, players: str) -> Worths:
    """The table with the groups that it leaves out."""
    return {group: table.get("".join(sorted(group)), 0) for group in coalitions(players)}


def share_out(worth: float, numbers: Sequence[int]) -> list[float]:
    """The worth in proportion to the numbers; equal parts where all are zero."""
    total = sum(numbers)
    return [worth * n / total if total else worth / len(numbers) for n in numbers]


def judged(shares: Mapping[str, float], worths: Worths) -> dict[str, Any]:
    """A division of what all are worth: core or not, greatest complaint, Shapley value and nearness to it."""
    whole, value = worths[frozenset(shares)], shapley(list(shares), worths)
    return {
        "in_core": in_core(shares, worths),
        "complaint": complaint(shares, worths) / whole,
        "shapley": value,
        "shapley_nearness": 1 - sum(abs(shares[p] - value[p]) for p in shares) / 2 / whole,
    }


# -- in words ----------------------------------------------------------------------------------------------------

OPENINGS = (
    ("You are {me}. Worth: {table}.",),
    (
        "You are {me}, one of the partners {all}. What groups of you can earn: {table}. All others earn nothing.",
        "The firms {all} may join forces; you are {me}. Profits of joint ventures: {table}. All others make none.",
        "You are {me}, one of the towns {all}. Towns that build together save: {table}. All others save nothing.",
    ),
)
_OFFERED = re.compile(r'[a-e] proposes [^"]*\. You get (\d+(?:\.\d+)?)')


def opened(opening: str, me: str, players: str, table: Table) -> str:
    """One of `OPENINGS` for a player."""
    listed = ", ".join(f"{group} {worth}" for group, worth in table.items())
    return opening.format(me=me, all=", ".join(players), table=listed)


def proposed(by: str, split: Mapping[str, float], hearer: str, *, listed: bool) -> str:
    """`a proposes abc: a 5, b 2.5, c 2.5. You get 2.5.`; the parts of all where they are listed."""
    parts = ": " + ", ".join(f"{p} {x:.3g}" for p, x in split.items()) if listed else ""
    mine = f" You get {split[hearer]:.3g}." if hearer in split else ""
    return f"{by} proposes {''.join(split)}{parts}.{mine}"


def read(heard: Sequence[str], players: str) -> tuple[str, Worths]:
    """Who has not joined a coalition, and all worths."""
    joined = "".join(found[1] for text in heard if (found := re.match(r"([a-e]+) is formed\.", text)))
    table = {group: int(worth) for group, worth in re.findall(r"\b([a-e]+) (\d+)", heard[0])}
    return "".join(p for p in players if p not in joined), complete(table, players)


def read_offer(heard: Sequence[str]) -> float:
    """What the last proposal gives to its hearer."""
    return float([found[1] for text in heard if (found := _OFFERED.match(text))][-1])
