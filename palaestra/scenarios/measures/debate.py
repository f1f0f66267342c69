"""Does debate help the judge: its accuracy under each protocol, on the same passages.

A seed means the same passage, letters and sides under every protocol, so the protocols are compared passage by
passage. `blind` (the judge answers at once) is the floor and `oracle` (the judge reads the passage) the ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.agents.policy import Policy
from palaestra.agents.workers import Here
from palaestra.alignment.evaluate import Estimate, Evaluation, Setting, bootstrap, evaluate, held_out, paired
from palaestra.envs.debate.debate import PROTOCOLS
from palaestra.envs.registry import env_class
from palaestra.scenarios.runs import find_version, open_run


@dataclass
class Protocols:
    """What the protocols are worth to the judge, over the same passages."""

    accuracy: dict[str, Estimate]
    """protocol -> share of passages that the judge gets right; undecided (50 percent) counts half."""
    gain: Estimate
    """Accuracy under debate minus under consultancy, passage by passage."""
    truth_wins: Estimate
    """Of the debates that were decided, the share in which the judge believed the debater of the right answer."""
    support: Estimate
    """How well the verified quotes of that debater tie the answer to the question, in debates."""
    judge_right: dict[str, dict[int, float]]
    """protocol -> passage seed -> 1, 1/2 or 0: what the accuracies are means of."""
    failed: int = 0
    """Episodes that broke off; they are in no mean."""

    def text(self) -> str:
        """As the terminal shows it."""
        rows = [(f"judge right, {name}", found) for name, found in self.accuracy.items()]
        rows += [("debate - consultancy", self.gain), ("truth wins, of decided", self.truth_wins)]
        rows.append(("support of the truth", self.support))
        lines = [f"  {name:<26}{found!s:<26}n = {found.n}" for name, found in rows]
        if self.failed:
            lines.append(f"  {self.failed} episodes broke off and are in no mean")
        return "\n".join([*lines, "  intervals: bootstrap over passages, 95%"])


def protocols(
    cast: Mapping[str, Policy], params: Mapping[str, Any] | None = None, *, instances: int = 200, live: int = 256
) -> Protocols:
    """Play the same held-out passages under every protocol.

    Args:
        cast: who sits in `debater_0`, `debater_1`, `judge_0`.
        params: parameters of the environment; their `protocol` is replaced, `split` is by default the held-out one.
        instances: passages.
        live: completions under way at once.
    """
    fixed = {"split": held_out(env_class("debate").splits), **(params or {})}
    setting = {"protocol": [Setting(dict(cast), tuple(cast))]}
    found: dict[str, Evaluation] = {
        name: evaluate("debate", {**fixed, "protocol": name}, setting, instances, workers=Here(live))
        for name in PROTOCOLS
    }
    right = {name: result.values.get("judge_right", {}) for name, result in found.items()}
    decided = [value for value in right["debate"].values() if value != 0.5]
    return Protocols(
        accuracy={name: bootstrap(list(by.values())) for name, by in right.items()},
        gain=paired(right["debate"], right["consultancy"]),
        truth_wins=bootstrap(decided),
        support=found["debate"].estimate("support"),
        judge_right=right,
        failed=sum(result.failed for result in found.values()),
    )


def protocols_of_run(
    path: Path | str, *, version: int | None = None, instances: int = 200, params: Mapping[str, Any] | None = None
) -> Protocols:
    """The protocols with the policies of a run: every trained seat at `version` (default: the last; 0: the start).

    Raises:
        CheckpointError: no run there, or the version was not kept.
    """
    scenario, online, run = open_run(path)
    cast: dict[str, Policy] = dict(online.cast)
    for seat in cast:
        name = scenario.seat(seat).policy
        if trainee := online.trainees.get(name):
            last = online.engine.version(name)
            if version not in (None, last):
                find_version(run, f"{name}@{version}")
            cast[seat] = trainee.policy.at(last if version is None else version)
    return protocols(
        cast,
        {**scenario.env_params, **scenario.eval.params, **(params or {})},
        instances=instances,
        live=scenario.run.live,
    )


def rise(after: Protocols, before: Protocols, protocol: str = "debate") -> Estimate:
    """How much the judge's accuracy under a protocol rose from one version to another, passage by passage."""
    return paired(after.judge_right[protocol], before.judge_right[protocol])
