"""Between code that awaits and code that does not."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from noria.tracing import blocked_loop

__all__ = ["from_generator", "in_thread", "in_time", "iterate", "wait"]

T = TypeVar("T")

_THREADS = 64
_threads: ThreadPoolExecutor | None = None


def _after_fork() -> None:
    global _threads
    _threads = None  # threads do not come along


os.register_at_fork(after_in_child=_after_fork)


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function in a thread, under the same context; what it may block is the thread alone.

    There are more of these threads than asyncio's own, since a function of an application may wait
    for a model in one of them.
    """
    global _threads
    if _threads is None:
        _threads = ThreadPoolExecutor(_THREADS, "noria-run")
    context = contextvars.copy_context()
    call = partial(context.run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


async def from_generator(generator: Generator[T, None, None]) -> AsyncIterator[T]:
    """What a generator yields, each piece made in a thread."""
    end: Any = object()
    try:
        while (piece := await in_thread(next, generator, end)) is not end:
            yield piece
    finally:
        await in_thread(generator.close)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def in_time(seconds: float, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function, and wait for it at most so long. A function cannot be stopped: then it goes
    on in its thread, and what it gives is dropped.

    Raises:
        TimeoutError: it did not end in time.
    """
    promised: Future[T] = Future()
    context = _waited_for()

    def work() -> None:
        try:
            promised.set_result(context.run(function, *args, **kwargs))
        except BaseException as failure:  # noqa: BLE001 - it is raised in the thread that waits
            promised.set_exception(failure)

    threading.Thread(target=work, daemon=True).start()
    try:
        return promised.result(seconds)
    except TimeoutError:
        if promised.done():
            raise
        raise TimeoutError(f"It did not end within {seconds:g} s.") from None


def wait(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine, for code that does not await. It runs on a loop of its own, in
    this thread or, where a loop runs in this one already, in another."""
    if _running_loop() is None:
        return asyncio.run(make())
    found: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(asyncio.run(make()))
        except BaseException as failure:  # noqa: BLE001 - it is raised in the thread that waits
            failed.append(failure)

    helper = threading.Thread(target=_waited_for().run, args=(work,), daemon=True)
    helper.start()
    helper.join()
    if failed:
        raise failed[0]
    return found[0]


def iterate(make: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """What an asynchronous iterator gives, for code that does not await. Leaving early ends it."""
    pieces: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    begun = threading.Event()

    async def carry() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        begun.set()
        async for piece in make():
            pieces.put((True, piece))

    def work() -> None:
        last: BaseException | None = None
        try:
            asyncio.run(carry())
        except BaseException as failure:  # noqa: BLE001 - it is raised in the thread that reads
            last = failure
        pieces.put((False, last))

    helper = threading.Thread(target=_waited_for().run, args=(work,), daemon=True)
    helper.start()
    try:
        while True:
            more, piece = pieces.get()
            if not more:
                if piece is not None:
                    raise piece
                return
            yield piece
    finally:
        if helper.is_alive():
            begun.wait()
            loop, task = running[0]
            with contextlib.suppress(RuntimeError):  # it ended just now
                loop.call_soon_threadsafe(task.cancel)
            helper.join()


def _waited_for() -> contextvars.Context:
    """The context for work in another thread that this one waits for: it knows whose loop stands
    still meanwhile."""
    context = contextvars.copy_context()
    loop = _running_loop()
    if loop is not None:
        context.run(blocked_loop.set, loop)
    return context
