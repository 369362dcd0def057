"""Cuts a stream of bytes into JSON values without holding more than one of them.

Only strings and brackets are looked at, so that a value which is not sound JSON, or is far too
long, costs that value and not the rest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["LONGEST", "Span", "lines", "values"]

LONGEST = 64 * 1024 * 1024
"""Bytes of one value; a longer one is passed over and reported."""
_CHUNK = 1 << 20
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_CLOSE = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_START = re.compile(rb"[^\s,\[\]]")
_SCALAR = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^\s,\[\]{}"]+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """One value of a stream."""

    line: int
    """Where it begins, from 1."""
    data: bytes
    fault: str | None = None
    """`too_large` or `cut_off` where it is not whole; then there is no data."""


def lines(file: BinaryIO, longest: int = LONGEST) -> Iterator[Span]:
    """Every line that is not blank."""
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_CHUNK)
            yield Span(number, b"", "too_large")
        elif line.strip():
            yield Span(number, line)


def values(file: BinaryIO, longest: int = LONGEST) -> Iterator[Span]:
    """The elements of one array, or the objects that follow each other."""
    scan = _Scan(longest)
    while chunk := file.read(_CHUNK):
        yield from scan.feed(chunk)
    yield from scan.end()


class _Scan:
    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = bytearray()
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._line = 1
        self._begin = 1
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[Span]:
        """Go on with the next bytes."""
        at = begin = 0
        if self._escaped:
            self._escaped, at = False, 1
        while True:
            if self._depth == 0:
                start = _START.search(chunk, at)
                if start is None:
                    self._line += chunk.count(b"\n", at)
                    return
                self._line += chunk.count(b"\n", at, start.start())
                at = begin = start.start()
                self._begin = self._line
                if chunk[at] != 0x7B:  # no object: a bare value, which no export has
                    bare = _SCALAR.match(chunk, at)
                    at = bare.end() if bare else at + 1
                    yield Span(self._begin, b"null")
                    continue
            end = self._seek(chunk, at)
            if end is None:
                self._keep(chunk, begin)
                return
            at = end
            self._line += chunk.count(b"\n", begin, end)
            if self._skipping or len(self._held) + end - begin > self._longest:
                yield Span(self._begin, b"", "too_large")
            elif self._held:
                self._held += chunk[begin:end]
                yield Span(self._begin, bytes(self._held))
            else:
                yield Span(self._begin, chunk[begin:end])
            self._held.clear()
            self._skipping = False

    def end(self) -> Iterator[Span]:
        """Say what is open when there are no more bytes."""
        if self._depth or self._in_string:
            yield Span(self._begin, b"", "too_large" if self._skipping else "cut_off")

    def _seek(self, chunk: bytes, at: int) -> int | None:
        """Where the value ends in this chunk; None where it goes on."""
        while True:
            if self._in_string:
                close = _CLOSE.match(chunk, at)
                if close is None:
                    tail = chunk[at:]
                    self._escaped = (len(tail) - len(tail.rstrip(b"\\"))) % 2 == 1
                    return None
                self._in_string, at = False, close.end()
            token = _TOKEN.search(chunk, at)
            if token is None:
                return None
            at = token.end()
            mark = chunk[token.start()]
            if mark == 0x22:
                self._in_string = at - token.start() == 1
            elif mark in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return at

    def _keep(self, chunk: bytes, begin: int) -> None:
        self._line += chunk.count(b"\n", begin)
        if self._skipping or len(self._held) + len(chunk) - begin > self._longest:
            self._skipping = True
            self._held.clear()
        else:
            self._held += chunk[begin:]
