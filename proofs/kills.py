"""Twenty kills (SIGKILL) drawn from a seed, over rollout, step, publish and checkpoint.

Resumed, each run is bitwise the run that was never killed: weights, optimizer, league, metrics and episodes. Leaving
out one component of the checkpoint (the global torch state) makes the proof fail.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from proofs.common import table, write

KILLS = 20
SETTINGS = (
    "recipe.steps=8",
    "recipe.episodes=60",
    "recipe.epochs=2",
    "recipe.minibatches=2",
    "recipe.kl.refresh=3",
    "recipe.estimator=rae",
    "league.matchmaking=uniform",
    "league.every=2",
    "eval.every=4",
    "eval.instances=10",
    "run.checkpoint_every=2",
)
PHASES = ("rollout", "step", "publish", "checkpoint")


def main() -> None:
    """Kill, resume, compare."""
    from palaestra.scenarios.runs import diff, resume

    folder = Path(tempfile.mkdtemp(prefix="palaestra-kills-"))
    rows: list[tuple[Any, ...]] = []
    try:
        whole = folder / "whole"
        assert child(whole) == 0
        rng = random.Random("kills")
        plan = [(PHASES[i % 4], rng.randrange(1, 9), rng.randrange(1, 40)) for i in range(KILLS)]
        for number, (phase, step, count) in enumerate(plan):
            path = folder / f"killed-{number}"
            code = child(path, phase, step, count)
            found = sorted(p.name for p in (path / "checkpoints").glob("*"))
            in_process_resume(path)
            differences = diff(whole, path, exact=True)
            killed = code == -signal.SIGKILL
            rows.append(
                (number, phase, step, killed, " ".join(found) or "none", "equal" if not differences else differences[0])
            )
            print("  kill", *rows[-1], flush=True)
            shutil.rmtree(path)
        withheld = without_torch_state(folder, whole, resume, diff)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    equal = sum(r[-1] == "equal" and r[3] for r in rows)
    counts = Counter(r[1] for r in rows if r[3])
    data = {"kills": [list(r) for r in rows], "equal": equal, "by_phase": counts, "withheld_differs": withheld}
    head = ("kill", "phase", "at step", "killed", "checkpoints on disk", "after resume")
    verdict = "differs, as it must" if withheld else "EQUAL: the proof has no teeth"
    text = f"""# Kill it anywhere

{__doc__}
{equal} of {KILLS} equal; kills by phase: {", ".join(f"{k} {v}" for k, v in sorted(counts.items()))}.
Without the global torch state in the checkpoint: {verdict}.

{table(head, rows)}
"""
    write("kills", data, text)
    if equal != KILLS or not withheld or min(counts[p] for p in PHASES) < 3:
        sys.exit(1)


def without_torch_state(folder: Path, whole: Path, resume: Any, diff: Any) -> bool:
    """Whether a run resumed with another global torch state differs."""
    import torch

    from palaestra.alignment.run import RunDir

    path = folder / "withheld"
    child(path, "rollout", 6, 1)
    step, state, tensors = RunDir(path).peek()
    torch.manual_seed(12345)
    tensors["torch_random"] = torch.get_rng_state()
    RunDir(path).save(step, state, tensors)
    in_process_resume(path)
    return bool(diff(whole, path, exact=True))


def in_process_resume(path: Path) -> None:
    """`palaestra resume` in a process of its own."""
    code = f"from palaestra.scenarios.runs import resume; resume({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def child(path: Path, phase: str = "", step: int = 0, count: int = 0) -> int:
    """Train in a process of its own that kills itself in a phase of a step; its exit code."""
    arguments = [sys.executable, "-m", "proofs.kills", str(path), phase, str(step), str(count)]
    return subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


def kill_in(phase: str, step: int, count: int) -> None:
    """Arrange that this process is killed in a phase of a step, somewhere in its middle (`count` drawn)."""
    from palaestra.agents.engines.embedded import EmbeddedEngine
    from palaestra.alignment.learner import Learner
    from palaestra.alignment.loops.online import Online
    from palaestra.alignment.run import RunDir

    now = {"step": 0, "calls": 0}
    original = Online.step

    def counted(self: Online) -> Any:
        now["step"], now["calls"] = self.done + 1, 0
        return original(self)

    Online.step = counted  # type: ignore[method-assign]

    def deadly(owner: Any, name: str, calls: int) -> None:
        method = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if now["step"] >= step:
                now["calls"] += 1
                if now["calls"] >= calls:
                    os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments, **named)

        setattr(owner, name, wrapped)

    if phase == "rollout":
        deadly(EmbeddedEngine, "serve", 1 + count % 3)
    elif phase == "step":
        deadly(Learner, ("forward_backward", "optim_step")[count % 2], 1 + count % 4)
    elif phase == "publish":
        deadly(EmbeddedEngine, ("set_version", "freeze")[count % 2], 1)
    elif phase == "checkpoint":
        if count % 2:
            deadly(RunDir, ("save", "write_metrics", "write_episodes")[count % 3], 1)
        else:  # in the middle of writing it
            import palaestra.alignment.run as module

            deadly(module, "_sync", 1 + count % 3)


if __name__ == "__main__":
    from palaestra.scenarios.runs import train
    from palaestra.scenarios.scenario import Scenario

    where, which, at, drawn = sys.argv[1:5]
    if which:
        kill_in(which, int(at), int(drawn))
    train(Scenario.load("kuhn_selfplay", SETTINGS), Path(where))
