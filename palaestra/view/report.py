"""A run as one HTML page: what was trained, what came of it beside its control twins, and what it looks like.

The page is a single file without any network access. It reads the run directory only, so it needs neither torch nor
the environment, and it leaves out what the run does not have.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.agents.episode import Episode, read_episodes
from palaestra.errors import CheckpointError, RecordError
from palaestra.view.chart import Chart, Point, Series, Unit, draw, number, tick_label, ticks
from palaestra.view.stage import fact, plain, stage, text

NASHCONV_LINES = {
    "kuhn": {"uniform play": 11 / 12, "best card-blind": 2 / 3, "equilibrium": 0.0},
    "leduc": {"uniform play": 4.7472, "equilibrium": 0.0},
}
"""NashConv in chips, by environment: exact values that tell how far a policy has come."""

TWIN_STYLES = (("c1", "8 4"), ("c2", "2 4"), ("c3", "10 3 2 3"), ("c4", "5 3"), ("c5", "1 3"))
EPISODES = 4
"""Sample episodes shown, before and after each."""
NARROW, MIDDLE, WIDE = 340, 690, 1036
"""Widths at which charts are drawn, in pixels."""


class Quantity(NamedTuple):
    """How a number is called and printed."""

    name: str
    measured_in: str = ""
    unit: Unit = ""
    note: str = ""


class Verdict(NamedTuple):
    """First and last evaluation of a measure, and what the two say: better, worse or unclear."""

    before: Point
    after: Point
    word: str


def write_report(
    run: Path,
    *,
    compare: Mapping[str, Path] | None = None,
    out: Path | None = None,
    reference_lines: Mapping[str, float] | None = None,
) -> Path:
    """Write the report of a run directory and return where it is.

    Args:
        run: the run directory; it may still be running.
        compare: control twins, label -> run directory; shown beside the run.
        out: the file to write; default `report.html` in the run directory.
        reference_lines: lines in the chart of the gold measure, label -> value; default for `nashconv`: those of
            `NASHCONV_LINES`.

    Raises:
        CheckpointError: a directory is none of a run.
        RecordError: a file of the run is damaged; names the file and the line.
    """
    record = _Run(Path(run))
    twins = {label: _Run(Path(path)) for label, path in (compare or {}).items()}
    target = Path(out) if out is not None else record.path / "report.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_page(record, twins, reference_lines), encoding="utf-8")
    return target


class _Run:
    """What a run directory says, read once."""

    def __init__(self, path: Path) -> None:
        if not any((path / name).exists() for name in ("run.json", "metrics.jsonl", "scenario.toml")):
            raise CheckpointError(f"{path}: no run directory\n  give a directory that `palaestra train` wrote")
        self.path = path
        self.info: dict[str, Any] = _json(path / "run.json")
        self.league: dict[str, Any] = _json(path / "league.json")
        scenario = path / "scenario.toml"
        self.scenario_text = scenario.read_text(encoding="utf-8") if scenario.exists() else ""
        self.scenario: dict[str, Any] = tomllib.loads(self.scenario_text)
        self.alerts = [(int(a["step"]), plain(a["text"])) for a in _json_lines(path / "alerts.jsonl")]
        steps: dict[int, dict[str, Any]] = {}
        for row in _json_lines(path / "metrics.jsonl"):
            steps.setdefault(int(row["step"]), {}).update(row)  # a resumed run may have written a step twice
        self.metrics = [steps[step] for step in sorted(steps)]

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the scenario by its path, such as `recipe.kl.coef`."""
        value: Any = self.scenario
        for part in key.split("."):
            if not isinstance(value, dict) or part not in value:
                return default
            value = value[part]
        return value

    @property
    def name(self) -> str:
        return str(self.get("name") or self.path.resolve().name)

    @property
    def measure(self) -> str:
        """The named gold measure: the scenario's, or else the first one that was evaluated."""
        named = self.get("eval.measure")
        found = [k.removeprefix("eval/") for k in self.logged("eval/") if k.count("/") == 1]
        return str(named or (found[0] if found else "return"))

    @property
    def steps(self) -> int:
        return int(self.metrics[-1]["step"]) if self.metrics else 0

    def logged(self, prefix: str = "") -> list[str]:
        """Numeric metrics that begin with `prefix`, in the order of their first appearance."""
        return [
            k for k in dict.fromkeys(k for row in self.metrics for k in row) if k.startswith(prefix) and k != "step"
        ]

    def curve(self, key: str) -> list[Point]:
        """A metric by step, where it is a finite number, with the interval that stands beside it."""
        out = []
        for row in self.metrics:
            value = _finite(row.get(key))
            if value is not None:
                low, high = _finite(row.get(f"{key}/low")), _finite(row.get(f"{key}/high"))
                out.append(Point(row["step"], value, low, high))
        return out

    def samples(self) -> list[tuple[int, list[Episode]]]:
        """The first and the last shard of evaluation episodes (else of training episodes): (step, episodes)."""
        for folder in ("eval", "episodes"):
            shards = sorted((self.path / folder).glob("step-*.jsonl"))
            ends = [shards[0], shards[-1]] if len(shards) > 1 else shards
            found = [(int(s.stem.removeprefix("step-")), _some(s)) for s in ends]
            if found := [(step, episodes) for step, episodes in found if episodes]:
                return found
        return []


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RecordError(f"{path}: not JSON: {error}") from None


