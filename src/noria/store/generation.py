"""How a running server notices that keys or budgets have changed, without asking the database.

A counter in the home's file `generation` rises with every change; each process maps it into its
memory and compares. A row in `settings` rises in the same transaction as the change, for servers
on other machines that share a Postgres database.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from noria.store.database import Database

__all__ = ["Generation", "changing", "poll_generation"]


class Generation:
    """The home's counter of changes to keys and budgets."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = home / "generation"
        with self._locked() as fd:
            if os.fstat(fd).st_size < 8:
                os.ftruncate(fd, 8)
            self._view = memoryview(mmap.mmap(fd, 8)).cast("Q")

    @property
    def value(self) -> int:
        """The counter now; read from memory."""
        return self._view[0]

    def bump(self) -> None:
        """Tell every process of this home that something has changed."""
        with self._locked():
            self._view[0] += 1

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, which no other process changes meanwhile."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            # Closing would not do: a child that was forked meanwhile has the same open file.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


@contextmanager
def changing(db: Database) -> Iterator[Connection]:
    """A write transaction after which every server looks at keys and budgets again."""
    from sqlalchemy import text

    with db.write() as connection:
        # First, so that two changes stand in one order everywhere, and each knows its number.
        connection.execute(
            text(
                "INSERT INTO settings (name, value) VALUES ('generation', 1)"
                " ON CONFLICT (name) DO UPDATE SET value = settings.value + 1"
            )
        )
        yield connection
    Generation(db.home).bump()


def poll_generation(db: Database) -> int:
    """The counter that the database keeps; rises with changes made on any machine."""
    from sqlalchemy import text

    with db.read() as connection:
        value = connection.execute(
            text("SELECT value FROM settings WHERE name = 'generation'")
        ).scalar()
    return int(value or 0)
