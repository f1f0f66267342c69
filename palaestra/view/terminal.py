"""A seat at the terminal: the person sees what that seat is told, and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from palaestra.agents.episode import Episode, EpisodeWriter, Failure
from palaestra.agents.fork import Fork
from palaestra.agents.policy import Human
from palaestra.envs import transcript as record
from palaestra.envs.script import Request
from palaestra.errors import PalaestraError
from palaestra.view.stage import plain

HELP = "/legal /undo /hint /reveal /save FILE /quit"
HINTS = ("greedy", "oracle", "random")


class Leave(Exception):
    """The person has had enough."""


def read_line(prompt: str) -> str:
    """A line from the terminal, or from a pipe, where it is echoed so that the output reads the same.

    Raises:
        Leave: there is no more input.
    """
    if sys.stdin.isatty():
        import readline  # noqa: F401  (its import gives `input` editing and history)

        try:
            return input(prompt)
        except EOFError:
            raise Leave from None
    line = sys.stdin.readline()
    if not line:
        raise Leave
    print(prompt + plain(line.rstrip("\r\n")))
    return line.rstrip("\r\n")


def no_ask(request: Request) -> str:
    """A human's seat is asked by `Terminal`, never by the cast."""
    raise PalaestraError(f"{request.seat}: a person can only be asked at a terminal")


def human() -> Human:
    """A person for a cast, to be asked by `Terminal`."""
    return Human(no_ask)


class Terminal:
    """Plays a fork to its end; the seats of `Human` policies are asked here.

    An answer is a line; a line that ends in a backslash goes on in the next; `//` begins an answer with a slash.
    What helps that a blind player would not have is recorded in the label: `human+hint`, `human+reveal`.
    """

    def __init__(
        self, fork: Fork, *, read: Callable[[str], str] = read_line, write: Callable[[str], None] = print
    ) -> None:
        self.fork, self.read, self.write = fork, read, write
        self.people = [seat for seat in fork.env.seats if isinstance(fork.cast[seat], Human)]
        self._shown: dict[str, int] = {}
        self._asked = ""

    def play(self) -> Episode:
        """The episode; one that was left before its end says so in `failure`."""
        if self.fork.env.rules:
            self.write(f"the rules: {self.fork.env.rules}")
        try:
            while request := self.fork.next:
                if request.seat in self.people:
                    self._turn(request)
                else:
                    self.fork.step(request)
        except (Leave, KeyboardInterrupt) as left:
            word = "interrupted" if isinstance(left, KeyboardInterrupt) else "left"
            self.write(f"{word} before the end")
            return self.fork.episode(Failure("agent", f"{word} at the terminal"))
        except Exception as error:  # as in every other play: what was played so far is not lost
            self.write(f"broke off: {plain(error)}")
            return self.fork.broken(error)
        episode = self.fork.episode()
        for seat in self.people:
            self._introduce(seat)
            self._tell(seat, "[end]")
            self.write(f"{seat}: return {episode.returns[seat]:+g}")
        return episode

    # -- one turn
    def _turn(self, request: Request) -> None:
        seat = request.seat
        self._introduce(seat)
        if request.kind == "probe":
            self.write(f"(aside, nobody else hears it) {plain(request.text)}")
            self.fork.submit(request, self._line(seat) or None)
            return
        number, again = self._count(seat)
        self._tell(seat, f"[turn {number}]")
        if not again:  # the notice of an illegal move names the legal ones
            self.write(_legal(request))
        while True:
            line = self._line(seat)
            if line.startswith("/") and not line.startswith("//"):
                if self._command(request, *line[1:].split(None, 1)):
                    return
            elif line or not request.commands:
                self.fork.submit(request, line[1:] if line.startswith("//") else line)
                return

    def _introduce(self, seat: str) -> None:
        if seat != self._asked:
            self._asked = seat
            self.write(f"you are {seat}. Only what {seat} is told is shown. {HELP}")

    def _count(self, seat: str) -> tuple[int, bool]:
        """Which turn of the seat it is, from 1, and whether it is asked again: a retry is the same turn."""
        turns, again = 1, False
        for event in self.fork.env.events:
            if isinstance(event, record.Said | record.Defaulted | record.Forfeited) and event.seat == seat:
                turns, again = turns + 1, False
            elif isinstance(event, record.Malformed) and event.seat == seat:
                turns, again = turns - 1, True
        return turns, again

    def _tell(self, seat: str, mark: str) -> None:
        """What the seat has been told since the last time."""
        view = self.fork.env.view(seat)
        told = [plain(text) for kind, text in view[self._shown.get(seat, 0) :] if kind == "told"]
        self._shown[seat] = len(view)
        if told:
            self.write(f"{mark} " + "\n".join(told))

    def _line(self, seat: str) -> str:
        lines = [self.read(f"{seat}> ")]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(self.read("... "))
        return "\n".join(lines).strip()

    # -- commands
    def _command(self, request: Request, name: str = "", argument: str = "") -> bool:
        """Do a command; True where the turn is no longer the same."""
        match name:
            case "legal":
                self.write(_legal(request))
            case "undo":
                return self._undo(request.seat)
            case "hint":
                self._hint(request)
            case "reveal":
                self._mark(request.seat, "reveal")
                for fact, value in request.facts.items():
                    self.write(f"{fact} = {plain(json.dumps(value))}")
                self.write("the episode is no longer blind, and its record says so")
            case "save" if argument:
                self._save(argument)
            case "quit":
                raise Leave
            case _:
                self.write(f"{HELP}\na line that begins with // is said with one slash")
        return False

    def _undo(self, seat: str) -> bool:
        if not self.fork.back(seat):
            self.write("nothing to take back")
            return False
        self.write("taken back")
        self._shown.clear()  # the earlier turns are told again, for orientation
        return True

    def _hint(self, request: Request) -> None:
        players = request.env.players
        name = next((n for n in HINTS if n in players), None)
        if name is None:
            self.write(f"{request.env.name()} has no player to ask")
            return
        self._mark(request.seat, "hint")
        if name == "oracle":  # it knows what the seat is not told
            self._mark(request.seat, "reveal")
        self.write(f"{name}: {plain(players[name](request))}")

    def _mark(self, seat: str, help_used: str) -> None:
        """Write into the record that the seat had help; a mark stays when answers are taken back."""
        person = Human(no_ask)
        person.label = "+".join(
            sorted({*self.fork.cast[seat].label.split("+"), help_used}, key=lambda w: (w != "human", w))
        )
        self.fork.cast[seat] = person

    def _save(self, file: str) -> None:
        failure = Failure("agent", "saved before the end") if self.fork.next else None
        try:
            append(Path(file), self.fork.episode(failure))
            self.write(f"saved to {file}")
        except OSError as error:
            self.write(f"not saved: {error}")


def _legal(request: Request) -> str:
    """What may be answered."""
    return f"legal: {' '.join(request.legal_actions)}" if request.commands else "free speech: say anything"


def append(path: Path, *episodes: Episode) -> None:
    """Add episodes to a shard."""
    with EpisodeWriter(path) as writer:
        for episode in episodes:
            writer.write(episode)
