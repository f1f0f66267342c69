"""From the start of the process to the end of the first optimizer step, with a saved start policy.

`python -m benchmarks.start ARGUMENTS` is the measured process: `palaestra ARGUMENTS`, and the time of its first step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import row

MARK = "first optimizer step at "


def timed(arguments: list[str]) -> None:
    """What the measured process does: the command as it is, which tells when its first step is done."""
    from palaestra.alignment.learner import Learner
    from palaestra.cli import main

    step = Learner.optim_step
    told: list[float] = []

    def marked(self: Learner) -> dict[str, float]:
        metrics = step(self)
        if not told:
            told.append(time.time())
            print(f"\n{MARK}{told[0]} {time.process_time()}", flush=True)
        return metrics

    Learner.optim_step = marked  # type: ignore[method-assign]
    sys.argv = ["palaestra", *arguments]
    main()


def once(model: Path, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds to the end of the first step."""
    settings = [f'policies.player.model="{model}"', "recipe.steps=1"]
    command = [sys.executable, "-m", "benchmarks.start", "train", "kuhn_selfplay"]
    for setting in settings:
        command += ["--set", setting]
    paths = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    began = time.time()
    done = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True)
    (stamp,) = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    at, cpu = map(float, stamp.split())
    return at - began, cpu


def run(*, quick: bool) -> dict[str, Any]:
    """Figures and table."""
    from palaestra.agents.tiny import env_texts, save, tiny

    times = []
    with tempfile.TemporaryDirectory(prefix="palaestra-benchmark-") as name:
        folder = Path(name)
        save(*tiny(env_texts("kuhn")), folder / "start")
        for _ in range(1 if quick else 3):
            times.append(once(folder / "start", folder))
    wall, cpu = median(t for t, _ in times), median(c for _, c in times)
    return {
        "about": (
            "`palaestra train kuhn_selfplay` from a saved checkpoint of 0.17 M parameters, evaluation before training "
            "included: wall time from the start of the process to the end of its first optimizer step."
        ),
        "rows": [
            row("process start to first step", f"{wall:.1f} s", "", None, "at most 8 s", wall <= 8),
            row("the same in CPU time: what an idle machine would take", f"{cpu:.1f} s"),
        ],
        "wall_s": [round(t, 2) for t, _ in times],
        "cpu_s": [round(c, 2) for _, c in times],
    }


if __name__ == "__main__":
    timed(sys.argv[1:])
