"""What was called: the newest first or sorted, filtered by the address, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.types import Label, Span, SpanKind, Status, utc_now
from noria.web.render import context_of, in_thread, key_of, page

if TYPE_CHECKING:
    from noria.store import Database, Key

__all__ = ["routes"]

ROWS = 50
SORTED = 2_000
"""The newest so many are looked at where they are to be sorted: any order, at a known cost."""
_SINCE = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min)?\s*")
_UNITS = {None: 1.0, "ms": 1.0, "s": 1000.0, "min": 60_000.0}
_SORTS: dict[str, Callable[[Span], float | None]] = {
    "in": lambda span: span.input_tokens,
    "out": lambda span: span.output_tokens,
    "first": lambda span: span.ttft_ms,
    "duration": lambda span: span.duration_ms,
    "cost": lambda span: span.cost_nano,
}
_FILTERS = ("q", "status", "model", "key", "team", "app", "kind", "over", "since")


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of rows."""

    rows: list[Span]
    marks: dict[str, Label]
    """The marks of their traces that are above public, by trace."""
    next: str | None
    """The cursor of the page after it."""
    looked_at: int | None
    """How many were sorted; None where they are in the order of time."""


async def show(request: Request) -> Response:
    """One page of the spans that meet the filters of the address."""
    context, key = context_of(request), key_of(request)
    await in_thread(context.take_in)
    query = request.query_params
    found = await in_thread(_find, context.db, query, key)
    # htmx only takes the rows of the answer: the filters are on the screen already.
    partial = "hx-request" in request.headers
    values = {
        "found": found,
        "filters": [] if partial else await in_thread(_filters, context.db, key),
        "filtered": any(query.get(name) for name in _FILTERS),
        "sort": query.get("sort"),
    }
    return page(request, "traces.html", values)


def _filters(db: Database, key: Key) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Name, what it says while it is not set, and the options of each filter, counted."""
    from noria.store import list_keys
    from noria.store.traces.reports import tally

    own = None if key.admin else key.id

    def counted(by: Literal["kind", "app", "model", "team"], unit: str) -> list[tuple[str, str]]:
        return [
            (name, f"{name} · {n:,} {unit if n == 1 else unit + 's'}")
            for name, n in tally(db, by, own).items()
        ]

    keys = list_keys(db) if key.admin else []
    filters = [
        ("status", "Any status", [(str(one), str(one)) for one in Status]),
        ("app", "Any app", counted("app", "run")),
        ("model", "Any model", counted("model", "call")),
        ("team", "Any team", counted("team", "call") if key.admin else []),
        ("key", "Any key", [
            (one.id, f"{one.name or one.user or one.team or 'key'} …{one.hint}") for one in keys
        ]),
        ("kind", "Any kind", counted("kind", "span")),
        ("since", "Any time", [(name, title) for name, (title, _) in _SINCE.items()]),
    ]  # fmt: skip
    return [one for one in filters if one[2]]


def milliseconds(text: str) -> float | None:
    """A duration that a person typed: `250`, `250 ms`, `1.5 s`; None for anything else."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def _find(db: Database, query: QueryParams, key: Key) -> Listing:
    from noria.store import find_spans
    from noria.store.traces.trace import add_up, marks_of

    status, kind, worth = query.get("status"), query.get("kind"), _SORTS.get(query.get("sort", ""))
    since = _SINCE.get(query.get("since", ""))
    found = find_spans(
        db,
        limit=SORTED if worth else ROWS,
        cursor=None if worth else query.get("cursor") or None,
        status=status if status in list(Status) else None,
        kind=kind if kind in list(SpanKind) else None,
        model=query.get("model") or None,
        key_id=(query.get("key") or None) if key.admin else key.id,
        team=query.get("team") or None,
        app=query.get("app") or None,
        min_ms=milliseconds(query.get("over", "")),
        since_ns=int((utc_now() - since[1]).timestamp() * 1e9) if since else None,
        text=query.get("q") or None,
        # Parts of a trace show only to those who look for what only a part has.
        roots_only=not any(query.get(name) for name in ("q", "model", "kind")),
    )
    rows = add_up(db, found.rows)
    if query.get("q"):
        # Whoever may not read a text may not find out by searching that a word is in it.
        over = marks_of(db, rows)
        rows = [one for one in rows if over.get(one.trace_id, Label.PUBLIC) <= key.clearance]
    if worth is None:
        return Listing(rows, marks_of(db, rows), found.next, None)
    highest = sorted(rows, key=lambda span: worth(span) or 0, reverse=True)[:ROWS]
    return Listing(highest, marks_of(db, highest), None, len(rows))


routes = [Route("/traces", show)]
