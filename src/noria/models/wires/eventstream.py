"""AWS's event stream: the binary frames that Bedrock answers in.

A message is a prelude of twelve bytes (its length, the length of its headers, a CRC of both), the
headers, the payload, and a CRC of all before it, each number in network order. The format is that
of `application/vnd.amazon.eventstream` in the Smithy specification.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

__all__ = ["EventStreamDecoder", "Message", "encode"]

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_OVERHEAD: Final = _PRELUDE.size + _CRC.size
_MOST_BYTES: Final = 24 * 1024 * 1024
"""The specification's most: 16 MiB of payload and 128 KiB of headers fit well."""
_TEXT: Final = 7
_LENGTH: Final = struct.Struct(">H")
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""The bytes of a header's value, by the kinds whose length is fixed."""


class Message(NamedTuple):
    """One message. Headers that are no texts are left out: nobody needs them here."""

    headers: dict[str, str]
    payload: bytes

    @property
    def kind(self) -> str:
        """Of an event its type; of an exception or an error its name; empty where none is told."""
        for name in (":event-type", ":exception-type", ":error-code"):
            if name in self.headers:
                return self.headers[name]
        return ""

    @property
    def failed(self) -> bool:
        """Whether it says that the provider has failed."""
        return self.headers.get(":message-type") in ("exception", "error")


class EventStreamDecoder:
    """Cuts what comes into messages, however it is cut on its way."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with these bytes.

        Raises:
            ValueError: it is no event stream, or a byte of it was changed.
        """
        rest = self._rest
        rest += data
        found, at = [], 0
        while len(rest) - at >= _PRELUDE.size:
            length, headers, told = _PRELUDE.unpack_from(rest, at)
            if told != crc32(memoryview(rest)[at : at + 8]):
                raise ValueError("the prelude of a message does not fit its checksum")
            if not _OVERHEAD + headers <= length <= _MOST_BYTES:
                raise ValueError(f"a message of {length} bytes with {headers} of headers")
            if len(rest) - at < length:
                break
            end = at + length - _CRC.size
            if _CRC.unpack_from(rest, end)[0] != crc32(memoryview(rest)[at:end]):
                raise ValueError("a message does not fit its checksum")
            begin = at + _PRELUDE.size
            payload = begin + headers
            found.append(Message(_headers(bytes(rest[begin:payload])), bytes(rest[payload:end])))
            at += length
        del rest[:at]
        return found

    @property
    def cut(self) -> bool:
        """Whether it ends within a message."""
        return bool(self._rest)


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message, with texts for headers."""
    head = bytearray()
    for name, value in headers.items():
        key, text = name.encode(), value.encode()
        head += bytes((len(key),)) + key + bytes((_TEXT,)) + _LENGTH.pack(len(text)) + text
    lengths = struct.pack(">II", _OVERHEAD + len(head) + len(payload), len(head))
    whole = lengths + _CRC.pack(crc32(lengths)) + head + payload
    return whole + _CRC.pack(crc32(whole))


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            begin = at + 1
            kind_at = begin + data[at]
            name = data[begin:kind_at].decode()
            kind = data[kind_at]
            at = kind_at + 1
            if kind in _FIXED:
                at += _FIXED[kind]
                continue
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            if kind == _TEXT:
                found[name] = data[at : at + length].decode()
            elif kind != 6:  # bytes
                raise ValueError(f"a header of the unknown kind {kind}")
            at += length
    except (IndexError, struct.error):
        at = -1
    if at != len(data):
        raise ValueError("the headers of a message are cut")
    return found
