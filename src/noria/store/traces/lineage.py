"""Which answers a document went into, who got them, and taking its text out of them again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, update

from noria.errors import NotFound
from noria.store.bulk_sql import insert_many, run_many, select_in
from noria.store.database import Database
from noria.store.intake.compression import decompress
from noria.store.intake.words import words_of
from noria.store.learning import corrections
from noria.store.tables.core import spans
from noria.store.tables.evals import battle_turns
from noria.store.tables.governance import document_uses, feedback, turns
from noria.types import Label

__all__ = ["Answer", "Redaction", "answers_of", "empty_traces", "mark_deleted", "redact"]

_GONE = "(redacted)"
_BATCH = 50
"""Traces in one transaction, so that nobody waits long."""

# What spans say of themselves that cannot quote a text.
_HARMLESS = frozenset(
    (
        "documents", "check", "outcome", "severity", "score", "as_system", "resource", "label",
        "replay_of", "recorded_in", "variant", "attempt", "attempts", "source", "compute_ms",
        "usage_estimated",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A run in which a document was used, and who saw what came of it. Instants are UTC
    nanoseconds."""

    trace_id: str
    at_ns: int
    """When the document was first found in it."""
    index: str
    label: Label
    """The document's at that time."""
    user: str | None
    key_id: str | None
    app: str | None
    deleted_ns: int | None
    """When the document was deleted; None while it is there."""
    redacted_ns: int | None
    """When its text was taken out of the record; None while it is in it."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What was taken out."""

    traces: int
    spans: int
    """Whose inputs and outputs are gone."""
    turns: int
    """Of conversations."""


def answers_of(
    db: Database, document: str, index: str | None = None, *, limit: int = 1_000
) -> list[Answer]:
    """The runs that used a document, the newest first.

    Args:
        db: the database.
        document: the document's id.
        index: only as found in this index.
        limit: at most so many.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    use = document_uses.c
    runs = (
        select(
            use.trace_id, use.index,
            func.min(use.at).label("at"), func.max(use.label).label("label"),
            func.max(use.user).label("user"), func.max(use.key_id).label("key_id"),
            func.max(spans.c.app).label("app"), func.max(use.deleted_ns).label("deleted_ns"),
            func.max(use.redacted_ns).label("redacted_ns"),
        )
        .outerjoin(spans, spans.c.id == use.span_id)
        .where(*_of(document, index))
        .group_by(use.trace_id, use.index)
        .order_by(func.min(use.at).desc())
        .limit(limit)
    )  # fmt: skip
    with db.read() as connection:
        found = connection.execute(runs).all()
    return [
        Answer(row.trace_id, row.at, row._mapping["index"], Label(row.label), row.user, row.key_id,
               row.app, row.deleted_ns, row.redacted_ns)
        for row in found
    ]  # fmt: skip


def mark_deleted(db: Database, index: str, documents: Iterable[str]) -> int:
    """Say of every run that holds texts of these documents that they were deleted since.

    Returns: how many uses were marked.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    now = time.time_ns()
    marked = 0
    with db.write() as connection:
        for document in documents:
            marked += connection.execute(
                update(document_uses)
                .where(*_of(document, index), document_uses.c.deleted_ns.is_(None))
                .values(deleted_ns=now)
            ).rowcount
    return marked


def redact(db: Database, document: str, index: str | None = None) -> Redaction:
    """Take the text of a document out of the record of every run that used it.

    A model may have said it in other words, so all that went in and came out of such a run goes:
    the contents of its spans, its words in the search of traces, its side of a battle, and its
    turns in kept conversations, with all that was said there afterwards. Times, tokens, costs and
    the list of documents stay, and say when this was done.

    Args:
        db: the database; what is pending must have been taken in.
        document: the document's id.
        index: only as found in this index.

    Raises:
        NotFound: no run is known to have used it.
        StoreUnavailable: the database cannot be reached; what was taken out until then stays out.
    """
    use = document_uses.c
    with db.read() as connection:
        held = connection.execute(
            select(use.trace_id, use.redacted_ns, use.index, use.label, use.title).where(
                *_of(document, index)
            )
        ).all()
        if not held:
            where = f" of the index {index}" if index else ""
            raise NotFound(
                f"No recorded run has used a document {document}{where}.",
                "`noria trace show ID` lists the documents of a run by their ids.",
            )
        direct = {row.trace_id for row in held if row.redacted_ns is None}
        carried = _carried_on(connection, direct) - direct
    spans_gone = turns_gone = 0
    for some in _in_batches(sorted(direct | carried)):
        with db.write() as connection:
            _note(connection, document, held, [trace for trace in some if trace in carried])
            emptied = _take_out(connection, some)
            spans_gone += emptied[0]
            turns_gone += emptied[1]
            connection.execute(
                update(document_uses)
                .where(*_of(document, index), use.trace_id.in_(some))
                .values(redacted_ns=time.time_ns())
            )
    return Redaction(len(direct | carried), spans_gone, turns_gone)


