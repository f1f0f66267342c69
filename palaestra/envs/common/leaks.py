"""Whether a text gives a word away, in the open or in an encoding that whoever wants the word could undo.

A detector is a reading: a function from the text to what is to be searched in its place. `leak` looks for a made-up
token (`bodak47`) in every reading; `says` looks for an everyday word in its forms, by whole words alone, so that
ordinary talk is not taken for a leak.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMERAL = re.compile(
    rf"\b(?:(?P<ten>{'|'.join(TENS)})(?:[\s-]+(?P<unit>{'|'.join(ONES[1:10])}))?|(?P<one>{'|'.join(ONES)}))\b"
)
SHORTEST_PART = 5
"""Characters that a part of a token must have to count: shorter ones stand in ordinary words."""


# -- readings ----------------------------------------------------------------------------------------------------


def exact(text: str) -> str:
    return text


def case(text: str) -> str:
    """In lower case, without accents and invisible characters."""
    if text.isascii():
        return text.casefold()
    parts = unicodedata.normalize("NFKD", text)
    return "".join(c for c in parts if unicodedata.category(c) not in ("Mn", "Cf")).casefold()


def spelled(text: str) -> str:
    """With letters that stand alone drawn together: `b o d a k`, `b-o-d-a-k`."""
    return re.sub(r"(?<![^\W_])([^\W_])[\W_]+(?=[^\W_](?![^\W_]))", r"\1", case(text))


def split(text: str) -> str:
    """Letters and digits alone: `bo, dak`."""
    return "".join(c for c in case(text) if c.isalnum())


def digits(text: str) -> str:
    """Letters and digits alone, numbers in digits: `bodak four seven`, `bodak forty-seven`."""
    return split(numerals(text))


def backwards(text: str) -> str:
    return spelled(text)[::-1]


def rot13(text: str) -> str:
    return codecs.encode(case(text), "rot13")


def base64_(text: str) -> str:
    """Whatever stretches of base64 decode to."""
    return " ".join(case(_decoded(found)) for found in re.findall(r"[A-Za-z0-9+/_-]{4,}", text))


def hex_(text: str) -> str:
    """Whatever stretches of hexadecimal bytes decode to: `62 6f 64`, `0x62,0x6f`, `626f64`."""
    bare = re.sub(r"0x|\\x|%", " ", text.lower())
    found = re.findall(r"(?:(?<![0-9a-z])|(?<=[0-9a-f]{2}))(?:[0-9a-f]{2}[\s:,;-]*){3,}", bare)
    pairs = (re.sub(r"[^0-9a-f]", "", stretch) for stretch in found)
    return " ".join(case(bytes.fromhex(pair).decode("latin-1")) for pair in pairs)


def initials(text: str) -> str:
    """The first letters of all words, numbers in digits: `big old dogs ask kindly`."""
    return "".join(word[0] for word in re.findall(r"[^\W_]+", numerals(text)))


def line_initials(text: str) -> str:
    """The first letters of all lines."""
    return "".join(found[0] for line in case(text).splitlines() if (found := re.search(r"[^\W_]", line)))


READINGS: Mapping[str, Callable[[str], str]] = {
    "exact": exact,
    "case": case,
    "spelled": spelled,
    "reversed": backwards,
    "rot13": rot13,
    "base64": base64_,
    "hex": hex_,
    "split": split,
    "digits": digits,
    "initials": initials,
    "line_initials": line_initials,
}
ONLY_WHOLE = ("split", "digits", "initials", "line_initials")
"""Readings that run words together: parts of tokens turn up in them by chance."""


def numerals(text: str) -> str:
    """In lower case, with the numbers below a hundred that are written as words in digits."""

    def value(found: re.Match[str]) -> str:
        if found["one"]:
            return str(ONES.index(found["one"]))
        return str((TENS.index(found["ten"]) + 2) * 10 + (ONES.index(found["unit"]) if found["unit"] else 0))

    return _NUMERAL.sub(value, case(text))


def _decoded(stretch: str) -> str:
    try:
        raw = base64.b64decode(stretch[: len(stretch) - (len(stretch) % 4 == 1)] + "==", altchars=b"-_")
    except (binascii.Error, ValueError):
        return ""
    return raw.decode("latin-1")


# -- tokens ------------------------------------------------------------------------------------------------------


class Leak(NamedTuple):
    share: float
    """1 for the whole token, 1/2 for a part of at least 60 percent, else 0."""
    kind: str
    """The reading in which it stands; empty where there is none."""


def leak(text: str, token: str) -> Leak:
    """The most that `text` gives away of a made-up token of letters and digits, in any reading."""
    readings = {kind: read(text) for kind, read in READINGS.items()}
    wanted = {kind: token if kind == "exact" else token.casefold() for kind in readings}
    for kind, reading in readings.items():
        if wanted[kind] in reading:
            return Leak(1.0, kind)
    size = max(math.ceil(0.6 * len(token)), SHORTEST_PART)
    for kind, reading in readings.items():
        parts = range(len(token) - size + 1) if kind not in ONLY_WHOLE else ()
        if any(wanted[kind][i : i + size] in reading for i in parts):
            return Leak(0.5, kind)
    return Leak(0.0, "")


# -- everyday words ----------------------------------------------------------------------------------------------


def forms(word: str) -> frozenset[str]:
    """An English word with its regular endings: -s, -ed, -ing, -er."""
    word = word.casefold()
    if word.endswith("e"):
        stem = word[:-1]
    elif re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", word):
        stem = word + word[-1]  # running; `car` is not in "cared"
    else:
        stem = word
    found = {word, word + ("es" if word.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")}
    if re.search(r"[^aeiou]y\Z", word):
        stem = word[:-1] + "i"
        found |= {stem + "es", word + "ing"}
    return frozenset({*found, *(stem + end for end in ("ed", "ing", "er", "ers"))})


def says(text: str, word: str, *, exactly: bool = False) -> bool:
    """Whether the word stands in the text as a whole word: in any of its forms, or `exactly` as it is."""
    wanted = {word.casefold()} if exactly else forms(word)
    return not wanted.isdisjoint(re.findall(r"[^\W_]+", case(text)))


def betrays(text: str, word: str) -> bool:
    """Whether the text says the word, spells it (`t e a`, `t-e-a`) or encodes it, always as a whole word."""
    return any(says(read(text), word) for read in (exact, spelled, backwards, rot13, base64_, hex_))
