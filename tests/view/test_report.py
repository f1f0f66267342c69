"""The report of a run: what it says, what it hides, and that a browser agrees."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from palaestra.agents.episode import Episode, EpisodeWriter
from palaestra.agents.play import Job, rollout, wait_for
from palaestra.agents.policy import player
from palaestra.envs.games.kuhn import Kuhn
from palaestra.envs.transcript import Effect, Noted, Probe, Said, Told, Transcript
from palaestra.errors import CheckpointError, RecordError
from palaestra.view.chart import Chart, Point, Series, draw, moving_mean, number, spread, thin, ticks
from palaestra.view.report import clock, verdict, write_report
from palaestra.view.stage import plain, stage

SCENARIO = """\
name = "kuhn_selfplay"
about = "A language model learns Kuhn poker from scratch by playing against itself"
env = "kuhn"

[policies.learner]
model = "tiny"
train = true
act = "score"
tiny = { width = 64, layers = 2 }

[cast]
player_0 = "learner"
player_1 = "learner"

[recipe]
steps = STEPS
episodes = 128
estimator = "at_grpo"
objective = "ppo"

[recipe.kl]
to = "copy"
refresh = 20
coef = 0.5

[eval]
measure = "nashconv"
goal = "min"
"""


def episodes(players: tuple[str, str], count: int = 4) -> list[Episode]:
    """Real games of Kuhn poker between scripted players."""
    cast = {f"player_{i}": player(Kuhn, name) for i, name in enumerate(players)}
    jobs = [Job("kuhn", {}, cast, 1_000_000_007 + i, f"eval|self|0|{i}", f"{i}", "eval") for i in range(count)]
    return wait_for(rollout(jobs))


def write_run(
    path: Path, *, steps: int = 40, end: float = 0.07, every: int = 5, seed: int = 0, league: bool = True
) -> Path:
    """A run directory written by hand, with NashConv falling from 11/12 to `end`."""
    rng = random.Random(seed)
    path.mkdir(parents=True)
    (path / "scenario.toml").write_text(SCENARIO.replace("STEPS", str(steps)))
    info = {"version": "0.1.0", "command": "palaestra train kuhn_selfplay --set run.seed=3", "seed": 3}
    info |= {"status": "finished", "seconds": 12.6, "python": "3.11.2", "torch": "2.13.0", "cores": 2}
    (path / "run.json").write_text(json.dumps(info))
    with (path / "metrics.jsonl").open("w") as file:
        for step in range(steps + 1):
            done = step / steps
            row: dict[str, float] = {"step": step}
            if step % every == 0 or step == steps:
                gap = end + (11 / 12 - end) * math.exp(-6 * done) * (1 + 0.12 * rng.uniform(-1, 1) * min(1, 9 * done))
                row["eval/nashconv"] = gap + 0.02 * rng.uniform(-1, 1) * (0 < done < 1)
                row["eval/nashconv_pool"] = row["eval/nashconv"] * (0.7 if step else 1)
                middle = -0.2 + 0.5 * (1 - math.exp(-4 * done)) + rng.gauss(0, 0.02)
                row |= {"eval/return": middle, "eval/return/low": middle - 0.1, "eval/return/high": middle + 0.1}
            if step:
                first = -0.06 + rng.gauss(0, 0.12)
                row |= {"return/player_0": first, "return/player_1": -first, "outcome/pot": 2.6 + rng.gauss(0, 0.1)}
                row |= {"malformed": 0.0, "defaulted": 0.0, "forfeited": 0.0, "failed": 0}
                row["entropy/learner"] = 0.3 + 0.39 * math.exp(-3 * done) + rng.gauss(0, 0.01)
                row["kl_reference/learner"] = abs(0.03 * (step % 20) / 20 * math.exp(-2 * done) + rng.gauss(0, 0.001))
                row["mismatch/learner"] = 10 ** rng.uniform(-6.6, -6)
                row |= {"clip_fraction/learner": 0.1 * rng.random(), "lr/learner": 3e-3 * (1 - done), "group_size": 4.0}
                row |= {"grad_norm/learner": rng.uniform(0.2, 0.6), "constant_groups": 0.2 * rng.random()}
                row |= {
                    "tokens/rollout_per_s": 9800 + rng.gauss(0, 400),
                    "tokens/train_per_s": 21000 + rng.gauss(0, 900),
                }
                rollout_s, learn_s = 0.031 + 0.004 * rng.random(), 0.022 + 0.003 * rng.random()
                row |= {
                    "time/rollout_s": rollout_s,
                    "time/learn_s": learn_s,
                    "time/step_s": rollout_s + learn_s + 0.006,
                }
            file.write(json.dumps(row) + "\n")
    for step, players in ((0, ("random", "random")), (steps, ("greedy", "oracle"))):
        with EpisodeWriter(path / "eval" / f"step-{step:06d}.jsonl") as writer:
            for episode in episodes(players):
                episode.cast = dict.fromkeys(episode.cast, f"learner@{step}")
                episode.scores = {"env": episode.returns}
                writer.write(episode)
    if league:
        versions = [f"learner@{v * steps // 4}" for v in range(5)]
        payoff: dict[str, dict[str, dict[str, float]]] = {v: {} for v in versions}
        for i, row_name in enumerate(versions):
            for j, column in enumerate(versions):
                mean = 0.09 * (i - j) + 0.02 * rng.uniform(-1, 1) * (i != j)
                payoff[row_name][column] = {"n": 128, "mean": mean, "low": mean - 0.08, "high": mean + 0.08}
        (path / "league.json").write_text(json.dumps({"payoff": payoff}))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run that learned, a control that did not, and the page that shows both."""
    folder = tmp_path_factory.mktemp("runs")
    learned = write_run(folder / "kuhn_selfplay-0001")
    shuffled = write_run(folder / "shuffled-0001", end=0.86, seed=1)
    (learned / "alerts.jsonl").write_text('{"step": 12, "kind": "entropy", "text": "entropy <fell>"}\n')
    page = write_report(learned, compare={"rewards shuffled": shuffled}, out=folder / "page.html")
    return {"learned": learned, "shuffled": shuffled, "page": page}


