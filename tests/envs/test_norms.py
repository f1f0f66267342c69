"""Norms: what keeps them and what does not, by hand; texts that are made to keep or break them."""

from __future__ import annotations

import random

import pytest

from palaestra.envs.common.norms import KINDS, compose, draw, kept, read, share_kept, wording
from palaestra.envs.common.words import OOD, USUAL


@pytest.mark.parametrize(
    ("kind", "value", "keeps", "breaks"),
    [
        ("say", "lamp", "Two Lamps, please.", "A lampoon."),
        ("avoid", "lamp", "A lampoon.", "The l-a-m-p is here."),
        ("avoid", "lamp", "Nothing.", "The LAMP!"),
        ("number", "", "There are seven.", "There are some."),
        ("multiple", "3", "Ten and 11.", "Twenty-one."),
        ("multiple", "3", "Nothing.", "It is 12."),
        ("color", "red", "It is colorful.", "It is Green."),
        ("person", "Ana", "An animal.", "I saw ANA."),
        ("question", "", "Will you?", "You will."),
        ("calm", "", "Come.", "Come!"),
        ("short", "3", "one two three", "one two three four"),
        ("open", "Good day", "good day to you", "To you, good day"),
        ("close", "thank you", "I say: Thank you!", "Thank you all"),
    ],
)
def test_norms_by_hand(kind: str, value: str, keeps: str, breaks: str) -> None:
    assert kept(keeps, (kind, value)) and not kept(breaks, (kind, value))
    assert share_kept(breaks, [(kind, value), ("short", "9")]) == 0.5


@pytest.mark.parametrize("words", [USUAL, OOD])
def test_texts_can_be_made_to_keep_all_norms_or_to_break_any(words: object) -> None:
    failed = 0
    for seed in range(200):
        rng = random.Random(seed)
        norms = draw(rng, 5, words)  # type: ignore[arg-type]
        cut = rng.randint(0, 5)
        text = compose("We meet at noon.", norms)
        assert text is None or share_kept(text, norms) == 1
        mixed = compose("We meet at noon.", norms[:cut], norms[cut:])
        assert mixed is None or [kept(mixed, n) for n in norms] == [True] * cut + [False] * (5 - cut)
        failed += text is None or mixed is None
    assert failed < 30


def test_every_kind_is_told_in_two_ways_that_can_be_read() -> None:
    for seed in range(40):
        rng = random.Random(seed)
        norms = draw(rng, len(KINDS), rng.choice((USUAL, OOD)))
        for which in (0, 1):
            found = dict(read(" ".join(wording(norm, which) for norm in norms)))
            assert found.keys() == KINDS.keys()
            assert all(found[kind] in ("", value) for kind, value in norms)
