"""Service: an agent at a desk takes a client through a workflow, and asks for what only the client knows.

| fact | value |
|---|---|
| seats | `agent_0`, `client_0` |
| turns | up to 14, 30, 40 of the agent by level, and the client's answer to each of its questions |
| hidden | what the client wants, from the agent |
| reward | agent: share of needed steps done right, minus 0.1 a wrong commitment; client: faithful answers: -1 to 1 |
| gold outcome | completion, needed, right, wrong, questions, needless, length, left, faithful, mood |
| controls | `oracle`: the agent is told what the client wants; `calm`: the client has no moods |
| splits | train and test share no workflow with the values to choose from; ood has words of its own |
| source | after self-talk of an agent that has a workflow with a client (arXiv 2401.05033) |

Rules: the agent is given a workflow: steps, the slots that each takes, what comes after what, and which step is the
goal. `[ask day]` asks the client for a slot, `[step pack color=red]` commits to a step with its values, `[done]` ends.
The desk refuses a step before its time, and notes any other without a word on whether its values are right; a step done
again replaces what was noted. In the end a step is right if it is done with what the client wants. A commitment is
wrong if it is refused, changes nothing, has a value that the client does not want by then, or is a step that this
client does not need. Questions cost nothing but turns; needless are those whose answer is known or helps nobody.

Level 0: a chain of three steps, listed in any order, with a slot each. Level 1: five steps, one of them for special
cases (`only if color red`); answers in several wordings; moods: `vague` clients answer some questions only when asked
twice, `eager` ones say something more; after three needless questions a client leaves. Level 2: seven steps, two of
them for special cases; answers that name what is not wanted, or only that; `fickle` clients once change their mind
about something that they have said.

The client is a state machine in the script: what it wants, what is due, when it changes its mind or leaves. Its seat
words what is due (level 0: `[say red]`). Its words reach the agent if they name all the values that are due and no
others, else a line of the script does; the share of those that do is its reward. Whoever plays the client, it can
neither invent a value nor break off.

Players: `random`, `greedy` (asks for everything once and goes through the list as it stands), `oracle` (knows what the
client wants), `clerk` (asks for what it needs, and listens; under its name `client` for the other seat). In the
client's seat all but `random` say what is due.
With themselves, mean reward of the agent by level: random -0.31, -0.83, -0.52, greedy 0.44, 0.11, 0.04, the others 1.
"""

from __future__ import annotations

import random
import re

from palaestra.envs.common.workflows import MOODS, Client, Step, Workflow, named, read_card, tells, workflow
from palaestra.envs.script import Player, Request, Script, ScriptedEnv, play_random

AGENT, CLIENT = "agent_0", "client_0"
SIZES = (
    {"length": 3},
    {"length": 4, "extra": 1, "slots": 6, "size": 5},
    {"length": 5, "extra": 2, "slots": 8, "size": 6},
)
TURNS = (14, 30, 40)
PATIENCE = 3  # needless questions, from level 1 on


class Service(ScriptedEnv):
    """A workflow at a desk, and a client who knows the values."""

    env_id = "service"
    seats = (AGENT, CLIENT)
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("oracle", "calm")
    rules = (
        "An agent at a desk takes a client through a workflow. Each step takes values that only the client knows: the "
        "agent asks for them, [ask day], and commits to the steps, [step pack color=red], in an order that the "
        "workflow allows, up to the goal, without steps for cases that are not this client's; then [done]. What the "
        "client wants may change. A commitment with a wrong value, out of order or without need costs. The client says "
        "in its own words what it is told to say."
    )
    reward_range = (-1.0, 1.0)
    skill = "completion"

    oracle: bool = False
    calm: bool = False

    def script(self, rng: random.Random) -> Script:
        flow = self.item(
            f"workflow{self.level}",
            lambda r: workflow(r, self.split, **SIZES[self.level]),
            lambda f: f"{f.card()} {f.choices()}",
        )
        values = self.secret(CLIENT, "values", flow.wish)
        mood = self.secret(CLIENT, "mood", lambda r: "plain" if self.calm else r.choice(MOODS[: (1, 3, 4)[self.level]]))
        client = Client(self.stream("client"), values, flow.options, mood, self.level)
        self.tell(f"{flow.card()}{' ' + flow.choices() if self.level else ''} A client comes in.", to=AGENT)
        wants = " ".join(f"{slot}: {value}." for slot, value in values.items())
        self.tell(f"You are the client. You want {wants}", to=CLIENT)
        if self.oracle:
            self.reveal(f"The client wants {wants}", to=AGENT)

        steps = {s.name: s for s in flow.steps}
        commands = [f"ask {'|'.join(flow.options)}", *(_command(s, flow) for s in flow.steps), "done"]
        every = "|".join(value for values in flow.options.values() for value in values)
        say = () if self.level else (f"say {every}|nothing",)
        record: dict[str, str] = {}
        turns = asked = needless = wrong = faithful = 0
        left = False
        while turns < TURNS[self.level] and not left:
            move = yield self.turn(AGENT, *commands, default="done")
            turns += 1
            if move.verb == "done":
                break
            name, *given = move.args
            if move.verb == "step":
                step, put = steps[name], dict(value.split("=") for value in given)
                missing, after = step.unmet(record), step.done(record, put)
                unwanted = step not in flow.plan(client.values) or put.items() - client.values.items()
                wrong += bool(missing or unwanted or after == record)
                record = record if missing else after
                self.tell(f"Refused: first {missing[0]}." if missing else f"{name} is noted.", to=AGENT)
                continue
            asked += 1
            needless += name in client.said or name not in flow.asks(client.values)
            left = self.level > 0 and needless >= PATIENCE
            line, told = client.asked(name)
            talk = f' It says: "{move.said()}"' if self.level and move.speech else ""
            order = f" Tell it, in your own words: {line}" if self.level else ""
            self.tell(f"The agent asks for the {name}.{talk}{order}", to=CLIENT)
            reply = yield self.turn(CLIENT, *say, default="say nothing" if say else None)
            words = " ".join(reply.args) or reply.said()
            true = words == line or tells(words, {slot: client.values[slot] for slot in told}, flow.options)
            faithful += true
            self.reveal(f'The client says: "{words if true and self.level else line}"', to=AGENT)
            if left:
                self.reveal("The client leaves.")

        needed = flow.plan(client.values)
        right = sum(step.done(record, client.values) == record for step in needed)
        self.reward({AGENT: max(-1.0, right / len(needed) - 0.1 * wrong)})
        if asked:
            self.reward({CLIENT: faithful / asked})
        self.outcome(
            completion=right / len(needed),
            needed=len(needed),
            right=right,
            wrong=wrong,
            questions=asked,
            needless=needless,
            length=turns,
            left=left,
            faithful=faithful / asked if asked else None,
            mood=mood,
        )


