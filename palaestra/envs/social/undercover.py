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
from collections.abc import Mapping
from typing import Any

from palaestra.envs.common.lexicon import features
from palaestra.envs.common.talk import vote_round
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social.spies import LEVELS, Deals, Game, opening, own_word, pair_of, spy_of, suspect

MAX_WORDS = 30  # of a description


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
        deals = Deals(self.seats, self.level, self.split)
        dealt = self.secrets("deal", deals.draw, deals.redraw, item=pair_of)
        game = Game({s: part["word"] for s, part in dealt.items()})
        text = opening(rng, self.level)
        for seat, word in game.words.items():
            self.tell(text.format(seat=seat, word=word, features=", ".join(features(word))), to=seat)
            if self.told:
                self.reveal(f"You are {'' if seat == game.spy else 'not '}the spy.", to=seat)

        order = rng.sample(self.seats, len(self.seats))
        for _ in range(self.rounds or LEVELS[self.level].rounds):
            for seat in order:
                if seat in game.alive and not game.winner():
                    line = yield from self._describe(seat, dealt)
                    if game.slips(seat, line):
                        self.reveal(f"{seat} has said its own word and is out.")
            if game.winner():
                break
            votes = yield from vote_round(self, game.alive)
            if out := game.votes_out(votes):
                self.reveal(f"{out} is out. It was {'' if out == game.spy else 'not '}the spy.")

        facts = game.facts()
        self.reveal(f"The {'others win' if facts['civilians_win'] else 'spy wins'}. The spy was {game.spy}.")
        won = {s for s in self.seats if (s != game.spy) == facts["civilians_win"]}
        self.reward({s: 1 if s in won and s not in facts["slips"] else -1 for s in self.seats})
        self.outcome(**facts)

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


# -- players -----------------------------------------------------------------------------------------------------


def _hint(request: Request, word: str) -> str:
    feature = request.rng.choice(features(word))
    return f"It makes me think of {feature}." if request.env.level else f"[say {feature}]"


def _votes(request: Request) -> list[str]:
    """The seats that may be voted out; empty where a description is due."""
    return [move[6:-1] for move in request.legal_actions if move.startswith("[vote ")]


def _greedy(request: Request) -> str:
    votes = _votes(request)
    return f"[vote {suspect(request, votes)}]" if votes else _hint(request, own_word(request))


def _oracle(request: Request) -> str:
    """Names what is true of the word that most hold, and votes for the spy."""
    words = {seat: part["word"] for seat, part in request.facts["deal"].items()}
    spy = spy_of(words)
    if votes := _votes(request):
        return f"[vote {spy if spy in votes else suspect(request, votes)}]"
    return _hint(request, next(word for seat, word in words.items() if seat != spy))


def _accuser(request: Request) -> str:
    """Says that it is another, whatever was said, and votes for that one."""
    others = [s for s in request.env.seats if s != request.seat]
    if votes := _votes(request):
        return f"[vote {votes[0]}]"
    return f"{others[0]} is the spy, vote it out! {_greedy(request)}"


Undercover.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "accuser": _accuser}
