"""A byte that flips in a journal loses one record, and no money becomes free by it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.models import assemble
from noria.store import Journal, read_records, take_in
from noria.store.journal.format import frame
from noria.store.journal.writer import damaged_segments, segments
from noria.testing import FakeProvider, Reply
from noria.types import Subject
from tests.support.door import NANO_PER_TOKEN, Door, chat


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_record_that_was_not_touched_is_read(
    tmp_path_factory: object, data: st.DataObject
) -> None:
    number = data.draw(st.integers(3, 30))
    frames = [
        frame({"t": "x", "n": n}, (b'{"t":"not a record"}' * data.draw(st.integers(0, 3)),))
        for n in range(number)
    ]
    hit = data.draw(st.integers(0, number - 2))
    at = data.draw(st.integers(0, len(frames[hit]) - 1))
    raw = bytearray(b"".join(frames))
    start = sum(map(len, frames[:hit]))
    raw[start + at] ^= data.draw(st.integers(1, 255))
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"damaged-{os.getpid()}.wal"
    path.write_bytes(raw)
    passed: list[tuple[int, int]] = []
    found = [
        record.meta["n"]
        for record in read_records(path, 0, lambda first, last: passed.append((first, last)))
    ]
    path.unlink()
    assert found == [n for n in range(number) if n != hit]
    assert passed == [(start, start + len(frames[hit]))]


def test_a_torn_end_of_a_living_writer_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.wal"
    whole = [frame({"t": "x", "n": n}) for n in range(3)]
    path.write_bytes(b"".join(whole)[:-3])
    passed: list[tuple[int, int]] = []
    read = [record.meta["n"] for record in read_records(path, 0, lambda *at: passed.append(at))]
    assert (read, passed) == ([0, 1], [])


@pytest.mark.parametrize("seed", range(4))
def test_no_money_is_spent_twice(
    new_door: Callable[..., Door], fake: FakeProvider, seed: int
) -> None:
    fake.reply = Reply(text="one two three")
    door = new_door()
    secret = door.key(budget="0.2 USD")
    with door.client(secret) as client:
        for _ in range(5):
            assert client.post("/v1/chat/completions", json=chat("Hi", max_tokens=5)).is_success
        door.kill()
    # what the intake had not taken in yet is damaged
    chosen = random.Random(seed)
    with door.database() as db:
        db.close()
    for segment in segments(door.home):
        raw = bytearray(segment.path.read_bytes())
        if len(raw) > 200:
            raw[chosen.randrange(100, len(raw))] ^= 0x40
            segment.path.write_bytes(raw)
    door.start()
    with door.client(secret) as client:
        while client.post("/v1/chat/completions", json=chat("Hi", max_tokens=5)).is_success:
            pass
    owed = fake.owed["small"]
    assert (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN <= 200_000_000
    standing = door.budget(Subject.KEY)
    assert standing.spent_nano + standing.held_nano <= 200_000_000


def test_a_damaged_file_is_kept_and_named(new_door: Callable[..., Door], tmp_path: Path) -> None:
    door = new_door()
    home = door.home
    journal = Journal(home, "ghost-1")
    for n in range(3):
        journal.append({"t": "return", "lease": 10_000 + n, "amount": 1})
    journal.close()
    (ghost,) = [one for one in segments(home) if one.holder == "ghost-1"]
    raw = bytearray(ghost.path.read_bytes())
    raw[20] ^= 1
    ghost.path.write_bytes(raw)
    with door.database() as db:
        take_in(db, assemble)
    (kept,) = damaged_segments(home)
    assert kept.read_bytes() == bytes(raw)
    assert not ghost.path.exists()
