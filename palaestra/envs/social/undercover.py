"""Undercover: all hold the same word but one, who does not know it; they describe, and vote who it is.

| fact | value |
|---|---|
| seats | `player_0` to `player_5`: the first 4 at level 0, 5 at level 1, all at level 2 |
| turns | each round one description each, in a drawn order, then a vote, all at once |
| hidden | the words of the others, and so also who holds the other one |
| reward | 1 to the side that wins, -1 to the other, and to whoever said its own word: -1 to 1 |
| gold outcome | spy, words, winner, votes for the spy, slips, overlap of descriptions |
| theory | who knows all words votes the spy out in the first round; random votes do so in few games |
| controls | `told`: everyone is told whether it is the spy |
| source | the party game Who is the spy (Undercover); arXiv 2310.20499 (SpyGame) |

Rules: the spy's word is a sibling of the others' word: of the same kind, with some features in common. A seat that says
its own word in its description (in any form, spelled or encoded) is out at once. After the descriptions all vote;
who has most votes is out, and all learn whether it was the spy; in a tie nobody is. The spy wins if it is still in
after the last round, or as one of the last two.

Level 0: a description is one of the features of the two words (`[say hot]`); each seat is told which are true of its
own word, also of those that others say; one round, words with at most one feature in common. Level 1: free speech, 2
rounds. Level 2: 3 rounds, words with two features or more in common.

Splits: train and test share no pair of words; ood has kinds of words of its own. Parameters: `size` (seats) and
`rounds`; 0 is the level's own.

Players: `random`, `greedy` (names a feature of its word; votes for whom its word fits least), `oracle` (knows all
words: describes the word that most hold, and votes for the spy), `accuser` (says that it is another seat, and votes for
that one).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from palaestra.envs.common.leaks import betrays
from palaestra.envs.common.lexicon import features, siblings
from palaestra.envs.common.texts import words as meaning
from palaestra.envs.common.votes import plurality
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

MAX_WORDS = 30  # of a description


class Level(NamedTuple):
    seats: int
    rounds: int
    shared: tuple[int, int]
    """Features that the two words have in common, at least and at most."""


LEVELS = (Level(4, 1, (0, 1)), Level(5, 2, (0, 4)), Level(6, 3, (2, 4)))
OPENINGS = (
    "You are {seat}. Your word is {word}. One of you has another word. Describe yours without saying it.",
    "{seat}, your word: {word}. All have it but one, who may be you. Say something about it, never the word itself.",
    "Your seat is {seat} and your secret word {word}; somebody here holds a different one. Hint at yours.",
)


def spy_of(words: Mapping[str, str]) -> str:
    """The seat whose word nobody else has."""
    count = Counter(words.values())
    return next(seat for seat, word in words.items() if count[word] == 1)


def winner(alive: Sequence[str], spy: str) -> str | None:
    """The side that has won, if one has."""
    return "civilians" if spy not in alive else "spy" if len(alive) <= 2 else None


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of all words of two texts that stand in both."""
    return len(one & other) / max(1, len(one | other))


