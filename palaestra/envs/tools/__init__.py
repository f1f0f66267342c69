"""Work with tools whose results are recorded."""
