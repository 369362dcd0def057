"""One trace: its spans, what went in and out of them, and what stands beside them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, not_, select

from noria.errors import NotFound
from noria.store.database import Database
from noria.store.intake.compression import decompress
from noria.store.tables.core import payloads, spans
from noria.store.tables.governance import document_uses, feedback, marks, turns
from noria.store.traces.spans import as_spans
from noria.types import Label, Span, SpanKind

__all__ = [
    "Evidence",
    "Recorded",
    "Remark",
    "Use",
    "add_up",
    "content_of",
    "evidence_of",
    "find_trace",
    "find_tree",
    "marks_of",
]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A span with what went in and out, as bytes of JSON; None where content was not recorded."""

    span: Span
    request: bytes | None
    response: bytes | None
    response_media: str | None
    """`text/event-stream` where a stream could not be put together; None for JSON."""


@dataclass(frozen=True, slots=True)
class Use:
    """A document that a search of the trace handed out. Instants are UTC nanoseconds."""

    span_id: str
    index: str
    document: str
    title: str | None
    label: Label
    at_ns: int
    deleted_ns: int | None
    """When the document was deleted; None while it is there."""
    redacted_ns: int | None
    """When its text was taken out of the trace; None while it is in it."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody thought of the answer."""

    at_ns: int
    key_id: str
    user: str | None
    score: float | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stands beside a trace's spans."""

    mark: Label
    """The highest label of what was read in it."""
    uses: list[Use]
    remarks: list[Remark]
    conversation: str | None
    """The conversation of the same key that it is a turn of, as the caller names it."""


def find_trace(db: Database, identity: str) -> list[Recorded]:
    """All spans of a trace in the order in which they began, with what went in and out.

    Args:
        db: the database.
        identity: the id of the trace or of one of its spans.

    Raises:
        NotFound: there is no such span or trace.
    """
    columns = (payloads.c.request, payloads.c.response, payloads.c.response_media)
    with db.read() as connection:
        found = connection.execute(
            select(spans, *columns)
            .outerjoin(payloads, payloads.c.at == spans.c.at)
            .where(_in_trace_of(identity))
            .order_by(spans.c.at)
        ).all()
        rows = _known(connection, found, identity)
    return [
        Recorded(span, decompress(row.request), decompress(row.response), row.response_media)
        for span, row in zip(rows, found, strict=True)
    ]


def find_tree(db: Database, identity: str) -> list[Span]:
    """The spans alone, for a trace of hundreds of them whose contents are looked at one by one.

    Args:
        db: the database.
        identity: the id of the trace or of one of its spans.

    Raises:
        NotFound: there is no such span or trace.
    """
    with db.read() as connection:
        found = connection.execute(
            select(spans).where(_in_trace_of(identity)).order_by(spans.c.at)
        ).all()
        return _known(connection, found, identity)


def add_up(db: Database, rows: list[Span]) -> list[Span]:
    """Give the runs among these spans the cost and the tokens of all that was called in them: an
    application's own span has none."""
    runs = [span for span in rows if span.kind is SpanKind.APP and span.parent_id is None]
    sums = _sums_of(db, {span.trace_id for span in runs})
    for span in runs:
        span.cost_nano, span.input_tokens, span.output_tokens = sums[span.trace_id]
    return rows


def _sums_of(db: Database, trace_ids: Collection[str]) -> dict[str, tuple[int, int, int]]:
    if not trace_ids:
        return {}
    columns = (
        func.coalesce(func.sum(spans.c[name]), 0)
        for name in ("cost_nano", "input_tokens", "output_tokens")
    )
    inner = spans.alias()
    # What a client tells of a call that has a call inside it is the same, seen from outside.
    doubled = and_(
        spans.c.holder.is_(None),
        exists().where(
            inner.c.trace_id == spans.c.trace_id,
            inner.c.parent_id == spans.c.id,
            inner.c.kind == spans.c.kind,
        ),
        spans.c.kind.in_((SpanKind.CHAT, SpanKind.EMBEDDING)),
    )
    with db.read() as connection:
        rows = connection.execute(
            select(spans.c.trace_id, *columns)
            .where(spans.c.trace_id.in_(trace_ids), not_(doubled))
            .group_by(spans.c.trace_id)
        ).all()
    return {trace_id: (int(cost), int(came), int(went)) for trace_id, cost, came, went in rows}


def marks_of(db: Database, rows: Collection[Span]) -> dict[str, Label]:
    """The marks of these spans' traces, by trace; public ones are left out."""
    if not rows:
        return {}
    with db.read() as connection:
        found = connection.execute(
            select(marks.c.trace_id, marks.c.label).where(
                marks.c.trace_id.in_({span.trace_id for span in rows}), marks.c.label > 0
            )
        ).all()
    return {trace_id: Label(label) for trace_id, label in found}


def content_of(db: Database, span: Span) -> Recorded:
    """A span with what went in and out of it."""
    with db.read() as connection:
        row = connection.execute(
            select(payloads).where(payloads.c.at == span.started_ns)
        ).one_or_none()
    if row is None:
        return Recorded(span, None, None, None)
    return Recorded(span, decompress(row.request), decompress(row.response), row.response_media)


def evidence_of(db: Database, trace_id: str) -> Evidence:
    """The mark of a trace, the documents that were used in it, what people said of it, and the
    conversation that it belongs to."""
    with db.read() as connection:
        label = connection.execute(
            select(marks.c.label).where(marks.c.trace_id == trace_id)
        ).scalar()
        uses = connection.execute(
            select(document_uses)
            .where(document_uses.c.trace_id == trace_id)
            .order_by(document_uses.c.at, document_uses.c.index, document_uses.c.document)
        ).all()
        remarks = connection.execute(
            select(feedback).where(feedback.c.trace_id == trace_id).order_by(feedback.c.at)
        ).all()
        conversation = connection.execute(
            select(turns.c.conversation_id).where(turns.c.trace_id == trace_id).limit(1)
        ).scalar()
    return Evidence(
        Label(label or 0),
        [
            Use(row.span_id, row._mapping["index"], row.document, row.title, Label(row.label),
                row.at, row.deleted_ns, row.redacted_ns)
            for row in uses
        ],
        [Remark(row.at, row.key_id, row.user, row.score, row.comment) for row in remarks],
        conversation,
    )  # fmt: skip


def _in_trace_of(identity: str) -> Any:
    trace = select(spans.c.trace_id).where(spans.c.id == identity).scalar_subquery()
    return spans.c.trace_id == func.coalesce(trace, identity)


def _known(connection: Connection, rows: Sequence[Row[Any]], identity: str) -> list[Span]:
    if not rows:
        raise NotFound(
            f"There is no trace or span {identity}.", "`noria trace ls` lists the newest."
        )
    return as_spans(connection, rows)
