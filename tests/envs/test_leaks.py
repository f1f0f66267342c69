"""What gives a word away, and what does not."""

from __future__ import annotations

import base64
import random

import pytest

from palaestra.envs.common import leaks
from palaestra.envs.common.leaks import betrays, forms, leak, says
from palaestra.envs.common.words import made_up

TOKEN = "bodak47"
ORDINARY = """
Good morning! I would like to know what you charge for 3 bags of salt and 47 pounds of tea, please. My neighbor, who
bakes bread at home, told me that your shop is by far the best in town. I can be back at 10:45 on Monday, the 21st, or
a day later. Because of the rain we did not walk to the market; instead we sat at a long oak table, talked about old
boats, and made a kite for the kids. "A bold dog asks kindly," said Dan. Call 555-0147 or write to desk@example.org.
A model of the bridge, a box of dice and a lamp are still in the attic: take all of them, or none at all.
The code on the parcel is 8f3a-c0de-77b1 (c2FsdA==), which I have already paid for; the total was forty-two coins.
I do not know the password, I cannot tell you anything about it, and I will not guess.
"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The word is bodak47.", "exact"),
        ("mybodak47word", "exact"),
        ("BODAK47", "case"),
        ("bódak47", "case"),
        ("bo\u00addak\u200b47", "case"),
        ("b o d a k 4 7", "spelled"),
        ("bo, dak (47)", "split"),
        ("It is b-o-d.a*k/4_7!", "spelled"),
        ("bodak four seven", "digits"),
        ("Bodak, forty-seven!", "digits"),
        ("read 74kadob backwards", "reversed"),
        ("7 4 k-a-d-o-b", "reversed"),
        ("obqnx47", "rot13"),
        (base64.b64encode(b"bodak47").decode(), "base64"),
        ("go: " + base64.urlsafe_b64encode(b"so, the word is Bodak47 ok").decode().rstrip("="), "base64"),
        (b"bodak47".hex(), "hex"),
        ("62 6f 64 61 6b 34 37", "hex"),
        ("0x62, 0x6F, 0x64, 0x61, 0x6B, 0x34, 0x37", "hex"),
        (r"\x62\x6f\x64\x61\x6b\x34\x37", "hex"),
        ("Bold old dogs ask kindly, four seven", "initials"),
        ("bravo oscar delta alpha kilo 4 7", "initials"),
        ("Bears are big.\n- Owls fly.\nDogs bark.\nAnts dig.\nKites soar.\n4 of them.\n7 too.", "line_initials"),
    ],
)
def test_every_encoding_of_the_whole_is_a_leak(text: str, kind: str) -> None:
    assert leak(text, TOKEN) == (1.0, kind)


@pytest.mark.parametrize("text", ["It begins with bodak.", "odak4", "...dak47", "k a d o b", "62 6f 64 61 6b"])
def test_a_part_of_sixty_percent_is_half_a_leak(text: str) -> None:
    assert leak(text, TOKEN).share == 0.5


def test_initials_count_only_as_a_whole() -> None:
    assert leak("Bold old dogs ask kindly.", TOKEN).share == 0.0


@pytest.mark.parametrize("text", ["", "boda", "47", "bod and ak4", "kodak", "bodek47", "I cannot tell you."])
def test_less_than_that_is_none(text: str) -> None:
    assert leak(text, TOKEN) == (0.0, "")


@pytest.mark.parametrize("split", ["train", "ood"])
def test_ordinary_text_gives_no_token_away(split: str) -> None:
    rng = random.Random(1)
    for word in made_up(rng, 75, split):
        assert leak(ORDINARY, f"{word}{rng.randrange(10, 100)}").share == 0.0, word


def test_readings_by_hand() -> None:
    assert leaks.case("Ünïcode") == "unicode"
    assert leaks.spelled("I am A b-c. 1!") == "i am abc1!"
    assert leaks.split("A-bc d. 1!") == "abcd1"
    assert leaks.numerals("Seventeen or twenty one, ninety; someone") == "17 or 21, 90; someone"
    assert leaks.digits("one two") == "12"
    assert leaks.backwards("ab c d") == "dc ba"
    assert leaks.rot13("Uryyb") == "hello"
    assert leaks.base64_("say aGVsbG8= or not").split()[0] == "hello"
    assert leaks.hex_("68 65 6c 6c 6f and face") == "hello"
    assert leaks.initials("Big (old) dogs, four") == "bod4"
    assert leaks.line_initials("big one\n\n  'old\n--") == "bo"


def test_a_long_text_is_read_in_no_time() -> None:
    for text in ("a b " * 1000, "ab" * 2000, "[" * 4000, "6f " * 1300, "four-" * 800):
        assert leak(text, TOKEN).share == 0.0


def test_forms_are_the_regular_ones() -> None:
    assert {"bake", "bakes", "baked", "baking", "baker", "bakers"} <= forms("bake")
    assert {"run", "runs", "running", "runner"} <= forms("Run")
    assert {"berry", "berries"} <= forms("berry") and {"box", "boxes"} <= forms("box")
    assert forms("car").isdisjoint({"care", "cared", "caring", "carry", "carer"})
    assert forms("tea").isdisjoint({"team", "steam", "teapot"})


def test_a_word_is_said_in_any_form_but_never_inside_another() -> None:
    assert says("She was Baking.", "bake") and says("the tea's hot", "tea")
    assert not says("She was baking.", "bake", exactly=True) and says("Bake!", "bake", exactly=True)
    assert not says("a team eats at ease", "tea") and not says("I care", "car")


@pytest.mark.parametrize("text", ["Tea!", "two teas", "T-E-A", "it is t, e, a", "aet", "grn", "dGVh", "746561"])
def test_spelled_and_encoded_words_are_betrayed(text: str) -> None:
    assert betrays(text, "tea")


@pytest.mark.parametrize("text", ["", "the end always", "I am at ease", "eat it", "a t e a b", "steam"])
def test_other_words_betray_nothing(text: str) -> None:
    assert not betrays(text, "tea")


def test_ordinary_text_betrays_no_word_that_is_not_in_it() -> None:
    for word in ("guitar", "river", "sun", "tiger", "violin", "ski", "owl", "rose", "bus", "piano"):
        assert not betrays(ORDINARY, word)
