"""Work in steps: what a step needs and changes, plans, generated workflows, and a client who knows what only it knows.

A `Step` moves a record on (`pack color=red` wants an order that is open and leaves it packed). `plan` is the shortest
way from a record to a goal. A `Workflow` is a generated graph of steps with the slots they take; the values of the
slots are a client's wish. `Client` is the state machine of whoever is asked for them: what is due, in templates.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from palaestra.envs.common.search import shortest
from palaestra.envs.common.words import pools

Record = Mapping[str, str]
"""field -> value"""
Options = Mapping[str, Sequence[str]]
"""slot -> the values that it may have"""


class Step(NamedTuple):
    """Something that can be done to a record if the record is as the step needs it."""

    name: str
    takes: tuple[str, ...] = ()
    """The slots whose values it must be given."""
    needs: tuple[tuple[str, str], ...] = ()
    sets: tuple[tuple[str, str], ...] = ()
    """Field and new value; `{color}` stands for what was given for the slot."""
    only: tuple[str, str] | None = None
    """A slot and a value: wanted in that case only. None: always."""

    def unmet(self, record: Record) -> tuple[str, str] | None:
        """The first field, with the value it should have, that stands in the way."""
        return next(((field, value) for field, value in self.needs if record.get(field) != value), None)

    def done(self, record: Record, given: Mapping[str, str]) -> dict[str, str]:
        """The record afterwards."""
        return {**record, **{field: value.format(**given) for field, value in self.sets}}


def plan(steps: Sequence[Step], record: Record, goal: Record, given: Mapping[str, str]) -> list[str] | None:
    """Names of the fewest steps after which the record agrees with the goal, each given the same values."""

    def after(state: tuple[tuple[str, str], ...]) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        now = dict(state)
        return [(s.name, tuple(sorted(s.done(now, given).items()))) for s in steps if not s.unmet(now)]

    return shortest(tuple(sorted(record.items())), after, lambda state: goal.items() <= dict(state).items())


# -- workflows ---------------------------------------------------------------------------------------------------


class Workflow(NamedTuple):
    """Steps to a wish. Each is done once; a step with `only` is wanted by clients of that case alone."""

    steps: tuple[Step, ...]
    goal: str
    options: Options

    def wanted(self, values: Mapping[str, str]) -> list[str]:
        """The goal, and the steps for the special cases that a client with these values is."""
        return [self.goal, *(s.name for s in self.steps if s.only and values.get(s.only[0]) == s.only[1])]

    def plan(self, values: Mapping[str, str]) -> list[Step]:
        """The steps that such a client needs, in an order that works."""
        steps, found = {s.name: s for s in self.steps}, list[Step]()

        def add(name: str) -> None:
            for before, _ in steps[name].needs:
                add(before)
            if steps[name] not in found:
                found.append(steps[name])

        for name in self.wanted(values):
            add(name)
        return found

    def asks(self, values: Mapping[str, str]) -> set[str]:
        """The slots that must be known to serve such a client."""
        return {slot for s in self.plan(values) for slot in s.takes} | {s.only[0] for s in self.steps if s.only}

    def wish(self, rng: random.Random) -> dict[str, str]:
        """Values that a client may have; each special case is as likely as not."""
        values = {slot: rng.choice(list(options)) for slot, options in self.options.items()}
        for step in self.steps:
            if step.only and rng.random() < 0.5:
                values[step.only[0]] = step.only[1]
        return values

    def card(self) -> str:
        """The workflow as it is told: `pack: color. seal: day, after pack. wrap: after pack, only if color red.`"""
        lines = []
        for step in self.steps:
            after = [field for field, _ in step.needs]
            parts = [" and ".join(step.takes)] * bool(step.takes) + [f"after {' and '.join(after)}"] * bool(after)
            parts += [f"only if {' '.join(step.only)}"] if step.only else []
            lines.append(f"{step.name}: {', '.join(parts) or 'at any time'}.")
        return f"{' '.join(lines)} Goal: {self.goal}."

    def told(self) -> str:
        """The card and the choices."""
        return f"{self.card()} {self.choices()}"

    def choices(self) -> str:
        """The values that each slot may have: `color: red, blue. day: monday, tuesday.`"""
        return " ".join(f"{slot}: {', '.join(values)}." for slot, values in self.options.items())


def workflow(rng: random.Random, split: str, length: int, extra: int = 0, slots: int = 3, size: int = 3) -> Workflow:
    """`length` steps that lead to the last of them, and `extra` ones for special cases, listed in any order.

    Without special cases the steps are a chain; with them a tree, so that several orders are right.
    """
    words = pools(split)
    values = {"thing": words.objects, "color": words.colors, "name": words.people, "town": words.towns,
              "goods": words.goods, "day": words.days, "hour": words.hours, "count": words.counts}  # fmt: skip
    chosen = rng.sample(list(values), slots)
    options = {
        slot: tuple(v.lower() for v in rng.sample(values[slot], min(size, len(values[slot])))) for slot in chosen
    }
    names = rng.sample(words.chores, length + extra)
    before: list[list[str]] = [[] for _ in names]
    for i in range(length - 1):
        before[rng.randint(i + 1, min(i + 3, length - 1)) if extra else i + 1].append(names[i])
    steps = []
    for i, name in enumerate(names):
        takes, case = tuple(chosen[i :: len(names)]), None
        if i >= length:  # nothing comes after it, so that no order tells whether it is wanted
            before[i].append(rng.choice(names[: length - 1]))
            slot = rng.choice([s for s in chosen if s not in takes])
            case = (slot, rng.choice(options[slot]))
        sets = ((name, "done"), *((slot, f"{{{slot}}}") for slot in takes))
        steps.append(Step(name, takes, tuple((b, "done") for b in before[i]), sets, case))
    return Workflow(tuple(rng.sample(steps, len(steps))), names[length - 1], options)


_LINE = re.compile(r"(\w+): ([^.:]*)\.")


def read_card(text: str, options: Options) -> Workflow:
    """The workflow that a card tells of."""
    steps = []
    for name, line in _LINE.findall(text.partition(" Goal:")[0]):
        parts = line.split(", ")
        takes = tuple(parts[0].split(" and ")) if parts[0].split(" ")[0] in options else ()
        after: list[str] = next((p.removeprefix("after ").split(" and ") for p in parts if p.startswith("after ")), [])
        only = next((p.split()[2:] for p in parts if p.startswith("only if ")), None)
        sets = ((name, "done"), *((slot, f"{{{slot}}}") for slot in takes))
        steps.append(Step(name, takes, tuple((a, "done") for a in after), sets, (only[0], only[1]) if only else None))
    return Workflow(tuple(steps), text.partition("Goal: ")[2].partition(".")[0], options)


# -- the client --------------------------------------------------------------------------------------------------

MOODS = ("plain", "vague", "eager", "fickle")
"""Says what it is asked; now and then only when asked twice; says one thing more; changes its mind once."""
_LINES = (
    ("The {slot} is {value}.", "As for the {slot}: {value}, please.", "Let us say {value} for the {slot}."),
    (
        "Not {other}, no: the {slot} is {value}.",
        "My sister would say {other}, but for the {slot} I want {value}.",
        "I had thought of {other}. Let the {slot} be {value}.",
        "For the {slot} anything but {others}.",
    ),
)
_EVASIONS = (
    "The {slot}? Let me think about it for a moment.",
    "Can we come back to the {slot}?",
    "I am not sure about the {slot} yet.",
)
_CHANGES = (
    "Wait, I have changed my mind: not {other}, the {slot} is {value}.",
    "And sorry, I no longer want {other}: make the {slot} {value}.",
)


class Client:
    """Somebody who is asked for what it alone knows. `values` is what it wants now, `said` what it has told of that."""

    def __init__(self, rng: random.Random, values: Mapping[str, str], options: Options, mood: str, level: int) -> None:
        self.values, self.said = dict(values), dict[str, str]()
        self._rng, self._options, self._level = rng, options, level
        self._mood, self._replies, self._hesitated = mood, 0, set[str]()

    def asked(self, slot: str) -> tuple[str, list[str]]:
        """Its answer, and the slots whose values the answer gives."""
        self._replies += 1
        if self._mood == "vague" and slot not in self._hesitated and self._rng.random() < 0.5:
            self._hesitated.add(slot)
            return self._rng.choice(_EVASIONS).format(slot=slot), []
        told, line = [slot], self._line(slot)
        if self._mood == "eager" and (untold := sorted(self.values.keys() - self.said.keys() - {slot})):
            told.append(self._rng.choice(untold))
            line += " " + self._line(told[1])
        elif self._mood == "fickle" and self._replies == 3 and (sure := sorted(self.said.keys() - {slot})):
            told.append(self._rng.choice(sure))
            was = self.values[told[1]]
            self.values[told[1]] = self._other(told[1])
            line += " " + self._rng.choice(_CHANGES).format(slot=told[1], value=self.values[told[1]], other=was)
        self.said |= {s: self.values[s] for s in told}
        return line, told

    def _line(self, slot: str) -> str:
        value = self.values[slot]
        if not self._level:
            return f"{slot}: {value}."
        lines = _LINES[0] + _LINES[1] * (self._level > 1 and len(self._options[slot]) > 1)
        others = self._rng.sample(unwanted := [v for v in self._options[slot] if v != value], len(unwanted))
        return self._rng.choice(lines).format(slot=slot, value=value, other=others[0], others=" or ".join(others))

    def _other(self, slot: str) -> str:
        """A value that it does not want."""
        return self._rng.choice([v for v in self._options[slot] if v != self.values[slot]] or [""])


def named(text: str, options: Options) -> dict[str, str]:
    """For each slot the value that an answer of a client gives: the last one named, or what `anything but` leaves."""
    found = {}
    for sentence in re.split(r"[.?]", text.lower()):
        words = re.findall(r"\w+", sentence)
        for slot, values in options.items():
            left = [v for v in values if v not in words] if "anything but" in sentence else []
            if said := left[:1] if len(left) == 1 else [w for w in words if w in values]:
                found[slot] = said[-1]
    return found


def tells(text: str, due: Mapping[str, str], options: Options) -> bool:
    """Whether a text names every value that is due, and no other value of any slot."""
    words = set(re.findall(r"\w+", text.lower()))
    return set(due.values()) == words & {value for values in options.values() for value in values}
