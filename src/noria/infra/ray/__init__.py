"""Work on a Ray cluster. Ray itself is imported where it is used."""
