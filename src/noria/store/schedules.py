"""When tasks are due, and what became of it. Each due time has one row, whoever works on it.

A row waits until its time has come; whichever process turns it from `waiting` into `running` runs
it, so that a task runs once however many processes and machines serve its application.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select, text, update

from noria.store.database import Database, insert_into
from noria.store.tables.governance import schedules

__all__ = [
    "Firing",
    "claim_firing",
    "end_firing",
    "list_firings",
    "miss_firings",
    "plan_firing",
    "waiting_firings",
]

_KEPT_MISSES = 100


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that a task was, or will be, due. Instants are UTC nanoseconds since the epoch."""

    app: str
    task: str
    due_ns: int
    status: str
    """`waiting`, `running`, `ok`, `error` or `missed`."""
    holder: str | None
    started_ns: int | None
    ended_ns: int | None
    trace_id: str | None
    error: str | None


def plan_firing(db: Database, app: str, task: str, due_ns: int) -> None:
    """Let a task be due next at an instant. What waits for a later one is dropped: the schedule
    has changed.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        connection.execute(
            delete(schedules).where(
                schedules.c.app == app,
                schedules.c.task == task,
                schedules.c.status == "waiting",
                schedules.c.due_ns > due_ns,
            )
        )
        connection.execute(
            insert_into(connection, schedules)
            .values(app=app, task=task, due_ns=due_ns, status="waiting")
            .on_conflict_do_nothing()
        )


def claim_firing(
    db: Database, app: str, task: str, due_ns: int, holder: str, trace_id: str
) -> bool:
    """Take a due time for oneself; False where somebody else has it.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        taken = connection.execute(
            update(schedules)
            .where(_at(app, task, due_ns), schedules.c.status == "waiting")
            .values(status="running", holder=holder, trace_id=trace_id, started_ns=time.time_ns())
        )
    return taken.rowcount == 1


def end_firing(db: Database, app: str, task: str, due_ns: int, error: str | None) -> None:
    """Note how a run that was due ended; `error` is None where it went well.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        connection.execute(
            update(schedules)
            .where(_at(app, task, due_ns))
            .values(status="error" if error else "ok", ended_ns=time.time_ns(), error=error)
        )


def waiting_firings(db: Database, app: str, task: str) -> list[int]:
    """The due times that nobody has taken yet, the earliest first.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        found = connection.execute(
            select(schedules.c.due_ns)
            .where(
                schedules.c.app == app,
                schedules.c.task == task,
                schedules.c.status == "waiting",
            )
            .order_by(schedules.c.due_ns)
        )
        return [int(due) for due in found.scalars()]


def miss_firings(db: Database, app: str, task: str, dues_ns: Collection[int]) -> None:
    """Note due times at which nobody was there. What waits for one of them is missed; what ran
    stays as it was. Runs whose process died are closed as well.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.write() as connection:
        for due_ns in sorted(dues_ns)[-_KEPT_MISSES:]:
            connection.execute(
                insert_into(connection, schedules)
                .values(app=app, task=task, due_ns=due_ns, status="missed")
                .on_conflict_do_update(
                    index_elements=["app", "task", "due_ns"],
                    set_={"status": "missed"},
                    where=schedules.c.status == "waiting",
                )
            )
        connection.execute(
            text(
                "UPDATE schedules SET status = 'error', error = 'its process died'"
                " WHERE app = :app AND task = :task AND status = 'running' AND trace_id IN"
                " (SELECT trace_id FROM spans WHERE parent_id IS NULL AND status = 'lost')"
            ),
            {"app": app, "task": task},
        )


def list_firings(db: Database, app: str, *, limit: int = 50) -> list[Firing]:
    """The latest due times of an application's tasks, the one that comes next first.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    with db.read() as connection:
        rows = connection.execute(
            select(
                schedules.c.app,
                schedules.c.task,
                schedules.c.due_ns,
                schedules.c.status,
                schedules.c.holder,
                schedules.c.started_ns,
                schedules.c.ended_ns,
                schedules.c.trace_id,
                schedules.c.error,
            )
            .where(schedules.c.app == app)
            .order_by(schedules.c.due_ns.desc(), schedules.c.task)
            .limit(limit)
        ).all()
    return [Firing(*row) for row in rows]


def _at(app: str, task: str, due_ns: int) -> ColumnElement[bool]:
    return (schedules.c.app == app) & (schedules.c.task == task) & (schedules.c.due_ns == due_ns)
