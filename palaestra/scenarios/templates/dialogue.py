"""Two people find a day to meet, talking.

| fact | value |
|---|---|
| seats | `ann_0`, `ben_0` |
| turns | at most 4, in turn |
| hidden | each seat's free days, from the other |
| reward | both: 1 for a day that is free for both, else 0 |
| gold outcome | day, works (free for both) |
| splits | train and test share no pair of calendars |

Rules: each has two free days of four, at least one of them in common. They speak in turn and propose a day, accept
the last proposal, or pass. What is said beside the move is heard by the other.

At level 0 they may have both days in common, at level 1 exactly one.
"""

from __future__ import annotations

import random
import re

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

DAYS = ("mon", "tue", "wed", "thu")
TURNS = 4


def _days(request: Request) -> list[str]:
    """The seat's own free days, as it was told."""
    return request.view[0][1].rpartition(": ")[2].rstrip(".").split(", ")


def _proposed(request: Request) -> list[str]:
    """Every day that was proposed so far, the last one last."""
    said = " ".join(text for _, text in request.view[1:])
    return re.findall(rf"\bproposes? ({'|'.join(DAYS)})\b", said)


def _agree_on(days: list[str], request: Request) -> str:
    """Accept one of `days`, else propose the first of them that was not yet proposed."""
    proposed = _proposed(request)
    if "[accept]" in request.legal_actions and proposed and proposed[-1] in days:
        return "Good. [accept]"
    new = [day for day in days if day not in proposed]
    day = (new or days)[0]
    return f"How about {day}? [propose {day}]"


def _greedy(request: Request) -> str:
    """Proposes its own free days one after the other."""
    return _agree_on(_days(request), request)


def _oracle(request: Request) -> str:
    """Knows both calendars."""
    ann, ben = request.facts["calendars"].values()
    return _agree_on([day for day in ann if day in ben], request)


class Template(ScriptedEnv):
    """Two people find a day to meet."""

    seats = ("ann_0", "ben_0")
    levels = (0, 1)
    splits = ("train", "test")
    rules = "Find a day that is free for both of you. Propose a day, accept the last proposal, or pass."
    reward_range = (0.0, 1.0)
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def _draw(self, rng: random.Random) -> dict[str, list[str]]:
        while True:
            ann, ben = (sorted(rng.sample(DAYS, 2), key=DAYS.index) for _ in self.seats)
            common = len({*ann} & {*ben})
            if common == 1 or (common and not self.level):
                return {"ann_0": ann, "ben_0": ben}

    def script(self, rng: random.Random) -> Script:
        calendars = self.secrets("calendars", self._draw, item=repr)
        for seat in self.seats:
            self.tell(f"Your free days: {', '.join(calendars[seat])}.", to=seat)

        offer, day = "", None
        for number in range(TURNS):
            seat, other = self.seats[number % 2], self.seats[1 - number % 2]
            commands = ("accept",) * bool(offer) + (f"propose {'|'.join(DAYS)}", "pass")
            move = yield self.turn(seat, *commands, default="pass")
            said = f' and says: "{move.speech}"' if move.speech else ""
            if move.verb == "accept":
                self.tell(f"{seat} accepts {offer}{said}.", to=other)
                day = offer
                break
            if move.verb == "propose":
                offer = move.args[0]
            what = f"proposes {offer}" if move.verb == "propose" else "passes"
            self.tell(f"{seat} {what}{said}.", to=other)

        works = all(day in calendars[seat] for seat in self.seats)
        self.reward(dict.fromkeys(self.seats, float(works)))
        self.outcome(day=day, works=works)
