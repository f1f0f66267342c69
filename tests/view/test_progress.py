"""The table of a run shows what is learned, by whom."""

from __future__ import annotations

import pytest

from palaestra.scenarios.scenario import Scenario
from palaestra.view.progress import Table, cell


def scenario(env: str, cast: dict[str, str]) -> Scenario:
    policies = {"learner": {"model": "tiny", "train": True}, "other": {"player": "greedy"}}
    return Scenario.parse({"env": env, "policies": policies, "cast": cast})


MEMBERS = [f"member_{n}" for n in range(4)]


@pytest.mark.parametrize(
    ("env", "cast", "title", "shown"),
    [
        ("public_goods", {**dict.fromkeys(MEMBERS, "other"), "member_2": "learner"}, "return", "+3.00"),
        ("public_goods", dict.fromkeys(MEMBERS, "learner"), "return", "+2.50"),
        ("haggle", {"buyer_0": "learner", "seller_0": "learner"}, "return buyer/seller", "+0.50/+0.25"),
        ("kuhn", {"player_0": "learner", "player_1": "learner"}, "return player_0", "+0.10"),
        ("kuhn", {"player_0": "other", "player_1": "learner"}, "return", "-0.10"),
    ],
)
def test_returns_are_those_of_the_seats_that_learn(env: str, cast: dict[str, str], title: str, shown: str) -> None:
    returns = {"buyer_0": 0.5, "seller_0": 0.25, "player_0": 0.1, "player_1": -0.1}
    returns |= {f"member_{n}": n + 1.0 for n in range(4)}
    table = Table(scenario(env, cast))
    column = table.columns[1]
    assert column.title == title
    assert cell(column, {f"return/{seat}": value for seat, value in returns.items()}) == shown
