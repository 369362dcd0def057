"""The right documents at the right time, for the person who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noria.lazy import load_on_use

if TYPE_CHECKING:
    from noria.retrieval.document import Document, Failure, Original, Unreadable
    from noria.retrieval.index import Index
    from noria.retrieval.ingest.chunking import Chunking
    from noria.retrieval.ingest.indexing import Report
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
    from noria.retrieval.search.ranking import Found
    from noria.retrieval.search.search import search_index
    from noria.retrieval.stores.base import Hit, VectorStore

_NAMES_OF = {
    "ingest.indexing": "Report",
    "document": "Document Failure Original Unreadable",
    "search.ranking": "Found",
    "index": "Index",
    "queries": "ChunkRow DocumentPage DocumentRow IndexRow find_document find_index list_chunks "
    "list_documents list_indexes",
    "search.search": "search_index",
    "ingest.chunking": "Chunking",
    "stores.base": "Hit VectorStore",
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
