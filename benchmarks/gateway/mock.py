"""The upstream of the benchmark: answers at once, always the same. Its own cost is not counted.

    python mock.py PORT CORE

A stream is 50 chunks of one token, each written by itself with other connections served in
between, so that a server sees them one after the other. To a request with the word "slowly" they
come ten milliseconds apart, as a model's would.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httptools
import orjson
import uvloop

STREAM_CHUNKS = 50
PACE_SECONDS = 0.01
_WORDS = [f" word{number}" for number in range(STREAM_CHUNKS)]
_HEAD: dict[str, Any] = {"id": "chatcmpl-mock", "created": 1_700_000_000, "model": "bench"}
_USAGE = {"prompt_tokens": 90, "completion_tokens": STREAM_CHUNKS, "total_tokens": 140}


def _plain() -> bytes:
    message = {"role": "assistant", "content": "".join(_WORDS), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = orjson.dumps(
        {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _chunk(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    event = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return _framed(b"data: %b\n\n" % orjson.dumps(event))


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])


PLAIN = _plain()
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
STREAM = [
    _delta({"role": "assistant", "content": ""}),
    *(_delta({"content": word}) for word in _WORDS),
    _delta({}, "stop"),
    _chunk([], _USAGE),
    _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n",
]


class Upstream(asyncio.Protocol):
    """One connection of the server under test."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = bytearray()
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams:
            stream.cancel()

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, bytearray()
        if b'"stream":true' in body or b'"stream": true' in body:
            pace = PACE_SECONDS if b"slowly" in body else 0
            stream = asyncio.ensure_future(self._stream(pace))
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        else:
            self._transport.write(PLAIN)

    async def _stream(self, pace: float) -> None:
        self._transport.write(STREAM_HEAD)
        for piece in STREAM:
            self._transport.write(piece)
            await asyncio.sleep(pace)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    uvloop.run(_serve(int(sys.argv[1])))
