"""Serving an application's functions from its process."""
