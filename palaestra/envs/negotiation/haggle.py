"""Haggle: a buyer and a seller bargain over one item, each with a private limit.

| fact | value |
|---|---|
| seats | `buyer_0`, `seller_0` |
| turns | up to `rounds` offers and one last answer |
| hidden | the buyer's value and the seller's cost, each from the other seat |
| reward | own surplus over a scale: -1 to 1 at level 0, cut to -2 to 2 at level 1; no deal 0; not zero-sum |
| gold outcome | deal, price, efficiency, buyer's share, offers, first offers, truth of stated limits |
| source | arXiv 2305.10142 (self-play bargaining), arXiv 2402.05863 (NegotiationArena) |

Rules: the seats alternate; who begins is drawn. A seat names a price, accepts the price that the other has just
named, or walks away. When all offers are made, the next seat can only accept or walk. What is said beside the move is
heard by the other seat and changes nothing by itself.

Level 0: value 5..10, cost 0..5, so a trade never loses; 4 offers, prices 0..10; rewards (value - price)/10 and
(price - cost)/10. Level 1: limits up to 100, in one case of five the value is below the cost; 6 offers, prices 0..100;
rewards are divided by the gain abs(value - cost), which is at least 10, and cut to -2..2 (the cut is ours: an absurd
price must not outweigh a batch). A seat may state its limit as `[my limit 60]` in its speech, beside a move; the
statement costs no turn, binds nobody, and its truth is measured.

Splits: train and test hold different pairs of limits; ood holds pairs from another range (level 0: both limits on
one side of 5; level 1: at least one limit outside of 20..80).

Parameters: `rounds` (offers; 0: the level's own; 1 is the ultimatum game). Controls: `joint` (both are paid the mean
of the two rewards), `silent` (speech is not passed on), `swap` (the other seat begins), `oracle` (both are told both
limits).

Players: `random`, `greedy` (takes any gain, else asks for half of what could be had), `oracle` (knows both limits:
offers the other's limit), `boulware` (concedes late), `conceder` (concedes early), `split` (meets the other half-way),
`truthful` (states its limit and offers a fair price). Each against itself at level 0, mean reward over 300 seeds:
random 0.13, split 0.25, greedy 0.26, all others 0.27, which is the ceiling (half of the mean gain, over 10).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from palaestra.envs.common.bargaining import Bargaining, offers_left, read_left
from palaestra.envs.grammar import Move
from palaestra.envs.script import Player, Request, Script, play_random

BUYER, SELLER = "buyer_0", "seller_0"
ROLE = {BUYER: "buyer", SELLER: "seller"}
OTHER = {BUYER: SELLER, SELLER: BUYER}
_LIMIT = re.compile(r"\[\s*my\s+limit\s+(\d+)\s*\]", re.I)
_OFFER = re.compile(r"The (?:buyer|seller) (?:offers|names|says|proposes) (\d+)\b")

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


def _limits(level: int, ood: bool) -> Callable[[random.Random], dict[str, int]]:
    """The law of (value, cost): small pairs that always gain at level 0, pairs up to 100 at level 1."""

    def small(rng: random.Random) -> dict[str, int]:
        if not ood:
            return {BUYER: rng.randint(5, 10), SELLER: rng.randint(0, 5)}
        low, high = sorted(rng.sample(range(6, 11) if rng.random() < 0.5 else range(0, 5), 2))
        return {BUYER: high, SELLER: low}

    def large(rng: random.Random) -> dict[str, int]:
        while True:
            low, high = sorted((rng.randint(0, 100), rng.randint(0, 100)))
            if high - low >= 10 and (low < 20 or high > 80) == ood:
                break
        return {BUYER: low, SELLER: high} if rng.random() < 0.2 else {BUYER: high, SELLER: low}

    return large if level else small


class Haggle(Bargaining):
    """Bargaining over one price with private limits."""

    env_id = "haggle"
    seats = (BUYER, SELLER)
    levels = (0, 1)
    controls = (*Bargaining.controls, "oracle")
    rules = (
        "A buyer and a seller bargain over one item. The buyer knows what it is worth to them, the seller what it "
        "costs them; a deal gives the buyer worth minus price and the seller price minus cost, no deal gives nothing. "
        "They take turns: offer a price, accept the other's last offer, or walk away. The number of offers is limited."
    )
    reward_range = (-2.0, 2.0)

    oracle: bool = False

    def script(self, rng: random.Random) -> Script:
        top, scale = (100, 0) if self.level else (10, 10)
        rounds = self.rounds or (6 if self.level else 4)
        limits = self.secrets("limits", _limits(self.level, self.split == "ood"), item=_pair)
        value, cost = limits[BUYER], limits[SELLER]
        order = self.order(rng)
        wording = rng.randrange(3) if self.level else 0
        for s in self.seats:
            self.tell(f"{ROLE_LINES[s][wording].format(limit=limits[s])} {offers_left(rounds)}", to=s)
            if self.oracle:
                self.reveal(f"The {ROLE[OTHER[s]]}'s limit is {limits[OTHER[s]]}.", to=s)

        def told(seat: str, move: Move, other: str) -> str:
            return OFFER_LINES[rng.randrange(3) if self.level else 0].format(role=ROLE[seat], price=move.args[0])

        done = yield from self.bargain(order, rounds, f"offer 0..{top}", told)

        offers = [(seat, int(move.args[0])) for seat, move in done.offers]
        stated: dict[str, list[int]] = {BUYER: [], SELLER: []}
        for seat, move in done.moves if self.level else ():
            stated[seat] += [int(x) for x in _LIMIT.findall(move.speech)]
        price = offers[-1][1] if done.deal else None
        end = "walks away. No deal." if price is None else f"accepts. Deal at {price}."
        self.tell(f"The {ROLE[done.last]} {end}")
        if price is not None:
            size = scale or max(abs(value - cost), 1)
            self.pay({BUYER: _cut((value - price) / size), SELLER: _cut((price - cost) / size)})
        gain = value - cost
        claims = [x == limits[s] for s, said in stated.items() for x in said]
        self.outcome(
            deal=done.deal,
            price=price,
            gain=gain,
            efficiency=float(gain == 0 or done.deal == (gain > 0)),
            surplus=gain if done.deal else 0,
            buyer_share=(value - price) / gain if price is not None and gain > 0 else None,
            offers=len(offers),
            first_offers={s: next((p for o, p in offers if o == s), None) for s in self.seats},
            walked=None if done.deal else done.last,
            stated_limits=stated,
            truthfulness=sum(claims) / len(claims) if claims else None,
        )


def _pair(limits: dict[str, int]) -> tuple[int, int]:
    return limits[BUYER], limits[SELLER]


def _cut(x: float) -> float:
    return max(-2.0, min(2.0, x))


# -- players -----------------------------------------------------------------------------------------------------


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

    def gain(self, price: float) -> float:
        return self.sign * (self.limit - price)

    @property
    def best(self) -> int:
        """The best price that there is for this seat."""
        return 0 if self.sign > 0 else self.top


def _seen(request: Request) -> Seen:
    told = request.heard
    theirs = [int(found[1]) for text in told if (found := _OFFER.match(text))]
    mine = [int(x) for who, text in request.view if who == "said" for x in re.findall(r"\[offer (\d+)\]", text)]
    limit = re.search(r"\d+", told[0])
    assert limit is not None
    top = 100 if request.env.level else 10
    return Seen(1 if request.seat == BUYER else -1, int(limit[0]), top, theirs, mine, read_left(request))


def _reply(seen: Seen, want: float, *, speech: str = "") -> str:
    """Accept what is at least as good as the price wanted (at the end: as nothing), else offer it, else walk."""
    last = seen.theirs[-1] if seen.theirs else None
    if last is not None and seen.gain(last) >= (0 if seen.left == 0 else max(0, seen.gain(want))):
        return f"{speech}[accept]"
    if seen.left == 0:
        return f"{speech}[walk]"
    # round in the seat's own favor, so that no offer is below its limit
    price = int(want) if seen.sign > 0 else -int(-want)
    return f"{speech}[offer {max(0, min(seen.top, price))}]"


def _conceding(power: float) -> Player:
    """Moves from the best price to the own limit as (share of offers made) ** power."""

    def play(request: Request) -> str:
        seen = _seen(request)
        done = len(seen.mine) / max(1, len(seen.mine) + (seen.left - 1) // 2)
        return _reply(seen, seen.best + (seen.limit - seen.best) * min(1.0, done) ** power)

    return play


def _greedy(request: Request) -> str:
    seen = _seen(request)
    if seen.theirs and seen.gain(seen.theirs[-1]) >= 0:
        return "[accept]"
    return _reply(seen, (seen.limit + seen.best) / 2)


def _oracle(request: Request) -> str:
    """Offers the other's limit, takes any gain, and walks where there is none."""
    limits: dict[str, Any] = request.facts["limits"]
    seen = _seen(request)
    if limits[BUYER] < limits[SELLER]:
        return "[accept]" if seen.theirs and seen.gain(seen.theirs[-1]) > 0 else "[walk]"
    if seen.theirs and seen.gain(seen.theirs[-1]) >= 0:
        return "[accept]"
    return _reply(seen, limits[OTHER[request.seat]])


def _split(request: Request) -> str:
    """Meets the other half-way between its last offer and the own one."""
    seen = _seen(request)
    own = seen.mine[-1] if seen.mine else seen.best
    want = (own + seen.theirs[-1]) / 2 if seen.theirs else (seen.best + seen.limit) / 2
    return _reply(seen, want if seen.gain(want) >= 0 else seen.limit)


def _truthful(request: Request) -> str:
    """States its limit; offers the middle between it and the other's stated limit, or else the far end's half."""
    seen = _seen(request)
    last = request.heard[-1]
    heard = _LIMIT.findall(last)
    want = (seen.limit + (int(heard[-1]) if heard else seen.best)) / 2
    return _reply(seen, want if seen.gain(want) >= 0 else seen.limit, speech=f"[my limit {seen.limit}] ")


Haggle.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "boulware": _conceding(4.0),
    "conceder": _conceding(0.25),
    "split": _split,
    "truthful": _truthful,
}
