"""The command line: define an environment, train in it, measure, look.

Commands import what they need when they run, so that `palaestra --help` answers at once and scripted play needs no
torch. Exit codes: 0 fine, 1 a check failed, 2 a user's error, 3 a missing extra, 130 interrupted after a clean save.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from palaestra import __version__
from palaestra.errors import (
    CheckpointError,
    MissingExtraError,
    PalaestraError,
    ScenarioError,
    UnknownNameError,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palaestra.agents.episode import Episode
    from palaestra.agents.policy import Cast
    from palaestra.envs.script import ScriptedEnv
    from palaestra.scenarios.scenario import Scenario
    from palaestra.view.progress import Watcher

app = typer.Typer(
    name="palaestra",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

AsJson = Annotated[bool, Option("--json", help="Machine-readable lines and nothing else.")]
Settings = Annotated[list[str], Option("--set", metavar="KEY=VALUE", help="Override a key, such as recipe.steps=10.")]
CastOption = Annotated[
    list[str],
    Option("--cast", metavar="SEAT=WHO", help="Who sits in a seat or role: human, a scripted player, policy@version."),
]


def _version(value: bool) -> None:
    if value:
        print(f"palaestra {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    traceback: Annotated[bool, Option("--traceback", help="Show where an error was raised.")] = False,
) -> None:
    """Language agents live together in simulated worlds, and learn there."""


# -- define ----------------------------------------------------------------------------------------------------------
@app.command()
def new(
    name: Annotated[str, Argument(help="A Python name, such as haggle.")],
    kind: Annotated[str, Option(help="game, dialogue, debate, social, tools or embodied.")] = "game",
    out: Annotated[Path, Option(help="Where the package's directory is made.")] = Path("."),
) -> None:
    """Write a package: an environment that passes `check`."""
    from palaestra.scenarios.new import write_package

    made = write_package(name, kind, out)
    width = max(len(str(path)) for path in made.files)
    for path, what in made.files.items():
        print(f"  wrote {path!s:<{width}}  {what}")
    for i, line in enumerate(made.next_steps):
        print(("  next: " if i == 0 else "        ") + line)


@app.command()
def check(
    envs: Annotated[list[str] | None, Argument(help="Ids: a name, module:Class, file.py:Class or file.py.")] = None,
    every: Annotated[bool, Option("--all", help="Every environment that is known.")] = False,
    thorough: Annotated[bool, Option(help="Compare the instances of 10,000 seeds a split, not of 2,000.")] = False,
    jobs: Annotated[int, Option(help="Environments at once; 0: as many as there are cores.")] = 0,
    update: Annotated[bool, Option(help="Rewrite the golden playthroughs instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that environments keep the rules of all."""
    from palaestra.envs.registry import names

    ids = names() if every else list(envs or [])
    if not ids:
        raise ScenarioError("check: which environment?\n  palaestra check ID, or --all")
    if update:
        from palaestra.envs import playthrough

        changed = [str(path) for path in playthrough.update(ids)]
        print(json.dumps({"changed": changed}) if as_json else "\n".join(changed) or "nothing changed")
        return
    failed = []
    for one, (ok, text) in zip(ids, _checked(ids, thorough, as_json, jobs or os.cpu_count() or 1), strict=True):
        failed += [] if ok else [one]
        print(text, flush=True)
    if len(ids) > 1 and not as_json:
        print(f"\n{len(ids) - len(failed)} of {len(ids)} environments hold" + "".join(f"\n  not {f}" for f in failed))
    raise typer.Exit(1 if failed else 0)


