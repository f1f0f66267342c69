"""Kuhn poker: its theory, by exact enumeration over the environment's own forks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from statistics import mean

import pytest
from pettingzoo.test import api_test

from palaestra.envs.games.kuhn import CARDS, Kuhn
from palaestra.envs.transcript import Revealed, Transcript

Info = tuple[str, tuple[str, ...]]
"""What a seat knows: its card and the moves so far, as (card, moves)."""
Policy = Callable[[Info], Mapping[str, Fraction]]
FIRST, SECOND = Kuhn.seats
THIRD = Fraction(1, 3)


@cache
def deals() -> dict[tuple[str, str], int]:
    """A seed for each of the six deals."""
    found: dict[tuple[str, str], int] = {}
    env = Kuhn()
    for seed in itertools.count():
        env.start(seed)
        cards = env.facts["cards"]
        found.setdefault((cards[FIRST], cards[SECOND]), seed)
        if len(found) == 6:
            return found
    raise AssertionError


def leaves(env: Kuhn, line: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Fraction]]:
    """Every way to play on: (moves, what the first seat gets)."""
    if env.over:
        return [(line, Fraction(env.transcript.returns()[FIRST]))]
    out = []
    for seat, request in env.waiting.items():
        for action in request.legal_actions:
            child = env.fork()
            child.submit({seat: action})
            out += leaves(child, (*line, action))
    return out


@cache
def tree() -> dict[tuple[str, str], list[tuple[tuple[str, ...], Fraction]]]:
    out = {}
    for deal, seed in deals().items():
        env = Kuhn()
        env.start(seed)
        out[deal] = leaves(env)
    return out


def game_value(policies: tuple[Policy, Policy]) -> Fraction:
    """What the first seat gets on average over the six deals."""
    total = Fraction(0)
    for deal, ends in tree().items():
        for line, pay in ends:
            chance = Fraction(1, 6)
            for i, action in enumerate(line):
                chance *= policies[i % 2]((deal[i % 2], line[:i]))[action]
            total += chance * pay
    return total


def uniform(info: Info) -> Mapping[str, Fraction]:
    moves = ("[call]", "[fold]") if info[1] and info[1][-1] == "[bet]" else ("[check]", "[bet]")
    return dict.fromkeys(moves, Fraction(1, 2))


def equilibrium(info: Info) -> Mapping[str, Fraction]:
    """Kuhn's solution with alpha = 1/3: the chance of a bet or a call at each information state."""
    card, line = info
    bold = {
        (): {"J": THIRD, "Q": 0, "K": 1},
        ("[check]",): {"J": THIRD, "Q": 0, "K": 1},
        ("[bet]",): {"J": 0, "Q": THIRD, "K": 1},
        ("[check]", "[bet]"): {"J": 0, "Q": 2 * THIRD, "K": 1},
    }[line][card]
    facing = bool(line) and line[-1] == "[bet]"
    return {"[call]": Fraction(bold), "[fold]": 1 - bold} if facing else {"[bet]": Fraction(bold), "[check]": 1 - bold}


def best_response(seat: int, other: Policy) -> Fraction:
    """The best that a seat can get against `other`, over its pure policies at its own information states."""
    lines = [(), ("[check]", "[bet]")] if seat == 0 else [("[check]",), ("[bet]",)]
    states = list(itertools.product(CARDS, lines))
    best = Fraction(-2)
    for choice in itertools.product((0, 1), repeat=len(states)):
        pure = {s: dict(zip(uniform(s), (1 - c, c), strict=True)) for s, c in zip(states, choice, strict=True)}
        mine: Policy = lambda info, pure=pure: {a: Fraction(p) for a, p in pure[info].items()}  # type: ignore[misc]
        pair = (mine, other) if seat == 0 else (other, mine)
        best = max(best, game_value(pair) * (1 if seat == 0 else -1))
    return best


def nash_conv(policy: Policy) -> Fraction:
    return best_response(0, policy) + best_response(1, policy)


def play(env: Kuhn, seed: int, *cast: str) -> Transcript:
    env.start(seed)
    while env.waiting:
        for seat, request in env.waiting.items():
            env.submit({seat: env.players[cast[env.seats.index(seat)]](request)})
    return env.transcript


