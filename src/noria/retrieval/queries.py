"""Looking at indexes, their documents and the passages they were split into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Row, and_, func, select

from noria.errors import NoriaError, NotFound
from noria.store import Database
from noria.store.tables.retrieval import chunks, documents, indexes, shelves
from noria.types import Label

__all__ = [
    "ChunkRow",
    "DocumentPage",
    "DocumentRow",
    "IndexRow",
    "find_document",
    "find_index",
    "index_row",
    "list_chunks",
    "list_documents",
    "list_indexes",
]


@dataclass(frozen=True, slots=True)
class IndexRow:
    """An index as it stands."""

    name: str
    app: str | None
    source: str
    model: str
    store: str
    settings: dict[str, Any]
    """`tokens`, `overlap`, `label`, `grants` and `refresh`, as the application gave them."""
    documents: int
    failed: int
    """Documents that could not be read."""
    chunks: int
    waiting: int
    """Chunks that have no vector yet."""
    labels: tuple[Label, ...]
    """Of its documents."""
    groups: tuple[str, ...]
    """That some document of it is granted to."""
    built_ns: int | None
    """When the last pass ended, in UTC nanoseconds; None before the first has."""
    report: dict[str, Any] | None
    """What the last pass did."""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document of an index."""

    id: str
    title: str
    source: str
    label: Label | None
    """None for one that could not be read."""
    grants: tuple[tuple[str, ...], ...]
    """A reader must be in one group of each; none: everyone with a key."""
    characters: int
    chunks: int
    indexed_ns: int
    error: str | None
    """Why it could not be read."""
    removed_ns: int | None
    """When a person removed it."""


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents, by their ids."""

    rows: list[DocumentRow]
    next: str | None
    """The cursor for those after these; None at the end."""


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A passage of a document."""

    number: int
    heading: str
    text: str
    embedded: bool


def list_indexes(db: Database, *, app: str | None = None) -> list[IndexRow]:
    """All indexes, by name.

    Args:
        db: the database.
        app: only those of this application.
    """
    return _indexes(db, None if app is None else indexes.c.app == app)


def find_index(db: Database, name: str) -> IndexRow:
    """One index.

    Raises:
        NotFound: there is none of this name.
    """
    found = _indexes(db, indexes.c.name == name)
    if not found:
        raise _no_index(name)
    return found[0]


def index_row(db: Database, name: str) -> Row[Any]:
    """The row of an index.

    Raises:
        NotFound: there is none of this name.
    """
    with db.read() as connection:
        row = connection.execute(select(indexes).where(indexes.c.name == name)).first()
    if row is None:
        raise _no_index(name)
    return row


def list_documents(
    db: Database,
    index: str,
    *,
    cursor: str | None = None,
    limit: int = 50,
    failed: bool = False,
    text: str | None = None,
) -> DocumentPage:
    """The documents of an index, by their ids.

    Args:
        db: the database.
        index: its name.
        cursor: `next` of the page before.
        limit: at most so many.
        failed: only those that could not be read.
        text: only those with this in their id or title.

    Raises:
        NotFound: there is no such index.
    """
    if not 1 <= limit <= 1_000:
        raise NoriaError("limit: must be between 1 and 1,000.")
    where = [documents.c.index_id == index_row(db, index).serial]
    if cursor is not None:
        where.append(documents.c.id > cursor)
    if failed:
        where.append(documents.c.error.is_not(None))
    if text:
        where.append(
            documents.c.id.icontains(text, autoescape=True)
            | documents.c.title.icontains(text, autoescape=True)
        )
    with db.read() as connection:
        found = connection.execute(
            _documents().where(*where).order_by(documents.c.id).limit(limit + 1)
        ).all()
    rows = [_document(row) for row in found[:limit]]
    return DocumentPage(rows, rows[-1].id if len(found) > limit else None)


def find_document(db: Database, index: str, document: str) -> DocumentRow:
    """One document of an index.

    Raises:
        NotFound: there is no such index or document.
    """
    serial = index_row(db, index).serial
    with db.read() as connection:
        row = connection.execute(
            _documents().where(documents.c.index_id == serial, documents.c.id == document)
        ).first()
    if row is None:
        raise NotFound(
            f"There is no document {document} in the index {index}.",
            f"`noria index show {index}` lists them.",
        )
    return _document(row)


def list_chunks(db: Database, index: str, document: str) -> list[ChunkRow]:
    """The passages of a document, in order.

    Raises:
        NotFound: there is no such index or document.
    """
    find_document(db, index, document)
    with db.read() as connection:
        found = connection.execute(
            select(chunks.c.number, chunks.c.heading, chunks.c.text, chunks.c.embedded)
            .join(documents, documents.c.serial == chunks.c.document)
            .join(indexes, indexes.c.serial == documents.c.index_id)
            .where(indexes.c.name == index, documents.c.id == document)
            .order_by(chunks.c.number)
        )
        return [ChunkRow(*row) for row in found]


def _no_index(name: str) -> NotFound:
    return NotFound(f"There is no index {name}.", "`noria index ls` lists them.")


def _documents() -> Any:
    return select(documents, shelves.c.label, shelves.c.grants).outerjoin(
        shelves, shelves.c.serial == documents.c.shelf
    )


def _document(row: Row[Any]) -> DocumentRow:
    return DocumentRow(
        id=row.id,
        title=row.title or row.id,
        source=row.source or "",
        label=None if row.label is None else Label(row.label),
        grants=tuple(map(tuple, orjson.loads(row.grants or "[]"))),
        characters=row.characters,
        chunks=row.chunks,
        indexed_ns=row.indexed_ns,
        error=row.error,
        removed_ns=row.removed_ns,
    )


def _indexes(db: Database, where: Any) -> list[IndexRow]:
    of = documents.c.index_id == indexes.c.serial
    there = and_(of, documents.c.removed_ns.is_(None))
    counts = {
        "documents": select(func.count()).where(there, documents.c.error.is_(None)),
        "failed": select(func.count()).where(there, documents.c.error.is_not(None)),
        "chunks": select(func.coalesce(func.sum(documents.c.chunks), 0)).where(there),
        "waiting": select(func.count()).where(
            chunks.c.index_id == indexes.c.serial, chunks.c.embedded.is_(False)
        ),
    }
    chosen = select(indexes, *(one.scalar_subquery().label(name) for name, one in counts.items()))
    if where is not None:
        chosen = chosen.where(where)
    in_use = (
        select(shelves.c.index_id, shelves.c.label, shelves.c.grants)
        .where(shelves.c.serial.in_(select(documents.c.shelf).where(documents.c.chunks > 0)))
        .distinct()
    )
    with db.read() as connection:
        rows = connection.execute(chosen.order_by(indexes.c.name)).all()
        used = connection.execute(in_use).all()
    found = []
    for row in rows:
        mine = [one for one in used if one.index_id == row.serial]
        groups = {
            group for one in mine for several in orjson.loads(one.grants) for group in several
        }
        found.append(
            IndexRow(
                name=row.name,
                app=row.app,
                source=row.source,
                model=row.model,
                store=row.store,
                settings=orjson.loads(row.settings or "{}"),
                documents=row.documents,
                failed=row.failed,
                chunks=row.chunks,
                waiting=row.waiting,
                labels=tuple(sorted({Label(one.label) for one in mine})),
                groups=tuple(sorted(groups)),
                built_ns=row.built_ns,
                report=orjson.loads(row.report) if row.report else None,
            )
        )
    return found
