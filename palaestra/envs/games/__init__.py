"""Games with exact theory."""
