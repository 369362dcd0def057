"""What comes with noria, registered through the same door as any plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noria.plugins import Registry
    from noria.retrieval.stores.base import VectorStore
    from noria.store import Database

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add noria's vector stores and loaders."""
    from noria.retrieval.ingest import loaders

    registry.vector_stores.add("exact", _exact)
    registry.vector_stores.add("pgvector", _pgvector)
    registry.vector_stores.add("qdrant", _qdrant)
    registry.vector_stores.add("lancedb", _lancedb)
    for suffix, load in loaders.LOADERS.items():
        registry.loaders.add(suffix, load)


def _exact(db: Database, index_id: int, dimensions: int) -> VectorStore:
    from noria.retrieval.stores.exact import ExactVectors

    return ExactVectors(db, index_id, dimensions)


def _pgvector(db: Database, index_id: int, dimensions: int) -> VectorStore:
    from noria.retrieval.stores.pgvector import PgVectors

    return PgVectors(db, index_id, dimensions)


def _qdrant(db: Database, index_id: int, dimensions: int) -> VectorStore:
    from noria.retrieval.stores.qdrant import QdrantVectors

    return QdrantVectors(db, index_id, dimensions)


def _lancedb(db: Database, index_id: int, dimensions: int) -> VectorStore:
    from noria.retrieval.stores.lancedb import LanceVectors

    return LanceVectors(db, index_id, dimensions)
