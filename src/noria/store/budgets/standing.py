"""Money that is held for longer than any process lives: what is rented until it is given back.

The hold stands in the database from the start, under a holder that is no process, so that nobody's
death ends it. It is settled by whoever ends what it pays for. Both are records like those of
journals, applied in the caller's transaction together with his own rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from noria.store.budgets.budgets import BudgetRow, list_budgets, nanoseconds
from noria.store.budgets.leases import (
    Grant,
    Shortage,
    grant_within,
    heartbeat,
    open_windows,
    register_holder,
)
from noria.store.budgets.windows import lock_windows
from noria.store.database import Database
from noria.store.intake.intake import apply_records, end_leases
from noria.store.journal.format import Record
from noria.store.tables.core import holds
from noria.types import SpanKind, Status, Subject, utc_now

__all__ = ["Account", "OverBudget", "StandingHold", "hold_standing", "lend_time", "settle_standing"]

_ATTEMPT = 0
_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Account:
    """Whose budgets a hold must fit."""

    key_id: str | None
    team: str | None
    user: str | None
    app: str | None = None

    def budgets(self, db: Database) -> list[BudgetRow]:
        """The budgets that apply."""
        names = {
            Subject.INSTALLATION: "",
            Subject.TEAM: self.team,
            Subject.USER: self.user,
            Subject.KEY: self.key_id,
            Subject.APP: self.app,
        }
        return [
            row for row in list_budgets(db)
            if row.subject in names and names[row.subject] == row.name
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StandingHold:
    """What is held, and for what."""

    span_id: str
    trace_id: str
    name: str
    at_ns: int
    amount: int
    """The most that it can cost, in nano-dollars."""
    account: Account
    holder: str
    """A name of its own, which is no process."""


class OverBudget(Exception):
    """A hold does not fit a budget; the transaction must be rolled back."""

    def __init__(self, budget: BudgetRow, shortage: Shortage) -> None:
        super().__init__(f"{budget.subject} {budget.name}: {budget.budget}")
        self.budget = budget
        self.shortage = shortage


def hold_standing(
    connection: Connection, hold: StandingHold, rows: list[BudgetRow]
) -> None:  # fmt: skip
    """Lease the amount from every budget and record the hold, in the caller's transaction.

    Args:
        connection: the transaction.
        hold: what is held.
        rows: the budgets that apply, whose windows `lend_time` or `open_windows` has opened.

    Raises:
        OverBudget: it does not fit one of them.
    """
    lock_windows(connection)
    wishes = [(*_window(row), hold.amount, hold.amount) for row in rows]
    leased = []
    for row, answer in zip(rows, grant_within(connection, hold.holder, wishes), strict=True):
        if isinstance(answer, Shortage):
            raise OverBudget(row, answer)
        assert isinstance(answer, Grant)
        leased.append(answer.lease_id)
    account = hold.account
    _apply(
        connection,
        hold.holder,
        {
            "t": "hold",
            "id": hold.span_id,
            "trace": hold.trace_id,
            "kind": str(SpanKind.ACTION),
            "name": hold.name,
            "at": hold.at_ns,
            "key": account.key_id,
            "team": account.team,
            "user": account.user,
            "app": account.app,
            "n": _ATTEMPT,
            "hold": hold.amount,
            "leases": leased,
        },
    )


def settle_standing(
    connection: Connection,
    holder: str,
    span_id: str,
    cost: int,
    *,
    status: Status,
    duration_ms: float,
    attributes: Mapping[str, Any],
) -> None:
    """Charge what it has cost and give the rest back, in the caller's transaction.

    Args:
        connection: the transaction.
        holder: that of the hold.
        span_id: that of the hold.
        cost: in nano-dollars; what exceeds the hold is charged on top and marked as an overrun.
        status: how it ended.
        duration_ms: since it began.
        attributes: kept with the span.
    """
    lock_windows(connection)
    held = connection.execute(
        select(holds.c.hold_nano).where(holds.c.span_id == span_id, holds.c.attempt == _ATTEMPT)
    ).scalar()
    if held is None:
        return  # it was settled before
    _apply(
        connection,
        holder,
        {
            "t": "end",
            "id": span_id,
            "n": _ATTEMPT,
            "status": str(status),
            "cost": cost,
            "ms": duration_ms,
            "overrun": cost > held,
            "attrs": dict(attributes),
        },
    )
    end_leases(connection, holder, charge=False)


def lend_time(db: Database, rows: list[BudgetRow], amount: int, take_in: Callable[[], int]) -> None:
    """Open the windows, and wait a moment where other processes hold idle leases of them.

    A serving process that is alone keeps its idle leases for a while; it gives them back at once
    when another process shows itself.

    Args:
        db: the database.
        rows: the budgets that apply.
        amount: what must become free, in nano-dollars.
        take_in: takes in the journals, by which money comes back.
    """
    if not rows:
        return
    open_windows(db, [(*_window(row), amount, amount) for row in rows])
    take_in()
    if _free(db, rows, amount):
        return
    visitor = f"visitor-{os.getpid()}-{time.time_ns()}"
    register_holder(db, visitor, os.getpid(), _PATIENCE_S)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and not _free(db, rows, amount):
        time.sleep(0.2)
        take_in()
    heartbeat(db, visitor, 0)


def _free(db: Database, rows: list[BudgetRow], amount: int) -> bool:
    """Whether the amount fits, or would not if every idle lease came back."""
    from noria.store.tables.core import budget_windows

    with db.read() as connection:
        for row in rows:
            budget_id, start_ns = _window(row)
            found = connection.execute(
                select(budget_windows.c.settled_nano, budget_windows.c.leased_nano).where(
                    budget_windows.c.budget_id == budget_id, budget_windows.c.start_ns == start_ns
                )
            ).one()
            limit = int(row.budget.limit)
            if found.settled_nano + amount > limit:
                return True  # waiting is of no use
            if found.settled_nano + found.leased_nano + amount > limit:
                return False
    return True


def _window(row: BudgetRow) -> tuple[int, int]:
    return row.id, nanoseconds(row.budget.window.start(utc_now()))


def _apply(connection: Connection, holder: str, meta: dict[str, Any]) -> None:
    apply_records(connection, [(holder, Record(meta, (), 0))], _as_it_is)


def _as_it_is(body: bytes, wire: str = "", part: str = "") -> bytes:
    """Records of money alone have no body to assemble."""
    return body
