"""Worlds of argument and judgement."""