def _checked(ids: list[str], thorough: bool, as_json: bool, jobs: int) -> Iterator[tuple[bool, str]]:
    """Of each environment in turn, whether it holds and what is to be said of it."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    one = functools.partial(_check, thorough=thorough, as_json=as_json)
    if jobs == 1 or len(ids) == 1:
        yield from map(one, ids)
        return
    with ProcessPoolExecutor(min(jobs, len(ids)), mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        yield from pool.map(one, ids)


def _check(env: str, *, thorough: bool, as_json: bool) -> tuple[bool, str]:
    from palaestra.envs.conformance import THOROUGH, USUAL
    from palaestra.envs.conformance import check as conformance

    report = conformance(env, effort=THOROUGH if thorough else USUAL)
    return report.ok, report.to_json() if as_json else report.table()


# -- play ------------------------------------------------------------------------------------------------------------
@app.command()
def play(
    env: Annotated[str, Argument(help="An environment's id, or a run directory.")],
    who: Annotated[list[str] | None, Argument(metavar="[WHO]...", help="The same as --cast.")] = None,
    cast: CastOption = [],  # noqa: B006  (typer wants a plain default)
    seed: Annotated[int, Option(help="The instance.")] = 0,
    settings: Annotated[list[str], Option("--set", metavar="PARAM=VALUE", help="A parameter, such as level=1.")] = [],  # noqa: B006
    save: Annotated[Path | None, Option(help="Add the episode to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play one episode; you too: --cast SEAT=human."""
    from palaestra.envs.registry import make
    from palaestra.view.seating import run_env, run_of, seating

    params = _params(settings)
    run = run_of(Path(env)) if Path(env).is_dir() else None
    if run:
        world, default = run_env(run)
        world = type(world)(**{**world.params, **params})
    else:
        world, default = make(env, **params), {}
    entries = [*cast, *(who or [])]
    if not entries and not default:
        default = dict.fromkeys(world.seats, "random")
    seated = seating(world, entries, run=run, default=default)
    _finish(_play(world, seated, seed, as_json=as_json), save, as_json=as_json)


def _params(settings: list[str]) -> dict[str, Any]:
    from palaestra.scenarios.scenario import apply_setting

    params: dict[str, Any] = {}
    for setting in settings:
        apply_setting(params, setting)
    return params


def _play(world: ScriptedEnv, cast: Cast, seed: int, answers: Any = (), *, as_json: bool) -> Episode:
    """Play on from `answers`, at the terminal if there are people; else print the episode's words."""
    from palaestra.agents.fork import Fork
    from palaestra.agents.policy import Human
    from palaestra.view.replay import words
    from palaestra.view.terminal import Terminal

    people = [seat for seat, policy in cast.items() if isinstance(policy, Human)]
    if people and as_json:
        raise ScenarioError(f"--json: {people[0]} is a person, who needs words\n  leave out --json and use --save FILE")
    fork = Fork(world, cast, seed, answers)
    if people:
        return Terminal(fork).play()
    episode = fork.finish()
    if not as_json:
        for line in words(episode):
            print(line)
    return episode


def _finish(episode: Episode, save: Path | None, *, as_json: bool) -> None:
    """Print or save what was played; the exit code says how it went."""
    from palaestra.agents.episode import encode
    from palaestra.view.terminal import append

    if save:
        append(save, episode)
        if not as_json:
            print(f"saved to {save}.  palaestra replay {save}")
    if as_json:
        print(encode(episode).decode())
    if episode.failure and episode.failure.message.startswith("interrupted"):
        raise typer.Exit(130)
    if episode.failure and not episode.failure.message.endswith("at the terminal"):
        raise typer.Exit(1)


@app.command()
def serve(
    env: Annotated[str, Argument(metavar="ID|RUN", help="An environment's id; with --as openai a run directory.")],
    door: Annotated[
        str,
        Option("--as", help="mcp (over standard input and output), openenv (over HTTP), or openai (a run's policies)."),
    ] = "mcp",
    seat: Annotated[str | None, Option(help="The seat that is served; default: the first.")] = None,
    others: Annotated[str, Option(help="The scripted player in the other seats.")] = "random",
    settings: Annotated[list[str], Option("--set", metavar="PARAM=VALUE", help="A parameter, such as level=1.")] = [],  # noqa: B006
    save: Annotated[Path | None, Option(help="Add finished episodes to this file.")] = None,
    port: Annotated[int, Option(help="With openenv and openai: where it listens, on this machine.")] = 8000,
) -> None:
    """Serve a seat to MCP or OpenEnv clients, or a run's policies to OpenAI ones."""
    from palaestra.envs.registry import make
    from palaestra.view.serve import serve_mcp, serve_openenv

    if door == "openai":
        from palaestra.view.openai import serve as serve_policies

        if not (Path(env) / "run.json").exists():
            raise CheckpointError(f"serve: {env} is no run directory\n  --as openai offers the policies of a run")
        serve_policies(Path(env), port)
        return
    if door not in ("mcp", "openenv"):
        raise UnknownNameError(f"serve: no door {door!r}\n  {nearest(door, ('mcp', 'openenv', 'openai'))}")
    world = make(env, **_params(settings))
    if door == "mcp":
        serve_mcp(world, seat, others, save)
    else:
        serve_openenv(world, seat, others, save, port)


