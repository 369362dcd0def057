"""Where an answer goes: an HTTP connection of the lane, or a caller in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from noria.errors import ApiError

__all__ = ["BufferedSink", "Flow", "Headers", "ResponseSink"]

Headers = list[tuple[bytes, bytes]]


_MOST_WAITING = 256


class Flow(Protocol):
    """What can be told to wait while the caller is slow."""

    def pause(self) -> None:
        """Send no more until `resume`."""

    def resume(self) -> None:
        """Send again."""


class ResponseSink(Protocol):
    """The receiving end of one call. Exactly one of `answer`, `fail` or `begin` ... `finish`."""

    def answer(self, headers: Headers, body: bytes) -> None:
        """A whole answer."""

    def fail(self, headers: Headers, error: ApiError) -> None:
        """A refusal or failure; nothing else was sent."""

    def begin(self, headers: Headers, flow: Flow) -> None:
        """A stream begins; `flow` is paused while the caller cannot keep up."""

    def write(self, data: bytes) -> None:
        """A piece of the stream: whole events."""

    def finish(self, last: bytes) -> None:
        """The stream's last piece."""


class BufferedSink(ResponseSink):
    """A sink for callers in the same process."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self._flow: Flow | None = None
        self._pieces: asyncio.Queue[bytes | ApiError | None] = asyncio.Queue()

    def answer(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self._pieces.put_nowait(body)
        self._pieces.put_nowait(None)

    def fail(self, headers: Headers, error: ApiError) -> None:
        self.headers = headers
        self._pieces.put_nowait(error)

    def begin(self, headers: Headers, flow: Flow) -> None:
        self.headers, self._flow = headers, flow

    def write(self, data: bytes) -> None:
        self._pieces.put_nowait(data)
        if self._flow is not None and self._pieces.qsize() >= _MOST_WAITING:
            self._flow.pause()

    def finish(self, last: bytes) -> None:
        self._pieces.put_nowait(last)
        self._pieces.put_nowait(None)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they come.

        Raises:
            ApiError: the call was refused or failed.
        """
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, ApiError):
                raise piece
            yield piece
            if self._flow is not None and self._pieces.empty():
                self._flow.resume()
