"""Scripted players made of others, and what they read off a turn."""

from __future__ import annotations

from palaestra.envs.script import Player, Request, play_random


def verb(request: Request) -> str:
    """The verb of the turn's first command, by which a player tells the phases of a game apart."""
    return request.commands[0].split()[0]


def most(request: Request) -> int:
    """The largest number that the turn's first command takes."""
    return int(request.commands[0].rpartition("..")[2])


def at_times(player: Player, share: float) -> Player:
    """Plays as `player` in a share of its moves, else at random: a beginner to be cloned."""

    def play(request: Request) -> str:
        # A stream of its own: `request.rng` begins anew at each look, so the player would draw this very number again.
        rng = request.env.stream("at times", request.seat, request.turn)
        return player(request) if rng.random() < share else play_random(request, rng)

    return play


def in_seat(seat: str, player: Player, others: Player) -> Player:
    """One player for all seats: plays as `player` in the named one, as `others` in the rest."""
    return lambda request: (player if request.seat == seat else others)(request)


def mixed(player: Player, share: float, other: Player, together: bool = False) -> Player:
    """For demonstrations: plays as `player` in a share of the episodes, as `other` in the rest.

    `together`: one draw decides for all seats, else each seat has its own.
    """

    def play(request: Request) -> str:
        rng = request.env.stream("mixed", *([] if together else [request.seat]))
        return (player if rng.random() < share else other)(request)

    return play
