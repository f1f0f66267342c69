"""Werewolf: wolves kill by night, by day all vote somebody out, and only the wolves know who is one.

| fact | value |
|---|---|
| seats | `player_0` to `player_6`; at level 0 the first five; in ood one more |
| turns | by night the wolves confer, and all with a task act at once; by day all talk in turn and vote at once |
| hidden | roles, but from wolf to wolf; what is done by night; votes while they are given |
| reward | 1 to all of the team that wins, dead or alive, and -1 to the others; not zero-sum |
| gold outcome | winner, roles, days, left, vote accuracy, claims, lies, swing votes |
| theory | random play of all: the wolves win 0.712 of all games at level 0, 0.899 from level 1, by recursion |
| controls | `silent` (no talk), `no_seer` (the seer is a villager) |
| source | D. Davidoff, Mafia (1986); with language agents arXiv 2309.04658, arXiv 2310.18940 |

Rules: each night the wolves suggest victims to each other, then choose, `[kill player_2]`; most votes decide, of
several the choice of the first wolf. At the same time the seer may learn whether somebody is a wolf, `[see player_3]`,
and the doctor may guard somebody from the wolves, `[save player_1]`. Each day the players that are left talk in a drawn
order; a turn of talk is `[accuse player_2]`, `[trust player_1]`, `[claim seer]` or `[pass]`, and what is said beside it
is heard. Then all vote at once, `[vote player_2]` or `[pass]`; who has most votes is out, of several nobody; votes are
told. The village wins when no wolf is left, the wolves when they are as many as the others, or after as many days as
there were players. The dead do nothing more, and win or lose with their team.

Level 0: a wolf, a seer, three villagers; talk is moves only; the roles of the dead are told. Level 1: two wolves, a
seer, a doctor, three villagers; words beside the moves; wording varies. Level 2: two rounds of talk a day, and the
roles of the dead stay hidden.

Splits: an instance is the order of talk; in ood there is one villager more. Parameter: `talks` (rounds of talk a day;
0: the level's own).

Players: `random`, `greedy` (uses what it has seen, else follows accusations), `oracle` (knows all roles). Wolves win
0.55, 0.61, 0.61 of the games in which all are greedy, by level, and none against a village of oracles. Vote accuracy is
the share of the village's votes that named a wolf; a vote swings if without it the day had ended otherwise.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.envs.common.measures import share
from palaestra.envs.common.talk import heard
from palaestra.envs.common.votes import leaders, plurality
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

WOLF, SEER, DOCTOR, VILLAGER = "wolf", "seer", "doctor", "villager"


class Level(NamedTuple):
    roles: tuple[str, ...]
    talks: int
    shown: bool
    """Whether the roles of the dead are told."""


SMALL = (WOLF, SEER, VILLAGER, VILLAGER, VILLAGER)
LARGE = (WOLF, WOLF, SEER, DOCTOR, VILLAGER, VILLAGER, VILLAGER)
LEVELS = (Level(SMALL, 1, True), Level(LARGE, 1, True), Level(LARGE, 2, False))
OPENINGS = (
    "You are {me}. Your role: {role}.",
    "You are {me}, one of {n} people in a village. Wolves in disguise among you: {wolves}. Your role: {role}.",
    "Night falls over a village of {n}. Your name is {me}, and not all of your neighbors are human; wolves: {wolves}. "
    "Your role: {role}.",
    "{n} travelers are snowed in, and it is said that there are wolves among them, {wolves} in all. You are {me}. Your "
    "role: {role}.",
)
DEATHS = ("{} is dead.", "{} was found dead.", "{} did not live to see the morning.")
TASKS = {WOLF: "kill", SEER: "see", DOCTOR: "save"}
SAYS = {"accuse": "accuses", "trust": "trusts", "claim": "claims to be", "pass": "passes"}


def deal(seats: Sequence[str], roles: Sequence[str]) -> Any:
    """The law of the roles; a wolf's part names the pack."""

    def draw(rng: random.Random) -> dict[str, dict[str, Any]]:
        role = dict(zip(seats, rng.sample(roles, len(roles)), strict=True))
        pack = [s for s in seats if role[s] == WOLF]
        return {s: {"role": role[s], "pack": pack if role[s] == WOLF else []} for s in seats}

    return draw


