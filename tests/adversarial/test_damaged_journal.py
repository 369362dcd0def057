"""A byte that flips in a journal loses one record, and no money becomes free by it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.models import assemble
from noria.store import Journal, read_records, take_in
from noria.store.journal.format import HEAD_BYTES
from noria.store.journal.writer import damaged_segments, segments
from noria.testing import FakeProvider, Reply
from noria.types import Subject
from tests.support.door import NANO_PER_TOKEN, PRICES, Door, chat

LIKE_A_FRAME = b'{"t":"not a record"}'


def written(home: Path, number: int, blob: bytes) -> tuple[Path, list[int]]:
    """A journal with so many records, and where each of them ends."""
    journal = Journal(home, "writer")
    for n in range(number):
        journal.append({"t": "x", "n": n}, blob * (n % 3))
    journal.close()
    (segment,) = segments(home)
    return segment.path, ends_of(segment.path)


def ends_of(path: Path) -> list[int]:
    return [record.end for record in read_records(path)]


def read(path: Path, passed: list[tuple[int, int]]) -> list[int]:
    """The numbers of the records that can be read; `passed` gets what was passed over."""
    return [
        record.meta["n"]
        for record in read_records(path, 0, lambda first, last: passed.append((first, last)))
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_each_record_that_was_not_touched_is_read(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        number = data.draw(st.integers(3, 30))
        path, ends = written(home, number, data.draw(st.sampled_from([b"", LIKE_A_FRAME])))
        raw = bytearray(path.read_bytes())
        hit = data.draw(st.integers(0, number - 1))
        start = ends[hit - 1] if hit else HEAD_BYTES
        raw[data.draw(st.integers(start, ends[hit] - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)
        passed: list[tuple[int, int]] = []
        found = read(path, passed)
        assert found == [n for n in range(number) if n != hit]
        # What follows the last whole frame may still be being written.
        assert passed == ([(start, ends[hit])] if hit < number - 1 else [])
        home_file = HEAD_BYTES // 3
        raw = bytearray(path.read_bytes())
        raw[data.draw(st.integers(0, home_file - 1))] ^= 0x10
        path.write_bytes(raw)
        assert read(path, []) == found


def test_a_record_that_is_missing_without_a_trace_is_missed(tmp_path: Path) -> None:
    path, ends = written(tmp_path, 6, b"")
    raw = path.read_bytes()
    path.write_bytes(raw[: ends[1]] + raw[ends[3] :])
    passed: list[tuple[int, int]] = []
    assert read(path, passed) == [0, 1, 4, 5]
    assert passed == [(ends[1], ends[1])]


def test_what_a_provider_sends_is_never_taken_for_a_record(tmp_path: Path) -> None:
    """Not even a whole frame of another segment, where a damaged one hides where it stands."""
    other, ends = written(tmp_path / "other", 2, b"")
    alien = other.read_bytes()[HEAD_BYTES : ends[0]]
    path, ends = written(tmp_path, 3, b"x" * 40 + alien * 3)
    raw = bytearray(path.read_bytes())
    raw[ends[0] + 2] ^= 0x40
    path.write_bytes(raw)
    assert read(path, []) == [0, 2]


def test_a_torn_end_of_a_living_writer_is_waited_for(tmp_path: Path) -> None:
    path, _ = written(tmp_path, 3, b"")
    path.write_bytes(path.read_bytes()[:-3])
    passed: list[tuple[int, int]] = []
    assert (read(path, passed), passed) == ([0, 1], [])


@pytest.mark.parametrize("loss", ["a segment", "its end"])
def test_a_segment_that_is_gone_is_said_and_charged(
    new_door: Callable[..., Door], fake: FakeProvider, loss: str
) -> None:
    fake.reply = Reply(text="one two three")
    door = new_door(f"[journal]\nsegment_bytes = 1048576\n{PRICES}")
    secret = door.key(budget="10000 USD")
    door.stop_intake()
    with door.client(secret) as client:
        for _ in range(6):
            asked = chat("Hi " * 150_000, max_tokens=5)
            assert client.post("/v1/chat/completions", json=asked).is_success
        door.kill()
    mine = [one for one in segments(door.home) if one.path.stat().st_size > HEAD_BYTES]
    assert len(mine) >= 3
    if loss == "a segment":
        mine[1].path.unlink()
    else:
        os.truncate(mine[1].path, ends_of(mine[1].path)[0])
    with door.database() as db:
        take_in(db, assemble)
    standing = door.budget(Subject.KEY)
    owed = fake.owed["small"]
    assert standing.held_nano == 0
    assert standing.spent_nano >= (owed.input_tokens + owed.output_tokens) * NANO_PER_TOKEN
    assert damaged_segments(door.home)


@pytest.mark.parametrize("seed", range(4))
def test_no_money_is_spent_twice(
    new_door: Callable[..., Door], fake: FakeProvider, seed: int
) -> None:
    fake.reply = Reply(text="one two three")
    door = new_door()
    secret = door.key(budget="0.2 USD")
    door.stop_intake()  # What was taken in before could be damaged without harm.
    with door.client(secret) as client:
        for _ in range(5):
            assert client.post("/v1/chat/completions", json=chat("Hi", max_tokens=5)).is_success
        door.kill()
    chosen = random.Random(seed)
    (journal,) = [one for one in segments(door.home) if one.path.stat().st_size > HEAD_BYTES]
    raw = bytearray(journal.path.read_bytes())
    raw[chosen.randrange(HEAD_BYTES, len(raw))] ^= 0x40
    journal.path.write_bytes(raw)
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
    raw[HEAD_BYTES + 20] ^= 1
    ghost.path.write_bytes(raw)
    with door.database() as db:
        take_in(db, assemble)
    (kept,) = damaged_segments(home)
    assert kept.read_bytes() == bytes(raw)
    assert not ghost.path.exists()
