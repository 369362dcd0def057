from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from noria.store.intake.compression import compress, decompress
from tests.store.support import chat_reply, chat_request

bodies = st.binary(max_size=3000) | st.text(max_size=3000).map(chat_reply)


@given(body=bodies)
def test_a_body_comes_back(body: bytes) -> None:
    assert decompress(compress(body)) == body


def test_a_long_body_comes_back() -> None:
    for body in (chat_request("word " * 200_000), bytes(range(256)) * 20_000):
        stored = compress(body)
        assert stored is not None
        assert len(stored) < len(body) / 4
        assert decompress(stored) == body


def test_nothing_stays_nothing() -> None:
    assert compress(None) is None
    assert decompress(None) is None


@given(body=bodies)
def test_what_was_stored_without_a_dictionary_is_read(body: bytes) -> None:
    assert decompress(zlib.compress(body)) == body
    assert decompress(isal_zlib.compress(body, 1)) == body


def test_the_dictionary_is_that_of_every_store() -> None:
    """A stored body names its dictionary by the Adler-32: with another one none could be read."""
    stored = compress(b"{}")
    assert stored is not None
    assert stored[1] & 0x20
    assert int.from_bytes(stored[2:6], "big") == 754160679


def test_short_bodies_shrink_to_what_is_said() -> None:
    said = "The book may be sent back."
    stored = compress(chat_request(said))
    assert stored is not None
    assert len(stored) < len(said) + 40


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_damaged_body_is_not_taken_for_a_shorter_one(cut: int) -> None:
    stored = compress(chat_reply("Orders sent before noon leave on the same day."))
    assert stored is not None
    with pytest.raises(ValueError, match="too early"):
        decompress(stored[:-cut])
