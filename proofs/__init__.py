"""The long proofs: what is claimed about learning and about exactness, beside its controls, with every cell shown.

`make prove` runs all of them; `python -m proofs learning` one. Results go to docs/proofs as JSON and as tables.
"""
