"""Liar's dice: hidden dice, rising bids about all of them, and doubt.

| fact | value |
|---|---|
| seats | `player_0` to `player_4`: the first 2 at level 0, 3 at level 1, all 5 at level 2 |
| turns | one seat at a time, up to one for every bid there is and a doubt, a round |
| hidden | the dice of the others, until a bid is doubted |
| reward | 1 for the last seat that has dice, -1/(N - 1) for each other of N seats; zero-sum |
| gold outcome | winner, rounds, bids, bluffs and false bids, doubts and how many were right |
| theory | two seats with a die each: solved exactly; the second seat is ahead by 0.0271 |
| controls | `silent`: speech is not passed on |
| source | after the folk game (Perudo, Dudo) as OpenSpiel plays it, arXiv 1908.09453 |

Rules: every seat rolls its dice in secret. In turn a seat bids, `[bid 2 5]` (among all dice at least two count for 5),
more dice than the last bid or as many of a higher face, or doubts the last bid, `[liar]`. Then all dice are shown; the
highest face counts for every face. If the bid was true, who doubted loses a die, else who bid it. A seat without dice
is out; the loser, or the seat after it, begins the next round. The last seat with dice wins. A malformed move doubts,
or makes the lowest bid.

Level 0: two seats, a die each, so one round. Level 1: three seats, two dice each; who begins is drawn, sentences of
several wordings, and the seats hear what is said beside a bid. Level 2: five seats, five dice each. Parameters:
`seated`, `dice` (0: the level's own), `faces`. One split: the rolls are the game.

Players: `random`, `greedy` (bids what is likeliest from its own dice, doubts what is less likely than not), `oracle`
(sees all dice), `bluffer` (bids the least it can, and doubts only when nothing is left to bid).
"""

from __future__ import annotations

import random
from typing import Any

from palaestra.envs.games.dice import BIDS, Bid, Made, commands, habits, higher, holding, likely, roll, rolled, seen
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError


class LiarsDice(ScriptedEnv):
    """Bids about hidden dice."""

    env_id = "liars_dice"
    levels = (0, 1, 2)
    controls = ("silent",)
    rules = (
        "Everyone rolls dice in secret. In turn you bid how many of all dice count at least for a face: more than the "
        "last bid, or as many of a higher face. Or you call the last bidder a liar. The highest face counts for every "
        "face. If the bid was true the doubter loses a die, else the bidder. The last one with dice wins."
    )
    reward_range = (-1.0, 1.0)
    zero_sum = True

    seated: int = 0
    dice: int = 0
    faces: int = 6
    silent: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"player_{n}" for n in range(self.seated or (2, 3, 5)[self.level]))

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        for name, low, high in (("seated", 2, 9), ("dice", 1, 9), ("faces", 2, 9)):
            if (value := self.params[name]) and not low <= value <= high:
                raise EnvError(f"liars_dice: {name} = {value!r}\n  it is a number from {low} to {high}")

    def script(self, rng: random.Random) -> Script:
        left = dict.fromkeys(self.seats, self.dice or (1, 2, 5)[self.level])
        seat = self.seats[rng.randrange(len(self.seats)) if self.level else 0]
        wording = rng.randrange(1, len(BIDS)) if self.level else 0
        bids: list[Made] = []
        doubts: list[tuple[str, bool]] = []
        while len(self.living) > 1:
            number, hands = len(doubts) + 1, dict[str, list[int]]()
            for one in self.living:
                hands[one] = self.secret(one, f"dice {number}", roll(left[one], self.faces))
                self.tell(rolled(one, number, hands[one], left, wording), to=one)
            thrown = [d for dice in hands.values() for d in dice]
            true = holding(thrown, self.faces)
            bid: Bid | None = None
            while True:
                allowed = commands(bid, len(thrown), self.faces)
                move = yield self.turn(seat, *allowed, default="liar" if bid else "bid 1 1")
                if move.verb == "liar":
                    break
                bid = (int(move.args[0]), int(move.args[1]))
                bluff = (1, bid[1]) not in holding(hands[seat], self.faces)
                bids.append(Made(seat, bid, bid not in true, bluff))
                talk = f' and says: "{move.said()}"' if self.level and not self.silent and move.speech else ""
                text = BIDS[wording].format(seat=seat, n=bid[0], face=bid[1])
                self.tell(f"{text}{talk}.", to=[s for s in self.living if s != seat])
                seat = self._next(seat)

            last = bids[-1]
            doubts.append((seat, last.false))
            loser = last.seat if last.false else seat
            shown = ", ".join(f"{s} {' '.join(map(str, dice))}" for s, dice in hands.items())
            verdict = f"The bid {last.bid[0]} {last.bid[1]} is {'false' if last.false else 'true'}: {loser} loses a die"
            self.reveal(f"{seat} calls {last.seat} a liar. Dice: {shown}. {verdict}.")
            left[loser] -= 1
            seat = loser if left[loser] else self._next(loser)
            if not left[loser]:
                self.reward({loser: -1 / (len(self.seats) - 1)})
                self.eliminate(loser)

        (winner,) = self.living
        self.reward({winner: 1})
        self.outcome(winner=winner, rounds=len(doubts), **habits(self.seats, bids, doubts))

    def _next(self, seat: str) -> str:
        """The living seat after one."""
        order = self.seats[self.seats.index(seat) + 1 :] + self.seats
        return next(s for s in order if s in self.living)


# -- players -----------------------------------------------------------------------------------------------------


def _say(bid: Bid | None) -> str:
    return f"[bid {bid[0]} {bid[1]}]" if bid else "[liar]"


def _greedy(request: Request) -> str:
    own, faces = seen(request.heard), request.env.params["faces"]
    best = max(higher(own.bid, own.total, faces), key=lambda bid: likely(own, bid, faces), default=None)
    if own.bid and (best is None or 1 - likely(own, own.bid, faces) >= likely(own, best, faces)):
        return "[liar]"
    return _say(best)


def _oracle(request: Request) -> str:
    """Doubts what is false; bids as high as is true, and one higher where nothing else is left."""
    own, faces, facts = seen(request.heard), request.env.params["faces"], request.facts
    latest = max(int(name.split("@")[0].split()[1]) for name in facts)
    hands = [part for name, part in facts.items() if name.startswith(f"dice {latest}@")]
    thrown = [d for part in hands for dice in part.values() for d in dice]
    true = holding(thrown, faces)
    if own.bid and own.bid not in true:
        return "[liar]"
    options = higher(own.bid, own.total, faces)
    return _say(max((b for b in options if b in true), default=options[0] if options else None))


def _bluffer(request: Request) -> str:
    own = seen(request.heard)
    return _say(next(iter(higher(own.bid, own.total, request.env.params["faces"])), None))


LiarsDice.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "bluffer": _bluffer}
