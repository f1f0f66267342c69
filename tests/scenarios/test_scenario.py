"""A scenario is checked as a whole; every error names its key and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from palaestra.errors import ScenarioError
from palaestra.scenarios.runs import plan
from palaestra.scenarios.scenario import Scenario, library


def data(**changes: object) -> dict[str, object]:
    return {
        "env": "haggle",
        "policies": {"trader": {"model": "tiny", "train": True}},
        "cast": {"buyer_0": "trader", "seller_0": "trader"},
        **changes,
    }


def problems(**changes: object) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(data(**changes), where="haggle.toml")
    return str(caught.value)


@pytest.mark.parametrize("name", library())
def test_every_scenario_of_the_library_loads_with_all_its_twins_and_survives_its_own_toml(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.about and "shuffled" in scenario.twins
    for label in scenario.twins:
        twin = Scenario.load(f"{name}:{label}")
        assert twin.name == f"{name}-{label}" and twin != scenario
        assert plan(twin)
    import tomllib

    assert Scenario.parse(tomllib.loads(scenario.toml())) == scenario


def test_all_problems_are_reported_at_once() -> None:
    text = problems(
        cast={"buyer_0": "trder", "seler_0": "trader"},
        recipe={"estimator": "rloo"},
        eval={"against": ["player:boulwar"]},
    )
    assert text == (
        "5 problems in haggle.toml\n"
        "  cast.seller_0: nobody sits here\n"
        "      name a policy of [policies]\n"
        "  cast.buyer_0: no policy named 'trder'\n"
        "      did you mean trader?\n"
        "  cast.seler_0: no such seat\n"
        "      did you mean seller_0?\n"
        '  recipe.estimator = "rloo" needs groups of 2 or more, recipe.group_size is 1\n'
        '      set group_size = 4, or estimator = "rae"\n'
        "  eval.against: no player 'boulwar'\n"
        "      did you mean boulware?"
    )


def test_wrong_values_do_not_hide_what_is_wrong_across_tables() -> None:
    text = problems(
        cast={"buyer_0": "trder", "seller_0": "trader"},
        recipe={"group_sise": 2, "steps": 0, "estimator": "rlo"},
        policies={"trader": {"modle": "tiny"}},
    )
    assert text == (
        "5 problems in haggle.toml\n"
        "  policies.trader.modle: unknown key\n"
        "      did you mean model?\n"
        "  recipe.steps: should be greater than or equal to 1, got 0\n"
        "  recipe.group_sise: unknown key\n"
        "      did you mean group_size?\n"
        "  cast.buyer_0: no policy named 'trder'\n"
        "      did you mean trader?\n"
        "  recipe.estimator: no estimator 'rlo'\n"
        "      did you mean rloo?"
    )


def test_an_unknown_key_is_named_with_the_nearest_one() -> None:
    text = problems(recipe={"group_sise": 2, "kl": {"coeff": 1}})
    assert "recipe.group_sise: unknown key\n      did you mean group_size?" in text
    assert "recipe.kl.coeff: unknown key\n      did you mean coef?" in text


def test_a_wrong_value_says_what_it_was() -> None:
    assert "recipe.steps: should be greater than or equal to 1, got 0" in problems(recipe={"steps": 0})


def test_an_unknown_environment_is_named() -> None:
    assert "did you mean haggle?" in problems(env="hagle")


def test_exact_regularizers_need_recorded_legal_actions() -> None:
    assert 'set policies.trader.act = "score", or legal = true' in problems(recipe={"entropy": {"start": 0.1}})


def test_what_is_trained_is_sampled_as_it_is_trained() -> None:
    policy = {"model": "tiny", "train": True, "act": "score", "temperature": 0.7, "norm": "word"}
    text = problems(policies={"trader": policy})
    assert "policies.trader.temperature: 0.7 while training" in text and 'set norm = "sum" or "token"' in text


def test_two_training_signals_are_refused() -> None:
    text = problems(signals={"env": {"train": True}, "gold": {"of": "deal", "train": True}})
    assert "exactly one signal is trained on, got env, gold" in text


def test_settings_reach_every_key_and_can_remove_one() -> None:
    scenario = Scenario.load("kuhn_selfplay", ["recipe.kl.coef=0.25", "recipe.steps=3", "name=other"])
    assert scenario.recipe.kl is not None and scenario.recipe.kl.coef == 0.25 and scenario.recipe.kl.refresh == 20
    assert scenario.recipe.steps == 3 and scenario.name == "other"
    assert Scenario.load("kuhn_selfplay", ["recipe.kl=none"]).recipe.kl is None


@pytest.mark.parametrize("setting", ["recipe.steps", "env.x=1"])
def test_a_setting_that_cannot_be_applied_says_so(setting: str) -> None:
    with pytest.raises(ScenarioError, match="--set"):
        Scenario.load("kuhn_selfplay", [setting])


def test_a_file_that_is_no_toml_names_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('env = "kuhn"\n[cast\n')
    with pytest.raises(ScenarioError, match=r"bad.toml: .*line 2"):
        Scenario.load(tmp_path / "bad.toml")


def test_an_unknown_scenario_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ScenarioError, match="did you mean kuhn_selfplay"):
        Scenario.load("kuhn_selfpaly")
    with pytest.raises(ScenarioError, match="no twin 'shufled'\n  did you mean shuffled"):
        Scenario.load("kuhn_selfplay:shufled")


def test_the_id_of_an_environment_is_a_scenario() -> None:
    scenario = Scenario.load("haggle", ["recipe.steps=2"])
    assert scenario.trained == ["learner"] and set(scenario.cast) == {"buyer_0", "seller_0"}
    assert scenario.recipe.steps == 2
