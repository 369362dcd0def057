"""One pass over a source: read what has changed, drop what was deleted, embed what waits for it.

A pass that dies loses nothing but the few documents and batches that were on their way: what is
written is written with the digest of what it was made from, and chunks without a vector say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import select, text, update

from noria.plugins import registry
from noria.retrieval.document import Failure, Original, Unreadable
from noria.retrieval.ingest.access_fields import unread_line
from noria.retrieval.ingest.chunking import split
from noria.retrieval.ingest.embed_pending import embed_pending
from noria.retrieval.ingest.sources import Entry, entries
from noria.retrieval.ingest.writing import (
    ChunkDraft,
    DocumentDraft,
    remove_documents,
    write_documents,
)
from noria.retrieval.search.access import Access, Rules
from noria.retrieval.stored_index import StoredIndex
from noria.store.tables.retrieval import documents, indexes
from noria.tracing import CallContext
from noria.types import Label

if TYPE_CHECKING:
    from noria.retrieval.index import Index

__all__ = ["Progress", "Report", "run_index_pass"]

Progress = Callable[[str, int, int], None]
"""Called with a stage (`read`, `embed`), how much of it is done, and of how much (0: unknown)."""

_GROUP = 32
"""Documents that are written in one transaction."""
_READ_BY = b"2"
"""Rises when the loaders or the splitter make other chunks of the same bytes."""
_LOCK_SECONDS = 0.2
_NOBODY = Access(Label.RESTRICTED)
"""Of what could not be read: it has no chunks that anybody could find."""


@dataclass(slots=True)
class Report:
    """What a pass did. Counts are of documents unless they say otherwise."""

    index: str
    documents: int = 0
    """In the index now."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    """Gone from the source."""
    held_out: int = 0
    """Removed by a person; the source still offers them."""
    chunks: int = 0
    """In the index now."""
    embedded: int = 0
    """Chunks that were embedded."""
    words_only: dict[str, int] = field(default_factory=dict)
    """Chunks by label that the embedding model is not cleared for: found by their words alone."""
    failed: list[Failure] = field(default_factory=list)
    """What could not be read, and why."""
    read_seconds: float = 0.0
    embed_seconds: float = 0.0


async def run_index_pass(
    index: Index,
    library: StoredIndex,
    context: CallContext,
    progress: Progress | None,
    has_read: Callable[[], None],
) -> Report:
    """Bring an index up to date with its source. One process at a time does this for an index.

    Args:
        index: what is indexed, and how.
        library: where it is kept.
        context: on whose account texts are embedded.
        progress: told how far it has come, from any thread.
        has_read: called when the source was read and what was deleted was dropped.

    Raises:
        NoriaError: the source cannot be listed, or the embedding model cannot be asked.
    """
    tell = progress or (lambda *_: None)
    report = Report(index.name)
    async with _alone(library):
        started = time.monotonic()
        await asyncio.to_thread(_read, index, library, report, tell)
        report.read_seconds = round(time.monotonic() - started, 3)
        has_read()
        started = time.monotonic()
        report.embedded, report.words_only = await embed_pending(library, context, tell)
        report.embed_seconds = round(time.monotonic() - started, 3)
        await asyncio.to_thread(_finish, library, report)
    return report


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes | None
    removed: bool


def _read(index: Index, library: StoredIndex, report: Report, tell: Progress) -> None:
    """Read what has changed and drop what was deleted."""
    with library.db.read() as connection:
        known = {
            row.id: _Known(row.digest, row.removed_ns is not None)
            for row in connection.execute(
                select(documents.c.id, documents.c.digest, documents.c.removed_ns).where(
                    documents.c.index_id == library.index_id
                )
            )
        }
    reader = _Reader(index, known, report)
    ready = reader.prepared(entries(index.source, index.root), tell)
    while group := list(itertools.islice(ready, _GROUP)):
        write_documents(library.db, library.index_id, library.vectors(), group)
    gone = [name for name in known if name not in reader.seen]
    while some := gone[:_GROUP]:
        del gone[:_GROUP]
        report.removed += remove_documents(library.db, library.index_id, library.vectors(), some)


class _Reader:
    """Makes chunks of what a source offers, where that has changed."""

    def __init__(self, index: Index, known: Mapping[str, _Known], report: Report) -> None:
        self._index = index
        self._known = known
        self._report = report
        self._rules = Rules(index.label, index.grants)
        settings = (index.chunk.tokens, index.chunk.overlap)
        self._salt = _READ_BY + orjson.dumps((settings, self._rules.constant))
        self.seen: set[str] = set()

    def prepared(self, offered: Iterable[Entry], tell: Progress) -> Iterator[DocumentDraft]:
        """The documents that are new or have changed."""
        for count, entry in enumerate(offered, 1):
            yield from self._entry(entry)
            tell("read", count, 0)
        tell("read", len(self.seen), len(self.seen))

    def _entry(self, entry: Entry) -> Iterator[DocumentDraft]:
        if entry.broken is not None:
            yield from self._fail(entry.id, entry.broken, keep=entry.away)
            return
        content = entry.data
        if content is not None and not self._rules.by_document:
            known = self._known.get(entry.id)
            if known is not None and known.digest == self._digest(content):
                self.seen.add(entry.id)
                self._report.unchanged += 1
                return
        try:
            for one in self._load(entry):
                if isinstance(one, Failure):
                    yield from self._fail(one.id, one.reason)
                else:
                    yield from self._original(one, content if one.id == entry.id else None)
        except Unreadable as why:
            yield from self._fail(entry.id, str(why))
        except Exception as broken:  # noqa: BLE001 - loaders of plugins may fail in any way
            yield from self._fail(entry.id, f"{type(broken).__name__}: {broken}")

    @staticmethod
    def _load(entry: Entry) -> Iterable[Original | Failure]:
        if entry.original is not None:
            return [entry.original]
        assert entry.data is not None
        loaded: Iterable[Original | Failure] = registry().loaders.find(entry.suffix)(
            entry.data, entry.id
        )
        return loaded

    def _original(self, original: Original, content: bytes | None) -> Iterator[DocumentDraft]:
        if original.id in self.seen:
            self._report.failed.append(Failure(original.id, "there are two documents of this id"))
            return
        known = self._known.get(original.id)
        if known is not None and known.removed:
            self.seen.add(original.id)
            self._report.held_out += 1
            return
        try:
            unread = unread_line(original.text)
            if unread is not None:
                raise Unreadable(f"{unread!r} looks like an access field and is not read")
            standing = self._rules.standing(original)
        except Unreadable as why:
            yield from self._fail(original.id, str(why))
            return
        except Exception as broken:  # noqa: BLE001 - a function of the application
            reason = f"label or grants: {type(broken).__name__}: {broken}"
            yield from self._fail(original.id, reason)
            return
        self.seen.add(original.id)
        if content is None:
            content = orjson.dumps((original.text, original.title, original.source))
            digest = self._digest(content, standing)
        else:
            digest = self._digest(content, standing if self._rules.by_document else None)
        if known is not None and known.digest == digest:
            self._report.unchanged += 1
            return
        if known is None:
            self._report.added += 1
        else:
            self._report.changed += 1
        yield DocumentDraft(
            original.id,
            original.title or original.id,
            original.source,
            digest,
            standing,
            len(original.text),
            self._slips(original),
        )

    def _slips(self, original: Original) -> list[ChunkDraft]:
        title = original.title or original.id
        words = original.text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        slips = []
        for passage in split(words, self._index.chunk):
            above = [title, *(one for one in passage.headings if one != title)]
            slips.append(ChunkDraft(" › ".join(above), passage.text))
        return slips

    def _fail(self, name: str, reason: str, *, keep: bool = False) -> Iterator[DocumentDraft]:
        """Name what cannot be read. What was known of it is dropped, since nobody can say any more
        who may read it; unless it is only out of reach."""
        known = self._known.get(name)
        self.seen.add(name)
        if known is not None and known.removed:
            self._report.held_out += 1
            return
        self._report.failed.append(Failure(name, reason))
        if keep and known is not None and known.digest is not None:
            return
        yield DocumentDraft(name, name, name, None, _NOBODY, error=reason)

    def _digest(self, content: bytes, standing: object = None) -> bytes:
        said = b"" if standing is None else repr(standing).encode()
        return hashlib.blake2b(b"\0".join((self._salt, said, content)), digest_size=16).digest()


def _finish(library: StoredIndex, report: Report) -> None:
    """Count, and say that the pass has ended."""
    mine = {"index": library.index_id}
    with library.db.write() as connection:
        report.documents, report.chunks = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM documents WHERE index_id = :index"
                " AND error IS NULL AND removed_ns IS NULL),"
                " (SELECT count(*) FROM chunks WHERE index_id = :index)"
            ),
            mine,
        ).one()
        connection.execute(
            update(indexes)
            .where(indexes.c.serial == library.index_id)
            .values(built_ns=time.time_ns(), report=orjson.dumps(report).decode())
        )
        if library.db.dialect == "postgresql":
            connection.execute(text("ANALYZE chunks"))


@contextlib.asynccontextmanager
async def _alone(library: StoredIndex) -> AsyncIterator[None]:
    """No other process of this home makes a pass over this index meanwhile."""
    path = library.db.home / f"index-{library.index_id}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_SECONDS)
        yield
    finally:
        os.close(fd)
