"""Whose a trace is, and its high-water mark, where every process and machine sees the same one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text

from noria.store.bulk_sql import select_in
from noria.store.database import Database
from noria.types import Label

__all__ = ["mark_of", "marks_of", "raise_mark", "trace_owner", "trace_owners"]


def raise_mark(db: Database, trace_id: str, label: Label) -> None:
    """Raise a trace's mark to a label; one that is higher already stays.

    Raises:
        StoreUnavailable: the database cannot be reached; the mark may not be what was wanted.
    """
    with db.write() as connection:
        connection.execute(
            text(
                "INSERT INTO marks (trace_id, label) VALUES (:trace_id, :label)"
                " ON CONFLICT (trace_id) DO UPDATE SET label = excluded.label"
                " WHERE marks.label < excluded.label"
            ),
            {"trace_id": trace_id, "label": int(label)},
        )


def mark_of(db: Database, trace_id: str) -> Label:
    """A trace's mark; public where nothing raised it.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        label = connection.execute(
            text("SELECT label FROM marks WHERE trace_id = :trace_id"), {"trace_id": trace_id}
        ).scalar()
    return Label(label or 0)


def marks_of(db: Database, trace_ids: Collection[str]) -> dict[str, Label]:
    """The marks of those of these traces that have one; all others are public.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        rows = select_in(
            connection, "SELECT trace_id, label FROM marks WHERE trace_id IN ?", trace_ids
        )
    return {row.trace_id: Label(row.label) for row in rows}


def trace_owner(db: Database, trace_id: str) -> str | None:
    """The id of the key that a trace belongs to: of its first span; None where it is unknown.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        owner = connection.execute(
            text("SELECT key_id FROM spans WHERE trace_id = :trace_id ORDER BY at LIMIT 1"),
            {"trace_id": trace_id},
        ).scalar()
    return None if owner is None else str(owner)


def trace_owners(db: Database, trace_ids: Collection[str]) -> dict[str, str]:
    """The id of the key that each of these traces belongs to; unknown traces are left out.

    A trace that began without a key has "", which is nobody's.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        rows = select_in(
            connection,
            "SELECT trace_id, key_id FROM spans WHERE at IN"
            " (SELECT min(at) FROM spans WHERE trace_id IN ? GROUP BY trace_id)",
            trace_ids,
        )
    return {row.trace_id: row.key_id or "" for row in rows}
