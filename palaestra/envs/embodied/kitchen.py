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
from collections import Counter

import msgspec

from palaestra.envs.common import states
from palaestra.envs.common.talk import says
from palaestra.envs.embodied.cooking import STATION, Work, part, plan, possible, turn
from palaestra.envs.embodied.menus import BACK, HOME, SIZES, Heard, Menu, draw, opening, reword, seen
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random


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
        size, say = SIZES[self.level], lambda text: reword(text, HOME if self.home else {})
        limit = self.turns or size.turns
        menu: Menu = self.item(f"kitchen{self.level}", lambda r: draw(r, self.level, self.split), states.digest)
        self.note(menu=menu, stove=size.stove)
        self.tell((say(self.rules) + " " if self.home else "") + say(opening(menu)))

        work, turns, tally = Work(("",) * self.cooks), 0, Counter[str]()
        news = dict.fromkeys(self.seats, "")
        states.note(self, work)
        while work.served < len(menu.orders) and turns < limit:
            able = [{say(m): m for m in possible(work, cook, menu.shelves, size.stove)} for cook in range(self.cooks)]
            for cook, seat in enumerate(self.seats):
                self.tell(news[seat] + say(seen(work, menu, self.seats, cook)), to=seat)
            said = yield tuple(self.turn(s, *moves, default="wait") for s, moves in zip(self.seats, able, strict=True))
            moves = [able[cook][" ".join((move.verb, *move.args))] for cook, move in enumerate(said.values())]
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

        served = work.served == len(menu.orders)
        self.tell("Everything is served." if served else "The time is up.")
        score = 0.2 * tally["chops"] + tally["dishes"] - 0.1 * tally["wrong"] - 0.001 * turns
        self.reward(dict.fromkeys(self.seats, score))
        joint = plan(menu.orders, menu.shelves, size.stove)
        self.outcome(
            dishes=tally["dishes"],
            all_served=served,
            pace=joint.ratio(Work(("",) * self.cooks), turns) if served else 0.0,
            wrong=tally["wrong"],
            wasted=tally["wasted"],
            idle=tally["idle"] / (turns * self.cooks),
            blocked=tally["blocked"],
            score=score,
        )


# -- players -----------------------------------------------------------------------------------------------------


def _oracle(request: Request) -> str:
    menu, work = msgspec.convert(request.facts["menu"], Menu), states.noted(request, Work)
    joint = plan(menu.orders, menu.shelves, request.facts["stove"])
    move = part(joint, work, request.env.seats.index(request.seat))
    return f"[{reword(move, HOME if request.env.params['home'] else {})}]"


def _greedy(request: Request) -> str:
    """Does the next thing that is missing of the order, as if it were alone."""
    back = lambda text: reword(text, BACK if request.env.params["home"] else {})
    moves = {back(move[1:-1]): move for move in request.legal_actions}
    order, held, laid, pot = Heard.of([back(text) for text in request.heard])
    missing = [item for item in order if item not in laid]
    wish = [f"get {item.split()[1]}" for item in missing if item.split()[1] not in pot]
    if held in missing:
        wish = ["plate"]
    elif held:
        chop, cook = any(held in item for item in missing), held.replace("chopped", "cooked") in missing
        wish = ["chop"] * chop + ["cook"] * cook + ["bin"]
    elif not missing or set(laid) - set(order):
        wish = ["serve"]
    elif pot.split(",")[0] and pot.endswith("ready"):
        wish.insert(0, "fetch")
    return next(moves[move] for move in [*wish, "wait"] if move in moves)


Kitchen.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
