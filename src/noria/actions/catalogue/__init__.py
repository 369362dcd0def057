"""Operations that can be searched, and the offers that they can start."""

from __future__ import annotations

from noria.actions.catalogue.catalogue import Catalogue, Part
from noria.actions.catalogue.shipped import shipped_parts
from noria.actions.catalogue.store import CatalogueStore, open_catalogue
from noria.actions.catalogue.stored import Origin, StoredPart

__all__ = [
    "Catalogue",
    "CatalogueStore",
    "Origin",
    "Part",
    "StoredPart",
    "open_catalogue",
    "shipped_parts",
]
