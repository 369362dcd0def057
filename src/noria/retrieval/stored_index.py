"""One index as the database and the vector store hold it: opened, searched, cleared out."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select, update

from noria.config import Config
from noria.errors import ConfigError
from noria.plugins import registry
from noria.retrieval.document import Document
from noria.retrieval.ingest.embedding import embed_texts
from noria.retrieval.ingest.sources import described
from noria.retrieval.ingest.writing import remove_documents
from noria.retrieval.search.access import permitted
from noria.retrieval.search.keywords import find_words
from noria.retrieval.search.ranking import Found, Rank, reciprocal_rank_fusion
from noria.retrieval.stores.base import Hit, VectorStore
from noria.store import Database, open_database
from noria.store.bulk_sql import select_in
from noria.store.tables.retrieval import chunks, documents, indexes
from noria.tracing import CallContext
from noria.types import Label, Principal

if TYPE_CHECKING:
    from noria.retrieval.index import Index

__all__ = ["StoredIndex", "open_library", "shared_database"]

_LEAST_CANDIDATES = 30
_SPARE = 8
"""Passages beyond those that are wanted: some may be gone by now or not fit into a budget."""


class StoredIndex:
    """An index in the database.

    Args:
        db: the database.
        index_id: the index's number.
        name: its name.
        model: what embeds its texts.
        store: the name of its vector store.
        dimensions: of its vectors; None until the first one was made.
    """

    def __init__(
        self,
        db: Database,
        index_id: int,
        name: str,
        model: str,
        store: str,
        dimensions: int | None,
    ) -> None:
        self.db = db
        self.index_id = index_id
        self.name = name
        self.model = model
        self._store = store
        self._dimensions = dimensions
        self._vectors: VectorStore | None = None
        self._lock = threading.Lock()

    def is_built(self) -> bool:
        """Whether a first pass has ended."""
        with self.db.read() as connection:
            return (
                connection.execute(
                    select(indexes.c.built_ns).where(indexes.c.serial == self.index_id)
                ).scalar()
                is not None
            )

    def vectors(self, dimensions: int | None = None) -> VectorStore | None:
        """The vector store; None while nothing was ever embedded.

        Args:
            dimensions: of the vectors that are to be put into it.

        Raises:
            ConfigError: the store cannot be used, or vectors have another length than before.
        """
        with self._lock:
            if self._vectors is None:
                self._dimensions = self._dimensions or self._agreed(dimensions)
                if self._dimensions is None:
                    return None
                opener = registry().vector_stores.find(self._store)
                self._vectors = opener(self.db, self.index_id, self._dimensions)
        if dimensions is not None and dimensions != self._dimensions:
            raise ConfigError(
                f"{self.model} makes vectors of {dimensions} dimensions; those of the index "
                f"{self.name} have {self._dimensions}.",
                "Give the other model another name, so that the index is made anew.",
            )
        return self._vectors

    def _agreed(self, dimensions: int | None) -> int | None:
        """The dimensions that the database knows, or that are to be known from now on."""
        mine = indexes.c.serial == self.index_id
        if dimensions is not None:
            with self.db.write() as connection:
                connection.execute(
                    update(indexes)
                    .where(mine, indexes.c.dimensions.is_(None))
                    .values(dimensions=dimensions)
                )
        with self.db.read() as connection:
            return connection.execute(select(indexes.c.dimensions).where(mine)).scalar()

    async def find(
        self, context: CallContext, question: str, k: int, reader: Principal | None
    ) -> list[Found]:
        """The passages that answer a question best, of those that a reader may see, the best first.

        Args:
            context: where the model is asked.
            question: what to look for.
            k: how many at least, where there are so many.
            reader: who asks; None is the system, which sees everything.
        """
        embedded = None
        if await asyncio.to_thread(self.vectors) is not None:
            embedded = functools.partial(embed_texts, context, self.model, [question])
        return await self.look_up(question, embedded, k, reader)

    async def look_up(
        self,
        question: str,
        embedded: Callable[[], Awaitable[NDArray[np.float32]]] | None,
        k: int,
        reader: Principal | None,
    ) -> list[Found]:
        """`find`, with what gives the question's vector, in a matrix of one row; None for a search
        by words alone."""
        wanted = max(_LEAST_CANDIDATES, 2 * k)
        # The words are looked for while the question is embedded.
        words = asyncio.create_task(asyncio.to_thread(self._by_words, question, wanted, reader))
        try:
            vector = (await embedded())[0] if embedded is not None else None
            allowed, by_words = await words
        finally:
            words.cancel()
        return await asyncio.to_thread(self._joined, by_words, vector, wanted, k, allowed)

    def _by_words(
        self, question: str, wanted: int, reader: Principal | None
    ) -> tuple[Sequence[int], list[int]]:
        """The shelves that the reader may go to, and what the question's words find on them."""
        with self.db.read() as connection:
            allowed = permitted(connection, self.index_id, reader)
            return allowed, find_words(connection, question, wanted, allowed) if allowed else []

    def _joined(
        self,
        by_words: Sequence[int],
        vector: NDArray[np.float32] | None,
        wanted: int,
        k: int,
        allowed: Sequence[int],
    ) -> list[Found]:
        """What the words have found with what the vector finds."""
        by_meaning: Sequence[Hit] = []
        if vector is not None and allowed and (store := self.vectors()) is not None:
            by_meaning = store.search(vector, wanted, allowed)
        return self._fetch(reciprocal_rank_fusion(by_words, by_meaning)[: k + _SPARE], allowed)

    def _fetch(self, ranks: Sequence[Rank], allowed: Sequence[int]) -> list[Found]:
        """The passages themselves, as they stand in the database now."""
        if not ranks:
            return []
        with self.db.read() as connection:
            rows = {
                row.serial: row
                for row in select_in(
                    connection,
                    "SELECT c.serial, c.shelf, c.number, c.heading, c.text, d.id, d.source,"
                    " s.label FROM chunks c JOIN documents d ON d.serial = c.document"
                    " JOIN shelves s ON s.serial = c.shelf WHERE c.serial IN ?",
                    [rank.chunk for rank in ranks],
                )
            }
        may = set(allowed)
        found = []
        for rank in ranks:
            row = rows.get(rank.chunk)
            # A vector store that is behind may name what was removed or moved since.
            if row is not None and row.shelf in may:
                document = Document(
                    row.id, row.text, row.heading, row.source or "", rank.score,
                    Label(row.label), self.name, row.number,
                )  # fmt: skip
                found.append(Found(document, rank))
        return found

    def remove(self, document: str) -> bool:
        """Take a document out of every search; False if there is none of this id."""
        return remove_documents(self.db, self.index_id, self.vectors(), [document], forbid=True) > 0


