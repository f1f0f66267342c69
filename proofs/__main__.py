"""`python -m proofs [name ...]`."""

from __future__ import annotations

import importlib
import sys

ELSEWHERE = ("parts", "three_ways")
"""Those that need Ray and vLLM: `make prove-scale`."""
NAMES = (
    "kills",
    "replay",
    "kuhn",
    "haggle",
    "staleness",
    "judges",
    "two_policies",
    "learning",
    "worlds",
    "clones",
    "memory",
    "pipeline",
)


def main() -> None:
    """Run the named proofs, by default all; one that does not hold keeps none of the others from running."""
    missed = []
    for name in sys.argv[1:] or NAMES:
        print(f"proof: {name}", flush=True)
        try:
            importlib.import_module(f"proofs.{name}").main()
        except SystemExit as end:
            if end.code:
                print(f"  {name}: {end.code}", flush=True)
                missed.append(name)
    if missed:
        sys.exit(f"not held: {', '.join(missed)}")


if __name__ == "__main__":
    main()
