"""From a reply to a move: one grammar for every environment.

A move is `[verb arguments]`, anywhere in the reply, case and spaces ignored. Reasoning (`<think>...</think>`) and
fenced blocks are cut out first, so a bracket inside code never counts. The *last* bracket whose verb is accepted
this turn decides; wrong arguments there make the reply malformed, an earlier bracket is never used instead. What is
left of the visible text is speech.

A command is written `verb arg arg`: an argument is a word (`x`), a choice (`a|b|c`), a range (`0..20`) or, last
only, `...` (any text).
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import NamedTuple

from palaestra.errors import EnvError

_CUT = re.compile(r"<think>.*?(?:</think>|\Z)|```.*?(?:```|\Z)", re.S)
_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.S)
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.S)
_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_QUOTE = re.compile(r"<quote>(.*?)(</quote>|\Z)", re.S)  # to the end where never closed: one scan
MANY_MOVES = 64  # above this, legal actions are listed as patterns


class Move(NamedTuple):
    """What a script receives for a turn."""

    verb: str | None
    """The command's verb in lower case; None for free speech."""
    args: tuple[str, ...]
    speech: str
    """The visible text without reasoning, fenced blocks and the move itself."""
    status: str = "ok"
    """"ok", or "default" where the turn's default was played."""
    raw: str = ""
    """The whole reply, for `blocks` and `quotes`."""

    def said(self, max_words: int = 60) -> str:
        """The speech on one line, so that it cannot pose as a message of its own, and cut."""
        return " ".join(self.speech.split()[:max_words])


def _options(arg: str) -> list[str] | None:
    if arg == "...":
        return None
    if ".." in arg:
        low, _, high = arg.partition("..")
        try:
            options = [str(n) for n in range(int(low), int(high) + 1)]
        except ValueError:
            options = []
        if not options:
            raise EnvError(f"range {arg!r} in a command\n  write it as 0..20, the lower end first")
        return options
    return arg.lower().split("|")


class Grammar:
    """A compiled tuple of commands."""

    __slots__ = ("commands", "legal", "table")

    def __init__(self, commands: tuple[str, ...]) -> None:
        self.commands = commands
        self.table: dict[str, list[list[frozenset[str] | None]]] = {}
        moves: list[str] = []
        for command in commands:
            if not command.strip():
                raise EnvError(f"command {command!r}: it needs a verb\n  no command at all is free speech")
            verb, *args = command.split()
            options = [_options(a) for a in args]
            if None in options[:-1]:
                raise EnvError(f"command {command!r}: only the last argument may be '...'")
            sets = [None if o is None else frozenset(o) for o in options]
            self.table.setdefault(verb.lower(), []).append(sets)
            closed = [o for o in options if o is not None]
            if len(closed) == len(options):
                combos = itertools.islice(itertools.product(*closed), MANY_MOVES + 1)
                moves += [" ".join((verb.lower(), *c)) for c in combos]
        open_ended = any(o is None for sets in self.table.values() for s in sets for o in s)
        few = len(moves) <= MANY_MOVES and not open_ended
        #: legal moves where there are at most 64, else the patterns
        self.legal = tuple(f"[{m}]" for m in (moves if few else commands))

    @property
    def enumerable(self) -> bool:
        """Whether `legal` lists the moves themselves, so that actions can be scored."""
        return bool(self.commands) and not any("..." in m or "|" in m or ".." in m for m in self.legal)

    def parse(self, text: str) -> Move | None:
        """The move in `text`, or None where it is malformed. Linear in the length of the text."""
        visible = _CUT.sub(" ", text) if "<" in text or "`" in text else text
        if not self.commands:
            return Move(None, (), visible.strip(), raw=text)
        for found in reversed(list(_BRACKET.finditer(visible))):
            verb, rest = (*found[1].split(None, 1), "", "")[:2]
            verb = verb.lower()
            if verb not in self.table:
                continue
            for sets in self.table[verb]:
                args = _match(rest, sets)
                if args is not None:
                    speech = (visible[: found.start()] + visible[found.end() :]).strip()
                    return Move(verb, args, speech, raw=text)
            return None
        return None


def _match(rest: str, sets: list[frozenset[str] | None]) -> tuple[str, ...] | None:
    if sets and sets[-1] is None:  # free text keeps its case and inner spaces
        args = rest.strip().split(None, len(sets) - 1)
        args = [a if s is None else a.lower() for a, s in zip(args, sets, strict=False)]
    else:
        args = rest.lower().split()
    if len(args) == len(sets) and all(s is None or a in s for a, s in zip(args, sets, strict=True)):
        return tuple(args)
    return None


@functools.lru_cache(4096)
def grammar(commands: tuple[str, ...]) -> Grammar:
    """The compiled form of `commands`, kept."""
    return Grammar(commands)


@functools.lru_cache(4096)
def default_move(commands: tuple[str, ...], default: str | None) -> Move | None:
    """The move that a turn's default stands for; an `EnvError` where it is none of its commands."""
    if default is None:
        return None
    move = grammar(commands).parse(f"[{default}]")
    if move is None or (commands and move.verb is None):
        raise EnvError(f"default {default!r} is none of the turn's commands {commands}")
    return move._replace(status="default", speech="" if commands else default)


def blocks(text: str) -> list[str]:
    """The contents of the fenced blocks of a reply, in order, reasoning left out."""
    return [m[1] for m in _FENCE.finditer(_THINK.sub(" ", text))]


def quotes(text: str) -> list[str]:
    """The contents of `<quote>...</quote>` in a reply, in order, reasoning left out."""
    return [m[1].strip() for m in _QUOTE.finditer(_THINK.sub(" ", text)) if m[2]]


def clean(value: object, max_chars: int) -> str:
    """Any value as text that every later stage can hold: cut, and without lone surrogates."""
    text = value if type(value) is str else "" if value is None else str(value)
    text = text[:max_chars]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
