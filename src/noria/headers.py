"""Lines of an HTTP head: every header that noria writes, of an answer or of a request."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

__all__ = ["header_line", "whole_answer"]

_CONTROLS: Final = bytes((*range(32), 127))


def header_line(name: bytes, value: bytes) -> bytes:
    """Write one header as a line, without its end.

    Args:
        name: its name.
        value: its value, which may hold what a client or a provider wrote.

    Raises:
        ValueError: there is a control character in it, with which a line could end early and the
            rest be taken for other headers (RFC 9110, 5.5).
    """
    line = name + b": " + value
    if len(line.translate(None, _CONTROLS)) != len(line):
        raise ValueError(f"a control character in the header {line[:100]!r}")
    return line


def whole_answer(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Write an answer in JSON after which the connection closes.

    Args:
        status: the HTTP status.
        headers: what its head says beside the body's type and length.
        body: JSON.
    """
    lines = [
        b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()),
        header_line(b"content-type", b"application/json"),
        header_line(b"content-length", b"%d" % len(body)),
        *(header_line(name, value) for name, value in headers),
        header_line(b"connection", b"close"),
    ]
    return b"\r\n".join([*lines, b"", body])
