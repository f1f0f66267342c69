"""A run's policy, served by another process, plays here through the official client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.episode import Episode
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import player
from palaestra.agents.remote import Remote, RemotePolicy
from palaestra.envs.registry import env_class
from palaestra.errors import ScenarioError
from palaestra.scenarios import runs
from palaestra.scenarios.build import accounts, build
from palaestra.scenarios.runs import evaluate_policy
from palaestra.scenarios.scenario import Scenario

KUHN = env_class("kuhn")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = ["recipe.steps=1", "recipe.episodes=32", "eval.instances=4"]
    run = runs.train(Scenario.load("kuhn_selfplay", settings), tmp_path_factory.mktemp("served") / "run")
    command = [sys.executable, "-m", "palaestra", "serve", str(run.path), "--as", "openai", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = process.stdout.readline() + process.stdout.readline()
        assert told.startswith("serving player, player@0, player@1")
        yield told.split()[-4]
        process.terminate()


def play(remote: Remote, games: int = 12, model: str = "player@1") -> list[Episode]:
    policy = RemotePolicy(model, remote, max_tokens=8, show_rules=False, show_legal=False)
    cast: Any = {"player_0": policy, "player_1": player(KUHN, "random")}
    return wait_for(rollout([Job("kuhn", {}, cast, seed, f"g{seed}") for seed in range(games)]))


def test_it_plays_whole_games_and_what_it_is_asked_is_counted(url: str) -> None:
    remote = Remote(url, price_in=2.0, price_out=10.0)
    episodes = play(remote)
    assert not [e.failure for e in episodes if e.failure]
    assert {e.cast["player_0"] for e in episodes} == {"remote:player@1"} and not episodes[0].trajectories
    ledger = remote.ledger
    assert ledger.requests >= 12 and ledger.tokens_in > ledger.requests and 0 < ledger.tokens_out <= 8 * ledger.requests
    assert ledger.cost == pytest.approx((2 * ledger.tokens_in + 10 * ledger.tokens_out) / 1e6)


def test_with_a_cache_the_same_games_are_played_again_without_asking(url: str, tmp_path: Path) -> None:
    first, again = (Remote(url, cache=tmp_path / "answers") for _ in range(2))
    assert [e.transcript for e in play(first)] == [e.transcript for e in play(again)]
    assert first.ledger.requests > 0 == again.ledger.requests and again.ledger.cached == first.ledger.requests


def test_a_spent_budget_and_an_unknown_model_break_off_the_episode_with_the_reason(url: str) -> None:
    dear = Remote(url, price_in=1e6, budget=5.0, at_once=1)
    failures = [e.failure for e in play(dear) if e.failure]
    assert failures and all(f.boundary == "engine" and "the budget of 5 is spent" in f.message for f in failures)
    (wrong,) = play(Remote(url), games=1, model="plaier")
    assert wrong.failure and "did you mean player?" in wrong.failure.message


def test_who_cannot_be_reached_is_named() -> None:
    (episode,) = play(Remote("http://127.0.0.1:9/v1", retries=0, timeout=5), games=1)
    assert episode.failure and "127.0.0.1:9" in episode.failure.message


def scenario(url: str, *settings: str) -> Scenario:
    return Scenario.load(
        "kuhn",
        [
            'engines.cloud.kind="openai"',
            f'engines.cloud.openai.url="{url}"',
            'policies.elder.model="player@0"',
            'policies.elder.engine="cloud"',
            "policies.elder.max_tokens=8",
            'cast.player_1="elder"',
            "eval.instances=6",
            *settings,
        ],
    )


def test_a_scenario_seats_it_beside_a_policy_that_learns(url: str) -> None:
    online = build(scenario(url))
    found = evaluate_policy(scenario(url), online.cast, online.trainees["learner"].policy)
    assert found.failed == 0 and found.estimate("return").n
    (line,) = accounts(online.cast)
    assert url in line and " 0 requests" not in line


def test_it_cannot_be_trained_here(url: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(url, "policies.elder.train=true", 'policies.elder.act="score"')
    for key in ("train", "act"):
        assert f"policies.elder.{key}: its engine 'cloud' is a server elsewhere" in str(caught.value)