def _command(step: Step, flow: Workflow) -> str:
    """`step pack color=red|color=blue`"""
    return " ".join(["step", step.name, *("|".join(f"{slot}={v}" for v in flow.options[slot]) for slot in step.takes)])


# -- players -----------------------------------------------------------------------------------------------------


def _flow(request: Request) -> Workflow:
    options = re.findall(r"(\w+)=(\w+)", " ".join(request.commands))
    slots = request.commands[0].removeprefix("ask ").split("|")
    return read_card(request.heard[0], {slot: [v for s, v in options if s == slot] for slot in slots})


def _heard(request: Request, flow: Workflow) -> dict[str, str]:
    """What the client has said that it wants, the last word counting."""
    found: dict[str, str] = {}
    for text in request.heard:
        if text.startswith("The client says: "):
            found |= named(text, flow.options)
    return found


def _commit(step: Step, values: dict[str, str]) -> str:
    return f"[{' '.join(['step', step.name, *(f'{slot}={values[slot]}' for slot in step.takes)])}]"


def _first_unsaid(request: Request, *moves: str) -> str:
    said = [text for who, text in request.view if who == "said"]
    return next((move for move in moves if move not in said), "[done]")


def _greedy(request: Request) -> str:
    """Asks for every slot once, then commits to every step as listed, with the value heard or else the first one."""
    flow = _flow(request)
    values = {slot: options[0] for slot, options in flow.options.items() if options} | _heard(request, flow)
    return _first_unsaid(request, *(f"[ask {slot}]" for slot in values), *(_commit(s, values) for s in flow.steps))


def _works(request: Request, flow: Workflow, values: dict[str, str]) -> str:
    """Asks for the next value that is missing, else commits to the next step that is not yet done with the values."""
    slots = [s.only[0] for s in flow.steps if s.only] + [slot for s in flow.plan(values) for slot in s.takes]
    if missing := [slot for slot in slots if slot not in values]:
        return f"[ask {missing[0]}]"
    return _first_unsaid(request, *(_commit(step, values) for step in flow.plan(values)))


def _clerk(request: Request) -> str:
    flow = _flow(request)
    return _works(request, flow, _heard(request, flow))


def _oracle(request: Request) -> str:
    flow = _flow(request)
    return _works(request, flow, {**request.facts["values@client_0"][CLIENT], **_heard(request, flow)})


def _client(request: Request) -> str:
    """Says what is due."""
    asked = next(text for text in reversed(request.heard) if text.startswith("The agent asks for the "))
    _, own_words, line = asked.rpartition("Tell it, in your own words: ")
    value = re.search(rf"{asked.split()[5].strip('.')}: (\w+)\.", request.heard[0])
    return line if own_words else f"[say {value[1] if value else 'nothing'}]"


def _with_client(agent: Player) -> Player:
    """One player for both seats."""
    return lambda request: (_client if request.seat == CLIENT else agent)(request)


Service.players = {
    "random": play_random,
    "greedy": _with_client(_greedy),
    "oracle": _with_client(_oracle),
    "clerk": _with_client(_clerk),
    "client": _with_client(_clerk),
}