class Undercover(ScriptedEnv):
    """One word for all, another for one."""

    env_id = "undercover"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("told",)
    rules = (
        "Everyone holds the same word but one, the spy, who holds a similar one; nobody is told who it is. In turn, "
        "describe your word without saying it; then all vote, and who has most votes is out. The others win if the spy "
        "is voted out, the spy if it stays."
    )
    reward_range = (-1.0, 1.0)
    skill = "civilians_win"

    size: int = 0
    rounds: int = 0
    told: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"player_{i}" for i in range(self.size or LEVELS[self.level].seats))

    def script(self, rng: random.Random) -> Script:
        dealt = self.secrets("deal", self._draw, self._redraw, item=_pair)
        words = {s: part["word"] for s, part in dealt.items()}
        spy, opening = spy_of(words), rng.choice(OPENINGS)
        for seat, part in dealt.items():
            closed = f"You are {seat}. Your word is {part['word']}: {', '.join(features(part['word']))}."
            self.tell(opening.format(seat=seat, word=part["word"]) if self.level else closed, to=seat)
            if self.told:
                self.reveal(f"You are {'' if seat == spy else 'not '}the spy.", to=seat)

        order = rng.sample(self.seats, len(self.seats))
        alive, slips, voted = list(self.seats), list[str](), list[bool]()
        lines: dict[str, list[str]] = {s: [] for s in self.seats}
        for _ in range(self.rounds or LEVELS[self.level].rounds):
            for seat in order:
                if seat not in alive or winner(alive, spy):
                    continue
                lines[seat].append((yield from self._describe(seat, dealt)))
                if betrays(lines[seat][-1], words[seat]):
                    alive.remove(seat)
                    slips.append(seat)
                    self.reveal(f"{seat} has said its own word and is out.")
            if not winner(alive, spy):
                votes = yield from self._vote(alive)
                voted += [votes.get(s) == spy for s in alive if s != spy]
                if out := plurality(votes.values()):
                    alive.remove(out)
                    self.reveal(f"{out} is out. It was {'' if out == spy else 'not '}the spy.")
            if winner(alive, spy):
                break

        won = winner(alive, spy) or "spy"
        self.reveal(f"The {'spy wins' if won == 'spy' else 'others win'}. The spy was {spy}.")
        sides = {s: "spy" if s == spy else "civilians" for s in self.seats}
        self.reward({s: 1 if sides[s] == won and s not in slips else -1 for s in self.seats})
        said = {s: meaning(" ".join(lines[s])) for s in self.seats}
        self.outcome(
            spy=spy,
            words=words,
            winner=won,
            civilians_win=won == "civilians",
            votes_right=sum(voted) / len(voted) if voted else None,
            slips=slips,
            overlap=mean(overlap(said[spy], said[s]) for s in self.seats if s != spy),
        )

    def _describe(self, seat: str, dealt: Mapping[str, Mapping[str, Any]]) -> Script:
        """What a seat says of its word, which all others hear; at level 0 also whether it is true of theirs."""
        others = [s for s in self.seats if s != seat]
        if self.level:
            line = (yield seat).said(MAX_WORDS)
            self.tell(f'{seat}: "{line}"', to=others)
            return line
        listed = dealt[seat]["listed"]
        move = yield self.turn(seat, f"say {'|'.join(listed)}", default=f"say {listed[0]}")
        (line,) = move.args
        for hearer in others:
            fits = "true" if line in features(dealt[hearer]["word"]) else "false"
            self.tell(f"{seat}, {fits} of yours: {line}.", to=hearer)
        return line

    def _vote(self, alive: Sequence[str]) -> Script:
        """All vote at once; who votes for whom is told."""
        self.tell("Now vote.")
        others = {s: "|".join(o for o in alive if o != s) for s in alive}
        moves = yield tuple(self.turn(s, f"vote {others[s]}", "pass", default="pass") for s in alive)
        votes = {s: move.args[0] for s, move in moves.items() if move.args}
        self.tell("Votes: " + (", ".join(f"{s} for {who}" for s, who in votes.items()) or "none") + ".")
        return votes

    def _draw(self, rng: random.Random) -> dict[str, Any]:
        one, other = rng.sample(rng.choice(siblings(self.split, *LEVELS[self.level].shared)), 2)
        return self._deal(one, other, rng.choice(self.seats))

    def _redraw(self, rng: random.Random, observer: str, part: Mapping[str, Any]) -> dict[str, Any]:
        """Whoever holds a word may be the spy, and the other word any sibling (at level 0: with the same features)."""
        mine = part["word"]
        pairs = [pair for pair in siblings(self.split, *LEVELS[self.level].shared) if mine in pair]
        deals = [
            self._deal(*pair, spy) for one, two in pairs for pair in ((one, two), (two, one)) for spy in self.seats
        ]
        return rng.choice([deal for deal in deals if deal[observer] == part])

    def _deal(self, word: str, spys: str, spy: str) -> dict[str, Any]:
        """What each seat holds; at level 0 also all features of both words, the same for all."""
        listed = sorted({*features(word), *features(spys)}) if self.level == 0 else []
        return {s: {"word": spys if s == spy else word, "listed": listed} for s in self.seats}


def _pair(dealt: Mapping[str, Any]) -> str:
    return " ".join(sorted({part["word"] for part in dealt.values()}))


# -- players -----------------------------------------------------------------------------------------------------


def _own(request: Request) -> str:
    """The seat's word."""
    found = re.search(r"word(?: is|:)? ([a-z]+)[.;:]", request.heard[0])
    assert found is not None
    return found[1]


def _describe(request: Request, feature: str) -> str:
    return f"It makes me think of {feature}." if request.env.level else f"[say {feature}]"


def _fit(request: Request, seat: str) -> int:
    """How many features of the own word a seat has named."""
    lines = " ".join(text for text in request.heard if text.startswith(seat))
    return len(meaning(lines) & set(features(_own(request))))


def _votes(request: Request) -> list[str]:
    """The seats that may be voted out; empty where a description is due."""
    return [move[6:-1] for move in request.legal_actions if move.startswith("[vote ")]


def _suspect(request: Request) -> str:
    """The seat that the own word fits least."""
    order = request.rng.sample(_votes(request), len(_votes(request)))
    return f"[vote {min(order, key=lambda seat: _fit(request, seat))}]"


def _greedy(request: Request) -> str:
    if _votes(request):
        return _suspect(request)
    return _describe(request, request.rng.choice(features(_own(request))))


def _oracle(request: Request) -> str:
    """Names what is true of the word that most hold, and votes for the spy."""
    words = {seat: part["word"] for seat, part in request.facts["deal"].items()}
    spy = spy_of(words)
    if spy in _votes(request):
        return f"[vote {spy}]"
    if _votes(request):
        return _suspect(request)
    return _describe(request, request.rng.choice(features(next(w for s, w in words.items() if s != spy))))


def _accuser(request: Request) -> str:
    """Says that it is another, whatever was said, and votes for that one."""
    others = [s for s in request.env.seats if s != request.seat]
    if votes := _votes(request):
        return f"[vote {votes[0]}]"
    return f"{others[0]} is the spy, vote it out! {_greedy(request)}"


Undercover.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "accuser": _accuser,
}
