"""Craft: a technology tree of things that nobody has heard of, grown anew for every episode.

| fact | value |
|---|---|
| seats | `crafter_0` |
| turns | one an action, up to the steps that are granted |
| hidden | levels 2 and 3: what a thing takes, until a failed try tells it |
| reward | with a goal half of progress plus 0.5 for the goal, else progress; 0 to 1 |
| gold outcome | reached, progress, depth, depth_best, steps, best, useless, skills, skill_uses, replies |
| theory | `best`: the fewest actions there are, for every thing needs exactly what it takes |
| controls | `oracle`: what everything takes is told at the start |
| source | arXiv 2305.16291 (Voyager), arXiv 2305.10626 (E2WM) |

Rules: some things can be got, the others are crafted; crafting uses up its parts. Some things need a tool in the pack
or another thing placed nearby, neither of which is used up. An action that cannot be done changes nothing and costs
its step all the same; so does a reply that is no legal move. Progress is the share of the things that count which the
crafter has ever held: with a goal all that the goal needs, without one all there are.

Levels: 0 has four things named from a dozen words; all is told, and twice the fewest actions are granted. 1 has fifteen
things, among them tools and things to place; 2 has thirty, and only a failed try tells what a thing takes; 3 has forty
and no goal. They grant half more than the fewest actions, 2 and 3 one more for every thing that is crafted. From level
2 on a crafter may write skills: `[define pair: get bodak; craft luzex]` costs nothing (eight may be written), `[do
pair]` costs what its actions cost and stops at the first that fails; a skill may use earlier ones. Skills save replies,
never steps.

Splits: names are drawn for each episode; train and test never share a list of names, ood has other syllables and a
quarter more things. Players: `random`, `greedy` (crafts any new thing it can, else gets what it has least of),
`planner` (works backward by what it was told), `oracle` (works backward by the tree itself).
"""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from palaestra.envs.common.words import made_up
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

MAX_SKILLS = 8
MAX_SKILL_ACTIONS = 20


class Thing(NamedTuple):
    name: str
    raw: bool = False
    """It is got, not crafted."""
    parts: tuple[tuple[str, int], ...] = ()
    tool: str = ""
    """What must be in the pack."""
    place: str = ""
    """What must have been placed."""


class Size(NamedTuple):
    things: int
    helpers: bool
    """There are tools and things to place."""
    told: bool
    goal: bool
    least: int
    most: int
    """Bounds of the fewest actions."""


SIZES = (
    Size(4, False, True, True, 3, 6),
    Size(15, True, True, True, 12, 25),
    Size(30, True, False, True, 20, 50),
    Size(40, True, False, False, 40, 120),
)


