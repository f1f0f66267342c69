"""The pipeline's simulation (`palaestra/alignment/pipeline.py`) against real runs, for 0, 1 and 2 steps ahead.

Fed in: how long rollouts and learning take in a synchronous run, and how much slower both are while they share this
machine, which is measured apart (both in threads of one process, with nothing of a run around them). Predicted: the
share of the time in which the learner learns, and the length of a step. Then the same scenario is trained with that
staleness. Real runs of all three take turns; the table has the medians over the rounds, and the range.

Rollout and learning are threads of one Python process: they wait for each other's interpreter, and for cores that other
work takes. So what overlapping gains, and the slowdowns below, are of this machine in this hour. 0 ahead is no test of
the utilization, for it is what was fed in; 1 and 2 ahead the learner is the bottleneck of these runs, and the length of
a step is the stricter test. Where play is the bottleneck, nothing was compared with a real run: there the
simulation rests on its closed forms (`tests/alignment/test_pipeline.py`). *Wide* is a model of width 128.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from palaestra.alignment.pipeline import Forecast, Pipeline, Slowdown, simulate, steady
from proofs.common import add, kept, table, write

STEPS, WARM, ROUNDS = 12, 2, 3
SPAN_S = 4.0
"""How long each way of sharing is measured, in a round."""
QUIET = (
    "run.record=false",
    "run.checkpoint_every=1000000",
    "eval.every=0",
    "eval.instances=2",
    f"recipe.steps={STEPS}",
)
CASES = {
    "tools_rl": ("tools_rl", "policies.solver.clone=none"),
    "tools_rl, wide": (
        "tools_rl",
        "policies.solver.clone=none",
        "policies.solver.tiny={ width = 128, layers = 3, heads = 4 }",
    ),
}
AHEAD = (0, 1, 2)
BOUND = 0.1
KEEP = Path("docs/proofs/cells/pipeline.jsonl")
WAYS = ((1, False), (0, True), (1, True), (2, False), (2, True))
"""Rollouts at once, and whether the learner learns."""


class Steps(NamedTuple):
    """What a run's metrics say, by step."""

    rollout: list[float]
    learn: list[float]
    step: list[float]

    @property
    def learner(self) -> float:
        return sum(self.learn) / sum(self.step)

    @property
    def step_s(self) -> float:
        return sum(self.step) / len(self.step)


def main() -> None:
    """Measure, predict, compare."""
    rounds = kept(KEEP)
    for number in range(ROUNDS):
        for name in CASES:
            if not any(seen["case"] == name and seen["round"] == number for seen in rounds):
                rounds.append(one_round(name, number))
                add(KEEP, rounds[-1])
    rows: list[list[Any]] = []
    factors: list[list[Any]] = []
    data: dict[str, Any] = {}
    for name in CASES:
        mine = [seen for seen in rounds if seen["case"] == name]
        shared = slowdowns(
            {
                (players, learning): tuple(median(seen["rates"][at][side] for seen in mine) for side in (0, 1))
                for at, (players, learning) in enumerate(WAYS)
            }
        )
        factors += [[name, _called(way), f"{s.play:.2f}", f"{s.learn:.2f}"] for way, s in shared.items()]
        real = {s: [Steps(*seen["runs"][s]) for seen in mine] for s in AHEAD}
        data[name] = {"slowdown": {_called(way): s._asdict() for way, s in shared.items()}, "runs": {}}
        for ahead, runs in real.items():
            forecast = predict(real[0], shared, ahead)
            learner, step_s = [s.learner for s in runs], [s.step_s for s in runs]
            error = forecast.learner / median(learner) - 1
            found = {"predicted": forecast._asdict(), "learner": learner, "step_s": step_s, "error": error}
            data[name]["runs"][ahead] = found
            row = [name, ahead, f"{forecast.learner:.1%}", f"{median(learner):.1%}", f"{error:+.1%}"]
            row += [f"{min(learner):.1%} to {max(learner):.1%}", f"{forecast.step_s:.2f}", f"{median(step_s):.2f}"]
            rows.append([*row, f"{forecast.step_s / median(step_s) - 1:+.0%}"])
    worst = max(abs(found["error"]) for case in data.values() for found in case["runs"].values())
    steps = {name: {s: median(f["step_s"]) for s, f in case["runs"].items()} for name, case in data.items()}
    gains = " and ".join(f"{by[1] / by[0]:.0%} ({name})" for name, by in steps.items())
    loads = sorted(seen["load"] for seen in rounds)
    head = ("run", "ahead", "predicted", "measured", "off by", "range", "step predicted, s", "measured, s", "off by")
    text = f"""# The simulated pipeline against real runs

{__doc__}
*Predicted* and *measured* are the learner's utilization. {STEPS} steps a run, the first {WARM} left out, {ROUNDS}
rounds in turns, on {os.cpu_count()} cores. Where a round began, the machine's load average was {loads[0]:.1f} to
{loads[-1]:.1f}. The largest error of the utilization is {worst:.1%}. One step ahead, a step takes {gains} of the
synchronous one's time.

{table(head, rows)}

How many times slower than alone, for what goes on at once:

{table(("run", "at once", "play", "learning"), factors)}
"""
    write("pipeline", {"cases": data, "worst": worst}, text)
    if worst > BOUND:
        sys.exit(1)


