"""From replies to moves."""

from __future__ import annotations

import random

import pytest

from palaestra.envs.grammar import Move, blocks, clean, default_move, grammar, quotes
from palaestra.errors import EnvError

OFFER = grammar(("offer 0..20", "accept", "paint red|blue", "say ..."))


def verb_and_args(text: str) -> tuple[str | None, tuple[str, ...]] | None:
    move = OFFER.parse(text)
    return move and (move.verb, move.args)


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("[accept]", ("accept", ())),
        ("I think [ACCEPT ] it is", ("accept", ())),
        ("[  offer   7 ]", ("offer", ("7",))),
        ("[offer\t7]", ("offer", ("7",))),
        ("[offer\n7]", ("offer", ("7",))),
        ("[Paint RED]", ("paint", ("red",))),
        ("[say Hello  World]", ("say", ("Hello  World",))),
        ("[offer 7] no, [offer 8]", ("offer", ("8",))),
        ("[offer 7] as in [Smith 2003]", ("offer", ("7",))),
        ("[[accept]]", ("accept", ())),
    ],
)
def test_the_last_bracket_with_an_accepted_verb_is_the_move(text: str, move: tuple[str, tuple[str, ...]]) -> None:
    assert verb_and_args(text) == move


@pytest.mark.parametrize(
    "text",
    ["", "accept", "[]", "[offer]", "[offer 21]", "[offer 7 8]", "[offer 7] [offer x]", "[paint green]", "[say]"],
)
def test_wrong_arguments_in_the_last_bracket_are_malformed_even_after_a_good_one(text: str) -> None:
    assert OFFER.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "<think>[accept]</think> hm",
        "<think>never closed [accept]",
        "```\n[accept]\n```",
        "```python\nx[accept]",
        "a ```[accept]``` b",
    ],
)
def test_brackets_in_reasoning_and_code_never_count(text: str) -> None:
    assert OFFER.parse(text) is None


def test_speech_is_the_visible_text_without_the_move() -> None:
    move = OFFER.parse("<think>low first</think>My best is [offer 7] my friend.")
    assert move is not None
    assert move.speech == "My best is  my friend."
    assert move.raw.startswith("<think>")


def test_free_speech_is_never_malformed_and_keeps_its_brackets() -> None:
    assert grammar(()).parse("<think>x</think> [offer 3] ") == Move(
        None, (), "[offer 3]", raw="<think>x</think> [offer 3] "
    )


def test_up_to_64_moves_are_listed_and_more_become_patterns() -> None:
    assert grammar(("place 0..8",)).legal == tuple(f"[place {i}]" for i in range(9))
    assert grammar(("go 1..8 1..8",)).enumerable
    many = grammar(("go 0..8 1..8", "pass"))
    assert many.legal == ("[go 0..8 1..8]", "[pass]")
    assert not many.enumerable
    assert not grammar(("say ...",)).enumerable


def test_negative_ranges_count_through_zero() -> None:
    assert grammar(("move -1..1",)).legal == ("[move -1]", "[move 0]", "[move 1]")


@pytest.mark.parametrize("command", ["", "  ", "offer 1..x", "offer x..", "say ... 3", "offer 5..1"])
def test_a_command_that_cannot_be_meant_is_named(command: str) -> None:
    with pytest.raises(EnvError, match=r"command|range"):
        grammar((command,))


def test_default_moves_are_checked_and_marked() -> None:
    move = default_move(("offer 0..20",), "offer 3")
    assert move is not None and (move.verb, move.args, move.status, move.speech) == ("offer", ("3",), "default", "")
    spoken = default_move((), "silence")
    assert spoken is not None and (spoken.speech, spoken.status) == ("silence", "default")
    assert default_move(("a",), None) is None
    with pytest.raises(EnvError, match="none of the turn's commands"):
        default_move(("offer 0..20",), "offer 30")


def test_fenced_blocks_and_quotes_are_found_outside_reasoning() -> None:
    text = "<think>```\nno\n```<quote>no</quote></think>```python\nx = 1\n```<quote> yes </quote>```\ntail"
    assert blocks(text) == ["x = 1\n", "tail"]
    assert quotes(text) == ["yes"]
    assert quotes("<quote>open <quote>two</quote> <quote>never closed") == ["open <quote>two"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[a" * 50_000,
        "<think>" * 14_000,
        "```" * 33_000,
        "```\n" * 25_000,
        "<quote>" * 14_000,
        "]" * 100_000,
    ],
)
def test_a_hostile_text_is_read_in_one_scan(text: str) -> None:
    # Quadratic scans of these texts would take minutes and run into the time limit of the test.
    assert OFFER.parse(text) is None
    blocks(text), quotes(text)


def test_clean_gives_text_that_encodes_and_fits() -> None:
    assert clean(None, 10) == ""
    assert clean(7, 10) == "7"
    assert clean("abc", 2) == "ab"
    assert clean("a\ud800b", 10) == "a?b"
    assert clean("\x00\x1b[0m", 10) == "\x00\x1b[0m"
    rng = random.Random(0)
    for _ in range(200):
        clean("".join(chr(rng.randrange(0x110000)) for _ in range(50)), 40).encode()
