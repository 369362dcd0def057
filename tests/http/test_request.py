"""A request's version, where it is inferred from the connection and where the parser is asked."""

from __future__ import annotations

from itertools import product

import httptools

from noria.http.request import HTTPRequest


class Head:
    """Takes the head of one request."""

    def __init__(self, data: bytes) -> None:
        self.incoming: HTTPRequest | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.incoming = HTTPRequest(b"/", self._headers, self._parser)


def test_the_version_is_the_one_that_was_sent() -> None:
    versions = (b"0.9", b"1.0", b"1.1", b"2.0")
    names = (b"X", b"Connection", b"PROXY-CONNECTION")
    values = (b"keep-alive", b"close", b"Upgrade, keep-alive", b"close, keep-alive", b"")
    bodies = (b"\r\n", b"Content-Length: 0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    for version, name, value, body in product(versions, names, values, bodies):
        sent = b"POST / HTTP/%b\r\nHost: door\r\n%b: %b\r\n%b" % (version, name, value, body)
        incoming = Head(sent).incoming
        assert incoming is not None
        assert incoming.version == version.decode(), sent
