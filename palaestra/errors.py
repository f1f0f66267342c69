"""The errors that palaestra raises. Each also inherits the builtin that it replaces, and stays picklable.

A message has at most four lines: where and what is wrong with the value got; what would be right;
the nearest name, or the one command that fixes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PalaestraError(Exception):
    """Base of every error that is meant for the user; the command line prints it without a traceback."""


class EnvError(PalaestraError, RuntimeError):
    """A script, or the caller that drives it, broke a rule of the interface. Never raised for what a seat says."""


class EngineError(PalaestraError, RuntimeError):
    """An engine cannot do what was asked: an unknown policy version, a prompt over the context length."""


class MismatchError(EngineError):
    """Engine and learner disagree about the same weights. No episode may go on: what it samples would be trained on."""


class ScenarioError(PalaestraError, ValueError):
    """A scenario, a setting or a combination of settings is wrong."""


class UnknownNameError(PalaestraError, LookupError):
    """A name that nothing is registered under."""


class CheckpointError(PalaestraError, RuntimeError):
    """A run directory or a checkpoint is missing something, or belongs to another run."""


class RecordError(PalaestraError, ValueError):
    """A file of recorded episodes is damaged, or no longer agrees with the rules."""


class MissingExtraError(PalaestraError, ImportError):
    """Something that an optional extra of the package brings is not installed."""


MANY_NAMES = 12
"""Above this, an error shows only the nearest few of the known names."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A last line for an error: `did you mean X?`, or the known names where none is near, of many the nearest few."""
    names = sorted(known)
    found = difflib.get_close_matches(word, names, 1, 0.6)
    if found:
        return f"did you mean {found[0]}?"
    if not names:
        return "nothing is known here"
    few = names if len(names) <= MANY_NAMES else difflib.get_close_matches(word, names, 5, 0.0)
    return "known: " + ", ".join(few) + f" and {len(names) - len(few)} more" * (len(few) < len(names))
