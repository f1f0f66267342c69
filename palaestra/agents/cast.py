"""From words to a cast, and one episode by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.agents.episode import Episode
from palaestra.agents.play import check_cast, wait_for
from palaestra.agents.play import play as play_async
from palaestra.agents.policy import Cast, Policy, Scripted, player
from palaestra.envs.registry import env_class
from palaestra.envs.script import Player, ScriptedEnv
from palaestra.errors import ScenarioError, nearest

Who = str | Policy | Player
"""Who takes a seat: the name of a scripted player, a policy, or a function of a request."""


def split_cast(seats: Sequence[str], entries: Sequence[str]) -> dict[str, str]:
    """Seat -> name, from `seat=name` or `role=name` entries, one bare name for everybody, or one a seat in order.

    A role stands for those of its seats that no entry names itself (`guest` for `guest_0` and `guest_1`). A bare name
    beside such entries takes the seats that they leave. Seats without a name are missing.

    Raises:
        ScenarioError: an entry names no seat, or the number of bare names fits no seats.
    """
    given = dict(entry.partition("=")[::2] for entry in entries if "=" in entry)
    bare = [entry for entry in entries if "=" not in entry]
    roles = {seat: seat.rpartition("_")[0] for seat in seats}
    for seat in given:
        if seat not in roles and seat not in roles.values():
            raise ScenarioError(f"cast: no seat {seat!r}\n  {nearest(seat, {*seats, *filter(None, roles.values())})}")
    named = {seat: given.get(seat, given.get(role, "")) for seat, role in roles.items() if {seat, role} & given.keys()}
    rest = [seat for seat in seats if seat not in named]
    if len(bare) == 1:
        bare *= len(rest)
    if bare and len(bare) != len(rest):
        raise ScenarioError(
            f"cast: {len(bare)} names for {len(rest)} seats ({', '.join(rest)})\n"
            "  give one name for all of them, one a seat, or seat=name"
        )
    return named | dict(zip(rest, bare, strict=False))


def seat_cast(env: ScriptedEnv, cast: Who | Mapping[str, Who]) -> Cast:
    """A policy for every seat of `env`. One name, policy or function stands for all seats.

    Raises:
        ScenarioError: a seat is empty, or a seat is unknown.
        UnknownNameError: the environment has no such player.
    """
    entries = cast if isinstance(cast, Mapping) else dict.fromkeys(env.seats, cast)
    seated = {seat: _policy(type(env), who) for seat, who in entries.items()}
    check_cast(env, seated)
    return seated


def _policy(env: type[ScriptedEnv], who: Who) -> Policy:
    if isinstance(who, str):
        return player(env, who.removeprefix("player:"))
    if callable(who):
        return Scripted(getattr(who, "__name__", "function"), who)
    return who


def play(
    env: str | ScriptedEnv,
    cast: Who | Mapping[str, Who] = "random",
    *,
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
) -> Episode:
    """One episode, seed to end; works in a notebook too.

        palaestra.play("kuhn", {"player_0": "greedy", "player_1": "random"}, seed=7).returns

    Args:
        env: an id (see `palaestra.make`) or an environment.
        cast: a player for everybody, or one a seat: a scripted player's name, a policy, or a function of a request.
        params: parameters of the environment, where `env` is an id.
    """
    if isinstance(env, str):
        env = env_class(env)(**(params or {}))
    return wait_for(play_async(env, seat_cast(env, cast), seed))
