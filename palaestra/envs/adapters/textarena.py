"""TextArena's games: `textarena/KuhnPoker-v0`, `textarena/ConnectFour-v0`.

| fact | value |
|---|---|
| seats | `player_0` to `player_N` |
| turns | as the game has them |
| hidden | what the game hides: a seat is told the messages that TextArena sends it |
| reward | the game's own, paid at its end: -1 to 1 |
| gold outcome | rewards, turns, reason |
| needs | `palaestra[textarena]` |

A reply is passed on as it is; what is illegal is judged by the game, which asks once more and then ends. TextArena
draws from the process's global generators, so that two of its games disturb each other, and so does anybody else who
draws; here each episode has generators of its own. Only the games in `SEATS` are offered: those that begin without
downloads, keys or further packages, and repeat.
"""

from __future__ import annotations

import random
import re
from typing import Any, ClassVar

from palaestra.envs.adapters.foreign import Foreign, Globals, known, library, made
from palaestra.envs.script import Script

_GAMES = {
    1: (
        "2048 Bandit Blackjack Crosswords FifteenPuzzle FrozenLake GuessTheNumber LightsOut LogicPuzzle "
        "Mastermind Minesweeper PegJump RushHour Secretary Sokoban Sudoku ThreeCardMonte TowerOfHanoi"
    ),
    2: (
        "Alquerque Battleship Breakthrough Briscola Chopsticks ColonelBlotto ConnectFour Crusade "
        "GameOfPureStrategy GermanWhist Golf HighSociety IndianPoker IteratedMatchingPennies "
        "IteratedPrisonersDilemma IteratedRockPaperScissors IteratedTwoThirdsAverage IteratedUltimatumGame "
        "KuhnPoker LiarsDice LinesOfAction MarketEntryGame MemoryGame NewRecruit Nim Othello PigDice Poker "
        "PublicGoodsGame QuantumTicTacToe SantoriniBaseFixed SimpleBlindAuction SimpleNegotiation SimpleTak "
        "Snake SpiteAndMalice Stratego Surround Tak TicTacToe TruthAndDeception TwoDollar UltimateTicTacToe "
        "WildTicTacToe"
    ),
    3: ("ThreePlayerGOPS ThreePlayerIPD ThreePlayerTicTacToe"),
    4: ("SettlersOfCatan Taboo"),
    6: ("SecretMafia"),
}
SEATS = {f"{game}-v0": count for count, games in _GAMES.items() for game in games.split()}
"""Game -> the fewest seats that it can be played with. What is missing was tried, with TextArena 0.7.4, and needs data,
a key or another package, does not parse, or does not end."""


class TextArena(Foreign):
    """A game of TextArena."""

    game: ClassVar[str] = ""
    max_turns: ClassVar[int] = 500
    reward_range = (-1.0, 1.0)

    def script(self, rng: random.Random) -> Script:
        alone = Globals(str(rng.getrandbits(63)))
        with alone():
            env = library("textarena", "textarena").make(f"{self.game}-raw")
            env.reset(num_players=len(self.seats), seed=rng.getrandbits(31))
        done, turns = False, 0
        while not done and turns < self.max_turns:
            with alone():
                player, messages = env.get_observation()
            seat = self.seats[player]
            self.tell("\n".join(_line(m) for m in messages) or "It is your turn.", to=seat)
            move = yield self.turn(seat)
            turns += 1
            with alone():
                done, _ = env.step(move.raw)
        with alone():
            rewards, info = env.close() if done else ({}, {})
        paid = {seat: float(rewards.get(p, 0.0)) for p, seat in enumerate(self.seats)}
        self.reward({s: r for s, r in paid.items() if r})
        for player, seat in enumerate(self.seats):
            about = info.get(player, {}) if isinstance(info, dict) else {}
            self.reveal(f"The game is over. You get {paid[seat]:g}. {about.get('reason', '')}".strip(), to=seat)
        reasons = [i.get("reason", "") for i in info.values() if isinstance(i, dict)] if isinstance(info, dict) else []
        self.outcome(rewards=paid, turns=turns, reason=str(reasons[0]) if reasons else "turn limit")


def _line(message: Any) -> str:
    """A message as TextArena's own wrapper writes it: who says it, and what."""
    sender, text = message[0], message[1]
    return str(text) if sender < 0 else f"[Player {sender}] {text}"


def member(name: str) -> type[TextArena]:
    """The class of a game, by TextArena's own id (`KuhnPoker-v0`, `KuhnPoker-v0-long`) without the wrappers' ending."""
    arena = library("textarena.envs.registration", "textarena")
    count = SEATS[known(re.sub(r"(-v\d+).*", r"\1", name), "textarena", list(SEATS))]
    known(f"{name}-raw", "textarena", list(arena.ENV_REGISTRY))
    return made(TextArena, f"textarena/{name}", game=name, seats=tuple(f"player_{p}" for p in range(count)))