def one_round(name: str, number: int) -> dict[str, Any]:
    """Train with each staleness, and measure what sharing costs."""
    scenario, *settings = CASES[name]
    load = os.getloadavg()[0]
    runs = [run(scenario, (*settings, f"recipe.staleness={ahead}"), ahead) for ahead in AHEAD]
    rates = sharing(scenario, settings)
    print("  ", name, number, *(f"{seen.learner:.1%} of {seen.step_s:.2f} s" for seen in runs), flush=True)
    return {"case": name, "round": number, "load": load, "runs": runs, "rates": [rates[way] for way in WAYS]}


def _called(way: tuple[int, bool]) -> str:
    players, learning = way
    return " and ".join([f"{players} played"] * bool(players) + ["learning"] * learning)


def run(name: str, settings: Sequence[str], staleness: int) -> Steps:
    """Train for some steps; the times of those in the middle."""
    from palaestra.scenarios.runs import train
    from palaestra.scenarios.scenario import Scenario

    folder = Path(tempfile.mkdtemp(prefix="palaestra-pipeline-"))
    try:
        lines = train(Scenario.load(name, [*QUIET, *settings]), folder / "run").metrics()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = lines[1 + WARM : len(lines) - staleness]  # at the end there is nothing more to begin
    return Steps(*([line[f"time/{key}_s"] for line in middle] for key in ("rollout", "learn", "step")))


def predict(synchronous: list[Steps], shared: dict[tuple[int, bool], Slowdown], staleness: int) -> Forecast:
    """The forecast from what a synchronous run took: a batch is one job, its seconds drawn from those measured."""
    rollout = [s for steps in synchronous for s in steps.rollout]
    learn = [s for steps in synchronous for s in steps.learn]
    rest = [s - r - e for steps in synchronous for s, r, e in zip(steps.step, steps.rollout, steps.learn, strict=True)]
    pipeline = Pipeline(
        episodes=1,
        tokens=lambda rng: rng.choice(rollout),
        token_s=steady(1.0),
        learn=lambda rng: rng.choice(learn),
        publish_s=median(rest),
        staleness=staleness,
        at_once=max(staleness, 1),
        shared=lambda playing, learning: shared.get((playing, learning), Slowdown()),
    )
    return simulate(pipeline, steps=500)


# -- what sharing costs ------------------------------------------------------------------------------------------------
def sharing(name: str, settings: Sequence[str]) -> dict[tuple[int, bool], tuple[float, float]]:
    """Rollouts a second of one thread, and updates a second, for each way of sharing; 0 for what does not go on."""
    from palaestra.agents.episode import PolicyRef
    from palaestra.scenarios.build import build
    from palaestra.scenarios.scenario import Scenario

    online = build(Scenario.load(name, [*QUIET, *settings]))
    jobs = online.jobs(0)
    for trainee in online.trainees:
        online.engine.freeze(PolicyRef(trainee, 0))
        online.engine.set_version(trainee, 1)  # version 0 is played from its copy, as in a run that is ahead
    play = online.workers.ready(jobs)
    episodes = play()
    for episode in episodes:
        episode.scores["train"] = dict(online.signal(episode))
    rows, _ = online.credit(episodes, {str(PolicyRef(t, 0)) for t in online.trainees})
    online._refresh_references()

    def learn() -> None:
        for trainee in online.trainees:
            online._learn(trainee, online.trainees[trainee], rows[trainee], 0.0)

    learn()
    return {way: together(play, learn, *way) for way in WAYS}


def together(play: Callable[[], Any], learn: Callable[[], Any], players: int, learning: bool) -> tuple[float, float]:
    """Rates of both for a while."""
    until = time.perf_counter() + SPAN_S
    tasks = [play] * players + [learn] * learning
    rates = [0.0] * len(tasks)

    def loop(index: int) -> None:
        begun, count = time.perf_counter(), 0
        while (now := time.perf_counter()) < until or count < 2:
            tasks[index]()
            count += 1
        del now
        rates[index] = count / (time.perf_counter() - begun)

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (sum(rates[:players]) / players if players else 0.0), (rates[-1] if learning else 0.0)


def slowdowns(rates: dict[tuple[int, bool], tuple[float, ...]]) -> dict[tuple[int, bool], Slowdown]:
    """By how much each is slower than alone."""
    play, learn = rates[1, False][0], rates[0, True][1]
    return {
        (n, learning): Slowdown(play / p if n else 1.0, learn / u if learning else 1.0)
        for (n, learning), (p, u) in rates.items()
    }


if __name__ == "__main__":
    main()
