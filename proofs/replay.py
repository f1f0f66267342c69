"""A thousand recorded episodes of all environments agree with the rules, and every planted difference is found.

`verify` runs the environment and the effects again and compares every told text, reward, outcome and effect result.
"""

from __future__ import annotations

import copy
import sys
import time
from typing import Any

import msgspec

from palaestra.agents.episode import Episode
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import player
from palaestra.agents.verify import verify
from palaestra.envs.registry import BUILTIN, env_class
from palaestra.envs.transcript import Effect, Outcome, Paid, Told
from proofs.common import table, write

EPISODES = 1000


def main() -> None:
    """Record, verify, plant, find."""
    rows, planted = [], []
    for number, name in enumerate(BUILTIN):
        count = EPISODES // len(BUILTIN) + (number < EPISODES % len(BUILTIN))
        episodes = record(name, count)
        began = time.perf_counter()
        wrong = sum(bool(verify(e)) for e in episodes)
        rows.append((name, count, wrong, f"{time.perf_counter() - began:.1f}"))
        print("  ", *rows[-1], flush=True)
        planted += [(name, kind, found) for kind, found in plants(episodes)]
    total, wrong = sum(r[1] for r in rows), sum(r[2] for r in rows)
    missed = [p for p in planted if not p[2]]
    text = f"""# Replay

{__doc__}
{total} episodes, {wrong} with a difference; {len(planted)} planted differences, {len(planted) - len(missed)} found.

{table(("environment", "episodes", "with a difference", "seconds"), rows)}

{table(("environment", "planted in", "found"), [(n, k, "yes" if f else "NO") for n, k, f in planted])}
"""
    write("replay", {"environments": [list(r) for r in rows], "planted": [list(p) for p in planted]}, text)
    if wrong or missed or total < EPISODES:
        sys.exit(1)


def record(name: str, count: int) -> list[Episode]:
    """Episodes by scripted players, over the levels, each seat's player drawn by number."""
    env = env_class(name)
    players = sorted(env.players) or ["random"]
    jobs = []
    for i in range(count):
        params: dict[str, Any] = {"level": env.levels[i % len(env.levels)]}
        cast = {s: player(env, players[(i + k) % len(players)]) for k, s in enumerate(env(**params).seats)}
        jobs.append(Job(name, params, dict(cast), i, f"{name}-{i}"))
    episodes = wait_for(rollout(jobs))
    assert not any(e.failure for e in episodes), next(e.failure for e in episodes if e.failure)
    return episodes


def plants(episodes: list[Episode]) -> list[tuple[str, bool]]:
    """For each kind of event that the environment has: whether a change planted in one is found."""
    out = []
    for kind in (Told, Paid, Outcome, Effect):
        for episode in episodes:
            places = [i for i, e in enumerate(episode.transcript.events) if type(e) is kind]
            if places:
                out.append((kind.__name__.lower(), bool(verify(changed(episode, places[-1])))))
                break
    return out


def changed(episode: Episode, place: int) -> Episode:
    """A copy of the episode with one event changed."""
    copied = copy.deepcopy(episode)
    event = copied.transcript.events[place]
    if isinstance(event, Told):
        event = msgspec.structs.replace(event, text=event.text + " ")
    elif isinstance(event, Paid):
        event = msgspec.structs.replace(event, amount=event.amount + 0.5)
    elif isinstance(event, Outcome):
        event = msgspec.structs.replace(event, facts={**event.facts, "planted": 1})
    elif isinstance(event, Effect):
        event = msgspec.structs.replace(event, result={"planted": 1})
    copied.transcript.events[place] = event
    return copied


if __name__ == "__main__":
    main()
