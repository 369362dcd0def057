"""A run is followed into threads and pools of threads and processes, and into no other."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from noria import Label, check, step
from noria.apps.run import standalone as plain
from noria.errors import ApiError
from noria.store import mark_of
from noria.tracing import current
from noria.types import SpanKind
from tests.support.plain import Home


@step
def square(number: int) -> int:
    return number * number


@step
def process_of(number: int) -> int:
    return os.getpid()


@step
def read_secret(name: str) -> str:
    """Reads something confidential in a child process."""
    call_context = current.get()
    assert call_context is not None
    asyncio.run(call_context.runtime.labels.raise_to(call_context.trace, Label.CONFIDENTIAL))
    return name


def parents(home: Home) -> set[str | None]:
    return {span.parent_id for span in home.spans(SpanKind.STEP)}


def test_threads_and_pools(home: Home) -> None:
    @home.app().task
    def work() -> list[int]:
        thread = threading.Thread(target=square, args=(9,))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(2) as pool:
            return [*pool.map(square, range(3)), pool.submit(square, 5).result()]

    assert work() == [0, 1, 4, 25]
    assert len(home.spans(SpanKind.STEP)) == 5
    assert parents(home) == {home.one(SpanKind.APP).id}


def test_an_executor_of_an_event_loop(home: Home) -> None:
    @home.app().task
    async def work() -> int:
        with ThreadPoolExecutor(1) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, square, 4)

    assert asyncio.run(work()) == 16
    assert parents(home) == {home.one(SpanKind.APP).id}


def test_a_shared_pool_does_not_mix_runs_up(home: Home) -> None:
    with ThreadPoolExecutor(1) as pool:

        @home.app().task
        def work(number: int) -> int:
            return pool.submit(square, number).result()

        assert [work(1), work(2)] == [1, 4]
        # The pool's thread was begun in a run, and works outside of any now.
        assert pool.submit(current.get).result() is None
    roots = {span.id: home.content(span)[0]["number"] for span in home.spans(SpanKind.APP)}
    steps = {span.parent_id: home.content(span)[0]["number"] for span in home.spans(SpanKind.STEP)}
    assert steps == roots


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_pools_join_the_trace(home: Home, method: str) -> None:
    app = home.app()

    @app.task
    def work() -> list[int]:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            others = [pool.submit(process_of, number) for number in range(3)]
            return [*(one.result() for one in others), *pool.map(square, range(2))]

    seen: list[Any] = []

    @check(work)
    def look(process_of: list[int], reply: list[int]) -> bool:
        seen.append(process_of)
        return sorted(process_of) == sorted(reply[:3])

    pids = work()
    assert os.getpid() not in pids[:3]
    assert pids[3:] == [0, 1]
    home.ended()
    root = home.one(SpanKind.APP)
    steps = home.spans(SpanKind.STEP)
    assert len(steps) == 5
    assert {span.trace_id for span in steps} == {root.trace_id}
    assert parents(home) == {root.id}
    assert {(span.app, span.key_id) for span in steps} == {(root.app, root.key_id)}
    assert home.one(SpanKind.CHECK).attributes["outcome"] == "pass"
    assert len(seen[0]) == 3


def test_what_a_child_process_reads_binds_the_run(home: Home) -> None:
    app = home.app()

    @app.task
    async def work() -> str:
        with ProcessPoolExecutor(1) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, read_secret, "pay")
        return await app.model.ask("", question="x")

    with pytest.raises(ApiError) as refused:
        asyncio.run(work())
    assert refused.value.code == "label_exceeds_clearance"
    assert home.fake.requests == []
    trace = home.one(SpanKind.APP).trace_id
    assert mark_of(plain.open_plainly().db, trace) is Label.CONFIDENTIAL


def test_a_forked_child_without_a_ticket_is_nowhere(home: Home) -> None:
    app = home.app()

    @app.task
    def work() -> bool:
        context = multiprocessing.get_context("fork")
        reader, writer = context.Pipe()
        child = context.Process(target=lambda: writer.send((current.get() is None, square(3))))
        child.start()
        child.join()
        return bool(reader.recv() == (True, 9))

    assert work() is True
    assert home.spans(SpanKind.STEP) == []
