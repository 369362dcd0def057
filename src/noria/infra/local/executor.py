"""An executor over processes of this machine: kept warm, one piece of work in each at a time."""

from __future__ import annotations

import contextvars
import inspect
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from noria.apps.run.context import running
from noria.infra.executor import WorkerDied
from noria.infra.local.process import WorkerProcess
from noria.infra.mapping import in_order
from noria.infra.resources import Resources, must_fit
from noria.infra.values import explain
from noria.infra.work import Outcome, Work, work_for
from noria.tracing import current

__all__ = ["LocalExecutor", "machine"]

T = TypeVar("T")

_ATTEMPTS = 3
"""How often idempotent work is begun, at most."""
_WARM = 8
"""Processes that are kept without work."""


def machine() -> dict[str, float]:
    """What this machine has."""
    gpus = Path("/proc/driver/nvidia/gpus")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "gpus": len(list(gpus.iterdir())) if gpus.is_dir() else 0,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


class LocalExecutor:
    """Runs functions in processes of this machine.

    Args:
        has: what may be used in all, by name; by default all that the machine has.
    """

    def __init__(self, has: Mapping[str, float] | None = None) -> None:
        self._has = dict(has if has is not None else machine())
        self._free = dict(self._has)
        self._gpus = list(range(int(self._has.get("gpus", 0))))
        self._room = threading.Condition()
        self._idle: deque[WorkerProcess] = deque()
        self._busy: dict[Future[Any], WorkerProcess] = {}
        self._cancelled: set[Future[Any]] = set()
        self._closed = False

    def submit(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        idempotent: bool = False,
        **kwargs: Any,
    ) -> Future[T]:
        wanted = self._fitting(Resources.of(cpus, gpus, memory, custom))
        work = work_for(function)
        return self._begin(work, function, args, kwargs, wanted, _ATTEMPTS if idempotent else 1)

    def map(
        self,
        function: Callable[[Any], T],
        items: Iterable[Any],
        *,
        concurrency: int | None = None,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        idempotent: bool = False,
    ) -> Iterator[T]:
        asked = {"cpus": cpus, "gpus": gpus, "memory": memory, "custom": custom}
        self._fitting(Resources.of(**asked))  # type: ignore[arg-type]
        begin = contextvars.copy_context().run
        return in_order(
            lambda item: begin(self.submit, function, item, idempotent=idempotent, **asked),  # type: ignore[arg-type]
            self.cancel,
            items,
            concurrency or max(1, int(self._has["cpus"])),
        )

    def stream(
        self,
        function: Callable[..., Iterable[T]],
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> Iterator[T]:
        wanted = self._fitting(Resources.of(cpus, gpus, memory, custom))
        return self._pieces(work_for(function), function, args, kwargs, wanted)

    def gang(
        self,
        function: Callable[..., T],
        size: int,
        /,
        *args: Any,
        cpus: float = 1,
        gpus: float = 0,
        memory: str | int | None = None,
        custom: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> list[Future[T]]:
        one = Resources.of(cpus, gpus, memory, custom)
        whole = self._fitting(_times(one, size))
        work = work_for(function)
        taken = self._take(whole)
        members: list[Future[T]] = []
        left = [size]

        def ended(member: Future[T]) -> None:
            with self._room:
                left[0] -= 1
                last = left[0] == 0
            if last:
                self._give_back(whole, taken)
            if member.cancelled() or member.exception() is not None:
                for other in members:
                    self.cancel(other)

        share = len(taken) // size if size else 0
        for rank in range(size):
            mine = taken[rank * share : (rank + 1) * share]
            members.append(
                self._begin(work, function, (rank, size, *args), kwargs, None, 1, tuple(mine))
            )
        for member in members:
            member.add_done_callback(ended)
        return members

    def cancel(self, future: Future[Any]) -> None:
        if future.cancel() or future.done():
            return
        with self._room:
            process = self._busy.get(future)
            self._cancelled.add(future)
            self._room.notify_all()
        if process is not None:
            process.kill()

    def close(self) -> None:
        with self._room:
            self._closed = True
            processes = [*self._idle, *self._busy.values()]
            self._idle.clear()
            self._room.notify_all()
        for process in processes:
            process.kill()

    # One piece of work

    def _begin(
        self,
        work: Work,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wanted: Resources | None,
        attempts: int,
        gpus: tuple[int, ...] = (),
    ) -> Future[T]:
        _must_travel(work, function, args, kwargs)
        future: Future[T] = Future()
        context, run = current.get(), running.get()

        def labour() -> None:
            mine = gpus
            try:
                if wanted is not None:
                    mine = self._take(wanted, future)
                try:
                    future.set_running_or_notify_cancel()
                    outcome = self._done(future, work, args, kwargs, mine, attempts)
                finally:
                    if wanted is not None:
                        self._give_back(wanted, mine)
                future.set_result(outcome.settle(context, run))
            except BaseException as failure:  # noqa: BLE001 - it is raised where it is waited for
                if not future.done():
                    future.set_exception(failure)
            finally:
                with self._room:
                    self._cancelled.discard(future)

        # Not the thread's business whose run it is: the ticket says so in the worker.
        threading.Thread(
            target=contextvars.Context().run, args=(labour,), name="noria-work", daemon=True
        ).start()
        return future

    def _done(
        self,
        future: Future[Any],
        work: Work,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        gpus: tuple[int, ...],
        attempts: int,
    ) -> Outcome:
        for attempt in range(attempts):
            process = self._process(gpus, work.folder, work.home)
            with self._room:
                self._busy[future] = process
                stopped = future in self._cancelled
            try:
                if stopped:
                    raise CancelledError
                outcome = process.do(work, args, kwargs)
                self._keep(process)
                return outcome
            except WorkerDied:
                if future in self._cancelled:
                    raise CancelledError from None
                if attempt + 1 == attempts or self._closed:
                    raise
            finally:
                with self._room:
                    self._busy.pop(future, None)
        raise AssertionError("unreachable")

    def _pieces(
        self,
        work: Work,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wanted: Resources,
    ) -> Iterator[Any]:
        _must_travel(work, function, args, kwargs)
        context, run = current.get(), running.get()
        gpus = self._take(wanted)
        process = self._process(gpus, work.folder, work.home)
        ended = False
        try:
            for piece in process.stream(work, args, kwargs):
                if isinstance(piece, Outcome):
                    ended = True
                    piece.settle(context, run)
                else:
                    yield piece
        finally:
            if ended:
                self._keep(process)
            else:
                process.kill()
            self._give_back(wanted, gpus)

    # Processes and what they have

    def _fitting(self, wanted: Resources) -> Resources:
        must_fit(wanted, [self._has], "this machine")
        return replace(wanted, gpus=math.ceil(wanted.gpus))  # one of ours is not shared

    def _take(self, wanted: Resources, future: Future[Any] | None = None) -> tuple[int, ...]:
        """Wait until there is room, and take it; the numbers of the graphics processors."""
        asked = wanted.table()
        with self._room:
            while not all(self._free[name] >= amount for name, amount in asked.items()):
                if self._closed or (future is not None and future in self._cancelled):
                    raise CancelledError
                self._room.wait()
            if future is not None and (future.cancelled() or future in self._cancelled):
                raise CancelledError
            for name, amount in asked.items():
                self._free[name] -= amount
            whole = int(wanted.gpus)
            taken, self._gpus = self._gpus[:whole], self._gpus[whole:]
            return tuple(taken)

    def _give_back(self, wanted: Resources, gpus: tuple[int, ...]) -> None:
        with self._room:
            for name, amount in wanted.table().items():
                self._free[name] += amount
            self._gpus += gpus
            self._room.notify_all()

    def _process(
        self, gpus: tuple[int, ...], folder: str | None, home: str | None
    ) -> WorkerProcess:
        with self._room:
            for process in tuple(self._idle):
                if not process.alive:
                    self._idle.remove(process)
                elif process.kind == (gpus, folder, home):
                    self._idle.remove(process)
                    return process
        return WorkerProcess(gpus, folder, home)

    def _keep(self, process: WorkerProcess) -> None:
        with self._room:
            keep = not self._closed and len(self._idle) < _WARM
            if keep:
                self._idle.append(process)
        if not keep:
            process.kill()


def _must_travel(
    work: Work, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    names = tuple(inspect.signature(function).parameters)
    wrong = explain(work.title, args, kwargs, names)
    if wrong is not None:
        raise wrong


def _times(one: Resources, size: int) -> Resources:
    custom = {name: amount * size for name, amount in one.custom.items()}
    return Resources(one.cpus * size, one.gpus * size, one.memory * size, custom)
