"""What was spent, by whom or on what, beside what may be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from noria.types import Subject, from_nanoseconds, utc_now
from noria.web.draw.charts import Series, bars
from noria.web.render import RANGES, chosen_range, context_of, in_thread, key_of, page, shades_of

if TYPE_CHECKING:
    from noria.store import BudgetStatus, Database, Key, SpendRow

__all__ = ["routes"]

By = Literal["key", "team", "user", "model", "app", "day"]
_BY: tuple[By, ...] = ("team", "user", "key", "model", "app", "day")
_DAY_NS = 86_400_000_000_000


async def show(request: Request) -> Response:
    """Rows by team, user, key, model, app or day. A key that is no administrator's sees its own row
    and the budgets that its calls must fit."""
    context, key = context_of(request), key_of(request)
    chosen = chosen_range(request, "30d")
    wanted = request.query_params.get("by", "team")
    by = wanted if wanted in _BY else "team"
    if not key.admin:
        by = "key"
    await in_thread(context.take_in)
    rows, keys, budgets = await in_thread(_read, context.db, by, chosen.since_ns, key)
    values = {
        "rows": rows,
        "by": by,
        "tabs_by": _BY,
        "keys": keys,
        "budgets": budgets,
        "shades": await in_thread(shades_of, request, by)
        if by in ("team", "model") and key.admin
        else {},
        "largest": max((row.spent_nano for row in rows), default=0),
        "total": sum(row.spent_nano for row in rows),
        "held": sum(row.held_nano for row in rows),
        "calls": sum(row.calls for row in rows),
        "tokens": sum(row.input_tokens + row.output_tokens for row in rows),
        "ranges": RANGES,
        "range": chosen,
        "days": _days(rows, chosen.since_ns) if by == "day" else None,
    }
    return page(request, "spend.html", values)


def _read(
    db: Database, by: By, since_ns: int, key: Key
) -> tuple[list[SpendRow], dict[str, Key], list[BudgetStatus]]:
    from noria.store import budget_status, list_keys, spend

    rows = spend(db, by, since_ns)
    if key.admin:
        return rows, {one.id: one for one in list_keys(db)} if by == "key" else {}, []
    mine = [row for row in rows if row.name == key.id]
    stands_on = {
        (Subject.KEY, key.id),
        (Subject.TEAM, key.team),
        (Subject.USER, key.user),
    }
    budgets = [
        status for status in budget_status(db) if (status.row.subject, status.row.name) in stands_on
    ]
    return mine, {key.id: key}, budgets


def _days(rows: list[SpendRow], since_ns: int) -> object:
    """The days as a chart, those without a call too."""
    spent = {row.name: row.spent_nano for row in rows}
    end = int(utc_now().timestamp() * 1e9)
    starts = list(range(since_ns - since_ns % _DAY_NS, end, _DAY_NS))
    names = [_day(start) for start in starts]
    series = [Series("spend", "s0", [spent.get(name, 0) for name in names])]
    return bars("Spend by day", series, starts, daily=True, mark="money")


def _day(start_ns: int) -> str:
    return from_nanoseconds(start_ns).strftime("%Y-%m-%d")


routes = [Route("/spend", show)]
