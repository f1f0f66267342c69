"""Matrix games: two seats, two moves each, a table of payoffs, a few rounds.

| fact | value |
|---|---|
| seats | `player_0`, `player_1` (with `opponent` only `player_0`) |
| turns | one a round for every seat, all at once; levels 1 and 2 talk first |
| hidden | nothing; the moves of a round are told when all have moved |
| reward | mean payoff of the rounds, scaled: 0 the least number of the table, 1 the greatest; not zero-sum |
| gold outcome | cooperation, reciprocity, welfare, equilibrium play; exact best response to `opponent`, and regret |
| theory | pure and mixed equilibria; best responses to automata by dynamic programming |
| controls | `classic` (the names that everybody knows), `contract`, `silent` (no talk), `swap` (places change) |
| source | R. Axelrod, The evolution of cooperation (1984); arXiv 2305.16867 (language models in repeated games) |

Rules: both pick one of two moves, round after round; the table says what each gets. Tables are drawn: prisoner's
dilemma (`prisoners`), stag hunt (`stag`), `chicken`, battle of the sexes (`sexes`), matching `pennies`, with numbers of
their own. Which of the two moves is named first is drawn too, so that no name and no place betrays what a move does.

Level 0: 3 rounds, moves x and y, numbers up to 6. Level 1: 10 rounds, numbers up to 20, sentences of several wordings,
drawn names; the seats say something to each other before the first round and beside every move. Level 2: up to 20
rounds, each of which is the last with a chance of 1 in 10, and 1 move of 10 turns into the other one. Train and test
share no table; those of ood have a number beyond the usual range.

Parameters: `game` (a kind; "" draws one), `table` (an own one: "3 3 0 5 5 0 1 1" is what the first seat and the second
get for xx, xy, yx, yy; only split "train"), `rounds`, `stop` and `noise` (in place of the level's), `leader`
(Stackelberg: the first seat moves first and is seen; there is no parallel interface then), `opponent` (the environment
holds the other seat and plays `allc`, `alld`, `tft`, `grim`, `wsls` or `random`; no talk). With `contract` each seat
first proposes one, `[contract x y]` (I play x and you y, in every round), or passes; it binds where both name the same.

Players: `random`, `greedy` (goes for the greatest number), `fictitious` (best reply to the moves seen so far), `oracle`
(best response to `opponent`, or to a random one), and the strategies `allc`, `alld`, `tft`, `grim`, `wsls`, which
cooperate by the move that, played by both, gives both together more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from palaestra.envs.common.bimatrix import (
    STRATEGIES,
    Automaton,
    Cells,
    cooperative,
    pure_equilibria,
    round_weights,
    turned,
    worth,
)
from palaestra.envs.grammar import Move
from palaestra.envs.script import Player, Request, Script, ScriptedEnv, play_random
from palaestra.errors import EnvError, nearest

FIRST, SECOND = "player_0", "player_1"
OTHER = {FIRST: SECOND, SECOND: FIRST}
CLASSIC = {
    "prisoners": ("the prisoner's dilemma", ("cooperate", "defect")),
    "stag": ("the stag hunt", ("stag", "hare")),
    "chicken": ("the game of chicken", ("swerve", "straight")),
    "sexes": ("the battle of the sexes", ("opera", "football")),
    "pennies": ("matching pennies", ("heads", "tails")),
    "own": ("a matrix game", ("first", "second")),
}
KINDS = tuple(CLASSIC)[:-1]
NEUTRAL = (("red", "blue"), ("north", "south"), ("circle", "square"), ("sun", "moon"))
OPENINGS = (
    "{a} {a} {0} {1}, {a} {b} {2} {3}, {b} {a} {4} {5}, {b} {b} {6} {7}.",
    "You and another player pick {a} or {b}, both at once. If both pick {a}, you get {0} and they get {1}. If you pick "
    "{a} and they {b}, you get {2} and they {3}; if you pick {b} and they {a}, you get {4} and they {5}. If both pick "
    "{b}, you get {6} and they get {7}.",
    "A game for two with the moves {a} and {b}. Your move stands first, then theirs; your points stand first, then "
    "theirs. {a}, {a}: {0} and {1}. {a}, {b}: {2} and {3}. {b}, {a}: {4} and {5}. {b}, {b}: {6} and {7}.",
    "Each of two players says {a} or {b} without knowing what the other says. Two times {a} is {0} for you and {1} for "
    "them. {a} of you and {b} of them: {2} for you, {3} for them. {b} of you and {a} of them: {4} for you, {5} for "
    "them. Two times {b}: {6} for you, {7} for them.",
)
ROUND = ("You {1}, they {2}: {3} {4}.", "Round {0}: you {1}, they {2}. You get {3}, they get {4}.")


class Case(NamedTuple):
    """The table, which is what an episode is about."""

    kind: str
    cells: Cells
    """As the first seat sees it."""
    flipped: bool = False
    """Whether the second of the classic names comes first."""


def own_case(table: str) -> Case:
    numbers = [int(n) for n in table.split()]
    return Case("own", tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def draw_case(rng: random.Random, kind: str, usual: int, top: int) -> Case:
    """A table of a kind with numbers from 0 to `top`, one of them above `usual` where `top` is."""
    while True:
        a, b, c, d = sorted(rng.sample(range(top + 1), 4), reverse=True)
        if (a > usual) == (top > usual) and (kind != "prisoners" or 2 * b > a + d):
            break
    cells = {
        "prisoners": ((b, b), (d, a), (a, d), (c, c)),
        "stag": ((a, a), (d, b), (b, d), (c, c)),
        "chicken": ((b, b), (c, a), (a, c), (d, d)),
        "sexes": ((a, b), (c, c), (c, c), (b, a)),
        "pennies": ((a, b), (b, a), (b, a), (a, b)),
    }[kind]
    flipped = rng.choice((False, True))
    return Case(kind, cells[::-1] if flipped else cells, flipped)


class Setting(NamedTuple):
    """Everything that is fixed before the first round."""

    case: Case
    cells: dict[str, Cells]
    """The table as each seat sees it."""
    names: tuple[str, ...]
    rounds: int
    stop: float
    noise: float
    wording: str

    @property
    def weights(self) -> tuple[float, ...]:
        return round_weights(self.rounds, self.stop)

    def opening(self, seat: str) -> str:
        """What a seat is told at first."""
        numbers = [n for cell in self.cells[seat] for n in cell]
        text = [self.wording.format(*numbers, a=self.names[0], b=self.names[1])]
        text.append(f"{'At most ' * (self.stop > 0)}{self.rounds} round{'s' * (self.rounds > 1)}.")
        if self.stop:
            text.append(f"After each round the game ends with a chance of {self.stop:.0%}.")
        if self.noise:
            text.append(f"A move turns into the other one with a chance of {self.noise:.0%}.")
        return " ".join(text)


class Matrix(ScriptedEnv):
    """A repeated game of two moves for two."""

    env_id = "matrix"
    levels = (0, 1, 2)
    splits = ("train", "test", "ood")
    controls = ("classic", "contract", "silent", "swap")
    rules = (
        "Two players pick one of two moves at the same time, round after round. A table says what you and they get for "
        "each pair of moves, yours first. You want a high mean over the rounds, whatever they get."
    )
    reward_range = (0.0, 1.0)
    simultaneous = True

    game: str = ""
    table: str = ""
    rounds: int = 0
    stop: float = 0.0
    noise: float = 0.0
    leader: bool = False
    opponent: str = ""
    classic: bool = False
    contract: bool = False
    silent: bool = False
    swap: bool = False

    @property
    def seats(self) -> tuple[str, ...]:  # type: ignore[override]
        return (FIRST,) if self.opponent else (FIRST, SECOND)

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        for name, known in (("game", KINDS), ("opponent", STRATEGIES)):
            if (value := self.params[name]) and value not in known:
                raise EnvError(f"matrix: {name} = {value!r}\n  {nearest(value, known)}")
        if self.table and not re.fullmatch(r"\d+( \d+){7}", self.table):
            raise EnvError(f"matrix: table = {self.table!r}\n  it is eight whole numbers, such as '3 3 0 5 5 0 1 1'")
        if self.table and self.split != "train":
            raise EnvError(f"matrix: split = {self.split!r} draws its tables\n  an own table is one instance")
        if self.leader and self.opponent:
            raise EnvError("matrix: a scripted opponent neither leads nor follows\n  leave out leader or opponent")

    def script(self, rng: random.Random) -> Script:
        this = self._setting(rng)
        for seat in self.seats:
            self.tell(this.opening(seat), to=seat)
        self.note(opponent=self.opponent, noise=this.noise, weights=this.weights)
        bound = yield from self._before(this.names)
        played, regret = ([bound] * this.rounds, 0.0) if bound else (yield from self._rounds(this, rng))

        numbers = [n for cell in this.case.cells for n in cell]
        low, scale = min(numbers), max(numbers) - min(numbers) or 1
        payoff = {s: fmean(this.cells[s][2 * m[s] + m[OTHER[s]]][0] for m in played) for s in OTHER}
        self.reward({s: (payoff[s] - low) / scale for s in self.seats})
        good, stable = cooperative(this.case.cells), pure_equilibria(this.cells[FIRST])
        dilemma = len({sum(this.case.cells[0]), sum(this.case.cells[3])}) == 2  # else no move is the cooperative one
        kind = {s: [m[s] == good for m in played] for s in OTHER}
        best = None
        if self.opponent:
            best = max(worth(Automaton.of(self.opponent, this.cells[SECOND]), this.noise, this.weights))
        self.outcome(
            kind=this.case.kind,
            table=this.cells[FIRST],
            rounds=len(played),
            moves={s: [this.names[m[s]] for m in played] for s in OTHER},
            payoff=payoff,
            welfare=sum(payoff.values()) / max(1, max(map(sum, this.case.cells))),
            cooperation={s: fmean(kind[s]) for s in OTHER} if dilemma else None,
            reciprocity={s: reciprocity(kind[s], kind[OTHER[s]]) for s in OTHER} if dilemma else None,
            equilibrium_play=fmean((m[FIRST], m[SECOND]) in stable for m in played) if stable else None,
            contract={s: this.names[n] for s, n in bound.items()} or None,
            best_response=None if best is None else (best - low) / scale,
            regret=None if best is None else regret / scale,
        )

    def _setting(self, rng: random.Random) -> Setting:
        usual, beyond = (20, 10) if self.level else (6, 3)
        top = usual + beyond * (self.split == "ood")

        def draw(r: random.Random) -> Case:
            return draw_case(r, self.game or r.choice(KINDS), usual, top)

        case: Case = own_case(self.table) if self.table else self.item("table", draw, lambda c: repr(c.cells))
        names: tuple[str, ...] = rng.choice(NEUTRAL) if self.level else ("x", "y")
        wording = OPENINGS[rng.randrange(1, len(OPENINGS)) if self.level else 0]
        if self.classic:
            title, names = CLASSIC[case.kind]
            names = names[:: -1 if case.flipped else 1]
            wording = f"This is {title}. {wording}"
        views = (case.cells, turned(case.cells))
        cells = dict(zip((FIRST, SECOND), views[::-1] if self.swap else views, strict=True))
        risk = 0.1 if self.level == 2 else 0.0
        rounds = self.rounds or (3, 10, 20)[self.level]
        return Setting(case, cells, names, rounds, self.stop or risk, self.noise or risk, wording)

    def _before(self, names: tuple[str, ...]) -> Script:
        """Talk, and a contract: what each seat is bound to play by it, or nothing."""
        if self.opponent:
            return {}
        if self.level and not self.silent:
            said = yield self.turn(self.seats)
            for seat in self.seats:
                self.tell(self._talk(said[OTHER[seat]]).strip() or "They say nothing.", to=seat)
        if not self.contract:
            return {}
        either = "|".join(names)
        said = yield self.turn(self.seats, f"contract {either} {either}", "pass", default="pass")
        mine, theirs = said[FIRST].args, said[SECOND].args
        if not mine or mine != theirs[::-1]:
            self.tell("There is no contract.")
            return {}
        for seat in self.seats:
            self.tell("The contract binds: you play {}, they play {}.".format(*said[seat].args), to=seat)
        return {FIRST: names.index(mine[0]), SECOND: names.index(mine[1])}

    def _rounds(self, this: Setting, rng: random.Random) -> Script:
        """Round after round; returns the moves of each, and what the first seat gave away against a scripted one."""
        scripted = Automaton.of(self.opponent, this.cells[SECOND]) if self.opponent else None
        played: list[dict[str, int]] = []
        regret, over = 0.0, False
        while not over:
            said = yield from self._named(this.names)
            moves = {s: this.names.index(move.args[0]) for s, move in said.items()}
            if scripted:
                options = worth(scripted, this.noise, this.weights, len(played))
                regret += max(options) - options[moves[FIRST]]
                moves[SECOND] = chance(rng, scripted.chance_of_1)
            moves = {s: moves[s] ^ chance(rng, this.noise) for s in OTHER}
            played.append(moves)
            for seat in self.seats:
                mine, theirs = moves[seat], moves[OTHER[seat]]
                points = this.cells[seat][2 * mine + theirs]
                words = ROUND[self.level > 0].format(len(played), this.names[mine], this.names[theirs], *points)
                self.tell(words + self._talk(said.get(OTHER[seat])), to=seat)
            if scripted:
                scripted = scripted.after(moves[SECOND], moves[FIRST])
            over = len(played) == this.rounds or chance(rng, this.stop) == 1
        return played, regret

    def _named(self, names: tuple[str, ...]) -> Script:
        """The moves that the seats name, at once or one after the other."""
        command, default = f"play {'|'.join(names)}", f"play {names[0]}"
        if not self.leader:
            return (yield self.turn(self.seats, command, default=default))
        leader, follower = (SECOND, FIRST) if self.swap else (FIRST, SECOND)
        first = yield self.turn(leader, command, default=default)
        self.tell(f"They play {first.args[0]}.", to=follower)
        second = yield self.turn(follower, command, default=default)
        return {leader: first, follower: second}

    def _talk(self, move: Move | None) -> str:
        """What was said beside a move, as an addition to a message."""
        speech = move.said() if move and self.level and not self.silent else ""
        return f' They say: "{speech}"' if speech else ""


def chance(rng: random.Random, probability: float) -> int:
    """1 so often; where it is sure nothing is drawn."""
    return rng.choices((0, 1), (1 - probability, probability))[0] if 0 < probability < 1 else int(probability)


def reciprocity(mine: Sequence[bool], theirs: Sequence[bool]) -> float | None:
    """How much more often one cooperates after the other has than after it has not; None where one never came."""
    answers = {before: [m for m, t in zip(mine[1:], theirs, strict=False) if t == before] for before in (True, False)}
    return fmean(answers[True]) - fmean(answers[False]) if all(answers.values()) else None


# -- players ---------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a seat can read off its own view."""

    cells: Cells
    names: tuple[str, ...]
    history: list[tuple[int, int]]
    """(own, their) moves of the rounds so far."""


