"""Environments that each break something, with the exact set of checks that must fail (`FAILS`)."""

from __future__ import annotations

import random
import socket
import threading
import time
from typing import Any

import gymnasium
from gymnasium.spaces import Text

from palaestra.envs.script import Forfeit, Request, Script, ScriptedEnv, play_random

FAILS: dict[str, set[str]] = {}


def fails(*checks: str) -> Any:
    """The class fails exactly these checks."""

    def note(cls: Any) -> Any:
        FAILS[cls.__name__] = set(checks)
        return cls

    return note


def _double(n: int) -> int:
    return 2 * n


def _oracle(request: Request) -> str:
    return f"[guess {request.facts['card'][_other(request.seat)]}]"


def _greedy(request: Request) -> str:
    own = int(request.view[0][1].split()[3].rstrip("."))  # "Your card is 2."
    return f"[guess {(own + 1) % 4}]"


def _other(seat: str) -> str:
    return "b_0" if seat == "a_0" else "a_0"


@fails()
class Sound(ScriptedEnv):
    """Guess the other's card: declares everything and holds it."""

    seats = ("a_0", "b_0")
    levels = (0, 1)
    splits = ("train", "test", "ood")
    controls = ("quiet",)
    effects = {"double": _double}
    players = {"random": play_random, "greedy": _greedy, "oracle": _oracle}
    reward_range = (-1.0, 1.0)
    zero_sum = True
    quiet: bool = False

    def script(self, rng: random.Random) -> Script:
        stake = self.item("stake", lambda r: r.randrange(100) + 100 * (self.split == "ood"))
        cards = self.secrets("card", lambda r: dict(zip(self.seats, r.sample(range(4), 2), strict=True)))
        for seat in self.seats:
            self.tell(f"Your card is {cards[seat]}. The stake is {stake}.", to=seat)
        twice = yield self.effect("double", stake)
        belief = yield self.probe("a_0", "Who is ahead?")
        self.note(belief=belief)
        moves = yield self.turn(self.seats, "guess 0..3", default="guess 0")
        right = {s: int(m.args[0]) == cards[_other(s)] for s, m in moves.items()}
        for seat in self.seats:
            if not self.quiet:
                self.tell(f"{_other(seat)} guessed {moves[_other(seat)].args[0]}.", to=seat)
        self.reveal(f"The cards were {cards}.")
        self.reward({s: (right[s] - right[_other(s)]) * 0.5 for s in self.seats})
        self.outcome(right=right, twice=twice)


@fails()
class SoundAtOnce(ScriptedEnv):
    """Everybody acts at once, and it is declared."""

    seats = ("a_0", "b_0", "c_0")
    simultaneous = True

    def script(self, rng: random.Random) -> Script:
        for _ in range(3):
            self.tell(f"Weather {rng.randrange(10)}.")
            moves = yield self.turn(self.living, "stay", "go", default="stay")
            for seat, move in moves.items():
                if move.verb == "go" and len(self.living) > 1:
                    self.eliminate(seat)


class Talk(ScriptedEnv):
    """Three turns of free speech; broken classes say something wrong in `opening`."""

    seats = ("a_0", "b_0")

    def opening(self, rng: random.Random) -> str:
        return f"Topic {rng.randrange(100)}."

    def script(self, rng: random.Random) -> Script:
        for n in range(3):
            self.tell(self.opening(rng), to="a_0")
            move = yield self.seats[n % 2]
            self.tell(f"They said {len(move.speech)} characters.", to=self.seats[1 - n % 2])


@fails("api")
class NamedAgainstTheCustom(Talk):
    seats = ("Buyer", "Seller")

    def script(self, rng: random.Random) -> Script:
        yield "Buyer"


@fails("parallel")
class OneAfterTheOther(Talk):
    simultaneous = True


@fails("api", "repeat", "interleave", "process", "threads", "replay", "fork", "observe", "outside")
class Dice(Talk):
    def opening(self, rng: random.Random) -> str:
        return str(random.SystemRandom().random())


@fails("api", "repeat", "interleave", "globals", "process", "threads", "replay", "fork", "observe")
class GlobalDice(Talk):
    def opening(self, rng: random.Random) -> str:
        return str(random.random())


@fails("api", "interleave", "threads", "fork")
class SharedBoard(Talk):
    """The state of all episodes lies on the class; one at a time works."""

    board: Any = ()

    def script(self, rng: random.Random) -> Script:
        type(self).board = [rng.randrange(100)]
        for n in range(3):
            self.tell(f"Board {type(self).board}.")
            yield self.seats[n % 2]
            type(self).board.append(rng.randrange(100))


@fails("api", "repeat", "replay", "fork")
class CountsItsEpisodes(Talk):
    plays: int = 0

    def opening(self, rng: random.Random) -> str:
        self.params["plays"] += 1
        return f"Play {self.plays}."


@fails("globals")
class Seeder(Talk):
    def opening(self, rng: random.Random) -> str:
        random.seed(7)
        return str(random.random())


@fails("process")
class Hasher(Talk):
    def opening(self, rng: random.Random) -> str:
        return f"Code {hash('word') % 1_000_000}."


@fails("threads")
class ThreadTeller(Talk):
    def opening(self, rng: random.Random) -> str:
        return threading.current_thread().name


@fails("replay")
class NoJson(Talk):
    """A parameter that comes back from the record as something else."""

    cards: tuple[str, ...] = ("J", "Q")

    def opening(self, rng: random.Random) -> str:
        return f"The cards are {self.cards}."


@fails("fork")
class ForgetfulCopy(Talk):
    def __deepcopy__(self, memo: Any) -> ForgetfulCopy:
        made = type(self)(**self.params)
        made.start(self._seed or 0)
        return made


