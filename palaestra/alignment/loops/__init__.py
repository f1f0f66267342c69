"""Loops from episodes to new weights, one a file."""
