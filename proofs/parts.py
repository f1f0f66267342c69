"""Each kind of part killed ten times (SIGKILL) at moments drawn from a seed, on a Ray cluster of two nodes.

Rollout workers, learners, a node and the driver: what comes out is bit for bit the run that was never killed, in one
process: weights, league, metrics and episodes. (Several learners are compared with several that were left alone.) vLLM
does not draw the same tokens in another batch; there it is counted that every episode was trained on once and none was
broken off, and that engine and learner agree at every step about what was sampled.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from proofs.common import add, kept, table, write

KILLS, STEPS = 10, 40
KEEP = Path("docs/proofs/cells/parts.jsonl")
SETTINGS = (
    f"recipe.steps={STEPS}",
    "recipe.episodes=60",
    "recipe.kl.refresh=3",
    "league.matchmaking=uniform",
    "league.every=2",
    "eval.every=20",
    "eval.instances=10",
    "run.checkpoint_every=2",
)
STORE = 80 * 2**20
Deed = Callable[[], None]


def main() -> None:
    """All parts; those that came out equal are kept. Needs `palaestra[scale,vllm]`: see `make prove-scale`."""
    folder = Path(tempfile.mkdtemp(prefix="palaestra-parts-"))
    rows: list[tuple[str, int, str, str]] = [(name, n, verdict, seconds) for name, n, verdict, seconds in kept(KEEP)]
    try:
        for name, proof in PARTS.items():
            if name in [r[0] for r in rows]:
                continue
            began = time.monotonic()
            kills, verdict = proof(folder / name.replace(" ", "-"))
            rows.append((name, kills, verdict, f"{time.monotonic() - began:.0f}"))
            print("  parts", *rows[-1], flush=True)
            report(rows)
            if sound(rows[-1]):
                add(KEEP, rows[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not all(map(sound, rows)):
        sys.exit(1)


def sound(row: tuple[str, int, str, str]) -> bool:
    """All kills done, and nothing lost."""
    return row[1] == KILLS and row[2].startswith("equal")


def report(rows: list[tuple[str, int, str, str]]) -> None:
    """The table of the parts so far."""
    missing = ", ".join(name for name in PARTS if name not in [r[0] for r in rows])
    text = f"# Kill any part\n\n{__doc__}\n{table(('part', 'kills', 'after them', 'seconds in all'), rows)}\n"
    text += f"\nNot run to the end: {missing}.\n" if missing else ""
    write("parts", {"parts": [list(r) for r in rows]}, text)


def rollout_worker(folder: Path) -> tuple[int, str]:
    """One of two, in the middle of what it plays."""
    with cluster() as nodes:
        return killed(folder, nodes.address, lambda: end("ray::Worker"))


def learner(folder: Path) -> tuple[int, str]:
    """One of two ranks."""
    with cluster() as nodes:
        return killed(folder, nodes.address, lambda: end("ray::Seat"), "scale.rollouts=0", "scale.learners=2")


def node(folder: Path) -> tuple[int, str]:
    """One of two nodes with the worker on it; after the next step another one comes."""
    with cluster() as nodes:
        return killed(
            folder,
            nodes.address,
            lambda: nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False),
            then=lambda: nodes.add_node(num_cpus=1, object_store_memory=STORE),
        )


def driver(folder: Path) -> tuple[int, str]:
    """The process that was started by hand; `palaestra resume` goes on."""
    from palaestra.scenarios.runs import diff, train
    from palaestra.scenarios.scenario import Scenario

    rng = random.Random("driver")
    with cluster() as nodes:
        train(Scenario.load("kuhn_selfplay", (*SETTINGS, "scale.rollouts=2")), folder / "whole")
        path, kills = folder / "killed", 0
        sets = [f"--set={s}" for s in (*SETTINGS, "scale.rollouts=2", f'scale.ray="{nodes.address}"')]
        begin = ["train", "kuhn_selfplay", *sets, "--out", str(path)]
        metrics = path / "metrics.jsonl"
        while True:
            command = [sys.executable, "-m", "palaestra", *(begin if not metrics.exists() else ["resume", str(path)])]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if kills < KILLS:
                enough = min(lines(metrics) + rng.randint(2, 4), STEPS - 1)
                while lines(metrics) < enough and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 0.3))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
            code = process.wait()
            if code != -signal.SIGKILL:
                break
        found = [d for d in diff(folder / "whole", path, exact=True) if not d.startswith("scenario.scale")]
        return kills, "equal" if code == 0 and not found else f"exit {code}, {found[:1]}"


def vllm_engine(folder: Path) -> tuple[int, str]:
    """The process that samples, in the middle of a step."""
    from palaestra.scenarios.runs import train
    from palaestra.scenarios.scenario import Scenario

    settings = (
        "engines.local.kind=vllm",
        "policies.solver.tiny.heads=2",
        "policies.solver.clone.batches=20",
        f"recipe.steps={KILLS + 3}",
        "recipe.episodes=32",
        "eval.every=0",
        "eval.instances=20",
    )
    show = Killer(random.Random("vllm"), lambda: end("VLLM::EngineCore"), KILLS + 2, wait=0.3)
    run = train(Scenario.load("tools_rl", settings), folder / "killed", show=show)
    steps, ids = run.metrics()[1:], [e.id for e in run.episodes()]
    whole = len(ids) == len(set(ids)) == 32 * (KILLS + 3) and not any(e.failure for e in run.episodes())
    gap = max(s["mismatch/solver"] for s in steps)
    verdict = "equal counts" if whole and gap < 1e-4 else "LOST"
    return show.done, f"{verdict}: {len(set(ids))} episodes once each, at most {gap:.1g} nats apart"


PARTS = {
    "rollout worker": rollout_worker,
    "learner": learner,
    "node": node,
    "driver": driver,
    "vLLM engine": vllm_engine,
}


# -- killing -----------------------------------------------------------------------------------------------------------
def killed(folder: Path, address: str, do: Deed, *more: str, then: Deed = lambda: None) -> tuple[int, str]:
    """A run with ten deeds done to it, beside the same one in this process; how many were done, and what differs."""
    from palaestra.scenarios.runs import diff, train
    from palaestra.scenarios.scenario import Scenario

    settings = (*SETTINGS, "scale.rollouts=2", *more)
    whole = train(Scenario.load("kuhn_selfplay", settings), folder / "whole")
    show = Killer(random.Random(folder.name), do, STEPS - 1, then=then)
    run = train(Scenario.load("kuhn_selfplay", (*settings, f'scale.ray="{address}"')), folder / "killed", show=show)
    found = [d for d in diff(whole.path, run.path, exact=True) if not d.startswith("scenario.scale")]
    return show.done, "equal" if not found else found[0]


class Killer:
    """Watches a run, and does something a little after each of ten steps; and something else after the step that
    follows."""

    def __init__(
        self, rng: random.Random, do: Deed, steps: int, *, wait: float = 0.1, then: Deed = lambda: None
    ) -> None:
        self.left = sorted(rng.sample(range(1, steps), KILLS))
        self.rng, self.do, self.wait, self.then = rng, do, wait, then
        self.done = 0
        self.thread: threading.Timer | None = None

    def begin(self, *_: Any) -> None: ...
    def note(self, text: str) -> None: ...
    def alert(self, text: str) -> None: ...
    def end(self, *_: Any) -> None: ...

    def step(self, metrics: Mapping[str, Any]) -> None:
        if self.thread is not None:
            self.thread.join()
            self.thread = None
            self.then()
        if self.left and metrics["step"] >= self.left[0]:
            self.left.pop(0)
            self.thread = threading.Timer(self.rng.uniform(0, self.wait), self._deed)
            self.thread.start()

    def _deed(self) -> None:
        self.do()
        self.done += 1  # not where it raised


def end(title: str) -> None:
    """Kill a process of ours whose title says what it is; waits for one to be there."""
    import psutil

    while True:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if title in " ".join(process.cmdline()) or title in process.name():
                    process.kill()
                    return
        time.sleep(0.05)


def lines(path: Path) -> int:
    """Whole lines of a file that may not be there."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def cluster(cpus: int = 1) -> Iterator[Any]:
    """A head, where the driver is, and two nodes, in processes of this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=cpus, object_store_memory=STORE)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


if __name__ == "__main__":
    main()
