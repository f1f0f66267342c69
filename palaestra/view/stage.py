"""An episode as HTML: who was told what and who said what, and beside it what no seat is told.

Every part carries `data-seats`, the seats that know it; the page's script takes out what the chosen seat does not. All
text of models and environments goes through `text`: control characters out, markup escaped.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from palaestra.agents.episode import Episode
from palaestra.envs import transcript as record
from palaestra.view.chart import number

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Terminal sequences: they go as a whole, so that `ESC [31m` leaves no `[31m` behind."""


def plain(value: object) -> str:
    """A value as text without control characters: no terminal sequences, no bidirectional overrides, no surrogates."""
    cleaned = _ESCAPES.sub("", str(value)).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in cleaned if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def text(value: object) -> str:
    """A value as HTML text, safe inside an element or a quoted attribute."""
    return escape(plain(value))


def fact(value: Any) -> str:
    """A plain JSON value in words: lists with commas, tables as `key value`, numbers short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(fact, value)) or "none"
    if isinstance(value, dict):
        return " · ".join(f"{k} {fact(v)}" for k, v in value.items()) or "none"
    return "none" if value is None else str(value)


def signed(value: float) -> str:
    """A reward with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def stage(episode: Episode, heading: str, seats: Sequence[str]) -> str:
    """One `<article>`: heading, cast, the events in order, and the lanes. `seats` fixes the seats' colors."""
    cast = " · ".join(
        f'<span class="seat {tone(seats, s)}">{text(s)}</span> {text(who)}' for s, who in episode.cast.items()
    )
    rows = "".join(_rows(episode.transcript.events, seats))
    return (
        f'<article class="stage"><h3>{text(heading)}</h3><p class="cast">{cast}</p>'
        f'<ol class="events">{rows}</ol>{_lanes(episode, seats)}</article>'
    )


def tone(seats: Sequence[str], seat: str) -> str:
    """The color class of a seat."""
    return f"c{seats.index(seat) % 7}" if seat in seats else "ref"


def _rows(events: Iterable[record.Event], seats: Sequence[str]) -> Iterable[str]:
    for event in events:
        if isinstance(event, record.Said):
            yield _row("said", [event.seat], _name(event.seat, seats), event.text)
        elif isinstance(event, record.Told):
            yield _row("told", event.to, _receivers(event.to, seats, "to"), event.text)
        elif isinstance(event, record.Revealed):
            yield _row("told", event.to, _receivers(event.to, seats, "revealed to"), event.text)
        elif isinstance(event, record.Malformed):
            yield _row("mark", [event.seat], _name(event.seat, seats), "no legal move")
        elif isinstance(event, record.Defaulted):
            yield _row("mark", [event.seat], _name(event.seat, seats), "the default move was played for it")
        elif isinstance(event, record.Forfeited):
            yield _row("mark", [event.seat], _name(event.seat, seats), "forfeited")
        elif isinstance(event, record.Out):
            yield _row("mark", [event.seat], _name(event.seat, seats), "left for good")
        elif isinstance(event, record.Secret):
            for seat, part in event.parts.items():
                yield _row("secret", [seat], f"secret of {_name(seat, seats)}", f"{event.name}: {fact(part)}")
        elif isinstance(event, record.Noted):
            yield _row("secret", [], "referee", fact(event.facts))
        elif isinstance(event, record.Probe):
            asked = f"{event.question}\n→ {'no answer' if event.answer is None else event.answer}"
            yield _row("aside", [], f"probe of {_name(event.seat, seats)}", asked)
        elif isinstance(event, record.Effect):
            call = f"{event.key.partition(':')[0]}({', '.join(map(fact, event.args))})\n→ {fact(event.result)}"
            yield _row("aside", [], "tool", call)


def _row(kind: str, knows: Sequence[str], who: str, said: str) -> str:
    """One event. `who` is HTML, `said` is not."""
    return (
        f'<li class="{kind}" data-seats="{text(json.dumps(list(knows)))}">'
        f'<span class="who">{who}</span><div class="words">{text(said) or "(nothing)"}</div></li>'
    )


def _name(seat: str, seats: Sequence[str]) -> str:
    return f'<span class="seat {tone(seats, seat)}">{text(seat)}</span>'


def _receivers(to: Sequence[str], seats: Sequence[str], verb: str) -> str:
    if len(to) > 1 and set(to) >= set(seats):
        return f"{verb} everyone"
    return f"{verb} " + ", ".join(_name(s, seats) for s in to)


def _lanes(episode: Episode, seats: Sequence[str]) -> str:
    """Reward, signals and gold outcome, apart. No seat is told any of them."""

    def by_seat(values: dict[str, float]) -> str:
        return "<br>".join(f"{_name(s, seats)} <b>{signed(v)}</b>" for s, v in values.items())

    scores = "<br>".join(f"<i>{text(name)}</i><br>{by_seat(values)}" for name, values in episode.scores.items())
    gold = "<br>".join(f"<i>{text(k)}</i> {text(fact(v))}" for k, v in episode.outcome.items())
    lanes = {"reward": by_seat(episode.returns), "signals": scores, "gold outcome": gold}
    if episode.failure:
        lanes["broke off"] = text(f"{episode.failure.boundary}: {episode.failure.message}")
    cells = (
        f'<div class="lane"><dt>{name}</dt><dd data-seats="[]">{value or "none"}</dd></div>'
        for name, value in lanes.items()
    )
    return f'<dl class="lanes">{"".join(cells)}</dl>'
