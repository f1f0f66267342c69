"""Night train: one of four passengers has no ticket; others half saw who it is, and an inspector hears them all.

| fact | value |
|---|---|
| seats | `inspector_0`, `passenger_0` ... `passenger_3` |
| turns | 5: each passenger says something that all hear, then the inspector checks one coat |
| hidden | each passenger's ticket and what a witness saw, from all others |
| reward | 1 to all but the rider without a ticket if that one is checked, else 1 to the rider alone |
| gold outcome | rider, checked, caught |
| splits | train and test share no four coats in the same order; ood has coats of other colors |
| controls | `silent`: nobody hears what the passengers say |

Rules: passengers are known by their coats, of four different colors. They speak in the order of their seats, as freely
as they like; then the inspector checks one coat, and the journey ends.

Two passengers are witnesses. At level 0 each of them saw the rider's coat. At level 1 each hesitates between two coats,
of which only the rider's was seen by both: two half testimonies are put together.

Greedy witnesses say what they saw, and a greedy rider accuses the first who named the rider's coat, else anybody. A
greedy inspector checks the coat that most others named; of equals, one that has accused somebody: a passenger who has a
ticket and saw nothing accuses nobody. The oracle inspector knows the rider.
"""

from __future__ import annotations

import random
import re

from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

COLORS = ("red", "blue", "green", "white", "black", "brown", "grey")
OTHER_COLORS = ("violet", "olive", "beige", "golden", "pink")


def _coats(text: str) -> list[str]:
    """The colors in a text, in its order."""
    return [word for word in re.findall(r"\w+", text.lower()) if word in COLORS + OTHER_COLORS]


def _greedy(request: Request) -> str:
    """Tells what it saw; as the rider, accuses an accuser; as the inspector, counts."""
    told = [text for kind, text in request.view if kind == "told"]
    coats, draw = _coats(told[0]), request.rng
    accused = {who: named for who, *named in (_coats(text) for text in told if " says: " in text)}
    if request.commands:
        votes = {coat: sum(coat in named for who, named in accused.items() if who != coat) for coat in coats}
        return f"[check {max(coats, key=lambda coat: (votes[coat], bool(accused.get(coat)), draw.random()))}]"
    own, *seen = _coats(told[1])
    if "no ticket" in told[1]:
        accusers = [who for who, named in accused.items() if own in named]
        seen = accusers[:1] or [draw.choice([coat for coat in coats if coat != own])]
    return f"It was {' or '.join(seen)}." if seen else "I saw nothing."


def _oracle(request: Request) -> str:
    """Knows the rider."""
    return f"[check {request.facts['rider']}]" if request.commands else _greedy(request)


class NightTrain(ScriptedEnv):
    """Half-seen testimony in a compartment where one rides without a ticket."""

    silent: bool = False
    """Control: nobody hears what the passengers say."""

    seats = ("inspector_0", "passenger_0", "passenger_1", "passenger_2", "passenger_3")
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("silent",)
    skill = "caught"
    rules = "One of four passengers has no ticket. All speak, and may lie; then the inspector checks one coat."
    reward_range = (0.0, 1.0)
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}

    def _deal(self, rng: random.Random) -> dict[str, list[str]]:
        """Whose coats each passenger saw; the rider saw the rider's own."""
        rider, *others = rng.sample(self.seats[1:], 4)
        saw = {rider: [rider], **{seat: [] for seat in others}}
        for number in (0, 1):
            saw[others[number]] = sorted([rider, others[number - 1]][: self.level + 1])
        return saw

    def script(self, rng: random.Random) -> Script:
        inspector, *passengers = self.seats
        colors = OTHER_COLORS if self.split == "ood" else COLORS
        coats = self.item("coats", lambda draw: draw.sample(colors, 4))
        coat = dict(zip(passengers, coats, strict=True))
        saw = self.secrets("saw", self._deal)
        rider = next(seat for seat in passengers if saw[seat] == [seat])
        self.note(rider=coat[rider])

        self.tell(f"The coats are {', '.join(coats)}.")
        for seat in passengers:
            seen = " or ".join(coat[other] for other in saw[seat])
            ticket = "no ticket" if seat == rider else f"a ticket; {seen} has none" if seen else "a ticket"
            self.tell(f"You are {coat[seat]} and have {ticket}.", to=seat)
        for seat in passengers:
            move = yield seat
            if not self.silent:
                self.tell(f"{coat[seat]} says: {move.said()}", to=[other for other in self.seats if other != seat])
        self.tell("Check one coat: [check COLOR].", to=inspector)
        move = yield self.turn(inspector, f"check {'|'.join(coats)}", default=f"check {coats[0]}")

        caught = move.args[0] == coat[rider]
        self.reveal(f"{coat[rider]} has no ticket.")
        self.reward({seat: float(caught == (seat != rider)) for seat in self.seats})
        self.outcome(rider=coat[rider], checked=move.args[0], caught=caught)
