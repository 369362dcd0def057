"""The client side of the lane: keep-alive connections to upstream servers, parsed by llhttp.

`Upstreams.send` gives an `Exchange`. A plain answer is gathered and awaited; of a stream the
exchange hands over each piece as it comes (`on_stream`), so that relaying costs no task switch.
Deadlines are looked at by one timer for all exchanges, not by one timer each.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from noria.config import Routing
from noria.errors import RealRequestForbidden
from noria.models import Upstream

__all__ = ["Exchange", "UpstreamFailure", "Upstreams"]

_SWEEP_SECONDS = 0.1
_IDLE_LIMIT = 512
_MOST_ANSWER_BYTES = 64 * 1024 * 1024


class UpstreamFailure(Exception):
    """No usable answer came. `code` is one of the stable reasons: `upstream_refused`,
    `upstream_reset`, `upstream_timeout`, `upstream_malformed`, `upstream_too_large`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Exchange:
    """One request to an upstream and its answer."""

    __slots__ = (
        "_done",
        "_first",
        "_link",
        "_paused",
        "body",
        "content_type",
        "deadline",
        "ends_at",
        "fresh",
        "on_stream",
        "retry_after",
        "stall",
        "started",
        "status",
        "streaming",
    )  # fmt: skip

    def __init__(
        self, done: asyncio.Future[None], on_stream: Callable[[bytes], None] | None
    ) -> None:
        self._done = done
        self._link: Link | None = None
        self._paused = False
        self.on_stream = on_stream
        self.status = 0
        self.content_type = b""
        self.retry_after: str | None = None
        self.body: list[bytes] = []
        self.streaming = False
        self.started = False
        """Whether a byte of the answer has come."""
        self.fresh = True
        """Whether the connection was opened for this exchange."""
        self.deadline = self.ends_at = float("inf")
        self.stall = 0.0

    async def finished(self) -> bytes:
        """Wait for the end of the answer and give its body (empty when it was streamed).

        Raises:
            UpstreamFailure: the connection broke, stayed silent, or sent no valid HTTP.
        """
        await self._done
        return self.body[0] if len(self.body) == 1 else b"".join(self.body)

    def cancel(self) -> None:
        """Give up: the connection is closed, so that the upstream stops its work."""
        if self._link is not None:
            self._link.drop()
        self.fail("upstream_cancelled", "The call was cancelled.")

    def stop_listening(self) -> None:
        """The answer is known to be complete though the connection has not said so."""
        if not self._done.done():
            self._done.set_result(None)
        self.on_stream = None

    def pause(self) -> None:
        """Read no more until `resume` (the caller downstream is slow)."""
        self._paused = True
        if self._link is not None:
            self._link.pause()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if self._link is not None:
            self._link.resume()

    # What the connection says.

    def head(self, status: int, content_type: bytes, retry_after: str | None) -> None:
        self.status = status
        self.content_type = content_type
        self.retry_after = retry_after
        self.streaming = (
            self.on_stream is not None and status == 200 and b"event-stream" in content_type
        )

    def hand_on(self) -> None:
        """Of a stream, hand on what has come together."""
        if self.streaming and self.body:
            data = self.body[0] if len(self.body) == 1 else b"".join(self.body)
            self.body.clear()
            if self.on_stream is not None:
                self.on_stream(data)

    def complete(self) -> None:
        self._link = None
        if not self._done.done():
            self._done.set_result(None)

    def fail(self, code: str, message: str) -> None:
        self._link = None
        if not self._done.done():
            self._done.set_exception(UpstreamFailure(code, message))

    def sweep(self, now: float) -> None:
        """Fail when the time is up. A paused exchange is not the upstream's fault."""
        if self._paused and now < self.ends_at:
            self.deadline = now + self.stall
        elif now > self.deadline or now > self.ends_at:
            link = self._link
            said = "stopped in mid-answer" if self.started else "did not begin to answer"
            self.fail("upstream_timeout", f"The upstream server {said} in time.")
            if link is not None:
                link.drop()