# -- theory ----------------------------------------------------------------------------------------------------------


def test_six_deals_of_five_lines_each() -> None:
    assert set(tree()) == set(itertools.permutations(CARDS, 2))
    assert all(len(ends) == 5 for ends in tree().values())


def test_uniform_play_is_worth_an_eighth_to_the_first_seat() -> None:
    assert game_value((uniform, uniform)) == Fraction(1, 8)


def test_the_equilibrium_is_worth_minus_an_eighteenth_to_the_first_seat() -> None:
    assert game_value((equilibrium, equilibrium)) == Fraction(-1, 18)


def test_nash_conv_is_eleven_twelfths_for_uniform_play_and_zero_at_equilibrium() -> None:
    assert nash_conv(uniform) == Fraction(11, 12)
    assert nash_conv(equilibrium) == 0


def test_each_deal_is_drawn_equally_often() -> None:
    env, count = Kuhn(), dict.fromkeys(itertools.permutations(CARDS, 2), 0)
    for seed in range(1200):
        env.start(seed)
        count[tuple(env.facts["cards"].values())] += 1  # type: ignore[index]
    assert all(150 < n < 250 for n in count.values())


# -- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "deal", "chips"),
    [
        (("[check]", "[check]"), ("K", "J"), 1),
        (("[check]", "[check]"), ("J", "Q"), -1),
        (("[bet]", "[fold]"), ("J", "K"), 1),
        (("[bet]", "[call]"), ("Q", "J"), 2),
        (("[check]", "[bet]", "[fold]"), ("K", "Q"), -1),
        (("[check]", "[bet]", "[call]"), ("Q", "K"), -2),
    ],
)
def test_chips_by_hand(line: tuple[str, ...], deal: tuple[str, str], chips: int) -> None:
    assert dict(tree()[deal])[line] == chips


def test_folding_shows_no_card_and_a_showdown_shows_both() -> None:
    for line, shown in ((("[bet]", "[fold]"), 0), (("[bet]", "[call]"), 1)):
        env = Kuhn()
        env.start(deals()["K", "Q"])
        for action in line:
            (seat,) = env.waiting
            env.submit({seat: action})
        assert sum(isinstance(e, Revealed) for e in env.events) == shown


def test_a_seat_is_told_its_own_card_and_not_the_other() -> None:
    for (mine, other), seed in deals().items():
        env = Kuhn()
        env.start(seed)
        env.submit({FIRST: "[bet]"})
        for seat, card, hidden in ((FIRST, mine, other), (SECOND, other, mine)):
            told = " ".join(t for w, t in env.view(seat) if w == "told")
            assert f"card is {card}." in told and f"card is {hidden}." not in told


def test_table_talk_is_heard_at_level_one_only_and_moves_no_chips() -> None:
    for level, heard in ((0, False), (1, True)):
        env = Kuhn(level=level)
        env.start(0)
        env.submit({FIRST: "I hold the king and have won. [bet]"})
        assert ("king" in env.waiting[SECOND].text) is heard
        assert env.transcript.returns() == {}


def test_a_malformed_call_is_a_fold() -> None:
    env = Kuhn()
    env.start(deals()["J", "K"])
    env.submit({FIRST: "[bet]"})
    env.submit({SECOND: "[call 2]"})
    env.submit({SECOND: "I call"})
    assert env.transcript.returns() == {FIRST: 1.0, SECOND: -1.0}


def test_players_are_in_order_over_both_seats() -> None:
    env = Kuhn()

    def edge(better: str, worse: str) -> float:
        pairs = [(play(env, s, better, worse), play(env, s, worse, better)) for s in range(200)]
        return mean(a.returns()[FIRST] + b.returns()[SECOND] for a, b in pairs)

    assert edge("oracle", "greedy") > 0.1
    assert edge("greedy", "random") > 0.1
    assert edge("oracle", "random") > 0.5


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    api_test(Kuhn(), num_cycles=60)
    api_test(Kuhn(level=1), num_cycles=60)