def _seen(request: Request) -> Seen:
    numbers = [int(n) for n in re.findall(r"\d+", request.heard[0])]
    names = tuple(request.commands[0].split()[1].split("|"))
    rounds = [found for text in request.heard if (found := re.match(r"(?:Round \d+: y|Y)ou (\w+), they (\w+)", text))]
    cells = tuple(zip(numbers[:8:2], numbers[1:8:2], strict=True))
    return Seen(cells, names, [(names.index(found[1]), names.index(found[2])) for found in rounds])


def _player(choose: Callable[[Request, Seen], int], *, selfish: bool = False) -> Player:
    """A player from its choice of a move; as a contract it proposes what is best for itself, or for both."""

    def play(request: Request) -> str:
        if not request.commands:
            return "Let us both gain from this."
        seen = _seen(request)
        if "pass" not in request.commands:
            return f"[play {seen.names[choose(request, seen)]}]"
        best = max(range(4), key=lambda n: (seen.cells[n][0] if selfish else sum(seen.cells[n]), min(seen.cells[n])))
        return f"[contract {seen.names[best // 2]} {seen.names[best % 2]}]"

    return play


def _reply(seen: Seen, theirs: Sequence[float]) -> int:
    """The better move against these weights of the other's moves; the first where both are as good."""
    value = [sum(w * seen.cells[2 * mine + n][0] for n, w in enumerate(theirs)) for mine in (0, 1)]
    return int(value[1] > value[0])


