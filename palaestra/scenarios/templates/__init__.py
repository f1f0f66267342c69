"""What `palaestra new` copies: one small environment a kind. The name of the class is replaced, nothing else."""
