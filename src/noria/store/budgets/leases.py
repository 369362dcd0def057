"""How several processes share a budget: each leases a part of it and spends that alone.

A grant is one conditional UPDATE, `settled + leased + x <= limit`; nothing else ever raises what is
leased. Money comes back through the journal only (a `return` record, or the end of its holder), so
what another process is granted was free in records that are taken in already.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from noria.errors import NotFound
from noria.store.budgets.windows import Beside, held_beside, lock_windows, open_window
from noria.store.database import Database, insert_into
from noria.store.tables.core import budget_windows, budgets, holders, leases
from noria.types import Subject

__all__ = [
    "Grant",
    "Shortage",
    "count_holders",
    "grant",
    "grant_all",
    "grant_within",
    "heartbeat",
    "open_windows",
    "register_holder",
]

_NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True)
class Grant:
    """Money that the holder may now hold and spend."""

    lease_id: int
    granted: int
    left: int
    """What is free in this window after the grant: limit - settled - leased."""
    holders: int
    """Processes that are alive and may want a part."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Not even the least amount is free in this window."""

    settled: int
    leased: int
    limit: int


class _Refused(Exception):
    """Undoes the grants that were made before one was refused."""


def register_holder(db: Database, holder: str, pid: int, ttl_s: float) -> None:
    """Announce a process that will lease. Its journal should exist before."""
    values = {"pid": pid, "expires_ns": time.time_ns() + int(ttl_s * 1e9)}
    with db.write() as connection:
        connection.execute(
            insert_into(connection, holders)
            .values(holder=holder, **values)
            .on_conflict_do_update(index_elements=[holders.c.holder], set_=values)
        )


def heartbeat(db: Database, holder: str, ttl_s: float) -> bool:
    """Extend the holder and all its leases.

    Returns:
        False if the holder was given up in the meantime: its leases are charged or returned, so
        it must drop them and register again.
    """
    with db.write() as connection:
        extended = connection.execute(
            update(holders)
            .where(holders.c.holder == holder)
            .values(expires_ns=time.time_ns() + int(ttl_s * 1e9))
        )
        return extended.rowcount == 1


def count_holders(db: Database) -> int:
    """How many processes are alive and may want a part of a budget."""
    with db.read() as connection:
        return _alive(connection)


def grant(
    db: Database,
    holder: str,
    budget_id: int,
    window_start_ns: int,
    *,
    want: int,
    least: int,
    ttl_s: float,
) -> Grant | Shortage:
    """Lease `want` nano-dollars of one window of a budget, or at least `least`.

    A budget that was lifted in the meantime gives all that is wanted.

    Raises:
        NotFound: the holder was given up, or the budget never existed.
    """
    return grant_all(db, holder, [(budget_id, window_start_ns, want, least)], ttl_s)[0]


def grant_all(
    db: Database, holder: str, wishes: Sequence[tuple[int, int, int, int]], ttl_s: float
) -> list[Grant | Shortage]:
    """Lease from several budgets, all or nothing.

    Args:
        db: the database.
        holder: the process that leases; the grant extends it by `ttl_s` seconds.
        wishes: `(budget_id, window_start_ns, want, least)` each.
        ttl_s: how long the leases last without a heartbeat.

    Returns:
        One answer for each wish, in order. If any of them is a Shortage, none was granted.

    Raises:
        NotFound: the holder was given up, or a budget never existed.
    """
    answers: list[Grant | Shortage] = []
    try:
        open_windows(db, wishes)
        with db.write() as connection:
            _extend(connection, holder, ttl_s)
            answers = grant_within(connection, holder, wishes)
            if any(isinstance(answer, Shortage) for answer in answers):
                raise _Refused
    except _Refused:
        pass
    return answers


def grant_within(
    connection: Connection, holder: str, wishes: Sequence[tuple[int, int, int, int]]
) -> list[Grant | Shortage]:
    """The same in the caller's transaction, which must be rolled back after a shortage.

    The windows must be open (`open_windows`). The holder need not be registered: what one leases
    that is no process stands until it is settled.
    """
    alive = _alive(connection)
    answers: dict[int, Grant | Shortage] = {}
    # In one order everywhere, so that two processes never wait for each other.
    for index in sorted(range(len(wishes)), key=lambda index: wishes[index][:2]):
        answers[index] = _grant(connection, holder, *wishes[index], alive)
    return [answers[index] for index in range(len(wishes))]


