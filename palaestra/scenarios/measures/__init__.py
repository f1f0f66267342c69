"""Measures of whole scenarios that are more than a mean over episodes."""
