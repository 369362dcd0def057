"""OpenAPI 3.0 and 3.1 documents as operations."""

from __future__ import annotations

from noria.actions.catalogue.importing.openapi.reading import read_openapi

__all__ = ["read_openapi"]
