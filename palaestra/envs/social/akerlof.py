"""A market of goods of three qualities: what they cost and are worth, which should trade, and offers read back."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Sequence
from statistics import mean
from typing import Any, NamedTuple

from palaestra.envs.script import Request

QUALITIES = (1, 2, 3)


class Market(NamedTuple):
    """What qualities 1, 2 and 3 cost a seller, and what they are worth to a buyer."""

    costs: tuple[int, ...]
    values: tuple[int, ...]

    def cost(self, quality: int) -> int:
        return self.costs[quality - 1]

    def value(self, quality: int) -> int:
        return self.values[quality - 1]

    def gain(self, qualities: Collection[int]) -> int:
        """What is gained, by all together, where goods of these qualities are sold."""
        return sum(self.value(quality) - self.cost(quality) for quality in qualities)


class Offer(NamedTuple):
    seller: str
    price: int
    claim: int
    quality: int = 0
    """0: not known."""

    @property
    def honest(self) -> bool:
        return self.claim == self.quality

    def gains(self, market: Market) -> tuple[int, int]:
        """What the seller and the buyer gain if it is bought."""
        return self.price - market.cost(self.quality), market.value(self.quality) - self.price


def draw(rng: random.Random, top: int, *, ood: bool) -> Market:
    """Better goods cost more; each is worth a little more than it costs."""
    most = top // 5 + 1
    worst = rng.randint(2, 4) if ood else rng.randint(0, 1)
    costs = (worst, *sorted(rng.sample(range(worst + 1, top - most + 1), 2)))
    gains = sorted(rng.randint(1, most) for _ in costs)
    return Market(costs, tuple(c + g for c, g in zip(costs, gains, strict=True)))


# -- theory ------------------------------------------------------------------------------------------------------


def willing(market: Market, price: int) -> list[int]:
    """The qualities whose sellers do not lose at a price."""
    return [quality for quality in QUALITIES if market.cost(quality) <= price]


def expected(market: Market, price: int) -> float:
    """The mean value of the goods that are offered at a price by sellers who do not lose."""
    return mean([market.value(quality) for quality in willing(market, price)] or [0])


def clearing_price(market: Market) -> int:
    """Akerlof's equilibrium: the highest price at which a buyer does not lose on the average."""
    return max(price for price in range(max(market.values) + 1) if expected(market, price) >= price)


def trade(market: Market, goods: Sequence[int], offered: Sequence[Offer], made: Sequence[Offer]) -> dict[str, Any]:
    """True claims, goods and sales by quality, how many of the better goods were not sold, what should have been.

    Args:
        goods: the qualities of all goods, offered or not.
        made: the offers that were bought.
    """
    sold, better = [offer.quality for offer in made], sum(q > 1 for q in goods)
    return {
        "honesty": mean(offer.honest for offer in offered) if offered else None,
        "goods": {str(q): goods.count(q) for q in QUALITIES},
        "sold": {str(q): sold.count(q) for q in QUALITIES},
        "unravelling": 1 - sum(q > 1 for q in sold) / better if better else None,
        "predicted": willing(market, clearing_price(market)),
    }


# -- in words ----------------------------------------------------------------------------------------------------

OPENINGS = (
    ("You {do}.",),
    (
        "You {do} in a market of used cars.",
        "At the horse fair you {do}. Nobody sees from outside what a horse is worth.",
        "You {do} old violins, of which one must know where they come from.",
    ),
)


def opened(opening: str, market: Market, *, sells: bool) -> str:
    """One of `OPENINGS` for who sells or buys, and what everybody knows."""
    costs, values = (", ".join(map(str, numbers)) for numbers in market)
    return f"{opening.format(do='sell' if sells else 'buy')} Qualities 1, 2, 3 cost {costs} and are worth {values}."


def listed(number: str, offer: Offer, past: Sequence[bool] | None) -> str:
    """`Offer 1 by seller_0 (1 of 2 sold as claimed): price 5, claimed quality 3.`; without `past` it has no name."""
    by = "" if past is None else f" by {offer.seller} ({sum(past)} of {len(past)} sold as claimed)"
    return f"Offer {number}{by}: price {offer.price}, claimed quality {offer.claim}."


def known(request: Request) -> Market:
    """The market, as a seat was told at the start."""
    numbers = [int(n) for n in re.findall(r"\d+", request.heard[0].partition("cost")[2])]
    return Market(tuple(numbers[:3]), tuple(numbers[3:6]))


def own_quality(request: Request) -> int:
    """The quality of a seller's good in this round."""
    return [int(found[1]) for text in request.heard if (found := re.search(r"Yours has quality (\d)", text))][-1]


def open_offers(request: Request) -> dict[str, Offer]:
    """The offers of this round that are left, by number."""
    told = request.heard
    start = max(i for i, text in enumerate(told) if text.startswith("Round "))
    found = (re.match(r'Offer (\d)([^":]*): price (\d+), claimed quality (\d)', text) for text in told[start:])
    offers = {f[1]: Offer(f[2], int(f[3]), int(f[4])) for f in found if f}
    left = next(c for c in request.commands if c.startswith("buy")).split()[1].split("|")
    return {n: offers[n] for n in left}


def buy(request: Request, worth: Callable[[str, Offer], float]) -> str:
    """Buy what is worth most beyond its price, if that is not a loss."""
    offers = open_offers(request)
    best = max(offers, key=lambda n: worth(n, offers[n]) - offers[n].price)
    return f"[buy {best}]" if worth(best, offers[best]) >= offers[best].price else "[pass]"
