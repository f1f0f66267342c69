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

from palaestra.envs.common.measures import share
from palaestra.envs.common.players import in_seat
from palaestra.envs.common.workflows import MOODS, Client, Workflow, tells
from palaestra.envs.grammar import Move
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social.desk import Desk, commitment, draw_workflow, first_unsaid, read_flow, read_wants, work

AGENT, CLIENT = "agent_0", "client_0"
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
        flow = self.item(f"workflow{self.level}", lambda r: draw_workflow(r, self.level, self.split), Workflow.told)
        values = self.secret(CLIENT, "values", flow.wish)
        mood = self.secret(CLIENT, "mood", lambda r: "plain" if self.calm else r.choice(MOODS[: (1, 3, 4)[self.level]]))
        desk = Desk(flow, Client(self.stream("client"), values, flow.options, mood, self.level))
        self.tell(f"{flow.card()}{' ' + flow.choices() if self.level else ''} A client comes in.", to=AGENT)
        wants = " ".join(f"{slot}: {value}." for slot, value in values.items())
        self.tell(f"You are the client. You want {wants}", to=CLIENT)
        if self.oracle:
            self.reveal(f"The client wants {wants}", to=AGENT)

        turns, left, faithful = 0, False, list[bool]()
        while turns < TURNS[self.level] and not left:
            move = yield self.turn(AGENT, *desk.commands(), default="done")
            turns += 1
            if move.verb == "step":
                self.tell(desk.commit(move.args[0], move.args[1:]), to=AGENT)
            elif move.verb == "ask":
                faithful.append((yield from self._question(desk, move)))
                left = self.level > 0 and desk.needless >= PATIENCE
            else:
                break
        if left:
            self.reveal("The client leaves.")

        facts = desk.facts()
        self.reward({AGENT: max(-1.0, facts["completion"] - 0.1 * desk.wrong)})
        if faithful:
            self.reward({CLIENT: sum(faithful) / len(faithful)})
        self.outcome(**facts, length=turns, left=left, faithful=share(faithful), mood=mood)

    def _question(self, desk: Desk, question: Move) -> Script:
        """The client is asked, and the agent hears its words or the line that is due; returns whether both agree."""
        line, due = desk.ask(question.args[0])
        talk = f' It says: "{question.said()}"' if self.level and question.speech else ""
        order = f" Tell it, in your own words: {line}" if self.level else ""
        self.tell(f"The agent asks for the {question.args[0]}.{talk}{order}", to=CLIENT)
        say = () if self.level else (desk.answer(),)
        reply = yield self.turn(CLIENT, *say, default="say nothing" if say else None)
        words = " ".join(reply.args) or reply.said()
        agrees = words == line or tells(words, due, desk.flow.options)
        self.reveal(f'The client says: "{words if agrees and self.level else line}"', to=AGENT)
        return agrees


# -- players -----------------------------------------------------------------------------------------------------


def _greedy(request: Request) -> str:
    """Asks for every slot once, then commits to every step as listed, with the value heard or else the first one."""
    flow = read_flow(request)
    values = {slot: options[0] for slot, options in flow.options.items() if options} | read_wants(request, flow)
    return first_unsaid(request, *(f"[ask {slot}]" for slot in values), *(commitment(s, values) for s in flow.steps))


def _oracle(request: Request) -> str:
    return work(request, request.facts["values@client_0"][CLIENT])


def _client(request: Request) -> str:
    """Says what is due."""
    asked = next(text for text in reversed(request.heard) if text.startswith("The agent asks for the "))
    _, own_words, line = asked.rpartition("Tell it, in your own words: ")
    value = re.search(rf"{asked.split()[5].strip('.')}: (\w+)\.", request.heard[0])
    return line if own_words else f"[say {value[1] if value else 'nothing'}]"


Service.players = {
    "random": play_random,
    "greedy": in_seat(CLIENT, _client, _greedy),
    "oracle": in_seat(CLIENT, _client, _oracle),
    "clerk": in_seat(CLIENT, _client, work),
    "client": in_seat(CLIENT, _client, work),
}
