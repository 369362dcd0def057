"""Who or what has spent how much, beside what its budget allows. Take in first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Connection, case, func, literal_column, select

from noria.store.budgets.budgets import budget_of
from noria.store.database import Database
from noria.store.intake.rollups import DAY_NS, HOUR_NS, within
from noria.store.tables.core import budget_windows, budgets, holds, rollups, spans
from noria.store.traces.reports import IS_CALL
from noria.types import Budget, Subject, Window, from_nanoseconds, nanoseconds, utc_now

__all__ = ["SpendRow", "spend"]

# Spelled out: Postgres takes two parameters for two values, and so for two groupings.
_A_DAY: ColumnElement[int] = literal_column(str(DAY_NS), BigInteger)
By = Literal["key", "team", "user", "model", "app", "day"]
_COLUMN = {"key": "key_id", "team": "team", "user": "user", "model": "model", "app": "app"}
_CALLS = func.coalesce(func.sum(case((IS_CALL, rollups.c.calls), else_=0)), 0).label("calls")


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What one key, team, user, model or app has spent, or what one day has cost."""

    name: str
    """A key's id, a name, or a day as `2026-11-24` (UTC)."""
    calls: int
    input_tokens: int
    output_tokens: int
    spent_nano: int
    uncertain_nano: int
    """Of it, charged for attempts that were sent and got no answer."""
    held_nano: int
    """Held for calls that are under way."""
    limit_nano: int | None
    """Of the budget that stands on it; None if there is none."""
    window: Window | None
    window_spent_nano: int | None
    """Spent in that budget's present window."""


def spend(
    db: Database, by: By, since_ns: int | None = None, until_ns: int | None = None
) -> list[SpendRow]:
    """What was spent, the most first (by day: the newest first).

    Args:
        db: the database.
        by: what each row is about. Those with a budget have a row even if they spent nothing.
        since_ns: from this instant's hour on.
        until_ns: up to this instant's hour.
    """
    if by == "day":
        group: ColumnElement[Any] = rollups.c.start_ns - rollups.c.start_ns % _A_DAY
    else:
        group = rollups.c[_COLUMN[by]]
    with db.read() as connection:
        sums = connection.execute(
            select(
                group.label("name"),
                _CALLS,
                func.sum(rollups.c.input_tokens).label("input_tokens"),
                func.sum(rollups.c.output_tokens).label("output_tokens"),
                func.sum(rollups.c.cost_nano).label("cost_nano"),
                func.sum(rollups.c.uncertain_nano).label("uncertain_nano"),
            )
            .where(within(since_ns, until_ns))
            .group_by(group)
        ).all()
        held = _held(connection, by, since_ns, until_ns)
        limits = {} if by == "day" else _limits(connection, Subject(by))
    found = {row.name: row for row in sums}
    rows = []
    for name in {*found, *held, *limits}:
        budget, window_spent = limits.get(name, (None, None))
        row = found.get(name)
        rows.append(
            SpendRow(
                name=f"{from_nanoseconds(name):%Y-%m-%d}" if by == "day" else name,
                calls=int(row.calls) if row else 0,
                input_tokens=int(row.input_tokens) if row else 0,
                output_tokens=int(row.output_tokens) if row else 0,
                spent_nano=int(row.cost_nano) if row else 0,
                uncertain_nano=int(row.uncertain_nano) if row else 0,
                held_nano=held.get(name, 0),
                limit_nano=int(budget.limit) if budget else None,
                window=budget.window if budget else None,
                window_spent_nano=window_spent,
            )
        )
    rows.sort(key=lambda row: row.name)
    if by == "day":
        return rows[::-1]
    return sorted(rows, key=lambda row: row.spent_nano, reverse=True)


def _held(
    connection: Connection, by: By, since_ns: int | None, until_ns: int | None
) -> dict[Any, int]:
    """What the calls under way hold, by name (by day: by its start)."""
    at = spans.c.at
    group = at - at % _A_DAY if by == "day" else func.coalesce(spans.c[_COLUMN[by]], "")
    query = select(group, func.sum(holds.c.hold_nano)).join(spans, at == holds.c.at)
    if since_ns is not None:
        query = query.where(at >= since_ns - since_ns % HOUR_NS)
    if until_ns is not None:
        query = query.where(at < -(-until_ns // HOUR_NS) * HOUR_NS)
    return {name: int(amount) for name, amount in connection.execute(query.group_by(group))}


def _limits(
    connection: Connection, subject: Subject
) -> dict[Any, tuple[Budget | None, int | None]]:
    """The budgets on a kind of subject, with what is spent in their present windows."""
    now = utc_now()
    found: dict[Any, tuple[Budget | None, int | None]] = {}
    rows = connection.execute(
        select(budgets).where(budgets.c.subject == str(subject), budgets.c.limit_nano.is_not(None))
    ).all()
    for row in rows:
        start = nanoseconds(Window(row.window).start(now))
        spent = connection.execute(
            select(budget_windows.c.settled_nano).where(
                budget_windows.c.budget_id == row.id, budget_windows.c.start_ns == start
            )
        ).scalar()
        found[row.name] = (budget_of(row), int(spent or 0))
    return found
