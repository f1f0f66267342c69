"""Scripted players made of others."""

from __future__ import annotations

from palaestra.envs.script import Player, Request, play_random


def at_times(player: Player, share: float) -> Player:
    """Plays as `player` in a share of its moves, else at random: a beginner to be cloned."""

    def play(request: Request) -> str:
        return player(request) if request.rng.random() < share else play_random(request)

    return play
