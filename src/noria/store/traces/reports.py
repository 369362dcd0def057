"""What was called and what it cost, from the roll-ups. Take in first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, select

from noria.store.database import Database
from noria.store.intake.rollups import DAY, DAY_NS, HOUR, HOUR_NS, percentile
from noria.store.tables.core import latencies, rollups

__all__ = [
    "IS_CALL",
    "AppGroup",
    "Bucket",
    "Counter",
    "Group",
    "Overview",
    "by_app",
    "counters",
    "overview",
    "tally",
]


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
class AppGroup:
    """One application: its runs, and the calls of models that were made in them."""

    name: str
    runs: int
    errors: int
    """Runs that failed or were lost."""
    calls: int
    cost_nano: int
    input_tokens: int
    output_tokens: int
    series: list[int]
    """Runs in each bucket of the time asked for."""


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
    by_team_series: dict[str, list[int]]
    """The same for each team."""


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


# Calls of a model. The spans round them (apps, steps, searches, ...) cost nothing of their own.
IS_CALL = rollups.c.kind.in_(("chat", "embedding"))


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
        IS_CALL,
    )
    with db.read() as connection:
        sums = connection.execute(
            select(rollups.c.start_ns, rollups.c.model.label("name"), *_GROUP_SUMS)
            .where(*shown)
            .group_by(rollups.c.start_ns, rollups.c.model)
        ).all()
        teams = connection.execute(
            select(rollups.c.start_ns, rollups.c.team.label("name"), *_GROUP_SUMS)
            .where(*shown)
            .group_by(rollups.c.start_ns, rollups.c.team)
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
    by_model, by_team = _groups(sums), _groups(teams)
    every = [pair for pairs in buckets_at.values() for pair in pairs]
    return Overview(
        calls=sum(bucket.calls for bucket in series),
        errors=sum(bucket.errors for bucket in series),
        p50_ms=percentile(every, 0.5),
        p99_ms=percentile(every, 0.99),
        cost_nano=sum(bucket.cost_nano for bucket in series),
        series=series,
        by_model=by_model,
        by_team=by_team,
        by_model_series=_costs(sums, by_model, starts),
        by_team_series=_costs(teams, by_team, starts),
    )


def by_app(
    db: Database, since_ns: int, until_ns: int, bucket: Literal["hour", "day"] = "hour"
) -> list[AppGroup]:
    """The applications that ran in `[since, until)`, out to whole buckets, the busiest first."""
    grain, width = (HOUR, HOUR_NS) if bucket == "hour" else (DAY, DAY_NS)
    since, until = since_ns - since_ns % width, -(-until_ns // width) * width
    runs = rollups.c.kind == "app"
    with db.read() as connection:
        rows = connection.execute(
            select(rollups.c.start_ns, rollups.c.app.label("name"), runs.label("run"), *_GROUP_SUMS)
            .where(
                rollups.c.grain == grain,
                rollups.c.start_ns >= since,
                rollups.c.start_ns < until,
                rollups.c.app != "",
                runs | IS_CALL,
            )
            .group_by(rollups.c.start_ns, rollups.c.app, runs)
        ).all()
    starts = range(since, until, width)
    begun: dict[tuple[int, str], int] = {
        (row.start_ns, row.name): int(row.calls) for row in rows if row.run
    }
    calls = {group.name: group for group in _groups(row for row in rows if not row.run)}
    groups = []
    for run in _groups(row for row in rows if row.run):
        call = calls.get(run.name)
        groups.append(
            AppGroup(
                run.name, run.calls, run.errors,
                call.calls if call else 0,
                call.cost_nano if call else 0,
                call.input_tokens if call else 0,
                call.output_tokens if call else 0,
                [begun.get((start, run.name), 0) for start in starts],
            )
        )  # fmt: skip
    return sorted(groups, key=lambda group: (-group.runs, group.name))


def tally(
    db: Database, by: Literal["kind", "app", "model", "team"], key_id: str | None = None
) -> dict[str, int]:
    """How many spans there are of each kind, runs of each application, or calls of each model or
    team, the most first. Those without a name are left out.

    Args:
        db: the database.
        by: what to count.
        key_id: only what this key did.
    """
    column, number = rollups.c[by], func.sum(rollups.c.calls)
    where = [rollups.c.grain == DAY, column != ""]
    if by == "app":
        where.append(rollups.c.kind == "app")
    elif by != "kind":
        where.append(IS_CALL)
    if key_id is not None:
        where.append(rollups.c.key_id == key_id)
    with db.read() as connection:
        rows = connection.execute(select(column, number).where(*where).group_by(column)).all()
    return dict(sorted(((name, int(n)) for name, n in rows), key=lambda row: (-row[1], row[0])))


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


def _costs(
    rows: Iterable[Row[Any]], groups: Iterable[Group], starts: Iterable[int]
) -> dict[str, list[int]]:
    """For each name its cost in each bucket."""
    costs = {(row.start_ns, row.name): int(row.cost_nano) for row in rows}
    return {group.name: [costs.get((start, group.name), 0) for start in starts] for group in groups}


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
