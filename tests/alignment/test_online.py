"""The loop's parts: credit of who was trained, controls, references, policies that learn apart."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
import torch

from palaestra.agents.episode import PolicyRef
from palaestra.agents.play import rollout, wait_for
from palaestra.alignment.credit import Sample
from palaestra.alignment.loops.online import Online, central_views, dealt, describe, instance_of, shuffled
from palaestra.alignment.rows import ValueRow, value_row
from palaestra.envs.transcript import Said
from palaestra.scenarios.build import build
from palaestra.scenarios.scenario import Scenario


def loop(*settings: str, policies: int = 1) -> Online:
    scenario = Scenario.load("kuhn_selfplay", ["recipe.episodes=24", "policies.player.tiny.width=32", *settings])
    if policies == 2:
        data = scenario.model_dump(exclude_none=True)
        policy = data["policies"].pop("player") | {"adapter": {"rank": 4}}
        data["policies"] = {"first": policy, "second": policy}
        data["cast"] = {"player_0": "first", "player_1": "second"}
        scenario = Scenario.parse(data)
    online = build(scenario)
    for name in online.trainees:
        online._freeze(PolicyRef(name, 0))
    return online


def test_shuffling_permutes_returns_within_a_seat_and_nothing_else() -> None:
    samples = [Sample(i, "x", f"p_{i % 2}", "p", float(i), (0.0, float(i))) for i in range(20)]
    mixed = shuffled(samples, random.Random(0))
    for seat in ("p_0", "p_1"):
        was = sorted(s.total for s in samples if s.seat == seat)
        assert sorted(s.total for s in mixed if s.seat == seat) == was
    assert [s.total for s in mixed] != [s.total for s in samples]
    assert all(sum(s.rewards) == s.total and s.rewards[0] == 0.0 for s in mixed)


def test_minibatches_hold_every_row_once() -> None:
    rows = list(range(11))
    parts = dealt(rows, 3)  # type: ignore[arg-type]
    assert sorted(i for part in parts for i in part) == rows and len(parts) == 3  # type: ignore[type-var]
    assert dealt(rows, 1) == [rows]  # type: ignore[arg-type]


def test_equal_deals_are_one_instance_whatever_was_said() -> None:
    online = loop()
    episodes, _ = online.step()
    deals = {e.group for e in episodes}
    assert len(deals) == 6 and len(episodes) == 24
    assert all(instance_of(e.transcript) == e.group for e in episodes)


def test_past_selves_are_not_trained() -> None:
    online = loop("league.matchmaking=uniform", "league.share=1.0", "league.every=1", "recipe.kl=none")
    online.step()
    episodes = [*wait_for(rollout(online.jobs()))]
    for episode in episodes:
        episode.scores["train"] = episode.returns
    assert all(sorted(e.cast.values()) == ["player@1", "player@1"] for e in episodes)  # the pool holds version 1
    online.step()
    later = wait_for(rollout(online.jobs()))
    for episode in later:
        episode.scores["train"] = episode.returns
    mixed = [e for e in later if len(set(e.cast.values())) == 2]
    assert mixed and {e.cast["player_0"] for e in mixed} == {"player@1", "player@2"}
    assert len(online.credit(mixed)[1].by_turn) == len(mixed)  # one seat of each: the present version's


def test_the_reference_is_refreshed_on_its_schedule() -> None:
    online = loop("recipe.kl.refresh=2")
    seen = []
    for _ in range(5):
        online.step()
        seen.append(online.references["player"].version)
    assert seen == [0, 0, 2, 2, 4]
    assert set(online.engine.frozen("player")) <= {0, 4, 5}


@pytest.mark.parametrize("form", ["exact", "k2", "k1"])
def test_every_form_of_the_pull_to_a_reference_keeps_the_policy_nearer(form: str) -> None:
    free = loop("recipe.kl=none", "recipe.lr=3e-3")
    held = loop(f"recipe.kl.form={form}", "recipe.kl.refresh=0", "recipe.kl.coef=5.0", "recipe.lr=3e-3")
    for online in (free, held):
        for _ in range(6):
            online.step()

    def moved(online: Online) -> float:
        from palaestra.scenarios.measures.exploitability import read

        now = {s: p.at(6) for s, p in online.cast.items()}  # type: ignore[attr-defined]
        old = {s: p.at(0) for s, p in online.cast.items()}  # type: ignore[attr-defined]
        a, b = (reading.table for reading in read([now, old]))
        return max(abs(x - y) for key in a for x, y in zip(a[key], b[key], strict=True))

    assert moved(held) < moved(free)


def test_given_the_same_episodes_one_policys_gradient_does_not_know_whether_the_other_trains() -> None:
    both, alone = loop(policies=2), loop(policies=2)
    episodes, _ = both.step()
    for episode in episodes:
        assert not episode.failure
    alone._refresh_references()
    rows, _ = alone.credit(episodes)
    alone._learn("first", alone.trainees["first"], rows["first"], 0.0)
    one, other = both.engine.state("first"), alone.engine.state("first")
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    start = loop(policies=2).engine
    second = alone.engine.state("second")
    assert all(torch.equal(second[k], start.state("second")[k]) for k in second)


def test_the_base_under_adapters_stays_bit_identical() -> None:
    online = loop(policies=2)
    base = {n: p.clone() for n, p in online.engine.live("first").named_parameters() if "lora" not in n}
    for _ in range(2):
        online.step()
    after = dict(online.engine.live("first").named_parameters())
    assert base and all(torch.equal(p, after[n]) for n, p in base.items())


def test_broken_episodes_are_counted_and_described_apart() -> None:
    from palaestra.agents.episode import Failure

    online = loop()
    episodes, _ = online.step()
    episodes[0].failure = Failure("env", "broke")
    found = describe(episodes)
    assert found["failed"] == 1.0 and found["return/player_0"] == pytest.approx(-found["return/player_1"])


@pytest.mark.parametrize("critic", ["own", "central"])
def test_a_value_head_learns_what_the_seats_can_expect(critic: str) -> None:
    online = loop(
        "recipe.estimator=gae", f"recipe.critic={critic}", "recipe.kl=none", "recipe.lr=3e-3", "recipe.episodes=60"
    )
    for _ in range(25 if critic == "own" else 50):  # whose card it is stands deeper in what the central one reads
        episodes, metrics = online.step()
    assert metrics["value_loss/player"] > 0
    trainee = online.trainees["player"]
    expected: dict[str, list[float]] = {"J": [], "K": []}
    for episode in episodes:
        held = episode.outcome["cards"]["player_0"]
        (trajectory,) = (t for t in episode.trajectories if t.seat == "player_0")
        row = value_row(trajectory)
        if critic == "central":
            ids = trainee.policy.renderer.start([{"role": "user", "content": central_views(episode, "player_0")[0]}])
            row = ValueRow("player", tuple(ids), (len(ids) - 1,))
        if held in expected:
            expected[held].append(trainee.learner.values([row])[0][0])
    assert fmean(expected["K"]) > fmean(expected["J"]) + 0.3


def test_a_central_critic_reads_every_seats_view_and_an_own_critic_only_its_own() -> None:
    online = loop("recipe.estimator=gae")
    episodes, _ = online.step()
    views = central_views(episodes[0], "player_1")
    assert all(card in views[0] for card in ("player_0: You are player_0", "player_1: You are player_1"))
    assert len(views) == sum(isinstance(e, Said) and e.seat == "player_1" for e in episodes[0].transcript.events)
