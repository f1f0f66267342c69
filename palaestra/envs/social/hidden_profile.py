"""Hidden profile: voters choose among three candidates; what speaks for the best one is scattered among them.

| fact | value |
|---|---|
| seats | `voter_0`, `voter_1`, `voter_2`; from level 1 `voter_3`, at level 2 `voter_4` |
| turns | two rounds of talk and a vote, all at once; from level 1 a question aside before and after the talk |
| hidden | the facts that each voter knows, and which of them others know too; the votes |
| reward | 1 for all if the candidate with most votes is the best one, else 0; not zero-sum |
| gold outcome | chosen, best, right, votes, pooling gain, unshared and shared facts voiced, answers before and after |
| theory | random votes 1/3, votes by own facts 1/4, no rule without talk above 3/8, with all facts told 1 |
| controls | `silent` (no talk), `oracle` (everyone is told all facts) |
| source | G. Stasser and W. Titus, Pooling of unshared information in group decision making (1985) |

Rules: the best candidate has the most good traits, those that any voter knows taken together. Every voter knows one
trait of the best candidate that no other voter knows; all other traits are known to all. By what a voter knows alone
one candidate leads and the two others are level. All talk at once; then all vote in secret, `[vote ana]` or `[pass]`.
Of several that have most votes, or without votes, a drawn order decides.

In three of four episodes the one that leads is not the best: what all know misleads. In one of four it is, so that a
vote against it is no way out: what a voter knows alone looks the same whoever is best. The best is ahead of the one
that leads by one trait, so that what every voter has to tell counts.

Level 0: three voters, four traits known to each; talk is to tell a trait that one knows, `[tell ana calm]`. Level 1:
four voters, eight traits, free talk of 25 words a turn, wording varies. Level 2: five voters, twelve traits, 10 words.

Splits: train and test share no set of facts; in ood names and traits are others.

Players: `random`, `greedy` (tells its facts as they come; votes by all that it knows by then, or for one that does not
lead if nobody told it anything), `oracle` (knows the best), `pooler` (tells all of those that do not lead, one after
the other; votes as greedy), `naive` (speaks and votes for the one that leads).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from palaestra.envs.common.measures import share
from palaestra.envs.common.talk import says
from palaestra.envs.common.votes import leaders, plurality
from palaestra.envs.common.words import Pools, pools
from palaestra.envs.script import Player, Request, Script, ScriptedEnv, play_random

ROUNDS = 2
LEADER_IS_BEST = 1 / 4  # how often


class Level(NamedTuple):
    voters: int
    leading: int
    """Traits that each voter knows of the one that leads: `voters + others - 2`, so that the best is one ahead."""
    others: int
    """Traits that each knows of every other."""
    words: int
    """Of a speech that are passed on."""


LEVELS = (Level(3, 2, 1, 0), Level(4, 4, 2, 25), Level(5, 6, 3, 10))
OPENINGS = (
    "You are {me}, one of {n} members of a board that looks for a director. It will be {names}. You know: {facts}.",
    "Your name is {me}. There are {n} of you to choose who leads the choir: {names}. You have heard this: {facts}.",
    "{me}, that is you, sits on a jury of {n}. The prize goes to {names}. In your file it says: {facts}.",
)
TERMS = (
    " The best is who has the most good traits, all that you know together. You talk {rounds} times, and {words} words "
    "a turn are passed on; then all vote in secret."
)
QUESTION = "Between ourselves: {}, {} or {}, whom would you choose now?"
FACTS = ("{0} is {1}", "people find {0} {1}", "{0} seems {1}", "{0} has always been {1}")


def merits(facts: Iterable[str]) -> Counter[str]:
    """How many traits of each candidate are among facts such as `Ana calm`, each counted once."""
    return Counter(fact.split()[0] for fact in dict.fromkeys(facts))


def profile(seats: Sequence[str], candidates: Sequence[str], level: Level, traits: Sequence[str]) -> Callable[..., Any]:
    """The law of what all know: `draw(rng)`, or `draw(rng, holder, held)` given what one voter knows.

    What one voter knows is drawn first, in the same way whoever is best; what the others know follows from it.
    """

    def alone(rng: random.Random) -> list[str]:
        leader, unused = rng.choice(candidates), iter(rng.sample(traits, len(traits)))
        known = {c: level.leading if c == leader else level.others for c in candidates}
        return _shuffled(rng, [f"{c} {next(unused)}" for c in candidates for _ in range(known[c])])

    def draw(rng: random.Random, holder: str = seats[0], held: Sequence[str] = ()) -> dict[str, list[str]]:
        first = list(held) or alone(rng)
        (leader,) = leaders(merits(first))
        best = leader if rng.random() < LEADER_IS_BEST else rng.choice([c for c in candidates if c != leader])
        own = rng.choice(_about(best, first))
        common = [fact for fact in first if fact != own]
        fresh = iter(_shuffled(rng, [t for t in traits if t not in " ".join(first).split()]))
        return {s: first if s == holder else _shuffled(rng, [*common, f"{best} {next(fresh)}"]) for s in seats}

    return draw


def _about(candidate: str, facts: Iterable[str]) -> list[str]:
    return [fact for fact in facts if fact.split()[0] == candidate]


def _shuffled(rng: random.Random, things: Sequence[Any]) -> list[Any]:
    return rng.sample(things, len(things))


class HiddenProfile(ScriptedEnv):
    """A choice for which the facts must be pooled."""

    env_id = "hidden_profile"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("silent", "oracle")
    rules = (
        "The voters choose one of three candidates. The best is the one with the most good traits, all that any voter "
        "knows taken together. Some are known to everyone, others to one voter only, and nobody is told which. Talk, "
        "then vote in secret; all win if the candidate with most votes is the best."
    )
    reward_range = (0.0, 1.0)
    skill = "right"
    simultaneous = True

    silent: bool = False
    oracle: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"voter_{i}" for i in range(LEVELS[self.level].voters))

    def script(self, rng: random.Random) -> Script:
        level, words = LEVELS[self.level], pools(self.split)
        candidates, traits = rng.sample(words.people, 3), words.virtues if self.level else words.virtues[:8]
        names = f"{candidates[0]}, {candidates[1]} or {candidates[2]}"
        law = profile(self.seats, candidates, level, traits)
        known = self.secrets("facts", law, redraw=law, item=_instance)
        holders = Counter(fact for facts in known.values() for fact in facts)
        (best,) = leaders(merits(holders))
        self.note(best=best)
        opening = rng.choice(OPENINGS) + TERMS if self.level else "{names}? You know: {facts}."
        wordings = FACTS if self.level else ("{0} {1}",)
        rounds = 0 if self.silent else ROUNDS
        for seat in self.seats:
            facts = "; ".join(rng.choice(wordings).format(*f.split()) for f in known[seat])
            told = {"me": seat, "n": level.voters, "rounds": rounds, "words": level.words}
            self.tell(opening.format(names=names, facts=facts, **told), to=seat)
            if self.oracle:
                self.reveal(
                    f"All that anybody knows: {'; '.join(wordings[0].format(*f.split()) for f in holders)}.", to=seat
                )

        before = yield from self._aside(candidates)
        voiced: set[tuple[str, str]] = set()
        for _ in range(rounds):
            moves = yield tuple(self._talk(s, known[s]) for s in self.seats)
            for seat, move in moves.items():
                said = move.said(level.words).lower() if self.level else " ".join(move.args)
                voiced |= {(seat, word) for word in re.findall(r"\w+", said)}
                fact = f"{seat}: {said.capitalize() or 'nothing'}."
                self.tell(says(seat, move, level.words) if self.level else fact)
        after = yield from self._aside(candidates)
        self.tell("Now vote.")
        moves = yield self.turn(self.seats, f"vote {'|'.join(candidates)}", "pass", default="pass")
        votes = {s: move.args[0].capitalize() for s, move in moves.items() if move.args}
        chosen = plurality(votes.values(), tie=rng.sample(candidates, 3))

        self.reward(dict.fromkeys(self.seats, float(chosen == best)))
        alone = leaders(merits(known[self.seats[0]])) == [best]
        told_facts = {fact for seat, facts in known.items() for fact in facts if (seat, fact.split()[1]) in voiced}
        self.outcome(
            chosen=chosen,
            best=best,
            right=float(chosen == best),
            votes=votes,
            pooling_gain=sum(v == best for v in votes.values()) / level.voters - alone,
            unshared_voiced=share(fact in told_facts for fact, n in holders.items() if n == 1),
            shared_voiced=share(fact in told_facts for fact, n in holders.items() if n > 1),
            before=share(name == best for name in before),
            after=share(name == best for name in after),
        )

    def _talk(self, seat: str, facts: Sequence[str]) -> Any:
        """A turn of talk: free, or at level 0 a fact of one's own."""
        if self.level:
            return self.turn(seat)
        return self.turn(seat, *(f"tell {fact}" for fact in facts), "pass", default="pass")

    def _aside(self, candidates: Sequence[str]) -> Script:
        """The candidates whom the voters would choose now, of those who name one; nobody is asked at level 0."""
        if not self.level:
            return []
        question = QUESTION.format(*candidates)
        answers = yield tuple(self.probe(s, question) for s in self.seats)
        named = [[c for c in candidates if re.search(rf"\b{c}\b", text or "", re.I)] for text in answers.values()]
        return [found[0] for found in named if len(found) == 1]