@app.command()
def replay(
    files: Annotated[list[Path], Argument(help="Shards (*.jsonl) or run directories.")],
    episode: Annotated[str | None, Option(help="One episode: its number from 0, or its id.")] = None,
    until: Annotated[int | None, Option(min=0, help="Stop after so many answers.")] = None,
    seat: Annotated[str | None, Option("--as", metavar="SEAT", help="Only what this seat was told and said.")] = None,
    verify: Annotated[bool, Option("--verify", help="Play again by the rules and report differences.")] = False,
    cast: CastOption = [],  # noqa: B006
    save: Annotated[Path | None, Option(help="With --cast: add the episode to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read, verify or fork recorded episodes."""
    from palaestra.agents.episode import encode
    from palaestra.view.replay import select, words

    cast += [str(file) for file in files if "=" in str(file) and not file.exists()]  # --cast a=x b=y
    files = [file for file in files if str(file) not in cast]
    chosen = select(files, episode)
    if verify:
        raise typer.Exit(_verify(chosen, as_json))
    if cast or save:
        _play_on(files[0], next(iter(chosen), None), until, cast, save, as_json=as_json)
        return
    first = int(episode) if episode and episode.isdigit() else 0
    for number, one in enumerate(chosen, first):
        if as_json:
            print(encode(one).decode())
            continue
        known = number if episode is None or episode.isdigit() else None
        for line in words(one, number=known, until=until, seat=seat):
            print(line)


def _verify(episodes: Any, as_json: bool) -> int:
    """Print every difference; 1 if there is any."""
    from palaestra.agents.verify import verify_all
    from palaestra.view.stage import plain

    checked = wrong = 0
    for _, differences in verify_all(episodes):
        checked += 1
        wrong += bool(differences)
        for difference in differences:
            print(json.dumps(difference._asdict()) if as_json else plain(difference))
    if as_json:
        print(json.dumps({"episodes": checked, "differ": wrong}))
    else:
        result = f"{wrong} differ from the rules" if wrong else "no difference"
        print(f"{checked} episode{'s' * (checked != 1)}, {result}")
    return 1 if wrong else 0


def _play_on(
    file: Path, old: Episode | None, until: int | None, cast: list[str], save: Path | None, *, as_json: bool
) -> None:
    """The episode again up to its first `until` answers, then with another cast."""
    from palaestra.envs.registry import env_class
    from palaestra.errors import RecordError
    from palaestra.view.seating import run_of, seating

    if old is None:
        raise RecordError(f"{file}: no episode in it")
    transcript = old.transcript
    world = env_class(transcript.env)(**transcript.params)
    seated = seating(world, cast, run=run_of(file), default=old.cast)
    _finish(_play(world, seated, transcript.seed, transcript.answers()[:until], as_json=as_json), save, as_json=as_json)


# -- train -----------------------------------------------------------------------------------------------------------
@app.command()
def train(
    scenario: Annotated[str, Argument(help="A TOML file, a name of the library, or an environment's id.")],
    out: Annotated[Path | None, Option(help="The run directory; default runs/NAME-0001.")] = None,
    settings: Settings = [],  # noqa: B006
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train the policies of a scenario. Ctrl-C saves."""
    from palaestra.scenarios.scenario import Scenario

    loaded = Scenario.load(scenario, settings)
    from palaestra.scenarios import runs

    if dry_run:
        _show_plan(loaded, as_json)
        return
    _watch(lambda show: runs.train(loaded, out, show=show), as_json)


@app.command()
def resume(
    run: Annotated[Path, Argument(help="The run directory.")],
    settings: Settings = [],  # noqa: B006
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run from its last checkpoint."""
    from palaestra.scenarios import runs

    if dry_run:
        loaded = _scenario_of(run, settings)
        _show_plan(loaded, as_json)
        return
    _watch(lambda show: runs.resume(run, settings, show=show), as_json)


def _show_plan(scenario: Scenario, as_json: bool) -> None:
    """What would be done, and what memory it takes; refused where it does not fit."""
    from palaestra.scenarios import runs
    from palaestra.scenarios.memory import memory

    print(json.dumps(scenario.model_dump(mode="json", exclude_none=True)) if as_json else runs.plan(scenario))
    try:
        needed = memory(scenario)
    except ScenarioError as unknown:  # a model that is not here yet
        if not as_json:
            print(f"  {unknown}".replace("\n", f"\n{'':<12}"))
        return
    if not as_json:
        print(needed.text())
    needed.check(scenario.name or scenario.env)


def _scenario_of(run: Path, settings: list[str]) -> Scenario:
    from palaestra.scenarios.scenario import Scenario

    if not (run / "scenario.toml").exists():
        raise CheckpointError(f"{run}: no run here (no scenario.toml)\n  a run is made by `palaestra train`")
    return Scenario.load(run / "scenario.toml", settings)


def _watch(go: Any, as_json: bool) -> None:
    """Run something that trains while it is shown; afterwards the report, or how to resume."""
    from palaestra.view.progress import watcher

    show: Watcher = watcher(as_json=as_json)
    try:
        run = go(show)
    except KeyboardInterrupt:
        show.close()
        if show.run:
            step = (show.run.checkpoints() or [0])[-1]
            print(f"  saved at step {step}.  palaestra resume {show.run.path}", file=sys.stderr if as_json else None)
        raise typer.Exit(130) from None
    finally:
        show.close()
    from palaestra.view.report import write_report

    page = write_report(run.path)
    if not as_json:
        print(f"  finished.  look at it: {page}")


@app.command("eval")
def evaluate(
    source: Annotated[
        str, Argument(help="A run directory, a TOML file, a name of the library, or an environment's id.")
    ],
    policy: Annotated[str | None, Option(help="Who is measured; default: the last version.")] = None,
    baseline: Annotated[
        str | None, Option(help="Whom it is compared with; default: version 0, or random play.")
    ] = None,
    against: Annotated[list[str], Option(help="Opponents: player:random, debater@0.")] = [],  # noqa: B006
    n: Annotated[int | None, Option("--n", min=1, help="Held-out instances.")] = None,
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Measure a policy beside a baseline, paired."""
    from palaestra.scenarios import runs

    table = runs.compare(source, policy=policy, baseline=baseline, against=against, instances=n, settings=settings)
    print(json.dumps(table.to_json()) if as_json else table.text())


@app.command()
def diff(
    a: Annotated[Path, Argument(help="A run directory.")],
    b: Annotated[Path, Argument(help="Another.")],
    exact: Annotated[
        bool, Option("--exact", help="Also weights, optimizers, league and episodes, bit for bit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What differs between two runs, times left out."""
    from palaestra.scenarios import runs
    from palaestra.view.stage import plain

    found = runs.diff(a, b, exact)
    if as_json:
        print(json.dumps({"differences": found}))
    else:
        for line in found:
            print(plain(line))
        print(f"{len(found)} difference{'s' * (len(found) != 1)}" if found else "no difference")
    raise typer.Exit(1 if found else 0)


# -- look ------------------------------------------------------------------------------------------------------------
@app.command("list")
def list_(
    what: Annotated[str, Argument(help="envs, scenarios or runs.")] = "",
    as_json: AsJson = False,
) -> None:
    """What exists, one line each."""
    from palaestra.view.catalog import CATALOGS, line

    if not what:
        raise UnknownNameError(f"list: which list?\n  palaestra list {', or '.join(CATALOGS)}")
    if what not in CATALOGS:
        raise UnknownNameError(f"list: nothing called {what!r}\n  {nearest(what, CATALOGS)}")
    for entry in CATALOGS[what]():
        print(json.dumps(entry) if as_json else line(entry))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Versions and hardware, for a bug report."""
    from palaestra.view.catalog import examine

    found = examine()
    if as_json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"  {key:<16}{value}")


# -- running ---------------------------------------------------------------------------------------------------------
UsageError: Any = typer.BadParameter.__base__  # click's, wherever this typer keeps it
EXTRAS = {"torch": "train", "transformers": "train", "peft": "train", "safetensors": "train", "pydantic_monty": "monty"}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    traceback = "--traceback" in arguments
    arguments = [a for a in arguments if a != "--traceback"]
    try:
        return _run(arguments)
    except (PalaestraError, OSError, ModuleNotFoundError) as error:
        if isinstance(error, BrokenPipeError):  # whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        missing = _missing(error)
        if traceback or (isinstance(error, ModuleNotFoundError) and missing is None):
            raise
        print(f"error: {missing or error}", file=sys.stderr)
        return 3 if missing or isinstance(error, MissingExtraError) else 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        # not in click's own mode, which would print its errors in another form than ours
        code = command(arguments or ["--help"], prog_name="palaestra", standalone_mode=False)
    except UsageError as error:
        print(f"error: {error.format_message()}\n  palaestra --help", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def _missing(error: Exception) -> str | None:
    """What to install, where an optional package is not there."""
    if not isinstance(error, ModuleNotFoundError) or isinstance(error, PalaestraError):
        return None
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    return extra and f'{package} is not installed\n  pip install "palaestra[{extra}]"'


if __name__ == "__main__":
    sys.exit(main())
