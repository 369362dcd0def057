"""Windows of budgets, and the calls that hold nothing of one.

A call holds money of the budgets that its process knew when the call began. A budget that is set,
moved to another window, or lifted and set again meets calls that do not know of it. They count too:

1. The change gets a number (`budgets.changed`, the generation that it made). Each home says up to
   which generation it knows the budgets and has all its earlier holds in the store
   (`holders.seen`). Nothing is granted before every living process is as far (`unseen_by`).
2. A window is opened (`open_window`) with what its subject has cost since its start.
3. A grant leaves out what calls hold that hold nothing of this window (`held_beside`).
4. When such a call is settled, the intake adds its cost to the window (`Beside`).
5. Once no such call is left, none can come any more, and `changed` goes back to 0.

No step compares clocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import ColumnElement, Connection, func, or_, select, text, true, update

from noria.store.database import insert_into
from noria.store.intake.rollups import spent_since
from noria.store.tables.core import (
    budget_windows,
    budgets,
    holders,
    holds,
    lease_charges,
    leases,
    settings,
    spans,
)
from noria.types import Subject, Window, from_nanoseconds, nanoseconds

__all__ = [
    "Beside",
    "current_generation",
    "held_beside",
    "lock_windows",
    "open_window",
    "recently_changed",
    "reopen_windows",
    "unseen_by",
]

_INTAKE_LOCK = 0x6E6F7269610002


@dataclass(frozen=True, slots=True)
class Beside:
    """A budget that calls may count in without holding anything of it."""

    budget_id: int
    subject: Subject
    name: str
    window: Window

    def window_of(
        self,
        at: int,
        held: Collection[tuple[int, int]],
        *,
        team: str | None,
        user: str | None,
        key_id: str | None,
        models: Sequence[str | None],
        app: str | None,
    ) -> tuple[int, int] | None:
        """The window that a call counts in without holding anything of it, None if there is none.

        Args:
            at: when the call began.
            held: the windows that it holds money of.
            team: whose call it is, and what it is about; so are the others.
            user: see `team`.
            key_id: see `team`.
            models: the model that was asked for and the one that answers.
            app: see `team`.
        """
        match self.subject:
            case Subject.INSTALLATION:
                concerned = True
            case Subject.TEAM:
                concerned = team == self.name
            case Subject.USER:
                concerned = user == self.name
            case Subject.KEY:
                concerned = key_id == self.name
            case Subject.MODEL:
                concerned = self.name in models
            case Subject.APP:
                concerned = app == self.name
        if not concerned:
            return None
        window = self.budget_id, nanoseconds(self.window.start(from_nanoseconds(at)))
        # One that began just before a window ended may hold money of the next.
        if window in held or any(one == self.budget_id and start > at for one, start in held):
            return None
        return window


def lock_windows(connection: Connection) -> None:
    """Keep the intake out until the transaction ends, so that what a window begins with and what
    is added to it later are all, and nothing twice."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _INTAKE_LOCK})


def current_generation(connection: Connection) -> int:
    """The number of the latest change of keys or budgets; within `changing`, its own."""
    asked = select(settings.c.value).where(settings.c.name == "generation")
    return int(connection.execute(asked).scalar() or 0)


def unseen_by(connection: Connection, generation: int, now_ns: int) -> tuple[int, int]:
    """How many processes may still begin calls without knowing of a change, and how many more are
    gone but for their journals."""
    late = select(holders.c.expires_ns).where(holders.c.seen < generation)
    expiries = connection.execute(late).scalars().all()
    alive = sum(expires > now_ns for expires in expiries)
    return alive, len(expiries) - alive


def open_window(
    connection: Connection, budget_id: int, subject: Subject, name: str, start_ns: int
) -> None:
    """Make a window's row, if there is none, with what was spent in it before."""
    connection.execute(
        insert_into(connection, budget_windows)
        .values(
            budget_id=budget_id,
            start_ns=start_ns,
            settled_nano=_spent(connection, budget_id, subject, name, start_ns),
            leased_nano=0,
        )
        .on_conflict_do_nothing()
    )


def reopen_windows(connection: Connection, budget_id: int, subject: Subject, name: str) -> None:
    """Count the windows of a budget anew that are still drawn on: while it was lifted, or had other
    windows, calls held nothing of them. The caller has locked the windows."""
    mine = budget_windows.c.budget_id == budget_id
    starts = connection.execute(select(budget_windows.c.start_ns).where(mine)).scalars().all()
    for start_ns in starts:
        connection.execute(
            update(budget_windows)
            .where(mine, budget_windows.c.start_ns == start_ns)
            .values(settled_nano=_spent(connection, budget_id, subject, name, start_ns))
        )


def _spent(
    connection: Connection, budget_id: int, subject: Subject, name: str, start_ns: int
) -> int:
    """What counts as spent since the start of a window: what calls have cost, and leases of the
    budget that were charged whole, of which no call can tell."""
    charged = select(func.coalesce(func.sum(lease_charges.c.nano), 0)).where(
        lease_charges.c.budget_id == budget_id, lease_charges.c.at >= start_ns
    )
    calls = spent_since(connection, subject, name, start_ns)
    return calls + int(connection.execute(charged).scalar_one())


def recently_changed(connection: Connection) -> list[Beside]:
    """The budgets that calls may count in without holding anything of them."""
    rows = connection.execute(
        select(budgets).where(budgets.c.changed > 0, budgets.c.limit_nano.is_not(None))
    )
    return [
        Beside(row.id, Subject(row.subject), row.name or "", Window(row.window)) for row in rows
    ]


def held_beside(
    connection: Connection, budget_id: int, start_ns: int, subject: Subject, name: str
) -> tuple[int, int]:
    """The calls that count in a window and hold nothing of it: how many, and what they hold, in
    nano-dollars."""
    own = set(
        connection.execute(
            select(leases.c.id).where(
                leases.c.budget_id == budget_id, leases.c.start_ns == start_ns
            )
        ).scalars()
    )
    rows = connection.execute(
        select(holds.c.hold_nano, holds.c.leases)
        .join(spans, spans.c.at == holds.c.at)
        .where(holds.c.at >= start_ns, _about(subject, name))
    )
    amounts = [row.hold_nano for row in rows if own.isdisjoint(_ids(row.leases))]
    return len(amounts), sum(amounts)


def _about(subject: Subject, name: str) -> ColumnElement[bool]:
    match subject:
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
