"""Mini-Diplomacy: three powers with two armies each, letters that promise and orders that need not keep it.

| fact | value |
|---|---|
| seats | `power_0`, `power_1`, `power_2` |
| turns | a year: at level 1 two letters, then an order for each army, always at once |
| hidden | the letters of others, and all orders while they are given |
| reward | own part of all owned centres, less a third: -1/3 to 2/3; zero-sum |
| gold outcome | centres, pledges, promises kept, betrayals, support given to others, armies dislodged |
| theory | orders are carried out as in Diplomacy: the largest set of moves that agrees with its rules |
| controls | `silent` (no letters), `open_letters` (all read all letters) |
| source | A. Calhamer, Diplomacy (1959); arXiv 2210.05492 (Diplodocus) |

Rules: nine provinces in three rings; the outer three are homes. Every year each army gets one order: `[hold a]`,
`[move a d]` to a bordering province, or `[support a d]`, help for the army in d to stay, or to enter the province that
it is ordered to if that borders on a. All orders are carried out at once. An army enters a province if it has more
strength (itself and its supports) than every other that enters, and than the army that stays there. Two armies cannot
change places; nobody dislodges an army of its own; support is cut by an attack of another power, but not by one from
the province that it is aimed at. A dislodged army is lost. In winter, an army in a centre owns it from then on, and a
power that has fewer than two armies gets one in its home, if it owns it and it is free.

Level 0: 4 years, provinces a to i, no letters. Level 1: 6 years, provinces with made-up names, and before the orders of
a year two letters: what is said beside `[to red]`, `[pledge red peace]` or `[pledge red support]` goes to that power
alone. A pledge is for this year; it binds nobody and is measured: peace is broken by a move into a province that the
other owns or stands in, support is kept by supporting one of its armies.

Splits: an instance is which three provinces are centres beside the homes, and where the second armies are; train and
test never share one, and in ood there are four such centres. Parameter: `years` (0: the level's own).

Players: `random`, `greedy` (every army goes to the nearest centre that is not its own), `oracle` (the best orders of
one year if the others stay), `responder` (the best orders against those that greedy powers would give), `loyal`
(pledges peace to the next power, and is greedy elsewhere), `traitor` (pledges it too, and is greedy there). Orders that
are given at once cannot be known, so none of them is a best reply to whatever the others do.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from palaestra.envs.common.words import made_up
from palaestra.envs.games.diplomacy_orders import (
    ARMIES,
    HOMES,
    MAP,
    POWERS,
    Board,
    Order,
    Orders,
    World,
    best_orders,
    carry_out,
    greedy_orders,
    options,
    standing,
)
from palaestra.envs.script import Player, Request, Script, ScriptedEnv, play_random

OPENINGS = (
    ("You are {power}.",),
    (
        "You are {power}, one of three powers that fight for an island; the others are your allies or your enemies.",
        "You rule the land of {power}. Two other rulers want the same towns as you.",
        "The crown of {power} is yours. Three crowns share nine provinces, and none of them equally.",
    ),
)


def describe(board: Board) -> str:
    def one(power: str) -> str:
        centres = sorted(c for c, owner in board.owners.items() if owner == power)
        who = f"{power}: armies" if power else "Free:"
        armies = f" {' '.join(standing(board, power)) or 'none'}," if power else ""
        return f"{who}{armies} centres {' '.join(centres) or 'none'}."

    return " ".join(map(one, (*POWERS, "")))


def keeps(board: Board, orders: Orders, me: str, you: str, kind: str) -> bool:
    """Whether the orders of a year keep a pledge."""
    mine = [order for a, order in orders.items() if board.armies[a] == me]
    if kind == "support":
        return any(order.verb == "support" and board.armies[order.target] == you for order in mine)
    theirs = {x for x in (*board.armies, *board.owners) if you in (board.armies.get(x), board.owners.get(x))}
    return not any(order.verb == "move" and order.target in theirs for order in mine)


class DiplomacyMini(ScriptedEnv):
    """Three powers, nine provinces, letters and simultaneous orders."""

    env_id = "diplomacy_mini"
    seats = ("power_0", "power_1", "power_2")
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("silent", "open_letters")
    rules = (
        "Three powers fight for centres. Each year every army holds, moves to a bordering province, or supports an "
        "army to stay or to enter a province that borders on its own. All orders count at once: the stronger side, an "
        "army and its supports, gets the province; equals stand off. An army in a centre at the end of a year owns it. "
        "A lost army comes back in an own, free home. Letters may promise; only orders count."
    )
    reward_range = (-1 / 3, 2 / 3)
    zero_sum = True

    years: int = 0
    silent: bool = False
    open_letters: bool = False

    def script(self, rng: random.Random) -> Script:
        years = self.years or (6 if self.level else 4)
        seat = dict(zip(POWERS, self.seats, strict=True))
        neutral, second = self.item("setup", self._setup)
        name = dict(zip(MAP, made_up(rng, len(MAP), self.split) if self.level else MAP, strict=True))
        homes = {power: name[home] for power, home in zip(POWERS, HOMES, strict=True)}
        world = World({name[a]: [name[x] for x in near] for a, near in MAP.items()}, homes)
        armies = {name[a]: power for a, power in zip(HOMES + second, POWERS * 2, strict=True)}
        board = Board(armies, {name[a]: armies.get(name[a], "") for a in sorted(HOMES + neutral)})
        opening = rng.choice(OPENINGS[self.level])
        borders = "; ".join(f"{a}: {' '.join(near)}" for a, near in world.borders.items())
        for power in POWERS:
            text = f"Borders: {borders}. Homes: {', '.join(f'{p} {home}' for p, home in homes.items())}."
            self.tell(f"{opening.format(power=power)} {text}", to=seat[power])

        made = kept = betrayals = helped = fallen = 0
        for year in range(1, years + 1):
            self.tell(f"Year {year} of {years}. {describe(board)}")
            pledges: set[tuple[str, str, str]] = set()
            for _ in range(2 if self.level and not self.silent else 0):
                pledges |= yield from self._letters(seat)
            orders: dict[str, Order] = {}
            for k in range(ARMIES):
                asked = {p: standing(board, p)[k] for p in POWERS if len(standing(board, p)) > k}
                moves = yield tuple(self._order(seat[p], world, board, a) for p, a in asked.items())
                for power, a in asked.items():
                    move = moves[seat[power]]
                    orders[a] = Order(move.verb, move.args[-1])
            before, (board, done, lost) = board, carry_out(world, board, orders)
            self.tell(
                "Orders: " + " ".join(f"{before.armies[a]} {_told(a, o, done, lost)}." for a, o in orders.items())
            )

            broken = {pledge for pledge in pledges if not keeps(before, orders, *pledge)}
            made += len(pledges)
            kept += len(pledges - broken)
            betrayals += sum(kind == "peace" for *_, kind in broken)
            helped += sum(
                o.verb == "support" and before.armies[o.target] != before.armies[a] for a, o in orders.items()
            )
            fallen += len(lost)

        self.tell(f"The end. {describe(board)}")
        owners = [owner for owner in board.owners.values() if owner]
        self.reward({seat[p]: owners.count(p) / len(owners) - 1 / 3 for p in POWERS})
        self.outcome(
            centres={p: owners.count(p) for p in POWERS},
            pledges=made,
            promises_kept=kept / made if made else None,
            betrayals=betrayals,
            support_given=helped,
            lost=fallen,
        )

    def _setup(self, rng: random.Random) -> tuple[str, str]:
        """Which provinces beside the homes are centres, and where the second army of each power stands."""
        neutral = "".join(sorted(rng.sample("defghi", 4 if self.split == "ood" else 3)))
        while len(set(second := "".join(rng.choice(MAP[home]) for home in HOMES))) < len(HOMES):
            pass
        return neutral, second

    def _letters(self, seat: Mapping[str, str]) -> Script:
        """One letter of each power, at once; returns the pledges as (who, to whom, what)."""

        def ask(power: str) -> Any:
            others = "|".join(p for p in POWERS if p != power)
            return self.turn(seat[power], f"to {others}", f"pledge {others} peace|support", "pass", default="pass")

        moves = yield tuple(map(ask, POWERS))
        pledges = set()
        for power, move in zip(POWERS, moves.values(), strict=True):
            if move.verb == "pass":
                continue
            other, *pledged = move.args
            pledges |= {(power, other, kind) for kind in pledged}
            what = f"pledges {pledged[0]} to {other}" if pledged else f"writes to {other}"
            readers = [seat[p] for p in POWERS if p != power] if self.open_letters else [seat[other]]
            talk = f': "{move.said()}"' if move.speech else "."
            self.tell(f"{power} {what}{talk}", to=readers)
        return pledges

    def _order(self, seat: str, world: World, board: Board, a: str) -> Any:
        words: dict[str, list[str]] = {}
        for order in options(world, board, a):
            words.setdefault(order.verb, []).append(order.target)
        commands = (f"{verb} {a} {'|'.join(targets)}" for verb, targets in words.items() if verb != "hold")
        return self.turn(seat, f"hold {a}", *commands, default=f"hold {a}")


def _told(a: str, order: Order, done: AbstractSet[str], lost: AbstractSet[str]) -> str:
    """`a moves to d and fails`."""
    verb = {"hold": "holds", "move": f"moves to {order.target}", "support": f"supports {order.target}"}[order.verb]
    fate = " and is lost" if a in lost else " and fails" if order.verb == "move" and a not in done else ""
    return f"{a} {verb}{fate}"


# -- players -----------------------------------------------------------------------------------------------------


Plan = Callable[[str, World, Board], Orders]
"""A power's orders for all its armies."""


