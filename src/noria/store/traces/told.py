"""What a client tells of its spans after they were taken in."""

from __future__ import annotations

from noria.store.bulk_sql import insert_many, select_in
from noria.store.database import Database
from noria.store.intake.compression import compress

__all__ = ["add_bodies"]


def add_bodies(
    db: Database, key_id: str, span_id: str, trace_id: str, request: bytes, response: bytes
) -> bool:
    """Add what went in and out of a span that a client told of without it. What is there stays.

    Args:
        db: the store, in which the spans are that were written so far.
        key_id: whose the span must be.
        span_id: its id.
        trace_id: its trace.
        request: JSON; empty for none.
        response: JSON; empty for none.

    Returns:
        Whether there is such a span.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        rows = select_in(
            connection,
            "SELECT at, trace_id, key_id, holder FROM spans WHERE id IN ?",
            [span_id],
        )
        mine = [row.at for row in rows if (row.trace_id, row.key_id) == (trace_id, key_id)]
        foreign = [row.at for row in rows if row.at in mine and row.holder is None]
        insert_many(
            connection,
            "payloads",
            ("at", "request", "response", "response_media"),
            [(at, compress(request or None), compress(response or None), None) for at in foreign],
            "(at) DO UPDATE SET request = coalesce(payloads.request, excluded.request),"
            " response = coalesce(payloads.response, excluded.response)",
        )
        insert_many(connection, "text_queue", ("at",), [(at,) for at in foreign])
    return bool(mine)
