"""Does a record agree with the rules? Play it again from its seed and its answers, run its tools again, and compare.

What seats answered is taken from the record. Everything else is computed anew: what was told, paid and found, and
the result of every tool call. Tokens and models are not involved.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import msgspec

from palaestra.agents.episode import Episode
from palaestra.agents.play import wait_for
from palaestra.envs.registry import env_class
from palaestra.envs.script import Request, ScriptedEnv
from palaestra.envs.transcript import Effect, Event, Outcome, Paid, Probe, Revealed, Said, Told
from palaestra.errors import EnvError, UnknownNameError

_WHAT: dict[type, str] = {
    Told: "told text",
    Revealed: "told text",
    Paid: "reward",
    Outcome: "outcome",
    Effect: "effect arguments",
}
_encoder = msgspec.json.Encoder(order="sorted")


class Difference(NamedTuple):
    """One place where the record and the rules disagree."""

    episode: str
    event: int
    """Index into the recorded events, from 0; for what the record lacks, where it belongs."""
    what: str
    """ "told text", "reward", "outcome", "effect result", "effect arguments", or another event's kind; "rules" or "end"
    where the environment would not go the way of the record."""
    recorded: str
    """The recorded event as JSON, or words; empty where the record has nothing."""
    recomputed: str

    def __str__(self) -> str:
        return (
            f"episode {self.episode}, event {self.event}: {self.what}\n"
            f"  recorded    {self.recorded or 'nothing'}\n  recomputed  {self.recomputed or 'nothing'}"
        )


def verify(episode: Episode, envs: dict[str, ScriptedEnv] | None = None) -> list[Difference]:
    """Where the record of an episode disagrees with its environment; empty where it agrees to the last event.

    Args:
        envs: environments that are used again from call to call; filled by this function.
    """
    envs = {} if envs is None else envs
    transcript = episode.transcript
    key = transcript.env + json.dumps(transcript.params, sort_keys=True)
    try:
        env = envs.setdefault(key, envs.get(key) or env_class(transcript.env)(**transcript.params))
    except (UnknownNameError, EnvError) as error:
        return [Difference(episode.id, 0, "rules", transcript.env, str(error).partition("\n")[0])]
    found = _replay(env, episode)
    # most records agree, and equal bytes prove that at once
    if _encoder.encode(transcript.events) != _encoder.encode(env.events):
        found += _compare(episode.id, transcript.events, env.events)
    return sorted(found, key=lambda difference: difference.event)


def verify_all(episodes: Iterable[Episode]) -> Iterator[tuple[Episode, list[Difference]]]:
    """Each episode with its differences, in order."""
    envs: dict[str, ScriptedEnv] = {}
    for episode in episodes:
        yield episode, verify(episode, envs)


def _replay(env: ScriptedEnv, episode: Episode) -> list[Difference]:
    """Drive `env` through the record; tools are run, but the recorded result is what goes on.

    Returns the effects whose results differ, and where the rules would not go the way of the record.
    """
    found: list[Difference] = []
    at = 0

    def differs(what: str, recorded: str, recomputed: str) -> None:
        found.append(Difference(episode.id, at, what, recorded, recomputed))

    try:
        env.start(episode.transcript.seed)
        for index, key, answer in _answers(episode.transcript.events):
            at = index
            request = env.waiting.get(key)
            if request is None:
                differs("rules", f"an answer of {key}", f"waits for {', '.join(env.waiting) or 'nobody: it is over'}")
                return found
            if request.kind == "effect":
                recorded, recomputed = _json(answer), _json(_run(request))
                if recorded != recomputed:
                    differs("effect result", recorded, recomputed)
            env.submit({key: answer})
        at = len(episode.transcript.events)
        if not env.over and not episode.failure:
            differs("end", "the episode is over", f"waits for {', '.join(env.waiting)}")
    except Exception as error:  # whatever a script raises is something to report about the record
        if not episode.failure:
            differs("rules", "no error", f"{type(error).__name__}: {error}")
    return found


def _run(request: Request) -> Any:
    """The result of an effect in the shape in which it is recorded."""
    result = request.run()
    if inspect.isawaitable(result):
        result = wait_for(_awaited(result))
    try:
        return json.loads(json.dumps(result))
    except (TypeError, ValueError) as error:
        return {"error": f"the result is no plain JSON data: {error}"}


async def _awaited(result: Any) -> Any:
    return await result


def _answers(events: list[Event]) -> Iterator[tuple[int, str, Any]]:
    """What came from outside: event number, seat or effect key, answer."""
    for index, event in enumerate(events):
        if isinstance(event, Said):
            yield index, event.seat, event.text
        elif isinstance(event, Probe):
            yield index, event.seat, event.answer
        elif isinstance(event, Effect):
            yield index, event.key, event.result


def _compare(episode: str, recorded: list[Event], recomputed: list[Event]) -> list[Difference]:
    """The events that differ, after the two lists have been aligned."""
    old, new = [_json(e) for e in recorded], [_json(e) for e in recomputed]
    found = []
    for op, i, i_end, j, j_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if op == "equal":
            continue
        for n in range(max(i_end - i, j_end - j)):
            left, right = i + n < i_end, j + n < j_end
            event = recorded[i + n] if left else recomputed[j + n]
            what = _WHAT.get(type(event), type(event).__name__.lower())
            at = min(i + n, i_end)
            found.append(Difference(episode, at, what, old[i + n] if left else "", new[j + n] if right else ""))
    return found


def _json(data: Any) -> str:
    """Data as the record writes it, keys sorted: what is live and what was read back become equal texts."""
    return _encoder.encode(data).decode()
