"""`noria trace`: list, show, tail, replay."""
