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
from statistics import mean

from palaestra.envs.common.talk import heard
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social import akerlof
from palaestra.envs.social.akerlof import Offer, buy, clearing_price, expected, known, own_quality, willing

SELLERS, BUYERS = ("seller_0", "seller_1"), ("buyer_0", "buyer_1")
FEE = 1


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
        rounds, top = (self.rounds or 6, 30) if self.level else (self.rounds or 3, 10)
        named = self.level > 0 and not self.anonymous
        market = self.item("market", lambda r: akerlof.draw(r, top, ood=self.split == "ood"), tuple)
        opening = rng.choice(akerlof.OPENINGS[self.level])
        for seat in self.seats:
            self.tell(f"{akerlof.opened(opening, market, sells=seat in SELLERS)} {rounds} rounds.", to=seat)

        earned, inspected = dict.fromkeys(self.seats, 0), 0
        goods, offered, sold = list[int](), list[Offer](), list[Offer]()
        for turn in range(rounds):
            quality = {s: self.secret(s, f"quality {turn + 1}", lambda r: r.randint(1, 3)) for s in SELLERS}
            goods += quality.values()
            for seat in SELLERS:
                self.tell(f"Round {turn + 1}. Yours has quality {quality[seat]}.", to=seat)
            moves = yield self.turn(SELLERS, f"offer 0..{top} claim 1..3", "keep", default="keep")
            made = [Offer(s, int(m.args[0]), int(m.args[2]), quality[s]) for s, m in moves.items() if m.verb == "offer"]
            rng.shuffle(made)
            offers = {str(n): offer for n, offer in enumerate(made, 1)}
            offered += made
            self.note(qualities={n: offer.quality for n, offer in offers.items()})
            self.tell(f"Round {turn + 1}: {len(made)} of 2 goods are offered.", to=BUYERS)
            for n, offer in offers.items():
                past = [o.honest for o in sold if o.seller == offer.seller] if named else None
                line = akerlof.listed(n, offer, past)
                # a record shows what the buyers of those goods have learned
                tell = self.reveal if past else self.tell
                tell(heard(line, moves[offer.seller]) if self.level and not self.silent else line, to=BUYERS)
                if self.oracle:
                    self.reveal(f"Offer {n} has quality {offer.quality}.", to=BUYERS)

            for buyer, other in (BUYERS, BUYERS[::-1]) if turn % 2 == 0 else (BUYERS[::-1], BUYERS):
                if not offers:
                    break
                left = "|".join(offers)
                commands = (f"buy {left}", "pass")
                move = yield self.turn(buyer, *commands, *[f"inspect {left}"] * (self.level > 0), default="pass")
                if move.verb == "inspect":
                    inspected += 1
                    earned[buyer] -= FEE
                    self.reveal(f"Offer {move.args[0]} has quality {offers[move.args[0]].quality}.", to=buyer)
                    move = yield self.turn(buyer, *commands, default="pass")
                if move.verb == "buy":
                    offer = offers.pop(move.args[0])
                    sold.append(offer)
                    profit, surplus = offer.gains(market)
                    earned[offer.seller] += profit
                    earned[buyer] += surplus
                    self.reveal(f"It has quality {offer.quality}. You gain {surplus}.", to=buyer)
                    self.tell(f"Sold at {offer.price}. You gain {profit}.", to=offer.seller)
                    self.tell(f"Offer {move.args[0]} is sold.", to=other)

        self.reward({s: x / rounds / top for s, x in earned.items()})
        gain = sum(earned.values())
        self.outcome(
            efficiency=gain / market.gain(goods),
            buyers_part=sum(earned[b] for b in BUYERS) / gain if gain > 0 else None,
            **akerlof.trade(market, goods, offered, sold),
            inspected=inspected,
        )


# -- players -----------------------------------------------------------------------------------------------------


def _greedy(request: Request) -> str:
    market = known(request)
    if request.seat in SELLERS:
        return f"This is the best there is. [offer {market.value(3) - 1} claim 3]"
    return buy(request, lambda n, offer: mean(market.values))


def _oracle(request: Request) -> str:
    if request.seat in SELLERS:
        return _honest(request)
    market, qualities = known(request), request.facts["qualities"]
    return buy(request, lambda n, offer: market.value(qualities[n]))


def _honest(request: Request) -> str:
    market = known(request)
    if request.seat in SELLERS:
        quality = own_quality(request)
        return f"[offer {(market.cost(quality) + market.value(quality)) // 2} claim {quality}]"
    return buy(request, lambda n, offer: market.value(offer.claim))


def _rational(request: Request) -> str:
    market = known(request)
    if request.seat in SELLERS:
        price = clearing_price(market)
        return f"[offer {price} claim 3]" if own_quality(request) in willing(market, price) else "[keep]"
    return buy(request, lambda n, offer: expected(market, offer.price))


Lemons.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "honest": _honest, "rational": _rational}
