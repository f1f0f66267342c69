"""Grid: walk through rooms that one sees only in part, and do what one is told to do there.

| fact | value |
|---|---|
| seats | `walker_0`; with `guide` also `guide_0` |
| turns | up to 16, 40, 80, 120, 240 moves by level; with `guide` a hint before each |
| hidden | the map beyond what the walker sees; with `guide` also the mission, from the walker |
| reward | 1 - 0.9 moves / moves allowed on success, else 0, the same for all seats: 0 to 1 |
| gold outcome | success, steps, tasks_done, path_ratio (shortest way / moves; 0: no success), idle_moves |
| theory | the shortest way that handles only what the next task needs, by search over the whole map |
| source | BabyAI (arXiv 1810.08272); text and actions after GLAM (arXiv 2302.02662) |

Rules: six actions, turn left, turn right, go forward, pick up, drop, toggle (a door; a locked one with the key of its
color in hand, which is used up). The walker sees six cells ahead and three to each side, not through walls and closed
doors, and carries one thing. It has gone to a thing when it faces it; the episode ends when the mission is done. An
action that is not possible costs a move and changes nothing; so does a reply that is none.

Levels: 0 one room of 4x4, one thing, go to it, in few words; 1 one room of 6x6 with five things: go to, pick up, put
next to; 2 two rooms with a door, also open it; 3 four rooms, a locked door between the walker and what it is sent for;
4 nine rooms, and two missions one after the other. From level 1 on everything has colors and several wordings.

Splits: train and test hold different maps; ood names things, colors and missions by other words.

Parameters: `size` (cells along a room), `things`, `steps` (moves allowed; 0: the level's own), `guide`: a second seat
sees the whole map and alone knows the mission; it gives a hint before each move, at level 0 one of the actions.

Players: `random`, `greedy` (goes straight to what it is sent for if it sees it, else through doors and about), `oracle`
(the shortest way; as guide it says the next move), `obedient` (does what the guide has just said, else as greedy).
"""

from __future__ import annotations

import random
import re

from palaestra.envs.common import states
from palaestra.envs.common.grids import ACTIONS, State, act, picture
from palaestra.envs.common.words import pools
from palaestra.envs.embodied.mission_words import VIEWS, Heard, asked, seen
from palaestra.envs.embodied.missions import SHAPES, Stage, Task, draw_tasks, draw_world, guide, progress
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

GUIDE, WALKER = "guide_0", "walker_0"
HINTS = tuple(f"say {action}" for action in ACTIONS)


class Grid(ScriptedEnv):
    """Missions in rooms that are seen in part."""

    env_id = "grid"
    levels = (0, 1, 2, 3, 4)
    splits = ("train", "test", "ood")
    rules = (
        "You walk on a square grid of rooms and see six cells ahead and three to each side, not through walls or "
        "closed doors: '2 ahead 1 left' is two cells ahead of you and one to the left. Each move is one action: turn "
        "left, turn right, go forward one cell, pick up the thing ahead, drop what you carry on the cell ahead, or "
        "toggle the door ahead. You carry one thing at most; a locked door opens with the key of its color in your "
        "hand, which is used up. You have gone to a thing when it is one cell ahead of you. Every move costs."
    )
    reward_range = (0.0, 1.0)

    size: int = 0
    things: int = 0
    steps: int = 0
    guide: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return (GUIDE, WALKER) if self.guide else (WALKER,)

    def script(self, rng: random.Random) -> Script:
        shape, plain = SHAPES[self.level], self.level == 0
        shape = shape.resized(self.size, self.things)
        limit = self.steps or shape.steps
        rows, start = self.item(f"grid{self.level}", lambda r: draw_world(r, shape, pools(self.split)), states.digest)
        teller = self.seats[0]
        drawn = self.secrets("tasks", lambda r: {teller: [list(t) for t in draw_tasks(r, shape, rows, start)]})
        tasks = [Task(*t) for t in drawn[teller]]
        view = VIEWS[0 if plain else rng.randrange(3)]
        self.note(rows=rows)
        self.tell(asked(rng, tasks, plain=plain, ood=self.split == "ood"), to=teller)

        state, moves, done, idle = start, 0, 0, 0
        states.note(self, state)
        self.note(done=done)
        while done < len(tasks) and moves < limit:
            self.tell(seen(rows, state, view, plain=plain), to=WALKER)
            if self.guide:
                self.tell(picture(rows, state), to=GUIDE)
                hint = yield self.turn(GUIDE) if self.level else self.turn(GUIDE, *HINTS, default=HINTS[0])
                self.tell(f'The guide says: "{" ".join(hint.args) or hint.said(20)}"', to=WALKER)
            move = yield self.turn(WALKER, *ACTIONS, default=ACTIONS[0])
            action = " ".join((move.verb, *move.args))
            after = act(rows, state, action) if move.status == "ok" else state
            now = progress(tasks, done, action if after is not state else "", after)
            states.note(self, after, state)
            if now > done:
                self.note(done=now)
            state, done, moves, idle = after, now, moves + 1, idle + (after is state)

        success = done == len(tasks)
        self.reveal("The mission is done." if success else "No moves are left.")
        self.reward(dict.fromkeys(self.seats, 1 - 0.9 * moves / limit if success else 0.0))
        ratio = min(1.0, guide(rows, tuple(tasks)).ratio(Stage(start, 0), moves)) if success else 0.0
        self.outcome(success=success, steps=moves, tasks_done=done, path_ratio=ratio, idle_moves=idle)


# -- players -----------------------------------------------------------------------------------------------------

_HINT = re.compile(f"The guide says: .*?({'|'.join(ACTIONS)})", re.I)


def _oracle(request: Request) -> str:
    (tasks,) = request.facts["tasks"].values()
    stage = Stage(states.noted(request, State), request.facts["done"])
    way = guide(tuple(request.facts["rows"]), tuple(Task(*t) for t in tasks)).way(stage) or ACTIONS
    if request.seat == WALKER:
        return f"[{way[0]}]"
    return f"[say {way[0]}]" if request.commands else f"Now {way[0]}."


def _greedy(request: Request) -> str:
    """Straight to what the mission names if it is in sight, else to a key or a door of use, else about."""
    if request.seat == GUIDE:
        return play_random(request)
    mission, sights, held, locked = Heard.of(request.heard)
    named = sorted((mission.find(what), what, at) for what, at in sights if what in mission and what != held)
    use = [f"{color}key" for color in locked if not held] + [f"locked {held.removesuffix('key')}door"]
    ways = [(what, at) for _, what, at in named] + [s for s in sights if s[0] in use or s[0].startswith("closed")]
    what, (ahead, right) = ways[0] if ways else ("", (9, 0))
    if held and named and held in mission and (ahead, abs(right)) in ((1, 1), (2, 0)):
        return "[drop]"
    if (ahead, right) == (1, 0) and not (held and named):
        return "[toggle]" if what.endswith("door") else "[pick up]"
    if ahead == 0:
        return "[turn right]" if right > 0 else "[turn left]"
    blocked = not sights or any(at == (1, 0) and not what.startswith("open") for what, at in sights)
    rng = request.rng
    if rng.random() < (0.05 if ways else 0.2) or blocked:
        return rng.choice(("[turn left]", "[turn right]"))
    return "[go forward]"


def _obedient(request: Request) -> str:
    hint = _HINT.search(request.text)
    return f"[{hint[1].lower()}]" if hint and request.seat == WALKER else _greedy(request)


Grid.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "obedient": _obedient}
