"""Lab: work at a bench: change states, mix, measure and wire, with substances that nobody has heard of.

| fact | value |
|---|---|
| seats | `chemist_0` |
| turns | one an action, at most twice the fewest that are needed |
| hidden | what an experiment is to show; level 2: also at what degrees things melt and boil |
| reward | points of the steps that were reached, over 100: 0 to 1 |
| gold outcome | points, success, spoiled, kind, steps, best |
| theory | `best`: the fewest actions, by search over all states of the bench |
| controls | `oracle`: what melts and boils when, and what conducts, is told |
| source | arXiv 2203.07540 (ScienceWorld), arXiv 2403.02502 (ETO) |

Rules: a substance lies on the table, on the stove or in the freezer; where the device runs, a wait warms or cools it by
20 degrees. It is solid below its melting point, then liquid, and a gas from its boiling point on. Two substances may be
mixed as the book says; any other mix spoils the work. Wires join battery, lamp and substances; a loop of battery, lamp
and one substance shows whether it conducts. A change of state ends with `[done]`, a question with `[box x red]` or
blue. What is wrong then, or spoiled, gives nothing more; a verdict without its experiment gives nothing. A reply that
is no legal move waits.

Kinds and points: `mix` (40 and 60, or 20, 30 and 50 for three mixes); `melt`, `freeze` and `boil` (20 on the right
device, 30 that it runs, 50 for the state at the end); `measure` (20 warmed, 40 for a reading that decides, 40 for the
verdict); `test` (60 for the loop, 40 for the verdict). At level 0 there is nothing but what the task needs, and no
`measure`; level 1 has the whole bench, and other substances and recipes; at level 2 four mixes come first (10 points
each, the others count 0.6), and only readings tell degrees. Parameter: `kind` (empty: drawn).

Splits: train and test share no task; ood has other names and what is held out: boiling, mixes of three, and verdicts
with the colors changed over. Players: `random`, `greedy` (plans as if everything conducted and changed its state at the
next degree), `oracle` (plans with what is true).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from palaestra.envs.common.search import shortest
from palaestra.envs.common.words import made_up
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError

STATES = {"melt": "liquid", "freeze": "solid", "boil": "gas"}
KINDS = ("mix", "test", "measure", *STATES)
USUAL, HELD_OUT = ("test", "measure", "melt", "freeze"), ("mix", "boil", "test", "measure")
CHANGE = {"stove": 20, "freezer": -20}
Recipe = tuple[str, str, str]


class Sample(NamedTuple):
    name: str
    melts: int
    boils: int
    conducts: bool
    made: bool = False
    """It is not there at the start."""

    def state(self, degrees: int) -> str:
        return "solid" if degrees < self.melts else "liquid" if degrees < self.boils else "gas"


class Task(NamedTuple):
    kind: str
    target: int
    """Its index among the samples."""
    samples: tuple[Sample, ...]
    recipes: tuple[Recipe, ...] = ()
    """What leads to the target, in order."""
    other: tuple[Recipe, ...] = ()
    line: int = 0
    """`measure`: does the target melt above so many degrees?"""
    boxes: tuple[str, str] = ("red", "blue")
    """For yes and for no."""


class Bench(NamedTuple):
    """All that can change; `at` and `degrees` go by the samples."""

    at: tuple[str, ...]
    """table, stove or freezer; empty: not there."""
    degrees: tuple[int, ...]
    running: tuple[str, ...] = ()
    wires: tuple[str, ...] = ()
    proof: bool = False
    """An experiment has decided the question."""
    end: str = ""
    """The color of the box, "done" or "spoiled"."""


def first(task: Task) -> Bench:
    return Bench(tuple("" if s.made else "table" for s in task.samples), (20,) * len(task.samples))


def present(task: Task, bench: Bench) -> list[str]:
    return [s.name for s, at in zip(task.samples, bench.at, strict=True) if at]


def wire(a: str, b: str) -> str:
    return " ".join(sorted((a, b)))


def in_loop(bench: Bench, name: str) -> bool:
    """Whether battery, lamp and the substance make a loop."""
    return {"battery lamp", wire("battery", name), wire("lamp", name)} <= set(bench.wires)


def act(task: Task, bench: Bench, action: str) -> Bench:
    """The bench after an action."""
    verb, *args = action.split()
    target = task.samples[task.target]
    at = {s.name: place for s, place in zip(task.samples, bench.at, strict=True)}
    if verb == "put":
        at[args[0]] = args[1]
    elif verb == "turn":
        bench = bench._replace(running=tuple(sorted({*bench.running} ^ {args[0]})))
    elif verb == "wait":
        change = [CHANGE[place] if place in bench.running else 0 for place in bench.at]
        degrees = (min(max(d + c, -60), 160) for d, c in zip(bench.degrees, change, strict=True))
        bench = bench._replace(degrees=tuple(degrees))
    elif verb == "read" and task.kind == "measure" and args[0] == target.name:
        degree = bench.degrees[task.target]
        decides = degree >= task.line if target.state(degree) == "solid" else degree <= task.line
        bench = bench._replace(proof=bench.proof or decides)
    elif verb == "mix":
        made = [c for a, b, c in task.recipes if {a, b} == {*args}]
        at |= dict.fromkeys(args, "") | dict.fromkeys(made, "table")
        bench = bench if made else bench._replace(end="spoiled")
    elif verb == "connect":
        bench = bench._replace(wires=tuple(sorted({*bench.wires, wire(*args)})))
        bench = bench._replace(proof=bench.proof or (task.kind == "test" and in_loop(bench, target.name)))
    elif verb == "box":
        bench = bench._replace(end=args[1] if args[0] == target.name else "spoiled")
    elif verb == "done":
        bench = bench._replace(end="done")
    return bench._replace(at=tuple(at.values()))


def goals(task: Task, bench: Bench) -> list[tuple[int, bool]]:
    """Points, which sum to 100, and whether they are earned now; the last are for the end."""
    target, at, degrees = task.samples[task.target], bench.at[task.target], bench.degrees[task.target]
    there = present(task, bench)
    mixed = [product in there for _, _, product in task.recipes]
    if task.kind == "mix":
        return list(zip((40, 60) if len(mixed) == 2 else (20, 30, 50), mixed, strict=True))
    if task.kind in STATES:
        device = "freezer" if task.kind == "freeze" else "stove"
        ended = bench.end == "done" and target.state(degrees) == STATES[task.kind]
        parts = [(20, at == device), (30, at == device in bench.running), (50, ended)]
    else:
        yes = target.conducts if task.kind == "test" else target.melts > task.line
        verdict = (40, bench.proof and bench.end == task.boxes[not yes])
        parts = (
            [(60, bench.proof), verdict] if task.kind == "test" else [(20, degrees > 20), (40, bench.proof), verdict]
        )
    return [(40 // len(mixed), ok) for ok in mixed] + [(n * 6 // 10 if mixed else n, ok) for n, ok in parts]


def useful(task: Task, bench: Bench) -> list[str]:
    """The actions that may lead on."""
    there, target, at = present(task, bench), task.samples[task.target], bench.at[task.target]
    x, boxes = target.name, [f"box {target.name} red", f"box {target.name} blue"]
    if x not in there or task.kind == "mix":
        return [f"mix {a} {b}" for a, b, _ in task.recipes if a in there and b in there]
    if task.kind == "test":
        wires = [w for w in ("battery lamp", f"battery {x}", f"lamp {x}") if wire(*w.split()) not in bench.wires]
        return [f"connect {w}" for w in wires] + boxes
    too_warm = task.kind == "melt" and target.state(bench.degrees[task.target]) == "gas"
    device = "freezer" if task.kind == "freeze" or too_warm else "stove"
    heat = [f"turn {device}"] * (device not in bench.running) + [f"put {x} {device}"] * (at != device)
    return (heat or ["wait"]) + (["done"] if task.kind in STATES else [f"read {x}", *boxes])


def plan(task: Task, bench: Bench) -> list[str]:
    """The fewest actions to the end that is wanted; none where it is out of reach."""

    def steps(bench: Bench) -> Iterator[tuple[str, Bench]]:
        if not bench.end:
            yield from ((action, act(task, bench, action)) for action in useful(task, bench))

    return shortest(bench, steps, lambda b: goals(task, b)[-1][1], limit=20_000) or []


class Lab(ScriptedEnv):
    """Experiments with generated substances."""

    env_id = "lab"
    seats = ("chemist_0",)
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("oracle",)
    rules = (
        "You work at a bench, an action a step. [put x stove], freezer or table; [turn stove] switches a device on or "
        "off; a [wait] warms or cools what lies there by 20 degrees; [read x] tells degrees and state. Things are "
        "solid below their melting point, then liquid, then a gas. [mix x y] must be as the book says. [connect "
        "battery x] lays a wire; in a loop of battery, lamp and a substance that conducts, the lamp glows. [box x red] "
        "or blue gives a verdict, [done] ends a change of state."
    )
    reward_range = (0.0, 1.0)

    kind: str = ""
    oracle: bool = False

    def __init__(self, **params: object) -> None:
        super().__init__(**params)
        if self.kind not in ("", *KINDS):
            raise EnvError(f"lab: kind = {self.kind!r}\n  it is one of {', '.join(KINDS)}")

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        task = self.item("task", self._task, lambda t: " ".join([t.kind, *(f"{s.name} {s.melts}" for s in t.samples)]))
        bench = first(task)
        best = len(plan(task, bench))
        self.note(task=task)
        self.tell(self._opening(task, rng))
        reached: set[int] = set()
        steps, happened = 0, ""
        while steps < 2 * best and not bench.end and not goals(task, bench)[-1][1]:
            self.note(bench=bench)
            self.tell(f"{happened} Steps left: {2 * best - steps}.".strip())
            move = yield self.turn(seat, *self._commands(task, bench), default="wait")
            action = " ".join((move.verb, *move.args))
            before, bench = bench, act(task, bench, action)
            happened = report(task, before, bench, action, shown=self.level < 2)
            reached |= {n for n, (_, ok) in enumerate(goals(task, bench)) if ok}
            steps += 1

        worth = [points for points, _ in goals(task, bench)]
        success = len(worth) - 1 in reached
        points = sum(worth[n] for n in reached)
        self.reward({seat: points / 100})
        spoiled = bool(bench.end) and not success
        self.outcome(points=points, success=success, spoiled=spoiled, kind=task.kind, steps=steps, best=best)

    def _task(self, rng: random.Random) -> Task:
        ood, names = self.split == "ood", iter(made_up(rng, 20, self.split, few=0 if self.level else 24))
        usual = (("mix", "test", "melt", "freeze"), ("mix", *USUAL), USUAL)[self.level]
        kind = self.kind or rng.choice(HELD_OUT[self.level == 2 :] if ood else usual)
        mixes = (3 if ood else 2) if kind == "mix" else 4 if self.level == 2 else 0
        x, *parts = [next(names) for _ in range(1 + mixes)]
        products = [next(names) for _ in range(mixes)]
        recipes = tuple(zip([x, *products], parts, products, strict=False))
        extra = [next(names) for _ in range(2)] if self.level else []
        other = tuple((part, rng.choice(extra), next(names)) for part in parts if extra)  # these use up what is needed
        there = rng.sample([x, *parts, *extra], 1 + len(parts) + len(extra))
        samples = [self._sample(rng, name, kind)._replace(made=name in products) for name in [*there, *products]]
        target = len(samples) - 1 if products else there.index(x)
        boxes = ("blue", "red") if ood else ("red", "blue")
        return Task(kind, target, tuple(samples), recipes, other, 20 * rng.randint(2, 4), boxes)

    def _sample(self, rng: random.Random, name: str, kind: str) -> Sample:
        step = 20 * rng.randrange(4 if kind == "measure" else 3)
        melts = 10 - step if kind == "freeze" else 30 + step
        return Sample(name, melts, melts + 40 + 20 * rng.randrange(2), rng.random() < 0.5)

    def _commands(self, task: Task, bench: Bench) -> list[str]:
        """At level 0 those of the kind alone."""
        there, every = present(task, bench), self.level > 0
        x, commands = "|".join(there), ["wait"]
        if every or task.kind in (*STATES, "measure"):
            commands += [f"put {x} table|stove|freezer", "turn stove|freezer"]
        if every or task.kind == "measure":
            commands += [f"read {x}"]
        if every or task.kind == "mix":
            commands += [f"mix {a} {'|'.join(b for b in there if b != a)}" for a in there if len(there) > 1]
        if every or task.kind == "test":
            commands += [f"connect battery lamp|{x}", f"connect lamp {x}"]
        if every or task.kind in ("test", "measure"):
            commands += [f"box {x} red|blue"]
        return commands + (["done"] if every or task.kind in STATES else [])

    def _opening(self, task: Task, rng: random.Random) -> str:
        book = [rng.choice(MIXES).format(a=a, b=b, c=c) for a, b, c in (*task.recipes, *task.other)]
        if self.oracle or (self.level < 2 and task.kind in STATES):
            book += [f"{s.name} melts at {s.melts} and boils at {s.boils} degrees." for s in task.samples]
        if self.oracle:
            book += [f"{s.name} {'conducts' if s.conducts else 'does not conduct'}." for s in task.samples]
        wordings = TASKS.get(task.kind, TASKS["change"])
        x, (yes, no) = task.samples[task.target].name, task.boxes
        wanted = {"x": x, "line": task.line, "yes": yes, "no": no, "state": STATES.get(task.kind), "change": task.kind}
        opening = (rng.choice(wordings) if self.level else wordings[0]).format(**wanted)
        there = f"On the table, at 20 degrees: {', '.join(present(task, first(task)))}."
        return " ".join([opening, there, *(rng.sample(book, len(book)) if self.level else book)])


MIXES = ("{a} and {b} give {c}.", "{c} is made from {a} and {b}.", "Mixing {a} with {b} gives {c}.")
TASKS = {
    "mix": ("Make {x}.", "We need some {x}.", "Your task is to obtain {x}."),
    "change": (
        "To {change}: {x}. Say done when it is {state}.",
        "We need {x} as a {state}; say done when it is.",
        "See that {x} is {state}, and say done.",
    ),
    "measure": (
        "Does {x} melt above {line} degrees? Box it {yes} if so, else {no}.",
        "In the {yes} box is what melts above {line} degrees, in the {no} box the rest. Find out about {x}.",
    ),
    "test": (
        "Does {x} conduct? Box it {yes} if so, else {no}.",
        "In the {yes} box is what conducts, in the {no} box what does not. Find out about {x}.",
    ),
}


def report(task: Task, before: Bench, after: Bench, action: str, *, shown: bool) -> str:
    """What is to be seen while the work goes on; `shown`: a wait shows what does not lie on the table."""
    verb, *args = action.split()
    states = [(s, at, d) for s, at, d in zip(task.samples, after.at, after.degrees, strict=True) if at]
    look = {s.name: f"{s.name}: {d} degrees, {s.state(d)}." for s, _, d in states}
    if verb == "put":
        return f"{args[0]} is {'in' if args[1] == 'freezer' else 'on'} the {args[1]}."
    if verb == "turn":
        return f"The {args[0]} is {'on' if args[0] in after.running else 'off'}."
    if verb == "wait":
        return " ".join(["You wait.", *(look[s.name] for s, at, _ in states if shown and at != "table")])
    if verb == "read":
        return look[args[0]]
    if verb == "mix":
        return f"{args[0]} and {args[1]} give {', '.join(look.keys() - present(task, before))}."
    lamps = [
        "The lamp glows." if s.conducts else "The lamp stays dark." for s, _, _ in states if in_loop(after, s.name)
    ]
    return " ".join([f"{' and '.join(args)} are joined.", *lamps[:1]])


# -- players -----------------------------------------------------------------------------------------------------


def _work(request: Request) -> tuple[Task, Bench]:
    return msgspec.convert(request.facts["task"], Task), msgspec.convert(request.facts["bench"], Bench)


def _greedy(request: Request) -> str:
    task, bench = _work(request)
    melts = 10 if task.kind == "freeze" else 30
    guess = tuple(s._replace(melts=melts, boils=melts + 40, conducts=True) for s in task.samples)
    return f"[{(plan(task._replace(samples=guess), bench) or ['wait'])[0]}]"


def _oracle(request: Request) -> str:
    return f"[{(plan(*_work(request)) or ['wait'])[0]}]"


Lab.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