def winner(roles: Sequence[str]) -> str | None:
    """Who has won when players of these roles are left; None: the game goes on."""
    wolves = sum(role == WOLF for role in roles)
    return "village" if not wolves else "wolves" if 2 * wolves >= len(roles) else None


def swings(votes: Mapping[str, str]) -> int:
    """How many votes decided alone: without any one of them somebody else would be out, or nobody."""
    out = plurality(votes.values())
    return sum(plurality(v for s, v in votes.items() if s != seat) != out for seat in votes)


class Werewolf(ScriptedEnv):
    """A hidden minority that knows itself against a majority that does not."""

    env_id = "werewolf"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("silent", "no_seer")
    rules = (
        "Some players are wolves and know each other. Each night the wolves kill one of the others; the seer learns of "
        "one player whether it is a wolf; the doctor guards one. Each day all talk in turn, then vote at once; who has "
        "most votes is out, in a tie nobody. The village wins when no wolf is left, the wolves when they are as many "
        "as the others. You win or lose with your team, dead or alive."
    )
    reward_range = (-1.0, 1.0)

    talks: int = 0
    silent: bool = False
    no_seer: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"player_{i}" for i in range(len(LEVELS[self.level].roles) + (self.split == "ood")))

    def script(self, rng: random.Random) -> Script:
        level, everyone = LEVELS[self.level], self.seats
        order = self.item("order", lambda r: r.sample(everyone, len(everyone)))
        parts = self.secrets("roles", deal(everyone, [*level.roles, VILLAGER][: len(everyone)]))
        role = {s: VILLAGER if self.no_seer and p["role"] == SEER else p["role"] for s, p in parts.items()}
        self.note(roles=role)
        opening = rng.choice(OPENINGS[1:]) if self.level else OPENINGS[0]
        for seat in everyone:
            pack = " ".join(s for s in parts[seat]["pack"] if s != seat)
            text = opening.format(me=seat, n=len(everyone), wolves=level.roles.count(WOLF), role=role[seat])
            self.tell(text + (f" The pack: you and {pack}." if pack else ""), to=seat)

        alive, day, won = list(everyone), 0, None
        cast: list[tuple[str, str]] = []
        claims: list[tuple[str, str]] = []
        decisive = 0
        while won is None and day < len(everyone):
            day += 1
            killed = yield from self._night(day, alive, role)
            found = "Nobody died."
            if killed:
                found = rng.choice(DEATHS if self.level else DEATHS[:1]).format(_shown(killed, role, level.shown))
            self.reveal(f"Day {day}. {found}", to=alive)
            alive = [s for s in alive if s != killed]
            won = winner([role[s] for s in alive])
            if won is None:
                if not self.silent:
                    claims += yield from self._talk([s for s in order if s in alive], self.talks or level.talks)
                votes = yield from self._vote(alive)
                cast += votes.items()
                decisive += swings(votes)
                out = plurality(votes.values())
                self.reveal(f"{_shown(out, role, level.shown)} is out." if out else "Nobody is out.", to=alive)
                alive = [s for s in alive if s != out]
                won = winner([role[s] for s in alive])

        won = won or "wolves"
        self.reveal(f"The {won} win{'s' * (won == 'village')}.")
        self.reward({s: 1 if (role[s] == WOLF) == (won == "wolves") else -1 for s in everyone})
        self.outcome(
            winner=won,
            roles=role,
            days=day,
            left=alive,
            vote_accuracy=share(role[target] == WOLF for seat, target in cast if role[seat] != WOLF),
            claims=len(claims),
            lies=share(role[seat] != claim for seat, claim in claims),
            swing_votes=decisive / len(cast) if cast else None,
        )

    def _night(self, day: int, alive: Sequence[str], role: Mapping[str, str]) -> Script:
        """What is done by night; returns who is killed, or None."""
        wolves = [s for s in alive if role[s] == WOLF]
        prey = [s for s in alive if role[s] != WOLF]
        self.tell(f"Night {day}.", to=alive)
        if len(wolves) > 1:
            moves = yield self.turn(wolves, f"suggest {'|'.join(prey)}", "pass", default="pass")
            for wolf, move in moves.items():
                what = f"{wolf} suggests {move.args[0] if move.args else 'nobody'}."
                self.tell(heard(what, move), to=[w for w in wolves if w != wolf])
        turns = []
        for seat in (s for s in alive if role[s] in TASKS):
            whom = {WOLF: prey, SEER: [s for s in alive if s != seat], DOCTOR: alive}[role[seat]]
            turns.append(self.turn(seat, f"{TASKS[role[seat]]} {'|'.join(whom)}", "pass", default="pass"))
        moves = yield tuple(turns)
        done = {s: move.args[0] for s, move in moves.items() if move.args}
        for seat, seen in done.items():
            if role[seat] == SEER:
                self.reveal(f"{seen} is {'a' if role[seen] == WOLF else 'no'} wolf.", to=seat)
        choices = [done[s] for s in wolves if s in done]
        killed = plurality(choices, tie=choices)
        return None if killed in [whom for s, whom in done.items() if role[s] == DOCTOR] else killed

    def _talk(self, order: Sequence[str], rounds: int) -> Script:
        """All that are left talk in turn; returns the claims, as (seat, role)."""
        claims = []
        for seat in list(order) * rounds:
            others = "|".join(s for s in order if s != seat)
            known = "|".join(dict.fromkeys(LEVELS[self.level].roles))
            commands = (f"accuse {others}", f"trust {others}", f"claim {known}", "pass")
            move = yield self.turn(seat, *commands, default="pass")
            if move.verb == "claim":
                claims.append((seat, move.args[0]))
            what = " ".join((seat, SAYS[move.verb], *move.args)) + "."
            self.tell(heard(what, move) if self.level else what, to=[s for s in order if s != seat])
        return claims

    def _vote(self, alive: Sequence[str]) -> Script:
        """All vote at once; returns who voted for whom."""
        ballots = [(f"vote {'|'.join(s for s in alive if s != seat)}", "pass") for seat in alive]
        self.tell("Now vote.", to=alive)
        moves = yield tuple(self.turn(s, *ballot, default="pass") for s, ballot in zip(alive, ballots, strict=True))
        votes = {s: move.args[0] for s, move in moves.items() if move.args}
        self.tell("Votes: " + ", ".join(f"{s} for {votes.get(s, 'nobody')}" for s in alive) + ".", to=alive)
        return votes


