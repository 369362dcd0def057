"""Searching an index from a page: under the grants of who has signed in, and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from noria.tracing import CallContext, Trace
from noria.types import EVERY_GROUP
from noria.web.context import Context
from noria.web.render import in_thread

if TYPE_CHECKING:
    from noria.retrieval import DocumentRow, Found, IndexRow
    from noria.store import Database, Key

__all__ = ["DocumentPage", "find_passages", "may_see", "shelf"]

_BATCH = 200
_MOST_BATCHES = 25


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some documents of an index that a person may see, by their ids."""

    rows: list[DocumentRow]
    next: str | None
    """The cursor for those after these; None at the end."""


async def find_passages(
    context: Context, key: Key, index: IndexRow, question: str, k: int
) -> tuple[list[Found], str | None]:
    """The passages that answer a question best, of those that the key may see, and the trace that
    the search is recorded in. Where pages are shown without a door there is no model to ask for
    the question's vector: then its words alone are looked for.

    Raises:
        NoriaError: the index cannot be searched.
        ApiError: the embedding model could not be asked.
    """
    from noria.retrieval.search.search import search_index
    from noria.retrieval.stored_index import find_library

    gateway = context.gateway
    if gateway is None:
        library = await in_thread(find_library, context.db, index.name)
        found = await library.look_up(question, None, k, key.principal)
        return found[:k], None
    recording = context.config.recording.content and key.record_content
    call_context = CallContext(gateway, Trace(key), app=index.app, content=recording)
    found = await search_index(call_context, index.name, question, k=k)
    return found, call_context.trace.id


def may_see(key: Key, document: DocumentRow) -> bool:
    """Whether a document may be shown to the holder of a key. What could not be read has neither
    a label nor grants: only administrators are told of it."""
    if document.label is None:
        return key.admin
    if document.label > key.clearance:
        return False
    return EVERY_GROUP in key.groups or all(
        not key.groups.isdisjoint(groups) for groups in document.grants
    )


def shelf(
    db: Database, key: Key, index: str, *, cursor: str | None, limit: int, failed: bool, text: str
) -> DocumentPage:
    """Documents of an index that the key may see.

    Raises:
        NotFound: there is no such index.
    """
    from noria.retrieval import list_documents

    rows: list[DocumentRow] = []
    for _ in range(_MOST_BATCHES):
        found = list_documents(
            db, index, cursor=cursor, limit=_BATCH, failed=failed, text=text or None
        )
        for document in found.rows:
            if len(rows) == limit:
                return DocumentPage(rows, rows[-1].id)
            if document.removed_ns is None and may_see(key, document):
                rows.append(document)
        cursor = found.next
        if cursor is None:
            return DocumentPage(rows, None)
    # There is much between that may not be seen: the next page goes on from here.
    return DocumentPage(rows, cursor)
