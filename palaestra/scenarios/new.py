"""A package of its own for an environment: what `palaestra new` writes.

The environments are the modules of `palaestra.scenarios.templates`; each passes `palaestra check` as it is written,
and its scenario trains a tiny policy in it.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from palaestra.envs.registry import BUILTIN
from palaestra.errors import ScenarioError, nearest


class Kind(NamedTuple):
    """A template: what it is, and who learns in its scenario against whom."""

    about: str
    cast: dict[str, str]
    """seat -> policy of the scenario: `learner`, or a scripted player."""
    estimator: str
    """One of `palaestra.alignment.credit.ESTIMATORS`."""
    clone: str = "random"
    """The scripted player whose play the policy imitates before its first step."""
    kl: float = 0.02
    entropy: float = 0.01
    episodes: int = 64
    """Episodes a step."""


KINDS: dict[str, Kind] = {
    "game": Kind(
        "a duel of hidden cards, two seats at once",
        {"player_0": "learner", "player_1": "learner"},
        "loo_instance_seat",
        kl=0.5,
        entropy=0.2,
        episodes=128,
    ),
    "dialogue": Kind(
        "two seats that talk until they agree on a day",
        {"ann_0": "learner", "ben_0": "learner"},
        "loo_instance_seat",
    ),
    "debate": Kind(
        "two debaters who know a text, a judge who does not",
        {"debater_0": "greedy", "debater_1": "greedy", "judge_0": "learner"},
        "rloo",
    ),
    "social": Kind(
        "four guests, a thief among them, who talk and vote",
        {"guest_0": "greedy", "guest_1": "greedy", "guest_2": "greedy", "guest_3": "learner"},
        "rloo",
    ),
    "tools": Kind("one seat and a tool that costs", {"finder_0": "learner"}, "rloo", clone="mixed"),
    "embodied": Kind("one seat that walks through a room", {"walker_0": "learner"}, "rloo", episodes=32),
}

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
description = "An environment for palaestra: {about}."
requires-python = ">=3.11"
dependencies = ["palaestra"]

[project.entry-points."palaestra.envs"]
{name} = "{name}.env:{cls}"

[tool.hatch.build.targets.wheel]
packages = ["{name}"]
"""

SCENARIO = """\
# random against random is `palaestra play {name}`; this trains a tiny policy, made on the spot, on any machine
about = "A tiny policy learns {name} from its own play."
env = "{name}"

[policies.learner]
model = "tiny"                  # or a Hugging Face name, or a path
act = "score"                   # draws among the legal moves; "text" samples free replies
train = true

[policies.learner.clone]        # what it imitates before the first step, so that no move is rare
players = {{ {clone} }}
batches = 100
batch = 32
{players}
[cast]
{cast}

[recipe]
steps = 60
episodes = {episodes}
group_size = 8                  # episodes of one instance, which share a baseline
estimator = "{estimator}"
lr = 1e-3
kl = {{ to = "copy", refresh = 20, coef = {kl}, form = "exact" }}     # to a slow copy of itself
entropy = {{ start = {entropy}, end = 0.01 }}                        # over the legal moves

[eval]
every = 20
instances = 100
against = ["player:random"]     # in each seat that learns, in turn

[run]
checkpoint_every = 20
"""

TEST = '''\
"""The environment holds what every driver relies on, and its scenario is whole."""

from pathlib import Path

import pytest
from palaestra.envs.conformance import check
from palaestra.scenarios.scenario import Scenario

import palaestra
from {name}.env import {cls}


def test_{name}_conforms() -> None:
    report = check({cls})
    assert report.ok, report.table()


@pytest.mark.parametrize("seed", range(5))
def test_an_episode_of_{name}_ends_and_agrees_with_its_record(seed: int) -> None:
    episode = palaestra.play({cls}(), "random", seed=seed)
    assert episode.failure is None and episode.outcome
    assert palaestra.verify(episode) == []


def test_the_scenario_of_{name}_loads() -> None:
    Scenario.load(Path(__file__).parents[1] / "{name}" / "{name}.toml")
'''


class Package(NamedTuple):
    """What was written."""

    files: dict[Path, str]
    """path -> what it is."""
    next_steps: list[str]


def write_package(name: str, kind: str = "game", out: Path = Path(".")) -> Package:
    """Write the package `out/name`.

    Raises:
        ScenarioError: the name cannot be one, it is taken, or there is no such kind.
    """
    if kind not in KINDS:
        raise ScenarioError(f"no kind {kind!r}\n  kinds: {', '.join(KINDS)}\n  {nearest(kind, KINDS)}")
    _check_name(name)
    root = out / name
    if root.exists():
        raise ScenarioError(f"{root}: something is here already\n  choose another name, or --out DIR")
    cls = class_name(name)
    facts = {"name": name, "cls": cls, "about": KINDS[kind].about}
    texts = {
        root / "pyproject.toml": (PYPROJECT.format(**facts), f"registers the environment {name}"),
        root / name / "__init__.py": ("", "the package"),
        root / name / "env.py": (environment(kind, cls), KINDS[kind].about),
        root / name / f"{name}.toml": (scenario(name, kind), "a scenario: a tiny policy learns it"),
        root / "tests" / f"test_{name}.py": (TEST.format(**facts), "conformance, replay, scenario"),
    }
    for path, (text, _) in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    steps = [
        f"palaestra check {root / name / 'env.py'}:{cls}",
        f"pip install -e {root}              from then on it is called {name}, as here:",
        f"palaestra play {name} --seed 7",
        f"palaestra train {root / name / name}.toml",
    ]
    return Package({path: what for path, (_, what) in texts.items()}, steps)


def environment(kind: str, cls: str) -> str:
    """The source of a kind's environment, its class called `cls`."""
    source = resources.files("palaestra.scenarios.templates").joinpath(f"{kind}.py").read_text()
    return source.replace("class Template(", f"class {cls}(")


def scenario(name: str, kind: str) -> str:
    """The scenario of a kind's environment, which is registered as `name`."""
    facts = KINDS[kind]
    scripted = sorted({*facts.cast.values()} - {"learner"})
    return SCENARIO.format(
        name=name,
        players="".join(f'\n[policies.{who}]\nplayer = "{who}"\n' for who in scripted),
        clone=", ".join(f'{seat} = "{facts.clone}"' for seat, who in facts.cast.items() if who == "learner"),
        cast="\n".join(f'{seat} = "{who}"' for seat, who in facts.cast.items()),
        **{field: facts._asdict()[field] for field in ("estimator", "kl", "entropy", "episodes")},
    )


def class_name(name: str) -> str:
    """`stag_hunt` as `StagHunt`."""
    return "".join(part.capitalize() for part in name.split("_"))


def _check_name(name: str) -> None:
    proper = "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_")
    if not name.isidentifier() or not name.isascii() or name != proper:
        example = proper if proper.isidentifier() else "haggle"
        raise ScenarioError(f"name {name!r}: a package is called in lower case, such as {example}")
    if name in BUILTIN or name in sys.stdlib_module_names or name in ("palaestra", "test", "tests"):
        raise ScenarioError(f"name {name!r}: taken by another package or environment\n  such as my_{name}")
