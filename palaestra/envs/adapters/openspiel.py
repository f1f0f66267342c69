"""OpenSpiel's games: `openspiel/kuhn_poker`, `openspiel/goofspiel(num_cards=4)`.

| fact | value |
|---|---|
| seats | `player_0` to `player_N` |
| turns | as the game has them, in turn or all at once |
| hidden | what the game hides: a seat is told its own information state, or observation |
| reward | the game's own returns, paid as they come |
| gold outcome | returns, moves |
| needs | `palaestra[openspiel]` |

Chance is drawn from the episode's own stream. A move is `[play NAME]`, NAME being OpenSpiel's own name of the action in
plain letters (`[play bet]`, `[play x_0_1]`); without a legal one the seat forfeits. `nashconv` asks OpenSpiel's own
algorithms how far a policy is from equilibrium.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Foreign, library, made, slugs
from palaestra.envs.script import Script
from palaestra.errors import EnvError, UnknownNameError, nearest


class OpenSpiel(Foreign):
    """A game of OpenSpiel."""

    game: ClassVar[str] = ""

    def script(self, rng: random.Random) -> Script:
        state = _game(self.game).new_initial_state()
        paid = [0.0] * len(self.seats)
        moves: list[str] = []
        while not state.is_terminal():
            if state.is_chance_node():
                actions, weights = zip(*state.chance_outcomes(), strict=True)
                state.apply_action(rng.choices(actions, weights)[0])
                continue
            acting = range(len(self.seats)) if state.is_simultaneous_node() else (state.current_player(),)
            legal = {self.seats[p]: _actions(state, p) for p in acting if state.legal_actions(p)}
            for p in acting:
                self.tell(_seen(state, p), to=self.seats[p])
            said = yield tuple(self.turn(seat, "play " + "|".join(named)) for seat, named in legal.items())
            chosen = {seat: legal[seat][move.args[0]] for seat, move in said.items()}
            moves += [f"{seat}: {move.args[0]}" for seat, move in said.items()]
            if state.is_simultaneous_node():
                state.apply_actions([chosen.get(seat, 0) for seat in self.seats])
            else:
                state.apply_action(chosen[self.seats[acting[0]]])
            returns = state.returns()
            self.reward({s: r - p for s, r, p in zip(self.seats, returns, paid, strict=True) if r != p})
            paid = list(returns)
        for p, seat in enumerate(self.seats):
            self.reveal(f"The game is over. You get {paid[p]:g}.", to=seat)
        self.outcome(returns=dict(zip(self.seats, paid, strict=True)), moves=moves)


def member(name: str) -> type[OpenSpiel]:
    """The class of a game, by OpenSpiel's own name and parameters."""
    spiel = library("pyspiel", "openspiel")
    short = name.partition("(")[0]
    if short not in spiel.registered_names():
        raise UnknownNameError(f"openspiel has no {short!r}\n  {nearest(short, spiel.registered_names())}")
    try:
        game = _game(name)
    except spiel.SpielError as error:
        raise EnvError(f"openspiel/{name}: {error}") from None
    kind = game.get_type()
    if not (kind.provides_information_state_string or kind.provides_observation_string):
        raise EnvError(f"openspiel/{name}: this game tells its players nothing in words")
    if kind.dynamics == spiel.GameType.Dynamics.MEAN_FIELD:
        raise EnvError(f"openspiel/{name}: a mean-field game has no seats to sit in")
    return made(
        OpenSpiel,
        f"openspiel/{name}",
        game=name,
        seats=tuple(f"player_{p}" for p in range(game.num_players())),
        reward_range=(game.min_utility(), game.max_utility()),
        zero_sum=kind.utility == spiel.GameType.Utility.ZERO_SUM,
        rules=f"{kind.long_name}, as OpenSpiel plays it. Answer with one of the legal moves.",
    )


def nashconv(name: str, policy: Callable[[int, str, Sequence[str]], Mapping[str, float]] | None = None) -> float:
    """NashConv in the game's own utility, by OpenSpiel's best responses.

    Args:
        name: an OpenSpiel game.
        policy: (player, information state, names of the legal moves) -> probability by name; None: uniform.
    """
    game = _game(name)
    table = library("open_spiel.python.policy", "openspiel").TabularPolicy(game)
    if policy is not None:
        for index, state in enumerate(table.states):
            player = state.current_player()
            named = _actions(state, player)
            chances = policy(player, state.information_state_string(player), list(named))
            table.action_probability_array[index] = 0.0
            for word, action in named.items():
                table.action_probability_array[index, action] = chances.get(word, 0.0)
    return float(library("open_spiel.python.algorithms.exploitability", "openspiel").nash_conv(game, table))


@functools.cache
def _game(name: str) -> Any:
    return library("pyspiel", "openspiel").load_game(name)


def _actions(state: Any, player: int) -> dict[str, int]:
    """Word -> action, in OpenSpiel's order."""
    legal = state.legal_actions(player)
    return dict(zip(slugs([state.action_to_string(player, a) for a in legal]), legal, strict=True))


def _seen(state: Any, player: int) -> str:
    """What a player may know: all of its past where something is hidden, else the position."""
    kind = state.get_game().get_type()
    hidden = kind.information == library("pyspiel", "openspiel").GameType.Information.IMPERFECT_INFORMATION
    past = kind.provides_information_state_string and (hidden or not kind.provides_observation_string)
    text = state.information_state_string(player) if past else state.observation_string(player)
    return f"You are player_{player}. You see: {text.strip() or 'nothing yet'}"
