"""Rows: what the learner trains on, made from the record of an episode without re-tokenising anything.

A `TokenRow` is a sequence of tokens with a mask over those that the policy sampled. A `ChoiceRow` is one draw among
legal actions that all follow the same prefix; the whole draw is one unit. A `ValueRow` asks a value head for numbers
at some positions. Equal rows can be merged exactly: positive and negative advantages are summed apart, because a
clipped objective treats the two signs differently.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from palaestra.agents.episode import Episode, PolicyRef, Trajectory
from palaestra.errors import RecordError


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A sequence and its trained tokens. Make it with `TokenRow.of`, which splits the advantages by sign.

    `mask` has one entry a token, True where it is trained; `behavior`, `positive` and `negative` have one entry a
    trained token. An empty `behavior` means unknown (demonstrations): the ratio to it is then 1 by definition.
    `weight` counts how many equal rows this one stands for; `positive` and `negative` are sums over them.
    """

    policy: str
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    behavior: tuple[float, ...]
    positive: tuple[float, ...]
    negative: tuple[float, ...]
    weight: float = 1.0

    @classmethod
    def of(
        cls,
        policy: str,
        ids: Sequence[int],
        mask: Sequence[bool],
        behavior: Sequence[float] = (),
        advantages: Sequence[float] | float = 1.0,
        weight: float = 1.0,
    ) -> TokenRow:
        """A row from advantages, one a trained token or one for all (1, the default, is supervised cloning).

        Raises:
            RecordError: lengths differ, or the first token is trained (nothing precedes it).
        """
        trained = sum(map(bool, mask))
        each = [float(advantages)] * trained if isinstance(advantages, int | float) else list(map(float, advantages))
        if len(mask) != len(ids) or len(each) != trained or len(behavior) not in (0, trained):
            raise RecordError(
                f"row of {policy}: {len(ids)} ids, mask of {len(mask)}, {trained} trained tokens, "
                f"{len(each)} advantages, {len(behavior)} log-probabilities\n"
                "  one mask entry an id, the rest one a trained token"
            )
        if trained and mask[0]:
            raise RecordError(f"row of {policy}: its first token is trained\n  a trained token needs one before it")
        positive = tuple(weight * max(a, 0.0) for a in each)
        negative = tuple(weight * min(a, 0.0) for a in each)
        return cls(policy, tuple(ids), tuple(map(bool, mask)), tuple(behavior), positive, negative, weight)

    @property
    def trained(self) -> int:
        """Number of trained tokens."""
        return len(self.positive)


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One draw among candidates that each follow `prefix`. Make it with `ChoiceRow.of`.

    `behavior` is the normalized log-probability of the chosen candidate as drawn. With `chosen = -1` nothing was
    drawn: the row has no policy-gradient part and only serves entropy and KL over the legal actions.
    """

    policy: str
    prefix: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]
    chosen: int
    behavior: float
    positive: float
    negative: float
    weight: float = 1.0
    divisors: tuple[float, ...] = ()
    """What the sum of each candidate's token log-probabilities is divided by before they are normalized; empty: 1."""

    @classmethod
    def of(
        cls,
        policy: str,
        prefix: Sequence[int],
        candidates: Sequence[Sequence[int]],
        chosen: int = -1,
        behavior: float = math.nan,
        advantage: float = 0.0,
        weight: float = 1.0,
        divisors: Sequence[float] = (),
    ) -> ChoiceRow:
        """A row from one advantage. A `behavior` of nan means unknown.

        Raises:
            RecordError: no prefix, an empty candidate, `chosen` is none of them, or not one divisor each.
        """
        sane = prefix and candidates and all(candidates) and -1 <= chosen < len(candidates)
        if not sane or len(divisors) not in (0, len(candidates)):
            raise RecordError(
                f"choice of {policy}: prefix of {len(prefix)} tokens, {len(candidates)} candidates, chosen {chosen}\n"
                "  candidates are not empty and follow at least one token"
            )
        kept = tuple(tuple(c) for c in candidates)
        advantage = advantage if chosen >= 0 else 0.0
        pos, neg = weight * max(advantage, 0.0), weight * min(advantage, 0.0)
        return cls(policy, tuple(prefix), kept, chosen, behavior, pos, neg, weight, tuple(divisors))

    @property
    def trained(self) -> int:
        """1 where an action was drawn, else 0."""
        return int(self.chosen >= 0)


@dataclass(frozen=True, slots=True)
class ValueRow:
    """Positions of a sequence where a value head predicts, and what it should have said.

    `ids` may be any view: the seat's own, or for a central critic everything that all seats were told.
    `targets` may be empty where values are only read.
    """

    policy: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[float, ...] = ()
    weight: float = 1.0

    @property
    def trained(self) -> int:
        """0: its positions are counted apart from trained units."""
        return 0


Row = TokenRow | ChoiceRow | ValueRow