class Link(asyncio.Protocol):
    """One connection to an upstream server; carries one exchange at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._bytes = 0
        self._content_type = b""
        self._retry_after: str | None = None
        self._until_close = True

    def send(self, data: bytes, exchange: Exchange) -> None:
        assert self._transport is not None
        self._exchange = exchange
        exchange._link = self
        self._pool.active.add(exchange)
        self._transport.write(data)

    def drop(self) -> None:
        """Close at once; the exchange, if there is one, is let go."""
        self._release()
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _release(self) -> Exchange | None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._pool.active.discard(exchange)
        return exchange

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # An answer that nobody asked for, or the rest of one that was complete in itself.
            self._pool.forget(self)
            self.drop()
            return
        exchange.started = True
        exchange.deadline = self._pool.loop.time() + exchange.stall
        try:
            self._parser.feed_data(data)
            exchange.hand_on()
        except httptools.HttpParserError as malformed:
            exchange.hand_on()
            self._release()
            exchange.fail("upstream_malformed", f"The upstream server broke HTTP: {malformed}.")
            self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.forget(self)
        exchange = self._release()
        if exchange is None:
            return
        if self._until_close and exchange.status and error is None:
            exchange.complete()  # An answer without a length ends with its connection.
            return
        said = "in mid-answer" if exchange.started else "before it answered"
        exchange.fail("upstream_reset", f"The upstream server closed the connection {said}.")

    # httptools

    def on_message_begin(self) -> None:
        self._content_type, self._retry_after, self._until_close = b"", None, True
        self._bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"content-type":
                self._content_type = value.lower()
            case b"content-length" | b"transfer-encoding":
                self._until_close = False
            case b"retry-after":
                self._retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._exchange is not None and status >= 200:
            self._exchange.head(status, self._content_type, self._retry_after)

    def on_body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        self._bytes += len(data)
        if self._bytes > _MOST_ANSWER_BYTES:
            self._release()
            exchange.fail("upstream_too_large", "The upstream server's answer has over 64 MiB.")
            self.drop()
            return
        exchange.body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        exchange = self._release()
        if self._parser.should_keep_alive() and self.usable:
            self._pool.give_back(self)
        elif self._transport is not None:
            self._transport.close()
        if exchange is not None:
            exchange.hand_on()
            exchange.complete()


class Pool:
    """Connections to one upstream server."""

    def __init__(self, upstream: Upstream, routing: Routing, active: set[Exchange]) -> None:
        self.upstream = upstream
        self.loop = asyncio.get_running_loop()
        self.active = active
        self._routing = routing
        self._idle: deque[Link] = deque()
        self._tls = ssl.create_default_context() if upstream.tls else None
        host = upstream.host if ":" not in upstream.host else f"[{upstream.host}]"
        lines = [b"host: %b:%d" % (host.encode("idna"), upstream.port)]
        lines += [b"%b: %b" % header for header in upstream.headers]
        lines += [b"content-type: application/json", b"content-length: "]
        self._head = b" HTTP/1.1\r\n" + b"\r\n".join(lines)

    def request(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """The bytes of one request."""
        prefix = self.upstream.prefix.encode()
        return b"%b %b%b%b%d\r\n\r\n%b" % (method, prefix, path, self._head, len(body), body)

    def take(self) -> Link | None:
        """An idle connection, if there is one."""
        while self._idle:
            link = self._idle.pop()
            if link.usable:
                return link
        return None

    async def connect(self) -> Link:
        """A new connection.

        Raises:
            UpstreamFailure: the server refuses, cannot be found, or does not answer in time.
        """
        up = self.upstream
        where = f"{up.host}:{up.port}"
        try:
            async with asyncio.timeout(self._routing.connect_seconds):
                _, link = await self.loop.create_connection(
                    lambda: Link(self), up.host, up.port, ssl=self._tls
                )
        except TimeoutError:
            raise UpstreamFailure(
                "upstream_timeout", f"The upstream server at {where} cannot be reached in time."
            ) from None
        except OSError as refused:
            reason = refused.strerror or type(refused).__name__
            raise UpstreamFailure(
                "upstream_refused", f"The upstream server at {where} cannot be reached: {reason}."
            ) from None
        return link

    def give_back(self, link: Link) -> None:
        if len(self._idle) < _IDLE_LIMIT:
            self._idle.append(link)
        else:
            link.drop()

    def forget(self, link: Link) -> None:
        if link in self._idle:
            self._idle.remove(link)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().drop()


class Upstreams:
    """All upstream servers that this process speaks to."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._pools: dict[Upstream, Pool] = {}
        self._active: set[Exchange] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def send(
        self,
        upstream: Upstream,
        method: bytes,
        path: bytes,
        body: bytes,
        on_stream: Callable[[bytes], None] | None = None,
        *,
        fresh: bool = False,
    ) -> Exchange:
        """Send one request.

        Args:
            upstream: whom to ask.
            method: the HTTP method.
            path: what follows the upstream's prefix, such as `/chat/completions`.
            body: the JSON to send.
            on_stream: takes the pieces of a `text/event-stream` answer as they come; any other
                answer is gathered in the exchange.
            fresh: do not use a connection that was used before.

        Raises:
            UpstreamFailure: no connection can be had.
        """
        pool = self._pools.get(upstream)
        if pool is None:
            _forbid_real(upstream)
            pool = self._pools[upstream] = Pool(upstream, self._routing, self._active)
        exchange = Exchange(self._loop.create_future(), on_stream)
        link = None if fresh else pool.take()
        if link is None:
            link = await pool.connect()
        else:
            exchange.fresh = False
        now = self._loop.time()
        exchange.deadline = now + self._routing.first_byte_seconds
        exchange.stall = self._routing.stall_seconds
        exchange.ends_at = now + self._routing.total_seconds
        link.send(pool.request(method, path, body), exchange)
        return exchange

    def _sweep(self) -> None:
        now = self._loop.time()
        for exchange in tuple(self._active):
            exchange.sweep(now)
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def close(self) -> None:
        """Drop every connection."""
        self._timer.cancel()
        for exchange in tuple(self._active):
            exchange.cancel()
        for pool in self._pools.values():
            pool.close()


def _forbid_real(upstream: Upstream) -> None:
    """With NORIA_FORBID_REAL_REQUESTS set, only servers on this machine may be asked."""
    if not os.environ.get("NORIA_FORBID_REAL_REQUESTS"):
        return
    try:
        loopback = ipaddress.ip_address(upstream.host).is_loopback
    except ValueError:
        loopback = upstream.host == "localhost"
    if not loopback:
        raise RealRequestForbidden(
            f"A test tried to reach {upstream.host}.",
            "Point the provider at noria.testing.FakeProvider, "
            "or unset NORIA_FORBID_REAL_REQUESTS.",
        )
