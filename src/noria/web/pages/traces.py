"""What was called: the newest first, filtered by the address, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.types import SpanKind, Status, utc_now
from noria.web.render import context_of, in_thread, key_of, page

if TYPE_CHECKING:
    from noria.store import Database, Key, Page, SpendRow

__all__ = ["routes"]

ROWS = 50
_SINCE = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min)?\s*")
_UNITS = {None: 1.0, "ms": 1.0, "s": 1000.0, "min": 60_000.0}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters offer. A model and a team come with the number of their calls."""

    models: list[SpendRow]
    teams: list[SpendRow]
    keys: list[Key]


async def show(request: Request) -> Response:
    """One page of the spans that meet the filters of the address."""
    context, key = context_of(request), key_of(request)
    await in_thread(context.take_in)
    query = request.query_params
    found = await in_thread(_find, context.db, query, None if key.admin else key.id)
    # htmx only takes the rows of the answer: the filters are on the screen already.
    partial = "hx-request" in request.headers
    choices = (
        Choices([], [], []) if partial or not key.admin else await in_thread(_choices, context.db)
    )
    values = {
        "found": found,
        "filters": _filters(choices, context.catalogue.names()),
        "filtered": any(query.get(name) for name in _FILTERS),
    }
    return page(request, "traces.html", values)


def _filters(choices: Choices, models: list[str]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Name, what it says while it is not set, and the options of each filter."""
    keys = [(key.id, f"{key.name or key.user or key.team or 'key'} …{key.hint}")
            for key in choices.keys]  # fmt: skip
    filters = [
        ("status", "Any status", [(str(one), str(one)) for one in Status]),
        ("model", "Any model", _counted(choices.models) or [(name, name) for name in models]),
        ("team", "Any team", _counted(choices.teams)),
        ("key", "Any key", keys),
        ("kind", "Any kind", [(str(one), str(one)) for one in SpanKind]),
        ("since", "Any time", [(name, title) for name, (title, _) in _SINCE.items()]),
    ]
    return [one for one in filters if one[2]]


def _counted(rows: list[SpendRow]) -> list[tuple[str, str]]:
    return [(row.name, f"{row.name} ({row.calls:,})") for row in rows]


_FILTERS = ("q", "status", "model", "key", "team", "kind", "over", "since")


def milliseconds(text: str) -> float | None:
    """A duration that a person typed: `250`, `250 ms`, `1.5 s`; None for anything else."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def _find(db: Database, query: object, own_key: str | None) -> Page:
    from starlette.datastructures import QueryParams

    from noria.store import find_spans

    assert isinstance(query, QueryParams)
    status, kind = query.get("status"), query.get("kind")
    since = _SINCE.get(query.get("since", ""))
    return find_spans(
        db,
        limit=ROWS,
        cursor=query.get("cursor") or None,
        status=status if status in list(Status) else None,
        kind=kind if kind in list(SpanKind) else None,
        model=query.get("model") or None,
        key_id=own_key or query.get("key") or None,
        team=query.get("team") or None,
        min_ms=milliseconds(query.get("over", "")),
        since_ns=int((utc_now() - since[1]).timestamp() * 1e9) if since else None,
        text=query.get("q") or None,
        # Parts of a trace show only to those who look for what only a part has.
        roots_only=not any(query.get(name) for name in ("q", "model", "kind")),
    )


def _choices(db: Database) -> Choices:
    from noria.store import list_keys, spend

    return Choices(
        [row for row in spend(db, "model") if row.name],
        [row for row in spend(db, "team") if row.name],
        list_keys(db),
    )


routes = [Route("/traces", show)]
