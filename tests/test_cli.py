"""The command line as people and scripts use it: what is printed, where errors go, and the exit codes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from palaestra.cli import main

BROKEN = Path(__file__).parent / "envs" / "broken.py"


class Told:
    """What a command printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[Any]:
        """Every line of the output as JSON: with `--json` there is nothing else."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`run("play", "kuhn")`, in an empty directory; `typed` is what a person enters."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, typed: str = "") -> Told:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return Told(code, out, err)

    return call


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("play", "khun"), "did you mean kuhn"),
        (("play", "kuhn", "--set", "levle=1"), "did you mean level"),
        (("play", "kuhn", "--set", "level=7"), "it has (0, 1)"),
        (("play", "kuhn", "--cast", "player_0=random"), "nobody sits in player_1"),
        (("play", "kuhn", "--cast", "player_0=greddy", "player_1=random"), "did you mean greedy"),
        (("play", "kuhn", "--cast", "player_2=random"), "player_2"),
        (("play", "kuhn", "--cast", "random", "human", "--json"), "player_1 is a person"),
        (("train", "khun_selfplay"), "did you mean kuhn_selfplay"),
        (("train", "kuhn_selfplay", "--set", "recipe.stepz=3"), "did you mean steps"),
        (("resume", "nowhere"), "no run here"),
        (("eval", "nowhere"), "nowhere"),
        (("replay", "nowhere.jsonl"), "nowhere.jsonl"),
        (("list", "environments"), "known: envs, runs, scenarios"),
        (("list",), "palaestra list envs, or scenarios, or runs"),
        (("play", "xyzzy"), "more"),
        (("check", BROKEN), "broken.py:Leaks"),
        (("check", f"{BROKEN}:Leak"), "did you mean Leaks?"),
        (("train", f"{BROKEN}:Leak"), "did you mean Leaks?"),
        (("check",), "--all"),
        (("new", "Haggle", "--kind", "gmae"), "did you mean game"),
        (("polay",), "polay"),
        (("play", "kuhn", "--sede", "3"), "--sede"),
    ],
)  # fmt: skip
def test_a_users_error_is_one_message_on_stderr_and_exit_code_2(
    run: Any, arguments: tuple[str, ...], named: str
) -> None:
    told = run(*arguments)
    assert told.code == 2
    assert told.err.startswith("error: ") and named in told.err and "Traceback" not in told.err
    assert told.out == ""


def test_all_problems_of_a_scenario_are_told_at_once_before_anything_is_written(run: Any) -> None:
    wrong = ("--set", "recipe.stepz=3", "--set", "cast.player_0=playr", "--set", "recipe.estimator=grop")
    told = run("train", "kuhn_selfplay", *wrong)
    assert told.code == 2 and "3 problems" in told.err
    for path in ("recipe.stepz", "cast.player_0", "recipe.estimator"):
        assert path in told.err
    assert list(Path().iterdir()) == []


def test_a_missing_extra_is_named_with_the_command_that_installs_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import palaestra.scenarios

    monkeypatch.setitem(sys.modules, "palaestra.scenarios.runs", None)
    monkeypatch.delattr(palaestra.scenarios, "runs", raising=False)
    monkeypatch.setattr("builtins.__import__", _without("torch"))
    told = run("train", "kuhn_selfplay")
    assert told.code == 3
    assert told.err == 'error: torch is not installed\n  pip install "palaestra[train]"\n'


def _without(package: str) -> Any:
    real = __import__

    def fake(name: str, *rest: Any, **more: Any) -> Any:
        fromlist = rest[2] if len(rest) > 2 else ()
        if name == "palaestra.scenarios" and "runs" in (fromlist or ()):
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *rest, **more)

    return fake


# -- define, play, look ------------------------------------------------------------------------------------------------


def test_what_exists_is_listed_one_line_each(run: Any) -> None:
    envs = {e["id"]: e for e in run("list", "envs", "--json").lines}
    assert envs["kuhn"]["seats"] == ["player_0", "player_1"] and envs["kuhn"]["about"]
    assert len(run("list", "envs").out.splitlines()) == len(envs)
    scenarios = {e["id"]: e for e in run("list", "scenarios", "--json").lines}
    assert scenarios["kuhn_selfplay"]["env"] == "kuhn"
    assert run("list", "runs", "--json").lines == []


def test_doctor_names_versions(run: Any) -> None:
    (found,) = run("doctor", "--json").lines
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}") and found["gymnasium"]
    assert "gymnasium" in run("doctor").out


def test_check_prints_a_table_and_fails_with_exit_code_1(run: Any) -> None:
    good = run("check", "kuhn")
    assert good.code == 0 and "all held" in good.out
    bad = run("check", f"{BROKEN}:Leaks")
    assert bad.code == 1 and "FAIL" in bad.out and "broken.py" in bad.out and "seed" in bad.out
    several = run("check", "kuhn", f"{BROKEN}:Leaks", "--jobs", 2)
    assert several.code == 1 and "1 of 2 environments hold\n  not " in several.out
    (report,) = run("check", f"{BROKEN}:Leaks", "--json").lines
    assert report["ok"] is False


def test_a_file_with_one_environment_needs_no_class(run: Any) -> None:
    Path("one.py").write_text(ONE)
    assert run("play", "one.py", "--save", "some.jsonl").code == 0
    assert f'"{Path("one.py").resolve()}:One"' in Path("some.jsonl").read_text()
    assert run("train", "one.py", "--dry-run").code == 0


ONE = """
from palaestra.envs.script import ScriptedEnv

