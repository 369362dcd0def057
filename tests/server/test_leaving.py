"""A caller who leaves, at whichever step: what was held is let go and the call is recorded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from noria.config import load
from noria.gateway import Gateway
from noria.gateway.attempt import Attempt
from noria.gateway.call import Call
from noria.http import BufferedSink
from noria.models import Endpoint, assemble
from noria.server import open_gateway
from noria.store import Key, budget_status, create_key, find_spans, open_database, take_in
from noria.testing import FakeProvider, Fault, Reply
from noria.types import Budget, Span, Status
from tests.support.door import PRICES, chat

pytest_plugins = ["tests.support.door"]


def admit(gateway: Gateway, key: Key) -> Call:
    call = gateway.admit(Endpoint.CHAT, key, orjson.dumps(chat()), BufferedSink())
    assert call is not None
    return call


async def answered(gateway: Gateway, key: Key) -> None:
    """One call to its end, which leaves an open connection and leased money behind."""
    await gateway.call(Endpoint.CHAT, key, orjson.dumps(chat()), BufferedSink())


def left(
    folder: Path, fake: FakeProvider, leave: Callable[[Gateway, Key], Awaitable[None]]
) -> tuple[Span, int, int]:
    """The span of a call whose caller left, and what its budget has spent and holds."""
    (folder / "noria.toml").write_text(
        f'[providers.fake]\nbase_url = "{fake.url}"\nprompt_allowance = 0\n{PRICES}'
        "[routing]\nretries = 2\nbackoff_seconds = 0.01\n"
    )
    config = load(folder / "noria.toml", environ={})
    db = open_database(config)
    key, _ = create_key(db, budget=Budget.parse("100 USD/day"), concurrency=1)

    async def run() -> None:
        async with open_gateway(config, db) as gateway:
            for _ in range(2):  # the first leases what it needs, the second a portion
                await answered(gateway, key)
            await leave(gateway, key)
            await answered(gateway, key)  # the one that left counts no more

    asyncio.run(run())
    take_in(db, assemble)
    spans = find_spans(db).rows
    assert [span.status for span in (spans[0], *spans[2:])] == [Status.OK] * 3
    (budget,) = budget_status(db)
    assert budget.spent_nano == sum(span.cost_nano for span in spans)
    db.close()
    return spans[1], spans[1].cost_nano, budget.held_nano


def test_before_the_hold_is_written_nothing_is_asked(tmp_path: Path, fake: FakeProvider) -> None:
    async def leave(gateway: Gateway, key: Key) -> None:
        call = admit(gateway, key)
        call.begin()
        call.cancel()

    span, cost, held = left(tmp_path, fake, leave)
    assert (span.status, cost, held) == (Status.CANCELLED, 0, 0)
    assert len(fake.requests) == 3


def test_while_the_upstream_works(tmp_path: Path, fake: FakeProvider) -> None:
    async def leave(gateway: Gateway, key: Key) -> None:
        fake.queue(Reply(fault=Fault.STALL))
        call = admit(gateway, key)
        call.begin()
        await asyncio.to_thread(fake.wait_for_requests, 3)
        call.cancel()

    span, cost, held = left(tmp_path, fake, leave)
    assert (span.status, held) == (Status.CANCELLED, 0)
    assert cost > 0  # the provider has read the prompt


def test_between_a_failure_and_the_next_attempt(tmp_path: Path, fake: FakeProvider) -> None:
    async def leave(gateway: Gateway, key: Key) -> None:
        fake.queue(Reply(status=500))
        call = admit(gateway, key)
        tasks = asyncio.all_tasks()
        call.begin()
        async with asyncio.timeout(10):
            while asyncio.all_tasks() <= tasks:
                await asyncio.sleep(0)
        call.cancel()  # the task that would try again has not taken its first step

    span, _, held = left(tmp_path, fake, leave)
    assert (span.status, held) == (Status.CANCELLED, 0)
    assert len(fake.requests) == 4


@pytest.mark.parametrize("times", [1, 2])
def test_leaving_after_the_end_changes_nothing(
    tmp_path: Path, fake: FakeProvider, times: int
) -> None:
    async def leave(gateway: Gateway, key: Key) -> None:
        call = admit(gateway, key)
        await call.run()
        for _ in range(times):
            call.cancel()

    span, cost, held = left(tmp_path, fake, leave)
    assert (span.status, held) == (Status.OK, 0)
    assert cost > 0


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_of_an_answered_call_waits_for_the_garbage_collector(
    tmp_path: Path, fake: FakeProvider, stream: bool
) -> None:
    async def leave(gateway: Gateway, key: Key) -> None:
        gc.disable()
        try:
            sink = BufferedSink()
            call = gateway.admit(Endpoint.CHAT, key, orjson.dumps(chat(stream=stream)), sink)
            assert call is not None
            call.begin()
            assert [piece async for piece in sink.pieces()]
            del call, sink
            for _ in range(3):
                await asyncio.sleep(0)  # what the loop still holds is let go
            assert [one for one in gc.get_objects() if isinstance(one, Attempt)] == []
        finally:
            gc.enable()

    span, _, held = left(tmp_path, fake, leave)
    assert (span.status, span.stream, held) == (Status.OK, stream, 0)