def _read(opening: str, now: str) -> tuple[World, Board]:
    """The map and the board, as the seats are told."""
    borders = re.findall(r"(\w+): ([\w ]+)[;.]", opening.partition("Borders: ")[2].partition(" Homes")[0])
    homes = dict(re.findall(r"(\w+) (\w+)", opening.partition("Homes: ")[2]))
    armies = {a: p for p, names in re.findall(r"(\w+): armies ([\w ]+),", now) for a in names.split() if a != "none"}
    owned = zip((*POWERS, ""), re.findall(r"centres ([\w ]+)\.", now), strict=True)
    owners = {c: p for p, names in owned for c in names.split() if c != "none"}
    return World({a: near.split() for a, near in borders}, homes), Board(armies, owners)


def _player(plan: Plan, *, pledges: bool = False) -> Player:
    """Gives the orders of a plan; in letters pledges peace to the next power, or passes."""

    @functools.lru_cache(256)
    def orders(power: str, opening: str, now: str) -> Orders:
        return plan(power, *_read(opening, now))

    def play(request: Request) -> str:
        power = POWERS[request.env.seats.index(request.seat)]
        if "pass" in request.commands:
            return f"Let us keep peace this year. [pledge {_next(power)} peace]" if pledges else "[pass]"
        told = request.heard
        a = request.commands[0].split()[1]
        verb, target = orders(power, told[0], [text for text in told if text.startswith("Year ")][-1])[a]
        return f"[hold {a}]" if verb == "hold" else f"[{verb} {a} {target}]"

    return play


