"""Operations that can be searched, and the offers that they can start."""

from __future__ import annotations

from noria.actions.catalogue.catalogue import Catalogue, Part
from noria.actions.catalogue.shipped import shipped_parts

__all__ = ["Catalogue", "Part", "shipped_parts"]
