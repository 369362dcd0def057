"""Journal ingestion: applies every journal record to the database exactly once, across crashes.

One batch is one transaction that writes the rows and how far each journal was read. A process that
was killed is known by the free lock of its newest segment: when all it wrote is taken in, its open
calls are lost (and charged what they held), its leases go back, and its files go.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from sqlalchemy import Connection, delete, select, text, update

from noria.errors import StoreUnavailable
from noria.store.budgets.windows import lock_windows
from noria.store.bulk_sql import insert_many
from noria.store.database import Database
from noria.store.intake.assembling import Assemble
from noria.store.intake.compression import Bodies
from noria.store.intake.persist import load, post
from noria.store.intake.reader import JournalBatch, read_batch
from noria.store.intake.text_index import TEXT_BATCH, RecentBodies, index_text
from noria.store.journal.format import Record
from noria.store.journal.writer import keep_damaged, segments, writer_is_dead
from noria.store.tables.core import budget_windows, holders, holds, journals, leases, spans

__all__ = ["Intake", "apply_records", "end_leases", "take_in"]

log = logging.getLogger("noria.store")

BATCH_RECORDS = 2_000
GRACE_SECONDS = 300
"""How long after its expiry a holder whose journal is not here is waited for."""
_POLL_SECONDS = 0.25
"""What comes in meanwhile becomes one batch: a record in a thousand costs two thirds of what one in
a hundred does. Whoever reads takes in by himself and need not wait."""
_ABANDONED_SECONDS = 30.0
_BACKOFF_SECONDS = (0.25, 0.5, 1.0, 2.0)


class Intake:
    """Brings the records of this home's journals into the database.

    Any number of these may run at once, in threads and in processes.

    Args:
        db: where to.
        assemble: reads recorded bodies. If it fails, they are kept as they came.
    """

    def __init__(self, db: Database, *, assemble: Assemble) -> None:
        self.db = db
        self._assemble = assemble
        self._mutex = threading.Lock()
        self._read: dict[Path, int] = {}
        self._limit = BATCH_RECORDS
        self._skip = False
        self._look_again = 0.0

    def take_in(self, fresh: RecentBodies | None = None) -> int:
        """Take in all that is pending now.

        Args:
            fresh: gets the bodies that were stored, for `index_text`.

        Returns:
            The number of records taken in.

        Raises:
            StoreUnavailable: the database cannot be reached. What was not taken in stays in the
                journals.
        """
        total = 0
        with self._mutex:
            more = self._pending()
            while more:
                taken, more = self._batch(fresh)
                total += taken
                self.db.checkpoint()
            self._charge_abandoned()
        return total

    def run(self, stop: threading.Event) -> None:
        """Take in, and index texts behind, until `stop` is set.

        While the database is away it tries again, ever less often.
        """
        failures = 0
        while not stop.is_set():
            try:
                fresh = RecentBodies()
                self.take_in(fresh)
                more_to_index = index_text(self.db, fresh) == TEXT_BATCH
                failures = 0
                pause = 0.0 if more_to_index else _POLL_SECONDS
            except StoreUnavailable as away:
                if failures == 0:
                    log.warning("%s", away.message)
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                failures += 1
            except Exception:
                log.exception("The intake has failed and tries again.")
                pause = _BACKOFF_SECONDS[-1]
            stop.wait(pause)

    def _pending(self) -> bool:
        """Whether there may be something to take in; asks files only, not the database."""
        found = segments(self.db.home)
        newest = {segment.holder: segment.path for segment in found}
        for segment in found:
            try:
                if segment.path.stat().st_size != self._read.get(segment.path):
                    return True
            except FileNotFoundError:
                return True
        return any(writer_is_dead(path) for path in newest.values())

    def _batch(self, fresh: RecentBodies | None) -> tuple[int, bool]:
        """Take in one batch; returns the number of its records and whether there is more."""
        bodies: dict[int, Bodies] = {}
        try:
            with self.db.write() as connection:
                lock_windows(connection)
                cut = read_batch(connection, self.db.home, self._limit)
                if cut.records and not self._skip:
                    bodies = apply_records(connection, cut.records, self._assemble)
                for holder in cut.dead:
                    _bury(connection, holder, self._assemble, charge=holder in cut.damaged)
                insert_many(
                    connection,
                    "journals",
                    ("holder", "segment", "offset", "done", "damaged"),
                    [
                        (holder, *place, holder in cut.dead, holder in cut.damaged)
                        for holder, place in sorted(cut.places.items())
                    ],
                    '(holder) DO UPDATE SET segment = excluded.segment, "offset" ='
                    ' excluded."offset", done = excluded.done, damaged = excluded.damaged',
                )
        except StoreUnavailable:
            raise
        except Exception:
            # One record that the database refuses must not hold up all that follow: narrow the
            # batch down to it, then leave it out.
            if self._skip:
                raise
            self._skip = self._limit == 1
            self._limit = max(1, self._limit // 8)
            log.exception("A batch could not be taken in; the next has %d.", self._limit)
            return 0, True
        if self._skip:
            log.error("A record was left out: %s", cut.records[0][1].meta if cut.records else "-")
        self._limit, self._skip = BATCH_RECORDS, False
        self._read = cut.read
        if fresh is not None:
            fresh.add(bodies)
        self._remove(cut)
        return len(cut.records), cut.full

    def _remove(self, cut: JournalBatch) -> None:
        """Remove files whose records are committed; damaged ones are put aside."""
        for path in cut.broken:
            keep_damaged(path)
        for path in cut.spent:
            path.unlink(missing_ok=True)
        finished = [*cut.dead, *cut.gone]
        if not finished:
            return
        for segment in segments(self.db.home):
            if segment.holder in finished:
                segment.path.unlink(missing_ok=True)
        with self.db.write() as connection:
            connection.execute(
                delete(journals).where(journals.c.holder.in_(finished), journals.c.done)
            )

    def _charge_abandoned(self) -> None:
        """Charge the leases of holders that are long expired and whose journals are not here:
        what they spent cannot be known any more."""
        now = time.monotonic()
        if now < self._look_again:
            return
        self._look_again = now + _ABANDONED_SECONDS
        here = {segment.holder for segment in segments(self.db.home)}
        expired = holders.c.expires_ns < time.time_ns() - GRACE_SECONDS * 1_000_000_000
        with self.db.read() as connection:
            found = connection.execute(select(holders.c.holder).where(expired)).scalars()
            abandoned = sorted(set(found) - here)
        for holder in abandoned:
            with self.db.write() as connection:
                if connection.execute(
                    delete(holders).where(holders.c.holder == holder, expired)
                ).rowcount:
                    log.warning("%s is gone with its journal; its leases are charged.", holder)
                    end_leases(connection, holder, charge=True)


def take_in(db: Database, assemble: Assemble) -> int:
    """Take in all that is pending now, for a verb that reads; safe beside a running server.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    fresh = RecentBodies()
    taken = Intake(db, assemble=assemble).take_in(fresh)
    index_text(db, fresh)
    return taken


