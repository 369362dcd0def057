"""AWS's frames: whole however they are cut, refused where a byte is wrong."""

from __future__ import annotations

import itertools
import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.models.wires.eventstream import EventStreamDecoder, Message, encode

# Read by botocore 1.44.8 as the same message.
KNOWN = bytes.fromhex(
    "0000007f00000057ebaf6c200b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c7461"
    "0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74"
    "7970650700056576656e747b2264656c7461223a7b2274657874223a2268c3a9227d7d54ad7c31"
)
MESSAGE = Message(
    {
        ":event-type": "contentBlockDelta",
        ":content-type": "application/json",
        ":message-type": "event",
    },
    b'{"delta":{"text":"h\xc3\xa9"}}',
)
headers = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=4)
messages = st.builds(Message, headers, st.binary(max_size=200))


def test_a_known_message() -> None:
    assert EventStreamDecoder().feed(KNOWN) == [MESSAGE]
    assert encode(*MESSAGE) == KNOWN
    assert (MESSAGE.kind, MESSAGE.failed) == ("contentBlockDelta", False)


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 2000), max_size=6))
def test_messages_are_the_same_however_they_are_cut(sent: list[Message], cuts: list[int]) -> None:
    whole = b"".join(encode(*message) for message in sent)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    decoder = EventStreamDecoder()
    got = []
    for begin, end in itertools.pairwise(bounds):
        got += decoder.feed(whole[begin:end])
    assert got == sent
    assert not decoder.cut


@given(messages, st.data())
def test_no_changed_byte_goes_unseen(message: Message, data: st.DataObject) -> None:
    whole = bytearray(encode(*message))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"checksum|message|header"):
        EventStreamDecoder().feed(bytes(whole))


@given(messages, st.data())
def test_a_cut_message_is_known_as_one(message: Message, data: st.DataObject) -> None:
    whole = encode(*message)
    decoder = EventStreamDecoder()
    assert decoder.feed(whole[: data.draw(st.integers(1, len(whole) - 1))]) == []
    assert decoder.cut


def test_headers_of_other_kinds_are_passed_over() -> None:
    others = b"".join(
        (
            b"\x01t\x00", b"\x01f\x01", b"\x01b\x02\x05", b"\x01s\x03\x00\x05",
            b"\x01i\x04" + b"0" * 4,
            b"\x01l\x05" + b"0" * 8, b"\x01y\x06\x00\x02ab", b"\x01d\x08" + b"0" * 8,
            b"\x01u\x09" + b"0" * 16,
        )
    )  # fmt: skip
    text = b"\x0b:event-type\x07\x00\x04stop"
    head = others + text
    lengths = struct.pack(">II", 16 + len(head), len(head))
    whole = lengths + struct.pack(">I", crc32(lengths)) + head
    whole += struct.pack(">I", crc32(whole))
    assert EventStreamDecoder().feed(whole) == [Message({":event-type": "stop"}, b"")]


def test_an_exception_is_told_by_its_headers() -> None:
    said = encode({":message-type": "exception", ":exception-type": "throttlingException"}, b"{}")
    (message,) = EventStreamDecoder().feed(said)
    assert (message.kind, message.failed) == ("throttlingException", True)
