"""Lemons: sellers know what their goods are worth, buyers hear only what is claimed.

| fact | value |
|---|---|
| seats | `seller_0`, `seller_1`, `buyer_0`, `buyer_1` |
| turns | each round the sellers offer at once, then the buyers choose in turn |
| hidden | the quality of every good, from all but its seller; the buyer of a good learns it |
| reward | price - cost, or value - price - fees, over the rounds times the highest price: -1.1 to 1; not zero-sum |
| gold outcome | efficiency, the buyers' part of the gain, honesty, sales by quality, unravelling, prediction |
| theory | without reputation just those qualities trade at whose highest price buyers do not lose on the average |
| controls | `silent` (no pitches), `anonymous` (no records), `oracle` (buyers are told the qualities) |
| source | G. A. Akerlof, The market for "lemons" (1970) |

Rules: each round every seller has a good of quality 1, 2 or 3, each as likely. All know what a quality costs its seller
to give away and what it is worth to a buyer, which is always more. A seller offers `[offer 5 claim 3]` (a price and a
claim that binds nobody) or keeps the good. The buyers, who begin by turns, buy an offer (`[buy 1]`) or pass.

Level 0: 3 rounds, prices 0..10, offers without names: no reputation. Level 1: 6 rounds, prices 0..30, natural wording;
offers carry the seller's name, its record (how many of the goods that it has sold were as claimed) and its pitch, and a
buyer may first `[inspect 1]`, once a round, for a fee of 1.

Splits: an instance is the costs and values of the qualities; train and test never share one, and in ood even the worst
goods cost something. Parameter: `rounds` (0: the level's own).

Players: `random`, `greedy` (claims the best and asks nearly its worth; buys the cheapest if goods on the average are
worth more), `oracle` (sells at the middle of cost and value, buys what is worth most beyond its price), `honest` (tells
the truth, asks the middle, and believes), `rational` (Akerlof's equilibrium: asks the highest price at which buyers do
not lose on the average, or keeps the good; believes nothing).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from statistics import mean
from typing import NamedTuple

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

SELLERS, BUYERS = ("seller_0", "seller_1"), ("buyer_0", "buyer_1")
FEE = 1
OPENINGS = (
    ("You {do}.",),
    (
        "You {do} in a market of used cars.",
        "At the horse fair you {do}. Nobody sees from outside what a horse is worth.",
        "You {do} old violins, of which one must know where they come from.",
    ),
)


class Market(NamedTuple):
    """What qualities 1, 2 and 3 cost a seller, and what they are worth to a buyer."""

    costs: tuple[int, ...]
    values: tuple[int, ...]

    def cost(self, quality: int) -> int:
        return self.costs[quality - 1]

    def value(self, quality: int) -> int:
        return self.values[quality - 1]


class Offer(NamedTuple):
    seller: str
    price: int
    claim: int


def willing(market: Market, price: int) -> list[int]:
    """The qualities whose sellers do not lose at a price."""
    return [quality for quality in (1, 2, 3) if market.cost(quality) <= price]


def expected(market: Market, price: int) -> float:
    """The mean value of the goods that are offered at a price by sellers who do not lose."""
    return mean([market.value(quality) for quality in willing(market, price)] or [0])


def clearing_price(market: Market) -> int:
    """Akerlof's equilibrium: the highest price at which a buyer does not lose on the average."""
    return max(price for price in range(max(market.values) + 1) if expected(market, price) >= price)


