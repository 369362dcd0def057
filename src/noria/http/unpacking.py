"""Answers that come compressed though nobody asked for it."""

from __future__ import annotations

import zlib

__all__ = ["Unpacking"]


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
