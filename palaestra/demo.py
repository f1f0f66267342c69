"""`make demo`: two jobs that learn on a laptop, beside their controls, in a few minutes.

Kuhn poker is learned from a randomly initialized model by self-play, measured by exact exploitability (NashConv in
chips: uniform play 0.917, the best play that ignores its card 0.667, equilibrium 0), beside two controls on the same
budget: the same rewards shuffled, and no slow reference. A calculator is learned from rewards alone, measured by the
share of right products of held-out operands, beside shuffled rewards.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

OUT = Path("runs/demo")
JOBS = ("tools_rl", "kuhn_selfplay", "kuhn_selfplay:no_reference", "kuhn_selfplay:shuffled", "tools_rl:shuffled")
MEASURES = {"kuhn_selfplay": "nashconv", "tools_rl": "correct"}
REFERENCE_LINES = {"uniform play": 11 / 12, "best play that ignores its card": 2 / 3, "equilibrium": 0.0}


def main() -> int:
    """Run everything; 0 only if the bars are met."""
    began = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    print(__doc__)
    print(f"{len(JOBS)} runs, {os.cpu_count()} cores, nothing is downloaded. Runs lie in {OUT}/\n", flush=True)
    seconds: dict[str, float] = {}
    workers = max(1, min(2, os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(one, job): job for job in JOBS}
        for future in as_completed(futures):
            seconds[futures[future]] = future.result()
    summary = [row(name, seconds) for name in MEASURES]
    (OUT / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    report()
    return verdict(summary, time.perf_counter() - began)


def path_of(job: str) -> Path:
    """Where a job's run lies."""
    return OUT / job.replace(":", "-")


def one(job: str) -> float:
    """Train one scenario in this process; seconds it took."""
    from palaestra.scenarios.runs import Silent, train
    from palaestra.scenarios.scenario import Scenario

    scenario = Scenario.load(job)
    measure = f"eval/{scenario.eval.measure}"

    class Line(Silent):
        def note(self, text: str) -> None:
            print(f"  {job:<28} {text}", flush=True)

        def step(self, metrics: Mapping[str, Any]) -> None:
            if measure in metrics and (metrics["step"] % 50 == 0 or scenario.recipe.steps < 50):
                steps, value = scenario.recipe.steps, metrics[measure]
                print(f"  {job:<28} step {metrics['step']:>3}/{steps}  {measure[5:]} {value:.3f}", flush=True)

    began = time.perf_counter()
    train(scenario, path_of(job), show=Line())
    return round(time.perf_counter() - began, 1)


def ends(job: str, measure: str) -> tuple[float, float] | None:
    """The measure at the first and at the last evaluation of a run."""
    from palaestra.alignment.run import RunDir

    if not path_of(job).exists():
        return None
    values = [m[f"eval/{measure}"] for m in RunDir(path_of(job)).metrics() if f"eval/{measure}" in m]
    return values[0], values[-1]


def row(name: str, seconds: Mapping[str, float]) -> dict[str, Any]:
    """A line of the summary."""
    measure = MEASURES[name]
    found = ends(name, measure)
    assert found is not None
    twin, free = ends(f"{name}:shuffled", measure), ends(f"{name}:no_reference", measure)
    return {
        "scenario": name,
        "measure": measure,
        "before": found[0],
        "after": found[1],
        "twin": twin and twin[1],
        "no_reference": free and free[1],
        "seconds": seconds[name],
    }


def report() -> None:
    """The page that shows it."""
    from palaestra.view.report import write_report

    twins = {"rewards shuffled": "kuhn_selfplay:shuffled", "no reference": "kuhn_selfplay:no_reference"}
    page = write_report(
        path_of("kuhn_selfplay"),
        compare={label: path_of(job) for label, job in twins.items()},
        reference_lines=REFERENCE_LINES,
        out=OUT / "report.html",
    )
    other = write_report(
        path_of("tools_rl"), compare={"rewards shuffled": path_of("tools_rl:shuffled")}, out=OUT / "tools.html"
    )
    print(f"\n  look at it: {page} and {other}")


def verdict(summary: list[dict[str, Any]], seconds: float) -> int:
    """Print the summary against its bars."""
    print(f"\n  {'scenario':<16}{'measure':<10}{'before':>8}{'after':>8}{'shuffled':>10}{'no reference':>14}{'s':>7}")
    for r in summary:
        twin = "-" if r["twin"] is None else f"{r['twin']:.3f}"
        free = "-" if r["no_reference"] is None else f"{r['no_reference']:.3f}"
        print(
            f"  {r['scenario']:<16}{r['measure']:<10}{r['before']:>8.3f}{r['after']:>8.3f}{twin:>10}{free:>14}"
            f"{r['seconds']:>7.1f}"
        )
    kuhn, tools = summary
    bars = {
        f"NashConv at the last step at most 0.20 (aim 0.10): {kuhn['after']:.3f}": kuhn["after"] <= 0.20,
        f"with shuffled rewards at least 0.50: {kuhn['twin']:.3f}": kuhn["twin"] >= 0.50,
        f"tool success rises by at least 0.30, to above 0.50: {tools['before']:.3f} to {tools['after']:.3f}": tools[
            "after"
        ]
        > max(0.5, tools["before"] + 0.3 - 1e-12),
    }
    for text, met in bars.items():
        print(f"  {'ok  ' if met else 'MISS'}  {text}")
    print(f"  {seconds:.0f} s in all")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