def _instance(known: Mapping[str, Sequence[str]]) -> str:
    return " | ".join(", ".join(sorted(facts)) for facts in known.values())


# -- players -----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a voter has read and heard."""

    mine: list[str]
    """Its own facts."""
    others: list[str]
    """What others told."""
    order: list[str]
    """The candidates, the one that leads by the own facts last."""


def _seen(request: Request) -> Seen:
    first, *more = request.heard
    words = pools(request.env.split)
    mine = _facts(first, words)
    others = [fact for text in more if not text.startswith(request.seat) for fact in _facts(text, words)]
    own = merits(mine)
    return Seen(mine, others, sorted(own, key=lambda name: (own[name], name)))


def _facts(text: str, words: Pools) -> list[str]:
    """The traits that stand in one sentence with one person."""
    found = []
    for sentence in map(str.split, re.split(r"[.;?]", re.sub(r"[,:\"]", " ", text))):
        names = [word for word in sentence if word in words.people]
        found += [f"{names[0]} {word}" for word in sentence if word in words.virtues and len(names) == 1]
    return found


def _voter(tell: Callable[[Request, Seen], list[str]], vote: Callable[[Request, Seen], str]) -> Player:
    """A player that tells some facts in a turn of talk, at level 0 one of them, and votes."""

    def play(request: Request) -> str:
        seen = _seen(request)
        if request.commands and request.commands[0].startswith("vote"):
            return f"[vote {vote(request, seen).lower()}]"
        facts = tell(request, seen)
        if request.commands:
            return f"[tell {facts[request.turn % len(facts)].lower()}]"
        by_name = {name: ", ".join(fact.split()[1] for fact in _about(name, facts)) for name in merits(facts)}
        return " ".join(f"{name}: {traits}." for name, traits in by_name.items())

    return play


def _three(request: Request, seen: Seen) -> list[str]:
    """Its facts as they come, three a turn where talk is free."""
    return seen.mine[3 * request.turn :][:3] if request.env.level else seen.mine


def _most(request: Request, seen: Seen) -> str:
    """The one of whom most is known by now; where nobody told anything, one that does not lead."""
    known = merits(seen.mine + seen.others)
    return max(seen.order, key=lambda name: known[name]) if seen.others else seen.order[0]


HiddenProfile.players = {
    "random": play_random,
    "greedy": _voter(_three, _most),
    "oracle": _voter(
        lambda request, seen: _about(request.facts["best"], seen.mine), lambda request, _: str(request.facts["best"])
    ),
    "pooler": _voter(lambda request, seen: _about(seen.order[request.turn % 2], seen.mine), _most),
    "naive": _voter(lambda _, seen: _about(seen.order[-1], seen.mine), lambda _, seen: seen.order[-1]),
}