def _json_lines(path: Path) -> Iterable[dict[str, Any]]:
    """The lines of a file; a torn last one (no line end) is dropped."""
    if not path.exists():
        return
    for index, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            return
        try:
            yield json.loads(line)
        except ValueError as error:
            raise RecordError(f"{path}:{index}: not JSON: {error}") from None


def _some(shard: Path) -> list[Episode]:
    return list(itertools.islice(read_episodes(shard), EPISODES))


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


# -- words -----------------------------------------------------------------------------------------------------------

NAMED = {
    "eval/nashconv": Quantity("NashConv", "chips", note="what both seats together could still win by best responses"),
    "eval/nashconv_pool": Quantity(
        "NashConv of the pool", "chips", note="of the mixture of all versions of the league"
    ),
    "eval/return": Quantity(
        "Return", "reward of the environment", note="what the measured policy earned on held-out instances"
    ),
    "malformed": Quantity("Malformed", "share of turns", "%"),
    "defaulted": Quantity("Defaulted", "share of turns", "%"),
    "forfeited": Quantity("Forfeited", "share of turns", "%"),
    "failed": Quantity("Broken off", "episodes"),
    "eval/failed": Quantity("Broken off", "episodes"),
    "eval/malformed": Quantity("Malformed", "turns an episode"),
    "eval/defaulted": Quantity("Defaulted", "turns an episode"),
    "eval/forfeited": Quantity("Forfeited", "turns an episode"),
    "constant_groups": Quantity("Groups without any difference in reward", "share of groups", "%"),
    "group_size": Quantity("Group size", "episodes"),
    "tokens/rollout_per_s": Quantity("Rollout", "tokens/s"),
    "tokens/train_per_s": Quantity("Training", "tokens/s"),
    "time/rollout_s": Quantity("Rollout", "s a step"),
    "time/learn_s": Quantity("Learning", "s a step"),
    "time/step_s": Quantity("Whole step", "s a step"),
    "time/credit_s": Quantity("Credit", "s a step"),
    "time/eval_s": Quantity("Evaluation", "s"),
    "turns": Quantity("Turns", "an episode"),
    "singletons": Quantity("Groups of one", "groups"),
}
FAMILIES = {
    "eval": Quantity("", "mean over held-out instances"),
    "return": Quantity("Return of", "reward of the environment"),
    "outcome": Quantity("", "gold fact, training episodes"),
    "entropy": Quantity("Entropy of", "nats"),
    "kl_reference": Quantity("KL to the reference of", "nats"),
    "mismatch": Quantity("Largest mismatch of", "nats"),
    "mismatch_std": Quantity("Spread of mismatch of", "nats"),
    "clip_fraction": Quantity("Clipped units of", "share", "%"),
    "grad_norm": Quantity("Gradient norm of"),
    "lr": Quantity("Step size of"),
    "loss": Quantity("Loss of"),
    "nll": Quantity("Negative log-likelihood of", "nats"),
}


def quantity(key: str) -> Quantity:
    """How a metric is called; an unknown one by its key."""
    if key in NAMED:
        return NAMED[key]
    family, _, rest = key.partition("/")
    if family in FAMILIES and rest:
        known = FAMILIES[family]
        name = f"{known.name} {rest}" if known.name else rest.replace("_", " ")
        return known._replace(name=name[:1].upper() + name[1:] if not known.name else name)
    words = key.replace("/", " of ").replace("_", " ")
    return Quantity(words[:1].upper() + words[1:])


