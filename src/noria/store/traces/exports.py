"""Finished spans that wait to be sent to an OTLP collector.

Whichever process takes a span in puts it into this queue in the same transaction, so that none is
missed; what empties the queue is off every request's path. While nothing is exported, nothing is
queued.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Collection, Iterable

from sqlalchemy import BigInteger, Column, Connection, Table, select, text

from noria.store.bulk_sql import insert_many, run_many
from noria.store.database import Database
from noria.store.intake.compression import decompress
from noria.store.intake.ledger import PendingSpan
from noria.store.tables.core import metadata, payloads, spans
from noria.store.traces.spans import as_spans
from noria.store.traces.trace import Recorded

__all__ = [
    "Exporting",
    "claim_exports",
    "export_counts",
    "finish_exports",
    "post_exports",
    "release_exports",
    "set_exporting",
    "trim_exports",
]

exports = Table(
    "exports",
    metadata,
    # The span's instant, which is its key.
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    # When somebody began to send it; 0 while nobody does.
    Column("claimed_ns", BigInteger, nullable=False),
)

_SETTING, _SENT, _DROPPED = "exporting", "exported", "exports_dropped"


class Exporting(enum.IntEnum):
    """Which finished spans are queued."""

    NOTHING = 0
    OWN = 1
    EVERYTHING = 2
    """Those that clients told of as well."""


def set_exporting(db: Database, which: Exporting) -> None:
    """Say what is queued from now on. What waits is forgotten when nothing is.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO settings (name, value) VALUES (:name, :value)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ),
            {"name": _SETTING, "value": int(which)},
        )
        if which is Exporting.NOTHING:
            connection.execute(exports.delete())


def post_exports(connection: Connection, drafts: Iterable[PendingSpan]) -> None:
    """Queue the spans that ended in a batch, as far as they are wanted."""
    which = _value(connection, _SETTING)
    if which == Exporting.NOTHING:
        return
    wanted = [
        (draft.at, 0)
        for draft in drafts
        if draft.ended and (draft.holder is not None or which == Exporting.EVERYTHING)
    ]
    insert_many(connection, "exports", ("at", "claimed_ns"), wanted)


def claim_exports(db: Database, limit: int, seconds: float) -> list[Recorded]:
    """Take the oldest spans of the queue to send them; others leave them alone for `seconds`.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    now = time.time_ns()
    with db.read() as connection:
        waiting = connection.execute(select(exports.c.at).limit(1)).first()
    if waiting is None:
        return []
    with db.write() as connection:
        claimed = connection.execute(
            text(
                "UPDATE exports SET claimed_ns = :now WHERE claimed_ns < :before AND at IN"
                " (SELECT at FROM exports WHERE claimed_ns < :before ORDER BY at LIMIT :limit)"
                " RETURNING at"
            ),
            {"now": now, "before": now - int(seconds * 1e9), "limit": limit},
        ).scalars()
        instants = list(claimed)
    with db.read() as connection:
        found = connection.execute(
            select(spans, payloads.c.request, payloads.c.response, payloads.c.response_media)
            .outerjoin(payloads, payloads.c.at == spans.c.at)
            .where(spans.c.at.in_(instants))
            .order_by(spans.c.at)
        ).all()
        rows = as_spans(connection, found)
    return [
        Recorded(span, decompress(row.request), decompress(row.response), row.response_media)
        for span, row in zip(rows, found, strict=True)
    ]


def release_exports(db: Database, instants: Collection[int]) -> None:
    """Give claimed spans back to the queue.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        run_many(
            connection,
            "UPDATE exports SET claimed_ns = 0 WHERE at = ?",
            [(instant,) for instant in sorted(instants)],
        )


def finish_exports(db: Database, instants: Collection[int], *, refused: int = 0) -> None:
    """Take claimed spans out of the queue and count them: so many were refused, the others
    were delivered.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        run_many(
            connection,
            "DELETE FROM exports WHERE at = ?",
            [(instant,) for instant in sorted(instants)],
        )
        _count(connection, _SENT, len(instants) - refused)
        _count(connection, _DROPPED, refused)


def trim_exports(db: Database, most: int) -> int:
    """Drop the oldest of the queue down to `most`; returns and counts how many they were.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        length = connection.execute(text("SELECT count(*) FROM exports")).scalar_one()
    if length <= most:
        return 0
    with db.write() as connection:
        dropped = connection.execute(
            text(
                "DELETE FROM exports WHERE at IN"
                " (SELECT at FROM exports ORDER BY at LIMIT :surplus)"
            ),
            {"surplus": length - most},
        ).rowcount
        _count(connection, _DROPPED, dropped)
    return int(dropped)


def export_counts(db: Database) -> tuple[int, int]:
    """How many spans were delivered and how many were dropped, since the home was made.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        return _value(connection, _SENT), _value(connection, _DROPPED)


def _value(connection: Connection, name: str) -> int:
    found = connection.execute(
        text("SELECT value FROM settings WHERE name = :name"), {"name": name}
    ).scalar()
    return int(found or 0)


def _count(connection: Connection, name: str, more: int) -> None:
    if more:
        connection.execute(
            text(
                "INSERT INTO settings (name, value) VALUES (:name, :more)"
                " ON CONFLICT (name) DO UPDATE SET value = settings.value + excluded.value"
            ),
            {"name": name, "more": more},
        )
