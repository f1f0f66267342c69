"""Pool, matchmaking and payoff table."""

import json
import math
import random
from collections import Counter

import pytest

from palaestra.agents.episode import Episode, PolicyRef
from palaestra.alignment.league import Interval, League, Payoff, wilson
from palaestra.envs.transcript import Paid, Transcript
from palaestra.errors import ScenarioError

PRESENT = {"player_0": "learner@40", "player_1": "learner@40"}


def pooled(**settings):
    league = League(["learner"], **settings)
    for version in (5, 10, 15):
        league.add(PolicyRef("learner", version))
    return league


def test_mirror_seats_the_present_version_everywhere():
    assert pooled().casts(6, PRESENT, random.Random(0)) == [PRESENT] * 6


def test_uniform_seats_past_selves_in_a_share_of_the_groups_and_alternates_the_seat():
    casts = pooled(matchmaking="uniform", share=0.5).casts(12, PRESENT, random.Random(0))
    past = [next((s for s in cast if cast[s] != PRESENT[s]), None) for cast in casts]
    assert past == [None, "player_0", None, "player_1"] * 3
    drawn = {cast[s] for cast, s in zip(casts, past, strict=True) if s}
    assert drawn <= {"learner@5", "learner@10", "learner@15"} and len(drawn) > 1


def test_past_selves_are_drawn_uniformly():
    casts = pooled(matchmaking="uniform", share=1.0).casts(3000, PRESENT, random.Random(1))
    counts = Counter(label for cast in casts for label in cast.values() if label != "learner@40")
    assert sum(counts.values()) == 3000
    assert all(abs(n - 1000) < 100 for n in counts.values())


def test_alternation_goes_on_where_the_last_call_stopped():
    league = pooled(matchmaking="uniform", share=1.0)
    seats = [next(s for s, label in league.casts(1, PRESENT, random.Random(i))[0].items() if label != "learner@40")
             for i in range(4)]  # fmt: skip
    assert seats == ["player_0", "player_1", "player_0", "player_1"]


def test_an_empty_pool_is_mirror_play():
    league = League(["learner"], matchmaking="uniform", share=1.0)
    assert league.casts(3, PRESENT, random.Random(0)) == [PRESENT] * 3


def test_fixed_seats_the_named_opponent():
    league = League(["learner"], matchmaking="fixed", share=0.5, opponent="player:random")
    casts = league.casts(4, PRESENT, random.Random(0))
    assert casts[1] == {"player_0": "player:random", "player_1": "learner@40"}
    assert casts[3] == {"player_0": "learner@40", "player_1": "player:random"}
    assert casts[0] == casts[2] == PRESENT
    with pytest.raises(ScenarioError, match="needs an opponent"):
        League(["learner"], matchmaking="fixed")


def test_a_past_self_takes_only_seats_of_its_own_policy_and_never_the_judges():
    league = League(["buyer", "seller"], matchmaking="uniform", share=1.0)
    league.add(PolicyRef("buyer", 1))
    league.add(PolicyRef("seller", 2))
    present = {"judge_0": "judge@0", "buyer_0": "buyer@9", "seller_0": "seller@9"}
    casts = league.casts(4, present, random.Random(0))
    assert casts[0] == {"judge_0": "judge@0", "buyer_0": "buyer@1", "seller_0": "seller@9"}
    assert casts[1] == {"judge_0": "judge@0", "buyer_0": "buyer@9", "seller_0": "seller@2"}
    assert casts[2:] == casts[:2]


def test_snapshots_come_on_schedule_and_the_oldest_leaves():
    league = League(["a", "b"], every=5, limit=2)
    taken = [ref for step in range(1, 21) for ref in league.snapshot(step)]
    assert taken == [PolicyRef(n, v) for v in (5, 10, 15, 20) for n in ("a", "b")]
    assert league.members("a") == [PolicyRef("a", 15), PolicyRef("a", 20)]
    assert len(league.members()) == 4
    assert league.mixture("b") == [(PolicyRef("b", 15), 0.5), (PolicyRef("b", 20), 0.5)]


def played(cast, returns, failure=None):
    events = [Paid(seat, amount) for seat, amount in returns.items()]
    return Episode("e", Transcript("kuhn", {}, 0, events), cast, failure=failure)


def test_payoffs_keep_counts_means_wins_and_intervals_from_both_sides():
    league = pooled()
    cast = {"player_0": "learner@40", "player_1": "learner@5"}
    league.record([played(cast, {"player_0": r, "player_1": -r}) for r in (1.0, 2.0, -1.0, 0.0)], {"learner@40"})
    cell = league.payoffs["learner", "learner@5"]
    assert (cell.games, cell.mean, cell.win_share) == (4, 0.5, 0.625)
    half = 1.959963984540054 * math.sqrt((5 / 3) / 4)  # squares: .25 + 2.25 + 2.25 + .25 = 5
    assert cell.interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)
    assert league.payoffs["learner@5", "learner"].mean == -0.5
    assert league.payoffs["nobody", "learner"] == Payoff()
    assert Payoff().interval == Interval(-math.inf, math.inf)


def test_wilson_interval_matches_the_textbook():
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.49016, 0.94331), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(0, 20)
    assert low == 0.0 and 0 < high < 0.2


def test_same_random_state_and_league_state_give_the_same_casts():
    one = pooled(matchmaking="uniform", share=0.7)
    one.casts(5, PRESENT, random.Random(3))
    one.record([played(PRESENT, {"player_0": 0.1, "player_1": -0.1})])
    two = League(["learner"], matchmaking="uniform", share=0.7)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert two.casts(9, PRESENT, random.Random(4)) == one.casts(9, PRESENT, random.Random(4))
    assert two.payoffs.cells() == one.payoffs.cells()
    assert two.state_dict() == one.state_dict()
