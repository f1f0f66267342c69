"""A run is one directory: it trains, survives being cut anywhere, and compares with another one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from palaestra.agents.episode import PolicyRef, read_episodes
from palaestra.agents.play import Job
from palaestra.alignment.run import RunDir
from palaestra.errors import CheckpointError, ScenarioError
from palaestra.scenarios import runs
from palaestra.scenarios.build import build
from palaestra.scenarios.scenario import Scenario

SMALL = [
    "recipe.steps=6",
    "recipe.episodes=24",
    "recipe.epochs=2",
    "recipe.minibatches=2",
    "recipe.kl.refresh=2",
    "league.matchmaking=uniform",
    "league.every=2",
    "eval.every=3",
    "eval.instances=4",
    "run.checkpoint_every=2",
]


def small(*settings: str) -> Scenario:
    return Scenario.load("kuhn_selfplay", [*SMALL, *settings])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.train(small(), tmp_path_factory.mktemp("runs") / "whole").path


class Stop(Exception):
    pass


class StopAt(runs.Silent):
    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, metrics: object) -> None:
        if metrics["step"] == self.at:  # type: ignore[index]
            raise Stop


@pytest.mark.parametrize("step", [0, 3, 5])
def test_a_run_cut_off_and_resumed_is_bitwise_the_run_never_cut(whole: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(Stop):
        runs.train(small(), tmp_path / "cut", show=StopAt(step))
    torch.manual_seed(123 + step)  # whatever happened to the global state since
    runs.resume(tmp_path / "cut")
    assert runs.diff(whole, tmp_path / "cut", exact=True) == []


def test_without_the_global_torch_state_the_resumed_run_is_another(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        runs.train(small(), tmp_path / "cut", show=StopAt(3))
    _, state, tensors = RunDir(tmp_path / "cut").peek()
    torch.manual_seed(99)
    tensors["torch_random"] = torch.get_rng_state()
    RunDir(tmp_path / "cut").save(2, state, tensors)
    runs.resume(tmp_path / "cut")
    assert runs.diff(whole, tmp_path / "cut", exact=True)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(whole: Path, tmp_path: Path) -> None:
    runs.train(small(), tmp_path / "same")
    assert runs.diff(whole, tmp_path / "same", exact=True) == []
    runs.train(small("run.seed=1"), tmp_path / "other")
    differences = runs.diff(whole, tmp_path / "other", exact=True)
    assert any("run.seed" in d for d in differences) and any(d.startswith("tensors") for d in differences)


def test_cloning_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palaestra.scenarios.build.CLONE_NOTE_S", 0.0)
    notes: list[str] = []

    class Notes(runs.Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    clone = 'policies.player.clone={ players = { player_0 = "greedy" }, batches = 3, batch = 2 }'
    runs.train(small("recipe.steps=1", "eval.every=0", clone), tmp_path / "run", show=Notes())
    assert re.fullmatch(r"cloning player: batch 1 of 3, \d\.\d+ nats a token, about \d+ s left", notes[0])
    assert len(notes) == 3 and re.fullmatch(r"cloning player: batch 3 of 3, \d\.\d+ nats a token", notes[2])


def test_a_kept_version_is_the_weights_that_it_names(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        runs.train(small("league.every=3"), tmp_path / "run", show=StopAt(5))
    run = RunDir.open(tmp_path / "run")
    step, _, tensors = run.peek()
    kept = run.load_version(PolicyRef("player", 4))  # frozen as reference before the fifth update, written after it
    assert step == 4
    for name, weights in tensors["policies"]["player"]["weights"].items():
        assert torch.equal(kept[name], weights), name


# -- asynchronous ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.train(small("recipe.staleness=2"), tmp_path_factory.mktemp("stale") / "whole").path


def test_episodes_are_as_old_as_allowed_none_is_lost_and_none_is_trained_twice(stale: Path) -> None:
    lines = RunDir.open(stale).metrics()[1:]
    assert [line["staleness"] for line in lines] == [0, 1, 2, 2, 2, 2]
    assert all("off_policy/player" in line and "mismatch/player" not in line for line in lines)
    for step in range(6):
        episodes = list(read_episodes(stale / "episodes" / f"step-{step + 1:06}.jsonl"))
        labels = {label for e in episodes for label in e.cast.values()}
        assert len(episodes) == 24 and f"player@{max(0, step - 2)}" in labels
    ids = [e.id for e in read_episodes(stale)]
    assert len(ids) == len(set(ids)) == 6 * 24


@pytest.mark.parametrize("step", [0, 3, 5])
def test_an_asynchronous_run_resumes_and_repeats_bitwise(stale: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(Stop):
        runs.train(small("recipe.staleness=2"), tmp_path / "run", show=StopAt(step))
    runs.resume(tmp_path / "run")
    assert runs.diff(stale, tmp_path / "run", exact=True) == []


def test_a_decoupled_objective_is_ppo_where_nothing_is_old(tmp_path: Path) -> None:
    one = runs.train(small(), tmp_path / "ppo").peek()[2]["policies"]["player"]["weights"]
    two = runs.train(small("recipe.objective=decoupled"), tmp_path / "two").peek()[2]["policies"]["player"]["weights"]
    old = ("recipe.objective=decoupled", "recipe.staleness=2")
    three = runs.train(small(*old), tmp_path / "three").peek()[2]["policies"]["player"]["weights"]
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    assert not all(torch.allclose(one[name], three[name], atol=1e-4) for name in one)


def test_replies_that_have_become_too_unlikely_are_left_out(tmp_path: Path) -> None:
    mask = ("recipe.staleness=2", "recipe.lr=0.05", "recipe.sequence_mask=1.05")
    lines = runs.train(small(*mask), tmp_path / "run").metrics()[1:]
    shares = [line["masked/player"] for line in lines]
    assert shares[0] == 0 and 0 < max(shares) <= 1
    wide = runs.train(small(*mask[:2], "recipe.sequence_mask=1e9"), tmp_path / "wide").metrics()[1:]
    assert {line["masked/player"] for line in wide} == {0}


def test_a_past_self_is_kept_as_long_as_it_plays() -> None:
    league = ("league.every=1", "league.limit=2", "league.matchmaking=uniform", "league.share=1.0")
    online = build(small("recipe.staleness=2", *league))
    for name in online.trainees:
        online._freeze(PolicyRef(name, 0))
    seated: dict[int, set[PolicyRef]] = {}
    jobs = online.jobs

    def watched(step: int | None = None) -> list[Job]:
        found = jobs(step)
        seated[online.done if step is None else step] = {p.ref for job in found for p in job.cast.values()}
        return found

    online.jobs = watched  # type: ignore[method-assign]
    past = 0
    try:
        for _ in range(5):
            online.step()
            for step in {online.done, online.done + 1} & seated.keys():  # begun, perhaps still being played
                past += len(seated[step]) > 1
                assert {ref.version for ref in seated[step]} <= {*online.engine.frozen("player")}
    finally:
        online.close()
    assert past  # else there was nothing to keep


def test_a_reference_that_nobody_trains_is_there_again_after_a_resume(tmp_path: Path) -> None:
    fixed = ('policies.foe={ model = "tiny", act = "score", tiny = { width = 32 } }', "recipe.kl.to=foe@0")
    with pytest.raises(Stop):
        runs.train(small(*fixed), tmp_path / "cut", show=StopAt(3))
    runs.resume(tmp_path / "cut")
    runs.train(small(*fixed), tmp_path / "whole")
    assert runs.diff(tmp_path / "whole", tmp_path / "cut", exact=True) == []


def test_old_episodes_without_a_trust_region_are_refused_unless_asked_for_twice() -> None:
    with pytest.raises(ScenarioError, match="has no trust region, for episodes up to 2 versions old"):
        small("recipe.staleness=2", "recipe.objective=reinforce")
    assert small("recipe.staleness=2", "recipe.objective=reinforce", "recipe.unclipped=true")
    with pytest.raises(ScenarioError, match=r"or scale\.ray and scale\.rollouts, or learn whole weights"):
        small("recipe.staleness=1", "policies.player.adapter.rank=4")


def test_the_directory_can_be_read_by_hand(whole: Path) -> None:
    run = RunDir.open(whole)
    assert run.info["status"] == "finished"
    assert [m["step"] for m in run.metrics()] == list(range(7))
    assert Scenario.load(whole / "scenario.toml") == small()
    assert len(list(run.episodes(1))) == 24 and len(list(run.episodes())) == 6 * 24
    assert PolicyRef("player", 0) in run.versions() and PolicyRef("player", 6) in run.versions()
    assert {"eval/nashconv", "eval/nashconv_pool", "eval/return/low"} <= run.metrics()[-1].keys()


def test_every_recorded_episode_holds_the_tokens_that_were_sampled(whole: Path) -> None:
    for episode in read_episodes(whole):
        for trajectory in episode.trajectories:
            ids = trajectory.ids()
            assert all(len(s.ids) == len(s.logprobs) for s in trajectory.spans if s.origin == "sampled")
            for choice in trajectory.choices:
                chosen = choice.candidates[choice.chosen]
                assert ids[choice.position : choice.position + len(chosen)] == chosen


def test_engine_and_learner_agree_about_the_same_weights(whole: Path) -> None:
    assert all(m["mismatch/player"] < 1e-4 for m in RunDir(whole).metrics()[1:])


def test_past_selves_play_and_are_counted_apart(whole: Path) -> None:
    casts = {label for e in read_episodes(whole) for label in e.cast.values()}
    assert {"player@2", "player@4"} <= casts
    later = [e for e in RunDir(whole).episodes(6) if len(set(e.cast.values())) == 2]
    assert len(later) == 12 and {e.cast["player_0"] == "player@5" for e in later} == {True, False}


def test_compare_pairs_the_last_version_with_the_first(whole: Path) -> None:
    table = runs.compare(str(whole), instances=6)
    names = [row[0] for row in table.rows]
    assert table.labels == ("player@0", "player@6") and "return" in names
    assert all(row[1].n == row[2].n == row[3].n == 6 for row in table.rows)


def test_a_second_run_in_the_same_directory_is_refused(whole: Path) -> None:
    with pytest.raises(CheckpointError, match="there is a run here already"):
        runs.train(small(), whole)


def test_resuming_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run here"):
        runs.resume(tmp_path)


def test_a_scenario_without_a_learner_is_not_trained(tmp_path: Path) -> None:
    scenario = Scenario.parse(
        {
            "env": "kuhn",
            "policies": {"p": {"player": "random"}},
            "cast": {"player_0": "p", "player_1": "p"},
        }
    )
    with pytest.raises(ScenarioError, match="no policy has train = true"):
        runs.train(scenario, tmp_path / "none")


def test_two_policies_learn_apart(tmp_path: Path) -> None:
    data = small("recipe.steps=2").model_dump(exclude_none=True)
    policy = data["policies"].pop("player") | {"adapter": {"rank": 4}}
    data["policies"] = {"first": policy, "second": policy}
    data["cast"] = {"player_0": "first", "player_1": "second"}
    run = runs.train(Scenario.parse(data), tmp_path / "two")
    assert {"entropy/first", "entropy/second"} <= run.metrics()[-1].keys()
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "step-000002", ignore_errors=True)
    table = runs.compare(str(tmp_path / "two"), instances=4) if run.checkpoints() else None
    assert table is None or table.labels[0] == "first@0"


def test_a_saved_checkpoint_with_its_own_template_is_trained_in_bf16(tmp_path: Path) -> None:
    from palaestra.agents.models import save
    from palaestra.agents.tiny import env_texts, tiny

    model, tokenizer = tiny(env_texts("kuhn", n=16), width=32, heads=2, context=1024)
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    save(model.to(torch.bfloat16), tokenizer, tmp_path / "model")
    scenario = small("recipe.steps=2", f'policies.player.model="{tmp_path / "model"}"')
    run = runs.train(scenario, tmp_path / "run")
    weights = run.load_version(PolicyRef("player", 2))
    assert {w.dtype for w in weights.values()} == {torch.bfloat16}
    before = run.load_version(PolicyRef("player", 0))
    assert any(not torch.equal(weights[k], before[k]) for k in weights)
    told = next(iter(run.episodes(1))).trajectories[0].spans[0].ids
    assert "Kuhn poker" in tokenizer.decode(told)  # a model that was not made for it is shown the rules


def test_interrupting_finishes_the_step_saves_and_can_be_resumed(whole: Path, tmp_path: Path) -> None:
    import os
    import signal

    class Interrupt(runs.Silent):
        def step(self, metrics: object) -> None:
            if metrics["step"] == 3:  # type: ignore[index]
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runs.train(small(), tmp_path / "cut", show=Interrupt())
    assert RunDir(tmp_path / "cut").checkpoints()[-1] == 3 or RunDir(tmp_path / "cut").checkpoints()[-1] == 4
    assert RunDir(tmp_path / "cut").info["status"] == "interrupted"
    runs.resume(tmp_path / "cut")
    assert runs.diff(whole, tmp_path / "cut", exact=True) == []
