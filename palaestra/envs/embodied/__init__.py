"""Worlds that are acted in by hand: rooms, kitchens, workshops, laboratories."""
