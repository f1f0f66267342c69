"""Werewolf: win rates of random teams against exact recursion, nights, votes, and who is told what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import cache
from statistics import mean

import pytest
from pettingzoo.test import api_test

from palaestra.envs.script import Request
from palaestra.envs.social.werewolf import Werewolf, swings, winner
from palaestra.envs.transcript import Transcript


def play(env: Werewolf, seed: int, village: str, wolves: str) -> Transcript:
    env.start(seed)
    role = env.facts["roles"]
    while env.waiting:
        cast = {s: env.players[wolves if role[s] == "wolf" else village] for s in env.waiting}
        env.submit({s: cast[s](request) for s, request in env.waiting.items()})
    return env.transcript


def wins(village: str, wolves: str, seeds: int = 40, level: int = 0) -> float:
    """How often the wolves win."""
    env = Werewolf(level=level)
    return mean(float(play(env, s, village, wolves).outcome()["winner"] == "wolves") for s in range(seeds))


def cast(env: Werewolf) -> dict[str, list[str]]:
    """The seats of each role."""
    found: dict[str, list[str]] = {}
    for seat, role in env.facts["roles"].items():
        found.setdefault(role, []).append(seat)
    return found


def answer(env: Werewolf, words: Mapping[str, str], other: str = "[pass]") -> dict[str, Request]:
    """Give everyone who is asked its words, else `other`; whom that asks next."""
    env.submit({s: words.get(s, other) for s in env.waiting})
    return env.waiting


def talk_over(env: Werewolf) -> None:
    """Let everybody pass until all are to vote."""
    while "vote" not in next(iter(env.waiting.values())).commands[0]:
        answer(env, {})


# -- theory ----------------------------------------------------------------------------------------------------------


@cache
def chance_out(n: int) -> float:
    """How often random votes of n players, each for another or for nobody, put one out, by counting all of them."""
    tallies: Counter[tuple[int, ...]] = Counter({(0,) * n: 1})
    for voter in range(n):
        after = Counter(tallies)
        for tally, ways in tallies.items():
            for whom in set(range(n)) - {voter}:
                after[(*tally[:whom], tally[whom] + 1, *tally[whom + 1 :])] += ways
        tallies = after
    return sum(ways for tally, ways in tallies.items() if tally.count(max(tally)) == 1) / tallies.total()


def night(wolves: int, others: int, doctor: bool, days: int) -> float:
    """How often the wolves win random play from a night on; a doctor that lives is one of the others."""
    if not wolves or wolves >= others or not days:
        return float(bool(wolves))
    quiet = float((others + 1) ** -wolves)
    if doctor:
        quiet += (1 - quiet) / (wolves + others + 1)
    dead = (1 - quiet) / others
    found = quiet * day(wolves, others, doctor, days) + dead * (others - doctor) * day(wolves, others - 1, doctor, days)
    return found + (dead * day(wolves, others - 1, False, days) if doctor else 0)


def day(wolves: int, others: int, doctor: bool, days: int) -> float:
    if wolves >= others:
        return 1.0
    out = chance_out(wolves + others) / (wolves + others)
    found = (1 - out * (wolves + others)) * night(wolves, others, doctor, days - 1)
    found += out * wolves * night(wolves - 1, others, doctor, days - 1)
    found += out * (others - doctor) * night(wolves, others - 1, doctor, days - 1)
    return found + (out * night(wolves, others - 1, False, days - 1) if doctor else 0)


@pytest.mark.parametrize(
    ("level", "seeds", "exact", "state"), [(0, 300, 0.7116, (1, 4, False, 5)), (1, 120, 0.8988, (2, 5, True, 7))]
)
def test_random_teams_win_as_often_as_the_recursion_says(
    level: int, seeds: int, exact: float, state: tuple[int, int, bool, int]
) -> None:
    assert night(*state) == pytest.approx(exact, abs=5e-5)
    error = math.sqrt(exact * (1 - exact) / seeds)
    assert wins("random", "random", seeds, level) == pytest.approx(exact, abs=3 * error)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_knowledge_wins(level: int) -> None:
    assert wins("oracle", "greedy", 20, level) == 0 < wins("greedy", "random", level=level)
    assert wins("greedy", "random", level=level) < wins("random", "random", level=level)
    assert wins("random", "oracle", level=level) > wins("greedy", "greedy", level=level)


def test_winner_by_hand() -> None:
    assert winner(["villager", "seer"]) == "village"
    assert winner(["wolf", "villager"]) == "wolves"
    assert winner(["wolf", "villager", "doctor"]) is None
    assert winner(["wolf", "wolf", "villager"]) == "wolves"


def test_a_vote_swings_if_the_day_had_ended_otherwise_without_it() -> None:
    assert swings({"a": "b", "b": "a", "c": "a"}) == 2  # without either vote for a it is a tie
    assert swings({"a": "b", "b": "a"}) == 2  # a tie would be broken
    assert swings({"a": "d", "b": "d", "c": "d"}) == 0
    assert swings({}) == 0


# -- rules -----------------------------------------------------------------------------------------------------------


def test_wolves_know_each_other_and_nobody_else_knows_anything() -> None:
    env = Werewolf(level=1)
    for seed in range(10):
        env.start(seed)
        for role, seats in cast(env).items():
            for seat in seats:
                text = env.view(seat)[0][1]
                assert f"Your role: {role}." in text
                pack = [s for s in seats if s != seat]
                assert (f"The pack: you and {pack[0]}." in text) if role == "wolf" else "The pack" not in text


def test_wolves_confer_in_private_and_the_first_wolf_breaks_a_tie() -> None:
    env = Werewolf(level=1)
    env.start(0)
    roles = cast(env)
    (first, second), (a, b, _) = roles["wolf"], roles["villager"]
    assert set(env.waiting) == {first, second}
    asked = answer(env, {first: f"The loud one.\nYou are safe. [suggest {a}]", second: f"[suggest {b}]"})
    assert asked[second].told[-1] == f'{first} suggests {a}. It says: "The loud one. You are safe."'
    assert not any("suggests" in text for s in env.seats if s not in roles["wolf"] for _, text in env.view(s))
    answer(env, {first: f"[kill {b}]", second: f"[kill {a}]"})
    assert any(f"{b} (villager)" in text for _, text in env.view(a))


def test_the_seer_alone_learns_what_it_looks_at() -> None:
    for level, whom, found in ((0, "wolf", "a"), (0, "villager", "no")):
        env = Werewolf(level=level)
        env.start(1)
        roles = cast(env)
        target, seer = roles[whom][0], roles["seer"][0]
        answer(env, {seer: f"[see {target}]"})
        line = f"{target} is {found} wolf."
        assert [s for s in env.seats if any(text == line for _, text in env.view(s))] == [seer]


def test_the_doctor_saves_whom_the_wolves_would_kill() -> None:
    for guarded, died in ((True, False), (False, True)):
        env = Werewolf(level=1)
        env.start(2)
        roles = cast(env)
        target = roles["seer"][0]
        answer(env, {})
        words = dict.fromkeys(roles["wolf"], f"[kill {target}]")
        asked = answer(env, {**words, roles["doctor"][0]: f"[save {target}]" if guarded else "[pass]"})
        told = next(iter(asked.values())).heard
        assert any("Nobody died." in text for text in told) is not died


def test_most_votes_put_out_and_a_tie_nobody() -> None:
    env = Werewolf()
    env.start(3)
    answer(env, {})
    talk_over(env)
    wolf, (a, b, c) = cast(env)["wolf"][0], cast(env)["villager"]
    tie = env.fork()
    before = env.view(c)
    env.submit({a: f"[vote {wolf}]", b: f"[vote {wolf}]"})
    assert env.view(c) == before  # votes are cast at once
    answer(env, {wolf: f"[vote {a}]", c: f"[vote {a}]"}, f"[vote {wolf}]")
    assert env.over and env.transcript.outcome()["winner"] == "village"
    assert env.transcript.returns() == {s: -1.0 if s == wolf else 1.0 for s in env.seats}
    answer(tie, {a: f"[vote {wolf}]", wolf: f"[vote {a}]"})
    assert not tie.over and any(text == "Nobody is out." for _, text in tie.view(c))


def test_the_dead_are_asked_and_told_nothing_more_and_share_the_end() -> None:
    env = Werewolf()
    env.start(4)
    roles = cast(env)
    wolf, dead = roles["wolf"][0], roles["seer"][0]
    answer(env, {wolf: f"[kill {dead}]"})
    talk_over(env)
    assert dead not in env.waiting and f"{dead} (seer)" in env.view(dead)[-1][1]
    answer(env, {wolf: "[pass]"}, f"[vote {wolf}]")
    assert [text for _, text in env.view(dead)][-1] == "The village wins."
    assert env.transcript.returns()[dead] == 1.0 and dead in env.living


def test_roles_of_the_dead_are_told_below_level_two() -> None:
    for level, shown in ((1, True), (2, False)):
        env = Werewolf(level=level)
        env.start(0)
        victim = cast(env)["seer"][0]
        answer(env, {})
        answer(env, dict.fromkeys(cast(env)["wolf"], f"[kill {victim}]"))
        assert (f"{victim} (seer)" in str(env.view(cast(env)["wolf"][0]))) is shown


def test_a_day_of_talk_is_heard_by_the_others_and_claims_are_checked() -> None:
    env = Werewolf(level=1)
    env.start(0)
    wolf, seer = cast(env)["wolf"][0], cast(env)["seer"][0]
    answer(env, {})
    answer(env, {})
    words = {wolf: "Trust me.\nThe village wins. [claim seer]", seer: "[claim seer]"}
    while "vote" not in next(iter(env.waiting.values())).commands[0]:
        answer(env, words)
    villager = cast(env)["villager"][0]
    assert f'{wolf} claims to be seer. It says: "Trust me. The village wins."' in env.waiting[villager].heard
    while env.waiting:
        answer(env, {})
    facts = env.transcript.outcome()
    assert facts["claims"] == 2 and facts["lies"] == 0.5


def test_talk_below_level_one_is_moves_only() -> None:
    env = Werewolf()
    env.start(0)
    answer(env, {})
    (speaker,) = env.waiting
    answer(env, {speaker: "I am the seer and have won! [pass]"})
    assert f"{speaker} passes." in next(iter(env.waiting.values())).heard


def test_stalling_loses_for_the_village() -> None:
    for level in Werewolf.levels:
        env = Werewolf(level=level)
        env.start(0)
        while env.waiting:
            answer(env, {}, "I am the seer, and the village has won.")
        facts = env.transcript.outcome()
        assert facts["winner"] == "wolves" and facts["days"] == len(env.seats)
        assert facts["vote_accuracy"] is facts["swing_votes"] is facts["lies"] is None


def test_silent_and_no_seer() -> None:
    env = Werewolf(silent=True)
    env.start(0)
    assert "vote" in next(iter(answer(env, {}).values())).commands[0]
    plain, blind = Werewolf(), Werewolf(no_seer=True)
    for seed in range(5):
        plain.start(seed)
        blind.start(seed)
        assert cast(blind)["wolf"] == cast(plain)["wolf"] and "seer" not in cast(blind)


def test_ood_has_one_villager_more() -> None:
    env = Werewolf(split="ood")
    env.start(0)
    assert len(env.seats) == 6 and len(cast(env)["villager"]) == 4


@pytest.mark.filterwarnings("ignore")
def test_pettingzoo_accepts_it() -> None:
    for level in Werewolf.levels:
        api_test(Werewolf(level=level), num_cycles=60)
