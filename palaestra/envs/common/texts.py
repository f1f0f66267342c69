"""Plain facts about texts: sentences, words that carry meaning, search by shared words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_STOP = frozenset(
    "a an and are as at by color does for from has in is it its of on someone something that the to town was were "
    "what where which who whose with".split()
)


def one_line(text: str) -> str:
    """The text with every run of white space as one space: nothing in it can pose as a line of its own."""
    return " ".join(text.split())


def a(noun: str) -> str:
    """`a lamp`, `an open door`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentences(text: str) -> list[str]:
    """The sentences of a text, without what stands between them."""
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+", text) if s.strip()]


def words(text: str) -> frozenset[str]:
    """The words that carry meaning, in lower case."""
    return frozenset(re.findall(r"[^\W_]+", text.lower())) - _STOP


def search(corpus: Sequence[str], query: str, most: int = 3) -> list[str]:
    """The texts that share most words with a query, best first; none that shares no word."""
    asked = words(query)
    shared = {text: len(asked & words(text)) for text in corpus}
    return sorted((text for text in corpus if shared[text]), key=lambda text: -shared[text])[:most]
