"""Environments written as their authors would, without anything of palaestra."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.spaces import Dict, Text
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers

LETTERS = "abcdefghijklmnopqrstuvwxyz "


class WordChain(AECEnv[str, dict[str, str], str]):
    """Each word must begin with the last letter of the one before; who breaks the chain is out."""

    metadata = {"name": "word_chain_v0"}

    def __init__(self, players: int = 3, rounds: int = 2) -> None:
        self.possible_agents = [f"player_{i}" for i in range(players)]
        self.rounds = rounds
        self.observation_spaces = {a: Dict(text=Text(1000)) for a in self.possible_agents}
        self.action_spaces = {a: Text(12, min_length=1, charset=LETTERS) for a in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.agents = self.possible_agents[:]
        self.word = LETTERS[(seed or 0) % 26]
        self.turns = 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {a: {} for a in self.agents}
        self.agent_selection = self.agents[0]

    def observe(self, agent: str) -> dict[str, str]:
        return {"text": f"The last word was {self.word!r}."}

    def step(self, action: str) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        live = [a for a in self.agents if not self.terminations[a]]
        after = live[(live.index(agent) + 1) % len(live)]
        ok = action.startswith(self.word[-1])
        self.rewards = {a: (1.0 if ok else -1.0) if a == agent else 0.0 for a in self.agents}
        self.terminations[agent] = not ok
        if ok:
            self.word = action
        self.turns += 1
        if len([a for a in live if not self.terminations[a]]) < 2:
            self.terminations = dict.fromkeys(self.agents, True)
        elif self.turns == self.rounds * len(self.possible_agents):
            self.truncations = dict.fromkeys(self.agents, True)
        self._accumulate_rewards()
        self.agent_selection = after
        self._deads_step_first()


def wrapped_chain() -> Any:
    return wrappers.OrderEnforcingWrapper(WordChain(players=2, rounds=1))


class Chorus(ParallelEnv[str, str, str]):
    """Both sing the same word, or the longer singer leaves with a point."""

    metadata = {"name": "chorus_v0"}

    def __init__(self, rounds: int = 3) -> None:
        self.possible_agents = ["alto_0", "tenor_0", "bass_0"]
        self.rounds = rounds

    def observation_space(self, agent: str) -> Any:
        return Text(100)

    def action_space(self, agent: str) -> Any:
        return Text(100)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.agents, self.round = self.possible_agents[:], 0
        return {a: f"Sing, {a}. Key {seed}." for a in self.agents}, {a: {} for a in self.agents}

    def step(self, actions: dict[str, str]) -> Any:
        self.round += 1
        over = self.round == self.rounds
        longest = max(self.agents, key=lambda a: len(actions[a]))
        leaves = {a: a == longest and len(set(actions.values())) > 1 for a in self.agents}
        agents = self.agents
        self.agents = [] if over else [a for a in agents if not leaves[a]]
        return (
            {a: "Heard: " + " ".join(actions.values()) for a in agents},
            {a: 1.0 if leaves[a] else 0.5 for a in agents},
            leaves,
            {a: over and not leaves[a] for a in agents},
            {a: {"outcome": {"rounds": self.round}} for a in agents},
        )


class Riddle(gymnasium.Env[str, str]):
    """Guess a number, told high or low."""

    def __init__(self, limit: int = 10, tries: int = 4) -> None:
        self.limit, self.tries = limit, tries
        self.observation_space = Text(100)
        self.action_space = Text(20, min_length=0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.secret = int(self.np_random.integers(self.limit))
        self.left = self.tries
        return f"Guess a number below {self.limit}.", {}

    def step(self, action: str) -> Any:
        self.left -= 1
        guess = int(action) if action.isdecimal() else -1
        right = guess == self.secret
        text = "Right." if right else "Too low." if guess < self.secret else "Too high."
        return text, float(right), right, self.left == 0, {"outcome": {"right": right, "tries": self.tries - self.left}}


class Counter(gymnasium.Env[int, int]):
    """Not text: numbers in and out."""

    observation_space = gymnasium.spaces.Discrete(100)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.sum = 0
        return 0, {}

    def step(self, action: int) -> Any:
        self.sum += action
        return self.sum, float(action), self.sum > 4, False, {}
