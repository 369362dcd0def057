"""The fast HTTP lane: one asyncio protocol per connection, parsed by llhttp.

The calls that reach a model go straight to the gateway's core. Every other path is handed to the
ordinary ASGI application, over the same connection. Requests on one connection are answered one
after the other; what a client sends ahead waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, cast

import httptools
import orjson

from noria.errors import ApiError
from noria.headers import header_line
from noria.http.request import HTTPRequest, too_large
from noria.http.sink import Flow, Headers, ResponseSink

if TYPE_CHECKING:
    from noria.http.server import HTTPServer

__all__ = ["Cancellable", "ServerConnection", "date_line"]

_MOST_AHEAD: Final = 8
"""Requests sent ahead on one connection before it is read no further."""
_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_STAY_SECONDS: Final = 5.0
"""How long a connection is kept for a further request where others wait for room."""
_NEVER: Final = float("inf")
_JSON: Final = (b"content-type", b"application/json")
_EVENT_STREAM: Final = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"))


class Cancellable(Protocol):
    """What answers a request, as long as somebody waits for it."""

    def cancel(self) -> object:
        """The client disconnected: stop."""


class ServerConnection(asyncio.Protocol, ResponseSink):
    """One connection. It is the sink of the call that it is answering."""

    def __init__(self, reception: HTTPServer) -> None:
        self._reception = reception
        self._bounds = reception.bounds
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: HTTPRequest
        """What arrives, once its head is complete."""
        self._piece_bytes = 0
        """How long the piece is that is being parsed."""
        self._first_bytes = 0
        """How long the piece was that the request began in."""
        self._head_bytes = 0
        """What has come since, while its headers were not complete."""
        self._body_bytes = self._trailer_bytes = 0
        self._held = 0
        """Bytes that the reception counts for this connection."""
        self._arriving = 0
        """Those of the request that is arriving."""
        self._peer: bytes | None = None
        """Who they are counted for, once there are some."""
        self._admission: asyncio.Task[None] | None = None
        """Finds out whether the sender may send a body; nothing is read meanwhile."""
        self._admitted = False
        """Whether that is known of the request that is arriving."""
        self._continue = False
        """Whether its client waits for word before it sends the body."""
        self._answered_at = -_NEVER
        """When a request was last answered on it."""
        self.known = False
        """Whether a request on this connection has shown a key."""
        self.extra: Headers = []
        """What the head of the present answer says beside its own headers."""
        self._head_open = False
        """Whether the headers of a request are arriving."""
        self._awaited_seconds: float | None = None
        """How long the part may take that is arriving, of a request that is not complete."""
        self._part = 0
        """Counts the parts that have begun to arrive."""
        self._refusal: ApiError | None = None
        self._refused: ApiError | None = None
        """Said in place of an answer to what came last, when all before it is answered."""
        self._ahead: deque[HTTPRequest] = deque()
        self._current: HTTPRequest | None = None
        self._answerer: Cancellable | None = None
        """Who answers the present request."""
        self._flow: Flow | None = None
        self._slow = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.gone = asyncio.Event()
        """Set when the client has closed the connection."""
        self._closing = False
        self._chunked = True
        self._begun = b""
        """The head of a stream, until its first piece is written."""
        self.answering = False
        """Whether a part of the present answer was written."""
        self.client = ("", 0)
        self.server = reception.address
        self.deadline = reception.now() + self._bounds.idle_seconds
        """When the door closes the connection unless something happens before."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        peer = self._transport.get_extra_info("peername")
        self.client = peer[:2] if isinstance(peer, tuple) else self.client
        if not self._reception.enter(self):
            self._refuse_connection(
                ApiError(503, "too_many_connections", "Too many connections.", retry_after=1)
            )

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        part = self._part
        self._piece_bytes = len(data)
        try:
            if self._head_open:
                # llhttp gives a header out when it is complete: an endless one is counted here.
                self._head_bytes += len(data)
                if self._head_bytes > 2 * self._bounds.header_bytes:
                    self._refuse_headers()
            self._parser.feed_data(data)
            if self._awaited_seconds is not None:
                if self._part != part:
                    self.deadline = self._reception.now() + self._awaited_seconds
                self._go_on_arriving(len(data))
        except ApiError as refusal:
            begun = self._part > 1 and not self._head_open
            self._refuse_connection(refusal, self._incoming if begun else None)
        except httptools.HttpParserUpgrade as upgrade:
            # A client that offers another protocol is answered in this one. llhttp takes what
            # follows the headers for the other protocol: it is given them again, without the offer.
            self._parser = httptools.HttpRequestParser(self)
            self._head_open = False
            self.data_received(self._incoming.head_without_upgrade() + data[upgrade.args[0] :])
        except httptools.HttpParserError as malformed:
            self._refuse_connection(
                self._refusal
                or ApiError(400, "invalid_http", f"The request is not valid HTTP: {malformed}.")
            )

    def eof_received(self) -> None:
        # A client that closes its sending side is taken for gone, since most are; otherwise one
        # that waits for a whole answer could never be seen to hang up.
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._reception.leave(self)
        self._closing = True
        self._ahead.clear()
        self._writable.set()
        self.gone.set()
        if self._answerer is not None:
            self._answerer.cancel()
        if self._admission is not None:
            self._admission.cancel()
        self._release(self._held)
        self._transport = None

    def pause_writing(self) -> None:
        self._slow = True
        self._writable.clear()
        if self._flow is not None:
            self._flow.pause()

    def resume_writing(self) -> None:
        self._slow = False
        self._writable.set()
        if self._flow is not None:
            self._flow.resume()
        self._go_on()

    # httptools

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", []
        self._first_bytes = self._piece_bytes
        self._head_bytes = self._body_bytes = self._trailer_bytes = 0
        self._head_open = True
        self._arriving = 0
        self._admitted = self._continue = False
        self._awaited_seconds = self._bounds.header_seconds
        self._part += 1

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_open:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
            return
        # A trailer is counted and dropped: it comes after the door has decided by the headers.
        self._trailer_bytes += len(name) + len(value) + 4
        if self._trailer_bytes > self._bounds.header_bytes:
            self._refuse_headers()

    def _refuse_headers(self) -> None:
        most = self._bounds.header_bytes
        self._refuse(ApiError(431, "headers_too_large", f"Request headers exceed {most} bytes."))

    def _refuse(self, error: ApiError) -> None:
        """Have the parser stop."""
        self._refusal = error
        raise error

    def on_headers_complete(self) -> None:
        bounds = self._bounds
        incoming = self._incoming = HTTPRequest(self._target, self._headers, self._parser)
        # Nearly all requests come in a piece that is short enough to need no exact count.
        if self._first_bytes + self._head_bytes > bounds.header_bytes < incoming.head_bytes():
            self._refuse_headers()
        objection = incoming.objection(bounds.body_bytes)
        if objection is not None:
            self._refuse(objection)
        self._head_open = False
        self._awaited_seconds = bounds.body_seconds
        self._part += 1
        expected = incoming.header(b"expect")
        if expected is not None and expected.lower() == b"100-continue" and self._current is None:
            self._continue = True

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._bounds.body_bytes:
            self._refuse(too_large(self._bounds.body_bytes))
        self._incoming.body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return  # The body is still to come.
        if self._closing:
            return  # What came before it was the last.
        incoming = self._incoming
        self._awaited_seconds = None
        if self._current is not None or self._slow:
            if not incoming.held:
                self._hold(self._body_bytes)
            self._ahead.append(incoming)
            if len(self._ahead) >= _MOST_AHEAD and self._transport is not None:
                self._transport.pause_reading()
            return
        self._begin(incoming)

    # What is in hand

    def _go_on_arriving(self, length: int) -> None:
        """A request is not complete with the piece that came: look at who sends it before its
        body is gathered, and count what there is of it.

        Raises:
            ApiError: no more of it is taken.
        """
        if not self._head_open and not self._admitted:
            self._admitted = True
            asking = self._reception.admit(self._incoming)
            if asking is not None:
                assert self._transport is not None
                self._transport.pause_reading()
                self._admission = asyncio.ensure_future(self._admit(asking))
            else:
                self._say_continue()
        self._hold(length)

    async def _admit(self, asking: Awaitable[object]) -> None:
        try:
            await asking
        except ApiError as refusal:
            self._refuse_connection(refusal, self._incoming)
            return
        finally:
            self._admission = None
        if self._transport is not None and not self._closing:
            self._say_continue()
            if len(self._ahead) < _MOST_AHEAD:
                self._transport.resume_reading()

    def _say_continue(self) -> None:
        if self._continue and self._transport is not None:
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _hold(self, length: int) -> None:
        """Count bytes of the request that is arriving.

        Raises:
            ApiError: there is no room for them.
        """
        if self._peer is None:
            sender = None if self._head_open else self._incoming.credential()
            self._peer = sender or self.client[0].encode()
        self._reception.hold(self._peer, length)
        self._held += length
        self._arriving += length
        if not self._head_open:
            self._incoming.held = self._arriving

    def _release(self, length: int) -> None:
        if length and self._peer is not None:
            self._held -= length
            self._reception.release(self._peer, length)
            if not self._held:
                self._peer = None

    def show_key(self) -> None:
        """A request has shown a key: this connection does not make way for others."""
        self.known = True
        self._reception.know(self)

    # One request after the other

    def _begin(self, incoming: HTTPRequest) -> None:
        self._current = incoming
        self.deadline = _NEVER
        answerer = self._reception.take(incoming, self)
        if self._is_at(incoming):  # else it is answered already, and perhaps the next one begun
            self._answerer = answerer

    def _is_at(self, incoming: HTTPRequest) -> bool:
        """Whether this request is being answered."""
        return self._current is incoming

    def done(self) -> None:
        """The whole answer was handed to the transport; go on with what was sent ahead."""
        current, self._current, self._flow = self._current, None, None
        self._answerer = None
        self.extra = []
        if current is not None and current.held:
            self._release(min(current.held, self._held))
        self.answering = False
        transport = self._transport
        if transport is None or current is None:
            return
        if not current.keep_alive or self._reception.closing:
            self._closing = True
            transport.close()
            return
        now = self._reception.now()
        self.deadline = now + self._bounds.idle_seconds
        self._answered_at = now
        if self._ahead or self._refused is not None:
            self._go_on()

    def _go_on(self) -> None:
        """Begin with what was sent ahead, unless the client does not read what it was sent."""
        transport = self._transport
        if self._current is not None or self._slow or transport is None:
            return
        if self._ahead:
            incoming = self._ahead.popleft()
            if len(self._ahead) < _MOST_AHEAD:
                transport.resume_reading()
            self._begin(incoming)
        elif self._refused is not None:
            self._refuse_connection(self._refused)

    def expire(self) -> None:
        """The time is up: close an idle connection, refuse a request that does not get on."""
        if self._slow:
            self.abort()
        elif self._awaited_seconds is not None:
            self._refuse_connection(
                ApiError(408, "request_timeout", "The request did not arrive in time.")
            )
        elif self._transport is not None:
            self._transport.close()

    def give_up(self, error: ApiError) -> None:
        """Something went wrong inside noria: say so, or cut a stream that has begun."""
        if self._current is None:
            return
        if self.answering:
            self.abort()
        else:
            self.fail([], error)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self._current is None

    def makes_way(self, now: float) -> bool:
        """Whether the connection may be closed for another one: no request on it was ever whole,
        or the last one was answered some seconds ago."""
        return self._current is None and now - self._answered_at > _STAY_SECONDS

    def close(self) -> None:
        """Close once what was written is sent."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _refuse_connection(self, error: ApiError, incoming: HTTPRequest | None = None) -> None:
        """Answer what cannot be parsed or is not taken, after which the connection cannot be
        used."""
        self._closing = True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._current is not None:
            self._refused = error  # What came before it is answered first.
            return
        body = self._reception.explain(incoming, error)
        self.send(error.status, _error_headers(error), orjson.dumps(body), close=True)
        transport.close()

    # ResponseSink

    def answer(self, headers: Headers, body: bytes) -> None:
        self.send(200, [_JSON, *headers], body)
        self.done()

    def fail(self, headers: Headers, error: ApiError) -> None:
        body = self._reception.explain(self._current, error)
        self.send(error.status, _error_headers(error) + headers, orjson.dumps(body))
        self.done()

    def begin(self, headers: Headers, flow: Flow) -> None:
        self._flow = flow
        # The head goes out with the first piece, which follows at once.
        self._begun = self._head_of_stream(200, [*_EVENT_STREAM, *headers])
        if self._slow:
            flow.pause()

    def write(self, data: bytes) -> None:
        if self._transport is None:
            return
        begun, self._begun = self._begun, b""
        if self._chunked:
            self._transport.write(b"%b%x\r\n%b\r\n" % (begun, len(data), data))
        else:
            self._transport.write(begun + data)

    def finish(self, last: bytes) -> None:
        if self._transport is not None:
            begun, self._begun = self._begun, b""
            if not self._chunked:
                self._transport.write(begun + last)
            elif last:
                self._transport.write(b"%b%x\r\n%b\r\n0\r\n\r\n" % (begun, len(last), last))
            else:
                self._transport.write(begun + b"0\r\n\r\n")
        self.done()

    # Writing, also for the ASGI bridge

    def send(self, status: int, headers: Headers, body: bytes, *, close: bool = False) -> None:
        """Write a whole answer."""
        if self._transport is None:
            return
        lines = self._head(status, headers, close)
        lines += (b"content-length: %d" % len(body), b"", body)
        if self._current is not None and self._current.method == b"HEAD":
            lines[-1] = b""
        self._transport.write(b"\r\n".join(lines))

    def start(self, status: int, headers: Headers) -> None:
        """Write the head of an answer whose length is not known."""
        head = self._head_of_stream(status, headers)
        if self._transport is not None:
            self._transport.write(head)

    def _head_of_stream(self, status: int, headers: Headers) -> bytes:
        current = self._current
        self._chunked = current is None or current.version != "1.0"
        if not self._chunked and current is not None:
            current.keep_alive = False  # Only the end of the connection marks the end.
        self.answering = True
        lines = self._head(status, headers, False)
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        lines += (b"", b"")
        return b"\r\n".join(lines)

    def acknowledge(self) -> None:
        """Say that the request has come and is being worked on, before there is an answer."""
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        await self._writable.wait()

    def _head(self, status: int, headers: Headers, close: bool) -> list[bytes]:
        first = _STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
        lines = [first, self._reception.date_line]
        for name, value in headers:
            lines.append(header_line(name, value))
        for name, value in self.extra:
            lines.append(header_line(name, value))
        current = self._current
        if close or (current is not None and not current.keep_alive):
            lines.append(b"connection: close")
        elif current is not None and current.version == "1.0":
            lines.append(b"connection: keep-alive")
        return lines


def _error_headers(error: ApiError) -> Headers:
    headers = [_JSON]
    headers += [(name.encode(), value.encode()) for name, value in error.headers()]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def date_line() -> bytes:
    """The Date header of this second."""
    return b"date: %b" % formatdate(time.time(), usegmt=True).encode()
