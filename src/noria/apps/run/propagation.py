"""The run that code is in follows it into threads and process pools.

Context variables follow tasks and `asyncio.to_thread` by themselves. With `follow_threads` they
also follow `threading.Thread`, `ThreadPoolExecutor` (each piece of work has the context it was
handed in with) and, as a ticket, `ProcessPoolExecutor`.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from noria.apps.run.context import running
from noria.tracing import current

__all__ = ["follow_threads"]

_following = False


def follow_threads() -> None:
    """Have threads and pools of this process follow; once is enough."""
    global _following
    if _following:
        return
    _following = True
    _follow_into_threads()
    _follow_into_thread_pools()
    _follow_into_process_pools()


def _follow_into_threads() -> None:
    begin = threading.Thread.start

    def start(self: threading.Thread) -> None:
        if current.get() is not None:
            context, run = contextvars.copy_context(), self.run
            self.run = lambda: context.run(run)  # type: ignore[method-assign]
        begin(self)

    threading.Thread.start = start  # type: ignore[method-assign]


def _follow_into_thread_pools() -> None:
    hand_in = ThreadPoolExecutor.submit

    def submit(self: ThreadPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        # Even outside of any run: the thread may have been begun inside of one.
        return hand_in(self, contextvars.copy_context().run, fn, *args, **kwargs)

    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign, assignment]


def _follow_into_process_pools() -> None:
    hand_in = ProcessPoolExecutor.submit

    def submit(self: ProcessPoolExecutor, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        call_context, run = current.get(), running.get()
        if call_context is None:
            return hand_in(self, fn, *args, **kwargs)
        from noria.apps.run.tickets import Carried, ticket

        handed = hand_in(self, Carried(ticket(call_context, run), fn), *args, **kwargs)
        step = getattr(fn, "__noria_step__", None)
        if step is not None and run is not None:
            handed.add_done_callback(
                lambda done: (
                    None
                    if done.cancelled() or done.exception()
                    else run.stepped(step.name, done.result())
                )
            )
        return handed

    ProcessPoolExecutor.submit = submit  # type: ignore[method-assign, assignment]