@fails("observe")
class Forgets(Talk):
    """Looking twice is not looking once."""


def _read_once(self: Any, agent: str) -> dict[str, str]:
    text = "\n".join(self._inbox[agent])
    if self.__dict__.setdefault("_looks", 0) > 6:
        text += "!"
    self._looks += 1
    return {"text": text}


Forgets.observe = _read_once  # type: ignore[method-assign]


@fails("api", "texts")
class Counts(Talk):
    """Breaks on words that are no number; its players say numbers."""

    players = dict.fromkeys(("random", "greedy", "oracle"), lambda request: "5")

    def script(self, rng: random.Random) -> Script:
        move = yield "a_0"
        self.outcome(number=int(move.speech))


@fails("texts")
class Endless(Talk):
    def script(self, rng: random.Random) -> Script:
        while True:
            self.tell("And?")
            yield "a_0"


@fails("outside")
class LooksAtTheClock(Talk):
    def opening(self, rng: random.Random) -> str:
        return "Late." if time.time() < 0 else "Early."

    def script(self, rng: random.Random) -> Script:
        yield "b_0"
        self.tell(self.opening(rng))
        yield "a_0"


@fails("outside")
class WritesFiles(Talk):
    def opening(self, rng: random.Random) -> str:
        with open("/dev/null", "w") as log:
            log.write("a turn")
        return "Noted."


@fails("outside")
class AsksTheNetwork(Talk):
    def opening(self, rng: random.Random) -> str:
        return f"{len(socket.getaddrinfo('127.0.0.1', 80)) > 0}"


@fails("legal")
class TakesBack(ScriptedEnv):
    """Lists a move and does not accept it."""

    seats = ("a_0",)

    def script(self, rng: random.Random) -> Script:
        move = yield self.turn("a_0", "place 1..3", default="place 1")
        if move.args[0] == "3":
            raise Forfeit(("a_0",), {})


@fails("hidden")
class Leaks(ScriptedEnv):
    """Tells one seat's value to the other."""

    seats = ("buyer_0", "seller_0")

    def script(self, rng: random.Random) -> Script:
        value = self.secret("buyer_0", "value", lambda r: r.randrange(1000))
        self.tell(f"The item is worth {value} to you.", to="buyer_0")
        yield "buyer_0"
        self.tell(f"The buyer can pay up to {value}.")
        yield "seller_0"


@fails("hidden")
class LeaksByCommands(ScriptedEnv):
    """The moves on offer give the other's card away."""

    seats = ("a_0", "b_0")

    def script(self, rng: random.Random) -> Script:
        card = self.secret("b_0", "card", lambda r: r.randrange(100))
        self.tell(f"Your card is {card}.", to="b_0")
        yield self.turn("a_0", *(("bet", "fold") if card < 50 else ("fold",)), default="fold")


@fails("hidden")
class LeaksByLength(ScriptedEnv):
    """How long it goes on gives the other's number away."""

    seats = ("a_0", "b_0")

    def script(self, rng: random.Random) -> Script:
        rounds = self.secret("b_0", "patience", lambda r: r.randrange(1, 20))
        for _ in range(rounds):
            yield "a_0"
            self.tell("Go on.", to="a_0")


@fails("probes")
class SteeredByProbes(Talk):
    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        belief = yield self.probe("a_0", "Who wins?")
        self.tell(f"a_0 believes {belief}.", to="b_0")
        yield "b_0"


@fails("rewards")
class PaysTooMuch(Talk):
    reward_range = (-1.0, 1.0)

    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        self.reward(a_0=5.0)


@fails("zero_sum")
class PaysOneSide(Talk):
    zero_sum = True

    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        self.reward(a_0=1.0, b_0=-0.5)


@fails("outcome")
class ForgetsTheWinner(Talk):
    def script(self, rng: random.Random) -> Script:
        yield "a_0"
        self.outcome(points=3)
        if rng.random() < 0.5:
            self.outcome(winner="a_0")


@fails("splits")
class SharesInstances(Talk):
    splits = ("train", "ood")

    def opening(self, rng: random.Random) -> str:
        return f"Item {self.item('item', lambda r: r.randrange(50))}."


@fails("splits")
class NamesNoInstances(Talk):
    splits = ("train", "test")


@fails("players")
class GreedyLoses(ScriptedEnv):
    seats = ("a_0",)
    players = {
        "random": play_random,
        "greedy": lambda request: "[take 0]",
        "oracle": lambda request: "[take 9]",
    }

    def script(self, rng: random.Random) -> Script:
        move = yield self.turn("a_0", "take 0..9", default="take 0")
        self.reward(a_0=float(move.args[0]))


@fails("players")
class HasNoOracle(Talk):
    players = {"random": play_random, "greedy": play_random}


def _stumbles(request: Request) -> str:
    raise KeyError("strategy")


@fails("players")
class PlayerBreaks(Talk):
    players = {"random": play_random, "greedy": _stumbles, "oracle": play_random}


def _whim(request: Request) -> str:
    return f"I say {random.Random().random()}."


@fails("scripted")
class PlayerWithAWhim(Talk):
    players = {"random": play_random, "greedy": _whim, "oracle": play_random}


@fails("api", "repeat", "interleave", "globals", "process", "threads", "replay", "fork", "observe")
class IgnoresItsSeed(gymnasium.Env[str, str]):
    """Somebody else's environment, which an adapter brings here."""

    observation_space = Text(100)
    action_space = Text(100)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return f"Number {random.random()}", {}

    def step(self, action: str) -> Any:
        return "Done.", 1.0, True, False, {}
