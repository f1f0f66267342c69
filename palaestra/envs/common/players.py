"""Scripted players made of others, and what they read off a turn."""

from __future__ import annotations

from palaestra.envs.script import Player, Request, play_random


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
