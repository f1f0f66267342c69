"""What several environments share: words, planning, votes, leaks, grids, workflows, cards. Each is written once."""
