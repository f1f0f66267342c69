"""Environments of other libraries, played by palaestra's rules."""