def grow(rng: random.Random, names: list[str], helpers: bool) -> list[Thing]:
    """A tree: each thing needs only earlier ones. Tools and things to place are never parts."""
    tree: list[Thing] = []
    materials: list[str] = []
    tools: list[str] = []
    places: list[str] = []
    for n, name in enumerate(names):
        raw = n < 2 or (helpers and n < len(names) - 1 and rng.random() < 0.2)
        recent = materials[-max(5, len(names) * 2 // 5) :]  # late things need late ones, which makes the tree deep
        parts = [] if raw else rng.sample(recent, min(len(recent), rng.randint(1, 2)))
        tool = rng.choice(tools) if tools and rng.random() < 0.4 else ""
        place = rng.choice(places) if places and not raw and rng.random() < 0.4 else ""
        tree.append(Thing(name, raw, tuple((p, rng.choice((1, 1, 1, 1, 2))) for p in parts), tool, place))
        kinds = (materials, tools, places) if helpers and not raw and n < len(names) - 1 else (materials,)
        rng.choices(kinds, (6, 2, 1)[: len(kinds)])[0].append(name)
    return tree


def lacking(thing: Thing, pack: Mapping[str, int], placed: Iterable[str]) -> list[str]:
    """What must be there before the thing can be got or crafted, and is not."""
    short = [part for part, n in thing.parts if pack[part] < n]
    short += [thing.tool] if thing.tool and not pack[thing.tool] else []
    return short + ([thing.place] if thing.place and thing.place not in placed else [])


def fewest(tree: Iterable[Thing], wanted: Iterable[str]) -> Counter[str]:
    """How often each action must be done at least, so that each wanted thing has been held; no order is better."""
    uses: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for thing in reversed(list(tree)):
        if count := max(uses[thing.name], thing.name in wanted):
            actions[f"{'get' if thing.raw else 'craft'} {thing.name}"] = count
            for part, n in thing.parts:
                uses[part] += n * count
            for helper in filter(None, (thing.tool, thing.place)):
                uses[helper] = 1
            if thing.place:
                actions[f"place {thing.place}"] = 1
    return actions


def plan(
    book: Mapping[str, Thing], wanted: Iterable[str], pack: Mapping[str, int] = {}, placed: Iterable[str] = ()
) -> Iterator[str]:
    """The fewest actions that make each of the wanted things once; one that is not in the book is simply tried."""
    held, put, made = Counter(pack), set(placed), set()

    def make(name: str) -> Iterator[str]:
        thing = book.get(name, Thing(name))
        while short := lacking(thing, held, put):
            if short[0] != thing.place or not held[thing.place]:
                yield from make(short[0])
            else:
                held[thing.place] -= 1
                put.add(thing.place)
                yield f"place {thing.place}"
        held.subtract(dict(thing.parts))
        held[name] += 1
        made.add(name)
        yield f"{'get' if thing.raw else 'craft'} {name}"

    for name in wanted:
        if name not in made:
            yield from make(name)


def depths(tree: Iterable[Thing]) -> dict[str, int]:
    """How many crafts follow one upon another up to each thing; 0 for what lies about."""
    found = {"": -1}
    for thing in tree:
        needs = [found[p] for p in (*dict(thing.parts), thing.tool, thing.place)]
        found[thing.name] = max(needs) + 1
    return found


class Craft(ScriptedEnv):
    """A generated technology tree."""

    env_id = "craft"
    seats = ("crafter_0",)
    levels = (0, 1, 2, 3)
    splits = ("train", "test", "ood")
    controls = ("oracle",)
    rules = (
        "Some things can be got, others are crafted from parts, which are used up. Some need a tool in the pack or "
        "a thing placed nearby. Moves are [get x], [craft y], [place z] and [wait]; each costs a step, also where it "
        "fails. Where skills are allowed, [define name: get x; craft y] writes one and [do name] carries it out."
    )
    reward_range = (0.0, 1.0)

    oracle: bool = False

    def script(self, rng: random.Random) -> Script:
        (seat,) = self.seats
        size = SIZES[self.level]
        tree = self.item("tree", self._tree, lambda things: " ".join(t.name for t in things))
        book = {t.name: t for t in tree}
        wanted = [tree[-1].name] if size.goal else list(book)
        least = fewest(tree, wanted)
        best = least.total()
        counted = {name for verb, name in map(str.split, least) if verb != "place"}
        told = size.told or self.oracle
        granted = 2 * best if self.level == 0 else best * 3 // 2
        granted += 0 if size.told else sum(not book[name].raw for name in counted)  # with `oracle` the same
        self.note(tree=tree, wanted=wanted)

        shown = rng.sample(tree, len(tree)) if self.level else tree
        raws, crafts = [[t.name for t in shown if t.raw is raw] for raw in (True, False)]
        placeable = [t for t in crafts if any(t == other.place for other in tree)]
        opening, takes = (rng.choice(OPENINGS[1:]), rng.choice(TAKES)) if self.level else (OPENINGS[0], TAKES[0])
        recipes = " ".join(takes.format(x=t.name, needs=needs(t)) for t in shown if needs(t)) if told else UNTOLD
        goal = f"Make a {wanted[0]}." if size.goal else "Make as many different things as you can."
        self.tell(opening.format(raws=", ".join(raws), crafts=", ".join(crafts), recipes=recipes, goal=goal))

        pack: Counter[str] = Counter()
        placed: list[str] = []
        made: set[str] = set()
        skills: dict[str, list[str]] = {}
        steps = useless = replies = uses = 0

        def act(action: str) -> tuple[bool, str]:
            """Whether it could be done, and what is told."""
            verb, _, name = action.partition(" ")
            if verb == "wait":
                return False, "You wait."
            thing = book[name]
            if verb == "place":
                if not pack[name]:
                    return False, f"You have no {name} to place."
                pack[name] -= 1
                placed.append(name)
                return True, f"You place {name}."
            if lacking(thing, pack, placed):
                return False, f"You cannot {action}. {takes.format(x=name, needs=needs(thing))}"
            pack.subtract(dict(thing.parts))
            pack[name] += 1
            made.add(name)
            return True, f"You {action}."

        basic = [f"get {'|'.join(raws)}", f"craft {'|'.join(crafts)}"]
        basic += [f"place {'|'.join(placeable)}"] if placeable else []
        sentences: list[str] = []
        while steps < granted and not made.issuperset(wanted):
            self.tell(" ".join([*sentences, _status(pack, placed, granted - steps)]))
            more = ["define ..."] if self.level >= 2 else []
            more += [f"do {'|'.join(skills)}"] if skills else []
            move = yield self.turn(seat, *basic, "wait", *more, default="wait")
            replies += 1
            actions, sentences = [" ".join((move.verb, *move.args))], []
            if move.verb == "define":
                name, actions = _skill(move.args[0], basic, skills)
                if name and len(skills) < MAX_SKILLS:
                    skills[name] = actions
                    sentences = [f"You know how to {name}: {'; '.join(actions)}."]
                    continue
                actions, sentences = ["wait"], ["That defines no new skill."]
            elif move.verb == "do":
                actions, uses = skills[move.args[0]], uses + 1
            for action in actions:
                done, sentence = act(action)
                sentences.append(sentence)
                steps += 1
                useless += not done
                if not done or steps == granted or made.issuperset(wanted):
                    break

        progress = len(made & counted) / len(counted)
        reached = made.issuperset(wanted)
        self.reward({seat: (progress + reached) / 2 if size.goal else progress})
        deep = depths(tree)
        self.outcome(
            reached=reached,
            progress=progress,
            depth=max((deep[name] for name in made), default=0),
            depth_best=max(deep[name] for name in counted),
            steps=steps,
            best=best,
            useless=useless / steps,
            skills=len(skills),
            skill_uses=uses,
            replies=replies,
        )

    def _tree(self, rng: random.Random) -> list[Thing]:
        size, ood = SIZES[self.level], self.split == "ood"
        names = made_up(rng, size.things * 5 // 4 if ood else size.things, self.split, few=0 if self.level else 12)
        while True:
            tree = grow(rng, names, size.helpers)
            least = fewest(tree, names[-1:] if size.goal else names).total()
            if size.least <= least <= size.most * (1.5 if ood else 1):
                return tree


OPENINGS = (
    "You can get {raws}. {recipes} {goal}",
    "You can get {raws}. You can craft {crafts}. {recipes} {goal}",
    "A land of strange things. Here you find {raws}; with skill one makes {crafts}. {recipes} {goal}",
    "{goal} What lies about: {raws}. What can be made: {crafts}. {recipes}",
)
UNTOLD = "What a thing takes, a failed try tells."
TAKES = ("{x} takes {needs}.", "{x} is made with {needs}.", "For {x} you need {needs}.")


def needs(thing: Thing) -> str:
    """What the thing takes, in words."""
    words = [f"{n} {part}" for part, n in thing.parts]
    words += [f"a {thing.tool} in the pack"] if thing.tool else []
    return ", ".join(words + ([f"a placed {thing.place}"] if thing.place else []))


def _status(pack: Mapping[str, int], placed: list[str], left: int) -> str:
    things = ", ".join(f"{n} {name}" for name, n in sorted(pack.items()) if n) or "nothing"
    near = f" Placed: {', '.join(sorted(set(placed)))}." if placed else ""
    return f"You have {things}.{near} Steps left: {left}."


def _skill(text: str, basic: list[str], skills: Mapping[str, list[str]]) -> tuple[str, list[str]]:
    """Name and actions of a new skill, earlier skills written out; an empty name where the text defines none."""
    name, _, body = text.lower().partition(":")
    known = {f"do {skill}": actions for skill, actions in skills.items()}
    for verb, _, things in (command.partition(" ") for command in basic):
        known |= {f"{verb} {thing}": [f"{verb} {thing}"] for thing in things.split("|")}
    steps = [known.get(" ".join(step.split()), []) for step in body.split(";")]
    actions = [action for step in steps for action in step]
    new = re.fullmatch("[a-z_]{1,20}", name.strip()) and name.strip() not in skills
    return (name.strip(), actions) if new and all(steps) and len(actions) <= MAX_SKILL_ACTIONS else ("", [])


# -- players -----------------------------------------------------------------------------------------------------

_TAKES = re.compile(r"(\w+) (?:takes|is made with|you need) ([^.]+)\.")


class _Known(NamedTuple):
    """What a crafter can know from what it was told."""

    book: dict[str, Thing]
    pack: Counter[str]
    placed: list[str]
    made: set[str]


def _names(request: Request) -> dict[str, list[str]]:
    """What each verb may be said of."""
    return {verb: xs.split("|") for verb, _, xs in (c.partition(" ") for c in request.commands)}


@functools.lru_cache(4096)
def _read(text: str) -> tuple[list[Thing], list[str]]:
    """What one message tells: things and what they take, and what has been made."""
    things = []
    for name, takes in _TAKES.findall(text):
        parts = tuple((part, int(n)) for n, part in re.findall(r"(\d+) (\w+)", takes))
        tool, place = re.search(r"a (\w+) in", takes), re.search(r"a placed (\w+)", takes)
        things.append(Thing(name, not parts, parts, tool[1] if tool else "", place[1] if place else ""))
    return things, re.findall(r"You (?:get|craft) (\w+)\.", text)


def _known(request: Request) -> _Known:
    told = request.heard
    book, made = {x: Thing(x, raw=True) for x in _names(request)["get"]}, set()
    for things, names in map(_read, told):
        book |= {t.name: t for t in things}
        made.update(names)
    status = next(text for text in reversed(told) if "Steps left: " in text).rpartition("You have ")[2]
    pack = Counter({name: int(n) for n, name in re.findall(r"(\d+) (\w+)[,.]", status)})
    placed = re.search(r"Placed: ([^.]+)\.", status)
    return _Known(book, pack, placed[1].split(", ") if placed else [], made)


def _goals(request: Request) -> list[str]:
    """The goal, or everything in the order in which it is offered."""
    goal = re.search(r"Make a (\w+)\.", request.heard[0])
    names = _names(request)
    return [goal[1]] if goal else names["get"] + names["craft"]


def _greedy(request: Request) -> str:
    known, names = _known(request), _names(request)
    for place in names.get("place", []):
        if known.pack[place]:
            return f"[place {place}]"
    able = [x for x in names["craft"] if not lacking(known.book.get(x, Thing(x)), known.pack, known.placed)]
    if new := [x for x in able if x not in known.made]:
        return f"[craft {new[0]}]"
    raws = [x for x in names["get"] if not lacking(known.book[x], known.pack, known.placed)]
    return f"[get {min(raws, key=lambda x: known.pack[x])}]"


def _planner(request: Request) -> str:
    known = _known(request)
    wanted = [x for x in _goals(request) if x not in known.made]
    return f"[{next(plan(known.book, wanted, known.pack, known.placed))}]"


def _oracle(request: Request) -> str:
    known, facts = _known(request), request.facts
    tree = {name: Thing(name, raw, tuple(map(tuple, parts)), *more) for name, raw, parts, *more in facts["tree"]}
    wanted = [x for x in facts["wanted"] if x not in known.made]
    return f"[{next(plan(tree, wanted, known.pack, known.placed))}]"


Craft.players = {"random": play_random, "greedy": _greedy, "planner": _planner, "oracle": _oracle}