class One(ScriptedEnv):
    seats = ("a_0",)
    rules = "Say yes or no."
    def script(self, rng):
        self.tell("Well?")
        move = yield self.turn("a_0", "yes", "no", default="no")
        self.reward(a_0=float(move.verb == "yes"))
"""


def test_the_same_seed_plays_the_same_words(run: Any) -> None:
    first = run("play", "kuhn", "--seed", 7)
    assert first.code == 0 and "player_0 is paid" in first.out
    assert run("play", "kuhn", "--seed", 7).out == first.out != run("play", "kuhn", "--seed", 8).out


def test_a_role_seats_all_its_seats_that_are_not_named(run: Any) -> None:
    told = run("play", "public_goods", "--cast", "random", "member=greedy", "member_1=oracle", "--json")
    (episode,) = told.lines
    assert set(episode["cast"].values()) == {"player:greedy", "player:oracle"}
    assert episode["cast"]["member_1"] == "player:oracle"
    wrong = run("play", "public_goods", "--cast", "membr=greedy")
    assert wrong.code == 2 and "did you mean member?" in wrong.err


def test_the_package_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "palaestra", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("palaestra ")


def test_json_is_the_record_and_nothing_else(run: Any) -> None:
    (episode,) = run("play", "haggle", "greedy", "--seed", 3, "--set", "level=1", "--json").lines
    assert episode["transcript"]["seed"] == 3 and episode["transcript"]["params"]["level"] == 1
    assert episode["cast"] == {"buyer_0": "player:greedy", "seller_0": "player:greedy"}


def test_a_person_plays_asks_for_help_takes_back_saves_and_leaves(run: Any) -> None:
    typed = "bet\n/legal\n/undo\n[check]\n/undo\n/hint\n/reveal\n/save mine.jsonl\n[bet]\n"
    told = run("play", "kuhn", "--cast", "player_0=human", "player_1=random", "--seed", 7, typed=typed)
    assert told.code == 0
    order = [
        "you are player_0", "Your card is K", "That is not a legal move", "[check] [bet]", "taken back",
        "Your card is K", "Your opponent chose bet", "taken back", "greedy: [bet]",
        'cards = {"player_0": "K", "player_1": "J"}', "saved to mine.jsonl",
        "Your opponent chose fold", "player_0: return +1",
    ]  # fmt: skip
    position = -1
    for text in order:
        position = told.out.find(text, position + 1)
        assert position >= 0, f"{text!r} is missing, or too early, in\n{told.out}"
    (saved,) = run("replay", "mine.jsonl", "--json").lines
    assert saved["cast"]["player_0"] == "human+hint+reveal"
    assert saved["failure"]["message"] == "saved before the end"


def test_a_person_reads_the_rules_once_and_the_legal_moves_at_each_turn(run: Any) -> None:
    told = run("play", "public_goods", "member_0=human", "member=greedy", typed="what?\n[give 1]\n[give 0]\n")
    assert told.out.startswith("the rules: ") and told.out.count("the rules: ") == 1
    turns = re.findall(r"^\[turn (\d+)\] (.*)\n(.*)", told.out, re.M)
    assert [number for number, _, _ in turns] == ["1", "1", "2", "3"]  # a retry is no other turn
    assert turns[1][1] == "That is not a legal move. Answer with one of: [give 0] [give 1] [give 2] [give 3] [give 4]"
    assert all(shown == "legal: [give 0] [give 1] [give 2] [give 3] [give 4]" for _, _, shown in (turns[0], *turns[2:]))


def test_a_person_sees_only_what_the_seat_is_told(run: Any) -> None:
    told = run("play", "kuhn", "--cast", "random", "human", "--seed", 7, typed="[check]\n[fold]\n[fold]\n")
    assert "Your card is J" in told.out and "card is K" not in told.out


def test_who_leaves_early_keeps_what_was_played(run: Any) -> None:
    told = run("play", "kuhn", "human", "random", "--save", "mine.jsonl", typed="[check]\n/quit\n")
    assert told.code == 0 and "left before the end" in told.out
    (saved,) = run("replay", "mine.jsonl", "--json").lines
    assert "left" in saved["failure"]["message"]
    told = run("play", "kuhn", "human", "random", typed="")  # the end of the input is leaving too
    assert told.code == 0 and "left before the end" in told.out


def test_a_record_is_read_as_a_seat_saw_it_cut_verified_and_played_on(run: Any) -> None:
    run("play", "kuhn", "--seed", 7, "--save", "some.jsonl")
    run("play", "kuhn", "--seed", 9, "--save", "some.jsonl")
    assert len(run("replay", "some.jsonl", "--json").lines) == 2
    assert run("replay", "some.jsonl", "--episode", 1).out.startswith("episode 1 (id 9): kuhn, seed 9\n")
    assert "\nepisode 1 (id 9): kuhn" in run("replay", "some.jsonl").out
    seen = run("replay", "some.jsonl", "--episode", 0, "--as", "player_1").out
    assert "card is J" in seen and "card is K" not in seen
    assert "Showdown" not in run("replay", "some.jsonl", "--episode", 0, "--until", 1).out
    verified = run("replay", "some.jsonl", "--verify")
    assert verified.code == 0 and "2 episodes, no difference" in verified.out
    forked = run("replay", "some.jsonl", "--episode", 0, "--until", 1, "--cast", "player_1=greedy", "--json").lines
    assert forked[0]["cast"]["player_1"] == "player:greedy"


def test_a_forged_record_is_found(run: Any) -> None:
    run("play", "kuhn", "--seed", 7, "--save", "some.jsonl")
    path = Path("some.jsonl")
    true = path.read_text()
    path.write_text(true.replace('["paid","player_0",1.0]', '["paid","player_0",9.0]'))
    assert path.read_text() != true
    told = run("replay", "some.jsonl", "--verify")
    assert told.code == 1 and "1 differ from the rules" in told.out
    assert run("replay", "some.jsonl", "--verify", "--json").lines[-1] == {"episodes": 1, "differ": 1}


def test_terminal_sequences_of_a_reply_never_reach_the_terminal(run: Any) -> None:
    typed = "\x1b[2J\x1b]0;owned\x07 I have it all [bet]\n"
    told = run("play", "kuhn", "human", "random", "--set", "level=1", "--save", "some.jsonl", typed=typed)
    assert "\x1b" not in told.out + run("replay", "some.jsonl").out


# -- train, measure ----------------------------------------------------------------------------------------------------

SMALL = ("recipe.steps=2", "recipe.episodes=12", "eval.every=0", "eval.instances=6", "policies.player.tiny.width=16")


def settings(*more: str) -> list[str]:
    return [part for s in (*SMALL, *more) for part in ("--set", s)]


def test_the_plan_is_printed_and_nothing_is_done(run: Any) -> None:
    told = run("train", "kuhn_selfplay", "--dry-run")
    assert told.code == 0 and "252 episodes a step" in told.out and "runs/kuhn_selfplay-0001" in told.out
    (plan,) = run("train", "kuhn_selfplay", "--dry-run", "--json", *settings()).lines
    assert plan["recipe"]["steps"] == 2
    assert list(Path().iterdir()) == []


def test_a_run_of_a_file_is_found_from_anywhere(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("one.py").write_text(ONE)
    Path("lesson.toml").write_text(LESSON)
    Path("elsewhere").mkdir()
    small = [w for s in SMALL[:4] for w in ("--set", s)]
    assert run("train", "one.py", "--out", "first", *small).code == 0
    monkeypatch.chdir("elsewhere")
    assert run("train", "../lesson.toml", "--dry-run").code == 0  # the path in it is taken from its own folder
    assert run("resume", "../first", "--set", "recipe.steps=3").code == 0
    assert run("eval", "../first", "--n", 2).code == 0


LESSON = """
env = "one.py:One"
policies.learner = { model = "tiny", train = true }
cast.a_0 = "learner"
"""


def test_a_scenario_beside_a_package_says_how_to_install_it(run: Any) -> None:
    assert run("new", "talk", "--kind", "dialogue").code == 0
    told = run("train", "talk/talk/talk.toml")
    root = Path("talk").resolve()
    assert told.code == 2 and told.err == (
        "error: 1 problem in talk.toml\n"
        "  env: 'talk' is not installed\n"
        f"      pip install -e {root}, or --set env={root}/talk/env.py:Talk\n"
    )
    assert run("train", "talk/talk/talk.toml", "--dry-run", "--set", f"env={root}/talk/env.py:Talk").code == 0
    Path("talk/pyproject.toml").unlink()
    assert f"--set env={root}/talk/env.py" in run("train", "talk/talk/talk.toml").err


def test_train_resume_diff_eval_play_and_list_work_on_a_run(run: Any) -> None:
    a = run("train", "kuhn_selfplay", *settings())
    head = next(line for line in a.out.splitlines() if "s/step" in line)
    assert re.match(r"\d+\.\d\d$", a.out.splitlines()[-2].split()[-1]), f"no time under {head}"
    assert a.code == 0 and "report.html" in a.out
    assert len([line for line in a.out.splitlines() if re.match(r"\s*\d+\s", line)]) >= 2, "a line a step in a pipe"
    b = run("train", "kuhn_selfplay", "--out", "other", "--json", *settings())
    assert [line["step"] for line in b.lines if "step" in line][-1] == 2

    same = run("diff", "runs/kuhn_selfplay-0001", "other", "--exact")
    assert same.code == 0 and "no difference" in same.out
    longer = run("resume", "other", "--set", "recipe.steps=3", "--json")
    assert longer.code == 0 and longer.lines[-2]["step"] == 3
    assert run("diff", "runs/kuhn_selfplay-0001", "other", "--exact").code == 1

    table = run("eval", "other", "--n", 6, "--against", "player:random")
    assert table.code == 0 and "paired" in table.out and "[" in table.out
    assert run("eval", "other", "--n", 6, "--json").lines
    assert run("play", "other", "--cast", "player@0", "greedy").code == 0
    assert [r["id"] for r in run("list", "runs", "--json").lines] == ["runs/kuhn_selfplay-0001"]
    refused = run("train", "kuhn_selfplay", "--out", "other", *settings())
    assert refused.code == 2 and "other" in refused.err
