"""Looking at what was recorded: the newest spans that meet a filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    TextClause,
    column,
    func,
    select,
    table,
)
from sqlalchemy import text as sql
from sqlalchemy.sql.expression import ColumnClause, Select

from noria.errors import NoriaError
from noria.store.database import Database
from noria.store.intake.text_index import matching
from noria.store.tables.core import holds, spans
from noria.types import Span, SpanKind, Status

__all__ = ["Page", "as_spans", "find_spans"]


Where = list[ColumnElement[bool] | TextClause]


@dataclass(frozen=True, slots=True)
class Page:
    """Some spans, the newest first."""

    rows: list[Span]
    next: str | None
    """The cursor for the spans after these; None at the end."""


def find_spans(
    db: Database,
    *,
    limit: int = 50,
    cursor: str | None = None,
    status: Status | str | None = None,
    model: str | None = None,
    key_id: str | None = None,
    team: str | None = None,
    user: str | None = None,
    kind: SpanKind | str | None = None,
    app: str | None = None,
    min_ms: float | None = None,
    max_ms: float | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    text: str | None = None,
    roots_only: bool = False,
) -> Page:
    """The newest spans that meet every filter.

    Args:
        db: the database.
        limit: at most so many rows.
        cursor: `next` of the page before.
        status: how they ended.
        model: the name that the caller asked for.
        key_id: the key they came with.
        team: the key's team.
        user: the key's user.
        kind: what they record.
        app: the application they belong to.
        min_ms: they took at least so long.
        max_ms: they took at most so long.
        since_ns: they began at this instant or later.
        until_ns: they began before this instant.
        text: every word of it occurs in the request or the reply.
        roots_only: leave out what was done inside another span.

    Raises:
        NoriaError: the cursor is not one of a page.
    """
    same = {
        "model": model, "key_id": key_id, "team": team, "user": user, "kind": kind, "app": app,
        "status": status,
    }  # fmt: skip
    where: Where = [
        spans.c[name] == str(value) for name, value in same.items() if value is not None
    ]
    # The indexes of these leave out the usual value, and are used only when told so.
    if status is not None and status != Status.OK:
        where.append(sql("status <> 'ok'"))
    if kind is not None and kind != SpanKind.CHAT:
        where.append(sql("kind <> 'chat'"))
    if roots_only:
        where.append(spans.c.parent_id.is_(None))
    end = _before(until_ns, cursor)
    with db.read() as connection:
        if text is not None:
            chosen = _with_words(db.dialect, text, where, min_ms, max_ms, since_ns, end)
        else:
            chosen = _newest(connection, where, min_ms, max_ms, since_ns, end)
        if chosen is None:
            return Page([], None)
        found = connection.execute(
            select(spans)
            .where(spans.c.at.in_(chosen.limit(limit + 1).scalar_subquery()))
            .order_by(spans.c.at.desc())
        ).all()
        rows = as_spans(connection, found[:limit])
    return Page(rows, str(rows[-1].started_ns) if len(found) > limit else None)


# As many rows as are gladly looked at one by one; where a range of durations holds more, the newest
# of them are found sooner by walking back in time.
_FEW = 2_000


def _newest(
    connection: Connection,
    where: Where,
    min_ms: float | None,
    max_ms: float | None,
    since_ns: int | None,
    end: int | None,
) -> Select[tuple[int]]:
    at, duration = spans.c.at, spans.c.duration_ms
    within = _within(duration, min_ms, max_ms)
    chosen = select(at).where(*where, *_within(at, since_ns, None), *_before_end(at, end))
    if not within:
        return chosen.order_by(at.desc())
    few = connection.execute(select(at).where(*within).limit(_FEW)).scalars().all()
    if len(few) < _FEW:
        return chosen.where(at.in_(few)).order_by(at.desc())
    # "+ 0" keeps the planner from the index of durations, which is not in the order of time.
    return chosen.where(*_within(duration + 0, min_ms, max_ms)).order_by(at.desc())


def _with_words(
    dialect: str,
    words: str,
    where: Where,
    min_ms: float | None,
    max_ms: float | None,
    since_ns: int | None,
    end: int | None,
) -> Select[tuple[int]] | None:
    match = matching(dialect, words)
    if match is None:
        return None
    at: ColumnClause[int] = column("rowid" if dialect == "sqlite" else "at")
    index = table("message_text", at)
    condition, value = match
    chosen = select(index.c[at.name]).where(sql(condition).bindparams(words=value))
    chosen = chosen.where(*_within(index.c[at.name], since_ns, None))
    chosen = chosen.where(*_before_end(index.c[at.name], end))
    where = [*where, *_within(spans.c.duration_ms + 0, min_ms, max_ms)]
    if where:
        chosen = chosen.join(spans, spans.c.at == index.c[at.name]).where(*where)
    return chosen.order_by(index.c[at.name].desc())


def _within(
    value: ColumnElement[Any], least: float | None, most: float | None
) -> list[ColumnElement[bool]]:
    bounds = []
    if least is not None:
        bounds.append(value >= least)
    if most is not None:
        bounds.append(value <= most)
    return bounds


def _before_end(value: ColumnElement[Any], end: int | None) -> list[ColumnElement[bool]]:
    return [] if end is None else [value < end]


def _before(until_ns: int | None, cursor: str | None) -> int | None:
    if cursor is None:
        return until_ns
    if not cursor.isdigit() or len(cursor) > 19:
        raise NoriaError(f"{cursor!r} is not the cursor of a page.", "Begin at the first page.")
    return int(cursor) if until_ns is None else min(until_ns, int(cursor))


def as_spans(connection: Connection, rows: Iterable[Row[Any]]) -> list[Span]:
    """Rows of the table as spans, with what is held for those that are under way."""
    rows = list(rows)
    unfinished = [row.id for row in rows if row.status == Status.OPEN]
    held: dict[str, int] = {}
    if unfinished:
        sums = connection.execute(
            select(holds.c.span_id, func.sum(holds.c.hold_nano))
            .where(holds.c.span_id.in_(unfinished))
            .group_by(holds.c.span_id)
        )
        held = {span_id: int(amount) for span_id, amount in sums}
    return [_span(row, held.get(row.id, 0)) for row in rows]


def _span(row: Row[Any], hold_nano: int) -> Span:
    return Span(
        id=row.id,
        trace_id=row.trace_id,
        parent_id=row.parent_id,
        kind=SpanKind(row.kind),
        status=Status(row.status),
        name=row.name,
        model=row.model,
        target=row.target,
        key_id=row.key_id,
        team=row.team,
        user=row.user,
        app=row.app,
        started_ns=row.at,
        duration_ms=row.duration_ms,
        ttft_ms=row.ttft_ms,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_nano=row.cost_nano,
        hold_nano=hold_nano,
        overrun=row.overrun,
        uncertain_nano=row.uncertain_nano,
        stream=row.stream,
        attempts=row.attempts,
        error_code=row.error_code,
        error=row.error,
        attributes=orjson.loads(row.attributes) if row.attributes else {},
    )