def rows_of(
    trajectory: Trajectory, advantages: Sequence[float] | float, *, norm: Literal["sum", "token"] = "sum"
) -> list[Row]:
    """The rows of one trajectory.

    At most one `TokenRow` holds the freely sampled tokens of all turns; every recorded choice gives a `ChoiceRow`.
    Tokens of a reply that was drawn as a choice are not trained a second time as tokens. What follows the last
    trained token is cut off: nothing depends on it.

    Args:
        trajectory: as recorded.
        advantages: one a turn of the seat (indexed by `Span.turn`), or one for all.
        norm: how the policy weighed candidates: by their log-probability, or by its mean over their tokens.
    """
    policy = PolicyRef.parse(trajectory.policy).name
    at = (lambda turn: advantages) if isinstance(advantages, int | float) else advantages.__getitem__
    drawn = {c.turn for c in trajectory.choices if c.chosen >= 0}
    ids: list[int] = []
    mask: list[bool] = []
    behavior: list[float] = []
    each: list[float] = []
    for span in trajectory.spans:
        trained = span.origin == "sampled" and span.turn not in drawn
        ids += span.ids
        mask += [trained] * len(span.ids)
        if trained and span.ids:
            behavior += span.logprobs
            each += [float(at(span.turn))] * len(span.ids)
    rows: list[Row] = []
    if each:
        end = len(mask) - mask[::-1].index(True)
        rows.append(TokenRow.of(policy, ids[:end], mask[:end], behavior, each))
    for c in trajectory.choices:
        prefix = ids[: c.position]
        lengths = [float(len(ids)) for ids in c.candidates] if norm == "token" else []
        drawn_at, advantage = (c.logprobs[c.chosen], float(at(c.turn))) if c.chosen >= 0 else (math.nan, 0.0)
        rows.append(ChoiceRow.of(policy, prefix, c.candidates, c.chosen, drawn_at, advantage, divisors=lengths))
    return rows


def seat_rows(episode: Episode, seat: str, advantages: Sequence[float] | float) -> list[Row]:
    """The rows of all trajectories of one seat: `rows_of` each."""
    return [row for t in episode.trajectories if t.seat == seat for row in rows_of(t, advantages)]


def turn_positions(trajectory: Trajectory) -> dict[int, int]:
    """For each turn in the trajectory, the index of the last token before the seat's reply (where a value is read)."""
    out: dict[int, int] = {}
    count = 0
    for span in trajectory.spans:
        if span.origin != "told" and span.turn not in out and count:
            out[span.turn] = count - 1
        count += len(span.ids)
    return out


def value_row(trajectory: Trajectory, targets: Mapping[int, float] | None = None) -> ValueRow:
    """A row that reads a value before each turn of the trajectory, in order of turns; targets are by turn."""
    at = turn_positions(trajectory)
    asked = () if targets is None else tuple(targets[turn] for turn in at)
    ids = trajectory.ids()[: max(at.values(), default=-1) + 1]
    return ValueRow(PolicyRef.parse(trajectory.policy).name, tuple(ids), tuple(at.values()), asked)


def merge(rows: Iterable[Row]) -> list[Row]:
    """Rows with equal ones summed, in the order of first occurrence.

    Equal means the same tokens, the same trained ones and the same behavior log-probabilities, bit for bit, so that
    every objective that is a sum over units gives the same value and gradient. (Rows that differ only in their
    behavior stay apart, but the learner still computes their tokens once.)
    """
    kept: dict[object, Row] = {}
    for row in rows:
        if isinstance(row, TokenRow):
            key: object = (TokenRow, row.policy, row.ids, row.mask, row.behavior)
        elif isinstance(row, ChoiceRow):
            behavior = None if math.isnan(row.behavior) else row.behavior  # nan is not equal to itself
            key = (ChoiceRow, row.policy, row.prefix, row.candidates, row.chosen, behavior, row.divisors)
        else:
            key = (ValueRow, row.policy, row.ids, row.positions, row.targets)
        kept[key] = _sum(kept[key], row) if key in kept else row
    return list(kept.values())


def _sum(a: Row, b: Row) -> Row:
    weight = a.weight + b.weight
    if isinstance(a, TokenRow) and isinstance(b, TokenRow):
        positive = tuple(x + y for x, y in zip(a.positive, b.positive, strict=True))
        negative = tuple(x + y for x, y in zip(a.negative, b.negative, strict=True))
        return replace(a, positive=positive, negative=negative, weight=weight)
    if isinstance(a, ChoiceRow) and isinstance(b, ChoiceRow):
        return replace(a, positive=a.positive + b.positive, negative=a.negative + b.negative, weight=weight)
    return replace(a, weight=weight)


class UnitCounts(NamedTuple):
    """What losses are divided by, over the whole batch of a step (all micro-batches, all calls)."""

    trained: float = 0.0
    """Trained tokens and drawn actions; with reduction "mean", rows that have any."""
    legal: float = 0.0
    """Distributions over legal actions."""
    value: float = 0.0
    """Positions with a value target."""


def count_units(rows: Iterable[Row], reduction: str = "sum") -> UnitCounts:
    """The divisors for these rows; pass it to every `forward_backward` call of one step.

    Each term of a loss has its own divisor, so that adding units of one kind never dilutes another.
    """
    trained = legal = value = 0.0
    for row in rows:
        units = min(row.trained, 1) if reduction == "mean" else row.trained
        trained += row.weight * units
        legal += row.weight * isinstance(row, ChoiceRow)
        if isinstance(row, ValueRow):
            value += row.weight * len(row.targets)
    return UnitCounts(trained, legal, value)
