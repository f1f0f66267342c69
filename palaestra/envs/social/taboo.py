"""Taboo: an attacker lures a defender into saying a word that only the attacker knows.

| fact | value |
|---|---|
| seats | `attacker_0`, `defender_0` |
| turns | in turn, the attacker first, `rounds` each |
| hidden | the target word, from the defender |
| reward | 1 to the winner, -1 to the loser, 0 for a tie; zero-sum |
| gold outcome | winner, cause, slip (the word was said), turns, attacker's score, word |
| theory | a silent defender ties, at level 0 one that repeats the attacker; best play is a tie |
| controls | `oracle`: the defender is told the word |
| source | arXiv 2404.10642 (Adversarial Taboo, SPAG) |

Rules: the attacker holds a target word, and loses if it says the word itself. The defender loses if it says the word,
except in a guess: once, `[guess word]` ends the game, and the defender wins if it is right and loses if it is wrong.
With all turns taken it is a tie. A word is said in any of its forms (bakes, baking), spelled or encoded
(`palaestra.envs.common.leaks`), never inside another word.

Level 0: four animals or drinks are listed; in turn each says one of them (`[say tea]`), or the defender guesses; 2
rounds. Level 1: free talk that both hear, 5 rounds; the defender is told of what kind the word is. Level 2: it is not
told, 8 rounds.

Splits: train and test share no target (at level 0: no list, all targets); ood has kinds of words of its own.
Parameters: `rounds` (0: the level's own), `exact` (only the word as it is, not its forms, is said).

Players: `random` (from level 1: says nothing of note, and ties), `greedy` (attacks by what many words have in common;
as defender repeats or asks for more, and guesses where one word is left, or fits all it heard), `oracle` (as defender
guesses right), `chatty` (a defender that names what was not yet said, or fits what it heard), `blunt` (an attacker that
gives most away).
"""

from __future__ import annotations

import random

from palaestra.envs.common.leaks import betrays, forms, says
from palaestra.envs.common.lexicon import features, fitting
from palaestra.envs.grammar import grammar
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random
from palaestra.envs.social.targets import ATTACKER, DEFENDER, best_fit, by_fit, draw, key, look, redraw, told

ROUNDS = (2, 5, 8)
MAX_WORDS = 60  # of a speech that are passed on


class Taboo(ScriptedEnv):
    """One word, one who must not say it, and one who wants it said."""

    env_id = "taboo"
    seats = (ATTACKER, DEFENDER)
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("oracle",)
    rules = (
        "The attacker knows a word and may not say it. The defender does not know the word, and loses if it says it in "
        "talk. The defender may guess it once: a right guess wins, a wrong one loses. If nothing happens it is a tie."
    )
    reward_range = (-1.0, 1.0)
    zero_sum = True

    rounds: int = 0
    exact: bool = False
    oracle: bool = False

    def script(self, rng: random.Random) -> Script:
        case = self.secrets("case", lambda r: draw(r, self.split, self.level), redraw, lambda c: key(c, self.level))
        word, listed = case[ATTACKER]["word"], case[ATTACKER]["listed"]
        for seat, text in told(rng, case, self.level).items():
            self.tell(text, to=seat)
        if self.oracle:
            self.reveal(f"The word is {word}.", to=DEFENDER)

        cause, turns = "time", 0
        for seat in self.seats * (self.rounds or ROUNDS[self.level]):
            turns += 1
            said, guess = yield from self._act(seat, listed)
            if guess is not None:
                cause = "right guess" if guess in forms(word) else "wrong guess"
            elif says(said, word, exactly=True) if self.exact else betrays(said, word):
                cause = f"{seat.partition('_')[0]} said it"
            if cause != "time":
                self.reveal(f"{cause.capitalize()}. The word was {word}.")
                break

        winner = {"right guess": DEFENDER, "attacker said it": DEFENDER, "time": None}.get(cause, ATTACKER)
        won = (winner == ATTACKER) - (winner == DEFENDER)
        self.reward({ATTACKER: won, DEFENDER: -won})
        slip = cause.endswith("said it")
        self.outcome(winner=winner, cause=cause, slip=slip, turns=turns, attacker_wins=(1 + won) / 2, word=word)

    def _act(self, seat: str, listed: list[str]) -> Script:
        """A seat's turn, which the other is told of; returns what was said, and the guess that was made."""
        other = [s for s in self.seats if s != seat]
        if self.level:
            move = yield seat
            if seat == DEFENDER and (guess := grammar(("guess ...",)).parse(move.raw)):
                return "", guess.args[0].strip().lower()
            said = move.said(MAX_WORDS)
            self.tell(f'They say: "{said}"', to=other)
            return said, None
        options = "|".join(listed)
        guesses = [f"guess {options}"] if seat == DEFENDER else []
        move = yield self.turn(seat, f"say {options}", *guesses, default=f"say {listed[0]}")
        self.tell(f"They {move.verb} {move.args[0]}.", to=other)
        return ("", move.args[0]) if move.verb == "guess" else (move.args[0], None)


# -- players -----------------------------------------------------------------------------------------------------


def _attack(request: Request, *, blunt: bool) -> str:
    """Level 0: always the same word, or ever new ones. Else features: those of many words first, or those of few."""
    seen = look(request)
    if request.env.level:
        order = sorted(features(seen.word), key=lambda f: len(fitting(f)), reverse=not blunt)
        return f"What do you think of when you hear: {order[request.turn % len(order)]}?"
    others = [w for w in seen.listed if w != seen.word]
    fresh = [w for w in seen.unsaid if w != seen.word]
    return f"[say {(fresh or others)[0] if blunt else others[0]}]"


def _greedy(request: Request) -> str:
    if request.seat == ATTACKER:
        return _attack(request, blunt=False)
    sure = best_fit(request) if request.env.level else look(request).unsaid
    if len(sure) == 1:
        return f"[guess {sure[0]}]"
    return "I see. Tell me more." if request.env.level else f"[say {look(request).theirs[-1]}]"


def _chatty(request: Request) -> str:
    """As defender, names what was not said yet; from level 1 whatever fits."""
    if request.seat == ATTACKER:
        return _greedy(request)
    if not request.env.level:
        return f"[say {look(request).unsaid[0]}]" if look(request).unsaid else _greedy(request)
    found = by_fit(request)
    return f"I think of {' and '.join(found[:8])}." if found else "Of nothing in particular."


def _blunt(request: Request) -> str:
    return _attack(request, blunt=True) if request.seat == ATTACKER else _greedy(request)


def _oracle(request: Request) -> str:
    return _greedy(request) if request.seat == ATTACKER else f"[guess {request.facts['case'][ATTACKER]['word']}]"


Taboo.players = {"random": play_random, "greedy": _greedy, "oracle": _oracle, "chatty": _chatty, "blunt": _blunt}
