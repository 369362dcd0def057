"""Budgets: what may be spent, by whom or on what, and how much of it is gone.

`budget_windows` keeps, for each window of a budget that was ever drawn on, what is settled and
what is out on lease. `settled + leased <= limit` is kept by `leases.grant`, and intake moves money
from one to the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Table, and_, delete, select, update

from noria.config import Config
from noria.store.budgets.windows import (
    current_generation,
    lock_windows,
    reopen_windows,
)
from noria.store.database import Database, insert_into
from noria.store.generation import changing
from noria.store.tables.core import budget_windows, budgets, holds, leases, teams, users
from noria.types import Budget, Money, Subject, Window, nanoseconds, utc_now

__all__ = [
    "BudgetRow",
    "BudgetStatus",
    "budget_of",
    "budget_status",
    "ensure_named",
    "known_budgets",
    "list_budgets",
    "put_budget",
    "set_budget",
    "sync_budgets",
]


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget and what it stands on. The installation's name is the empty text."""

    id: int
    subject: Subject
    name: str
    budget: Budget


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How much of a budget's present window is gone."""

    row: BudgetRow
    window_start: datetime
    window_end: datetime | None
    """The first instant after the window; None for a total."""
    spent_nano: int
    held_nano: int
    """Held for calls that are under way. Part of `leased_nano`."""
    leased_nano: int
    """Out with the serving processes, whether a call holds it or not."""


def sync_budgets(db: Database, config: Config) -> None:
    """Make the stored budgets those of the configuration.

    A budget that has left the file is lifted; those of keys, and those that were set by command
    or page on a name that the file does not mention, stay. Teams and users of the file are made.
    """
    wanted: dict[tuple[Subject, str], Budget] = {}
    if config.budgets.installation:
        wanted[Subject.INSTALLATION, ""] = config.budgets.installation
    wanted |= {(Subject.MODEL, name): budget for name, budget in config.budgets.models.items()}
    wanted |= {(Subject.APP, name): budget for name, budget in config.budgets.apps.items()}
    for subject, sections in ((Subject.TEAM, config.teams), (Subject.USER, config.users)):
        wanted |= {(subject, name): s.budget for name, s in sections.items() if s.budget}
    with db.read() as connection:
        stored = {
            (Subject(row.subject), row.name): (budget_of(row), row.from_file)
            for row in connection.execute(select(budgets))
        }
        names = {
            (subject, name)
            for subject, table in ((Subject.TEAM, teams), (Subject.USER, users))
            for name in connection.execute(select(table.c.name)).scalars()
        }
    changed = {at: budget for at, budget in wanted.items() if stored.get(at) != (budget, True)}
    left = [at for at, (budget, mine) in stored.items() if mine and budget and at not in wanted]
    missing = {(Subject.TEAM, name) for name in config.teams} - names
    missing |= {(Subject.USER, name) for name in config.users} - names
    if not (changed or left or missing):
        return
    with changing(db) as connection:
        for subject, name in sorted(missing):
            ensure_named(connection, teams if subject is Subject.TEAM else users, name)
        for (subject, name), budget in changed.items():
            put_budget(connection, subject, name, budget, from_file=True)
        for subject, name in left:
            put_budget(connection, subject, name, None, from_file=True)


def set_budget(db: Database, subject: Subject, name: str, budget: Budget | None) -> None:
    """Set or lift (None) one budget. What was spent and leased in its windows stays counted."""
    with changing(db) as connection:
        put_budget(connection, subject, name, budget, from_file=False)


def list_budgets(db: Database) -> list[BudgetRow]:
    """The budgets that are in force."""
    return known_budgets(db)[0]


def known_budgets(db: Database) -> tuple[list[BudgetRow], int]:
    """The budgets that are in force, and the generation that they are of."""
    with db.read() as connection:
        return _rows(connection), current_generation(connection)


def budget_status(db: Database) -> list[BudgetStatus]:
    """Each budget in force with the figures of its present window. Take in first."""
    now = utc_now()
    with db.read() as connection:
        windows = {
            (row.budget_id, row.start_ns): row for row in connection.execute(select(budget_windows))
        }
        held = held_by_window(connection)
        found = []
        for row in _rows(connection):
            start = row.budget.window.start(now)
            at = (row.id, nanoseconds(start))
            window = windows.get(at)
            found.append(
                BudgetStatus(
                    row,
                    start,
                    row.budget.window.end(now),
                    window.settled_nano if window else 0,
                    held.get(at, 0),
                    window.leased_nano if window else 0,
                )
            )
        return found


def held_by_window(connection: Connection) -> dict[tuple[int, int], int]:
    """What the calls under way hold, by budget and start of the window."""
    window_of = {
        row.id: (row.budget_id, row.start_ns)
        for row in connection.execute(select(leases.c.id, leases.c.budget_id, leases.c.start_ns))
    }
    held: dict[tuple[int, int], int] = {}
    for amount, ids in connection.execute(select(holds.c.hold_nano, holds.c.leases)):
        for lease in orjson.loads(ids):
            if lease in window_of:
                held[window_of[lease]] = held.get(window_of[lease], 0) + amount
    return held


def budget_of(row: Row[Any]) -> Budget | None:
    """The budget in a row with `limit_nano` and `window`; None if it was lifted."""
    return None if row.limit_nano is None else Budget(Money(row.limit_nano), Window(row.window))


def put_budget(
    connection: Connection,
    subject: Subject,
    name: str,
    budget: Budget | None,
    *,
    from_file: bool,
    unused: bool = False,
) -> None:
    """Set or lift a budget in a transaction of `changing`.

    Args:
        connection: the transaction.
        subject: on what it stands.
        name: its name.
        budget: None to lift it.
        from_file: it stands in the configuration.
        unused: its subject is new, so that no call can be under way that counts in it.
    """
    # Before any window's row, as the intake does, so that neither waits for the other.
    lock_windows(connection)
    same = and_(budgets.c.subject == str(subject), budgets.c.name == name)
    old = connection.execute(select(budgets).where(same)).one_or_none()
    if old is not None and (budget is None or budget.window != old.window):
        # Windows nobody draws on now are counted anew when they are needed.
        connection.execute(
            delete(budget_windows).where(
                budget_windows.c.budget_id == old.id, budget_windows.c.leased_nano == 0
            )
        )
    if budget is None:
        connection.execute(update(budgets).where(same).values(limit_nano=None, from_file=from_file))
        return
    values: dict[str, Any] = {
        "limit_nano": int(budget.limit),
        "window": str(budget.window),
        "from_file": from_file,
    }
    if old is None or old.limit_nano is None or budget.window != old.window:
        values["changed"] = 0 if unused else current_generation(connection)
        if old is not None:
            reopen_windows(connection, old.id, subject, name)
    connection.execute(
        insert_into(connection, budgets)
        .values(subject=str(subject), name=name, **values)
        .on_conflict_do_update(index_elements=[budgets.c.subject, budgets.c.name], set_=values)
    )


def ensure_named(connection: Connection, table: Table, name: str) -> None:
    """Make the team or user if there is none of this name."""
    connection.execute(
        insert_into(connection, table)
        .values(name=name, created_ns=time.time_ns())
        .on_conflict_do_nothing(index_elements=[table.c.name])
    )


def _rows(connection: Connection) -> list[BudgetRow]:
    found: Iterable[Any] = connection.execute(
        select(budgets).where(budgets.c.limit_nano.is_not(None)).order_by(budgets.c.id)
    )
    return [
        BudgetRow(row.id, Subject(row.subject), row.name, budget)
        for row in found
        if (budget := budget_of(row)) is not None
    ]
