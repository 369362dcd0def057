"""`noria doctor`: the checks and what they look at."""
