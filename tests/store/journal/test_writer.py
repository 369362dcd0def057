from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import StoreUnavailable
from noria.store.journal.format import HEAD_BYTES, read_records
from noria.store.journal.writer import Journal, segments, writer_is_dead

records = st.lists(
    st.tuples(
        st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(), max_size=4),
        st.lists(st.binary(max_size=200), max_size=3),
    ),
    max_size=8,
)


def write(home: Path, entries: list[tuple[dict[str, object], list[bytes]]]) -> Path:
    journal = Journal(home, "w")
    for meta, blobs in entries:
        journal.append(meta, *blobs)
    journal.close()
    return segments(home)[-1].path


@given(entries=records, data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[dict[str, object], list[bytes]]],
    data: st.DataObject,
) -> None:
    path = write(tmp_path_factory.mktemp("home"), entries)
    read = [(record.meta, list(record.blobs)) for record in read_records(path)]
    assert read == entries
    ends = [HEAD_BYTES, *(record.end for record in read_records(path))]
    assert ends[-1] == path.stat().st_size
    skipped = data.draw(st.integers(0, len(entries)))
    rest = [(r.meta, list(r.blobs)) for r in read_records(path, ends[skipped])]
    assert rest == entries[skipped:]


@given(entries=records, data=st.data())
@settings(max_examples=300, deadline=None)
def test_damage_never_gives_a_wrong_record(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[dict[str, object], list[bytes]]],
    data: st.DataObject,
) -> None:
    path = write(tmp_path_factory.mktemp("home"), entries)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            place = data.draw(st.integers(0, len(content) * 8 - 1))
            content[place // 8] ^= 1 << place % 8
    content = content[: data.draw(st.integers(0, len(content)))]
    content += data.draw(st.binary(max_size=30) | st.just(bytes(64)))
    path.write_bytes(content)
    read = [(record.meta, list(record.blobs)) for record in read_records(path)]
    assert read == entries[: len(read)]


def test_reading_goes_on_where_a_torn_record_was_completed(tmp_path: Path) -> None:
    path = write(tmp_path, [({"n": 1}, [b"one"]), ({"n": 2}, [b"two"])])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    (first,) = read_records(path)
    path.write_bytes(whole)
    assert [record.meta for record in read_records(path, first.end)] == [{"n": 2}]


def test_segments_follow_one_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w", segment_bytes=1000)
    for number in range(50):
        journal.append({"n": number}, bytes(100))
    found = segments(tmp_path)
    assert [segment.number for segment in found] == list(range(1, len(found) + 1))
    assert len(found) > 4
    numbers = [record.meta["n"] for segment in found for record in read_records(segment.path)]
    assert numbers == list(range(50))
    assert not writer_is_dead(found[-1].path)
    journal.close()
    assert writer_is_dead(found[-1].path)


def test_a_holder_that_comes_again_begins_a_new_segment(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path, [({"n": 1}, [])])
    assert [segment.number for segment in segments(tmp_path)] == [1, 2]


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        journal.append({})


def test_a_fork_cannot_write_and_does_not_keep_the_lock(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.append({"n": 1})
    ready, tell = os.pipe()
    release, go = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            journal.append({"n": 2})
            os.write(tell, b"wrote")
        except StoreUnavailable:
            os.write(tell, b"refused")
        os.close(go)
        os.read(release, 1)
        os._exit(0)
    assert os.read(ready, 10) == b"refused"
    journal.close()
    assert writer_is_dead(segments(tmp_path)[0].path)
    os.write(go, b"!")
    os.waitpid(child, 0)
    assert len(list(read_records(segments(tmp_path)[0].path))) == 1


def test_a_killed_writer_is_known_to_be_dead(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from noria.store.journal.writer import Journal\n"
        "j = Journal(Path(sys.argv[1]), 'w'); j.append({'n': 1}); print('up', flush=True)\n"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    path = segments(tmp_path)[0].path
    assert not writer_is_dead(path)
    child.kill()
    child.communicate()
    assert writer_is_dead(path)
    assert len(list(read_records(path))) == 1


def test_a_full_disk_leaves_nothing_of_the_record_behind(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the write is cut short."""
    journal = Journal(tmp_path, "w", sync=True)
    journal.append({"n": 1}, bytes(100))
    path = segments(tmp_path)[0].path
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot be written"):
                journal.append({"n": 2}, bytes(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size
    journal.append({"n": 3})
    assert [record.meta["n"] for record in read_records(path)] == [1, 3]
    journal.close()


def test_the_journal_does_not_load_the_database() -> None:
    script = "import sys, noria.store.journal.writer; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