class Reader(HTMLParser):
    """Events of the stages, as (kind, seats, words), and the lanes, as (name, seats, words)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stages: list[list[tuple[str, list[str], str]]] = []
        self.lanes: list[tuple[str, list[str], str]] = []
        self._inside = ""
        self._event: tuple[str, list[str]] = ("", [])
        self._words = self._name = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kind = given.get("class") or ""
        if tag == "article":
            self.stages.append([])
        elif tag == "li" and "data-seats" in given:
            self._event = (kind, json.loads(given["data-seats"] or "[]"))
        elif kind == "words" or tag in ("dt", "dd"):
            self._inside, self._words = tag, ""
            if "data-seats" in given:
                self._event = ("lane", json.loads(given["data-seats"] or "[]"))

    def handle_data(self, data: str) -> None:
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        if tag != self._inside:
            return
        if tag == "div":
            self.stages[-1].append((*self._event, self._words))
        elif tag == "dt":
            self._name = self._words
        elif self._name in ("reward", "signals", "gold outcome"):
            self.lanes.append((self._name, self._event[1], self._words))
        self._inside = ""


def visible(html: str) -> str:
    """The text of a page, without markup and without its script and style."""
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S)))


# -- what it says ----------------------------------------------------------------------------------------------------


def test_head_says_what_was_trained_and_what_came_of_it(runs: dict[str, Path]) -> None:
    words = " ".join(visible(runs["page"].read_text()).split())
    assert re.search(r"NashConv fell from 0\.917 to 0\.0\d+ in 40 steps", words)
    assert "A language model learns Kuhn poker from scratch" in words
    assert "learner has 2 layers of width 64 and starts from random weights; it plays kuhn in both seats" in words
    assert "Training took 40 steps of 128 episodes, 13 s on 2 CPU cores." in words
    assert "lower is better" in words
    assert "The control, the same training with one thing changed, ends clearly behind." in words
    assert "palaestra train kuhn_selfplay --set run.seed=3" in words and "2.13.0" in words


def test_a_control_that_did_as_well_is_named(runs: dict[str, Path], tmp_path: Path) -> None:
    page = write_report(runs["learned"], compare={"no reference": runs["learned"]}, out=tmp_path / "page.html")
    assert "control “no reference” did as well" in visible(page.read_text())


def test_overlapping_intervals_are_no_clear_change() -> None:
    before, after = Point(0, 0.50, 0.40, 0.60), Point(9, 0.58, 0.48, 0.68)
    assert verdict([before, after], "max").word == "unclear"
    assert verdict([before, Point(9, 0.75, 0.65, 0.85)], "max").word == "better"
    assert verdict([before, Point(9, 0.75, 0.65, 0.85)], "min").word == "worse"
    assert verdict([Point(0, 0.90), Point(9, 0.88)], "min").word == "unclear"  # exact, but next to nothing
    assert verdict([Point(0, 0.90), Point(9, 0.70)], "min").word == "better"
    assert verdict([before], "max") is None


def test_gold_fact_with_intervals_is_quoted_and_bracketed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "scenario.toml").write_text('name = "tools_rl"\nenv = "arithmetic"\n[eval]\nmeasure = "correct"\n')
    rows = [
        {"step": 0, "eval/correct": 0.0, "eval/correct/low": 0.0, "eval/correct/high": 0.0},
        {"step": 9, "eval/correct": 0.75, "eval/correct/low": 0.6, "eval/correct/high": 0.85},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    words = visible(write_report(run).read_text())
    assert "Gold outcome “correct” rose from 0 to 0.750 in 9 steps" in words
    assert "[0.600, 0.850]" in words and "95 % intervals over instances. One seed." in words
    (run / "metrics.jsonl").write_text("".join(json.dumps({"step": s, "eval/correct": 0.0}) + "\n" for s in (0, 9)))
    assert "no clear change in 9 steps: 0 before, 0 after" in visible(write_report(run).read_text())


def test_change_for_the_worse_is_said_plainly(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", end=1.5)
    assert re.search(r"NashConv rose from .* in 40 steps, the wrong way", write_report(run).read_text())


def test_known_values_of_kuhn_twins_and_alerts_are_in_the_chart(runs: dict[str, Path]) -> None:
    page = runs["page"].read_text()
    for label in (
        "uniform play 0.917",
        "best card-blind 0.667",
        "equilibrium 0",
        "this run 0.0",
        "rewards shuffled 0.",
    ):
        assert f">{label}" in page
    assert "<title>step 12: entropy &lt;fell&gt;</title>" in page
    assert page.count('class="ref"') == 9, "three lines in each of three sizes"


def test_reference_lines_can_be_given_and_named_by_metrics(runs: dict[str, Path], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (run / "metrics.jsonl").write_text("".join(json.dumps({**r, "eval/nashconv_cfr": 0.004}) + "\n" for r in rows))
    page = write_report(run, reference_lines={"a rule of thumb": 0.3}).read_text()
    assert ">a rule of thumb 0.300<" in page and ">CFR solution 0.0040<" in page and "uniform play" not in page


def test_payoff_cells_carry_mean_interval_and_count(runs: dict[str, Path]) -> None:
    page = runs["page"].read_text()
    table = page[page.index('<table class="payoff">') :]
    table = table[: table.index("</table>")]
    cells = re.findall(r"<b>([+−]?\d\.\d\d)</b><small>\[−?\d\.\d\d, −?\d\.\d\d\]</small><small>n = 128</small>", table)
    assert len(cells) == 25 and "−0.00" not in table


def test_mirror_play_alone_is_no_payoff_table(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", league=False)
    cell = {"n": 126000, "mean": 2e-18, "low": -0.01, "high": 0.01}
    (run / "league.json").write_text(json.dumps({"payoff": {"learner": {"learner": cell}}}))
    page = write_report(run).read_text()
    assert "all 126,000 counted games" in page and '<table class="payoff">' not in page


def test_every_metric_is_in_the_table_of_numbers(runs: dict[str, Path]) -> None:
    words = visible(runs["page"].read_text())
    numbers = words[words.index("Held-out evaluation: first and last") :]
    for name in ("NashConv of the pool", "Entropy of learner", "Malformed", "Step size of learner", "Gradient norm"):
        assert name in numbers
    assert "mean of the first and the last 10 steps" in numbers and "rewards shuffled, after" in words


# -- what it hides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seat", ["player_0", "player_1"])
def test_what_a_seat_is_shown_is_what_it_was_told_and_said(runs: dict[str, Path], seat: str) -> None:
    stages = Reader(runs["page"].read_text()).stages
    played = [
        e for pair in zip(episodes(("random", "random")), episodes(("greedy", "oracle")), strict=True) for e in pair
    ]
    assert len(stages) == len(played) == 8
    for stage_, episode in zip(stages, played, strict=True):
        shown = [(kind, words) for kind, seats, words in stage_ if seat in seats and kind in ("told", "said")]
        assert shown == episode.transcript.view(seat)
        assert [words for kind, seats, words in stage_ if seat in seats and kind == "secret"] == [
            f"cards: {episode.outcome['cards'][seat]}"
        ]


def test_reward_signals_and_gold_are_lanes_apart_that_no_seat_knows(runs: dict[str, Path]) -> None:
    lanes = Reader(runs["page"].read_text()).lanes
    assert [name for name, _, _ in lanes[:3]] == ["reward", "signals", "gold outcome"]
    assert len(lanes) == 24 and all(seats == [] for _, seats, _ in lanes)
    assert "winner" in lanes[2][2] and "winner" not in lanes[0][2] + lanes[1][2]


def test_notes_probes_and_tools_are_for_everyone_but_the_seats() -> None:
    events = [Noted({"answer": 42}), Probe("a_0", "sure?", "no"), Effect("calc:1", ["6*7"], 42), Told(("a_0",), "42!")]
    html = stage(Episode("e", Transcript("x", {}, 0, events), {"a_0": "human"}), "Now", ["a_0"])
    [rows] = Reader(html).stages
    assert rows[:3] == [
        ("secret", [], "answer 42"),
        ("aside", [], "sure?\n→ no"),
        ("aside", [], "calc(6*7)\n→ 42"),
    ]
    assert rows[3] == ("told", ["a_0"], "42!")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = (
        "</div><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31mred\x1b[0m \x07\x9b2J\u202eabc\ud800 \"'&"
    )
    run = write_run(tmp_path / "run")
    said = [Said("a_0", hostile), Told(("a_0", hostile), hostile)]
    episode = Episode(
        "e", Transcript("x", {}, 0, said), {"a_0": hostile, hostile: "human"}, scores={hostile: {"a_0": 1.0}}
    )
    html = stage(episode, hostile, ["a_0", hostile])
    assert "<script" not in html and "<img" not in html
    assert not any(c in html for c in "\x1b\x07\x9b\u202e\ud800")
    assert plain(hostile).endswith("onerror=alert(2)>red 2Jabc \"'&")
    (run / "alerts.jsonl").write_text(
        json.dumps({"step": 3, "kind": "x", "text": "</svg><script>alert(3)</script>"}) + "\n"
    )
    (run / "scenario.toml").write_text(SCENARIO.replace("STEPS", "40").replace("A language", "<script>A"))
    page = write_report(run).read_text()
    assert page.count("<script") == 1


def test_page_is_one_file_that_loads_nothing(runs: dict[str, Path]) -> None:
    page = runs["page"].read_text()
    assert not re.search(r"""(?:src|href|action)\s*=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", page)
    assert "default-src 'none'" in page
    assert len(page) < 500_000


