"""The checks find what is broken, all of it, and nothing else."""

from __future__ import annotations

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs import registry
from palaestra.envs.checks import bounds
from palaestra.envs.conformance import CHECKS, Effort, check, measure_bounds, update_bounds
from palaestra.errors import UnknownNameError

FILE = Path(__file__).with_name("broken.py")
BROKEN = registry._module(str(FILE))
OTHER_HASH = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
EFFORT = Effort(hash_seeds=(OTHER_HASH,), texts=60, split_seeds=100, bound_seeds=40)


@pytest.mark.parametrize("name", [n for n in BROKEN.FAILS if n != "Sound"])
def test_a_broken_environment_fails_exactly_its_checks(name: str) -> None:
    report = check(f"{FILE}:{name}", effort=EFFORT)
    assert report.failed == BROKEN.FAILS[name], report.table()


def test_every_check_has_an_environment_that_fails_it() -> None:
    assert set().union(*BROKEN.FAILS.values()) == set(CHECKS)


def test_a_sound_environment_that_declares_everything_is_judged_by_every_check() -> None:
    report = check(f"{FILE}:Sound", effort=EFFORT)
    assert report.ok, report.table()
    assert {r.check for r in report.rows() if r.status == "n/a"} == {"parallel"}


def test_a_failure_names_seed_turn_what_was_seen_and_the_line() -> None:
    report = check(f"{FILE}:Leaks", only=["hidden"], seeds=[3])
    finding = report.rows()[0].findings[0]
    assert (finding.seed, finding.turn) == (3, 1)
    assert re.fullmatch(
        r"buyer_0's 'value@buyer_0' changed \d+ -> \d+, and seller_0 was told something different:\n"
        r"  - told: The buyer can pay up to \d+\.\n  \+ told: The buyer can pay up to \d+\.",
        finding.seen,
    )
    assert re.fullmatch(r'broken\.py:\d+: self\.tell\(f"The buyer can pay up to \{value\}\."\)', finding.where)
    assert finding.params == {"level": 0}


@pytest.mark.parametrize(
    ("name", "only", "line"),
    [
        ("Counts", "texts", "self.outcome(number=int(move.speech))"),
        ("Endless", "texts", 'yield "a_0"'),
        ("LooksAtTheClock", "outside", 'return "Late." if time.time() < 0 else "Early."'),
        ("WritesFiles", "outside", 'with open("/dev/null", "w") as log:'),
        ("PaysTooMuch", "rewards", "self.reward(a_0=5.0)"),
        ("SteeredByProbes", "probes", 'self.tell(f"a_0 believes {belief}.", to="b_0")'),
        ("TakesBack", "legal", 'move = yield self.turn("a_0", "place 1..3", default="place 1")'),
        ("PlayerBreaks", "players", 'raise KeyError("strategy")'),
    ],
)
def test_the_line_to_look_at_is_the_line_that_is_wrong(name: str, only: str, line: str) -> None:
    (row,) = check(f"{FILE}:{name}", only=[only], effort=EFFORT).rows()
    assert row.findings[0].where.split(": ", 1)[1] == line


def test_a_look_at_the_clock_is_found_at_its_turn() -> None:
    (row,) = check(f"{FILE}:LooksAtTheClock", only=["outside"], seeds=[0]).rows()
    assert [(f.turn, f.seen) for f in row.findings] == [(1, "the script used time.time()")]


@pytest.mark.parametrize(
    ("cls", "detail"),
    [
        (BROKEN.Talk, r"no secret is declared, yet what only a_0 is told differs by seed: .*self\.secret"),
        (BROKEN.SoundAtOnce, "nothing is hidden"),
    ],
)
def test_what_one_seat_alone_is_told_without_a_secret_is_pointed_out(cls: Any, detail: str) -> None:
    (row,) = check(cls, only=["hidden"]).rows()
    assert row.status == "n/a" and re.fullmatch(detail, row.detail)


def test_a_player_that_does_not_repeat_itself_is_shown_with_both_replies() -> None:
    (row,) = check(BROKEN.PlayerWithAWhim, only=["scripted"]).rows()
    assert re.match(r"player 'greedy' gave another reply .*\n  - a_0.* I say 0\.\d+\.\n  \+ a_0", row.findings[0].seen)


def test_the_table_and_the_json_say_the_same() -> None:
    report = check(f"{FILE}:PaysOneSide", only=["zero_sum", "rewards", "replay"], effort=EFFORT)
    table = report.table()
    assert table.splitlines()[0].endswith("PaysOneSide   2 seats, up to 1 turn seen, 1 parameter set")
    assert re.search(r"  FAIL  Zero-sum as declared +4 episodes  \d+\.\d s\n +seed 0, turn 1, level = 0\n", table)
    assert re.search(r"  n/a   Returns within the declared range +no range declared", table)
    assert table.endswith("  1 failed")
    data = json.loads(report.to_json())
    assert [(r["check"], r["status"]) for r in data["rows"]] == [(r.check, r.status) for r in report.rows()]
    assert not data["ok"] and not report.ok


def test_a_table_shows_no_control_characters_of_what_was_said() -> None:
    report = check(f"{FILE}:PaysOneSide", only=["zero_sum"], effort=EFFORT)
    row = report.rows()[0]
    row.findings[0] = row.findings[0]._replace(seen="\x1b[2Jgone \u202e")
    assert "\x1b" not in report.table() and "\\x1b[2Jgone \\u202e" in report.table()


def test_unknown_names_are_named() -> None:
    with pytest.raises(UnknownNameError, match="no check 'reply'\n  did you mean replay"):
        check("kuhn", only=["reply"])
    with pytest.raises(UnknownNameError, match="no environment 'khun'"):
        check("khun")


def test_a_check_leaves_the_callers_random_numbers_alone() -> None:
    random.seed(5)
    state = random.getstate()
    check(f"{FILE}:Seeder", only=["globals", "interleave"])
    assert random.getstate() == state


def test_recorded_bounds_are_compared_and_a_drift_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BOUNDS", tmp_path / "bounds")
    name = f"{FILE}:Sound"
    update_bounds([name], 80)
    (written,) = bounds.BOUNDS.iterdir()
    recorded = json.loads(written.read_text())
    assert recorded == measure_bounds(name, 8)  # effects: a tenth
    mean, error, n = recorded["0"]["oracle"]["a_0"]
    assert -1 <= mean <= 1 and error > 0 and n == 8
    assert check(name, only=["players"]).ok
    recorded["0"]["oracle"]["a_0"] = [0.9, 0.001, 1000]
    written.write_text(json.dumps(recorded))
    (finding,) = check(name, only=["players"]).rows()[0].findings
    assert finding.seen.startswith("oracle in a_0: 0.") and "recorded 0.9000 ± 0.0010 over 1000" in finding.seen
