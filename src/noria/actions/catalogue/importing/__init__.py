"""Operations from what describes APIs: OpenAPI, Python, help texts, MCP servers, tables."""

from __future__ import annotations

from noria.actions.catalogue.importing.reading import KINDS, import_catalogue, kind_of

__all__ = ["KINDS", "import_catalogue", "kind_of"]
