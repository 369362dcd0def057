"""Answers that come compressed though nobody asked for it, and requests that do."""

from __future__ import annotations

import zlib
from typing import Final

from noria.errors import ApiError

__all__ = ["Unpacking", "unpacked"]

_MOST_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of memory that unpacking zstd may take for what it looks back on."""


class Unpacking:
    """The decompression of one answer, piece by piece.

    Args:
        coding: `gzip` or `deflate`.
        most_bytes: how long the answer may become.
    """

    def __init__(self, coding: str, most_bytes: int) -> None:
        self._coding = coding
        self._left = most_bytes
        self._known = coding in ("gzip", "x-gzip", "deflate")
        self._reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # by its head: gzip or zlib
        self._begun = False

    @classmethod
    def of(cls, header: bytes, most_bytes: int) -> Unpacking | None:
        """What `Content-Encoding` calls for; None where that is nothing."""
        coding = header.decode("latin-1").strip().lower()
        return None if coding in ("", "identity") else cls(coding, most_bytes)

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the answer.

        Raises:
            ValueError: they cannot be read, or are too many; the message says which.
        """
        if not self._known:
            raise ValueError(f"The upstream server's answer is compressed with {self._coding}.")
        if not self._begun and data and self._coding == "deflate" and data[0] & 0x0F != 8:
            self._reader = zlib.decompressobj(wbits=-zlib.MAX_WBITS)  # without its head, as some do
        self._begun = True
        try:
            found = self._reader.decompress(data, self._left + 1)
        except zlib.error:
            raise ValueError("The upstream server's compressed answer cannot be read.") from None
        self._left -= len(found)
        if self._left < 0:
            raise ValueError("The upstream server's compressed answer is too long.")
        return found


def unpacked(body: bytes, coding: bytes | None, most_bytes: int) -> bytes:
    """A request's body as it was before its sender packed it.

    Args:
        body: as it came.
        coding: what `Content-Encoding` says: gzip, deflate or zstd.
        most_bytes: how long it may become.

    Raises:
        ApiError: 415 for another coding, 400 for what cannot be read, 413 for what is too long.
    """
    name = (coding or b"").decode("latin-1").strip().lower()
    if name in ("", "identity"):
        return body
    if name == "zstd":
        return _from_zstd(body, most_bytes)
    if name not in ("gzip", "x-gzip", "deflate"):
        raise ApiError(
            415, "unsupported_media_type",
            f"A body packed with {name!r} cannot be read here: send gzip, zstd, or no "
            "Content-Encoding.",
            param="content-encoding",
        )  # fmt: skip
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        found = reader.decompress(body, most_bytes + 1)
    except zlib.error:
        raise _unreadable(name) from None
    if len(found) > most_bytes:
        raise _becomes_too_long(most_bytes)
    if not reader.eof:
        raise _unreadable(name)
    return found


def _from_zstd(body: bytes, most_bytes: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).stream_reader(
            body, read_across_frames=True
        ) as reader:
            found = reader.read(most_bytes + 1)
    except zstandard.ZstdError:
        raise _unreadable("zstd") from None
    if len(found) > most_bytes:
        raise _becomes_too_long(most_bytes)
    return found


def _unreadable(coding: str) -> ApiError:
    return ApiError(
        400, "invalid_body", f"The body cannot be unpacked as {coding}.", param="content-encoding"
    )


def _becomes_too_long(most_bytes: int) -> ApiError:
    return ApiError(
        413, "request_too_large", f"The request's body has over {most_bytes} bytes when unpacked."
    )
