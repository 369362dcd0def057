"""How it goes: calls, errors, latency and spend over a span of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from noria.web.draw.charts import Series, bars, lines
from noria.web.render import (
    RANGES,
    Range,
    chosen_range,
    context_of,
    in_thread,
    key_of,
    must_be_admin,
    page,
    shades_of,
)

if TYPE_CHECKING:
    from noria.store import Database, Group, Overview
    from noria.store.traces.reports import AppGroup

__all__ = ["routes"]

_SHOWN = 7
"""The most that one chart tells apart; the rest is drawn as one."""


async def show(request: Request) -> Response:
    """The figures of a span of time beside those of the span before it."""
    from noria.store.journal.writer import damaged_segments

    must_be_admin(request)
    context = context_of(request)
    chosen = chosen_range(request, "24h")
    await in_thread(context.take_in)
    now, before = await in_thread(_both, context.db, chosen)
    apps = await in_thread(_apps, context.db, chosen)
    shades = await in_thread(shades_of, request, "model")
    team_shades = await in_thread(shades_of, request, "team")
    return page(
        request,
        "overview.html",
        {"now": now, "before": before, "apps": apps, "ranges": RANGES, "range": chosen}
        | {"damaged": [path.name for path in damaged_segments(context.config.home)]}
        | {"shades": shades, "team_shades": team_shades}
        | _charts(now, shades | team_shades, chosen.bucket == "day"),
    )


async def pulse(request: Request) -> Response:
    """The newest span that the browser's key may see: when it changes, the wheel turns a step."""
    from noria.store import find_spans

    key = key_of(request)
    own = None if key.admin else key.id
    found = await in_thread(find_spans, context_of(request).db, limit=1, key_id=own)
    return JSONResponse({"newest": found.rows[0].id if found.rows else None})


def _both(db: Database, chosen: Range) -> tuple[Overview, Overview]:
    from noria.store import overview

    bucket = cast(Literal["hour", "day"], chosen.bucket)
    since, until = chosen.since_ns, chosen.until_ns
    return overview(db, since, until, bucket), overview(db, since - (until - since), since, bucket)


def _apps(db: Database, chosen: Range) -> list[AppGroup]:
    from noria.store.traces.reports import by_app

    bucket = cast(Literal["hour", "day"], chosen.bucket)
    return by_app(db, chosen.since_ns, chosen.until_ns, bucket)


def _charts(now: Overview, shades: dict[str, str], daily: bool) -> dict[str, object]:
    starts = [bucket.start_ns for bucket in now.series]
    models, teams = (_largest(groups) for groups in (now.by_model, now.by_team))
    spend = _stack(now.by_model_series, models, shades)
    team_spend = _stack(now.by_team_series, teams, shades)
    calls = [
        Series("ok", "s0", [bucket.calls - bucket.errors for bucket in now.series]),
        Series("errors", "bad", [bucket.errors for bucket in now.series]),
    ]
    latency = [
        Series("p50", "s0", [bucket.p50_ms for bucket in now.series]),
        Series("p99", "s1", [bucket.p99_ms for bucket in now.series]),
    ]
    return {
        "spend": bars("Spend by model", spend, starts, daily=daily, mark="money"),
        "team_spend": bars("Spend by team", team_spend, starts, daily=daily, mark="money"),
        "calls": bars("Calls", calls, starts, daily=daily),
        "latency": lines("Latency", latency, starts, daily=daily),
    }


def _largest(groups: Sequence[Group]) -> list[str]:
    ranked = sorted(groups, key=lambda group: -group.cost_nano)
    return [group.name for group in ranked[:_SHOWN]]


def _stack(
    series: dict[str, list[int]], largest: list[str], shades: dict[str, str]
) -> list[Series]:
    """The largest as series of their own, the rest as one."""
    stacked = [
        Series(name, shades.get(name, "rest"), series[name]) for name in largest if name in series
    ]
    rest = [values for name, values in series.items() if name not in largest]
    if rest:
        stacked.append(
            Series("others", "rest", [sum(column) for column in zip(*rest, strict=True)])
        )
    return stacked


routes = [
    Route("/overview", show),
    Route("/pulse", pulse),
]
