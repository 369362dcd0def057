"""Golden sets from what was really asked: rows of arguments out of recorded runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from sqlalchemy import select

from noria.evals.marked import with_label
from noria.store import Database, find_spans, mark_of
from noria.store.tables.governance import feedback, verdicts
from noria.store.traces.trace import content_of
from noria.types import Span, SpanKind, Status

__all__ = ["rows_from_traces"]

_PAGE = 200


def rows_from_traces(
    db: Database,
    app: str,
    *,
    function: str | None = None,
    check: tuple[str, str] | None = None,
    scored: tuple[float | None, float | None] = (None, None),
    since_ns: int | None = None,
    until_ns: int | None = None,
    text: str | None = None,
    limit: int = 1000,
    expected: bool = False,
) -> Iterator[dict[str, Any]]:
    """Runs of an application as rows of a golden set, the newest first. What was asked twice is
    given once; runs whose content was not recorded are left out. A row has the label of its run.

    Args:
        db: the store.
        app: the application.
        function: only runs of this function.
        check: only runs on which a check had this outcome: its name and `pass` or `fail`.
        scored: only runs whose feedback lies between these scores; None leaves a side open.
        since_ns: only runs that began at this instant or later.
        until_ns: only runs that began before this instant.
        text: only runs in which these words occur.
        limit: at most so many rows.
        expected: give the answer as what is expected.
    """
    seen: set[bytes] = set()
    given = 0
    for span in _runs(db, app, since_ns, until_ns, text):
        if function is not None and span.name != f"{app}.{function}":
            continue
        if not _meets(db, span, check, scored):
            continue
        recorded = content_of(db, span)
        if not recorded.request or recorded.request in seen:
            continue
        seen.add(recorded.request)
        row: dict[str, Any] = {"id": span.trace_id, **orjson.loads(recorded.request)}
        if expected and recorded.response:
            answer = orjson.loads(recorded.response)
            row["expected"] = answer if isinstance(answer, str) else recorded.response.decode()
        yield with_label(row, mark_of(db, span.trace_id))
        given += 1
        if given == limit:
            return


def _runs(
    db: Database, app: str, since_ns: int | None, until_ns: int | None, text: str | None
) -> Iterator[Span]:
    cursor = None
    while True:
        page = find_spans(
            db, limit=_PAGE, cursor=cursor, app=app, kind=SpanKind.APP, status=Status.OK,
            roots_only=True, since_ns=since_ns, until_ns=until_ns, text=text,
        )  # fmt: skip
        yield from page.rows
        cursor = page.next
        if cursor is None:
            return


def _meets(
    db: Database,
    span: Span,
    check: tuple[str, str] | None,
    scored: tuple[float | None, float | None],
) -> bool:
    least, most = scored
    with db.read() as connection:
        if check is not None:
            outcomes = connection.execute(
                select(verdicts.c.outcome).where(
                    verdicts.c.trace_id == span.trace_id, verdicts.c.check == check[0]
                )
            ).scalars()
            if check[1] not in set(outcomes):
                return False
        if least is None and most is None:
            return True
        scores = connection.execute(
            select(feedback.c.score).where(
                feedback.c.trace_id == span.trace_id, feedback.c.score.is_not(None)
            )
        ).scalars()
        return any(
            (least is None or score >= least) and (most is None or score <= most)
            for score in scores
        )
