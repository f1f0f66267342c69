"""Talk among several seats: what one of them is heard to say and do, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palaestra.envs.grammar import Move
from palaestra.envs.script import Script, ScriptedEnv

MAX_WORDS = 60  # of a speech that are passed on


def heard(what: str, move: Move, max_words: int = MAX_WORDS) -> str:
    """`fisher_0 pledges nothing. It says: "..."`: what a seat did, and its words where there are any."""
    talk = move.said(max_words)
    return what + (f' It says: "{talk}"' if talk else "")


def pledge_round(env: ScriptedEnv, most: int, promise: str) -> Script:
    """Everyone speaks once to all, all at once, and may pledge a number; returns the pledges by seat.

    `promise` words one, as `"to give {} a round"`. What a pledge is worth is for the script to measure.
    """
    said = yield env.turn(env.seats, f"pledge 0..{most}", "pass", default="pass")
    for seat, move in said.items():
        pledge = promise.format(*move.args) if move.verb == "pledge" else "nothing"
        env.tell(heard(f"{seat} pledges {pledge}.", move))
    return {seat: int(move.args[0]) for seat, move in said.items() if move.verb == "pledge"}


def vote_round(env: ScriptedEnv, voters: Sequence[str]) -> Script:
    """Seats vote for each other or pass, all at once; who votes for whom is told to all, and returned."""
    env.tell("Now vote.")
    others = {s: "|".join(o for o in voters if o != s) for s in voters}
    moves = yield tuple(env.turn(s, f"vote {others[s]}", "pass", default="pass") for s in voters)
    votes = {s: move.args[0] for s, move in moves.items() if move.args}
    env.tell("Votes: " + (", ".join(f"{s} for {who}" for s, who in votes.items()) or "none") + ".")
    return votes


def by_name(amounts: Mapping[str, int]) -> str:
    """` fisher_0 3, fisher_1 5.`: what each did, as an addition to a message."""
    return " " + ", ".join(f"{seat} {n}" for seat, n in amounts.items()) + "."


def says(seat: str, move: Move, max_words: int = MAX_WORDS) -> str:
    """`voter_0 says: "..."`, or that it says nothing."""
    talk = move.said(max_words)
    return f'{seat} says: "{talk}"' if talk else f"{seat} says nothing."
