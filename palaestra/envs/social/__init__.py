"""Life among others: cooperation, deception, norms and opinions."""
