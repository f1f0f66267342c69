"""Kitchen: one or two cooks serve what is ordered, sharing a board, a stove and a plate.

| fact | value |
|---|---|
| seats | `cook_0`, `cook_1`; with `cooks` = 1 the first alone |
| turns | up to 16, 30, 45 by level, all cooks at once |
| hidden | nothing but what the others do in the same turn |
| reward | the same for all: 0.2 a right chop, 1 a right dish, -0.1 a wrong one, -0.001 a turn: -3 to 4 |
| gold outcome | dishes, all_served, pace (fewest turns / turns; 0: not all), wrong, wasted, idle, blocked, score |
| theory | the fewest turns, by search over what all cooks can do together |
| controls | `silent` (speech is not passed on) |
| source | TWOSOME (arXiv 2401.14151); after Overcooked (arXiv 1910.05789) |

Rules: a cook holds one thing. It gets food from a shelf, chops it at the board, cooks what is chopped in the pot (two
turns), fetches it from there, lays what it holds on the plate, throws it away, or serves what lies on the plate, which
is then empty again. A dish is right if it is exactly what was ordered; then comes the next order. The board, the stove
and the plate take one cook at a time: of two who want the same, one, by turns, stands idle. All can see everything. A
reply that is no legal move waits. The episode ends when everything is served. A chop is right, and earns, as often as
the orders name that food: chopping and throwing away does not pay.

Levels: 0 one dish of one or two chopped foods, named outright; 1 two dishes of two, by names that a cookbook explains;
speech beside a move is heard; 2 two dishes of three, some of them cooked.

Splits: train and test share no shelves and orders; ood has other foods, and other names of dishes.

Parameters: `cooks`, `turns` (0: the level's own), `home`: the same rules told as chores at home (fetch, wash, heat, set
on the tray, bring), as in the second world of the source.

Players: `random`, `greedy` (does the next thing that is missing, as if it were alone), `oracle` (the shortest joint
plan while the others keep to it, else its own).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import NamedTuple

import msgspec

from palaestra.envs.common import states
from palaestra.envs.common.talk import says
from palaestra.envs.common.words import made_up, pools
from palaestra.envs.embodied.cooking import STATION, Order, Work, plan, possible, turn
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random


class Size(NamedTuple):
    """What a level is like."""

    turns: int
    shelves: int
    orders: int
    foods: tuple[int, int]
    """The fewest and the most in a dish."""
    stove: bool = False


SIZES = (Size(16, 3, 1, (1, 2)), Size(30, 5, 2, (2, 2)), Size(45, 6, 2, (3, 3), stove=True))
HOME = {
    "get": "fetch", "chop": "wash", "chopped": "washed", "cook": "heat", "cooked": "warm", "fetch": "unload",
    "plate": "set", "serve": "bring", "bin": "drop", "dish": "tray", "board": "basin", "stove": "hearth", "pot": "oven",
    "Cookbook": "Habits", "Order": "Wish", "Shelves": "Cupboards", "Plate": "Tray", "Pot": "Oven", "Cooks": "Helpers",
}  # fmt: skip
"""The words of the kitchen, and those of the same work as a chore at home."""
BACK = {home: word for word, home in HOME.items()}


def reword(text: str, words: dict[str, str]) -> str:
    return re.sub(r"\b[A-Za-z]+\b", lambda found: words.get(found[0], found[0]), text)


class Menu(NamedTuple):
    """What an episode is about."""

    shelves: tuple[str, ...]
    book: tuple[tuple[str, Order], ...]
    """Names of dishes, and what they are made of; empty where orders say it outright."""
    orders: tuple[Order, ...]


class Kitchen(ScriptedEnv):
    """Dishes made together."""

    env_id = "kitchen"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("silent",)
    rules = (
        "Cooks share a kitchen and act at the same time. Each holds one thing: get food from a shelf, chop it at the "
        "board, cook what is chopped in the pot and fetch it two turns later, plate what you hold, bin it, or serve "
        "the dish with empty hands. A dish must be exactly what is ordered. Only one can use the board, the stove or "
        "the dish in a turn. All are paid the same: 0.2 for a chop that is needed, 1 for a right dish, -0.1 for a "
        "wrong one, -0.001 a turn."
    )
    reward_range = (-3.0, 4.0)
    skill = "pace"
    simultaneous = True

    cooks: int = 2
    turns: int = 0
    home: bool = False
    silent: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"cook_{n}" for n in range(self.cooks))

    def script(self, rng: random.Random) -> Script:
        size, say = SIZES[self.level], lambda text: reword(text, HOME) if self.home else text
        limit = self.turns or size.turns
        menu: Menu = self.item(f"kitchen{self.level}", self._menu, states.digest)
        self.note(menu=menu, stove=size.stove)
        self.tell((say(self.rules) + " " if self.home else "") + say(_opening(menu)))

        work, turns, tally = Work(("",) * self.cooks), 0, Counter[str]()
        news = dict.fromkeys(self.seats, "")
        states.note(self, work)
        while work.served < len(menu.orders) and turns < limit:
            able = {
                seat: {say(move): move for move in possible(work, cook, menu.shelves, size.stove)}
                for cook, seat in enumerate(self.seats)
            }
            for cook, seat in enumerate(self.seats):
                self.tell(news[seat] + say(_seen(work, menu, self.seats, cook)), to=seat)
            said = yield tuple(self.turn(seat, *moves, default="wait") for seat, moves in able.items())
            moves = [able[seat][" ".join((move.verb, *move.args))] for seat, move in said.items()]
            done = turn(work, moves, menu.orders, turns % self.cooks)
            states.note(self, done.work, work)
            work, turns = done.work, turns + 1
            tally.update(done.counts)
            heard = {s: m for s, m in said.items() if self.level and not self.silent and m.speech}
            for cook, seat in enumerate(self.seats):
                lines = [says(other, move) for other, move in heard.items() if other != seat]
                lines += [say("That dish was right.")] * done.counts["dishes"]
                lines += [say("That dish was wrong.")] * done.counts["wrong"]
                lines += [say(f"The {STATION[moves[cook]]} was taken.") for n in done.blocked if n == cook]
                news[seat] = "".join(f"{line} " for line in lines)

        self.tell("Everything is served." if work.served == len(menu.orders) else "The time is up.")
        score = 0.2 * tally["chops"] + tally["dishes"] - 0.1 * tally["wrong"] - 0.001 * turns
        self.reward(dict.fromkeys(self.seats, score))
        served = work.served == len(menu.orders)
        best = plan(menu.orders, menu.shelves, size.stove).way(Work(("",) * self.cooks)) if served else None
        self.outcome(
            dishes=tally["dishes"],
            all_served=served,
            pace=len(best or ()) / turns,
            wrong=tally["wrong"],
            wasted=tally["wasted"],
            idle=tally["idle"] / (turns * self.cooks),
            blocked=tally["blocked"],
            score=score,
        )

    def _menu(self, rng: random.Random) -> Menu:
        size = SIZES[self.level]
        shelves = rng.sample(pools(self.split).foods, size.shelves)
        ways = ("chopped", "cooked") if size.stove else ("chopped",)
        dishes: list[Order] = []
        while len(dishes) < size.orders + (self.level > 0):
            foods = rng.sample(shelves, rng.randint(*size.foods))
            dish = tuple(f"{rng.choice(ways)} {food}" for food in sorted(foods))
            dishes += [dish] if dish not in dishes else []
        names = made_up(rng, len(dishes), self.split) if self.level else []
        return Menu(tuple(shelves), tuple(zip(names, dishes, strict=False)), tuple(rng.sample(dishes, size.orders)))


def _opening(menu: Menu) -> str:
    shelves = f"Shelves: {', '.join(menu.shelves)}."
    if not menu.book:
        return f"Order: {' and '.join(menu.orders[0])}. {shelves}"
    book = "; ".join(f"{name} is {', '.join(dish)}" for name, dish in menu.book)
    return f"Cookbook: {book}. {shelves}"


def _seen(work: Work, menu: Menu, seats: tuple[str, ...], cook: int) -> str:
    """`Order 1 of 2: bodak. You hold chopped egg. cook_1 holds nothing. Plate: chopped fish.`"""
    names = [name for order in menu.orders for name, dish in menu.book if dish == order]
    lines = [f"Order {work.served + 1} of {len(names)}: {names[work.served]}."] if names else []
    lines.append(f"You hold {work.hands[cook] or 'nothing'}.")
    lines += [f"{s} holds {work.hands[n] or 'nothing'}." for n, s in enumerate(seats) if n != cook]
    lines.append(f"Plate: {', '.join(work.plate) or 'nothing'}.")
    if work.pot:
        lines.append(f"Pot: {work.pot.split()[1]}, ready{f' in {work.heat}' if work.heat else ''}.")
    return " ".join(lines)


# -- players -----------------------------------------------------------------------------------------------------


def _oracle(request: Request) -> str:
    """Its part of the joint plan as long as the others keep to it, else a plan of its own."""
    env, cook = request.env, request.env.seats.index(request.seat)
    menu: Menu = msgspec.convert(request.facts["menu"], Menu)
    work = states.noted(request, Work)
    joint = plan(menu.orders, menu.shelves, request.facts["stove"])
    joint.way(Work(("",) * len(env.seats)))
    if joint.knows(work):
        move = (joint.way(work) or [""])[0].split("|")[cook]
    else:
        move = (joint.way(work._replace(hands=(work.hands[cook],))) or ["wait"])[0]
    return f"[{reword(move, HOME)}]" if env.params["home"] else f"[{move}]"


def _greedy(request: Request) -> str:
    """Does the next thing that is missing of the order, as if it were alone."""
    back = (lambda text: reword(text, BACK)) if request.env.params["home"] else (lambda text: text)
    moves = {back(move[1:-1]): move for move in request.legal_actions}
    heard = [back(text) for text in request.heard]
    now = next(text for text in reversed(heard) if "You hold" in text)
    part = lambda cue, text=now: found[1] if (found := re.search(rf"{cue} ([^.;]*)", text)) else ""
    order = part("Order:", heard[0]).split(" and ")
    if "Cookbook" in heard[0]:
        order = part(f"{part('Order . of .:')} is", heard[0]).split(", ")
    held, plate, pot = (part(cue).replace("nothing", "") for cue in ("You hold", "Plate:", "Pot:"))
    laid = plate.split(", ") if plate else []
    missing = [item for item in order if item not in laid]
    wish = [f"get {item.split()[1]}" for item in missing if item.split()[1] not in pot]
    if held in missing:
        wish = ["plate"]
    elif held:
        wish = ["chop"] * any(held in item for item in missing) + ["cook"] * (
            held.replace("chopped", "cooked") in missing
        )
        wish.append("bin")
    elif not missing or set(laid) - set(order):
        wish = ["serve"]
    elif pot.split(",")[0] and pot.endswith("ready"):
        wish.insert(0, "fetch")
    return next(moves[move] for move in [*wish, "wait"] if move in moves)


Kitchen.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