# -- runs that are not whole -----------------------------------------------------------------------------------------


def test_a_run_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "scenario.toml").write_text(SCENARIO.replace("STEPS", "40"))
    (run / "run.json").write_text('{"status": "running"}')
    assert "has not been evaluated after training yet" in write_report(run).read_text()
    (run / "metrics.jsonl").write_text('{"step": 0, "eval/nashconv": 0.9}\n')
    assert "running at step 0" in write_report(run).read_text()


def test_torn_last_line_is_dropped_and_a_step_written_twice_counts_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    whole = write_report(run, out=tmp_path / "whole.html").read_text()
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])) + '\n{"step": 41, "eva')
    assert write_report(run, out=tmp_path / "torn.html").read_text() == whole


def test_damaged_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "alerts.jsonl").write_text('{"step": 1, "kind": "x", "text": "fine"}\n{"step": \n')
    with pytest.raises(RecordError, match=r"alerts\.jsonl:2: not JSON"):
        write_report(run)


def test_directory_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run directory"):
        write_report(tmp_path)


def test_numbers_that_are_not_finite_leave_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=8, every=2)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows[3:6]:
        row["entropy/learner"] = math.nan
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert "nan" not in re.sub(
        r"<style>.*?</style>|<script>.*?</script>", "", write_report(run).read_text(), flags=re.S
    )


