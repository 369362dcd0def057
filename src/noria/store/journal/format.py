"""How records stand in a segment of a journal, so that damage is noticed and costs one record.

    segment = head head head { frame }
    head    = "nj1\\n" <u32 salt> <u32 number of the first record> <u32 crc32 of these>
    frame   = <u32 length of the body> <u32 checksum> <u32 number> body
    body    = <u32 length of the meta> meta (JSON) { <u32 length of a blob> blob }

All numbers are little-endian. The checksum is the body's crc32, begun with salt XOR number. The
salt is drawn for each segment: what a provider sends stands in blobs, and as nobody outside knows
the salt, none of it passes for a frame where reading has to find its way again. The numbers rise by
one from frame to frame and go on in the next segment, so that a record that is missing without a
trace is missed. The head stands three times, since without it nothing could be read.
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

__all__ = ["HEAD_BYTES", "Record", "SegmentHead", "encode", "frame_head", "read_records"]

_MAGIC: Final = b"nj1\n"
_HEAD: Final = struct.Struct("<4sIII")
_COPIES: Final = 3
HEAD_BYTES: Final = _HEAD.size * _COPIES
"""Where the first frame of a segment stands."""
_FRAME: Final = struct.Struct("<III")
_FRAME_BYTES: Final = _FRAME.size
_LENGTH: Final = struct.Struct("<I")
_pack_frame: Final = _FRAME.pack
_pack_length: Final = _LENGTH.pack
_dumps: Final = orjson.dumps
_LARGEST_BODY: Final = 0x7FFF_FFFF
_META: Final = b'{"t":"'
"""How the meta of every record begins."""
_BEFORE_META: Final = _FRAME_BYTES + 4
_SEARCHED: Final = 1 << 20


def encode(meta: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """The body of one record.

    Raises:
        StoreUnavailable: it is too long for one.
    """
    text = _dumps(meta)
    parts = [_pack_length(len(text)), text]
    for blob in blobs:
        parts += (_pack_length(len(blob)), blob)
    body = b"".join(parts)
    if len(body) > _LARGEST_BODY:
        raise StoreUnavailable(f"A record of {len(body)} bytes is too long for the journal.")
    return body


def frame_head(body: bytes, salt: int, number: int) -> bytes:
    """What stands before a record's body."""
    return _pack_frame(len(body), crc32(body, salt ^ number), number)


class SegmentHead(NamedTuple):
    """What a segment begins with."""

    salt: int
    first: int
    """The number of its first record; 0 where its writer does not know of any before."""

    @classmethod
    def draw(cls, first: int) -> SegmentHead:
        """One with a salt of its own."""
        return cls(int.from_bytes(os.urandom(4), "little"), first)

    def pack(self) -> bytes:
        """As it stands in the file."""
        head = _HEAD.pack(_MAGIC, self.salt, self.first, 0)[:-4]
        return (head + _pack_length(crc32(head))) * _COPIES

    @classmethod
    def read(cls, raw: bytes) -> SegmentHead | None:
        """The first whole copy of it, None where there is none."""
        for at in range(0, HEAD_BYTES, _HEAD.size):
            head = raw[at : at + _HEAD.size]
            if len(head) == _HEAD.size and head.startswith(_MAGIC):
                _, salt, first, checksum = _HEAD.unpack(head)
                if crc32(head[:-4]) == checksum:
                    return cls(salt, first)
        return None


class Record(NamedTuple):
    """One record as it was appended."""

    meta: dict[str, Any]
    blobs: tuple[bytes, ...]
    end: int
    """The offset where the next one begins."""
    number: int


def read_records(
    path: Path,
    offset: int = 0,
    damaged: Callable[[int, int], None] | None = None,
    expected: int | None = None,
) -> Iterator[Record]:
    """The whole records of a segment from `offset` on, as far as the file reaches now.

    A damaged frame loses itself and no more: reading goes on at the next whole one. What follows
    the last whole frame may still be being written, and reading may go on there later.

    Args:
        path: the segment.
        offset: where to begin; the end of a record, or 0.
        damaged: called with the first and the last offset of what was passed over; they are the
            same where records are missing without a trace.
        expected: the number of the record that must come first, None where that is not known.
    """

    def report(first: int, last: int) -> None:
        if damaged is not None:
            damaged(first, last)

    with open(path, "rb", buffering=1 << 20) as file:
        end = os.fstat(file.fileno()).st_size
        head = SegmentHead.read(file.read(HEAD_BYTES))
        if head is None:
            return
        if offset < HEAD_BYTES:
            offset = HEAD_BYTES
            if expected is None or head.first == 0:
                expected = head.first
        file.seek(offset)
        while offset + _BEFORE_META <= end:
            size, checksum, number = _FRAME.unpack(file.read(_FRAME_BYTES))
            body = file.read(size) if 4 <= size <= end - offset - _FRAME_BYTES else b""
            if not body or crc32(body, head.salt ^ number) != checksum:
                begin = _next_frame(file, head.salt, offset + 1, end)
                if begin is None:
                    return
                report(offset, begin)
                offset, expected = begin, None
                file.seek(offset)
                continue
            if expected is not None and number != expected:
                report(offset, offset)
            expected = number + 1 & 0xFFFF_FFFF
            offset += _FRAME_BYTES + size
            meta, blobs = _decode(body)
            yield Record(meta, blobs, offset, number)


def _decode(body: bytes) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    (length,) = _LENGTH.unpack_from(body)
    at = 4 + length
    meta = orjson.loads(body[4:at])
    blobs = []
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        blobs.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return meta, tuple(blobs)


def _next_frame(file: BinaryIO, salt: int, offset: int, end: int) -> int | None:
    """Where the next whole frame begins, looked for by how a meta begins and by its checksum."""
    while offset < end:
        file.seek(offset)
        window = file.read(_SEARCHED + len(_META) + _BEFORE_META)
        at = window.find(_META, _BEFORE_META)
        while at >= 0:
            begin = offset + at - _BEFORE_META
            file.seek(begin)
            size, checksum, number = _FRAME.unpack(file.read(_FRAME_BYTES))
            whole = 4 <= size <= end - begin - _FRAME_BYTES
            if whole and crc32(file.read(size), salt ^ number) == checksum:
                return begin
            at = window.find(_META, at + 1)
        offset += _SEARCHED
    return None
