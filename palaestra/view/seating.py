"""From the words of a command line to people, players and trained policies in seats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from palaestra.agents.cast import split_cast
from palaestra.agents.policy import Cast, Policy, player
from palaestra.envs.script import ScriptedEnv
from palaestra.errors import CheckpointError, ScenarioError, nearest
from palaestra.view.terminal import human

if TYPE_CHECKING:
    from palaestra.agents.language import LanguagePolicy


def seating(
    env: ScriptedEnv, entries: Sequence[str], *, run: Path | None = None, default: Mapping[str, str] | None = None
) -> Cast:
    """A policy for every seat.

    Args:
        entries: `seat=who`, or who alone (for all seats, or one a seat in order). Who is `human`, a scripted player, or
            with `run` a policy of that run: `name` (its last version) or `name@version`.
        default: who sits where `entries` say nothing.

    Raises:
        ScenarioError: a seat is empty, or nobody has that name.
    """
    named = {**(default or {}), **split_cast(env.seats, entries)}
    if empty := [seat for seat in env.seats if seat not in named]:
        raise ScenarioError(f"{env.name()}: nobody sits in {', '.join(empty)}\n  --cast {empty[0]}=random, or =human")
    policies = _Policies(env, run)
    return {seat: policies.find(seat, named[seat]) for seat in env.seats}


class _Policies:
    """Looks up who is named; a run is opened only where one of its policies is asked for."""

    def __init__(self, env: ScriptedEnv, run: Path | None) -> None:
        self._env, self._run = type(env), run
        self._trained: dict[str, LanguagePolicy] | None = None

    def find(self, seat: str, who: str) -> Policy:
        if who.partition("+")[0] == "human":
            return human()
        name = who.removeprefix("player:")
        if name in self._env.players or name == "random":
            return player(self._env, name)
        known = ["human", "random", *self._env.players]
        if self._run is None:
            what = "a policy belongs to a run: give the run's directory" if "@" in who else nearest(who, known)
            raise ScenarioError(f"{seat}: nobody is called {who!r}\n  {what}")
        return self._of_run(self._run, seat, who, known)

    def _of_run(self, path: Path, seat: str, who: str, known: list[str]) -> Policy:
        from palaestra.agents.episode import PolicyRef
        from palaestra.scenarios.runs import find_version, open_run

        if self._trained is None:
            _, online, self.run = open_run(path)
            self._trained = online.speakers()
        name, at, _ = who.partition("@")
        policy = self._trained.get(name)
        if policy is None:
            raise ScenarioError(f"{seat}: nobody is called {who!r}\n  {nearest(name, [*known, *self._trained])}")
        if not at:
            return policy
        try:
            ref = PolicyRef.parse(who)
        except ValueError:
            raise ScenarioError(f"{seat}: {who!r} is no version\n  write {name}@0") from None
        return policy if ref == policy.ref else policy.at(find_version(self.run, str(ref)).version)


def run_of(path: Path) -> Path | None:
    """The run directory that a path is, or lies in."""
    return next((p for p in (path, *path.resolve().parents[:2]) if (p / "run.json").exists()), None)


def run_env(run: Path) -> tuple[ScriptedEnv, dict[str, str]]:
    """The environment of a run, and who sits where: trained policies at their last version, players as they are.

    Raises:
        CheckpointError: no run lies there.
    """
    from palaestra.scenarios.scenario import Scenario

    if not (run / "scenario.toml").exists():
        raise CheckpointError(f"{run}: no run here (no scenario.toml)")
    scenario = Scenario.load(run / "scenario.toml")
    cast = {}
    for seat in scenario.cast:
        name = scenario.seat(seat).policy
        cast[seat] = scenario.policies[name].player or name
    return scenario.make_env(), cast
