"""`python -m benchmarks [name ...] [--quick] [--out DIR]`: run benchmarks, keep the last results, write the table.

`--quick` runs each with the smallest sizes, to see that it works; its figures mean nothing and go nowhere unless
`--out` names a folder.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.common import RESULTS, readme, save

NAMES = ("envs", "sandbox", "rollout", "training", "start")
APART = {"engines": "make bench-engines", "gpu": "make bench-gpu"}
"""Those that need what the others do not, and the command that runs each."""
KNOWN = (*NAMES, *APART)


def main(arguments: list[str] | None = None) -> None:
    """Run the named benchmarks, by default all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    able = (*NAMES, "engines")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(able))
    parser.add_argument("--quick", action="store_true", help="smallest sizes, to see that it works")
    parser.add_argument("--out", type=Path, help=f"folder of the results (default {RESULTS})")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(able):
        parser.error(f"no benchmark {min(unknown)!r}: {', '.join(able)}")
    for name in chosen.names or NAMES:
        print(f"benchmark: {name}", flush=True)
        result = importlib.import_module(f"benchmarks.{name}").run(quick=chosen.quick)
        for row in result["rows"]:
            print("  " + "  ".join(str(cell) for cell in row), flush=True)
        if chosen.out or not chosen.quick:
            save(name, result, chosen.out or RESULTS)
    for name, command in APART.items():
        if not chosen.names:
            print(f"benchmark: {name}, skipped: it has its own command, {command}", flush=True)
    if chosen.out or not chosen.quick:
        readme(KNOWN, chosen.out or RESULTS)


if __name__ == "__main__":
    main()
