"""Rollout workers on a real Ray cluster of two nodes: the same run, bit for bit, whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray._private.state import actors
from ray.cluster_utils import Cluster

from palaestra.agents.play import Job
from palaestra.agents.policy import player
from palaestra.envs.games.kuhn import Kuhn
from palaestra.errors import EngineError, ScenarioError
from palaestra.scenarios import cluster as module
from palaestra.scenarios import runs
from palaestra.scenarios.cluster import RayWorkers
from palaestra.scenarios.scenario import Scenario
from proofs.parts import STORE, cluster

STEPS = 6
SMALL = (
    f"recipe.steps={STEPS}",
    "recipe.episodes=24",
    "recipe.kl.refresh=2",
    "league.every=1",
    'league.matchmaking="uniform"',
    "eval.instances=6",
    "eval.every=3",
    "run.checkpoint_every=2",
    "scale.rollouts=2",
)
pytestmark = pytest.mark.timeout(240)


def scenario(*more: str) -> Scenario:
    return Scenario.load("kuhn_selfplay", (*SMALL, *more))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """A head where the driver is, and two nodes with room for one worker each."""
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that everything is compared with: in this process."""
    return runs.train(scenario(), tmp_path_factory.mktemp("whole") / "run").path


def named(title: str) -> list[psutil.Process]:
    """Processes of ours, by what their title says, the newest first: a run before may not be gone yet."""
    found = [p for p in psutil.Process().children(recursive=True) if alive(p) and title in " ".join(p.cmdline())]
    return sorted(found, key=lambda p: -p.create_time())


def both() -> list[psutil.Process]:
    """The two workers of a run, once both have answered: one that has not is no loss.

    Those of a run before are gone.
    """
    while True:
        starting = any(thread.name.startswith("ray ") for thread in threading.enumerate())
        workers = [a for a in actors().values() if a["ActorClassName"] == "Worker" and a["State"] == "ALIVE"]
        if len(workers) == 2 and not starting:
            return [psutil.Process(a["Pid"]) for a in workers]
        os.sched_yield()


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class At(runs.Silent):
    """Does something once, a little after a step, in the middle of the next; and something else after that one."""

    def __init__(self, step: int, do: Callable[[], None], then: Callable[[], Any] = lambda: None) -> None:
        self.at, self.do, self.then = step, do, then
        self.notes: list[str] = []
        self.doing: threading.Timer | None = None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, metrics: Mapping[str, Any]) -> None:
        if metrics["step"] == self.at and not self.doing:
            self.doing = threading.Timer(0.03, self.do)
            self.doing.start()
        elif metrics["step"] == self.at + 1 and self.doing:
            self.doing.join()
            self.then()


def same(one: Path, two: Path) -> bool:
    """Bit for bit: weights, optimizer, league, metrics, episodes; only where it ran is another."""
    return {d.split(":")[0] for d in runs.diff(one, two, exact=True)} <= {"scenario.scale.ray"}


def test_two_nodes_give_the_run_of_one_process_bit_for_bit(nodes: Cluster, whole: Path, tmp_path: Path) -> None:
    run = runs.train(scenario(f'scale.ray="{nodes.address}"'), tmp_path / "run")
    assert same(whole, run.path)
    other = runs.train(scenario("run.seed=1"), tmp_path / "other")
    assert not same(whole, other.path)


def test_old_episodes_are_played_elsewhere_too(nodes: Cluster, tmp_path: Path) -> None:
    here = runs.train(scenario("recipe.staleness=2"), tmp_path / "here")
    there = runs.train(scenario("recipe.staleness=2", f'scale.ray="{nodes.address}"'), tmp_path / "there")
    assert same(here.path, there.path)


@pytest.mark.parametrize("step", [1, 4])
def test_a_killed_worker_costs_nothing(nodes: Cluster, whole: Path, tmp_path: Path, step: int) -> None:
    show = At(step, lambda: both()[0].kill())
    run = runs.train(scenario(f'scale.ray="{nodes.address}"'), tmp_path / "run", show=show)
    assert same(whole, run.path)
    assert any("lost" in note and "another plays its" in note for note in show.notes), show.notes


