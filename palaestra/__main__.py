"""`python -m palaestra`: the command line, where the command itself is not on the path."""

import sys

from palaestra.cli import main

sys.exit(main())
