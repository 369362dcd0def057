"""The client side of the lane: keep-alive connections to upstream servers.

`HTTPClient.send` gives an `Exchange`, which says by itself when its answer has come.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from noria.config import Routing
from noria.errors import RealRequestForbidden
from noria.headers import header_line
from noria.http.client_connection import ClientConnection, Exchange, UpstreamFailure
from noria.models import Upstream

__all__ = ["ConnectionPool", "HTTPClient"]

_SWEEP_SECONDS: Final = 0.1
_IDLE_LIMIT: Final = 512


class ConnectionPool:
    """Connections to one upstream server."""

    def __init__(self, upstream: Upstream, routing: Routing, active: set[Exchange]) -> None:
        self.upstream = upstream
        self.loop = asyncio.get_running_loop()
        self.active = active
        self.patience = (routing.first_byte_seconds, routing.stall_seconds, routing.total_seconds)
        """How long the server may be silent before its answer and in it, and may take in all."""
        self._connect_seconds = routing.connect_seconds
        self._idle: deque[ClientConnection] = deque()
        self._tls = ssl.create_default_context() if upstream.tls else None
        host = upstream.host if ":" not in upstream.host else f"[{upstream.host}]"
        lines = [header_line(b"host", b"%b:%d" % (host.encode("idna"), upstream.port))]
        lines += [header_line(name, value) for name, value in upstream.headers]
        lines += [b"accept-encoding: identity", b"content-type: application/json"]
        lines += [b"content-length: "]
        self._prefix = b" " + upstream.prefix.encode()
        self._head = b" HTTP/1.1\r\n" + b"\r\n".join(lines)

    def request(self, method: bytes, path: bytes, body: bytes, extra: bytes = b"") -> bytes:
        """The bytes of one request; `extra` are header lines of its own, each with its end."""
        length = b"%d\r\n%b\r\n" % (len(body), extra)
        return b"".join((method, self._prefix, path, self._head, length, body))

    def take(self) -> ClientConnection | None:
        """An idle connection, if there is one."""
        while self._idle:
            link = self._idle.pop()
            if not link.is_closing():
                return link
        return None

    async def connect(self) -> ClientConnection:
        """A new connection.

        Raises:
            UpstreamFailure: the server refuses, cannot be found, or does not answer in time.
        """
        up = self.upstream
        where = f"{up.host}:{up.port}"
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, link = await self.loop.create_connection(
                    lambda: ClientConnection(self), up.host, up.port, ssl=self._tls
                )
        except TimeoutError:
            raise UpstreamFailure(
                "upstream_timeout", f"The upstream server at {where} cannot be reached in time."
            ) from None
        except (OSError, UnicodeError) as refused:  # the latter for a name that can be none
            reason = getattr(refused, "strerror", None) or type(refused).__name__
            raise UpstreamFailure(
                "upstream_refused", f"The upstream server at {where} cannot be reached: {reason}."
            ) from None
        return link

    def give_back(self, link: ClientConnection) -> None:
        if len(self._idle) < _IDLE_LIMIT:
            self._idle.append(link)
        else:
            link.drop()

    def forget(self, link: ClientConnection) -> None:
        if link in self._idle:
            self._idle.remove(link)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().drop()


class HTTPClient:
    """All upstream servers that this process speaks to."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._pools: dict[Upstream, ConnectionPool] = {}
        self._active: set[Exchange] = set()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def send(
        self,
        upstream: Upstream,
        method: bytes,
        path: bytes,
        body: bytes,
        on_stream: Callable[[bytes], None] | None,
        on_end: Callable[[UpstreamFailure | None], None],
        *,
        fresh: bool = False,
        extra: bytes = b"",
    ) -> Exchange:
        """Send one request, over an idle connection or over a new one as soon as it is open.

        Args:
            upstream: whom to ask.
            method: the HTTP method.
            path: what follows the upstream's prefix, such as `/chat/completions`.
            body: the JSON to send.
            on_stream: takes the pieces of a `text/event-stream` answer as they come; any other
                answer is gathered in the exchange.
            on_end: called once, when the answer is complete or will not be; not before this
                returns.
            fresh: do not use a connection that was used before.
            extra: further header lines, each with its end.

        Raises:
            RealRequestForbidden: it would leave this machine and that is switched off.
        """
        pool = self._pools.get(upstream)
        if pool is None:
            _forbid_real(upstream)
            pool = self._pools[upstream] = ConnectionPool(upstream, self._routing, self._active)
        exchange = Exchange(on_stream, on_end)
        data = pool.request(method, path, body, extra)
        link = None if fresh else pool.take()
        if link is not None:
            link.send(data, exchange)
        else:
            exchange.fresh = True
            exchange.connecting = self._loop.create_task(_connect(pool, data, exchange))
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


async def _connect(pool: ConnectionPool, data: bytes, exchange: Exchange) -> None:
    """Open a connection and send a request over it."""
    try:
        link = await pool.connect()
    except UpstreamFailure as failure:
        exchange.fail(failure.code, failure.message)
        return
    exchange.connecting = None
    if exchange.ended:
        pool.give_back(link)
    else:
        link.send(data, exchange)


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
