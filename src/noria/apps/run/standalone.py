"""Plain Python that calls a function, a model or an index outside of any run: on behalf of the key
in `NORIA_KEY`, and without one of the owner of the home.

The home's gateway is opened when it is first needed, on an event loop in a thread of its own, and
closed when the process ends.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from noria.apps.run.budgets import set_app_budgets
from noria.errors import NoriaError
from noria.tracing import CallContext, Trace, current

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.config import Config
    from noria.gateway import Gateway
    from noria.models import EngineDirectory
    from noria.store import Database, Key

__all__ = ["OpenHome", "close", "current_context", "in_context", "open_beside", "open_plainly"]

_ROWS_OF_SERVERS = 300
_ROWS_BESIDE = 64
_SETTLE_SECONDS = 10.0

_lock = threading.Lock()
_opened: OpenHome | None = None


class OpenHome:
    """The gateway of a home, open in this process."""

    gateway: Gateway
    db: Database

    def __init__(self, work: Callable[[OpenHome], None]) -> None:
        self.stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._key: Key | None = None
        self._allowed: set[str] = set()

        def run() -> None:
            try:
                work(self)
            except BaseException as failure:  # noqa: BLE001 - it is raised where it was opened
                self._failure = failure
            self._ready.set()

        self._thread = threading.Thread(target=run, name="noria", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def begin(self, gateway: Gateway, db: Database, key: Key | None) -> None:
        """Say that it is open."""
        self.gateway, self.db, self._key = gateway, db, key
        self._ready.set()

    def context(self) -> CallContext:
        """A place for a trace of its own.

        Raises:
            NoriaError: it was opened for the work of others, and this is nobody's.
        """
        if self._key is None:
            raise _nobody_asks(os.environ.get("NORIA_APP") or "an application")
        return CallContext(self.gateway, Trace(self._key))

    def allow(self, app: App) -> None:
        """Put the budget of an application into force; once for each.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        if app.name not in self._allowed:
            set_app_budgets(self.db, self.gateway.config, [app])
            self._allowed.add(app.name)

    def close(self) -> None:
        """Wait for the checks that are under way, then close."""
        if self._thread.is_alive():
            self.gateway.loop.call_soon_threadsafe(self.stop.set)
            self._thread.join()


async def current_context(app: App | None = None) -> CallContext:
    """Where the calling code is: in its run, or else at the beginning of a trace of its own, under
    the budget of the application that is named.

    Raises:
        NoriaError: there is no run and this is a process of an application; or the home cannot be
            opened.
    """
    context = current.get()
    if context is not None:
        return context
    opened = _opened
    if opened is None:
        opened = await asyncio.to_thread(open_plainly)
    if app is not None:
        await asyncio.to_thread(opened.allow, app)
    return opened.context()


@asynccontextmanager
async def in_context() -> AsyncIterator[CallContext]:
    """Work that belongs together: in the run where the calling code is, or else in one trace of
    its own. Raises as `current_context`."""
    context = await current_context()
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


def open_plainly() -> OpenHome:
    """Open the home that belongs to the working folder; once for a process.

    Raises:
        ConfigError: a setting cannot be used.
        StoreUnavailable: the database cannot be reached.
        NoriaError: this is a process of an application, or NORIA_KEY is no key of this home.
    """
    application = os.environ.get("NORIA_APP")
    if application:
        raise _nobody_asks(application)
    return _open(_work_plainly)


def _nobody_asks(application: str) -> NoriaError:
    return NoriaError(
        f"Something was asked for outside of any run, in a process of {application}, so it is "
        "not known on whose behalf.",
        "Call models, indexes and functions from a function of the application, from a thread "
        "that it starts, or from a concurrent.futures.ProcessPoolExecutor that it uses.",
    )


def open_beside(config: Config) -> OpenHome:
    """Open a home in a child process of one that has it open already."""

    def work(opened: OpenHome) -> None:
        from noria.models.state import EngineAddresses
        from noria.store import Database

        db = Database(config.store_url, config.home, sync=config.journal.sync)
        try:
            engines = EngineAddresses(config.home)
            asyncio.run(_keep_open(opened, config, db, engines, None, _row_beside()))
        finally:
            db.close()

    return _open(work)


def close() -> None:
    """Close what was opened for plain calls; the next one opens it again."""
    global _opened
    with _lock:
        opened, _opened = _opened, None
    if opened is not None:
        opened.close()


def _open(work: Callable[[OpenHome], None]) -> OpenHome:
    global _opened
    with _lock:
        if _opened is None:
            from noria.apps.run.propagation import follow_threads

            follow_threads()
            _opened = OpenHome(work)
            # Before the threads that checks run in are joined, which atexit is too late for.
            threading._register_atexit(close)  # type: ignore[attr-defined]
        return _opened


def _work_plainly(opened: OpenHome) -> None:
    from noria.config import load
    from noria.home import running_server
    from noria.models.host import EngineHost
    from noria.models.state import EngineAddresses
    from noria.store import open_database, sync_budgets

    config = load()
    db = open_database(config)
    try:
        sync_budgets(db, config)
        key = _key(config, db)
        if running_server(config.home) is not None:
            engines = EngineAddresses(config.home)
            asyncio.run(_keep_open(opened, config, db, engines, key, _row_beside()))
            return
        host = EngineHost(config)
        host.start(pull=())
        try:
            asyncio.run(_keep_open(opened, config, db, host, key))
        finally:
            host.stop()
    finally:
        db.close()


def _row_beside() -> int:
    """The row of the counts of a process beside others of the home: beyond those of a server's own
    processes, which it must not clear."""
    return _ROWS_OF_SERVERS + os.getpid() % _ROWS_BESIDE


def _key(config: Config, db: Database) -> Key:
    from noria.store import digest, find_key, owner_key

    secret = os.environ.get("NORIA_KEY") or owner_key(config.home, db).read_text().strip()
    key = find_key(db, digest(secret))
    if key is None or key.revoked_ns is not None:
        raise NoriaError(
            "NORIA_KEY is not a key of this home, or was revoked.",
            "Unset it to call as the home's owner, or make a key: noria key create",
        )
    return key


async def _keep_open(
    opened: OpenHome,
    config: Config,
    db: Database,
    engines: EngineDirectory,
    key: Key | None,
    row: int = 0,
) -> None:
    from noria.apps.run.checking import settle
    from noria.apps.serve.client import AppClient
    from noria.server import open_gateway

    async with open_gateway(config, db, engines, row=row, rows=row + 1) as gateway:
        # Applications that a server of this home serves can be asked as models.
        gateway.applications = client = AppClient(gateway)
        opened.begin(gateway, db, key)
        await opened.stop.wait()
        await settle(_SETTLE_SECONDS)
        client.close()


def _after_fork() -> None:
    """A child has neither the thread nor the lock's holder."""
    global _opened, _lock
    _opened, _lock = None, threading.Lock()
    current.set(None)


os.register_at_fork(after_in_child=_after_fork)