def _greatest(request: Request, seen: Seen) -> int:
    return max(range(4), key=lambda n: seen.cells[n][0]) // 2


def _fictitious(request: Request, seen: Seen) -> int:
    return _reply(seen, [1 + sum(theirs == n for _, theirs in seen.history) for n in (0, 1)])


def _informed(request: Request, seen: Seen) -> int:
    """Best response to the scripted opponent; to a random one where another seat plays."""
    facts = request.facts
    if not facts["opponent"]:
        return _reply(seen, (1, 1))
    other = Automaton.of(facts["opponent"], turned(seen.cells))
    for mine, theirs in seen.history:
        other = other.after(theirs, mine)
    options = worth(other, facts["noise"], tuple(facts["weights"]), len(seen.history))
    return int(options[1] > options[0])


def _strategy(name: str) -> Player:
    def choose(request: Request, seen: Seen) -> int:
        own = Automaton.of(name, seen.cells)
        for mine, theirs in seen.history:
            own = own.after(mine, theirs)
        return int(own.chance_of_1)

    return _player(choose)


Matrix.players = {
    "random": play_random,
    "greedy": _player(_greatest, selfish=True),
    "fictitious": _player(_fictitious),
    "oracle": _player(_informed, selfish=True),
    **{name: _strategy(name) for name in STRATEGIES if name != "random"},
}
