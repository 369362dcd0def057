"""Searching the words of requests and replies: FTS5 in SQLite, a `tsvector` in Postgres.

The index is filled behind the intake, from the queue of spans that have ended, in transactions
of its own, so that it never holds up a grant or a batch for long. What the same process has just
taken in is still in its memory (`RecentBodies`) and need not be read and inflated again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from noria.store.bulk_sql import run_many, select_in
from noria.store.database import Database
from noria.store.intake.compression import Bodies, decompress
from noria.store.intake.words import words_of
from noria.store.tables.core import text_queue
from noria.words import indexed_words, words_of_question

__all__ = ["TEXT_BATCH", "RecentBodies", "index_text", "matching"]

TEXT_BATCH = 2_000
_MOST_FRESH_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class RecentBodies:
    """Bodies that were stored just now, as many as may well stay in memory. The index reads the
    others from the store."""

    bodies: dict[int, Bodies] = field(default_factory=dict)
    """By the span's instant."""
    size: int = 0

    def add(self, stored: Mapping[int, Bodies]) -> None:
        """Keep what a transaction has stored."""
        if self.size < _MOST_FRESH_BYTES:
            self.bodies.update(stored)
            self.size += sum(len(body) for both in stored.values() for body in both if body)


def index_text(db: Database, fresh: RecentBodies | None = None, limit: int = TEXT_BATCH) -> int:
    """Index the texts of up to `limit` spans that wait for it; returns how many there were."""
    with db.read() as connection:
        query = select(text_queue.c.at).order_by(text_queue.c.at).limit(limit)
        waiting = list(connection.execute(query).scalars())
        if not waiting:
            return 0
        known = fresh.bodies if fresh else {}
        bodies = {at: known[at] for at in waiting if at in known}
        for row in select_in(
            connection,
            "SELECT at, request, response FROM payloads WHERE at IN ?",
            [at for at in waiting if at not in bodies],
        ):
            bodies[row.at] = (decompress(row.request), decompress(row.response))
    texts = {at: indexed_words(words_of(*both)) for at, both in bodies.items()}
    with db.write() as connection:
        # Another process may have been faster with some of them, or a redaction.
        mine = select_in(connection, "DELETE FROM text_queue WHERE at IN ? RETURNING at", waiting)
        found = sorted(row.at for row in mine)
        _insert(connection, [(at, texts[at]) for at in found if texts.get(at)])
    return len(waiting)


def matching(dialect: str, text: str) -> tuple[str, str] | None:
    """The condition (with `:words`) that finds rows with every word of `text`, and its value.

    None if there is no word in it.
    """
    words = words_of_question(text)
    if not words:
        return None
    if dialect == "sqlite":
        return "message_text MATCH :words", " ".join(f'"{word}"' for word in words)
    return "words @@ plainto_tsquery('simple', :words)", " ".join(words)


def _insert(connection: Connection, rows: list[tuple[int, str]]) -> None:
    if connection.dialect.name == "sqlite":
        run_many(connection, "INSERT INTO message_text (rowid, words) VALUES (?, ?)", rows)
    else:
        run_many(
            connection,
            "INSERT INTO message_text (at, words) VALUES (?, to_tsvector('simple', ?))"
            " ON CONFLICT DO NOTHING",
            rows,
        )
