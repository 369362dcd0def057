"""One worker process: its journal, its leases, its door; and the process that takes journals in."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from noria.config import Config
from noria.errors import StoreUnavailable
from noria.gateway.budgets import BudgetLeases
from noria.gateway.core import Applications, Gateway
from noria.gateway.key_cache import KeyCache
from noria.gateway.rate_limits import Limits
from noria.http.asgi import ASGIApp
from noria.http.client import HTTPClient
from noria.http.server import HTTPServer
from noria.ids import new_span_id
from noria.models import Catalogue, EngineDirectory, assemble
from noria.models.state import engine_states
from noria.server.metrics import render_metrics
from noria.server.router import Router
from noria.store import Database, Generation, Intake, Journal, acknowledge, poll_generation
from noria.tracing import TraceLabels

__all__ = ["open_gateway", "run_intake", "run_worker"]

log = logging.getLogger("noria.worker")

_POLL_SECONDS = 1.0
_DRAIN_SECONDS = 10.0
_CHORE_SECONDS = 5.0


@asynccontextmanager
async def open_gateway(
    config: Config,
    db: Database,
    engines: EngineDirectory | None = None,
    *,
    row: int = 0,
    rows: int = 1,
) -> AsyncIterator[Gateway]:
    """The core, ready to answer calls in this process and this event loop.

    Args:
        config: the configuration.
        db: the store of the home; must not be shared with a parent process.
        engines: where the embedded engines listen.
        row: this process's number among those that count calls on this home, from 0.
        rows: how many there can be.

    Raises:
        StoreUnavailable: the database does not answer or the journal cannot be made.
    """
    home = config.home
    generation = Generation(home)
    holder = new_span_id()
    journal = Journal(
        home, holder, sync=config.journal.sync, segment_bytes=config.journal.segment_bytes
    )
    intake = Intake(db, assemble=assemble)
    limits = Limits(home, row, rows)
    limits.clear()
    upstreams = HTTPClient(config.routing)
    leases = BudgetLeases(db, journal, generation, holder, intake.take_in)
    chores: list[asyncio.Task[None]] = []
    try:
        await leases.start()
        chores = [
            asyncio.create_task(leases.run()),
            asyncio.create_task(_watch_other_machines(db, intake.take_in)),
        ]
        yield Gateway(
            config,
            Catalogue(config, engines=engines),
            KeyCache(db, generation),
            leases,
            limits,
            journal,
            upstreams,
            TraceLabels(db, intake.take_in),
        )
    finally:
        for chore in chores:
            chore.cancel()
        upstreams.close()
        with suppress(StoreUnavailable):
            leases.close()
            journal.append({"t": "close"})
        journal.close()


async def _watch_other_machines(db: Database, take_in: Callable[[], int]) -> None:
    """Changes made on other machines are not in this home's shared memory: ask for them, and say
    when they are known here."""
    if db.dialect == "sqlite":
        return
    seen: int | None = None
    while True:
        with suppress(StoreUnavailable):
            value = await asyncio.to_thread(poll_generation, db)
            if value != seen:
                await asyncio.to_thread(acknowledge, db, take_in)
            seen = value
        await asyncio.sleep(_POLL_SECONDS)


def run_worker(
    config: Config,
    listener: socket.socket,
    engines: EngineDirectory,
    pages: Callable[[Database, Gateway], ASGIApp],
    row: int,
    rows: int,
    applications: Callable[[Gateway], Applications] | None = None,
) -> None:
    """Serve until SIGTERM. To be called in a process of its own.

    Args:
        config: the configuration.
        listener: the socket that all workers share.
        engines: where the embedded engines listen.
        pages: makes the ASGI application of the pages.
        row: as for `open_gateway`.
        rows: as for `open_gateway`.
        applications: makes what knows the applications; None where none are served.
    """
    import uvloop

    _look_for_cycles_rarely()
    uvloop.run(_serve(config, listener, engines, pages, row, rows, applications))


async def _serve(
    config: Config,
    listener: socket.socket,
    engines: EngineDirectory,
    pages: Callable[[Database, Gateway], ASGIApp],
    row: int,
    rows: int,
    applications: Callable[[Gateway], Applications] | None,
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # The supervisor passes it on.
    db = Database(config.store_url, config.home, sync=config.journal.sync)
    async with open_gateway(config, db, engines, row=row, rows=rows) as gateway:
        gateway.applications = applications(gateway) if applications else None
        door = Router(
            gateway,
            pages=lambda: pages(db, gateway),
            metrics=lambda: render_metrics(db),
            engines=lambda: engine_states(config.home),
        )
        _allow_files(config.limits.connections)
        reception = HTTPServer(config, door)
        await reception.open(listener)
        await stop.wait()
        await reception.close(_DRAIN_SECONDS)
    db.close()


def _allow_files(connections: int) -> None:
    """Let this process open as many files as its connections need, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_intake(
    config: Config, beside: Callable[[Database, threading.Event], None] | None = None
) -> None:
    """Take journals in until SIGTERM, then once more. To be called in a process of its own.

    Args:
        config: the configuration.
        beside: what else this process does in a thread, until its event is set.
    """
    _look_for_cycles_rarely()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    db = Database(config.store_url, config.home, sync=config.journal.sync)
    intake = Intake(db, assemble=assemble)
    chore = threading.Thread(target=beside, args=(db, stop), daemon=True) if beside else None
    if chore is not None:
        chore.start()
    intake.run(stop)
    with suppress(StoreUnavailable):
        intake.take_in()
    if chore is not None:
        chore.join(_CHORE_SECONDS)
    db.close()


def _look_for_cycles_rarely() -> None:
    """A call makes a few hundred objects and hardly any cycle: looking for cycles after every 700
    objects is a tenth of a call's time at the door, and a thirtieth of it at the intake."""
    gc.set_threshold(20_000, 20, 50)
