"""Files, folders, archives and tables as pieces, each one JSON value with where it stands."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from noria.datasets.readers.scanner import LONGEST, Span, lines, values
from noria.errors import NoriaError

__all__ = ["Piece", "pieces", "size_of"]

_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_ENDS = (".json", ".jsonl", ".ndjson", ".parquet", ".zip")
_LINES = (".jsonl", ".ndjson")
_LOOK = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """One JSON value of a source."""

    source: str
    """`FILE:LINE`; of a table the row, from 1."""
    data: bytes
    fault: str | None = None
    """Why there is no data."""


def pieces(path: Path, longest: int = LONGEST) -> Iterator[Piece]:
    """Every piece of a file, or of all files in a folder in their natural order.

    Raises:
        NoriaError: there is nothing to read.
    """
    for file in _files(path):
        if file.suffix == ".zip":
            yield from _of_archive(file, longest)
        elif file.suffix == ".parquet":
            yield from _of_table(file)
        else:
            try:
                with file.open("rb") as stream:
                    yield from _of_stream(stream, file.name, file.suffix, longest)
            except OSError as unreadable:
                raise NoriaError(f"{file} cannot be read: {unreadable.strerror}.") from None


def size_of(path: Path) -> int:
    """Bytes of all files that `pieces` would read."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NoriaError(
            f"There is no file {path}.",
            "Name an export: .json, .jsonl, .zip, .parquet, or a folder of them.",
        )
    found = [one for one in path.iterdir() if one.suffix in _ENDS and one.is_file()]
    if not found:
        raise NoriaError(
            f"The folder {path} holds no export.", f"One ends with {', '.join(_ENDS)}."
        )
    # An export unpacked into a folder has other files beside its conversations.
    named = [one for one in found if one.name.startswith("conversations")]
    return sorted(named or found, key=lambda one: _natural(one.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Compare numbers within names as numbers: conversations-2 stands before conversations-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _of_stream(stream: BinaryIO, name: str, suffix: str, longest: int) -> Iterator[Piece]:
    head = stream.read(2)
    if head in _WIDE_BOMS:
        import codecs

        # Readers of codecs give text; it is cut again as the bytes of UTF-8.
        text = codecs.getreader("utf-16")(cast("BinaryIO", _Rest(head, stream)))
        stream = cast("BinaryIO", _Encoded(text))
        head = b""
    rest = _Rest(head, stream)
    start = rest.peek(_LOOK)
    if start.startswith(_BOM):
        rest.read(len(_BOM))
        start = start[len(_BOM) :]
    whole: BinaryIO = cast("BinaryIO", rest)
    cut = lines if suffix in _LINES or _first_line_is_value(start) else values
    for span in cut(whole, longest):
        yield _piece(name, span)


def _first_line_is_value(start: bytes) -> bool:
    first, newline, after = start.lstrip().partition(b"\n")
    if not newline or not after.strip() or not first.startswith(b"{"):
        return False
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return True


def _piece(name: str, span: Span) -> Piece:
    return Piece(f"{name}:{span.line}", span.data, span.fault)


class _Rest:
    """A stream of which the beginning has been looked at."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def peek(self, size: int) -> bytes:
        while len(self._head) < size and (more := self._stream.read(size - len(self._head))):
            self._head += more
        return self._head

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.read(size)
        if size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head

    def readline(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.readline(size)
        end = self._head.find(b"\n") + 1
        if end:
            return self.read(min(end, size) if size >= 0 else end)
        if 0 <= size <= len(self._head):
            return self.read(size)
        head, self._head = self._head, b""
        return head + self._stream.readline(size - len(head) if size >= 0 else -1)


class _Encoded:
    """A stream of text as bytes of UTF-8."""

    def __init__(self, text: object) -> None:
        self._text = cast("BinaryIO", text)

    def read(self, size: int = -1) -> bytes:
        return cast("str", self._text.read(size)).encode("utf-8", "replace")

    def readline(self, size: int = -1) -> bytes:
        return cast("str", self._text.readline(size)).encode("utf-8", "replace")


def _of_archive(file: Path, longest: int) -> Iterator[Piece]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.rpartition("/")[2].startswith("conversations") and name.endswith(".json")
            ] or [name for name in archive.namelist() if name.endswith(_ENDS[:3])]
            if not names:
                raise NoriaError(
                    f"{file} holds no conversations.",
                    "The archive of an export has a member conversations.json.",
                )
            for name in sorted(names, key=_natural):
                with archive.open(name) as stream:
                    yield from _of_stream(
                        cast("BinaryIO", stream),
                        f"{file.name}!{name}",
                        Path(name).suffix,
                        longest,
                    )
    except (zipfile.BadZipFile, zlib.error, EOFError) as broken:
        raise NoriaError(f"{file} is not a sound archive: {broken}.") from None


def _of_table(file: Path) -> Iterator[Piece]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise NoriaError(
            f"{file} is Parquet, and pyarrow, which reads it, is not installed.",
            "Install it: pip install 'noria[parquet]'",
        ) from None
    try:
        number = 0
        for batch in parquet.ParquetFile(file).iter_batches(256):
            for row in batch.to_pylist():
                number += 1
                yield Piece(f"{file.name}:{number}", orjson.dumps(_plain(row), default=str))
    except ArrowException as broken:
        raise NoriaError(f"{file} is not sound Parquet: {broken}") from None


def _plain(value: object) -> object:
    """A table's columns are those of all rows: what a row lacks is None, and is left out."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value != value:  # NaN is null in JSON
        return None
    return value
