"""Named compositions of environments, policies and recipes, as data; and runs of them."""
