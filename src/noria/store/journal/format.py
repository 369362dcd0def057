"""How a record stands in a journal: as one frame, so that a torn one is told from a whole one.

    <u32 length of the body> <u32 crc32 of the body> body
    body = <u32 length of the meta> meta (JSON) { <u32 length of a blob> blob }

All numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import orjson
from isal.isal_zlib import crc32

from noria.errors import StoreUnavailable

__all__ = ["Record", "frame", "read_records"]

_FRAME: Final = struct.Struct("<II")
_LENGTH: Final = struct.Struct("<I")
_pack_frame: Final = _FRAME.pack
_pack_length: Final = _LENGTH.pack
_dumps: Final = orjson.dumps
_LARGEST_BODY: Final = 0x7FFF_FFFF


def frame(meta: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One record as it stands in a journal.

    Raises:
        StoreUnavailable: it is too long for one.
    """
    text = _dumps(meta)
    parts = [_pack_length(len(text)), text]
    for blob in blobs:
        parts += (_pack_length(len(blob)), blob)
    body = b"".join(parts)
    size = len(body)
    if size > _LARGEST_BODY:
        raise StoreUnavailable(f"A record of {size} bytes is too long for the journal.")
    return _pack_frame(size, crc32(body)) + body


class Record(NamedTuple):
    """One record as it was appended, and the offset where the next one begins."""

    meta: dict[str, Any]
    blobs: tuple[bytes, ...]
    end: int


def read_records(
    path: Path, offset: int = 0, damaged: Callable[[int, int], None] | None = None
) -> Iterator[Record]:
    """The whole records of a segment from `offset` on, as far as the file reaches now.

    A damaged frame loses itself and no more: reading goes on at the next whole one. What follows
    the last whole frame may still be being written, and reading may go on there later.

    Args:
        path: the segment.
        offset: where to begin; the end of a record, or 0.
        damaged: called with the first and the last offset of what was passed over.
    """
    with open(path, "rb", buffering=1 << 20) as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(offset)
        while offset + 12 <= end:
            size, checksum = _FRAME.unpack(file.read(8))
            body = file.read(size) if 4 <= size <= end - offset - 8 else b""
            if not body or crc32(body) != checksum:
                begin = _next_frame(file, offset + 1, end)
                if begin is None:
                    return
                if damaged is not None:
                    damaged(offset, begin)
                offset = begin
                file.seek(offset)
                continue
            offset += 8 + size
            (length,) = _LENGTH.unpack_from(body)
            at = 4 + length
            meta = orjson.loads(body[4:at])
            blobs = []
            while at < size:
                (length,) = _LENGTH.unpack_from(body, at)
                blobs.append(body[at + 4 : at + 4 + length])
                at += 4 + length
            yield Record(meta, tuple(blobs), offset)


_META: Final = b'{"t":"'
"""How the meta of every record begins."""
_SEARCHED: Final = 1 << 20


def _next_frame(file: BinaryIO, offset: int, end: int) -> int | None:
    """Where the next whole frame begins, looked for by how a meta begins and by its checksum.

    The bytes of a blob cannot pass for a frame: a length that fits in a file has a byte below 32,
    which no JSON has.
    """
    while offset < end:
        file.seek(offset)
        window = file.read(_SEARCHED + len(_META) + 12)
        at = window.find(_META, 12)
        while at >= 0:
            begin = offset + at - 12
            file.seek(begin)
            size, checksum = _FRAME.unpack(file.read(8))
            if 4 <= size <= end - begin - 8 and crc32(file.read(size)) == checksum:
                return begin
            at = window.find(_META, at + 1)
        offset += _SEARCHED
    return None
