"""Household: find things in a house, treat them, and put them where they are wanted.

| fact | value |
|---|---|
| seats | `helper_0` |
| turns | up to 12, 16, 20, 30 moves by level |
| hidden | where the things are, until one looks there |
| reward | 1 if the task is done, else 0: 0 to 1 |
| gold outcome | success, moves, path_ratio (shortest way / moves; 0: no success), places_searched, slips |
| theory | the shortest way, by search over the whole house |
| source | ALFWorld (arXiv 2010.03768); `affordance` after SayCan (arXiv 2204.01691) |

Rules: the helper goes from place to place, opens what is closed, carries one thing, and treats it: cleans it at the
sink, heats it in the microwave, cools it in the fridge, looks at it by the lamp. Six kinds of task: put a thing
somewhere; the same cleaned, heated or cooled; look at a thing under the lamp; put two things of a kind somewhere. The
moves that are possible now are all that is legal. A reply that is none costs a move and changes nothing.

Levels: 0 three open places and one thing to put, in few words; 1 six places, some closed, also the lamp; 2 ten places
with sink, fridge and microwave, all six tasks; 3 sixteen places, more things. From level 1 on the task has several
wordings.

Splits: train and test hold different houses; ood has furniture and things that neither has, and other wordings.

Parameters: `moves` (0: the level's own), `affordance`: what one does at a place may fail, by a chance that differs from
place to place and is told; going never fails.

Players: `random`, `greedy` (looks into one place after the other, then does the task), `oracle` (the shortest way, by
moves).
"""

from __future__ import annotations

import random
import re

import msgspec

from palaestra.envs.common import states
from palaestra.envs.common.words import pools
from palaestra.envs.embodied.house import SIZES, House, State, Task, after, done, draw, guide, possible, shut
from palaestra.envs.embodied.house_words import VIEWS, Heard, asked, seen
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

SEAT = "helper_0"


class Household(ScriptedEnv):
    """Tasks with the things of a house."""

    env_id = "household"
    seats = (SEAT,)
    levels = (0, 1, 2, 3)
    splits = ("train", "test", "ood")
    rules = (
        "You help in a house: go from place to place, open what is closed, take and put things, one at a time in your "
        "hand. Things are cleaned with the sink, heated with the microwave and cooled with the fridge while you hold "
        "them there; to look at a thing by the lamp, use the lamp while you hold it. Moves are limited."
    )
    reward_range = (0.0, 1.0)

    moves: int = 0
    affordance: bool = False

    def script(self, rng: random.Random) -> Script:
        size, ood, words = SIZES[self.level], self.split == "ood", pools(self.split)
        limit = self.moves or size.moves
        things = tuple(word for word in words.objects if word != "lamp")
        house, start, task = self.item(
            f"house{self.level}", lambda r: draw(r, size, ood, things, words.foods), states.digest
        )
        view = VIEWS[rng.randrange(3) if self.level else 0]
        chance = {p.name: self.stream("chance", p.name).randint(4, 10) / 10 for p in house.places}
        slip = self.stream("slips")
        self.note(house=house, task=task)
        self.tell(f"{asked(rng, house, task, ood=ood, plain=not self.level)} Places: {', '.join(chance)}.")
        if self.affordance:
            odds = ", ".join(f"{name} {p:.0%}" for name, p in chance.items())
            self.tell(f"What you do at a place works with a chance of: {odds}. Going always works.")

        state, moves, slips, searched = start, 0, 0, set[str]()
        states.note(self, state)
        while not done(house, task, state) and moves < limit:
            commands = possible(house, state)
            move = yield self.turn(SEAT, *commands, default=commands[0])
            fails = self.affordance and move.verb != "go" and slip.random() >= chance[state.at]
            before = state
            if move.status == "ok" and not fails:
                state = after(state, " ".join((move.verb, *move.args)))
            states.note(self, state, before)
            moves, slips = moves + 1, slips + fails
            searched |= {p.name for p in house.places if p.name == state.at and not shut(state, p)}
            self.tell(("It does not work. " if fails else "") + seen(house, state, view))

        success = done(house, task, state)
        self.tell("The task is done." if success else "No moves are left.")
        self.reward({SEAT: float(success)})
        ratio = guide(house, task).ratio(start, moves) if success else 0.0
        self.outcome(success=success, moves=moves, path_ratio=ratio, places_searched=len(searched), slips=slips)


# -- players -----------------------------------------------------------------------------------------------------


def _oracle(request: Request) -> str:
    facts, state = request.facts, states.noted(request, State)
    house, task = msgspec.convert(facts["house"], House), msgspec.convert(facts["task"], Task)
    way = guide(house, task).way(state) or possible(house, state)
    return f"[{way[0]}]"


def _greedy(request: Request) -> str:
    """Looks into one place after the other until it sees what the task names; then treats it, and puts it."""
    moves, heard = [move[1:-1] for move in request.legal_actions], Heard.of(request.heard)
    held, places, named = heard.held, heard.places, heard.names
    at = next((p for p in places if f"go to {p}" not in moves), "")
    goals = [p for p in places if named(p)]
    stops, act = goals, f"put {held}"
    if not held:
        went = re.findall(r"\[go to ([^]]*)\]", " ".join(text for who, text in request.view if who == "said"))
        new = [p for p in places if p not in went and p not in goals] or [request.rng.choice(places)]
        stops, act = [at if f"open {at}" in moves else new[0]], "open"
        take = [m for m in moves if m.startswith("take") and named(m[5:].partition(" from ")[0]) and at not in goals]
        if take:
            return f"[{take[0]}]"
    elif not named(held):
        stops = [at]
    elif heard.verb == "light":
        stops, act = [at if "use lamp" in moves else request.rng.choice(places)], "use"
    elif heard.due_at:
        stops, act = [heard.due_at], heard.verb
    if at not in stops:
        return f"[go to {stops[0]}]"
    return f"[{next(m for verb in (act, 'open', 'go') for m in moves if m.startswith(verb))}]"


Household.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
