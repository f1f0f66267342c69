"""What happened in an episode, as data: a seed and the events that followed from it.

An event is a small tagged array, so a record is readable by hand: `["told", ["buyer_0"], "The item ..."]`.
`said`, `probe` and `effect` are the answers that came from outside; everything else follows from them and the
seed, which is why replay needs nothing more (and can check everything else).
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Event(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=str.lower):
    pass


class Told(_Event, frozen=True):
    """`text` went to the seats in `to`."""

    to: tuple[str, ...]
    text: str


class Revealed(_Event, frozen=True):
    """A telling that may depend on facts which the receivers did not hold (a showdown, a verdict)."""

    to: tuple[str, ...]
    text: str


class Said(_Event, frozen=True):
    """A seat's raw reply to a turn, cut at `max_chars`."""

    seat: str
    text: str


class Malformed(_Event, frozen=True):
    """The reply before was no legal move."""

    seat: str


class Defaulted(_Event, frozen=True):
    """No legal move after all retries: the turn's default was played for the seat."""

    seat: str


class Forfeited(_Event, frozen=True):
    """No legal move after all retries, and the turn had no default."""

    seat: str


class Probe(_Event, frozen=True):
    """A question asked aside; `answer` is None where nobody could serve it. In no seat's view."""

    seat: str
    question: str
    answer: str | None


class Effect(_Event, frozen=True):
    """A tool call: `key` is `name:count`; `result` is plain JSON data."""

    key: str
    args: list[Any]
    result: Any


class Paid(_Event, frozen=True):
    """Reward for a seat, in the environment's own unit."""

    seat: str
    amount: float


class Outcome(_Event, frozen=True):
    """Gold facts, computed by the environment's program."""

    facts: dict[str, Any]


class Out(_Event, frozen=True):
    """The seat has left for good."""

    seat: str


class Secret(_Event, frozen=True):
    """Private facts: `parts` maps each holder to what it knows of them."""

    name: str
    parts: dict[str, Any]


class Noted(_Event, frozen=True):
    """Facts for the referee alone: scripted oracles and the viewer may read them, no seat is told."""

    facts: dict[str, Any]


class Instance(_Event, frozen=True):
    """The identity of a generated item (task, passage, price pair) that this episode is about."""

    key: str


Event = (
    Told | Revealed | Said | Malformed | Defaulted | Forfeited | Probe | Effect | Paid | Outcome | Out | Secret
    | Noted | Instance
)  # fmt: skip
Answer = (Said, Probe, Effect)


class Transcript(msgspec.Struct):
    """One episode of an environment. `env` is a registered id or `module:Class`."""

    env: str
    params: dict[str, Any]
    seed: int
    events: list[Event]

    def answers(self) -> list[tuple[str, Any]]:
        """What came from outside, in order: (seat or effect key, reply)."""
        out: list[tuple[str, Any]] = []
        for e in self.events:
            if isinstance(e, Said):
                out.append((e.seat, e.text))
            elif isinstance(e, Probe):
                out.append((e.seat, e.answer))
            elif isinstance(e, Effect):
                out.append((e.key, e.result))
        return out

    def returns(self) -> dict[str, float]:
        """Sum of rewards by seat; a seat that was never paid is missing."""
        total: dict[str, float] = {}
        for e in self.events:
            if isinstance(e, Paid):
                total[e.seat] = total.get(e.seat, 0.0) + e.amount
        return total

    def outcome(self) -> dict[str, Any]:
        """All gold facts; a later report of the same fact replaces an earlier one."""
        return {k: v for e in self.events if isinstance(e, Outcome) for k, v in e.facts.items()}

    def count(self, kind: type[Malformed] | type[Defaulted] | type[Forfeited], seat: str) -> int:
        """How often `seat` was malformed, defaulted or forfeited."""
        return sum(isinstance(e, kind) and e.seat == seat for e in self.events)

    def view(self, seat: str) -> list[tuple[str, str]]:
        """All that `seat` has been told and has said, as ("told" | "said", text)."""
        return view(self.events, seat)


def view(events: list[Event], seat: str) -> list[tuple[str, str]]:
    """All that `seat` has been told and has said in `events`, as ("told" | "said", text)."""
    seen: list[tuple[str, str]] = []
    for e in events:
        if isinstance(e, Told | Revealed):
            if seat in e.to:
                seen.append(("told", e.text))
        elif isinstance(e, Said) and e.seat == seat:
            seen.append(("said", e.text))
    return seen
