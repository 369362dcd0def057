"""Who works on a run: one process at a time, until it ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from zlib import crc32

from sqlalchemy import text

from noria.errors import HomeBusy
from noria.store.database import Database

__all__ = ["claimed"]

_LOCK = 0x6E6F0000


@contextlib.contextmanager
def claimed(db: Database, plan_id: str) -> Iterator[None]:
    """Keep every other process from working on this run.

    The lock is the system's (and Postgres's, where homes of several machines share one), which ends
    with its holder.

    Raises:
        HomeBusy: another process works on it now.
    """
    folder = db.home / "actions"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / f"{plan_id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(plan_id) from None
        with contextlib.ExitStack() as held:
            connection = held.enter_context(db.read())
            if connection.dialect.name == "postgresql":
                got = connection.execute(
                    text("SELECT pg_try_advisory_xact_lock(:lock, :plan)"),
                    {"lock": _LOCK, "plan": crc32(plan_id.encode()) - 2**31},
                ).scalar_one()
                if not got:
                    raise _busy(plan_id)
            else:
                held.close()  # the file's lock is enough, and an open read would hold SQLite's log
            yield
    finally:
        os.close(fd)


def _busy(plan_id: str) -> HomeBusy:
    return HomeBusy(
        f"Another process works on the plan {plan_id} now.", f"noria act status {plan_id}"
    )
