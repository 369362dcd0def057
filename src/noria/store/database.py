"""The connection to SQLite or Postgres, and who may write when.

SQLite before 3.51.3 can lose pages when several processes reset the write-ahead log at once.
Therefore every write transaction, every checkpoint and every close of a connection (the last one
checkpoints) holds `write.lock` in the home, and a reader never checkpoints.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from noria.config import Config, moved_url
from noria.errors import ConfigError, NoriaError, StoreUnavailable
from noria.store.fork_guard import transaction
from noria.store.tables.core import VERSION

__all__ = ["Database", "WriteLock", "insert_into", "open_database"]

BUSY_SECONDS = 30
_CONNECT_SECONDS = 5
_CHECKPOINT_BYTES = 16 * 1024 * 1024
_CHECKPOINT_SECONDS = 2.0
_CHECKPOINT_WAIT_MS = 100
_MIGRATION_LOCK = 0x6E6F7269610001

# SQLite's errors that say something about the disk or another process, not about our SQL.
_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}


class WriteLock:
    """One writer at a time in this home, among threads and among processes. A thread that holds
    it may take it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0
        self._fd = -1
        _write_locks.add(self)

    def forget(self) -> None:
        """In a forked child: what a thread of the parent holds is the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
        self._threads = threading.RLock()
        self._depth, self._fd = 0, -1

    def __enter__(self) -> WriteLock:
        self._threads.acquire()
        try:
            if self._depth == 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            self._depth += 1
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            # Closing would not do: a child that was forked meanwhile has the same open file.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1
        self._threads.release()


_write_locks: weakref.WeakSet[WriteLock] = weakref.WeakSet()


def _after_fork() -> None:
    for lock in tuple(_write_locks):
        lock.forget()


os.register_at_fork(after_in_child=_after_fork)


class Database:
    """Where the records live.

    Args:
        url: `sqlite:///path` or `postgresql://...`.
        home: the state folder, which must exist.
        sync: wait for the disk at each commit (on SQLite; Postgres has its own setting).
    """

    def __init__(self, url: str, home: Path, *, sync: bool = False) -> None:
        self.home = home
        self._lock = WriteLock(home / "write.lock")
        self.engine = self._sqlite(url, sync) if url.startswith("sqlite") else _postgres(url)
        self.dialect: str = self.engine.dialect.name
        self._checkpoint_after = 0.0
        weakref.finalize(self, self.engine.dispose)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one unchanging state of the database.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with _unavailable(self), transaction(), self.engine.connect() as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
            connection.rollback()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block, or not at all.

        Raises:
            StoreUnavailable: the database cannot be reached, or its disk is full.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(_unavailable(self))
            if self.dialect == "sqlite":
                stack.enter_context(self._lock)
                self._refuse_if_moved()
            stack.enter_context(transaction())
            connection = stack.enter_context(self.engine.connect())
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Let nobody write to SQLite while the block runs, in no process of this home."""
        with self._lock:
            yield

    def _refuse_if_moved(self) -> None:
        """What is written to the old file after a move would be lost."""
        if moved_url(self.home) is not None:
            raise StoreUnavailable(
                f"The records of {self.home} were moved to another database.",
                "A process that began before is started again by its server.",
            )

    def checkpoint(self) -> None:
        """Move SQLite's write-ahead log into the database file once it has grown long."""
        if self.dialect != "sqlite":
            return
        log = Path(f"{self.engine.url.database}-wal")
        try:
            grown = log.stat().st_size >= _CHECKPOINT_BYTES
        except FileNotFoundError:
            return
        if not grown or time.monotonic() < self._checkpoint_after:
            return
        # A long reader keeps the log from being cut; then it is only written back, and tried again.
        self._checkpoint_after = time.monotonic() + _CHECKPOINT_SECONDS
        with _unavailable(self), self._lock, transaction(), self.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            connection.exec_driver_sql("ANALYZE")

    def vacuum(self) -> None:
        """Write SQLite's file anew without its free pages, and empty its log."""
        with _unavailable(self), self._lock, transaction(), self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def migrate(self) -> None:
        """Bring the tables to the version that this code works with.

        Raises:
            NoriaError: the database was made by a newer noria.
        """
        if self._version() == VERSION:
            return
        # Alembic takes half a second to load, so only a database that is behind brings it in.
        from noria.store.migrations.upgrade import upgrade

        with self.write() as connection:
            if self.dialect == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK}
                )
            upgrade(connection)

    def _version(self) -> str | None:
        with _unavailable(self), self.engine.connect() as connection:
            if not connection.dialect.has_table(connection, "alembic_version"):
                return None
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if version is not None and version > VERSION:
            raise NoriaError(
                f"The database {self} is of version {version}; this noria knows {VERSION}.",
                "Install the noria that made it, or a newer one.",
            )
        return version

    def __str__(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    def _sqlite(self, url: str, sync: bool) -> Engine:
        lock = self._lock

        class Guarded(sqlite3.Connection):
            def close(self) -> None:
                try:
                    with lock:
                        super().close()
                except FileNotFoundError:
                    super().close()  # the home is gone, and with it anything to guard

        engine = create_engine(
            url,
            connect_args={
                "timeout": BUSY_SECONDS,
                "isolation_level": None,
                "factory": Guarded,
                "cached_statements": 512,
            },
            pool_size=8,
            max_overflow=32,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            with lock:
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            connection.execute("PRAGMA cache_size=-32768")
            connection.execute("PRAGMA analysis_limit=1000")

        return engine


def open_database(config: Config) -> Database:
    """The configured database, with its home made (mode 0700) and its tables up to date.

    Raises:
        StoreUnavailable: it cannot be reached.
        ConfigError: the url is not one of SQLite or Postgres.
    """
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = Database(config.store_url, config.home, sync=config.journal.sync)
    db.migrate()
    return db


def insert_into(
    connection: Connection, table: Table
) -> sqlite_dialect.Insert | postgresql_dialect.Insert:
    """An INSERT that knows `ON CONFLICT`, which each dialect of SQLAlchemy has of its own."""
    if connection.dialect.name == "sqlite":
        return sqlite_dialect.insert(table)
    return postgresql_dialect.insert(table)


def _postgres(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ConfigError(
            f"store.url: {parsed.drivername!r} is not a database that noria can use.",
            "Write postgresql://user@host/name, or leave store.url out for SQLite.",
        )
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=32,
        pool_timeout=BUSY_SECONDS,
        pool_use_lifo=True,  # the one used last has most prepared and in its caches
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
    )


@contextlib.contextmanager
def _unavailable(db: Database) -> Iterator[None]:
    """Say StoreUnavailable where the database, and not our SQL, is at fault."""
    try:
        yield
    except (DBAPIError, PoolTimeout) as failed:
        if not _is_away(failed):
            raise
        if isinstance(failed, DBAPIError) and failed.connection_invalidated:
            db.engine.dispose()
        cause = getattr(failed, "orig", None) or failed
        raise StoreUnavailable(
            f"The database {db} cannot be used now: {str(cause).strip()}",
            "Check that it is running and that its disk has space; nothing recorded is lost.",
        ) from failed
    except sqlite3.OperationalError as failed:
        raise StoreUnavailable(f"The database {db} cannot be opened: {failed}") from failed


def _is_away(failed: Exception) -> bool:
    if isinstance(failed, PoolTimeout):
        return True
    cause = getattr(failed, "orig", None)
    if isinstance(cause, sqlite3.Error):
        # the low byte is the primary code
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_AWAY
    return isinstance(failed, (OperationalError, InterfaceError)) or bool(
        getattr(failed, "connection_invalidated", False)
    )
