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
    """Run the named proofs, by default all."""
    for name in sys.argv[1:] or NAMES:
        print(f"proof: {name}", flush=True)
        importlib.import_module(f"proofs.{name}").main()


if __name__ == "__main__":
    main()
