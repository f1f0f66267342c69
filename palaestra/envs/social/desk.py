"""A desk at which a workflow is gone through: what is committed there, and how somebody works who goes by the card."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.common.workflows import Client, Step, Workflow, named, read_card, workflow
from palaestra.envs.script import Request

SIZES = (
    {"length": 3},
    {"length": 4, "extra": 1, "slots": 6, "size": 5},
    {"length": 5, "extra": 2, "slots": 8, "size": 6},
)


def draw_workflow(rng: random.Random, level: int, split: str) -> Workflow:
    """A workflow of a level's size, in the words of a split."""
    return workflow(rng, split, **SIZES[level])


class Desk:
    """What was committed and asked at the desk about a client, and how much of that was wrong or needless."""

    def __init__(self, flow: Workflow, client: Client) -> None:
        self.flow, self.client = flow, client
        self.wrong = self.questions = self.needless = 0
        self._record: dict[str, str] = {}

    def commands(self) -> list[str]:
        """What the agent may do: `ask color|day`, `step pack color=red|color=blue`, `done`."""
        values = {slot: "|".join(f"{slot}={v}" for v in options) for slot, options in self.flow.options.items()}
        steps = [" ".join(["step", step.name, *(values[slot] for slot in step.takes)]) for step in self.flow.steps]
        return [f"ask {'|'.join(self.flow.options)}", *steps, "done"]

    def answer(self) -> str:
        """What the client may answer where it has no words of its own: `say red|blue|nothing`."""
        return f"say {'|'.join(value for values in self.flow.options.values() for value in values)}|nothing"

    def commit(self, name: str, given: Sequence[str]) -> str:
        """Does a step with values (`color=red`), or refuses it; what the desk says."""
        step = next(s for s in self.flow.steps if s.name == name)
        values = dict(value.split("=") for value in given)
        missing, after = step.unmet(self._record), step.done(self._record, values)
        unwanted = step not in self.flow.plan(self.client.values) or values.items() - self.client.values.items()
        self.wrong += bool(missing or unwanted or after == self._record)
        if missing:
            return f"Refused: first {missing[0]}."
        self._record = after
        return f"{name} is noted."

    def ask(self, slot: str) -> tuple[str, dict[str, str]]:
        """The client's line that is due when it is asked for a slot, and the values that the line gives."""
        self.questions += 1
        self.needless += slot in self.client.said or slot not in self.flow.asks(self.client.values)
        line, told = self.client.asked(slot)
        return line, {slot: self.client.values[slot] for slot in told}

    def facts(self) -> dict[str, Any]:
        """What came of it, as gold facts."""
        needed = self.flow.plan(self.client.values)
        right = sum(step.done(self._record, self.client.values) == self._record for step in needed)
        return {
            "completion": right / len(needed),
            "needed": len(needed),
            "right": right,
            "wrong": self.wrong,
            "questions": self.questions,
            "needless": self.needless,
        }


# -- by the card -------------------------------------------------------------------------------------------------


def read_flow(request: Request) -> Workflow:
    """The workflow, as the agent sees it in its card and its commands."""
    options = re.findall(r"(\w+)=(\w+)", " ".join(request.commands))
    slots = request.commands[0].removeprefix("ask ").split("|")
    return read_card(request.heard[0], {slot: [v for s, v in options if s == slot] for slot in slots})


def read_wants(request: Request, flow: Workflow) -> dict[str, str]:
    """What the client has said that it wants, the last word counting."""
    found: dict[str, str] = {}
    for text in request.heard:
        if text.startswith("The client says: "):
            found |= named(text, flow.options)
    return found


def commitment(step: Step, values: Mapping[str, str]) -> str:
    """The move that commits to a step."""
    return f"[{' '.join(['step', step.name, *(f'{slot}={values[slot]}' for slot in step.takes)])}]"


def first_unsaid(request: Request, *moves: str) -> str:
    """The first of some moves that the agent has not made; after all of them it is done."""
    said = [text for who, text in request.view if who == "said"]
    return next((move for move in moves if move not in said), "[done]")


def work(request: Request, known: Mapping[str, str] | None = None) -> str:
    """Asks for the next value that is missing, else commits to the next step that is not yet done with the values.

    `known`: what the client wanted at first, for who need not ask.
    """
    flow = read_flow(request)
    values = {**(known or {}), **read_wants(request, flow)}
    slots = [s.only[0] for s in flow.steps if s.only] + [slot for s in flow.plan(values) for slot in s.takes]
    if missing := [slot for slot in slots if slot not in values]:
        return f"[ask {missing[0]}]"
    return first_unsaid(request, *(commitment(step, values) for step in flow.plan(values)))
