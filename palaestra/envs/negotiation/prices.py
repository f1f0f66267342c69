"""Bargaining over one price: limits by level, offers in words, what can be read off them, and an answer."""

from __future__ import annotations

import math
import random
import re
from typing import NamedTuple

from palaestra.envs.common.bargaining import read_left
from palaestra.envs.script import Request

BUYER, SELLER = "buyer_0", "seller_0"
ROLE = {BUYER: "buyer", SELLER: "seller"}
OTHER = {BUYER: SELLER, SELLER: BUYER}
ROLE_LINES = {
    BUYER: (
        "You are the buyer. It is worth {limit} to you.",
        "You want to buy a used bicycle. To you it is worth {limit}, not more.",
        "You are the buyer of a bicycle; at {limit} you would be just as well off without it.",
    ),
    SELLER: (
        "You are the seller. It costs you {limit}.",
        "You want to sell a used bicycle. Giving it away costs you {limit}.",
        "You are the seller of a bicycle; at {limit} you would be just as well off keeping it.",
    ),
}
OFFER_LINES = ("The {role} offers {price}.", "The {role} names {price}.", "The {role} proposes {price}.")
_OFFER = re.compile(r"The (?:buyer|seller) (?:offers|names|says|proposes) (\d+)\b")
_LIMIT = re.compile(r"\[\s*my\s+limit\s+(\d+)\s*\]", re.I)


def small(rng: random.Random, *, ood: bool) -> dict[str, int]:
    """A value of 5 to 10 and a cost of 0 to 5, which always gain; ood: both on one side of 5."""
    if not ood:
        return {BUYER: rng.randint(5, 10), SELLER: rng.randint(0, 5)}
    low, high = sorted(rng.sample(range(6, 11) if rng.random() < 0.5 else range(0, 5), 2))
    return {BUYER: high, SELLER: low}


def large(rng: random.Random, *, ood: bool) -> dict[str, int]:
    """Limits up to 100, at least 10 apart, in one case of five without a gain; ood: at least one outside of 20..80."""
    while True:
        low, high = sorted((rng.randint(0, 100), rng.randint(0, 100)))
        if high - low >= 10 and (low < 20 or high > 80) == ood:
            break
    return {BUYER: low, SELLER: high} if rng.random() < 0.2 else {BUYER: high, SELLER: low}


def stated(text: str) -> list[int]:
    """The limits that a speech states, `[my limit 60]`."""
    return [int(x) for x in _LIMIT.findall(text)]


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    sign: int
    """+1 for the buyer, who wants low prices; -1 for the seller."""
    limit: int
    top: int
    theirs: list[int]
    mine: list[int]
    left: int
    """Offers left before this turn."""

    @classmethod
    def of(cls, request: Request) -> Seen:
        told = request.heard
        theirs = [int(found[1]) for text in told if (found := _OFFER.match(text))]
        mine = [int(x) for who, text in request.view if who == "said" for x in re.findall(r"\[offer (\d+)\]", text)]
        limit = re.search(r"\d+", told[0])
        assert limit is not None
        top = 100 if request.env.level else 10
        return cls(1 if request.seat == BUYER else -1, int(limit[0]), top, theirs, mine, read_left(request))

    def gain(self, price: float) -> float:
        return self.sign * (self.limit - price)

    @property
    def offered(self) -> float:
        """What the last offer of the other would gain; endlessly little before there is one."""
        return self.gain(self.theirs[-1]) if self.theirs else -math.inf

    @property
    def best(self) -> int:
        """The best price that there is for this seat."""
        return 0 if self.sign > 0 else self.top


def reply(seen: Seen, want: float, *, speech: str = "") -> str:
    """Accept what is at least as good as the price wanted (at the end: as nothing), else offer it, else walk."""
    if seen.offered >= (0 if seen.left == 0 else max(0, seen.gain(want))):
        return f"{speech}[accept]"
    if seen.left == 0:
        return f"{speech}[walk]"
    # round in the seat's own favor, so that no offer is below its limit
    price = int(want) if seen.sign > 0 else -int(-want)
    return f"{speech}[offer {max(0, min(seen.top, price))}]"
