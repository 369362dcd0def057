"""The right documents at the right time, for the person who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.retrieval.building import Report
    from noria.retrieval.document import Document, Failure, Original, Unreadable
    from noria.retrieval.finding import Found
    from noria.retrieval.index import Index
    from noria.retrieval.queries import (
        ChunkRow,
        DocumentPage,
        DocumentRow,
        IndexRow,
        find_document,
        find_index,
        list_chunks,
        list_documents,
        list_indexes,
    )
    from noria.retrieval.searching import search_index
    from noria.retrieval.splitting import Chunking
    from noria.retrieval.vectors import Hit, VectorStore

_NAMES_OF = {
    "building": "Report",
    "document": "Document Failure Original Unreadable",
    "finding": "Found",
    "index": "Index",
    "queries": "ChunkRow DocumentPage DocumentRow IndexRow find_document find_index list_chunks "
    "list_documents list_indexes",
    "searching": "search_index",
    "splitting": "Chunking",
    "vectors": "Hit VectorStore",
}

__all__ = [
    "ChunkRow",
    "Chunking",
    "Document",
    "DocumentPage",
    "DocumentRow",
    "Failure",
    "Found",
    "Hit",
    "Index",
    "IndexRow",
    "Original",
    "Report",
    "Unreadable",
    "VectorStore",
    "find_document",
    "find_index",
    "list_chunks",
    "list_documents",
    "list_indexes",
    "search_index",
]

__getattr__ = load_on_use(__name__, _NAMES_OF)