def open_windows(db: Database, wishes: Sequence[tuple[int, int, int, int]]) -> None:
    """Make the rows of windows that nobody has drawn on yet, whether anything is granted or not.

    Raises:
        NotFound: a budget never existed.
    """
    with db.read() as connection:
        missing = [
            wish[:2]
            for wish in sorted(wishes)
            if connection.execute(select(budget_windows.c.budget_id).where(_is(*wish[:2]))).first()
            is None
        ]
    if not missing:
        return
    with db.write() as connection:
        lock_windows(connection)
        for budget_id, start_ns in missing:
            row = connection.execute(select(budgets).where(budgets.c.id == budget_id)).one_or_none()
            if row is None:
                raise NotFound(
                    f"There is no budget {budget_id}.", "Read the list of budgets again."
                )
            open_window(connection, budget_id, Subject(row.subject), row.name, start_ns)


def _is(budget_id: int, start_ns: int) -> ColumnElement[bool]:
    """The row of one window."""
    return and_(budget_windows.c.budget_id == budget_id, budget_windows.c.start_ns == start_ns)


def _alive(connection: Connection) -> int:
    alive = select(func.count()).where(holders.c.expires_ns > time.time_ns())
    return connection.execute(alive).scalar_one()


def _extend(connection: Connection, holder: str, ttl_s: float) -> None:
    extended = connection.execute(
        update(holders)
        .where(holders.c.holder == holder)
        .values(expires_ns=time.time_ns() + int(ttl_s * 1e9))
    )
    if extended.rowcount != 1:
        raise NotFound(f"The process {holder} is not registered.", "Register it again.")


def _grant(
    connection: Connection,
    holder: str,
    budget_id: int,
    start_ns: int,
    want: int,
    least: int,
    alive: int,
) -> Grant | Shortage:
    budget = connection.execute(select(budgets).where(budgets.c.id == budget_id)).one_or_none()
    if budget is None:
        raise NotFound(f"There is no budget {budget_id}.", "Read the list of budgets again.")
    window = _is(budget_id, start_ns)
    opened_ns = connection.execute(select(budget_windows.c.opened_ns).where(window)).scalar_one()
    about = Beside((budget_id, start_ns), Subject(budget.subject), budget.name)
    beside = held_beside(connection, about, opened_ns)
    settled, leased = budget_windows.c.settled_nano, budget_windows.c.leased_nano
    limit = func.coalesce(
        select(budgets.c.limit_nano).where(budgets.c.id == budget_id).scalar_subquery(), _NO_LIMIT
    )
    for amount in (want, least):
        now = connection.execute(
            update(budget_windows)
            .where(window, settled + leased + amount + beside <= limit)
            .values(leased_nano=leased + amount)
            .returning(settled, leased, limit.label("limit"))
        ).one_or_none()
        if now is not None:
            lease_id = _top_up(connection, holder, budget_id, start_ns, amount)
            left = now.limit - now.settled_nano - now.leased_nano - beside
            return Grant(lease_id, amount, left, alive)
    short = connection.execute(select(settled, leased, limit.label("limit")).where(window)).one()
    return Shortage(short.settled_nano, short.leased_nano + beside, short.limit)


def _top_up(connection: Connection, holder: str, budget_id: int, start_ns: int, amount: int) -> int:
    lease_id: int = connection.execute(
        insert_into(connection, leases)
        .values(holder=holder, budget_id=budget_id, start_ns=start_ns, remaining_nano=amount)
        .on_conflict_do_update(
            index_elements=[leases.c.holder, leases.c.budget_id, leases.c.start_ns],
            set_={"remaining_nano": leases.c.remaining_nano + amount},
        )
        .returning(leases.c.id)
    ).scalar_one()
    return lease_id
