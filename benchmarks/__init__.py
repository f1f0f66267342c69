"""Speed, side by side with the alternatives: `python -m benchmarks [name ...] [--quick]`."""
