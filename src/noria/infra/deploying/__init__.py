"""Revisions of applications, and the places that they are deployed to."""