def with_interval(point: Point, unit: Unit = "") -> str:
    """A value as HTML, with its interval small beside it where there is one."""
    shown = text(number(point.value, unit))
    if point.low is None or point.high is None or point.low == point.high:
        return shown
    return f"{shown} <small>[{text(number(point.low, unit))}, {text(number(point.high, unit))}]</small>"


def clock(seconds: float) -> str:
    """A duration in words: `42 s`, `3 min 41 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def verdict(curve: Sequence[Point], goal: str) -> Verdict | None:
    """Before against after. None with fewer than two evaluations.

    Better or worse needs intervals that do not overlap; an exact measure has none, there a twentieth of the larger
    value counts as a change.
    """
    if len(curve) < 2:
        return None
    before, after = curve[0], curve[-1]
    gain = after.value - before.value if goal == "max" else before.value - after.value
    return Verdict(before, after, ("better" if gain > 0 else "worse") if _apart(before, after) else "unclear")


def _apart(a: Point, b: Point) -> bool:
    if None not in (a.low, a.high, b.low, b.high) and (a.low != a.high or b.low != b.high):
        assert a.low is not None and a.high is not None and b.low is not None and b.high is not None
        return a.high < b.low or b.high < a.low
    return abs(a.value - b.value) > 0.05 * max(abs(a.value), abs(b.value))


# -- the page --------------------------------------------------------------------------------------------------------


def _page(run: _Run, twins: dict[str, _Run], reference_lines: Mapping[str, float] | None) -> str:
    assets = resources.files("palaestra.view")
    css, script = (assets.joinpath(f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # model text is escaped; should any slip through, the browser still runs no script but ours and loads nothing
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = "".join(
        [
            _head(run, twins),
            _gold_chart(run, twins, reference_lines),
            _curves(run),
            _league(run.league.get("payoff") or {}),
            _episodes(run),
            _numbers(run, twins),
            _colophon(run, twins),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(run.name)} · palaestra</title>\n<style>\n{css}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _head(run: _Run, twins: dict[str, _Run]) -> str:
    where = [f"<b>{text(run.name)}</b>", text(run.path.resolve().name)]
    if status := run.info.get("status"):
        where.append(text(status) + (f" at step {run.steps}" if status != "finished" else ""))
    return (
        f'<header><p class="eyebrow">{" &nbsp;·&nbsp; ".join(dict.fromkeys(where))}</p>'
        f'<h1>{text(finding(run))}</h1><p class="lead">{story(run)}</p>'
        f"<p>{_beside(run, twins)}</p>{_forest(run, twins)}</header>"
    )


def finding(run: _Run) -> str:
    """The result in one sentence."""
    gold = _gold(run)
    found = verdict(run.curve(f"eval/{run.measure}"), run.get("eval.goal", "max"))
    if found is None:
        return f"{gold.name} has not been evaluated after training yet"
    before, after = number(found.before.value, gold.unit), number(found.after.value, gold.unit)
    within = f"{found.after.step:g} steps"
    if found.word == "unclear":
        return f"{gold.name} shows no clear change in {within}: {before} before, {after} after"
    verb = "rose" if found.after.value > found.before.value else "fell"
    wrong = ", the wrong way" if found.word == "worse" else ""
    return f"{gold.name} {verb} from {before} to {after} in {within}{wrong}"


def _gold(run: _Run) -> Quantity:
    """The named gold measure; a fact of the environment is quoted, for its name may be any word."""
    known = quantity(f"eval/{run.measure}")
    return known if known.note else known._replace(name=f"Gold outcome “{run.measure}”")


def story(run: _Run) -> str:
    """What was trained, on what, for how long, as HTML sentences."""
    policies: dict[str, Any] = run.get("policies", {})
    trained = [name for name, spec in policies.items() if spec.get("train")]
    cast = {s: e if isinstance(e, str) else e.get("policy", "") for s, e in run.get("cast", {}).items()}
    said = []
    if about := run.get("about"):
        said.append(text(str(about).strip().rstrip(".")) + ".")
    for name in trained:
        seats = [s for s, who in cast.items() if who == name]
        others = dict.fromkeys(who for who in cast.values() if who != name)
        sits = ", ".join(f"<code>{text(s)}</code>" for s in seats)
        if len(seats) > 1 and not others:
            sits = f"{'both' if len(seats) == 2 else f'all {len(seats)}'} seats, against itself"
        elif others:
            sits += " against " + ", ".join(f"<code>{text(o)}</code>" for o in others)
        said.append(
            f"<code>{text(name)}</code> {_model(policies[name])}; it plays <code>{text(run.get('env', '?'))}</code>"
            + (f" in {sits}." if sits else ".")
        )
    said.append(_amount(run))
    return " ".join(filter(None, said))


def _model(spec: Mapping[str, Any]) -> str:
    """What a policy is made of, as a clause that follows its name."""
    model = str(spec.get("model", "model"))
    if model == "tiny":
        size = spec.get("tiny", {})
        shape = (
            f"has {size['layers']} layers of width {size['width']} and " if {"layers", "width"} <= size.keys() else ""
        )
        start = "from cloned scripted players" if spec.get("clone") else "from random weights"
        words = f"{shape}starts {start}"
    else:
        words = f"is <code>{text(model)}</code>"
    if adapter := spec.get("adapter"):
        words += f", with a LoRA adapter of rank {text(adapter.get('rank', 16))}"
    return words


def _amount(run: _Run) -> str:
    episodes = run.get("recipe.episodes")
    parts = [f"{run.steps} step{'' if run.steps == 1 else 's'}" + (f" of {episodes} episodes" if episodes else "")]
    if (seconds := _finite(run.info.get("seconds"))) is not None:
        cores = run.info.get("cores")
        parts.append(f"{clock(seconds)}" + (f" on {cores} CPU core{'' if cores == 1 else 's'}" if cores else ""))
    return "Training took " + ", ".join(parts) + "."


def _update(run: _Run) -> str:
    """The recipe in a sentence."""
    if not run.get("recipe"):
        return ""
    acts = {"score": "drawn among the legal actions", "text": "free text"}
    kinds = dict.fromkeys(s.get("act", "text") for s in run.get("policies", {}).values() if s.get("train"))
    said = [f"Replies are {' or '.join(acts.get(k, k) for k in kinds)}"] if kinds else []
    if estimator := run.get("recipe.estimator"):
        said.append(f"credit <code>{text(estimator)}</code>")
    if objective := run.get("recipe.objective"):
        said.append(f"objective <code>{text(objective)}</code>")
    if coef := run.get("recipe.kl.coef"):
        to = {"copy": "an own copy", "start": "the start"}.get(run.get("recipe.kl.to", "copy"), run.get("recipe.kl.to"))
        every = run.get("recipe.kl.refresh", 0)
        said.append(f"KL {coef:g} to {text(to)}" + (f" refreshed every {every} steps" if every else ""))
    if run.get("recipe.shuffle_rewards"):
        said.append("rewards shuffled (a control)")
    return "; ".join(said) + "." if said else ""


def _beside(run: _Run, twins: dict[str, _Run]) -> str:
    """What the measure means and what the twins say, as HTML."""
    gold, goal = _gold(run), run.get("eval.goal", "max")
    what = text(gold.note) or "computed by the environment’s program"
    meaning = f"{text(gold.name)} is {what}, {'in' if gold.note else 'a'} {text(gold.measured_in)}"
    said = [f"{meaning}; {'higher' if goal == 'max' else 'lower'} is better."]
    own = run.curve(f"eval/{run.measure}")
    ends = {label: t.curve(f"eval/{run.measure}") for label, t in twins.items()}
    if len(own) > 1:
        as_good = [
            label
            for label, curve in ends.items()
            if len(curve) > 1
            and not (_apart(curve[-1], own[-1]) and (curve[-1].value < own[-1].value) == (goal == "max"))
        ]
        measured = [label for label, curve in ends.items() if len(curve) > 1]
        if as_good:
            names = ", ".join(f"“{text(label)}”" for label in as_good)
            said.append(f"<b>The control {names} did as well</b>, so the gain is not owed to what it leaves out.")
        elif measured:
            one = len(measured) == 1
            said.append(
                f"The {'control' if one else 'controls'}, the same training with one thing changed, "
                f"{'ends' if one else 'end'} clearly behind."
            )
    return " ".join(said)


def _forest(run: _Run, twins: dict[str, _Run]) -> str:
    """The table of before and after: the run and its twins, with the values drawn on one scale."""
    key, goal = f"eval/{run.measure}", run.get("eval.goal", "max")
    gold = quantity(key)
    rows = [("this run", "c0", verdict(run.curve(key), goal))]
    rows += [
        (label, TWIN_STYLES[i % len(TWIN_STYLES)][0], verdict(t.curve(key), goal))
        for i, (label, t) in enumerate(twins.items())
    ]
    ends = [p for _, _, v in rows if v for p in (v.before, v.after)]
    if not ends:
        return ""
    values = [v for p in ends for v in (p.value, p.low, p.high) if v is not None]
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    marks = ticks(low, high, 5)

    def at(value: float | None) -> str:
        return f"{2 + 94 * ((value or 0.0) - low) / (high - low):.2f}%"

    def dumbbell(before: Point, after: Point) -> str:
        """Before and after, each with its interval; where there are intervals, one above the other."""
        banded = [p for p in (before, after) if p.low is not None and p.low != p.high]
        y = {before: 9, after: 20} if banded else {before: 15, after: 15}
        bars = "".join(f'<line x1="{at(p.low)}" x2="{at(p.high)}" y1="{y[p]}" y2="{y[p]}"/>' for p in banded)
        trail = f'x1="{at(before.value)}" x2="{at(after.value)}" y1="{y[before]}" y2="{y[after]}"'
        return (
            f'<line class="trail" {trail}/>{bars}'
            f'<circle class="start" cx="{at(before.value)}" cy="{y[before]}" r="4"/>'
            f'<circle cx="{at(after.value)}" cy="{y[after]}" r="4.5"/>'
        )

    grid = "".join(f'<line class="grid" x1="{at(m)}" x2="{at(m)}" y1="0" y2="30"/>' for m in marks)
    scale = "".join(
        f'<text x="{at(m)}" y="26" text-anchor="middle">{text(tick_label(m, marks[1] - marks[0], gold.unit))}</text>'
        for m in marks
    )
    body = []
    for label, tone, found in rows:
        if found is None:
            body.append(
                f'<tr class="{tone}"><th scope="row">{text(label)}</th><td>–</td><td>not evaluated</td>'
                '<td class="forest"></td></tr>'
            )
            continue
        before, after = found.before, found.after
        body.append(
            f'<tr class="{tone}"><th scope="row">{text(label)}</th><td>{with_interval(before, gold.unit)}</td>'
            f"<td><b>{with_interval(after, gold.unit)}</b></td>"
            f'<td class="forest"><svg aria-hidden="true">{grid}{dumbbell(before, after)}</svg></td></tr>'
        )
    note = "○ before, ● after"
    if any(p.low is not None and p.low != p.high for p in ends):
        note += "; brackets and bars: 95 % intervals over instances"
    elif run.measure == "nashconv":
        note += "; exact values"
    return (
        '<table class="verdict"><thead><tr>'
        f'<th scope="col">{text(gold.name)}{", " + text(gold.measured_in) if gold.measured_in else ""}</th>'
        '<th scope="col">before</th><th scope="col">after</th>'
        f'<th scope="col" class="forest"><svg aria-hidden="true">{scale}</svg></th>'
        f"</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f'<p class="note">{note}. One seed{" each" if twins else ""}.</p>'
    )


def _gold_chart(run: _Run, twins: dict[str, _Run], reference_lines: Mapping[str, float] | None) -> str:
    key = f"eval/{run.measure}"
    gold = quantity(key)
    series = [Series("this run", run.curve(key), "c0")]
    if pool := run.curve(f"{key}_pool"):
        series.append(Series("its league’s mixture", pool, "c0", strong=False, dash="1 4"))
    for i, (label, twin) in enumerate(twins.items()):
        tone, dash = TWIN_STYLES[i % len(TWIN_STYLES)]
        series.append(Series(label, twin.curve(key), tone, strong=False, dash=dash))
    known = NASHCONV_LINES.get(run.get("env", ""), {}) if run.measure == "nashconv" else {}
    lines = dict(known if reference_lines is None else reference_lines)
    if cfr := run.curve(f"{key}_cfr"):
        lines["CFR solution"] = cfr[-1].value
    chart = Chart(f"{gold.name} by step", series, gold.unit, gold.measured_in, lines, run.alerts)
    drawings = "".join(
        f'<div class="{kind}">{draw(chart, width, height)}</div>'
        for kind, width, height in (("wide", WIDE, 380), ("middle", MIDDLE, 340), ("narrow", NARROW, 300))
    )
    if not run.curve(key):
        return ""
    caption = f"<b>Figure 1.</b> {text(gold.name)} by step"
    caption += f', <span class="in">{"in " if gold.note else ""}{text(gold.measured_in)}.</span>'
    if any(p.low is not None and p.low != p.high for p in run.curve(key)):
        caption += ' <span class="in">Bands: 95 % intervals over held-out instances.</span>'
    if lines:
        caption += ' <span class="in">Dotted: known values.</span>'
    alerts = "".join(f"<li><b>▲ step {step}</b>{text(said)}</li>" for step, said in run.alerts)
    return (
        f'<figure class="figure"><figcaption>{caption}</figcaption>{_plot(chart, drawings)}'
        + (f'<ul class="alerts" aria-label="Alerts">{alerts}</ul>' if alerts else "")
        + "</figure>"
    )


def _plot(chart: Chart, drawings: str) -> str:
    label = text(f"{chart.title}. The arrow keys read the values.")
    return f'<div class="plot" tabindex="0" role="group" aria-label="{label}">{drawings}</div>'


def _small(run: _Run, title: str, keys: Sequence[str]) -> str:
    """A small figure of several metrics on one axis; empty where the run has none of them."""
    known = [quantity(k) for k in keys]
    family = {k.partition("/")[0] for k in keys}
    labels = [
        q.name if len(family) > 1 or k in NAMED else k.partition("/")[2] for k, q in zip(keys, known, strict=True)
    ]
    if len(keys) == 1:
        labels = [""]
    series = [
        Series(label.lower() if k in NAMED else label, run.curve(k), f"c{i % 7}", strong=len(keys) == 1)
        for i, (k, label) in enumerate(zip(keys, labels, strict=True))
    ]
    evaluated = any(k.startswith("eval/") for k in keys)
    unit: Unit = known[0].unit if known else ""
    chart = Chart(title, series, unit, alerts=run.alerts, smooth=not evaluated, log=family <= {"mismatch", "lr"})
    drawing = draw(chart, 326, 190)
    if not drawing:
        return ""
    words = known[0].measured_in
    caption = text(title) + (f'<span class="in">, {text(words)}</span>' if words else "")
    return f"<figure><figcaption>{caption}</figcaption>{_plot(chart, drawing)}</figure>"


def _curves(run: _Run) -> str:
    plan: list[tuple[str, list[str]]] = [
        ("Return by seat", run.logged("return/")),
        ("Entropy", run.logged("entropy/")),
        ("KL to the reference", run.logged("kl_reference/")),
        ("Engine against learner, largest", run.logged("mismatch/")),
        ("Rules broken", [k for k in ("malformed", "defaulted", "forfeited") if run.curve(k)]),
        ("Throughput", run.logged("tokens/")),
    ]
    shown = {k for _, keys in plan for k in keys} | {*run.logged("time/")}
    figures = [_small(run, title, keys) for title, keys in plan if keys]
    figures.append(_time(run))
    gold = {f"eval/{run.measure}{end}" for end in ("", "_pool", "_cfr")} | {"eval/gold"}  # gold: the measure again
    others = [k for k in run.logged("eval/") if k.count("/") == 1 and k not in gold and _moves(run.curve(k))]
    facts = [k for k in run.logged("outcome/") if k.replace("outcome/", "eval/") not in {*others, *gold}]
    figures += [_small(run, f"{quantity(k).name}", [k]) for k in (*others[:3], *facts[:3])]
    shown |= gold | {*others[:3], *facts[:3]}
    rest = [k for k in run.logged() if k not in shown and not k.endswith(("/low", "/high"))]
    more = "".join(_small(run, quantity(k).name, [k]) for k in rest)
    if not any(figures) and not more:
        return ""
    return (
        '<section id="training"><h2>Training</h2>'
        '<p class="note">Thin lines: each step. Heavier lines and areas: centered moving means. '
        "The number at the end of a line is where it ends.</p>"
        f'<div class="grid">{"".join(figures)}</div>'
        + (
            f'<details><summary>Everything else that was logged</summary><div class="grid">{more}</div></details>'
            if more
            else ""
        )
        + "</section>"
    )


def _moves(curve: Sequence[Point]) -> bool:
    """Whether there is anything to see: the value changes."""
    return len({p.value for p in curve}) > 1


def _time(run: _Run) -> str:
    """Seconds a step by phase, as layers; what no phase accounts for is `other`."""
    logged = [k.removeprefix("time/").removesuffix("_s") for k in run.logged("time/") if k != "time/step_s"]
    usual = ["rollout", "credit", "learn", "publish", "save", "eval"]
    phases = sorted(logged, key=lambda name: usual.index(name) if name in usual else len(usual))
    spent = {name: {p.step: p.value for p in run.curve(f"time/{name}_s")} for name in phases}
    whole = {p.step: p.value for p in run.curve("time/step_s")}
    steps = sorted(spent.get("rollout", {}))
    if not steps:
        return ""
    if whole:
        known = {s: sum(values.get(s, 0.0) for values in spent.values()) for s in steps}
        spent["other"] = {s: max(0.0, whole.get(s, 0.0) - known[s]) for s in steps}
    series = [
        Series(name, [Point(s, values.get(s, 0.0)) for s in steps], "c6" if name == "other" else f"c{i % 6}")
        for i, (name, values) in enumerate(spent.items())
        if any(values.get(s) for s in steps)
    ]
    chart = Chart("Time a step by phase", series, "s", alerts=run.alerts, stacked=True, smooth=True)
    caption = 'Time a step by phase<span class="in">, s</span>'
    return f"<figure><figcaption>{caption}</figcaption>{_plot(chart, draw(chart, 326, 190))}</figure>"


def _league(payoff: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The payoff table: mean return of the row against the column, with count and interval."""
    if not payoff:
        return ""
    columns = list(dict.fromkeys(c for row in payoff.values() for c in row))
    if {c for row in payoff.values() for c in row} == payoff.keys() and len(payoff) == 1:
        [(name, row)] = payoff.items()
        return (
            '<section id="league"><h2>Who beats whom</h2>'
            f"<p>Nobody else sat at the table: all {row[name].get('n', 0):,} counted games were "
            f"<code>{text(name)}</code> against its present self, and such games say nothing about strength.</p>"
            "</section>"
        )
    means = [_finite(cell.get("mean")) or 0.0 for row in payoff.values() for cell in row.values()]
    largest = max((abs(m) for m in means), default=0.0) or 1.0

    def cell(found: Mapping[str, Any] | None) -> str:
        mean = _finite(found.get("mean")) if found else None
        if found is None or mean is None:
            return '<td class="none">–</td>'
        tone, share = ("c0" if mean >= 0 else "c1"), round(45 * abs(mean) / largest)
        low, high = _finite(found.get("low")), _finite(found.get("high"))
        interval = f"[{_fixed(low)}, {_fixed(high)}]" if low is not None and high is not None else ""
        return (
            f'<td class="{tone}" style="--share:{share}%"><b>{_fixed(mean, sign=True)}</b>'
            f"<small>{text(interval)}</small><small>n = {text(found.get('n', '?'))}</small></td>"
        )

    head = "".join(f'<th scope="col">{text(c)}</th>' for c in columns)
    body = "".join(
        f'<tr><th scope="row">{text(r)}</th>{"".join(cell(row.get(c)) for c in columns)}</tr>'
        for r, row in payoff.items()
    )
    return (
        '<section id="league"><h2>Who beats whom</h2>'
        "<p>Mean return of the row’s policy when it plays the column’s, with its 95 % interval and the number "
        "of games. Blue: the row gains; orange: it loses.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Payoff table">'
        f'<table class="payoff"><thead><tr><td class="none"></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _fixed(value: float, *, sign: bool = False) -> str:
    """Two decimals, so that cells line up; no minus sign before 0.00."""
    shown = f"{value:+.2f}" if sign else f"{value:.2f}"
    return ("0.00" if float(shown) == 0 else shown).replace("-", "−")


def _episodes(run: _Run) -> str:
    """Sample episodes before and after, and the switch that shows them as one seat saw them."""
    samples = run.samples()
    if not samples:
        return ""
    seats = list(dict.fromkeys(s for _, episodes in samples for e in episodes for s in e.cast))
    (first_step, first), (last_step, last) = samples[0], samples[-1]
    both = len(samples) > 1
    by_id = {e.id: e for e in last}
    pairs = [(e, by_id[e.id]) for e in first if e.id in by_id] or list(zip(first, last, strict=False))
    blocks = []
    for i, (before, after) in enumerate(pairs, 1):
        left = stage(before, f"Before · step {first_step}" if both else f"Step {first_step}", seats)
        right = stage(after, f"After · step {last_step}", seats) if both else ""
        blocks.append(f'<div class="pair" data-pair="{i}">{left}{right}</div>')
    viewers = "".join(_option("as", s, s, i < 0) for i, s in enumerate(["everyone", *seats], -1))
    instances = "".join(_option("pair", str(i), str(i), i == 1) for i in range(1, len(pairs) + 1))
    same = " On each side the same instance: the same seed deals the same secrets." if both else ""
    return (
        '<section id="episodes"><h2>Sample episodes</h2>'
        f"<p>Seen by everyone, or as one seat saw it: then only what it was told and what it said stays.{same}</p>"
        '<div class="switches">'
        f'<fieldset class="switch"><legend>view as</legend>{viewers}</fieldset>'
        + (f'<fieldset class="switch"><legend>episode</legend>{instances}</fieldset>' if len(pairs) > 1 else "")
        + f"</div>{''.join(blocks)}</section>"
    )


def _option(name: str, value: str, label: str, checked: bool) -> str:
    value = "" if name == "as" and checked else value
    mark = " checked" if checked else ""
    return f'<label><input type="radio" name="{name}" value="{text(value)}"{mark}>{text(label)}</label>'


def _numbers(run: _Run, twins: dict[str, _Run]) -> str:
    """All metrics as a table: evaluations first and last, training metrics as means of the first and last steps."""
    everything = [k for k in run.logged() if not k.endswith(("/low", "/high")) and run.curve(k)]
    if not everything:
        return ""
    few = max(1, min(10, run.steps // 4))
    parts = {
        "Held-out evaluation: first and last": [k for k in everything if k.startswith("eval/")],
        f"Training: mean of the first and the last {few} steps" if few > 1 else "Training: first and last step": [
            k for k in everything if not k.startswith("eval/")
        ],
    }
    rows = []
    for heading, keys in parts.items():
        if keys:
            rows.append(f'<tr class="part"><th scope="rowgroup" colspan="{3 + len(twins)}">{heading}</th></tr>')
        for key in keys:
            known = quantity(key)
            size = 1 if key.startswith("eval/") else few
            cells = [_mean(run.curve(key)[:size]), _mean(run.curve(key)[-size:])]
            cells += [_mean(t.curve(key)[-size:]) for t in twins.values()]
            shown = "".join(f"<td>{with_interval(c, known.unit) if c else '–'}</td>" for c in cells)
            unit = f"<small>{text(known.measured_in)}</small>" if known.measured_in else ""
            rows.append(f'<tr><th scope="row">{text(known.name)} {unit}</th>{shown}</tr>')
    heads = "".join(f'<th scope="col">{text(h)}</th>' for h in ("before", "after", *(f"{t}, after" for t in twins)))
    return (
        '<section id="numbers"><h2>Numbers</h2><div class="scroll" tabindex="0" role="region" aria-label="All numbers">'
        f'<table class="numbers"><thead><tr><th scope="col">measure</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _mean(points: Sequence[Point]) -> Point | None:
    if len(points) <= 1:
        return points[0] if points else None
    return Point(points[-1].step, sum(p.value for p in points) / len(points))


def _colophon(run: _Run, twins: dict[str, _Run]) -> str:
    """The exact command, versions and scenario."""
    info = dict(run.info)
    command = info.pop("command", "")
    shown = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    names = {"version": "palaestra", "cores": "CPU cores", "seconds": "took"}
    facts = {names.get(k, k): clock(v) if k == "seconds" else fact(v) for k, v in info.items()}
    listed = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in facts.items())
    commands = "".join(
        f"<dt>{text(label)}</dt><dd>{text(fact(t.info.get('command', '–')))}</dd>" for label, t in twins.items()
    )
    return (
        '<section id="made"><h2>How to make it again</h2>'
        + (f'<pre class="command" tabindex="0"><code>{text(shown)}</code></pre>' if shown else "")
        + (f"<p>{recipe}</p>" if (recipe := _update(run)) else "")
        + (f'<dl class="facts">{listed}</dl>' if listed else "")
        + (f'<h3>Controls</h3><dl class="facts">{commands}</dl>' if commands else "")
        + (
            f"<details><summary>scenario.toml, every default written out</summary>"
            f'<pre tabindex="0"><code>{text(run.scenario_text)}</code></pre></details>'
            if run.scenario_text
            else ""
        )
        + "</section>"
    )
