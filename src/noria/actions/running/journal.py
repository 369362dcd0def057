"""The journal of a run: what is about to be done, written before it is done, and what came of it.

Entries are never changed. Kinds:

- `begin`: the run, by whom and with which hash;
- `call`: a call is about to be made; `result`, `failed`: what came of it; `adopted`: its answer was
  lost, and what it has made was found by its tags; `surplus`: it has made more than was asked for;
- `undo`: the run is about to be undone; `undo_call` and `undo_result`, `undo_failed`: of one call;
- `destroy`: a resource is about to be ended; `destroyed`;
- `proof`: what was still there when everything should have been gone;
- `settled`: what the run has cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, func, insert, select

from noria.actions.running.pace import Pace
from noria.store.database import Database
from noria.store.tables.actions import action_journal

__all__ = ["Entry", "RunJournal", "append_entry", "asked_by", "in_doubt"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    number: int
    at_ns: int
    kind: str
    call: int | None
    content: dict[str, Any]


def in_doubt(entries: Sequence[Entry]) -> bool:
    """Whether the last attempt of a call may have been carried out though no answer came."""
    said = [entry for entry in entries if entry.kind in ("call", "failed", "result", "adopted")]
    return bool(said) and (said[-1].kind == "call" or bool(said[-1].content.get("unknown")))


def asked_by(entries: Sequence[Entry], now_ns: int) -> int:
    """By when the provider had carried out the last attempt of a call, if it ever did.

    That is when its outcome was noted. If it was not, the request of the process that died may be
    on its way still.
    """
    said = [entry for entry in entries if entry.kind in ("call", "failed", "result", "adopted")]
    return now_ns if not said or said[-1].kind == "call" else said[-1].at_ns


class RunJournal:
    """The journal of one plan's run."""

    def __init__(self, db: Database, plan_id: str, pace: Pace) -> None:
        self._db = db
        self._plan_id = plan_id
        self._pace = pace

    def write(self, kind: str, call: int | None = None, **content: Any) -> int:
        """Write an entry. When this returns, no death of the process can undo it.

        Returns:
            When it was written, by the run's clock.
        """
        at_ns = self._pace.clock()
        with self._db.write() as connection:
            append_entry(connection, self._plan_id, at_ns, kind, call, content)
        return at_ns

    def entries(self) -> list[Entry]:
        """All of them, in order."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(action_journal)
                .where(action_journal.c.plan_id == self._plan_id)
                .order_by(action_journal.c.number)
            ).all()
        return [
            Entry(row.number, row.at, row.kind, row.call, orjson.loads(row.content)) for row in rows
        ]


def append_entry(
    connection: Connection,
    plan_id: str,
    at_ns: int,
    kind: str,
    call: int | None,
    content: dict[str, Any],
) -> None:
    """Write an entry in the caller's transaction."""
    last = connection.execute(
        select(func.max(action_journal.c.number)).where(action_journal.c.plan_id == plan_id)
    ).scalar()
    connection.execute(
        insert(action_journal).values(
            plan_id=plan_id,
            number=(last or 0) + 1,
            at=at_ns,
            kind=kind,
            call=call,
            content=orjson.dumps(content, default=str).decode(),
        )
    )
