"""What a tiny model learns in sixteen environments, beside its shuffled-reward twin.

Thirteen by one recipe (what an environment changes in it stands in `WORLDS`), three as scenarios of the library. The
model is cloned from a scripted player half of whose moves are random, and then trained on the environment's reward. It
is measured on held-out instances (leduc and liars_dice have one split: on other seeds) before and after, beside the
same training with rewards shuffled among episodes, and the scripted oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

from palaestra.envs.registry import BUILTIN, env_class
from proofs.common import OUT, SEEDS, Cell, interval, kept, run_cells, table, value, write
from proofs.learning import gain, seeds

CELLS = OUT / "cells" / "worlds.jsonl"
LIBRARY = OUT / "cells" / "learning.jsonl"
SHUFFLED = "recipe.shuffle_rewards=true"


class World(NamedTuple):
    """How an environment differs from the common recipe."""

    steps: int = 16
    others: Mapping[str, str] = {}
    """seat -> the scripted player that sits there; the model learns in the other seats."""
    teacher: str = "greedy"
    level: int = 0
    also: tuple[str, ...] = ()


WORLDS: dict[str, World] = {
    "scene": World(steps=24),
    "secret": World(steps=24, others={"visitor_0": "greedy"}),
    "moral": World(steps=24, others={"user_0": "greedy"}),
    "redteam": World(others={"attacker_0": "greedy"}),
    "prover": World(steps=32),
    "multi_issue": World(steps=24),
    "coalition": World(steps=24),
    "leduc": World(steps=60),
    "liars_dice": World(steps=60),
    "matrix": World(steps=40),
    "api": World(),
    "manor": World(),
    "lab": World(),
}
FROM_LIBRARY = ("grid_rl", "household_rl", "dyad_selfplay")
"""Scenarios of the library whose environments are beyond the spine's: their cells are those of the proof `learning`."""


def settings(name: str) -> tuple[str, ...]:
    """What a world's run sets, over the scenario that an environment's id stands for."""
    world, cls = WORLDS[name], env_class(name)
    every = cls(level=world.level).seats
    learning = [seat for seat in every if seat not in world.others]
    teachers = ", ".join(f'{seat} = "{world.teacher}"' for seat in learning)
    found = [
        f"env_params.level={world.level}",
        "policies.learner.norm=token",
        f"policies.learner.clone={{ players = {{ {teachers} }}, share = 0.5, batches = 60, batch = 32 }}",
        *(f'policies.{player}.player="{player}"' for player in world.others.values()),
        *(f"cast.{seat}={player}" for seat, player in world.others.items()),
        "recipe.kl=none",
        "recipe.entropy=none",
        f"recipe.steps={world.steps}",
        "recipe.episodes=64",
        "recipe.group_size=8",
        f"recipe.estimator={'dr_grpo' if len(learning) == 1 else 'loo_instance_seat'}",
        "recipe.objective=ppo",
        "recipe.lr=1e-3",
        "recipe.decay=false",
        "recipe.packing=true",
        "eval.every=0",
        "eval.instances=150",
    ]
    if len(learning) > 1 and cls.zero_sum:
        found += ['eval.against=["player:random", "player:greedy"]']
    elif cls.skill:
        found += [f"eval.measure={cls.skill}"]
    return (*found, *world.also)


def main() -> None:
    """Ten seeds a world, beside the twin. Finished cells are kept: it can be cut and called again."""
    run_cells(
        [
            Cell(name, seed, (*settings(name), *twin), name + (":shuffled" if twin else ""))
            for seed in SEEDS
            for name in WORLDS
            for twin in ((), (SHUFFLED,))
        ],
        keep=CELLS,
    )
    report()


def report() -> None:
    """The tables of the cells that are there; a seed counts where world and twin have it."""
    found = {(r["label"], r["seed"]): r for r in kept(CELLS)}
    found |= {(r["scenario"], r["seed"]): r for r in kept(LIBRARY) if r["scenario"].partition(":")[0] in FROM_LIBRARY}
    rows, parts, summary = [], [], []
    for folder in dict.fromkeys(target.split(".")[2] for target in BUILTIN.values()):
        for name in (*FROM_LIBRARY, *WORLDS):
            env = name.partition("_")[0] if name in FROM_LIBRARY else name
            there = [s for s in SEEDS if (name, s) in found and (f"{name}:shuffled", s) in found]
            if BUILTIN[env].split(".")[2] != folder or not there:
                continue
            run, twin = ([found[label, s] for s in there] for label in (name, f"{name}:shuffled"))
            line = _line(folder, name, run, twin)
            summary.append(line)
            rows.append(tuple(line.values()))
            parts += [f"## {name}", "", f"Gold: {run[0]['measure']}.", "", seeds(run, twin), ""]
    met = sum(int(line["improved"].split()[0]) >= 8 for line in summary)
    note = (
        f"{met} of {len(summary)} environments improve at 8 seeds of 10 or more. Gains point towards the goal; the "
        "oracle plays in the model's seats, on the same instances, and may see what the seat does not (in `matrix` it "
        "is selfish, and in both seats earns less than two who help each other)."
    )
    text = ["# What is learned in which world", "", __doc__ or "", "", table(tuple(summary[0]), rows), "", note, ""]
    write("worlds", {"summary": summary, "cells": list(found.values())}, "\n".join([*text, *parts]))


def _line(folder: str, name: str, run: list[dict[str, Any]], twin: list[dict[str, Any]]) -> dict[str, str]:
    gains = [gain(r) for r in run]
    return {
        "folder": folder,
        "environment": name,
        "gold": run[0]["measure"],
        "before": f"{fmean(value(r, 0) for r in run):.3f}",
        "after": f"{fmean(value(r, -1) for r in run):.3f}",
        "twin after": f"{fmean(value(r, -1) for r in twin):.3f}",
        "oracle": f"{oracle(run[0]):.3f}",
        "gain (95 % over seeds)": interval(gains),
        "improved": f"{sum(g > 0 for g in gains)} of {len(gains)}",
        "twin's gain": interval([gain(r) for r in twin]),
        "twin improved": f"{sum(gain(r) > 0 for r in twin)} of {len(twin)}",
        "CPU s": f"{fmean(r['cpu_s'] for r in run):.0f}",
    }


def oracle(result: dict[str, Any]) -> float:
    """The gold number of the scripted oracle in the place of the model of a cell."""
    from palaestra.agents.policy import player
    from palaestra.scenarios.runs import evaluate_policy
    from palaestra.scenarios.scenario import Scenario

    scenario = Scenario.load(result["scenario"], result["settings"])
    names = {seat: scenario.policies[scenario.seat(seat).policy].player for seat in scenario.make_env().seats}
    best = player(scenario.env_class, "oracle")
    cast = {seat: player(scenario.env_class, name) if name else best for seat, name in names.items()}
    return evaluate_policy(scenario, cast, best, scenario.eval.against).estimate(scenario.eval.measure).mean


if __name__ == "__main__":
    main()
