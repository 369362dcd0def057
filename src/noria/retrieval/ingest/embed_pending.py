"""Embedding the chunks that wait for it: batches of one label, several on the way at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from noria.errors import ApiError
from noria.retrieval.ingest.embedding import embed_texts
from noria.retrieval.stored_index import StoredIndex
from noria.store.bulk_sql import run_many, select_in
from noria.store.tables.retrieval import chunks, shelves
from noria.tracing import CallContext, Trace
from noria.types import Label

if TYPE_CHECKING:
    from noria.retrieval.ingest.indexing import Progress

__all__ = ["embed_pending"]

_BATCH = 32
_AT_ONCE = 4
_PAGE = 1_024


@dataclass(frozen=True, slots=True)
class _Batch:
    label: Label
    serials: Sequence[int]
    shelves: Sequence[int]
    texts: Sequence[str]


async def embed_pending(
    library: StoredIndex, context: CallContext, tell: Progress
) -> tuple[int, dict[str, int]]:
    """Embed every chunk of an index that has no vector yet.

    Each label has a trace of its own with that mark, so that the gateway itself refuses what the
    model is not cleared for.

    Returns: how many were embedded, and how many of each label the model may not see.

    Raises:
        ApiError: the model cannot be asked. What was embedded until then is kept.
    """
    total = await asyncio.to_thread(_waiting, library)
    done = 0
    refused: dict[str, int] = defaultdict(int)
    if total == 0:
        return 0, {}
    tell("embed", 0, total)
    batches = _batches(library)
    places: dict[Label, CallContext] = {}
    turn = asyncio.Lock()
    over = False

    async def next_batch() -> tuple[_Batch, CallContext] | None:
        async with turn:
            batch = await asyncio.to_thread(next, batches, None)
            if batch is None:
                return None
            if batch.label not in places:
                trace = Trace(context.trace.key)
                await context.runtime.labels.raise_to(trace, batch.label)
                places[batch.label] = replace(context, trace=trace, span_id=None, content=False)
            return batch, places[batch.label]

    async def work() -> None:
        nonlocal done
        while not over and (found := await next_batch()) is not None:
            batch, where = found
            if str(batch.label) in refused:
                refused[str(batch.label)] += len(batch.serials)
                continue
            try:
                vectors = await embed_texts(where, library.model, batch.texts)
            except ApiError as error:
                if error.code != "label_exceeds_clearance":
                    raise
                refused[str(batch.label)] += len(batch.serials)
                continue
            await asyncio.to_thread(_keep, library, batch, vectors)
            done += len(batch.serials)
            tell("embed", done, total)

    workers = [asyncio.create_task(work()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        over = True  # after a failure the others keep what they have asked for, and ask no more
        await asyncio.wait(workers)
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    return done, dict(refused)


def _waiting(library: StoredIndex) -> int:
    with library.db.read() as connection:
        counted = select(func.count()).where(
            chunks.c.index_id == library.index_id, chunks.c.embedded.is_(False)
        )
        return int(connection.execute(counted).scalar_one())


def _batches(library: StoredIndex) -> Iterator[_Batch]:
    """The chunks that wait, in batches of one label."""
    waiting: dict[Label, list[tuple[int, int, str]]] = defaultdict(list)
    last = 0
    while rows := _page(library, last):
        last = rows[-1].serial
        for row in rows:
            batch = waiting[Label(row.label)]
            batch.append((row.serial, row.shelf, f"{row.heading}\n\n{row.text}"))
            if len(batch) == _BATCH:
                yield _batch(Label(row.label), batch)
                del waiting[Label(row.label)]
    for label, batch in waiting.items():
        yield _batch(label, batch)


def _batch(label: Label, rows: Sequence[tuple[int, int, str]]) -> _Batch:
    serials, on, texts = zip(*rows, strict=True)
    return _Batch(label, serials, on, texts)


def _page(library: StoredIndex, after: int) -> Sequence[Any]:
    with library.db.read() as connection:
        return connection.execute(
            select(
                chunks.c.serial, chunks.c.shelf, chunks.c.heading, chunks.c.text, shelves.c.label
            )
            .join(shelves, shelves.c.serial == chunks.c.shelf)
            .where(
                chunks.c.index_id == library.index_id,
                chunks.c.embedded.is_(False),
                chunks.c.serial > after,
            )
            .order_by(chunks.c.serial)
            .limit(_PAGE)
        ).all()


def _keep(library: StoredIndex, batch: _Batch, vectors: NDArray[np.float32]) -> None:
    """Keep the vectors of a batch. The database says that they are there once they are."""
    store = library.vectors(vectors.shape[1])
    assert store is not None
    store.put(batch.serials, batch.shelves, vectors)
    with library.db.write() as connection:
        run_many(
            connection,
            "UPDATE chunks SET embedded = ? WHERE serial = ?",
            [(True, serial) for serial in batch.serials],
        )
        there = {
            row.serial: row.shelf
            for row in select_in(
                connection, "SELECT serial, shelf FROM chunks WHERE serial IN ?", batch.serials
            )
        }
    # Somebody may have removed or moved some of them meanwhile.
    store.remove([serial for serial in batch.serials if serial not in there])
    for serial, shelf in zip(batch.serials, batch.shelves, strict=True):
        if there.get(serial, shelf) != shelf:
            store.move([serial], there[serial])
