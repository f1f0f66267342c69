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
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from palaestra.envs.common.leaks import betrays, forms, says
from palaestra.envs.common.lexicon import features, fitting, kinds
from palaestra.envs.grammar import grammar
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

ATTACKER, DEFENDER = "attacker_0", "defender_0"
ROUNDS = (2, 5, 8)
FEW = 2  # kinds of words at level 0
MAX_WORDS = 60  # of a speech that are passed on
GUESS = "guess ..."
OPENINGS = (
    "Your word is {word}. Make the other say it, and do not say it yourself.",
    "The word is {word}. You win if the other says it in talk, and lose if you say it.",
    "Lead the talk to a word that the other must say and you must not: {word}.",
)
WARNINGS = (
    "The other knows a word that you must not say. If you know which it is, guess: [guess word], once.",
    "There is a word that you lose by saying. Talk, and if you are sure of it, write [guess word] once.",
    "Beware of saying a certain word. You may name it once, as [guess word]; a wrong guess loses.",
)


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
        case = self.secrets("case", self._draw, _redraw, item=self._instance)
        word, listed = case[ATTACKER]["word"], case[ATTACKER]["listed"]
        texts = (rng.choice(OPENINGS), rng.choice(WARNINGS)) if self.level else ("Your word is {word}.", "")
        known = {0: f"Words: {', '.join(listed)}.", 1: f"It is a kind of {case[DEFENDER]['kind']}.", 2: ""}[self.level]
        for seat, text in zip(self.seats, texts, strict=True):
            self.tell(f"{known} {text.format(word=word)}".strip(), to=seat)
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

    def _act(self, seat: str, listed: Sequence[str]) -> Script:
        """A seat's turn, which the other is told of; returns what was said, and the guess that was made."""
        other = [s for s in self.seats if s != seat]
        if self.level:
            move = yield seat
            if seat == DEFENDER and (guess := grammar((GUESS,)).parse(move.raw)):
                return "", guess.args[0].strip().lower()
            said = move.said(MAX_WORDS)
            self.tell(f'They say: "{said}"', to=other)
            return said, None
        options = "|".join(listed)
        guesses = [f"guess {options}"] if seat == DEFENDER else []
        move = yield self.turn(seat, f"say {options}", *guesses, default=f"say {listed[0]}")
        self.tell(f"They {move.verb} {move.args[0]}.", to=other)
        return ("", move.args[0]) if move.verb == "guess" else (move.args[0], None)

    def _instance(self, case: dict[str, Any]) -> str:
        """The target; at level 0 the list alone: that no target of it is ever seen in training would give it away."""
        return str(case[ATTACKER]["word"]) if self.level else " ".join(sorted(case[ATTACKER]["listed"]))

    def _draw(self, rng: random.Random) -> dict[str, Any]:
        """A target, its kind, and a list of four words of that kind with the target among them."""
        every = dict(list(kinds(self.split).items())[: None if self.level else FEW])
        word = rng.choice([w for kind in every.values() for w in kind])
        kind = next(name for name, words in every.items() if word in words)
        listed = [word, *rng.sample([w for w in every[kind] if w != word], 3)]
        public = {"kind": kind, "listed": rng.sample(listed, 4)}
        return {ATTACKER: {**public, "word": word}, DEFENDER: public}


def _redraw(rng: random.Random, observer: str, part: dict[str, Any]) -> dict[str, Any]:
    """The defender knows the list and the kind; any word of the list may be the target."""
    public = {"kind": part["kind"], "listed": part["listed"]}
    word = part["word"] if observer == ATTACKER else rng.choice(part["listed"])
    return {ATTACKER: {**public, "word": word}, DEFENDER: public}


# -- players -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view at level 0."""

    listed: list[str]
    word: str
    """The target; empty for the defender."""
    theirs: list[str]
    """What the other has said."""
    unsaid: list[str]
    """What nobody has said: whatever was said without an end is no target."""


def _seen(request: Request) -> Seen:
    listed = re.findall(r"\w+", request.heard[0].partition(".")[0])[1:]
    word = re.search(r"Your word is (\w+)", request.heard[0])
    theirs = [found[1] for text in request.heard if (found := re.match(r"They say (\w+)", text))]
    mine = {w for who, text in request.view if who == "said" for w in re.findall(r"\[say (\w+)\]", text)}
    return Seen(listed, word[1] if word else "", theirs, [w for w in listed if w not in mine and w not in theirs])


def _attack(request: Request, *, blunt: bool) -> str:
    """Level 0: always the same word, or ever new ones. Else features: those of many words first, or those of few."""
    if request.env.level:
        word = re.findall(r"(?:word is|must not:) (\w+)", request.heard[0])[-1]
        order = sorted(features(word), key=lambda f: len(fitting(f)), reverse=not blunt)
        return f"What do you think of when you hear: {order[request.turn % len(order)]}?"
    seen = _seen(request)
    others = [w for w in seen.listed if w != seen.word]
    fresh = [w for w in seen.unsaid if w != seen.word]
    return f"[say {(fresh or others)[0] if blunt else others[0]}]"


def _best_fit(request: Request) -> list[str]:
    """From level 1: the words that fit most of what was heard, where that is more than one feature."""
    kind = re.search(r"kind of (\w+)", request.heard[0])
    heard = " ".join(text for text in request.heard if text.startswith("They say"))
    counts = fitting(heard, kind[1] if kind else "")
    return [w for w, n in counts.items() if n == max(counts.values()) > 1]


def _greedy(request: Request) -> str:
    if request.seat == ATTACKER:
        return _attack(request, blunt=False)
    sure = _best_fit(request) if request.env.level else _seen(request).unsaid
    if len(sure) == 1:
        return f"[guess {sure[0]}]"
    return "I see. Tell me more." if request.env.level else f"[say {_seen(request).theirs[-1]}]"


def _chatty(request: Request) -> str:
    """As defender, names what was not said yet; from level 1 whatever fits."""
    if request.seat == ATTACKER:
        return _greedy(request)
    if not request.env.level:
        return f"[say {_seen(request).unsaid[0]}]" if _seen(request).unsaid else _greedy(request)
    counts = fitting(" ".join(text for text in request.heard if text.startswith("They say")))
    found = sorted(counts, key=lambda word: -counts[word])
    return f"I think of {' and '.join(found[:8])}." if found else "Of nothing in particular."


def _blunt(request: Request) -> str:
    return _attack(request, blunt=True) if request.seat == ATTACKER else _greedy(request)


def _oracle(request: Request) -> str:
    return _greedy(request) if request.seat == ATTACKER else f"[guess {request.facts['case'][ATTACKER]['word']}]"


Taboo.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "chatty": _chatty,
    "blunt": _blunt,
}
