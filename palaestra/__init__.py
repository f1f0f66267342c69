"""palaestra: language agents live together in simulated worlds, and learn there."""

__version__ = "0.1.0"
