"""One search: who asks, what they may see, and what is written of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from noria.errors import NoriaError
from noria.retrieval.search.ranking import Found, pack
from noria.tracing import current, span
from noria.types import Label, SpanKind

if TYPE_CHECKING:
    from noria.retrieval.stored_index import StoredIndex
    from noria.tracing import CallContext

__all__ = ["search_index", "search_library"]

_MOST_PASSAGES = 1_000
_MOST_TOKENS = 10_000_000


async def search_index(
    context: CallContext,
    name: str,
    question: str,
    *,
    k: int = 5,
    budget_tokens: int | None = None,
    as_system: bool = False,
) -> list[Found]:
    """Search an index by its name, without the file of its application.

    Args:
        context: who asks, and in which trace.
        name: the index's.
        question: what to look for.
        k: the most passages.
        budget_tokens: the most tokens of all passages together (an estimate).
        as_system: look at everything, whoever asks. It is recorded.

    Raises:
        NotFound: there is no such index.
        NoriaError: an argument cannot be used, or the index is not built yet.
        ApiError: the model could not be asked, or the trace's mark not be kept.
    """
    from noria.retrieval.stored_index import find_library, shared_database

    db = await asyncio.to_thread(shared_database, context.runtime.config)
    library = await asyncio.to_thread(find_library, db, name)
    if not await asyncio.to_thread(library.is_built):
        raise NoriaError(
            f"The index {name} is not ready: its first pass has not ended.",
            "`noria index build APP.py` makes one, and `noria serve APP.py` when it starts.",
        )
    return await search_library(
        context, library, question, k=k, budget_tokens=budget_tokens, as_system=as_system
    )


async def search_library(
    context: CallContext,
    library: StoredIndex,
    question: str,
    *,
    k: int,
    budget_tokens: int | None,
    as_system: bool,
) -> list[Found]:
    """`search_index` in an index that is open.

    The trace's mark is raised to the highest label of what is given back before it is.
    """
    if not isinstance(question, str) or not question.strip():
        raise NoriaError("question: must be a text that is not empty.")
    _between("k", k, _MOST_PASSAGES)
    if budget_tokens is not None:
        _between("budget_tokens", budget_tokens, _MOST_TOKENS)
    asked = {"question": question, "k": k, "budget_tokens": budget_tokens}
    request = orjson.dumps({name: value for name, value in asked.items() if value})
    token = current.set(context)
    try:
        with span(SpanKind.SEARCH, library.name, request=request) as work:
            if as_system:
                work.attributes["as_system"] = True
            reader = None if as_system else context.trace.key.principal
            found = await library.find(context.within(work.id), question, k, reader)
            found = pack(found, k, budget_tokens)
            await context.runtime.labels.raise_to(
                context.trace, max((one.label for one in found), default=Label.PUBLIC)
            )
            work.attributes["documents"] = [one.used() for one in found]
            work.response = orjson.dumps([one.shown() for one in found])
    finally:
        current.reset(token)
    return found


def _between(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise NoriaError(f"{name}: must be a whole number between 1 and {most:,}.")
