"""A small HTTP/1.1 server that may misbehave: llhttp parses, the answer writes what it likes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools

__all__ = ["Connection", "Request"]


@dataclass(slots=True)
class Request:
    """One request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


@dataclass(slots=True)
class _Arriving:
    url: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """One connection: requests are answered in order by `answer(request, connection)`, which is
    cancelled when the client hangs up."""

    def __init__(
        self,
        answer: Callable[[Request, Connection], Awaitable[None]],
        open_connections: set[Connection],
    ) -> None:
        self._answer = answer
        self._open = open_connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._arriving = _Arriving()
        self._waiting: asyncio.Queue[Request] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)
        self._task = asyncio.ensure_future(self._run())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._open.discard(self)
        self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self._transport.close()

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._arriving = _Arriving()

    def on_url(self, url: bytes) -> None:
        self._arriving.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._arriving.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._arriving.body += body

    def on_message_complete(self) -> None:
        came = self._arriving
        self._waiting.put_nowait(
            Request(
                self._parser.get_method().decode(),
                came.url.decode("latin-1").partition("?")[0],
                {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in came.headers},
                bytes(came.body),
                self._parser.should_keep_alive(),
            )
        )

    # What the answer calls.

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""
        await self._writable.wait()

    def start(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Send the status and the headers; without a `length` the body is chunked."""
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", framing]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        """Send one piece of a chunked body; the empty piece ends it."""
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def close(self) -> None:
        """Send what is left, then close in good order."""
        self._transport.close()

    def reset(self) -> None:
        """Drop the connection so that the client sees a reset."""
        # With a linger time of zero the kernel sends RST in place of FIN.
        peer = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _run(self) -> None:
        while True:
            request = await self._waiting.get()
            await self._answer(request, self)
            if not request.keep_alive:
                self.close()
