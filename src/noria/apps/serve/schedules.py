"""What an application does by itself: tasks and indexes that are due at certain times (in UTC).

Each due time is a row in the store, which one process takes. One that nobody took within a minute
was missed: it is noted and not made up for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from noria.apps.serve.callers import system_key
from noria.errors import NoriaError, StoreUnavailable
from noria.tracing import CallContext, Trace
from noria.types import from_nanoseconds, utc_now

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.gateway import Gateway
    from noria.store import Database

__all__ = ["Timetable", "read_cron", "system_context"]

log = logging.getLogger("noria.apps")

GRACE = timedelta(seconds=60)
"""How late a task may begin, because its process was just starting again."""
_LONGEST_SLEEP = 30.0
_AWAY_SECONDS = 5.0
_LOOK_BACK = timedelta(days=7)


def read_cron(line: str, after: datetime | None = None) -> Iterator[datetime]:
    """The instants of a cron line, in UTC, in order.

    Args:
        line: minute, hour, day of the month, month, day of the week.
        after: the instants are later than this one; by default later than now.

    Raises:
        ValueError: it is no cron line.
    """
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(line, after or utc_now())
    except CronSimError as wrong:
        raise ValueError(
            f"{line!r} is no cron line ({wrong}); write minute, hour, day, month and weekday, such "
            'as "0 6 * * *"'
        ) from None


def system_context(gateway: Gateway, app: App) -> CallContext:
    """Where an application does something by itself: a trace of its own, under its own key."""
    content = gateway.config.recording.content and app.record_content
    return CallContext(gateway, Trace(system_key(app.name)), app=app.name, content=content)


@dataclass(frozen=True, slots=True)
class _Entry:
    app: App
    name: str
    """The task's name; of an index `index:` and its name."""
    line: str
    run: Callable[[CallContext], Awaitable[Any]]


class Timetable:
    """Keeps the schedules of an application.

    Args:
        apps: the applications of this process.
        gateway: its core.
        db: the store.
        holder: this process's name among those that may run a task.
    """

    def __init__(self, apps: list[App], gateway: Gateway, db: Database, holder: str) -> None:
        self._gateway = gateway
        self._db = db
        self._holder = holder
        self._entries = [entry for app in apps for entry in _entries(app)]
        self._keeping: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to keep them."""
        self._keeping = [asyncio.create_task(self._keep(entry)) for entry in self._entries]

    async def stop(self, patience: float) -> None:
        """Begin nothing more, and let what runs end for so many seconds; then it is cancelled."""
        for task in self._keeping:
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=patience)
        for task in tuple(self._running):
            task.cancel()

    async def _keep(self, entry: _Entry) -> None:
        while True:
            try:
                due = await asyncio.to_thread(self._plan, entry, utc_now())
            except StoreUnavailable as away:
                log.warning("%s.%s cannot be scheduled: %s", entry.app.name, entry.name, away)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            wait = (due - utc_now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP))
                continue
            task = asyncio.create_task(self._fire(entry, due))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await asyncio.wait([task], timeout=0.5)  # until it has taken its time, or nearly so

    def _plan(self, entry: _Entry, now: datetime) -> datetime:
        """The next due time, which may have come; what was missed before it is noted."""
        from noria.store.schedules import miss_firings, plan_firing, waiting_firings

        app, name = entry.app.name, entry.name
        waiting = [from_nanoseconds(due) for due in waiting_firings(self._db, app, name)]
        late = [due for due in waiting if due < now - GRACE]
        if late:
            missed = set(late)
            for due in read_cron(entry.line, max(min(late), now - _LOOK_BACK)):
                if due >= now - GRACE:
                    break
                missed.add(due)
            miss_firings(self._db, app, name, [_nanoseconds(due) for due in missed])
        ready = [due for due in waiting if now - GRACE <= due <= now]
        if ready:
            return ready[0]
        following = next(read_cron(entry.line, now))
        if following not in waiting:
            plan_firing(self._db, app, name, _nanoseconds(following))
        return following

    async def _fire(self, entry: _Entry, due: datetime) -> None:
        from noria.store.schedules import claim_firing, end_firing

        app, name, due_ns = entry.app.name, entry.name, _nanoseconds(due)
        context = system_context(self._gateway, entry.app)
        try:
            if not await asyncio.to_thread(
                claim_firing, self._db, app, name, due_ns, self._holder, context.trace.id
            ):
                return
            error: str | None = None
            try:
                await entry.run(context)
            except NoriaError as failure:
                error = failure.message
            except Exception as failure:
                log.exception("%s.%s failed", app, name)
                error = f"{type(failure).__name__}: {failure}"
            await asyncio.to_thread(end_firing, self._db, app, name, due_ns, error)
        except StoreUnavailable as away:
            log.warning("%s.%s: its schedule cannot be kept: %s", app, name, away)


def _entries(app: App) -> Iterator[_Entry]:
    from noria.apps.run.run import start

    for name, line in app.schedules.items():

        async def run(context: CallContext, name: str = name) -> None:
            await start(app, name, {}, context).result()

        yield _Entry(app, name, line, run)
    for index in app.indexes.values():
        if index.refresh is not None:
            yield _Entry(app, f"index:{index.name}", index.refresh, index.build)


def _nanoseconds(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp()) * 1_000_000_000
