"""One connection to an upstream server, parsed by llhttp, and what passes over it.

A plain answer is gathered; of a stream the exchange hands over each piece as it comes, so that
relaying costs no task switch. Where pieces come faster than anybody reads, the connection rests for
four milliseconds, and what has come by then is one piece. Deadlines are looked at by one timer for
all exchanges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import httptools

from noria.http.unpacking import Unpacking

if TYPE_CHECKING:
    from noria.http.client import ConnectionPool

__all__ = ["ClientConnection", "Ending", "Exchange", "UpstreamFailure"]

_MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_REST_SECONDS: Final = 0.004
"""How long reading rests after a third piece of a stream has come within that time."""


class UpstreamFailure(Exception):
    """No usable answer came. `code` is one of the stable reasons: `upstream_refused`,
    `upstream_reset`, `upstream_timeout`, `upstream_malformed`, `upstream_too_large`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Exchange:
    """One request to an upstream and its answer.

    Args:
        on_stream: takes the pieces of a `text/event-stream` answer as they come; any other answer
            is gathered here.
        on_end: called once, when the answer is complete (with None) or will not be.
    """

    __slots__ = (
        "_on_end", "_unpack", "body", "connecting", "deadline", "ends_at", "fresh", "link",
        "on_stream", "paused", "retry_after", "sent", "should_retry", "stall", "started",
        "status", "streaming",
    )  # fmt: skip

    def __init__(
        self,
        on_stream: Callable[[bytes], None] | None,
        on_end: Callable[[UpstreamFailure | None], None],
    ) -> None:
        self.on_stream = on_stream
        self._on_end: Callable[[UpstreamFailure | None], None] | None = on_end
        self.link: ClientConnection | None = None
        """Over which it goes."""
        self.paused = False
        """Whether nothing is to be read until `resume`."""
        self.connecting: asyncio.Task[None] | None = None
        self.status = 0
        self.retry_after: str | None = None
        self.should_retry: str | None = None
        """What `x-should-retry` says."""
        self._unpack: Unpacking | None = None
        """Of an answer that came compressed."""
        self.body = b""
        """The answer, when it is complete and was not streamed."""
        self.streaming = False
        self.started = False
        """Whether a byte of the answer has come."""
        self.fresh = False
        """Whether the connection was opened for this exchange."""
        self.sent = False
        """Whether the request was handed to a connection: the server may have read it whole."""
        self.deadline: float
        self.ends_at: float
        self.stall: float

    @property
    def ended(self) -> bool:
        """Whether `on_end` was called."""
        return self._on_end is None

    def cancel(self) -> None:
        """Give up: the connection is closed, so that the upstream stops its work."""
        if self.connecting is not None:
            self.connecting.cancel()
        link = self.link
        self.fail("upstream_cancelled", "The call was cancelled.")
        if link is not None:
            link.drop()

    def stop_listening(self) -> None:
        """The answer is known to be complete though the connection has not said so."""
        self._end(None)

    def pause(self) -> None:
        """Read no more until `resume` (the caller downstream is slow)."""
        self.paused = True
        if self.link is not None:
            self.link.pause()

    def resume(self) -> None:
        """Read again."""
        self.paused = False
        if self.link is not None:
            self.link.resume()

    # What the connection says.

    def head(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        """The headers are complete, and it was no interim answer's."""
        self.status = status
        coding = _value(headers, b"content-encoding")
        if coding is not None:
            self._unpack = Unpacking.of(coding, _MOST_ANSWER_BYTES)
        if not 200 <= status < 300:
            self.retry_after = _retry_after(headers)
            self.should_retry = _text(headers, b"x-should-retry")
        elif self.on_stream is not None:
            content_type = _value(headers, b"content-type") or b""
            self.streaming = b"event-stream" in content_type.lower()

    def hand_on(self, pieces: list[bytes]) -> None:
        """Of a stream, hand on what has come together."""
        data = b"".join(pieces)
        pieces.clear()
        if data and self._unpack is not None:
            try:
                data = self._unpack.feed(data)
            except ValueError as unreadable:
                link = self.link
                self.fail("upstream_malformed", str(unreadable))
                if link is not None:
                    link.drop()
                return
        if data and self.on_stream is not None:
            self.on_stream(data)

    def complete(self, pieces: list[bytes]) -> None:
        """The answer is there."""
        if self.streaming:
            self.hand_on(pieces)
        else:
            self.body = b"".join(pieces)
            pieces.clear()
            if self._unpack is not None:
                try:
                    self.body = self._unpack.feed(self.body)
                except ValueError as unreadable:
                    self.body = b""
                    if 200 <= self.status < 300:
                        self.fail("upstream_malformed", str(unreadable))
        self.link = None
        self._end(None)

    def fail(self, code: str, message: str) -> None:
        self.link = None
        self._end(UpstreamFailure(code, message))

    def _end(self, failure: UpstreamFailure | None) -> None:
        on_end, self._on_end = self._on_end, None
        self.on_stream = None  # Whoever listens keeps this: together they would be a cycle.
        if on_end is not None:
            on_end(failure)

    def sweep(self, now: float) -> None:
        """Fail when the time is up. A paused exchange is not the upstream's fault."""
        if self.paused and now < self.ends_at:
            self.deadline = now + self.stall
        elif now > self.deadline or now > self.ends_at:
            link = self.link
            said = "stopped in mid-answer" if self.started else "did not begin to answer"
            self.fail("upstream_timeout", f"The upstream server {said} in time.")
            if link is not None:
                link.drop()


class Ending:
    """The end of an exchange, for a coroutine to wait for."""

    def __init__(self) -> None:
        self._told: asyncio.Future[UpstreamFailure | None] = (
            asyncio.get_running_loop().create_future()
        )

    def tell(self, failure: UpstreamFailure | None) -> None:
        """The exchange's `on_end`."""
        if not self._told.done():
            self._told.set_result(failure)

    async def wait(self) -> None:
        """Wait for it.

        Raises:
            UpstreamFailure: no usable answer came.
        """
        failure = await self._told
        if failure is not None:
            raise failure


def _value(headers: Mapping[bytes, bytes], name: bytes) -> bytes | None:
    return next((value for named, value in headers.items() if named.lower() == name), None)


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = _value(headers, name)
    return None if value is None else value.decode("latin-1").strip()


def _retry_after(headers: Mapping[bytes, bytes]) -> str | None:
    """What `Retry-After` says, or `retry-after-ms`, which some servers send in its stead."""
    milliseconds = _text(headers, b"retry-after-ms")
    if milliseconds is not None and milliseconds.isdecimal() and len(milliseconds) < 16:
        return str(int(milliseconds) / 1000)
    return _text(headers, b"retry-after")


class ClientConnection(asyncio.Protocol):
    """One connection to an upstream server; carries one exchange at a time."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._now = pool.loop.time
        self._headers: dict[bytes, bytes] = {}
        """As they came; of those that are there more than once, the first."""
        self.on_header = self._headers.setdefault  # Few of them matter, and to few answers.
        self._pieces: list[bytes] = []
        """What has come of the body and was not handed on."""
        self.on_body = self._pieces.append  # A stream may have a chunk of HTTP for each token.
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self.is_closing: Callable[[], bool]
        """Whether nothing more can be sent."""
        self._exchange: Exchange | None = None
        self._bytes = 0
        self._last = self._before_last = 0.0
        """When the last two pieces of this answer came."""

    def send(self, data: bytes, exchange: Exchange) -> None:
        self._exchange = exchange
        self._headers.clear()
        self._bytes = 0
        self._last = self._before_last = 0.0
        first_byte, exchange.stall, total = self._pool.patience
        now = self._now()
        exchange.deadline = now + first_byte
        exchange.ends_at = now + total
        exchange.link = self
        exchange.sent = True
        self._pool.active.add(exchange)
        self._transport.write(data)

    def drop(self) -> None:
        """Close at once; the exchange, if there is one, is let go."""
        self._release()
        self._transport.abort()

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self.is_closing():
            self._transport.resume_reading()

    def _release(self) -> Exchange | None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._pool.active.discard(exchange)
        return exchange

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self.is_closing = transport.is_closing

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # An answer that nobody asked for, or the rest of one that was complete in itself.
            self._pool.forget(self)
            self.drop()
            return
        now = self._now()
        exchange.started = True
        exchange.deadline = now + exchange.stall
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as malformed:
            if exchange.streaming:
                exchange.hand_on(self._pieces)
            self._give_up("upstream_malformed", f"The upstream server broke HTTP: {malformed}.")
        else:
            if self._exchange is not exchange:
                return  # It is complete.
            if exchange.streaming:
                exchange.hand_on(self._pieces)
            if self._bytes > _MOST_ANSWER_BYTES:
                self._give_up("upstream_too_large", "The upstream server's answer has over 64 MiB.")
            elif exchange.streaming:
                if now - self._before_last < _REST_SECONDS:
                    self.pause()
                    self._pool.loop.call_later(_REST_SECONDS, self._wake, exchange)
                self._before_last, self._last = self._last, now

    def _wake(self, exchange: Exchange) -> None:
        """Read what has come while the connection rested; if that is soon, it rests again."""
        if self._exchange is exchange:
            self._last = self._before_last = self._now()
            if not exchange.paused:
                self.resume()

    def _give_up(self, code: str, message: str) -> None:
        """What comes cannot be used."""
        exchange = self._release()
        if exchange is not None:
            exchange.fail(code, message)
        self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.forget(self)
        exchange = self._release()
        if exchange is None:
            return
        framed = any(name.lower() in _FRAMING for name in self._headers)
        if exchange.status and not framed and error is None:
            exchange.complete(self._pieces)  # Without a length it ends with its connection.
            return
        said = "in mid-answer" if exchange.started else "before it answered"
        exchange.fail("upstream_reset", f"The upstream server closed the connection {said}.")

    # httptools

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._exchange is None:
            self.drop()  # This came together with the answer, and nobody asked for it.
        elif status < 200:
            self._headers.clear()  # Those of the answer itself are to come.
        else:
            self._exchange.head(status, self._headers)

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.status:
            return  # Nobody asked for it, or it was an interim answer.
        self._exchange = None
        self._pool.active.discard(exchange)
        if self._parser.should_keep_alive() and not self.is_closing():
            self._pool.give_back(self)
        else:
            self._transport.close()
        exchange.complete(self._pieces)
