"""Taboo: an attacker lures a defender into saying a word that only the attacker knows.

| fact | value |
|---|---|
| seats | `attacker_0`, `defender_0` |
| turns | in turn, the attacker first, `rounds` each |
| hidden | the target word, from the defender |
| reward | 1 to the winner, -1 to the loser, 0 for a tie; zero-sum |
| gold outcome | winner, cause, turns, whether the attacker won |
| theory | level 0: a defender that says what no hint fits loses only where all listed words fit; a silent one ties |
| controls | `oracle`: the defender is told the word |
| source | arXiv 2404.10642 (Adversarial Taboo, SPAG) |

Rules: the attacker holds a target word, and loses if it says the word itself. The defender loses if it says the word,
except in a guess: once, `[guess word]` ends the game, and the defender wins if it is right and loses if it is wrong.
With all turns taken it is a tie. A word is said in any of its forms (bakes, baking), spelled or encoded
(`palaestra.envs.common.leaks`), never inside another word.

Level 0: four words of one kind are listed, each with three features; the attacker gives true hints (`[hint hot]`), and
the defender must say or guess a listed word; 2 rounds. Level 1: free talk that both hear, 5 rounds; the defender is
told of what kind the word is. Level 2: it is not told, 8 rounds.

Splits: train and test share no target; ood has kinds of words of its own. Parameters: `rounds` (0: the level's own),
`exact` (only the word as it is, not its forms, is said).

Players: `random` (from level 1: says nothing of note, and ties), `greedy` (attacks by features that many words share;
defends by safe words, and guesses where one word fits all it heard), `oracle` (as defender guesses right), `chatty` (a
defender that names whatever fits what it heard), `blunt` (an attacker that gives the word's most telling feature).
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.common.leaks import betrays, forms, says
from palaestra.envs.common.lexicon import features, fitting, kinds
from palaestra.envs.grammar import grammar
from palaestra.envs.script import Request, Script, ScriptedEnv, play_random

ATTACKER, DEFENDER = "attacker_0", "defender_0"
ROUNDS = (2, 5, 8)
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
        case = self.secrets("case", self._draw, _redraw, item=lambda parts: parts[ATTACKER]["word"])
        word, listed = case[ATTACKER]["word"], case[ATTACKER]["listed"]
        texts = (rng.choice(OPENINGS), rng.choice(WARNINGS)) if self.level else ("Your word is {word}.", "")
        known = {0: _table(listed), 1: f"It is a kind of {case[DEFENDER]['kind']}.", 2: ""}[self.level]
        for seat, text in zip(self.seats, texts, strict=True):
            self.tell(f"{known} {text.format(word=word)}".strip(), to=seat)
        if self.oracle:
            self.reveal(f"The word is {word}.", to=DEFENDER)

        cause, turns = "time", 0
        for seat in self.seats * (self.rounds or ROUNDS[self.level]):
            turns += 1
            said, guess = yield from self._act(seat, listed, word)
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
        self.outcome(winner=winner, cause=cause, turns=turns, attacker_wins=(1 + won) / 2, word=word)

    def _act(self, seat: str, listed: Mapping[str, Sequence[str]], word: str) -> Script:
        """A seat's turn, which the other is told of; returns what was said, and the guess that was made."""
        if self.level:
            move = yield seat
            guess = grammar((GUESS,)).parse(move.raw) if seat == DEFENDER else None
            if guess:
                return "", guess.args[0].strip().lower()
            said = move.said(MAX_WORDS)
            self.tell(f'They say: "{said}"', to=[s for s in self.seats if s != seat])
            return said, None
        if seat == ATTACKER:
            move = yield self.turn(seat, f"hint {'|'.join(listed[word])}", default=f"hint {listed[word][0]}")
            self.reveal(f"Hint: {move.args[0]}.", to=DEFENDER)
            return "", None
        options = "|".join(listed)
        move = yield self.turn(seat, f"say {options}", f"guess {options}", default=f"say {next(iter(listed))}")
        self.tell(f"They {move.verb} {move.args[0]}.", to=ATTACKER)
        return ("", move.args[0]) if move.verb == "guess" else (move.args[0], None)

    def _draw(self, rng: random.Random) -> dict[str, Any]:
        """A target, and at level 0 three more words of its kind, each with three of its features."""
        every = kinds(self.split)
        word = rng.choice([w for kind in every.values() for w in kind])
        kind = next(name for name, words in every.items() if word in words)
        chosen = [word, *rng.sample([w for w in every[kind] if w != word], 3)]
        listed = {w: rng.sample(every[kind][w], 3) for w in rng.sample(chosen, 4)}
        public = {"kind": kind, "listed": listed}
        return {ATTACKER: {**public, "word": word}, DEFENDER: public}