def empty_traces(db: Database, traces: Iterable[str]) -> Redaction:
    """Take all that was said in these runs out of the record, and in what their conversations
    went on to. Times, tokens and costs stay.

    Raises:
        StoreUnavailable: the database cannot be reached; what was taken out until then stays out.
    """
    direct = set(traces)
    with db.read() as connection:
        every = sorted(direct | _carried_on(connection, direct))
    spans_gone = turns_gone = 0
    for some in _in_batches(every):
        with db.write() as connection:
            emptied = _take_out(connection, some)
            spans_gone += emptied[0]
            turns_gone += emptied[1]
    return Redaction(len(every), spans_gone, turns_gone)


def _take_out(connection: Connection, traces: Sequence[str]) -> tuple[int, int]:
    """Empty spans, turns and battles of these runs; returns how many spans and turns."""
    emptied = _empty(connection, traces)
    gone = connection.execute(delete(turns).where(turns.c.trace_id.in_(traces))).rowcount
    connection.execute(update(feedback).where(feedback.c.trace_id.in_(traces)).values(comment=None))
    connection.execute(delete(corrections).where(corrections.c.trace_id.in_(traces)))
    _empty_battles(connection, traces)
    return emptied, gone


def _of(document: str, index: str | None) -> list[ColumnElement[bool]]:
    same = [document_uses.c.document == document]
    return same if index is None else [*same, document_uses.c.index == index]


def _carried_on(connection: Connection, traces: Iterable[str]) -> set[str]:
    """Runs that were told what was said in these before: later turns of the same conversations."""
    first, later = turns.alias(), turns.alias()
    found: set[str] = set()
    for some in _in_batches(sorted(traces)):
        found |= set(
            connection.execute(
                select(later.c.trace_id)
                .join(
                    first,
                    and_(
                        first.c.key_id == later.c.key_id,
                        first.c.conversation_id == later.c.conversation_id,
                        first.c.number < later.c.number,
                    ),
                )
                .where(first.c.trace_id.in_(some))
            ).scalars()
        )
    return found


def _note(
    connection: Connection, document: str, held: Sequence[Any], traces: Sequence[str]
) -> None:
    """Add the document to the uses of runs that had it from their conversation."""
    origin = held[0]
    roots = select_in(
        connection,
        "SELECT id, trace_id, at, key_id, \"user\" FROM spans WHERE at IN"
        " (SELECT min(at) FROM spans WHERE trace_id IN ? GROUP BY trace_id)",
        traces,
    )  # fmt: skip
    insert_many(
        connection,
        "document_uses",
        ("span_id", "index", "document", "trace_id", "at", "label", "title", "key_id", "user"),
        [
            (root.id, origin._mapping["index"], document, root.trace_id, root.at, origin.label,
             origin.title, root.key_id, root.user)
            for root in roots
        ],
    )  # fmt: skip


def _empty(connection: Connection, traces: Sequence[str]) -> int:
    """Take contents and words out of the spans of these runs; returns how many had any."""
    rows = select_in(
        connection,
        "SELECT s.at, s.attributes, s.trace_id, p.request, p.response FROM spans s"
        " LEFT JOIN payloads p ON p.at = s.at WHERE s.trace_id IN ?",
        traces,
    )
    full = [row for row in rows if row.request is not None or row.response is not None]
    instants = [(row.at,) for row in full]
    waiting = {
        row.at
        for row in select_in(
            connection, "SELECT at FROM text_queue WHERE at IN ?", [row.at for row in full]
        )
    }
    _forget_words(connection, [row for row in full if row.at not in waiting])
    run_many(connection, "DELETE FROM text_queue WHERE at = ?", instants)
    run_many(connection, "DELETE FROM payloads WHERE at = ?", instants)
    run_many(
        connection,
        "UPDATE spans SET error = NULL, attributes = ? WHERE at = ?",
        [(_harmless(row.attributes), row.at) for row in rows],
    )
    return len(full)


def _empty_battles(connection: Connection, traces: Sequence[str]) -> None:
    """Take the texts out of battles that these runs were a side of; the votes stay."""
    of = battle_turns.c
    connection.execute(
        update(battle_turns)
        .where(of.trace_a.in_(traces) | of.trace_b.in_(traces))
        .values(question=_GONE, answer_a=_GONE, answer_b=_GONE)
    )


def _forget_words(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    if connection.dialect.name == "postgresql":
        run_many(connection, "DELETE FROM message_text WHERE at = ?", [(row.at,) for row in rows])
        return
    # SQLite's index keeps no texts, and forgets a row only when it is told what is in it.
    words = [(row.at, words_of(decompress(row.request), decompress(row.response))) for row in rows]
    run_many(
        connection,
        "INSERT INTO message_text (message_text, rowid, words) VALUES ('delete', ?, ?)",
        [row for row in words if row[1]],
    )


def _harmless(attributes: str | None) -> str:
    told = orjson.loads(attributes) if attributes else {}
    kept = {name: value for name, value in told.items() if name in _HARMLESS}
    return orjson.dumps(kept | {"redacted": True}).decode()


def _in_batches(traces: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(traces), _BATCH):
        yield traces[start : start + _BATCH]
