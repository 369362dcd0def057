"""Battles, judgements and the results of checks."""
