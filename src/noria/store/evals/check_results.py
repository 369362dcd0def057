"""What checks found: pass rates with their intervals, hour by hour, and the alerts of their falls.

The rate is the share of answers that passed of those that passed or failed. Skipped checks, and
those that could not be made, say nothing of an answer: they are counted beside it. Take in first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from noria.ids import new_span_id
from noria.statistics import Interval, wilson
from noria.store.database import Database
from noria.store.tables.governance import alerts, verdicts

__all__ = [
    "Alert",
    "CheckHour",
    "CheckRate",
    "alert_delivered",
    "alert_failed",
    "check_history",
    "check_rates",
    "latest_rate",
    "list_alerts",
    "record_alert",
]

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class CheckRate:
    """How a check came out over some time."""

    app: str
    check: str
    passed: int
    failed: int
    skipped: int
    """There was nothing to look at, or the judge is not cleared for what was read."""
    errors: int
    """The check itself failed."""

    @property
    def total(self) -> int:
        """Answers that passed or failed."""
        return self.passed + self.failed

    @property
    def rate(self) -> Interval:
        """The share that passed, with its 95 % interval."""
        return wilson(self.passed, self.total)


@dataclass(frozen=True, slots=True)
class CheckHour:
    """How a check came out in one hour that had any."""

    start_ns: int
    passed: int
    failed: int
    skipped: int
    errors: int


@dataclass(frozen=True, slots=True)
class Alert:
    """A fall of a check's pass rate, and whether somebody was told. Times are UTC nanoseconds."""

    id: str
    at_ns: int
    app: str
    check: str
    passed: int
    total: int
    at_least: float
    delivered_ns: int | None
    error: str | None
    """Why the webhook could not be told."""


_OUTCOMES = ("pass", "fail", "skip", "error")


def _counts(outcome: Any) -> list[Any]:
    return [
        func.count().filter(outcome == name).label(label)
        for name, label in zip(_OUTCOMES, ("passed", "failed", "skipped", "errors"), strict=True)
    ]


def check_rates(
    db: Database, *, app: str | None = None, since_ns: int | None = None
) -> list[CheckRate]:
    """Every check that came out somehow since an instant, by application and name."""
    by = (verdicts.c.app, verdicts.c.check)
    query = select(*by, *_counts(verdicts.c.outcome)).group_by(*by).order_by(*by)
    if app is not None:
        query = query.where(verdicts.c.app == app)
    if since_ns is not None:
        query = query.where(verdicts.c.at >= since_ns)
    with db.read() as connection:
        return [CheckRate(*row) for row in connection.execute(query)]


def check_history(db: Database, app: str, check: str, since_ns: int) -> list[CheckHour]:
    """How a check came out in each hour since an instant, oldest first, without
    those that had none."""
    start = (verdicts.c.at - verdicts.c.at % HOUR_NS).label("start")
    query = (
        select(start, *_counts(verdicts.c.outcome))
        .where(verdicts.c.app == app, verdicts.c.check == check, verdicts.c.at >= since_ns)
        .group_by(start)
        .order_by(start)
    )
    with db.read() as connection:
        return [CheckHour(*row) for row in connection.execute(query)]


def latest_rate(
    db: Database, app: str, check: str, *, most: int = 200, since_ns: int = 0
) -> CheckRate:
    """How a check came out at its last answers, at most so many and none before an instant."""
    newest = (
        select(verdicts.c.outcome)
        .where(verdicts.c.app == app, verdicts.c.check == check, verdicts.c.at >= since_ns)
        .order_by(verdicts.c.at.desc())
        .limit(most)
        .subquery()
    )
    with db.read() as connection:
        row = connection.execute(select(*_counts(newest.c.outcome))).one()
    return CheckRate(app, check, *row)


def record_alert(db: Database, rate: CheckRate, at_least: float) -> Alert:
    """Write down that a check's pass rate has fallen."""
    alert = Alert(
        new_span_id(), time.time_ns(), rate.app, rate.check, rate.passed, rate.total, at_least,
        None, None,
    )  # fmt: skip
    with db.write() as connection:
        connection.execute(
            insert(alerts).values(
                id=alert.id, at=alert.at_ns, app=alert.app, check=alert.check,
                passed=alert.passed, total=alert.total, at_least=at_least,
            )
        )  # fmt: skip
    return alert


def alert_delivered(db: Database, alert_id: str) -> None:
    """Write down that somebody was told."""
    _change(db, alert_id, delivered_ns=time.time_ns(), error=None)


def alert_failed(db: Database, alert_id: str, why: str) -> None:
    """Write down why nobody could be told."""
    _change(db, alert_id, error=why)


def list_alerts(
    db: Database, *, app: str | None = None, check: str | None = None, limit: int = 100
) -> list[Alert]:
    """The alerts, newest first."""
    query = select(alerts).order_by(alerts.c.at.desc()).limit(limit)
    if app is not None:
        query = query.where(alerts.c.app == app)
    if check is not None:
        query = query.where(alerts.c.check == check)
    with db.read() as connection:
        return _alerts(connection.execute(query).all())


def _alerts(rows: Sequence[Row[Any]]) -> list[Alert]:
    return [
        Alert(
            row.id, row.at, row.app, row.check, row.passed, row.total, row.at_least,
            row.delivered_ns, row.error,
        )
        for row in rows
    ]  # fmt: skip


def _change(db: Database, alert_id: str, **values: Any) -> None:
    with db.write() as connection:
        connection.execute(update(alerts).where(alerts.c.id == alert_id).values(**values))
