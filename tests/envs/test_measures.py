"""Measures of societies, by hand."""

from __future__ import annotations

import pytest

from palaestra.envs.common.measures import correlation, equality, gini, reciprocity, share


def test_gini_is_zero_for_equal_shares_and_undefined_for_none() -> None:
    assert gini([3, 3, 3]) == 0
    assert gini([0, 0, 0, 0, 5]) == pytest.approx(0.8)
    assert gini([0, 0]) is None


def test_equality_is_one_for_equal_shares_and_a_part_of_n_where_one_has_all() -> None:
    assert equality([3, 3, 3]) == 1
    assert equality([0, 0, 0, 0, 5]) == pytest.approx(0.2)
    assert equality([1, 3]) == pytest.approx(0.75)
    assert equality([0, 0]) is None


def test_a_share_of_nothing_is_undefined() -> None:
    assert share(n > 1 for n in (1, 2, 3, 4)) == 0.75
    assert share([]) is None


def test_correlation_is_undefined_where_nothing_varies() -> None:
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert correlation([1, 2, 3], [6, 4, 2]) == pytest.approx(-1)
    assert correlation([1, 2, 3, 4], [0, 1, 1, 0]) == pytest.approx(0)
    assert correlation([1, 2], [5, 5]) is None
    assert correlation([], []) is None


def test_reciprocity_is_one_where_each_gives_what_the_others_gave_before() -> None:
    assert reciprocity([[0, 4], [4, 0], [0, 4]]) == pytest.approx(1)
    assert reciprocity([[0, 4], [0, 4], [0, 4]]) == pytest.approx(-1)
    assert reciprocity([[0, 2, 4], [3, 2, 1]]) == pytest.approx(1)  # the others gave 3, 2, 1 on average
    assert reciprocity([[1, 2]]) is None
    assert reciprocity([[2, 2], [2, 2]]) is None