class Lemons(ScriptedEnv):
    """A market in which only sellers know the quality."""

    env_id = "lemons"
    seats = (*SELLERS, *BUYERS)
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("silent", "anonymous", "oracle")
    rules = (
        "Sellers have goods of quality 1, 2 or 3, which only they know; better ones cost them more and are worth more "
        "to buyers. Each round a seller names a price and claims a quality, true or not, or keeps the good; then each "
        "buyer buys one good or none. A seller earns price minus cost, a buyer worth minus price."
    )
    reward_range = (-1.1, 1.0)
    skill = "efficiency"

    rounds: int = 0
    silent: bool = False
    anonymous: bool = False
    oracle: bool = False

    def script(self, rng: random.Random) -> Script:
        rounds = self.rounds or (6 if self.level else 3)
        top = 30 if self.level else 10
        named = self.level > 0 and not self.anonymous
        market = self.item("market", lambda r: self._market(r, top), tuple)
        opening = rng.choice(OPENINGS[self.level])
        table = f"Qualities 1, 2, 3 cost {_three(market.costs)} and are worth {_three(market.values)}."
        for seat in self.seats:
            self.tell(f"{opening.format(do='sell' if seat in SELLERS else 'buy')} {table} {rounds} rounds.", to=seat)

        earned = dict.fromkeys(self.seats, 0)
        sold: list[tuple[Offer, int]] = []  # with the quality
        goods: list[int] = []
        claims: list[bool] = []
        fees = 0
        for turn in range(rounds):
            quality = {s: self.secret(s, f"quality {turn + 1}", lambda r: r.randint(1, 3)) for s in SELLERS}
            goods += quality.values()
            for seat in SELLERS:
                self.tell(f"Round {turn + 1}. Yours has quality {quality[seat]}.", to=seat)
            moves = yield self.turn(SELLERS, f"offer 0..{top} claim 1..3", "keep", default="keep")
            made = [Offer(s, int(m.args[0]), int(m.args[2])) for s, m in moves.items() if m.verb == "offer"]
            rng.shuffle(made)
            offers = {str(n): offer for n, offer in enumerate(made, 1)}
            claims += [offer.claim == quality[offer.seller] for offer in made]
            self.note(qualities={n: quality[offer.seller] for n, offer in offers.items()})
            self.tell(f"Round {turn + 1}: {len(made)} of 2 goods are offered.", to=BUYERS)
            for n, (seller, price, claim) in offers.items():
                past = [offer.claim == truth for offer, truth in sold if offer.seller == seller]
                by = f" by {seller} ({sum(past)} of {len(past)} sold as claimed)" if named else ""
                pitch = moves[seller].said() if self.level and not self.silent else ""
                talk = f' It says: "{pitch}"' if pitch else ""
                # a record shows what the buyers of those goods have learned
                tell = self.reveal if named and past else self.tell
                tell(f"Offer {n}{by}: price {price}, claimed quality {claim}.{talk}", to=BUYERS)
                if self.oracle:
                    self.reveal(f"Offer {n} has quality {quality[seller]}.", to=BUYERS)

            first, second = BUYERS if turn % 2 == 0 else BUYERS[::-1]
            for buyer, other in ((first, second), (second, first)):
                if not offers:
                    break
                left = "|".join(offers)
                commands = (f"buy {left}", "pass")
                inspect = (f"inspect {left}",) if self.level else ()
                move = yield self.turn(buyer, *commands, *inspect, default="pass")
                if move.verb == "inspect":
                    fees += FEE
                    earned[buyer] -= FEE
                    self.reveal(f"Offer {move.args[0]} has quality {quality[offers[move.args[0]].seller]}.", to=buyer)
                    move = yield self.turn(buyer, *commands, default="pass")
                if move.verb == "buy":
                    offer = offers.pop(move.args[0])
                    truth = quality[offer.seller]
                    sold.append((offer, truth))
                    earned[offer.seller] += offer.price - market.cost(truth)
                    earned[buyer] += market.value(truth) - offer.price
                    self.reveal(f"It has quality {truth}. You gain {market.value(truth) - offer.price}.", to=buyer)
                    self.tell(f"Sold at {offer.price}. You gain {offer.price - market.cost(truth)}.", to=offer.seller)
                    self.tell(f"Offer {move.args[0]} is sold.", to=other)

        self.reward({s: x / rounds / top for s, x in earned.items()})
        gain = sum(market.value(q) - market.cost(q) for _, q in sold) - fees
        better = sum(q > 1 for q in goods)
        self.outcome(
            efficiency=gain / sum(market.value(q) - market.cost(q) for q in goods),
            buyers_part=sum(earned[b] for b in BUYERS) / gain if gain > 0 else None,
            honesty=mean(claims) if claims else None,
            goods={str(q): goods.count(q) for q in (1, 2, 3)},
            sold={str(q): sum(q == x for _, x in sold) for q in (1, 2, 3)},
            unravelling=1 - sum(q > 1 for _, q in sold) / better if better else None,
            predicted=willing(market, clearing_price(market)),
            inspected=fees // FEE,
        )

    def _market(self, rng: random.Random, top: int) -> Market:
        """Better goods cost more; each is worth a little more than it costs."""
        most = top // 5 + 1
        worst = rng.randint(2, 4) if self.split == "ood" else rng.randint(0, 1)
        costs = (worst, *sorted(rng.sample(range(worst + 1, top - most + 1), 2)))
        gains = sorted(rng.randint(1, most) for _ in costs)
        return Market(costs, tuple(c + g for c, g in zip(costs, gains, strict=True)))


def _three(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


# -- players -----------------------------------------------------------------------------------------------------


def _known_market(request: Request) -> Market:
    numbers = [int(n) for n in re.findall(r"\d+", request.heard[0].partition("cost")[2])]
    return Market(tuple(numbers[:3]), tuple(numbers[3:6]))


def _my_quality(request: Request) -> int:
    return [int(found[1]) for text in request.heard if (found := re.search(r"Yours has quality (\d)", text))][-1]


def _open_offers(request: Request) -> dict[str, Offer]:
    """The offers of this round that are left, by number."""
    told = request.heard
    start = max(i for i, text in enumerate(told) if text.startswith("Round "))
    found = (re.match(r'Offer (\d)([^":]*): price (\d+), claimed quality (\d)', text) for text in told[start:])
    offers = {f[1]: Offer(f[2], int(f[3]), int(f[4])) for f in found if f}
    left = next(c for c in request.commands if c.startswith("buy")).split()[1].split("|")
    return {n: offers[n] for n in left}


def _buy(request: Request, worth: Callable[[str, Offer], float]) -> str:
    """Buy what is worth most beyond its price, if that is not a loss."""
    offers = _open_offers(request)
    best = max(offers, key=lambda n: worth(n, offers[n]) - offers[n].price)
    return f"[buy {best}]" if worth(best, offers[best]) >= offers[best].price else "[pass]"


def _greedy(request: Request) -> str:
    market = _known_market(request)
    if request.seat in SELLERS:
        return f"This is the best there is. [offer {market.value(3) - 1} claim 3]"
    return _buy(request, lambda n, offer: mean(market.values))


def _oracle(request: Request) -> str:
    market = _known_market(request)
    if request.seat in SELLERS:
        return _honest(request)
    qualities = request.facts["qualities"]
    return _buy(request, lambda n, offer: market.value(qualities[n]))


def _honest(request: Request) -> str:
    market = _known_market(request)
    if request.seat in SELLERS:
        quality = _my_quality(request)
        return f"[offer {(market.cost(quality) + market.value(quality)) // 2} claim {quality}]"
    return _buy(request, lambda n, offer: market.value(offer.claim))


def _rational(request: Request) -> str:
    market = _known_market(request)
    if request.seat in SELLERS:
        price = clearing_price(market)
        return f"[offer {price} claim 3]" if _my_quality(request) in willing(market, price) else "[keep]"
    return _buy(request, lambda n, offer: expected(market, offer.price))


Lemons.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "honest": _honest,
    "rational": _rational,
}
