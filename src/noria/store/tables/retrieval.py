"""The tables of retrieval: indexes, their documents, and the chunks that searches find.

Each document stands on a shelf: the documents of one index that the same readers may see. A search
is told the shelves that its reader may go to, and that is the only filter that any store needs.
Words are searched in `chunk_words` in SQLite and in the column `words` of `chunks` in Postgres,
both of which the database keeps up itself (see the migration).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from noria.store.tables.core import metadata

__all__ = ["chunk_vectors", "chunks", "documents", "indexes", "shelves"]

_RowId = BigInteger().with_variant(Integer, "sqlite")

indexes = Table(
    "indexes",
    metadata,
    Column("serial", _RowId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("app", Text),
    Column("source", Text, nullable=False),
    # The embedding model, and the vector store with what it needs to find its vectors again.
    Column("model", Text, nullable=False),
    Column("dimensions", Integer),
    Column("store", Text, nullable=False),
    Column("settings", Text, nullable=False),
    # Rises with every change of `chunk_vectors`, so that what is in memory is known to be old.
    Column("version", BigInteger, nullable=False),
    # When the last pass ended; null until the first one has.
    Column("built_ns", BigInteger),
    Column("report", Text),
)

shelves = Table(
    "shelves",
    metadata,
    Column("serial", _RowId, primary_key=True),
    Column("index_id", BigInteger, nullable=False),
    Column("label", SmallInteger, nullable=False),
    # A JSON array of arrays of groups: the reader must be in one group of each.
    Column("grants", Text, nullable=False),
    UniqueConstraint("index_id", "label", "grants"),
)

documents = Table(
    "documents",
    metadata,
    Column("serial", _RowId, primary_key=True),
    Column("index_id", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("title", Text),
    Column("source", Text),
    Column("shelf", BigInteger),
    # Of everything that its chunks were made from; null for one that could not be read.
    Column("digest", LargeBinary),
    Column("characters", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("indexed_ns", BigInteger, nullable=False),
    # Why it could not be read.
    Column("error", Text),
    # When a person removed it; it stays out for as long as its source offers it.
    Column("removed_ns", BigInteger),
    UniqueConstraint("index_id", "id"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("serial", _RowId, primary_key=True),
    Column("index_id", BigInteger, nullable=False),
    Column("document", BigInteger, nullable=False),
    Column("shelf", BigInteger, nullable=False),
    # Its place in the document, from 0.
    Column("number", Integer, nullable=False),
    # The titles above it, which are embedded and searched with it.
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("heading_words", Text),
    Column("text_words", Text),
    Column("digest", LargeBinary, nullable=False),
    # Whether its vector is in the vector store.
    Column("embedded", Boolean, nullable=False),
    sqlite_autoincrement=True,
)

chunk_vectors = Table(
    "chunk_vectors",
    metadata,
    Column("chunk", _RowId, primary_key=True, autoincrement=False),
    Column("index_id", BigInteger, nullable=False),
    Column("shelf", BigInteger, nullable=False),
    # little-endian float32, of length 1
    Column("vector", LargeBinary, nullable=False),
)