def _redraw(rng: random.Random, observer: str, part: dict[str, Any]) -> dict[str, Any]:
    """The defender knows the list and the kind; any word of the list may be the target."""
    public = {"kind": part["kind"], "listed": part["listed"]}
    word = part["word"] if observer == ATTACKER else rng.choice(list(part["listed"]))
    return {ATTACKER: {**public, "word": word}, DEFENDER: public}


def _table(listed: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{word}: {', '.join(said)}" for word, said in listed.items()) + "."


# -- players -----------------------------------------------------------------------------------------------------


def _heard(request: Request) -> str:
    """What the other has said so far."""
    return " ".join(text for text in request.heard if text.startswith(("Hint", "They say")))


def _attack(request: Request, rare: bool) -> str:
    """Hints by features: first those that most words share, or that fewest do."""
    if request.env.level:
        word = re.findall(r"word is (\w+)|must not: (\w+)", request.heard[0])[-1]
        order = sorted(features("".join(word)), key=lambda f: len(fitting(f)), reverse=not rare)
        return f"What do you think of when you hear: {order[request.turn % len(order)]}?"
    table = request.heard[0]
    return sorted(request.legal_actions, key=lambda hint: table.count(f" {hint[6:-1]}"), reverse=not rare)[0]


def _greedy(request: Request) -> str:
    if request.seat == ATTACKER:
        return _attack(request, rare=False)
    fits, others = _fitting(request)
    if len(fits) == 1:
        return f"[guess {fits[0]}]"
    if request.env.level:
        return "I see. Tell me more."
    return f"[say {(others or fits)[0]}]"


def _fitting(request: Request) -> tuple[list[str], list[str]]:
    """The words that fit all that the defender has heard, and those that do not; none where too little was heard."""
    heard = _heard(request)
    if request.env.level:
        kind = re.search(r"kind of (\w+)", request.heard[0])
        counts = fitting(heard, kind[1] if kind else "")
        most = max(counts.values(), default=0)
        return [w for w, n in counts.items() if n == most > 1], []
    said = {m for who, text in request.view if who == "said" for m in re.findall(r"\[say (\w+)\]", text)}
    listed = dict(re.findall(r"(\w+): ((?:\w+, )+\w+)", request.heard[0]))
    hints = set(re.findall(r"Hint: (\w+)", heard))
    fits = [w for w, row in listed.items() if w not in said and hints <= set(row.split(", "))]
    return fits, [w for w in listed if w not in fits]


def _chatty(request: Request) -> str:
    """As defender, names what fits."""
    if request.seat == ATTACKER:
        return _greedy(request)
    if request.env.level:
        found = sorted(fitting(_heard(request)).items(), key=lambda pair: -pair[1])
        return f"I think of {' and '.join(word for word, _ in found[:8])}." if found else "Of nothing in particular."
    fits, others = _fitting(request)
    return f"[say {(fits or others)[0]}]"


def _blunt(request: Request) -> str:
    return _attack(request, rare=True) if request.seat == ATTACKER else _greedy(request)


def _oracle(request: Request) -> str:
    return _greedy(request) if request.seat == ATTACKER else f"[guess {request.facts['case'][ATTACKER]['word']}]"


Taboo.players = {
    "random": play_random,
    "greedy": _greedy,
    "oracle": _oracle,
    "chatty": _chatty,
    "blunt": _blunt,
}
