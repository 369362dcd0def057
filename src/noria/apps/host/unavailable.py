"""Answering for applications that cannot answer: 503 to whoever calls, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson

from noria.errors import ApiError
from noria.headers import whole_answer

__all__ = ["answer_unavailable"]

_BACKLOG = 512
_READ_SECONDS = 5.0


@asynccontextmanager
async def answer_unavailable(
    listener: socket.socket, reason: str, wait: int
) -> AsyncIterator[None]:
    """Refuse every call that comes in on a socket, as long as this lasts.

    Args:
        listener: the socket; it stays open.
        reason: why.
        wait: seconds after which it is worth trying again.
    """
    error = ApiError(503, "app_unavailable", reason, retry_after=wait)
    answer = whole_answer(503, [(b"retry-after", b"%d" % wait)], orjson.dumps(error.body()))

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # What was sent is read to its end first, or the answer might get lost.
        with suppress(TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            async with asyncio.timeout(_READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.I)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, sock=listener.dup(), backlog=_BACKLOG)
    try:
        yield
    finally:
        server.close()
