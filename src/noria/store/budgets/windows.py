"""Windows of budgets, and the calls that were under way when one was opened.

A call holds money of the windows that were there when it began. A budget that is set, moved to
another window, or lifted and set again meets calls that hold nothing of it. They count as well:

1. A window is opened (`open_window`) with what its subject has cost since its start.
2. Until the last call that began before has surely ended, a grant leaves out what such calls hold
   (`held_beside`).
3. When one of them is settled, the intake adds its cost to the window (`Beside`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import ColumnElement, Connection, or_, select, text, true, update

from noria.store.database import insert_into
from noria.store.intake.rollups import spent_since
from noria.store.tables.core import budget_windows, budgets, holds, leases, spans
from noria.types import Subject

__all__ = [
    "Beside",
    "held_beside",
    "lock_windows",
    "open_window",
    "opened_since",
    "reopen_windows",
]

_INTAKE_LOCK = 0x6E6F7269610002
_LONGEST_CALL_NS = 3600 * 1_000_000_000
"""After so long every call has ended that was under way when a window was opened."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A window that calls may count in without holding anything of it."""

    window: tuple[int, int]
    """The budget's id and the window's start."""
    subject: Subject
    name: str

    def counts(
        self,
        at: int,
        *,
        team: str | None,
        user: str | None,
        key_id: str | None,
        models: Sequence[str | None],
        app: str | None,
    ) -> bool:
        """Whether a call counts in it, by what it is about and when it began."""
        if at < self.window[1]:
            return False
        match self.subject:
            case Subject.INSTALLATION:
                return True
            case Subject.TEAM:
                return team == self.name
            case Subject.USER:
                return user == self.name
            case Subject.KEY:
                return key_id == self.name
            case Subject.MODEL:
                return self.name in models
            case Subject.APP:
                return app == self.name


def lock_windows(connection: Connection) -> None:
    """Keep the intake out until the transaction ends, so that what a window begins with and what
    is added to it later are all, and nothing twice."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _INTAKE_LOCK})


def open_window(
    connection: Connection, budget_id: int, subject: Subject, name: str, start_ns: int
) -> None:
    """Make a window's row, if there is none, with what was spent in it before."""
    spent = spent_since(connection, subject, name, start_ns)
    connection.execute(
        insert_into(connection, budget_windows)
        .values(
            budget_id=budget_id,
            start_ns=start_ns,
            settled_nano=spent,
            leased_nano=0,
            opened_ns=time.time_ns(),
        )
        .on_conflict_do_nothing()
    )


def reopen_windows(connection: Connection, budget_id: int, subject: Subject, name: str) -> None:
    """Count the windows of a budget anew that are still drawn on: while it was lifted, or had other
    windows, calls held nothing of them."""
    lock_windows(connection)
    mine = budget_windows.c.budget_id == budget_id
    starts = connection.execute(select(budget_windows.c.start_ns).where(mine)).scalars().all()
    for start_ns in starts:
        connection.execute(
            update(budget_windows)
            .where(mine, budget_windows.c.start_ns == start_ns)
            .values(
                settled_nano=spent_since(connection, subject, name, start_ns),
                opened_ns=time.time_ns(),
            )
        )


def opened_since(connection: Connection, at_ns: int) -> list[Beside]:
    """The windows that were opened after an instant."""
    rows = connection.execute(
        select(
            budget_windows.c.budget_id, budget_windows.c.start_ns, budgets.c.subject, budgets.c.name
        )
        .join(budgets, budgets.c.id == budget_windows.c.budget_id)
        .where(budget_windows.c.opened_ns >= at_ns)
    )
    return [
        Beside((row.budget_id, row.start_ns), Subject(row.subject), row.name or "") for row in rows
    ]


def held_beside(connection: Connection, window: Beside, opened_ns: int) -> int:
    """What calls hold that count in a window and began before it was opened, in nano-dollars."""
    if time.time_ns() - opened_ns > _LONGEST_CALL_NS:
        return 0
    own = set(
        connection.execute(
            select(leases.c.id).where(
                leases.c.budget_id == window.window[0], leases.c.start_ns == window.window[1]
            )
        ).scalars()
    )
    rows = connection.execute(
        select(holds.c.hold_nano, holds.c.leases)
        .join(spans, spans.c.at == holds.c.at)
        .where(
            holds.c.at >= window.window[1],
            holds.c.at <= opened_ns,
            _about(window),
        )
    )
    return sum(row.hold_nano for row in rows if own.isdisjoint(_ids(row.leases)))


def _about(window: Beside) -> ColumnElement[bool]:
    name = window.name
    match window.subject:
        case Subject.INSTALLATION:
            return true()
        case Subject.TEAM:
            return spans.c.team == name
        case Subject.USER:
            return spans.c.user == name
        case Subject.KEY:
            return spans.c.key_id == name
        case Subject.MODEL:
            return or_(spans.c.model == name, spans.c.target == name)
        case Subject.APP:
            return spans.c.app == name


def _ids(raw: str) -> Iterable[int]:
    ids: list[int] = orjson.loads(raw)
    return ids
