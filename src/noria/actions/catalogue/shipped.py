"""The catalogues that come with noria."""

from __future__ import annotations

from noria.actions.catalogue.catalogue import Part

__all__ = ["shipped_parts"]


def shipped_parts() -> list[Part]:
    """What is there in every home."""
    return []