def test_a_lost_node_costs_nothing(nodes: Cluster, whole: Path, tmp_path: Path) -> None:
    def lose() -> None:
        before = both()
        nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        began = time.monotonic()
        while all(map(alive, before)) and time.monotonic() - began < 60:
            os.sched_yield()  # its worker goes when it misses its node

    show = At(2, lose, lambda: nodes.add_node(num_cpus=1, object_store_memory=STORE))
    run = runs.train(scenario(f'scale.ray="{nodes.address}"'), tmp_path / "run", show=show)
    assert same(whole, run.path)
    assert any("lost" in note for note in show.notes), show.notes


def test_learners_are_actors_and_a_killed_one_costs_nothing(
    nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the actors are elsewhere, and a run's path may be relative
    alone = ("scale.rollouts=0", "scale.learners=2")
    here = runs.train(scenario(*alone), tmp_path / "here")
    show = At(3, lambda: named("ray::Seat")[0].kill())
    there = runs.train(scenario(*alone, f'scale.ray="{nodes.address}"'), Path("there"), show=show)
    assert same(here.path, there.path)
    assert any("of 2" in note and "on from the last checkpoint" in note for note in show.notes), show.notes


def test_a_killed_driver_resumes(nodes: Cluster, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    sets = [f"--set={s}" for s in (*SMALL, f'scale.ray="{nodes.address}"')]
    command = [sys.executable, "-m", "palaestra", "train", "kuhn_selfplay", *sets, "--out", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = path / "metrics.jsonl"
    began = time.monotonic()
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 4) and time.monotonic() - began < 120:
        assert driver.poll() is None
        os.sched_yield()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert not same(whole, path)
    runs.resume(path)
    assert same(whole, path)


def test_a_ray_of_its_own_is_started_and_stopped(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    sets = [f"--set={s}" for s in (*SMALL, "scale.ray=local")]
    command = [sys.executable, "-m", "palaestra", "train", "kuhn_selfplay", *sets, "--out", str(path)]

    def raylets() -> set[int]:
        return {p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "raylet" and alive(p)}

    before = raylets()
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert same(whole, path)
    assert raylets() <= before


def strange(name: str) -> Job:
    """An episode of an environment of `deadly.py`."""
    path = Path(__file__).parent / "deadly.py"
    return Job(f"{path}:{name}", {}, {"player_0": player(Kuhn, "random")}, 0, "k")


def test_jobs_that_kill_every_worker_end_with_their_names(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEATHS", 2)
    asked = scenario(f'scale.ray="{nodes.address}"', "scale.rollouts=1")
    made = RayWorkers(asked)
    try:
        with pytest.raises(EngineError, match="2 rollout workers died over the episodes k to k of"):
            made.ready([strange("Deadly")])()
    finally:
        made.close()


def test_what_goes_wrong_in_an_episode_stays_in_its_record(nodes: Cluster) -> None:
    made = RayWorkers(scenario(f'scale.ray="{nodes.address}"', "scale.rollouts=1"))
    try:
        (episode,) = made.ready([strange("Broken")])()
        assert episode.failure is not None and "on purpose" in episode.failure.message
    finally:
        made.close()


def test_learners_without_room_say_so(nodes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM_S", 0.2)
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    notes: list[str] = []
    with pytest.raises(EngineError, match=r"no room for 9 learners of player, .*\n  lower scale.learners"):
        module.ranks(scenario(f'scale.ray="{nodes.address}"', "scale.learners=9"), "player", notes.append)
    assert "waiting for room: 9 learners" in notes[0]


def test_a_worker_that_cannot_be_built_ends_the_run_with_the_reason(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STARTS", 1)
    asked = scenario(f'scale.ray="{nodes.address}"', "scale.rollouts=1")
    monkeypatch.setattr(Scenario, "toml", lambda self: "env = 'nothing of that name'")
    made = RayWorkers(asked)
    monkeypatch.undo()
    try:
        with pytest.raises(EngineError, match="no rollout worker can be built"):
            made.ready([strange("Broken")])()
    finally:
        made.close()


def test_a_wrong_table_is_refused() -> None:
    with pytest.raises(ScenarioError, match="nothing is to run there"):
        Scenario.load("kuhn_selfplay", ['scale.ray="local"'])
