"""The indexes: what is in them, who may see it, why a passage is found, who has used it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.apps.serve.manifest import Phase, read_apps
from noria.errors import ApiError, NoriaError
from noria.gateway.core import may_use
from noria.web.document_page import find_passages, may_see, shelf
from noria.web.render import context_of, in_thread, key_of, page
from noria.web.run.transcript import Room

if TYPE_CHECKING:
    from noria.retrieval import Found, IndexRow
    from noria.store import Key

__all__ = ["routes"]


@dataclass(frozen=True, slots=True)
class State:
    """Where the indexing stands: `building`, `ready` or `failed`, and then why."""

    name: str
    error: str | None


_ROWS = 50
_FOUND = 8
_ANSWERS = 50
_LONGEST_QUESTION = 2_000


async def show(request: Request) -> Response:
    """All indexes of applications that the browser's key may call."""
    from noria.retrieval import list_indexes

    key = key_of(request)
    rows = await in_thread(list_indexes, context_of(request).db)
    values = {"indexes": [(one, _state(request, one)) for one in rows if _may(key, one)]}
    return page(request, "indexes.html", values)


async def one(request: Request) -> Response:
    """One index: a search in it, and its documents."""
    context, key, query = context_of(request), key_of(request), request.query_params
    index = await _index(request)
    question = (query.get("q") or "").strip()[:_LONGEST_QUESTION]
    found: list[Found] = []
    trace = problem = None
    if question:
        try:
            found, trace = await find_passages(context, key, index, question, _FOUND)
        except ApiError as refused:
            problem = refused.message
        except NoriaError as refused:
            problem = str(refused)
    room = Room()
    documents = await in_thread(
        lambda: shelf(
            context.db,
            key,
            index.name,
            cursor=query.get("cursor"),
            limit=_ROWS,
            failed="failed" in query,
            text=(query.get("find") or "").strip(),
        )
    )
    values = {
        "index": index,
        "state": _state(request, index),
        "question": question,
        "found": [(one, room.take(one.document.text, 4_000)) for one in found],
        "trace": trace,
        "problem": problem,
        "documents": documents,
    }
    return page(request, "index.html", values)


async def document(request: Request) -> Response:
    """One document: its passages, who may see it, and which answers used it."""
    from noria.retrieval import find_document, list_chunks
    from noria.store.traces.lineage import answers_of

    context, key, index = context_of(request), key_of(request), await _index(request)
    identity = request.query_params.get("id") or ""
    found = await in_thread(find_document, context.db, index.name, identity)
    if not may_see(key, found):
        # As for one that does not exist: even that would be known from another answer.
        raise HTTPException(404, f"There is no document {identity} in the index {index.name}.")
    await in_thread(context.take_in)
    chunks = await in_thread(list_chunks, context.db, index.name, identity)
    answers = await in_thread(
        lambda: answers_of(context.db, identity, index.name, limit=_ANSWERS if key.admin else 1000)
    )
    room = Room(60_000)
    values = {
        "index": index,
        "document": found,
        "chunks": [(chunk, room.take(chunk.text, 8_000)) for chunk in chunks[:100]],
        "count": len(chunks),
        "answers": [one for one in answers if key.admin or one.key_id == key.id][:_ANSWERS],
    }
    return page(request, "document.html", values)


async def _index(request: Request) -> IndexRow:
    from noria.retrieval import find_index

    index = await in_thread(find_index, context_of(request).db, request.path_params["name"])
    if not _may(key_of(request), index):
        raise HTTPException(404, f"There is no index {index.name}.")
    return index


def _state(request: Request, index: IndexRow) -> State:
    """Where its application says that it stands; else what can be seen of it."""
    app = read_apps(context_of(request).home).get(index.app or "")
    if app is not None and app.state not in (Phase.STOPPED, Phase.FAILED):
        for one in app.indexes:
            if one["name"] == index.name:
                return State(str(one["state"]), one.get("error"))
    built = index.built_ns is not None and not index.waiting
    return State("ready" if built else "building", None)


def _may(key: Key, index: IndexRow) -> bool:
    return key.admin or index.app is None or may_use(key, index.app)


routes = [
    Route("/indexes", show),
    Route("/indexes/{name}", one),
    Route("/indexes/{name}/document", document),
]
