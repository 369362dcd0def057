"""How answers go out: whole, as a stream, or broken on purpose, and what each is owed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from noria.testing.answers import Chat
from noria.testing.http import Connection
from noria.testing.replies import Fault, Reply
from noria.types import Usage

__all__ = ["Bill", "Owed", "plain", "send", "stream"]

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Owed:
    """What a provider would put on its bill: answers that it finished, and of streams that were
    cut the prompt and the tokens that it wrote."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Owed) -> Owed:
        return Owed(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


Bill = Callable[[Owed], None]
"""Adds to what a model's use is owed. It is called before the bytes go out, so that a client that
has seen an answer finds it on the bill."""


def send(
    client: Connection,
    status: int,
    answer: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send one JSON answer as it is."""
    body = orjson.dumps(answer)
    client.start(status, {**_JSON, **(headers or {})}, len(body))
    client.write(body)


async def plain(
    answer: Mapping[str, Any], usage: Usage, reply: Reply, client: Connection, bill: Bill
) -> None:
    """Send a whole answer, or what its fault makes of it."""
    body = orjson.dumps(answer)
    half = body[: len(body) // 2]
    headers = {**_JSON, **reply.headers}
    match reply.fault:
        case None | Fault.NO_USAGE:
            bill(Owed(1, usage.input_tokens, usage.output_tokens))
            client.start(200, headers, len(body))
            client.write(body)
        case Fault.MALFORMED_JSON:
            client.start(200, headers, len(half))
            client.write(half)
        case Fault.MALFORMED_SSE:
            page = b"<html><body>Bad gateway</body></html>"
            client.start(200, {"content-type": "text/html"}, len(page))
            client.write(page)
        case Fault.HUGE_BODY:
            client.start(200, headers, reply.huge_bytes)
            await _pour(client, reply.huge_bytes, client.write)
        case fault:
            client.start(200, headers, len(body))
            client.write(half)
            await _break_off(fault, client)


async def stream(chat: Chat, reply: Reply, client: Connection, bill: Bill) -> None:
    """Send an answer as server-sent events, or what its fault makes of it."""
    client.start(200, {"content-type": "text/event-stream", **reply.headers}, None)
    events = list(chat.events())
    match reply.fault:
        case None | Fault.NO_USAGE:
            broken_at = len(events)
        case Fault.MALFORMED_SSE:
            client.chunk(b"<html>\n<body>Bad gateway</body>\n</html>\n")
            client.chunk(b"")
            return
        case _:
            broken_at = len(events) // 2
    bill(Owed(1, chat.usage.input_tokens))
    written = 0
    for position, (event, tokens) in enumerate(events[:broken_at]):
        if position and reply.delay:
            await asyncio.sleep(reply.delay)
        written += tokens
        bill(Owed(output_tokens=tokens))
        client.chunk(chat.framed(event))
        await client.drain()
    if broken_at < len(events):
        await _break_stream(reply, orjson.dumps(events[broken_at][0]), client)
        return
    bill(Owed(output_tokens=chat.usage.output_tokens - written))
    if chat.done:
        client.chunk(chat.done)
    client.chunk(b"")


async def _break_stream(reply: Reply, event: bytes, client: Connection) -> None:
    assert reply.fault is not None
    match reply.fault:
        case Fault.MALFORMED_JSON:
            client.chunk(b"data: %b\n\n" % event[: len(event) // 2])
            client.chunk(b"data: [DONE]\n\n")
        case Fault.HUGE_BODY:
            client.chunk(b"data: ")
            await _pour(client, reply.huge_bytes, client.chunk)
            client.chunk(b"\n\n")
        case fault:
            await _break_off(fault, client)
            return
    client.chunk(b"")


async def _pour(client: Connection, size: int, write: Callable[[bytes], None]) -> None:
    """Send `size` bytes no faster than the client reads them."""
    piece = b"x" * 65536
    for start in range(0, size, len(piece)):
        write(piece[: size - start])
        await client.drain()


async def _break_off(fault: Fault, client: Connection) -> None:
    """Stop in the middle of a body: silence, a reset, or an orderly but early end."""
    if fault is Fault.STALL_MID_STREAM:
        await asyncio.Event().wait()
    # What was written must reach the client first, else there would be no middle.
    await asyncio.sleep(0.05)
    if fault is Fault.RESET_MID_STREAM:
        client.reset()
    else:
        client.close()
