"""What `palaestra new` writes holds what every environment must, as it is written."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest

import palaestra
from palaestra.cli import main
from palaestra.envs.conformance import check
from palaestra.envs.registry import env_class, register
from palaestra.errors import ScenarioError
from palaestra.scenarios.new import KINDS, write_package
from palaestra.scenarios.scenario import Scenario


def env_file(folder: Path, name: str) -> str:
    return str(folder / name / name / "env.py") + ":" + name.title().replace("_", "")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_every_check_as_it_is_written(kind: str, tmp_path: Path) -> None:
    write_package(f"my_{kind}", kind, tmp_path)
    report = check(env_file(tmp_path, f"my_{kind}"))
    assert report.ok, report.table()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0, 1])
def test_its_players_finish_and_the_oracle_does_well(kind: str, level: int, tmp_path: Path) -> None:
    write_package(f"my_{kind}", kind, tmp_path)
    env = palaestra.make(env_file(tmp_path, f"my_{kind}"), level=level)
    for player in env.players:
        for seed in range(5):
            episode = palaestra.play(env, player, seed=seed)
            assert episode.failure is None and palaestra.verify(episode) == []
    best = [sum(palaestra.play(env, "oracle", seed=seed).returns.values()) for seed in range(20)]
    worst = [sum(palaestra.play(env, "random", seed=seed).returns.values()) for seed in range(20)]
    assert sum(best) > sum(worst) or env.zero_sum


@pytest.mark.parametrize("kind", KINDS)
def test_its_scenario_is_whole(kind: str, tmp_path: Path) -> None:
    name = f"my_{kind}"
    write_package(name, kind, tmp_path)
    register(name, env_file(tmp_path, name))
    scenario = Scenario.load(tmp_path / name / name / f"{name}.toml")
    assert scenario.trained == ["learner"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_plays_it_in_the_terminal_and_a_policy_takes_two_steps(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"my_{kind}"
    write_package(name, kind, tmp_path)
    env = env_file(tmp_path, name)
    register(name, env)
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n" * 200))  # any words: malformed where a move is asked for
    seats = env_class(env)().seats
    assert main(["play", env, f"{seats[0]}=human", *[f"{seat}=greedy" for seat in seats[1:]]]) == 0
    assert seats[0] in capsys.readouterr().out

    scenario = tmp_path / name / name / f"{name}.toml"
    small = ["recipe.steps=2", "recipe.episodes=16", "policies.learner.clone.batches=5"]
    small += ["eval.every=0", "eval.instances=4", "run.record=false"]
    sets = [word for setting in small for word in ("--set", setting)]
    assert main(["train", str(scenario), *sets, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_its_scenario_learns_as_it_is_written(kind: str, tmp_path: Path) -> None:
    from palaestra.scenarios import runs

    name = f"my_{kind}"
    write_package(name, kind, tmp_path)
    register(name, env_file(tmp_path, name))
    run = runs.train(Scenario.load(tmp_path / name / name / f"{name}.toml"), tmp_path / "run")
    assert run.metrics()[-1]["eval/gold"] > run.metrics()[0]["eval/gold"]


def test_a_tiny_policy_learns_to_use_the_tool_of_the_template(tmp_path: Path) -> None:
    from palaestra.scenarios import runs

    write_package("my_tools", "tools", tmp_path)
    register("my_tools", env_file(tmp_path, "my_tools"))
    settings = (
        "recipe.steps=12",
        "policies.learner.clone.batches=60",
        "eval.every=0",
        "eval.instances=40",
        "run.record=false",
    )
    scenario = Scenario.load(tmp_path / "my_tools" / "my_tools" / "my_tools.toml", settings)
    metrics = runs.train(scenario, tmp_path / "run").metrics()
    assert metrics[-1]["eval/return"] > metrics[0]["eval/return"] + 0.2


def test_the_package_can_be_installed_and_tested(tmp_path: Path) -> None:
    made = write_package("stag_hunt", "game", tmp_path)
    project = tomllib.loads((tmp_path / "stag_hunt" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["palaestra.envs"] == {"stag_hunt": "stag_hunt.env:StagHunt"}
    assert env_class(env_file(tmp_path, "stag_hunt")).__name__ == "StagHunt"
    for file in made.files:
        if file.suffix == ".py":
            compile(file.read_text(), str(file), "exec")


def test_a_record_of_a_new_environment_is_verified_by_another_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package("my_duel", "game", tmp_path)
    shard = tmp_path / "duel.jsonl"
    assert main(["play", env_file(tmp_path, "my_duel"), "--save", str(shard)]) == 0
    capsys.readouterr()
    assert str(tmp_path / "my_duel" / "my_duel" / "env.py") in shard.read_text()
    assert main(["replay", str(shard), "--verify"]) == 0
    assert capsys.readouterr().out == "1 episode, no difference\n"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My-Game", "game", "name 'My-Game': a package is called in lower case, such as my_game"),
        ("7", "game", "name '7': a package is called in lower case, such as haggle"),
        ("kuhn", "game", "name 'kuhn': taken by another package or environment\n  such as my_kuhn"),
        ("json", "game", "name 'json': taken by another package or environment\n  such as my_json"),
        (
            "duel",
            "debates",
            "no kind 'debates'\n  kinds: game, dialogue, debate, social, tools, embodied\n  did you mean debate?",
        ),
    ],
)
def test_a_wrong_name_or_kind_is_named_with_a_better_one(name: str, kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as error:
        write_package(name, kind, tmp_path)
    assert str(error.value) == message
    assert not list(tmp_path.iterdir())


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    write_package("duel", "game", tmp_path)
    with pytest.raises(ScenarioError, match="something is here already"):
        write_package("duel", "tools", tmp_path)