@functools.cache
def _databases(process: int, config_url: str, home: str) -> list[Database]:
    return []


def shared_database(config: Config) -> Database:
    """The database of a home, opened once in this process."""
    opened = _databases(os.getpid(), config.store_url, str(config.home))
    if not opened:
        opened.append(open_database(config))
    return opened[0]


def open_library(index: Index, config: Config) -> StoredIndex:
    """Open an index, and make or correct its row.

    Raises:
        ConfigError: another application has an index of this name, or the store cannot be used.
        NotFound: there is no such vector store.
    """
    db = shared_database(config)
    store = index.store or _usual_store(db)
    registry().vector_stores.find(store)
    about: dict[str, Any] = {
        "source": described(index.source),
        "model": index.embed,
        "store": store,
        "settings": orjson.dumps(
            {
                "tokens": index.chunk.tokens,
                "overlap": index.chunk.overlap,
                "label": "by document" if callable(index.label) else str(index.label),
                "grants": "by document" if callable(index.grants) else sorted(index.grants),
                "refresh": index.refresh,
            }
        ).decode(),
    }
    if index.app is not None:
        about["app"] = index.app
    with db.write() as connection:
        row = connection.execute(select(indexes).where(indexes.c.name == index.name)).first()
        if row is None:
            connection.execute(insert(indexes).values(name=index.name, version=0, **about))
        elif None not in (row.app, index.app) and row.app != index.app:
            raise ConfigError(
                f"The application {row.app} has an index {index.name} already.",
                f"Give the index of {index.app} another name.",
            )
        else:
            if (row.source, row.settings) != (about["source"], about["settings"]):
                # Who may see what may be another matter now: no search before the next pass.
                about["built_ns"] = None
            connection.execute(update(indexes).where(indexes.c.name == index.name).values(**about))
    if row is not None and (row.model, row.store) != (index.embed, store):
        _start_anew(StoredIndex(db, row.serial, row.name, row.model, row.store, row.dimensions))
    return find_library(db, index.name)


def find_library(db: Database, name: str) -> StoredIndex:
    """An index that was opened before, by its name.

    Raises:
        NotFound: there is none.
    """
    from noria.retrieval.queries import index_row

    row = index_row(db, name)
    return StoredIndex(db, row.serial, row.name, row.model, row.store, row.dimensions)


def _start_anew(library: StoredIndex) -> None:
    """Forget all chunks and vectors: those of another model or store are of no use. What was
    removed by a person stays removed."""
    vectors = library.vectors()
    if vectors is not None:
        vectors.clear()
    mine = library.index_id
    with library.db.write() as connection:
        connection.execute(delete(chunks).where(chunks.c.index_id == mine))
        connection.execute(
            update(documents).where(documents.c.index_id == mine).values(digest=None, chunks=0)
        )
        connection.execute(
            update(indexes)
            .where(indexes.c.serial == mine)
            .values(dimensions=None, built_ns=None, version=indexes.c.version + 1)
        )


def _usual_store(db: Database) -> str:
    from noria.retrieval.stores.pgvector import has_pgvector

    return "pgvector" if has_pgvector(db) else "exact"
