"""Counting votes: pure functions of ballots. What happens to ties is said by the caller, never drawn here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence


def leaders(counts: Mapping[str, float]) -> list[str]:
    """The options with the highest count, in the order of `counts`; none where nothing is counted."""
    most = max(counts.values(), default=None)
    return [option for option, count in counts.items() if count == most]


def plurality(votes: Iterable[str], tie: Sequence[str] = ()) -> str | None:
    """The option with most votes. Of several, or without any vote, the first of them in `tie`; None where none is."""
    first = leaders(Counter(votes))
    if len(first) == 1:
        return first[0]
    return next((option for option in tie if not first or option in first), None)


def approval(ballots: Iterable[Collection[str]]) -> Counter[str]:
    """How many ballots approve of each option; a ballot counts once for each option on it."""
    return Counter(option for ballot in ballots for option in dict.fromkeys(ballot))


def condorcet(voters: Sequence[Mapping[str, float]]) -> str | None:
    """The option that beats every other one in a vote of two; None where there is none.

    Each voter says what every option is worth to it, and abstains between options of equal worth.
    """

    def beats(one: str, other: str) -> bool:
        lead = [voter[one] - voter[other] for voter in voters]
        return sum(x > 0 for x in lead) > sum(x < 0 for x in lead)

    options = list(voters[0])
    return next((o for o in options if all(beats(o, other) for other in options if other != o)), None)
