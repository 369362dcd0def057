"""Runs of plans: one for each plan that was ever applied."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select, update

from noria.actions.plans.rules import Usage
from noria.errors import NotFound
from noria.store.budgets.budgets import nanoseconds
from noria.store.database import Database
from noria.store.tables.actions import action_plans, action_runs
from noria.types import Window, utc_now

__all__ = ["Run", "RunStatus", "find_run", "list_runs", "set_status", "usage_of"]


class RunStatus(enum.StrEnum):
    """How far a run is."""

    APPLYING = "applying"
    """Its calls are being made; after a crash, `resume` goes on."""
    RUNNING = "running"
    """All calls are made, and what they made runs."""
    DONE = "done"
    """All calls are made, and nothing of it runs."""
    PARTIAL = "partial"
    """A call has failed, and what the others made runs."""
    STUCK = "stuck"
    """Nobody can tell whether a call was carried out; a person must look."""
    UNDOING = "undoing"
    UNDONE = "undone"
    EXPIRED = "expired"
    """Undone since its time to live has ended."""

    @property
    def over(self) -> bool:
        """Whether nothing of it can run any more."""
        return self in (RunStatus.DONE, RunStatus.UNDONE, RunStatus.EXPIRED)


@dataclass(frozen=True, slots=True)
class Run:
    """The run of a plan."""

    plan_id: str
    hash: str
    status: RunStatus
    reason: str
    begun_ns: int
    person: str
    deadline_ns: int
    ended_ns: int | None
    span_id: str
    trace_id: str
    ceiling_nano: int
    accelerator_seconds: int
    cost_nano: int | None


def find_run(db: Database, plan_id: str) -> Run:
    """The run of a plan.

    Raises:
        NotFound: it was never applied.
    """
    with db.read() as connection:
        row = connection.execute(
            select(action_runs).where(action_runs.c.plan_id == plan_id)
        ).one_or_none()
    if row is None:
        raise NotFound(f"The plan {plan_id} was never applied.", f"noria act apply {plan_id}")
    return _run(row)


def list_runs(
    db: Database, *, over: bool | None = None, limit: int | None = None
) -> list[Run]:  # fmt: skip
    """Runs, the newest first; only those that are over, or are not."""
    query = select(action_runs).order_by(action_runs.c.begun_ns.desc())
    if over is not None:
        ended = [str(status) for status in RunStatus if status.over]
        condition = action_runs.c.status.in_(ended)
        query = query.where(condition if over else ~condition)
    with db.read() as connection:
        return [_run(row) for row in connection.execute(query.limit(limit))]


def set_status(
    db: Database, plan_id: str, status: RunStatus, reason: str = "", **values: Any
) -> None:
    """Say how far a run is."""
    with db.write() as connection:
        connection.execute(
            update(action_runs)
            .where(action_runs.c.plan_id == plan_id)
            .values(status=str(status), reason=reason, **values)
        )


def usage_of(db: Database) -> Usage:
    """What plans come to that were applied in a window: their cost, or their ceiling while they
    run."""

    def usage(window: Window, person: str | None) -> tuple[int, int]:
        spent = func.coalesce(action_runs.c.cost_nano, action_runs.c.ceiling_nano)
        query = select(
            func.coalesce(func.sum(spent), 0),
            func.coalesce(func.sum(action_runs.c.accelerator_seconds), 0),
        ).where(action_runs.c.begun_ns >= nanoseconds(window.start(utc_now())))
        if person is not None:
            query = query.where(
                action_runs.c.plan_id.in_(
                    select(action_plans.c.id).where(action_plans.c.person == person)
                )
            )
        with db.read() as connection:
            found = connection.execute(query).one()
        return int(found[0]), int(found[1])

    return usage


def _run(row: Row[Any]) -> Run:
    values: Iterable[Any] = (getattr(row, column.name) for column in action_runs.c)
    named = dict(zip((column.name for column in action_runs.c), values, strict=True))
    return Run(**named | {"status": RunStatus(row.status)})