def apply_records(
    connection: Connection,
    records: list[tuple[str, Record]],
    assemble: Assemble,
) -> dict[int, Bodies]:
    """Write what records mean, in the caller's transaction, which keeps the windows locked.

    Args:
        connection: the transaction.
        records: of each holder, in the order in which they were written.
        assemble: as of `Intake`.

    Returns:
        The bodies of the spans that begin and end here, by instant.
    """
    begun: set[str] = set()
    needed: set[str] = set()
    told: set[str] = set()
    lease_ids: set[int] = set()
    earliest: int | None = None
    for _, record in records:
        meta = record.meta
        kind = meta["t"]
        if kind == "hold" and (earliest is None or meta["at"] < earliest):
            earliest = meta["at"]
        lease_ids.update(meta.get("leases", ()))
        if kind in ("hold", "begin", "span"):
            begun.add(meta["id"])
        elif kind == "foreign":
            told.add(meta["id"])
        elif kind == "return":
            lease_ids.add(meta["lease"])
        elif "id" in meta and meta["id"] not in begun:
            needed.add(meta["id"])
    ledger = load(connection, needed, lease_ids, told, earliest)
    for holder, record in records:
        ledger.add(holder, record)
    return post(connection, ledger, assemble)


def _bury(connection: Connection, holder: str, assemble: Assemble, *, charge: bool) -> None:
    """Close what a dead process has left open, and take its leases back. Where a part of its
    journal could not be read, nobody knows what of them was spent: then they are charged."""
    unfinished = {
        *connection.execute(
            select(spans.c.id).where(
                spans.c.status == "open", text("status <> 'ok'"), spans.c.holder == holder
            )
        ).scalars(),
        *connection.execute(select(holds.c.span_id).where(holds.c.holder == holder)).scalars(),
    }
    if unfinished:
        ledger = load(connection, unfinished, ())
        for span_id in sorted(unfinished):
            ledger.lose(span_id)
        post(connection, ledger, assemble)
    end_leases(connection, holder, charge=charge)
    connection.execute(delete(holders).where(holders.c.holder == holder))


def end_leases(connection: Connection, holder: str, *, charge: bool) -> None:
    """End a holder's leases; what remains of them goes back, or is charged."""
    ended = connection.execute(
        delete(leases)
        .where(leases.c.holder == holder)
        .returning(leases.c.budget_id, leases.c.start_ns, leases.c.remaining_nano)
    )
    for budget_id, start_ns, remaining in sorted(tuple(row) for row in ended):
        connection.execute(
            update(budget_windows)
            .where(budget_windows.c.budget_id == budget_id, budget_windows.c.start_ns == start_ns)
            .values(
                leased_nano=budget_windows.c.leased_nano - remaining,
                settled_nano=budget_windows.c.settled_nano + (remaining if charge else 0),
            )
        )