def _shown(who: str, role: Mapping[str, str], shown: bool) -> str:
    return f"{who} ({role[who]})" if shown else who


# -- players -----------------------------------------------------------------------------------------------------


def _turn(request: Request) -> tuple[str, list[str]]:
    """The first verb of the turn, and whom it may name."""
    verb, whom = request.commands[0].split()
    return verb, whom.split("|")


def _greedy(request: Request) -> str:
    """Wolves follow a suggestion, or hunt who claims to be the seer; others trust their eyes, then accusations."""
    verb, options = _turn(request)
    text = " ".join(request.heard)
    seen = dict(re.findall(r"(player_\d) is (a|no) wolf\.", text))
    friends = {*re.findall(r"you and (.*?)\.", text)[:1], *(s for s, found in seen.items() if found == "no")}
    accused = Counter(s for s in re.findall(r"accuses (player_\d)", text) if s in options and s not in friends)
    if verb in ("suggest", "kill"):
        known = [s for s in options if f"suggests {s}." in text or f"{s} claims to be {SEER}." in text]
    elif verb == "save":
        known = [request.seat]
    elif verb == "see":
        known = [s for s in options if s not in seen][:1]
    else:
        known = [s for s in options if seen.get(s) == "a"] or leaders(accused)
    if verb == "accuse" and not known:
        return "[pass]"
    return f"[{verb} {known[0] if known else request.rng.choice(options)}]"


def _oracle(request: Request) -> str:
    """Knows every role: wolves take the seer first, the others the wolves."""
    role: Mapping[str, str] = request.facts["roles"]
    verb, options = _turn(request)
    evil = role[request.seat] == WOLF
    target = (SEER, DOCTOR, VILLAGER, WOLF) if evil or verb == "save" else (WOLF, VILLAGER, DOCTOR, SEER)
    return f"[{verb} {min(options, key=lambda s: target.index(role[s]))}]"


Werewolf.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
