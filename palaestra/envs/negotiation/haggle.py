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

Players: `random`, `greedy` (takes any gain, else asks for half of what could be had), `oracle` (knows both limits: asks
that or all the gain, whichever is more, and at last all the gain), `boulware` (concedes late), `conceder` (concedes
early), `split` (meets the other half-way), `truthful` (states its limit and offers a fair price). Each against itself
at level 0, mean reward over 300 seeds: random 0.13, split 0.25, greedy 0.26, all others the ceiling of 0.27.
"""

from __future__ import annotations

import random

from palaestra.envs.common.bargaining import Bargaining, offers_left
from palaestra.envs.common.measures import share
from palaestra.envs.grammar import Move
from palaestra.envs.negotiation import prices
from palaestra.envs.negotiation.prices import BUYER, OFFER_LINES, OTHER, ROLE, ROLE_LINES, SELLER, Seen
from palaestra.envs.script import Request, Script, play_random


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
        top, rounds = (100, self.rounds or 6) if self.level else (10, self.rounds or 4)
        law, ood = prices.large if self.level else prices.small, self.split == "ood"
        limits = self.secrets("limits", lambda r: law(r, ood=ood), item=lambda drawn: (drawn[BUYER], drawn[SELLER]))
        value, cost = limits[BUYER], limits[SELLER]
        gain = value - cost
        order, wording = self.order(rng), rng.randrange(3) if self.level else 0
        for s in self.seats:
            self.tell(f"{ROLE_LINES[s][wording].format(limit=limits[s])} {offers_left(rounds)}", to=s)
            if self.oracle:
                self.reveal(f"The {ROLE[OTHER[s]]}'s limit is {limits[OTHER[s]]}.", to=s)

        def told(seat: str, move: Move, other: str) -> str:
            return OFFER_LINES[rng.randrange(3) if self.level else 0].format(role=ROLE[seat], price=move.args[0])

        done = yield from self.bargain(order, rounds, f"offer 0..{top}", told)

        offers = [(seat, int(move.args[0])) for seat, move in done.offers]
        stated = [(seat, x) for seat, move in done.moves if self.level for x in prices.stated(move.speech)]
        price = offers[-1][1] if done.deal else None
        end = "walks away. No deal." if price is None else f"accepts. Deal at {price}."
        self.tell(f"The {ROLE[done.last]} {end}")
        if price is not None:
            surplus, scale = {BUYER: value - price, SELLER: price - cost}, max(abs(gain), 1) if self.level else 10
            self.pay({s: max(-2.0, min(2.0, x / scale)) for s, x in surplus.items()})
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
            stated_limits={s: [x for o, x in stated if o == s] for s in self.seats},
            truthfulness=share(x == limits[s] for s, x in stated),
        )


# -- players -----------------------------------------------------------------------------------------------------


def _conceding(request: Request, power: float) -> str:
    """Moves from the best price to the own limit as (share of offers made) ** power."""
    seen = Seen.of(request)
    done = len(seen.mine) / max(1, len(seen.mine) + (seen.left - 1) // 2)
    return prices.reply(seen, seen.best + (seen.limit - seen.best) * min(1.0, done) ** power)


def _greedy(request: Request) -> str:
    seen = Seen.of(request)
    return "[accept]" if seen.offered >= 0 else prices.reply(seen, (seen.limit + seen.best) / 2)


def _oracle(request: Request) -> str:
    """Asks as greedy does, or the other's limit where that is more and at last; takes any gain, walks without one."""
    limits, seen = request.facts["limits"], Seen.of(request)
    if seen.offered >= 0:
        return "[accept]"
    theirs = limits[OTHER[request.seat]]
    wants = [theirs] if seen.left <= 2 and seen.gain(theirs) > 0 else [theirs, (seen.limit + seen.best) / 2]
    return prices.reply(seen, max(wants, key=seen.gain))


def _split(request: Request) -> str:
    """Meets the other half-way between its last offer and the own one."""
    seen = Seen.of(request)
    own = seen.mine[-1] if seen.mine else seen.best
    want = (own + seen.theirs[-1]) / 2 if seen.theirs else (seen.best + seen.limit) / 2
    return prices.reply(seen, want if seen.gain(want) >= 0 else seen.limit)


def _truthful(request: Request) -> str:
    """States its limit; offers the middle between it and the other's stated limit, or else the far end's half."""
    seen = Seen.of(request)
    want = (seen.limit + [seen.best, *prices.stated(request.heard[-1])][-1]) / 2
    return prices.reply(seen, want if seen.gain(want) >= 0 else seen.limit, speech=f"[my limit {seen.limit}] ")


Haggle.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "boulware": lambda request: _conceding(request, 4.0),
    "conceder": lambda request: _conceding(request, 0.25),
    "split": _split,
    "truthful": _truthful,
}