def _next(power: str) -> str:
    return POWERS[(POWERS.index(power) + 1) % len(POWERS)]


def _if_others_stay(power: str, world: World, board: Board) -> Orders:
    stay = {a: Order("hold", a) for a, other in board.armies.items() if other != power}
    return best_orders(power, world, board, stay)


def _if_others_are_greedy(power: str, world: World, board: Board) -> Orders:
    first, second = (greedy_orders(other, world, board) for other in POWERS if other != power)
    return best_orders(power, world, board, {**first, **second})


def _sparing(power: str, world: World, board: Board) -> Orders:
    """Greedy, but never into what belongs to the next power."""
    theirs = {x for x in world.borders if _next(power) in (board.armies.get(x), board.owners.get(x))}
    borders = {a: [x for x in near if x not in theirs] for a, near in world.borders.items()}
    return greedy_orders(power, world._replace(borders=borders), board)


def _after_the_next(power: str, world: World, board: Board) -> Orders:
    """Greedy for the centres of the next power alone."""
    owners = {c: owner if owner == _next(power) else power for c, owner in board.owners.items()}
    return greedy_orders(power, world, board._replace(owners=owners))


DiplomacyMini.players = {
    "random": play_random,
    "greedy": _player(greedy_orders),
    "oracle": _player(_if_others_stay),
    "responder": _player(_if_others_are_greedy),
    "loyal": _player(_sparing, pledges=True),
    "traitor": _player(_after_the_next, pledges=True),
}
