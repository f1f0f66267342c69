"""What travels to a rollout worker, and what it is made into there. The cluster itself: tests/scale."""

from __future__ import annotations

import pickle

import pytest

from palaestra.agents.language import LanguagePolicy
from palaestra.agents.play import Job
from palaestra.agents.policy import player
from palaestra.agents.remote import RemotePolicy
from palaestra.envs.games.kuhn import Kuhn
from palaestra.errors import EngineError
from palaestra.scenarios.build import build
from palaestra.scenarios.cluster import _at_home, inherited, pack
from palaestra.scenarios.scenario import Scenario

pytest.importorskip("openai")

SETTINGS = (
    'engines.cloud={ kind = "openai", openai = { url = "http://localhost:1/v1", key_env = "CLOUD_KEY" } }',
    'policies.judge={ model = "judge-model", engine = "cloud", temperature = 0.5 }',
    'policies.foe={ model = "tiny", tiny = { width = 32 } }',
    'cast.player_1={ policy = "player", persona = "Bluff." }',
)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario.load("kuhn_selfplay", SETTINGS)


def test_a_cast_arrives_as_it_was_sent_whoever_sits_in_it(scenario: Scenario) -> None:
    here, there = build(scenario), build(scenario, start=False)
    cast = {
        "learner": here.cast["player_1"].at(7),  # type: ignore[attr-defined]
        "opponent in no seat": here.policies["foe"],
        "server": here.policies["judge"],
        "scripted": player(Kuhn, "greedy"),
    }
    packed = pickle.loads(pickle.dumps(pack(Job("kuhn", {}, cast, 3, "key"))))
    assert packed.job == Job("kuhn", {}, {}, 3, "key")
    found = {seat: _at_home(plain, there.policies, Kuhn) for seat, plain in packed.cast.items()}
    assert {seat: policy.label for seat, policy in found.items()} == {s: p.label for s, p in cast.items()}
    learner, server = found["learner"], found["server"]
    assert isinstance(learner, LanguagePolicy) and learner.engine is there.engine
    assert (learner.persona, str(learner.ref), learner.act) == ("Bluff.", "player@7", "score")
    assert isinstance(server, RemotePolicy) and server.temperature == 0.5 and server.remote is not None


def test_a_policy_that_is_not_there_is_named(scenario: Scenario) -> None:
    with pytest.raises(EngineError, match="no policy for"):
        _at_home({"model": "another"}, build(scenario, start=False).policies, Kuhn)


def test_keys_of_servers_travel_and_nothing_else_of_the_environment(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_KEY", "secret")
    monkeypatch.setenv("SOMETHING_ELSE", "private")
    assert inherited(scenario)["CLOUD_KEY"] == "secret" and "SOMETHING_ELSE" not in inherited(scenario)
