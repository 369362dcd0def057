"""The applications: where each stands, how it is called, and how well it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from pathlib import PurePath
from statistics import mean, median, stdev
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.apps.serve.manifest import Manifest, read_apps
from noria.gateway.core import may_use
from noria.types import Span, SpanKind
from noria.web.doors import doors_of, parameters_of
from noria.web.draw.charts import Day
from noria.web.render import Range, chosen_range, context_of, in_thread, key_of, page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noria.store import Database, Key
    from noria.store.evals.check_results import Alert, CheckRate
    from noria.store.schedules import Firing
    from noria.store.traces.reports import AppGroup

__all__ = ["app_of", "apps_of", "routes"]

_LATEST = 200
"""Runs that the cost of an answer is taken from."""
_SHOWN = 12
_DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Work:
    """What an application has done lately, as far as who looks may know."""

    latest: Sequence[Span]
    """Runs, the newest first, with all that was called in them added up."""
    group: AppGroup | None
    rates: dict[str, CheckRate]
    """How each check has come out."""
    days: dict[str, Sequence[Day]]
    """The same, day by day."""
    alerts: Sequence[Alert]
    firings: Sequence[Firing]

    @property
    def cost_nano(self) -> float | None:
        """The mean cost of the latest answers, in nano-dollars."""
        return mean(span.cost_nano for span in self.latest) if self.latest else None

    @property
    def cost_half_nano(self) -> float | None:
        """Half of the 95 % interval of that mean."""
        if len(self.latest) < 2:
            return None
        return 1.96 * stdev(span.cost_nano for span in self.latest) / sqrt(len(self.latest))

    @property
    def middle_ms(self) -> float | None:
        """Half of the latest answers took less."""
        took = [span.duration_ms for span in self.latest if span.duration_ms is not None]
        return median(took) if took else None


def apps_of(request: Request) -> dict[str, Manifest]:
    """The applications that the browser's key may call, by name. Where their files lie, and what
    is wrong in them, is told to administrators alone."""
    key = key_of(request)
    return {
        name: app if key.admin else _from_outside(app)
        for name, app in sorted(read_apps(context_of(request).home).items())
        if may_use(key, name) or any(may_use(key, f"{name}@{one}") for one in app.variants)
    }


def _from_outside(app: Manifest) -> Manifest:
    error = "There is a mistake in its file; an administrator sees which." if app.error else None
    return replace(app, file=PurePath(app.file).name, line=None, error=error)


def app_of(request: Request) -> Manifest:
    """The application that the address names.

    Raises:
        HTTPException: 404, if there is none that the key may call.
    """
    found = apps_of(request).get(request.path_params["name"])
    if found is None:
        raise HTTPException(404, "There is no application of this name that this key may call.")
    return found


async def index(request: Request) -> Response:
    """All of them."""
    context, key = context_of(request), key_of(request)
    await in_thread(context.take_in)
    apps = apps_of(request)
    week = chosen_range(request, "7d")
    groups = await in_thread(_groups, context.db, week) if key.admin else {}
    return page(request, "apps.html", {"apps": list(apps.values()), "groups": groups})


async def show(request: Request) -> Response:
    """One of them: its doors, checks, latest runs, schedules."""
    context, key, app = context_of(request), key_of(request), app_of(request)
    await in_thread(context.take_in)
    wanted = request.query_params.get("function")
    function = app.function(wanted) if wanted else app.chat or next(iter(app.functions), None)
    week = chosen_range(request, "7d")
    work = await in_thread(_work, context.db, key, app, week)
    values = {
        "app": app,
        "function": function,
        "parameters": parameters_of(function) if function else [],
        "doors": doors_of(app, function, str(request.base_url)) if function else [],
        "work": work,
        "shown": work.latest[:_SHOWN],
        "range": week,
    }
    return page(request, "app.html", values)


def _groups(db: Database, week: Range) -> dict[str, AppGroup]:
    from noria.store.traces.reports import by_app

    return {group.name: group for group in by_app(db, week.since_ns, week.until_ns, "day")}


def _work(db: Database, key: Key, app: Manifest, week: Range) -> Work:
    from noria.store import find_spans
    from noria.store.evals.check_results import check_rates, list_alerts
    from noria.store.schedules import list_firings
    from noria.store.traces.trace import add_up

    own = None if key.admin else key.id
    found = find_spans(
        db, app=app.name, kind=SpanKind.APP, roots_only=True, key_id=own, limit=_LATEST
    )
    latest = add_up(db, found.rows)
    if not key.admin:  # how it does for everybody is not theirs to know
        return Work(latest, None, {}, {}, (), ())
    rates = check_rates(db, app=app.name, since_ns=week.since_ns)
    return Work(
        latest,
        _groups(db, week).get(app.name),
        {rate.check: rate for rate in rates},
        {rate.check: _days(db, rate, week) for rate in rates},
        list_alerts(db, app=app.name, limit=_SHOWN),
        list_firings(db, app.name) if any(one.get("schedule") for one in app.functions) else (),
    )


def _days(db: Database, rate: CheckRate, week: Range) -> list[Day]:
    """A check's verdicts by day, those without one too."""
    from noria.store.evals.check_results import check_history

    days = {start: Day(start) for start in range(week.since_ns, week.until_ns, _DAY_NS)}
    for hour in check_history(db, rate.app, rate.check, week.since_ns):
        day = days.get(hour.start_ns - hour.start_ns % _DAY_NS)
        if day is not None:
            day.passed += hour.passed
            day.failed += hour.failed
            day.other += hour.skipped + hour.errors
    return list(days.values())


routes = [
    Route("/apps", index),
    Route("/apps/{name}", show),
]
