"""What was called and what it cost, from the roll-ups. Take in first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    case,
    func,
    literal_column,
    select,
)

from noria.store.budgets import budget_of, nanoseconds
from noria.store.database import Database
from noria.store.rollups import DAY, DAY_NS, HOUR, HOUR_NS, percentile, within
from noria.store.schema import budget_windows, budgets, holds, latencies, rollups, spans
from noria.types import Budget, Subject, Window, from_nanoseconds, utc_now

__all__ = [
    "Bucket",
    "Counter",
    "Group",
    "Overview",
    "SpendRow",
    "counters",
    "overview",
    "spend",
]


@dataclass(frozen=True, slots=True)
class SpendRow:
    """What one key, team, user or model has spent, or what one day has cost."""

    name: str
    """A key's id, a name, or a day as `2026-11-24` (UTC)."""
    calls: int
    input_tokens: int
    output_tokens: int
    spent_nano: int
    held_nano: int
    """Held for calls that are under way."""
    limit_nano: int | None
    """Of the budget that stands on it; None if there is none."""
    window: Window | None
    window_spent_nano: int | None
    """Spent in that budget's present window."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One hour or day."""

    start_ns: int
    calls: int
    errors: int
    cost_nano: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """One model or team."""

    name: str
    calls: int
    errors: int
    cost_nano: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What happened in a span of time. Errors are calls that failed or were lost."""

    calls: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    cost_nano: int
    series: list[Bucket]
    """Every bucket of the time asked for, in order, empty ones too."""
    by_model: list[Group]
    by_team: list[Group]
    by_model_series: dict[str, list[int]]
    """For each model its cost in each bucket of `series`."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Totals since the store began, for one model, target and kind."""

    model: str
    target: str
    kind: str
    calls: int
    errors: int
    refused: int
    input_tokens: int
    output_tokens: int
    cost_nano: int


# Spelled out: Postgres takes two parameters for two values, and so for two groupings.
_A_DAY: ColumnElement[int] = literal_column(str(DAY_NS), BigInteger)
By = Literal["key", "team", "user", "model", "day"]
_COLUMN = {"key": "key_id", "team": "team", "user": "user", "model": "model"}
# Calls of a model. The spans round them (apps, steps, searches, ...) cost nothing of their own.
_IS_CALL = rollups.c.kind.in_(("chat", "embedding"))
_CALLS = func.coalesce(func.sum(case((_IS_CALL, rollups.c.calls), else_=0)), 0).label("calls")


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


def overview(
    db: Database, since_ns: int, until_ns: int, bucket: Literal["hour", "day"] = "hour"
) -> Overview:
    """Everything that the first page shows of `[since, until)`, out to whole buckets."""
    grain, width = (HOUR, HOUR_NS) if bucket == "hour" else (DAY, DAY_NS)
    since, until = since_ns - since_ns % width, -(-until_ns // width) * width
    shown = (
        rollups.c.grain == grain,
        rollups.c.start_ns >= since,
        rollups.c.start_ns < until,
        _IS_CALL,
    )
    with db.read() as connection:
        sums = connection.execute(
            select(rollups.c.start_ns, rollups.c.model.label("name"), *_GROUP_SUMS)
            .where(*shown)
            .group_by(rollups.c.start_ns, rollups.c.model)
        ).all()
        teams = connection.execute(
            select(rollups.c.team.label("name"), *_GROUP_SUMS)
            .where(*shown)
            .group_by(rollups.c.team)
        ).all()
        durations = connection.execute(
            select(latencies.c.start_ns, latencies.c.bucket, func.sum(latencies.c.calls))
            .where(
                latencies.c.grain == grain,
                latencies.c.start_ns >= since,
                latencies.c.start_ns < until,
            )
            .group_by(latencies.c.start_ns, latencies.c.bucket)
        ).all()
    starts = range(since, until, width)
    buckets_at: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start, number, calls in durations:
        buckets_at[start].append((number, int(calls)))
    rows_at: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in sums:
        rows_at[row.start_ns].append(row)
    series = [
        Bucket(
            start_ns=start,
            calls=sum(int(row.calls) for row in rows_at[start]),
            errors=sum(int(row.errors) for row in rows_at[start]),
            cost_nano=sum(int(row.cost_nano) for row in rows_at[start]),
            p50_ms=percentile(buckets_at[start], 0.5),
            p99_ms=percentile(buckets_at[start], 0.99),
        )
        for start in starts
    ]
    costs = {(row.start_ns, row.name): int(row.cost_nano) for row in sums}
    by_model = _groups(sums)
    every = [pair for pairs in buckets_at.values() for pair in pairs]
    return Overview(
        calls=sum(bucket.calls for bucket in series),
        errors=sum(bucket.errors for bucket in series),
        p50_ms=percentile(every, 0.5),
        p99_ms=percentile(every, 0.99),
        cost_nano=sum(bucket.cost_nano for bucket in series),
        series=series,
        by_model=by_model,
        by_team=_groups(teams),
        by_model_series={
            group.name: [costs.get((start, group.name), 0) for start in starts]
            for group in by_model
        },
    )


def counters(db: Database) -> list[Counter]:
    """Running totals for `/metrics`."""
    with db.read() as connection:
        rows = connection.execute(
            select(
                rollups.c.model,
                rollups.c.target,
                rollups.c.kind,
                func.sum(rollups.c.refused).label("refused"),
                *_GROUP_SUMS,
            )
            .where(rollups.c.grain == DAY)
            .group_by(rollups.c.model, rollups.c.target, rollups.c.kind)
            .order_by(rollups.c.model, rollups.c.target, rollups.c.kind)
        )
        return [
            Counter(
                model=row.model,
                target=row.target,
                kind=row.kind,
                calls=int(row.calls),
                errors=int(row.errors),
                refused=int(row.refused),
                input_tokens=int(row.input_tokens),
                output_tokens=int(row.output_tokens),
                cost_nano=int(row.cost_nano),
            )
            for row in rows
        ]


_GROUP_SUMS = tuple(
    func.sum(rollups.c[name]).label(name)
    for name in ("calls", "errors", "cost_nano", "input_tokens", "output_tokens")
)


def _groups(rows: Iterable[Row[Any]]) -> list[Group]:
    """The rows added up by name, the most expensive first."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in rows:
        for index, name in enumerate(
            ("calls", "errors", "cost_nano", "input_tokens", "output_tokens")
        ):
            totals[row.name][index] += int(row._mapping[name])
    groups = [Group(name, *values) for name, values in sorted(totals.items())]
    return sorted(groups, key=lambda group: (group.cost_nano, group.calls), reverse=True)


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
