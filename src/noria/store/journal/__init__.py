"""The write-ahead journal: the format of its records and who writes them."""
