"""PettingZoo's classic games in words: `pettingzoo/connect_four_v3`, `pettingzoo/chess_v6`, and others.

| fact | value |
|---|---|
| seats | the game's agents |
| turns | as the game has them |
| hidden | what the game hides: a seat is told its own observation |
| reward | the game's own |
| gold outcome | returns, moves, truncated |
| needs | `palaestra[classic]` |

The game's arrays are read aloud here, for the games in `GAMES`; any other PettingZoo environment plays through
`adapters.farama` with functions of your own. A move is one of those that the game's mask allows.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from palaestra.envs.adapters.foreign import Foreign, known, library, made
from palaestra.envs.script import Script


class Words(NamedTuple):
    """How a game is put into words."""

    rules: str
    tell: Callable[[Any, str, Any], str]
    """(the bare environment, agent, observation without its mask) -> text."""
    move: Callable[[Any, str, int], str]
    """(the bare environment, agent, action) -> its words, such as `drop 3`."""
    options: dict[str, Any] = {}


def _marks(planes: Any) -> str:
    """A board of two planes, own stones first, row by row."""
    rows = [["x" if mine else "o" if theirs else "." for mine, theirs in row] for row in planes]
    return " / ".join(" ".join(row) for row in rows)


def _square(env: Any, agent: str, action: int) -> str:
    return f"place {action % 3 + 1}-{action // 3 + 1}"


def _throw(env: Any, agent: str, observation: Any) -> str:
    last = ("rock", "paper", "scissors", None)[int(observation)]
    return f"Your opponent played {last}." if last else "Nobody has played yet."


def _leduc(env: Any, agent: str, observation: Any) -> str:
    mine, public = observation[:3].argmax(), observation[3:6]
    shown = "JQK"[public.argmax()] if public.any() else "not dealt yet"
    chips, theirs = observation[6:21].argmax(), observation[21:36].argmax()
    return f"Your card is {'JQK'[mine]}. The public card is {shown}. You have put in {chips}, your opponent {theirs}."


def _texas(env: Any, agent: str, observation: Any) -> str:
    names = [f"{rank}{suit}" for suit in "shdc" for rank in "A23456789TJQK"]
    cards = [names[i] for i in range(52) if observation[i]]
    raises = [str(observation[52 + 5 * r : 57 + 5 * r].argmax()) for r in range(4)]
    return f"Cards that you see, your two and the public ones: {' '.join(cards)}. Raises by round: {' '.join(raises)}."


def _chess(env: Any, agent: str, observation: Any) -> str:
    return f"You are {'white' if env.agents.index(agent) == 0 else 'black'}. Position (FEN): {env.board.fen()}"


def _uci(env: Any, agent: str, action: int) -> str:
    utils = library("pettingzoo.classic.chess.chess_utils", "classic")
    return f"move {utils.action_to_move(env.board, action, env.possible_agents.index(agent)).uci()}"


_POKER = ("call", "raise", "fold", "check")
GAMES = {
    "tictactoe_v3": Words(
        "Tic-tac-toe. You are x. Place on row-column.", lambda env, a, o: f"Board {_marks(o)}", _square
    ),
    "connect_four_v3": Words(
        "Connect four on 6 rows and 7 columns. You are x. Drop into a column, 0 to 6.",
        lambda env, a, o: f"Board, top row first: {_marks(o)}",
        lambda env, a, action: f"drop {action}",
    ),
    "rps_v2": Words(
        "Rock, paper, scissors, 15 times.", _throw, lambda env, a, action: ("rock", "paper", "scissors")[action]
    ),
    "leduc_holdem_v4": Words(
        "Leduc hold'em: J, Q, K twice; a card each and a public one, two rounds of bets. A pair wins, else the higher.",
        _leduc,
        lambda env, a, action: _POKER[action],
    ),
    "texas_holdem_v4": Words("Limit Texas hold'em for two.", _texas, lambda env, a, action: _POKER[action]),
    "chess_v6": Words("Chess. Moves are in UCI form, such as e2e4.", _chess, _uci),
}


class Classic(Foreign):
    """A classic game of PettingZoo, told in words."""

    game: ClassVar[str] = ""

    def script(self, rng: random.Random) -> Script:
        words = GAMES[self.game]
        env = library(f"pettingzoo.classic.{self.game}", "classic").env(**words.options)
        env.reset(seed=rng.getrandbits(31))
        bare, moves, cut = env.unwrapped, [], False
        paid = dict.fromkeys(self.seats, 0.0)
        while env.agents:
            seat = env.agent_selection
            observation, reward, ended, truncated, _ = env.last()
            if reward:
                self.reward({seat: float(reward)})
                paid[seat] += float(reward)
            if ended or truncated:
                cut |= truncated
                env.step(None)
                continue
            mask = observation["action_mask"] if isinstance(observation, dict) else [1] * env.action_space(seat).n
            seen = observation["observation"] if isinstance(observation, dict) else observation
            legal = {words.move(bare, seat, action): action for action, allowed in enumerate(mask) if allowed}
            self.tell(words.tell(bare, seat, seen), to=seat)
            move = yield self.turn(seat, *legal)
            said = " ".join((str(move.verb), *move.args))
            moves.append(f"{seat}: {said}")
            env.step(legal[said])
        for seat in self.seats:
            self.reveal(f"The game is over. You get {paid[seat]:g}.", to=seat)
        self.outcome(returns=paid, moves=moves, truncated=bool(cut))


def member(name: str) -> type[Classic]:
    """The class of a game."""
    known(name, "pettingzoo", list(GAMES))
    agents = library(f"pettingzoo.classic.{name}", "classic").env().possible_agents
    return made(Classic, f"pettingzoo/{name}", game=name, seats=tuple(agents), rules=GAMES[name].rules)
