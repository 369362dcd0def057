"""Writing documents and their chunks. What does not change keeps its row and its vector."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from noria.retrieval.search.access import Access, shelf_of
from noria.retrieval.stores.base import VectorStore
from noria.store import Database, mark_deleted
from noria.store.bulk_sql import run_many, select_in
from noria.store.database import insert_into
from noria.store.tables.retrieval import documents, indexes
from noria.words import indexed_words

__all__ = ["ChunkDraft", "DocumentDraft", "remove_documents", "write_documents"]


@dataclass(frozen=True, slots=True)
class ChunkDraft:
    """A chunk before it is written."""

    heading: str
    text: str

    @property
    def digest(self) -> bytes:
        """Equal for chunks that have the same vector."""
        return hashlib.blake2b(f"{self.heading}\0{self.text}".encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class DocumentDraft:
    """A document as it is to be written."""

    id: str
    title: str
    source: str
    digest: bytes | None
    standing: Access
    characters: int = 0
    slips: Sequence[ChunkDraft] = ()
    error: str | None = None
    """Why it could not be read; then it has no slips."""


def write_documents(
    db: Database, index_id: int, vectors: VectorStore | None, prepared: Sequence[DocumentDraft]
) -> int:
    """Write documents in one transaction; returns how many chunks wait for their vectors now.

    The vector store is told first: if this process dies in between, the documents are known to be
    old still, and are done again.
    """
    known, old = _standing_now(db, index_id, [one.id for one in prepared])
    kept: dict[str, list[tuple[int, _Chunk]]] = {}
    fresh: dict[str, list[tuple[int, ChunkDraft]]] = {}
    gone: list[int] = []
    for one in prepared:
        mine = old.get(known[one.id], {}) if one.id in known else {}
        kept[one.id], fresh[one.id] = [], []
        for number, slip in enumerate(one.slips):
            if same := mine.get(slip.digest):
                kept[one.id].append((number, same.pop()))
            else:
                fresh[one.id].append((number, slip))
        gone += [chunk.serial for rest in mine.values() for chunk in rest]
    with db.write() as connection:
        shelves = {
            standing: shelf_of(connection, index_id, standing)
            for standing in {one.standing for one in prepared}
        }
    if vectors is not None:
        vectors.remove(gone)
        for standing, shelf in shelves.items():
            moved = [
                chunk.serial
                for one in prepared
                if one.standing == standing
                for _, chunk in kept[one.id]
                if chunk.shelf != shelf
            ]
            vectors.move(moved, shelf)
    with db.write() as connection:
        serials = _write_rows(connection, index_id, prepared, shelves)
        run_many(connection, "DELETE FROM chunks WHERE serial = ?", [(one,) for one in gone])
        run_many(
            connection,
            "UPDATE chunks SET number = ?, shelf = ? WHERE serial = ?",
            [
                (number, shelves[one.standing], chunk.serial)
                for one in prepared
                for number, chunk in kept[one.id]
            ],
        )
        run_many(
            connection,
            "INSERT INTO chunks (index_id, document, shelf, number, heading, text, heading_words,"
            " text_words, digest, embedded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    index_id, serials[one.id], shelves[one.standing], number, slip.heading,
                    slip.text, _words(slip.heading), _words(slip.text), slip.digest, False,
                )
                for one in prepared
                for number, slip in fresh[one.id]
            ],
        )  # fmt: skip
    return sum(len(some) for some in fresh.values())


def _words(text: str) -> str | None:
    """What the index of words is given in place of a text; None for the text itself."""
    return None if text.isascii() else indexed_words(text)


class _Chunk(NamedTuple):
    serial: int
    shelf: int


def _standing_now(
    db: Database, index_id: int, ids: Sequence[str]
) -> tuple[dict[str, int], dict[int, dict[bytes, list[_Chunk]]]]:
    """The numbers of the documents that are known, and their chunks by digest."""
    with db.read() as connection:
        known = _serials(connection, index_id, ids)
        rows = select_in(
            connection,
            "SELECT document, serial, shelf, digest FROM chunks WHERE document IN ?",
            list(known.values()),
        )
    old: dict[int, dict[bytes, list[_Chunk]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        old[row.document][bytes(row.digest)].append(_Chunk(row.serial, row.shelf))
    return known, old


def _serials(connection: Connection, index_id: int, ids: Sequence[str]) -> dict[str, int]:
    return {
        row.id: row.serial
        for row in select_in(
            connection,
            f"SELECT id, serial FROM documents WHERE index_id = {index_id} AND id IN ?",  # noqa: S608
            ids,
        )
    }


def _write_rows(
    connection: Connection,
    index_id: int,
    prepared: Sequence[DocumentDraft],
    shelves: dict[Access, int],
) -> dict[str, int]:
    """Write the documents' own rows; returns their numbers by their ids."""
    now = time.time_ns()
    rows = [
        {
            "index_id": index_id, "id": one.id, "title": one.title, "source": one.source,
            "shelf": shelves[one.standing] if one.error is None else None,
            "digest": one.digest, "characters": one.characters, "chunks": len(one.slips),
            "indexed_ns": now, "error": one.error,
        }
        for one in prepared
    ]  # fmt: skip
    added = insert_into(connection, documents)
    changed = {name: added.excluded[name] for name in rows[0] if name not in ("index_id", "id")}
    connection.execute(
        added.on_conflict_do_update(index_elements=["index_id", "id"], set_=changed), rows
    )
    return _serials(connection, index_id, [one.id for one in prepared])


def remove_documents(
    db: Database,
    index_id: int,
    vectors: VectorStore | None,
    ids: Iterable[str],
    *,
    forbid: bool = False,
) -> int:
    """Take documents out of every search, and mark the runs that hold their texts.

    Args:
        db: the database.
        index_id: the index's number.
        vectors: the index's vectors.
        ids: the documents.
        forbid: keep them out for as long as their source goes on to offer them.

    Returns: how many there were.
    """
    known, old = _standing_now(db, index_id, list(ids))
    if not known:
        return 0
    gone = [one.serial for same in old.values() for some in same.values() for one in some]
    serials = [(serial,) for serial in known.values()]
    with db.write() as connection:
        run_many(connection, "DELETE FROM chunks WHERE document = ?", serials)
        if forbid:
            run_many(
                connection,
                "UPDATE documents SET removed_ns = ?, chunks = 0, digest = NULL WHERE serial = ?",
                [(time.time_ns(), serial) for serial in known.values()],
            )
        else:
            run_many(connection, "DELETE FROM documents WHERE serial = ?", serials)
        name = connection.execute(
            select(indexes.c.name).where(indexes.c.serial == index_id)
        ).scalar_one()
    if vectors is not None:
        vectors.remove(gone)
    mark_deleted(db, name, list(known))
    return len(known)