# -- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0717, "", "0.072"), (-1.0, "", "−1"), (2.6449, "", "2.64"), (6.8e-7, "", "6.8 × 10⁻⁷"),
        (21340.0, "", "21.3k"),
        (0.00025, "", "0.00025"), (0.0634, "%", "6.3 %"), (1.0, "%", "100 %"), (0.0, "%", "0 %"), (math.nan, "", "–"),
        (999_990.0, "", "1.00M"),
        (0.0625, "s", "0.062 s"),
    ],
)  # fmt: skip
def test_numbers_are_printed_for_people(value: float, unit: str, shown: str) -> None:
    assert number(value, unit) == shown  # type: ignore[arg-type]


def test_durations_are_printed_for_people() -> None:
    assert [clock(s) for s in (12.6, 221, 7500)] == ["13 s", "3 min 41 s", "2 h 5 min"]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-0.4, 0.4), (0, 0.917), (0, 250), (-0.428, 0.428), (0, 3e-6), (5, 5.01)]
)
def test_axes_have_a_few_round_ticks_inside_their_range(low: float, high: float) -> None:
    for count in (2, 3, 5):
        found = ticks(low, high, count)
        assert 2 <= len(found) <= 4 * count
        assert all(low - 1e-9 <= t <= high + 1e-9 for t in found)


