"""Line charts as SVG text: axes with units, interval bands, reference lines, alerts, labels at the ends of the lines.

A chart is drawn once for a given width in pixels; text does not scale. Colors come from CSS classes (`c0` to `c6`, and
`ref`), so one drawing serves light, dark and print. What the pointer shows is already in the drawing, in `data-chart`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, NamedTuple

MAX_POINTS = 500
"""Points of one line that are drawn; above that the smallest and the largest of each stretch are kept."""

Unit = Literal["", "%", "s", "k"]
"""How values are printed: plain numbers, shares as per cent, seconds, or counts in thousands."""


class Point(NamedTuple):
    """A value at a step, with its 95 % interval where it has one."""

    step: float
    value: float
    low: float | None = None
    high: float | None = None


class Series(NamedTuple):
    """A labelled line. `tone` is the color class; `strong` lines are drawn heavier, `dash` is an SVG dash pattern."""

    label: str
    points: Sequence[Point]
    tone: str = "c0"
    strong: bool = True
    dash: str = ""


@dataclass(frozen=True)
class Chart:
    """What a chart shows."""

    title: str
    series: Sequence[Series]
    unit: Unit = ""
    measured_in: str = ""
    """The unit in words, for the heading: `chips`, `nats`, `share of turns`."""
    references: Mapping[str, float] = field(default_factory=dict)
    alerts: Sequence[tuple[int, str]] = ()
    stacked: bool = False
    """Values add up: areas on each other, in the order of the series."""
    smooth: bool = False
    """Draw each step faintly and a centered moving mean above it; of layers, the moving mean alone."""
    log: bool = False
    """A logarithmic axis, where all values are above 0 and spread over two powers of ten."""


def number(value: float, unit: Unit = "", digits: int = 3) -> str:
    """A value for people: `digits` significant digits, a real minus sign, powers of ten where they help."""
    if not math.isfinite(value):
        return "–"
    if unit == "%":
        return f"{_trim(value * 100, max(2, digits - 1))} %"
    if unit == "s":
        return f"{_trim(value, digits)} s"
    return _trim(value, digits)


def _trim(value: float, digits: int) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    sign = "−" if value < 0 else ""
    if size < 1e-4:
        exponent = math.floor(math.log10(size))
        mantissa = f"{size / 10.0**exponent:.1f}".removesuffix(".0")
        return f"{sign}{mantissa} × 10{_superscript(exponent)}"
    if size >= 9999.5:
        for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if size >= limit * 0.9995:
                size = max(1.0, size / limit)
                return f"{sign}{size:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}{letter}"
    if size >= 999.5 or value == round(value):
        return f"{sign}{size:.0f}"
    # below 1 the decimals stay the same, so that a column lines up, until two significant digits need more
    exponent = math.floor(math.log10(size))
    places = max(0, digits - 1 - exponent) if size >= 1 else max(digits, 1 - exponent)
    return f"{sign}{size:.{places}f}"


def tick_label(value: float, step: float, unit: Unit = "") -> str:
    """A tick of an axis whose ticks lie `step` apart: as many decimals as the step needs."""
    factor = 100 if unit == "%" else 1
    value, step = value * factor, step * factor
    if value == 0:
        return "0"
    if step < 1e-3 or abs(value) >= 1e4:
        return number(value, digits=2)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return ("−" if value < 0 else "") + f"{abs(value):.{places}f}" + (" %" if unit == "%" else "")


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers (a multiple of 1, 2 or 5 times a power of ten) from `low` to `high`, at least two."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / max(1, count)))
    choices = []
    for step in (10 * power, 5 * power, 2 * power, power, power / 2):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        choices.append([i * step for i in range(first, last + 1)])
    return min((c for c in choices if len(c) > 1), key=lambda c: abs(len(c) - count))


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most `limit` points: of each stretch the smallest and the largest, so that no spike is lost."""
    if len(points) <= limit:
        return list(points)
    kept: list[Point] = []
    size = math.ceil(len(points) / (limit // 2))
    for i in range(0, len(points), size):
        stretch = points[i : i + size]
        extremes = {min(stretch, key=lambda p: p.value), max(stretch, key=lambda p: p.value)}
        kept += sorted(extremes)
    return kept


def moving_mean(points: Sequence[Point], window: int) -> list[Point]:
    """The centered mean over `window` points, fewer at the ends."""
    half, out = window // 2, []
    for i, point in enumerate(points):
        near = points[max(0, i - half) : i + half + 1]
        out.append(Point(point.step, sum(p.value for p in near) / len(near)))
    return out


def smoothing_window(count: int) -> int:
    """How many points a moving mean spans: an odd number near a fifteenth of them; 1 for short curves."""
    return 1 if count < 30 else 2 * (count // 30) + 1


def draw(chart: Chart, width: int, height: int) -> str:
    """The chart as one `<svg>` of that many pixels. Empty text where it has no points."""
    series = [s for s in chart.series if s.points]
    if not series:
        return ""
    if chart.stacked:
        series = _stack(series, chart.smooth)
    frame = _Frame(chart, series, width, height)
    parts = [*frame.grid(), *frame.references()]
    for index, line in enumerate(series):
        below = series[index - 1].points if chart.stacked and index else None
        parts += frame.area(line, below) if chart.stacked else frame.line(line)
    parts += [*frame.alerts(), *frame.labels()]
    parts.append('<g class="cursor" hidden=""><line class="hair"/></g>')
    return (
        f'<svg class="chart" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(_spoken(chart))}" data-chart="{escape(frame.pointer_data())}">{"".join(parts)}</svg>'
    )


def _stack(series: list[Series], smooth: bool) -> list[Series]:
    """The same layers with values summed from the first one up. Layers share their steps."""
    total: dict[float, float] = {}
    out = []
    for layer in series:
        points = []
        for p in moving_mean(layer.points, 3 * smoothing_window(len(layer.points)) if smooth else 1):
            total[p.step] = total.get(p.step, 0.0) + p.value
            points.append(Point(p.step, total[p.step]))
        out.append(layer._replace(points=points))
    return out


def _spoken(chart: Chart) -> str:
    said = [
        f"{s.label or chart.title} from {number(s.points[0].value, chart.unit)} at step {s.points[0].step:g} "
        f"to {number(s.points[-1].value, chart.unit)} at step {s.points[-1].step:g}"
        for s in chart.series
        if s.points
    ]
    return f"{chart.title}: " + "; ".join(said)


class _Frame:
    """Scales and margins of one drawing."""

    def __init__(self, chart: Chart, series: list[Series], width: int, height: int) -> None:
        self.chart, self.series, self.width, self.height = chart, series, width, height
        values = [v for s in series for p in s.points for v in (p.value, p.low, p.high) if v is not None]
        values += chart.references.values()
        steps = [p.step for s in series for p in s.points]
        self.log = chart.log and min(values) > 0 and max(values) > 100 * min(values)
        self.x0, self.x1 = min(0.0, min(steps)), max(max(steps), min(0.0, min(steps)) + 1)
        if self.log:
            self.y0, self.y1 = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))
            decades = range(round(math.log10(self.y0)), round(math.log10(self.y1)) + 1)
            self.y_ticks = [10.0**d for d in decades][:: max(1, math.ceil(len(decades) / 5))]
        else:
            low, high = min(0.0, *values), max(0.0, *values)
            high = high if high > low else low + (0.01 if chart.unit == "%" else 1.0)
            self.y_ticks = ticks(low, high, max(4, height // 70))
            step = self.y_ticks[1] - self.y_ticks[0]
            self.y0 = low if low == 0 else step * math.floor(low / step + 1e-9)
            self.y1 = max(high + (high - low) * 0.04, self.y_ticks[-1])
            self.y_ticks = ticks(self.y0, self.y1, max(4, height // 70))
        self.ends = self._end_labels()
        self.left = 10 + max(_wide(self._tick(t)) for t in self.y_ticks)
        self.right = width - 14 - max((_wide(text) for _, text, _ in self.ends), default=0.0)
        self.top, self.bottom = 8.0, height - 24.0

    # -- scales
    def x(self, step: float) -> float:
        return self.left + (step - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        scale: Callable[[float], float] = math.log10 if self.log else float
        share = (scale(max(value, self.y0)) - scale(self.y0)) / (scale(self.y1) - scale(self.y0))
        return self.bottom - share * (self.bottom - self.top)

    def _tick(self, value: float) -> str:
        if self.log:
            exponent = round(math.log10(value))
            return f"{value:g}" if -3 < exponent < 4 else f"10{_superscript(exponent)}"
        return tick_label(value, self.y_ticks[1] - self.y_ticks[0], self.chart.unit)

    # -- parts
    def grid(self) -> Iterable[str]:
        for value in self.y_ticks:
            y = self.y(value)
            kind = "zero" if value == 0 else "rule"
            yield f'<line class="{kind}" x1="{self.left:.1f}" x2="{self.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            at = f'x="{self.left - 7:.1f}" y="{y + 3.5:.1f}"'
            yield f'<text class="tick" {at} text-anchor="end">{self._tick(value)}</text>'
        if self.y0 < 0 or self.log:
            yield (
                f'<line class="axis" x1="{self.left:.1f}" x2="{self.right:.1f}" '
                f'y1="{self.bottom:.1f}" y2="{self.bottom:.1f}"/>'
            )
        for value in ticks(self.x0, self.x1, max(3, int(self.right - self.left) // 110)):
            if value != int(value):
                continue
            x = self.x(value)
            yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{self.bottom:.1f}" y2="{self.bottom + 4:.1f}"/>'
            label = "step 0" if value == 0 else f"{value:g}"
            yield f'<text class="tick" x="{x:.1f}" y="{self.bottom + 17:.1f}" text-anchor="middle">{label}</text>'

    def references(self) -> Iterable[str]:
        for value in self.chart.references.values():
            y = self.y(value)
            yield f'<line class="ref" x1="{self.left:.1f}" x2="{self.right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'

    def line(self, series: Series) -> Iterable[str]:
        points = thin(series.points)
        banded = [p for p in points if p.low is not None and p.high is not None]
        if len(banded) > 1:
            up = [f"{self.x(p.step):.1f},{self.y(p.high or 0.0):.1f}" for p in banded]
            down = [f"{self.x(p.step):.1f},{self.y(p.low or 0.0):.1f}" for p in reversed(banded)]
            yield f'<polygon class="band {series.tone}" points="{" ".join(up + down)}"/>'
        dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
        window = smoothing_window(len(series.points)) if self.chart.smooth else 1
        if window > 1:
            yield f'<path class="line faint {series.tone}" d="{self._path(points)}"/>'
            points = thin(moving_mean(series.points, window))
        weight = " strong" if series.strong else ""
        yield f'<path class="line{weight} {series.tone}"{dash} d="{self._path(points)}"/>'
        if len(points) <= (26 if series.strong else 1):
            for p in points:
                at = f'cx="{self.x(p.step):.1f}" cy="{self.y(p.value):.1f}"'
                yield f'<circle class="dot {series.tone}" {at} r="2.4"/>'

    def area(self, series: Series, below: Sequence[Point] | None) -> Iterable[str]:
        top = thin(series.points)
        floor = thin(below) if below else [Point(top[0].step, 0.0), Point(top[-1].step, 0.0)]
        edge = [f"{self.x(p.step):.1f},{self.y(p.value):.1f}" for p in (*top, *reversed(floor))]
        yield f'<polygon class="layer {series.tone}" points="{" ".join(edge)}"/>'

    def _path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{self.x(p.step):.1f} {self.y(p.value):.1f}" for p in points)

    def alerts(self) -> Iterable[str]:
        for step, text in self.chart.alerts:
            if self.x0 <= step <= self.x1:
                x, y = self.x(step), self.bottom
                yield (
                    f'<g class="alert"><title>step {step}: {escape(text)}</title>'
                    f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top:.1f}" y2="{y:.1f}"/>'
                    f'<path d="M{x:.1f} {y - 7:.1f}l4.5 8h-9z"/></g>'
                )

    def _end_labels(self) -> list[tuple[float, str, str]]:
        """(value, text, color class) of what is written at the right end of the lines."""
        out: list[tuple[float, str, str]] = []
        below: dict[float, float] = {}
        for s in self.series:
            last = s.points[-1]
            value = last.value
            if self.chart.smooth and not self.chart.stacked:
                value = moving_mean(s.points, smoothing_window(len(s.points)))[-1].value
            at = value
            if self.chart.stacked:
                floor = below.get(last.step, 0.0)
                below[last.step] = last.value
                at, value = (floor + last.value) / 2, last.value - floor
            # the unit is in the heading and on the axis
            shown = number(value, "%" if self.chart.unit == "%" else "")
            out.append((at, f"{_short(s.label)} {shown}".strip(), s.tone))
        out += [(v, f"{_short(k, 30)} {number(v)}", "ref") for k, v in self.chart.references.items()]
        return out

    def labels(self) -> Iterable[str]:
        placed = sorted(self.ends, key=lambda e: -e[0])
        ys = spread([self.y(at) for at, _, _ in placed], 15.0, self.top + 4, self.bottom + 2)
        for (at, text, tone), y in zip(placed, ys, strict=True):
            true = self.y(at)
            if abs(true - y) > 3:
                yield f'<path class="lead" d="M{self.right + 1:.1f} {true:.1f}L{self.right + 8:.1f} {y:.1f}"/>'
            yield f'<text class="end {tone}" x="{self.right + 10:.1f}" y="{y + 4:.1f}">{escape(text)}</text>'

    def pointer_data(self) -> str:
        """What hover and the arrow keys show: every point as [step, x, y, text], in pixels of this drawing."""
        lines = []
        for original in (s for s in self.chart.series if s.points):
            drawn = next(s for s in self.series if s.label == original.label and s.tone == original.tone)
            heights = {p.step: p.value for p in drawn.points}
            points = [
                [
                    p.step,
                    round(self.x(p.step), 1),
                    round(self.y(heights[p.step]), 1),
                    _with_interval(p, self.chart.unit),
                ]
                for p in thin(original.points)
            ]
            lines.append({"label": original.label, "tone": original.tone, "points": points})
        box = [round(v, 1) for v in (self.left, self.right, self.top, self.bottom)]
        return json.dumps({"box": box, "lines": lines}, ensure_ascii=False, separators=(",", ":"))


def _with_interval(point: Point, unit: Unit) -> str:
    text = number(point.value, unit)
    if point.low is None or point.high is None or point.low == point.high:
        return text
    return f"{text} [{number(point.low, unit)}, {number(point.high, unit)}]"


def spread(ys: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Positions near `ys` (ascending) that keep `gap` between them, inside top..bottom as far as they fit."""
    out: list[float] = []
    for y in ys:
        out.append(max(y, out[-1] + gap if out else top))
    limit = bottom
    for i in reversed(range(len(out))):
        out[i] = min(out[i], limit)
        limit = out[i] - gap
    return out


def _short(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _wide(text: str) -> float:
    """About how many pixels a text takes at 12 px in DejaVu Sans, a wide face: where it is narrower, nothing is cut."""
    return sum(
        4.2 if c in "iljtf.,:;|!'I []()" else 11.8 if c in "mwMW%@" else 8.8 if c.isupper() else 7.5 for c in text
    )
