"""Counting votes, by hand."""

from __future__ import annotations

from palaestra.envs.common.votes import approval, condorcet, leaders, plurality


def test_leaders_are_all_that_have_most() -> None:
    assert leaders({"a": 1, "b": 3, "c": 3}) == ["b", "c"]
    assert leaders({"a": 0}) == ["a"]
    assert leaders({}) == []


def test_plurality_takes_the_most_votes_and_the_callers_order_in_a_tie() -> None:
    assert plurality(["a", "b", "b", "c"]) == "b"
    assert plurality(["a", "b"]) is None
    assert plurality(["a", "b"], tie=["c", "b", "a"]) == "b"  # c has no vote, so it is not among the first
    assert plurality(["a", "b"], tie=["c"]) is None
    assert plurality([]) is None
    assert plurality([], tie=["c", "a"]) == "c"


def test_approval_counts_a_ballot_once_for_each_option() -> None:
    assert approval([["a", "b"], ["b", "b"], []]) == {"a": 1, "b": 2}


def test_condorcet_winner_beats_everyone_in_pairs() -> None:
    # b is nobody's last and only one voter's first, and beats both others two to one
    voters = [{"a": 3, "b": 2, "c": 1}, {"c": 3, "b": 2, "a": 1}, {"b": 3, "a": 2, "c": 1}]
    assert condorcet(voters) == "b"


def test_condorcet_paradox_has_no_winner() -> None:
    assert condorcet([{"a": 3, "b": 2, "c": 1}, {"b": 3, "c": 2, "a": 1}, {"c": 3, "a": 2, "b": 1}]) is None


def test_condorcet_voters_abstain_between_equals() -> None:
    assert condorcet([{"a": 1, "b": 1}, {"a": 2, "b": 1}]) == "a"
    assert condorcet([{"a": 2, "b": 1}, {"a": 1, "b": 2}]) is None
    assert condorcet([{"a": 1}]) == "a"