def test_thinning_keeps_spikes() -> None:
    points = [Point(i, 100.0 if i == 7777 else 1.0) for i in range(20_000)]
    kept = thin(points)
    assert len(kept) <= 500 and Point(7777, 100.0) in kept and [p.step for p in kept] == sorted(p.step for p in kept)


def test_labels_never_lie_on_each_other() -> None:
    placed = spread([10, 11, 12, 200, 201], 15, 0, 205)
    assert all(b - a >= 15 - 1e-9 for a, b in pairwise(placed)) and placed[-1] <= 205
    assert moving_mean([Point(i, i) for i in range(5)], 3)[2].value == 2


def test_interval_band_and_single_point_are_drawn() -> None:
    banded = draw(Chart("x", [Series("a", [Point(0, 1, 0, 2), Point(9, 2, 1, 3)])]), 300, 200)
    assert 'class="band c0"' in banded and "[0, 2]" in banded
    assert "<circle" in draw(Chart("x", [Series("a", [Point(0, 1)])]), 300, 200)
    assert draw(Chart("x", [Series("a", [])]), 300, 200) == ""


# -- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> ModuleType:
    """`tools/screenshot.py`, where there is a Chromium."""
    path = Path(__file__).parents[2] / "tools" / "screenshot.py"
    spec = importlib.util.spec_from_file_location("screenshot", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.find() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium found\n  apt install chromium")
        pytest.skip("no Chromium found (apt install chromium)")
    return module


def root(dom: str) -> str:
    found = re.search(r"<html[^>]*>", dom)
    assert found
    return found[0]


def test_in_chromium_view_as_takes_out_what_the_seat_was_never_told(
    runs: dict[str, Path], chromium: ModuleType
) -> None:
    everyone = chromium.dump_dom(runs["page"])
    assert 'data-ready="true"' in root(everyone) and 'data-view="everyone"' in root(everyone)
    assert "You are player_1. Your card is" in everyone and "You are player_0. Your card is" in everyone
    as_first = chromium.dump_dom(runs["page"], "as=player_0&pair=2")
    assert 'data-view="player_0"' in root(as_first)
    assert "You are player_0. Your card is" in as_first
    assert "You are player_1. Your card is" not in as_first
    assert "winner" not in as_first[as_first.index('id="episodes"') : as_first.index('id="numbers"')]
    pairs = re.findall(r'<div class="pair" data-pair="(\d)"( hidden="")?', as_first)
    assert pairs == [("1", ' hidden=""'), ("2", ""), ("3", ' hidden=""'), ("4", ' hidden=""')]


def test_in_chromium_switch_arrow_keys_and_pointer_work(
    runs: dict[str, Path], chromium: ModuleType, tmp_path: Path
) -> None:
    act = """
      const report = document.createElement("pre");
      report.id = "seen";
      const words = () => document.querySelector("#episodes").textContent;
      const seen = [words().includes("You are player_1.")];
      document.querySelector('input[name="as"][value="player_0"]').click();
      seen.push(words().includes("You are player_1."), location.hash);
      document.querySelector('input[name="as"][value=""]').click();
      seen.push(words().includes("You are player_1."));
      const plot = document.querySelector(".figure .plot"), tip = plot.querySelector(".tip");
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
      seen.push(tip.hidden, tip.textContent);
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
      seen.push(tip.hidden);
      const box = plot.getBoundingClientRect();
      plot.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + 20, clientY: box.top + 20 }));
      seen.push(tip.textContent);
      report.textContent = JSON.stringify(seen);
      document.body.append(report);
    """
    page = re.sub(r"<meta http-equiv[^>]*>", "", runs["page"].read_text())  # the page's own policy forbids this script
    copy = tmp_path / "page.html"
    copy.write_text(page.replace("</body>", f"<script>{act}</script></body>"))
    found = re.search(r'<pre id="seen">(.*?)</pre>', chromium.dump_dom(copy), re.S)
    assert found
    before, as_first, address, after, tip_hidden, late, hidden_again, early = json.loads(unescape(found[1]))
    assert (before, as_first, after) == (True, False, True)
    assert "as=player_0" in address
    assert (tip_hidden, hidden_again) == (False, True)
    assert re.match(r"step 35this run 0\.\d+its league’s mixture 0\.\d+rewards shuffled 0\.\d+$", late)
    assert early.startswith("step 0this run 0.917")


def test_in_chromium_whole_page_is_pictured_light_and_dark(
    runs: dict[str, Path], chromium: ModuleType, tmp_path: Path
) -> None:
    light = chromium.screenshot(runs["page"], tmp_path / "light.png", height=700).read_bytes()
    dark = chromium.screenshot(runs["page"], tmp_path / "dark.png", height=700, dark=True).read_bytes()
    assert light[:8] == dark[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(light[16:20]) == 1280 and int.from_bytes(light[20:24]) == 700
    assert light != dark


def test_in_chromium_no_label_of_a_chart_is_cut(chromium: ModuleType, tmp_path: Path) -> None:
    names = (
        "best play that ignores its card",
        "rewards shuffled among episodes",
        "uniform play",
        "the mixture of its pool",
    )
    series = [Series(name, [Point(0, 1), Point(9, 2 + n)]) for n, name in enumerate(names)]
    chart = Chart("x", series, references={name.upper(): 0.667 + n for n, name in enumerate(names)})
    measure = """
      const chart = document.querySelector("svg.chart");
      const room = chart.getBoundingClientRect();
      const over = [...chart.querySelectorAll("text")].map(text => text.getBoundingClientRect().right - room.right);
      document.title = `over ${Math.max(...over)}`;
    """
    style = (Path(__file__).parents[2] / "palaestra" / "view" / "report.css").read_text()
    page = tmp_path / "page.html"
    page.write_text(f"<html><head><style>{style}</style></head><body>{draw(chart, 690, 340)}<script>{measure}</script>")
    found = re.search(r"<title>over (.*?)</title>", chromium.dump_dom(page))
    assert found and float(found[1]) <= 0
