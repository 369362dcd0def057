"""What answers cost, by the trace that holds them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from noria.store.database import Database
from noria.store.tables.core import spans
from noria.types import SpanKind

__all__ = ["costs_of"]

_AT_ONCE = 500


def costs_of(db: Database, trace_ids: Sequence[str]) -> dict[str, int]:
    """Nano-dollars for all that was called in each trace, but for what checks called: they judge
    the answer and are no part of it."""
    found: dict[str, int] = {}
    checks = select(spans.c.id).where(spans.c.kind == str(SpanKind.CHECK))
    with db.read() as connection:
        for begin in range(0, len(trace_ids), _AT_ONCE):
            some = trace_ids[begin : begin + _AT_ONCE]
            rows = connection.execute(
                select(spans.c.trace_id, func.sum(spans.c.cost_nano))
                .where(
                    spans.c.trace_id.in_(some),
                    spans.c.parent_id.is_(None)
                    | spans.c.parent_id.not_in(checks.where(spans.c.trace_id.in_(some))),
                )
                .group_by(spans.c.trace_id)
            )
            found |= {trace: int(cost) for trace, cost in rows}
    return found
