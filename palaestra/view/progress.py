"""A run while it goes on: a live table on a terminal, one line a step in a pipe, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from palaestra.view.stage import plain

if TYPE_CHECKING:  # for annotations alone: whoever prints needs no torch
    from palaestra.alignment.run import RunDir
    from palaestra.scenarios.runs import Show
    from palaestra.scenarios.scenario import Scenario


class Watcher(Protocol):
    """A `Show` that can be closed, and knows the run."""

    run: RunDir | None

    def begin(self, scenario: Scenario, run: RunDir) -> None: ...
    def note(self, text: str) -> None: ...
    def step(self, metrics: Mapping[str, Any]) -> None: ...
    def alert(self, text: str) -> None: ...
    def end(self, run: RunDir) -> None: ...
    def close(self) -> None: ...


class Column(NamedTuple):
    """A column of the table; `keys` are metrics, shown side by side, or reduced to one number by `reduce`."""

    title: str
    keys: tuple[str, ...]
    format: str
    reduce: Any = None


def columns(scenario: Scenario) -> list[Column]:
    """What is worth a column in this scenario."""
    names = scenario.trained
    measure = scenario.eval.measure
    shown = [Column("step", ("step",), "d"), _returns(scenario), Column(f"eval {measure}", (f"eval/{measure}",), ".3f")]
    for title, metric, style, reduce in (
        ("entropy", "entropy", ".3f", fmean),
        ("kl", "kl_reference", ".3f", fmean),
        ("mismatch", "mismatch", ".0e", max),
    ):
        shown.append(Column(title, tuple(f"{metric}/{name}" for name in names), style, reduce))
    shown.append(Column("malformed", ("malformed",), ".1%"))
    shown.append(Column("tok/s", ("tokens/rollout_per_s",), ",.0f"))
    shown.append(Column("s/step", ("time/step_s",), ".2f"))
    return shown


def _returns(scenario: Scenario) -> Column:
    """Of the seats that learn: each of up to three, else their mean; the first seat's where all sum to zero."""
    env = scenario.make_env()
    seats = [seat for seat in env.seats if scenario.seat(seat).policy in scenario.trained]
    if env.zero_sum and len(seats) == len(env.seats) > 1:
        return Column(f"return {seats[0]}", (f"return/{seats[0]}",), "+.2f")
    keys = tuple(f"return/{seat}" for seat in seats)
    if len(seats) > 3:
        return Column("return", keys, "+.2f", fmean)
    roles = [seat.rpartition("_")[0] or seat for seat in seats]
    if len(set(roles)) < len(roles):
        roles = [seat.rpartition("_")[2] or seat for seat in seats]
    return Column("return" if len(seats) == 1 else "return " + "/".join(roles), keys, "+.2f")


def cell(column: Column, metrics: Mapping[str, Any]) -> str:
    """The text of one cell; empty where the step did not measure it."""
    values = [metrics[key] for key in column.keys if metrics.get(key) is not None]
    if not values:
        return ""
    shown = [column.reduce(values)] if column.reduce else values
    return "/".join(format(v, column.format) for v in shown)


class Table:
    """Rows of fixed width, under one head."""

    def __init__(self, scenario: Scenario) -> None:
        self.columns = columns(scenario)
        self.widths = [max(len(c.title), 6 * (1 if c.reduce else len(c.keys)) - 1, 4) for c in self.columns]

    def head(self) -> str:
        return self._line([c.title for c in self.columns])

    def row(self, metrics: Mapping[str, Any]) -> str:
        return self._line([cell(c, metrics) for c in self.columns])

    def _line(self, cells: list[str]) -> str:
        return ("  " + "  ".join(f"{text:>{width}}" for text, width in zip(cells, self.widths, strict=True))).rstrip()


class Lines:
    """One line a step. Alerts follow the step in which they were raised, marked by `!`."""

    def __init__(self) -> None:
        self.run: RunDir | None = None
        self._table: Table | None = None
        self._alerts: list[str] = []

    def begin(self, scenario: Scenario, run: RunDir) -> None:
        self.run, self._table = run, Table(scenario)
        self.write(f"  {run.path}/")
        self.write(self._table.head())

    def note(self, text: str) -> None:
        self.write(f"  {plain(text)}")

    def step(self, metrics: Mapping[str, Any]) -> None:
        assert self._table is not None
        self.write(self._table.row(metrics))
        for text in self._alerts:
            self.write(f"  ! {metrics['step']:>4}  {text}")
        self._alerts.clear()

    def alert(self, text: str) -> None:
        self._alerts.append(plain(text))

    def end(self, run: RunDir) -> None: ...

    def close(self) -> None: ...

    def write(self, text: str) -> None:
        print(text, flush=True)


class Live(Lines):
    """The last steps in place, with a bar; notes and alerts stay above."""

    ROWS = 15

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as RichLive

        self._console = Console(highlight=False, markup=False)
        self._live = RichLive(console=self._console, auto_refresh=False)
        self._rows: deque[str] = deque(maxlen=self.ROWS)
        self._steps, self._seconds = 0, 0.0

    def begin(self, scenario: Scenario, run: RunDir) -> None:
        self._steps = scenario.recipe.steps
        super().begin(scenario, run)
        self._live.start()

    def step(self, metrics: Mapping[str, Any]) -> None:
        from rich.text import Text

        assert self._table is not None
        step = metrics["step"]
        self._rows.append(self._table.row(metrics))
        for text in self._alerts:
            self.write(f"  ! {step:>4}  {text}")
        self._alerts.clear()
        spent = float(metrics.get("time/step_s", 0.0)) + float(metrics.get("time/eval_s", 0.0))
        self._seconds = 0.9 * self._seconds + 0.1 * spent if self._seconds else spent
        full = 30 * step // self._steps
        left = self._seconds * (self._steps - step)
        bar = f"  {'━' * full}{'╌' * (30 - full)}  step {step} of {self._steps}, about {left / 60:.0f} min left"
        self._live.update(Text("\n".join([self._table.head(), *self._rows, bar])), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def write(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class Json:
    """Metrics as JSON lines; everything else is a line with one key: `run`, `note`, `alert`."""

    def __init__(self) -> None:
        self.run: RunDir | None = None

    def begin(self, scenario: Scenario, run: RunDir) -> None:
        self.run = run
        self._write({"run": str(run.path), "scenario": scenario.name})

    def note(self, text: str) -> None:
        self._write({"note": text})

    def step(self, metrics: Mapping[str, Any]) -> None:
        self._write(dict(metrics))

    def alert(self, text: str) -> None:
        self._write({"alert": text})

    def end(self, run: RunDir) -> None:
        self._write({"run": str(run.path), "status": "finished"})

    def close(self) -> None: ...

    def _write(self, data: dict[str, Any]) -> None:
        print(json.dumps(data), flush=True)


def watcher(*, as_json: bool) -> Watcher:
    """What fits standard output: JSON lines where asked for, a live table on a terminal, else lines."""
    if as_json:
        return Json()
    return Live() if sys.stdout.isatty() else Lines()


if TYPE_CHECKING:
    _fits: type[Show] = Lines
