"""Holds that agents can live with: prompts by what was reported, replies a portion at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx2
import orjson
import pytest

from noria.testing import FakeProvider, Reply
from noria.types import Subject, Usage
from tests.support.door import NANO_PER_TOKEN, Door, bearer, chat

AGENT_PRICES = """
[prices."fake:small"]
input = 5.0
output = 25.0
cached_input = 0.5
"""
DEAR_PRICES = """
[prices."fake:small"]
input = 1000.0
output = 20000.0
"""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "Reads and writes files of a project. " * 40,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for number in range(25)
]


def agent_call(question: str, **fields: object) -> bytes:
    """What a coding agent sends: many tools, long instructions, a limit that it never reaches."""
    messages = [
        {"role": "system", "content": "You write software. " * 500},
        {"role": "user", "content": question},
    ]
    body = {"model": "fake:small", "messages": messages, "tools": TOOLS, "max_tokens": 128_000}
    return orjson.dumps({**body, "stream": True, **fields})


def test_many_sessions_of_an_agent_run_at_once(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    door = new_door(AGENT_PRICES)
    secret = door.key(budget="5 USD/day")
    usage = Usage(input_tokens=12_000, output_tokens=40)
    fake.reply = Reply(text="Hello there, what shall we do?", usage=usage)
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", content=agent_call("Hello")).status_code == 200
    fake.reply = Reply(text="Hello there, what shall we do? " * 8, usage=usage, first_delay=1.5)

    async def sessions() -> list[int]:
        limits = httpx2.Limits(max_connections=60)
        async with httpx2.AsyncClient(
            base_url=door.url, headers=bearer(secret), limits=limits, timeout=60
        ) as client:
            calls = [
                client.post("/v1/chat/completions", content=agent_call(f"Task {number}"))
                for number in range(50)
            ]
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert asyncio.run(sessions()) == [200] * 50
    assert fake.most_at_once >= 50
    standing = door.budget(Subject.KEY)
    assert standing.held_nano == 0
    assert standing.spent_nano == 51 * (12_000 * 5_000 + 40 * 25_000)
    assert {request.body["max_tokens"] for request in fake.requests} == {128_000}


@pytest.mark.parametrize("written", [300, 5000])
def test_a_hold_grows_with_its_stream(
    new_door: Callable[..., Door], fake: FakeProvider, written: int
) -> None:
    """What is held at any time pays for all that was written, and for no whole limit."""
    door = new_door(AGENT_PRICES + "[routing]\nhold_portion = 256\n")
    secret = door.key(budget="1 USD/day")
    fake.reply = Reply(text=" word" * written)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", content=agent_call("Go on", max_tokens=20_000))
    assert answer.status_code == 200
    assert b'"finish_reason":"stop"' in answer.content
    (span,) = door.spans()
    assert span.output_tokens == written
    assert span.cost_nano == door.budget(Subject.KEY).spent_nano
    assert not span.overrun
    assert door.budget(Subject.KEY).held_nano == 0


def test_a_stream_ends_where_the_money_does(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    """The answer ends as at any other limit, and no more than 64 tokens are paid beyond it."""
    door = new_door("[routing]\nhold_portion = 200\n" + DEAR_PRICES)
    body = orjson.dumps(chat("Hi", max_tokens=100_000, stream=True))
    secret = door.key(budget="20 USD")
    fake.reply = Reply(text=" word" * 5_000, delay=0.001)
    with door.client(secret) as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"length"' in answer.content
    (span,) = door.spans()
    assert span.status == "ok"
    assert span.attributes["cut"] == "budget"
    assert door.budget(Subject.KEY).held_nano == 0
    assert door.budget(Subject.KEY).spent_nano <= 20 * 10**9 + 64 * NANO_PER_TOKEN
    assert fake.owed["small"].output_tokens < 5_000
    assert fake.requests[0].done.wait(5)
    assert fake.requests[0].hung_up
