"""Reads the next batch of records from all journals and detects dead writers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from noria.store.bulk_sql import select_in
from noria.store.journal.format import HEAD_BYTES, Record, read_records
from noria.store.journal.writer import Segment, segments, writer_is_dead

__all__ = ["JournalBatch", "read_batch"]

log = logging.getLogger("noria.store")

BATCH_BYTES = 32 * 1024 * 1024

_Place = tuple[int, int, int | None]
"""A segment, an offset in it, and the number of the record that comes next."""


@dataclass(slots=True)
class JournalBatch:
    """What one batch takes: records, and where each journal stands after them."""

    records: list[tuple[str, Record]] = field(default_factory=list)
    places: dict[str, _Place] = field(default_factory=dict)
    read: dict[Path, int] = field(default_factory=dict)
    """Files that were read to their end, and how long they were."""
    spent: list[Path] = field(default_factory=list)
    """Files that nothing will be read from any more."""
    dead: list[str] = field(default_factory=list)
    """Holders that are dead and all taken in."""
    gone: list[str] = field(default_factory=list)
    """Dead holders that an earlier batch has finished with, though not removed."""
    damaged: set[str] = field(default_factory=set)
    """Holders of which something could not be read: of a whole frame, or behind the last one of a
    file that nobody writes to any more."""
    broken: set[Path] = field(default_factory=set)
    """The files with such places; they are kept."""
    bytes: int = 0
    full: bool = False
    """Whether another batch must follow."""


def read_batch(connection: Connection, home: Path, limit: int) -> JournalBatch:
    """Read on in every journal from where the database says it was left, up to `limit` records."""
    cut = JournalBatch()
    mine: dict[str, list[Segment]] = {}
    for segment in segments(home):
        mine.setdefault(segment.holder, []).append(segment)
    stored = {
        row.holder: row
        for row in select_in(
            connection,
            'SELECT holder, segment, "offset", next, done, damaged FROM journals WHERE holder IN ?',
            list(mine),
        )
    }
    for holder, files in mine.items():
        row = stored.get(holder)
        if row is not None and row.done:
            cut.gone.append(holder)
            continue
        begin = (row.segment, row.offset, row.next) if row else (files[0].number, 0, None)
        # Look for death first: then what is read afterwards is all there will ever be.
        dead = _is_dead(home, files[-1])
        taken = len(cut.records)
        try:
            place = _read(cut, files, begin, limit, dead)
        except FileNotFoundError:
            continue  # another intake has finished with this journal just now
        if row is None or place != begin or holder in cut.damaged:
            cut.places[holder] = place
        if row is not None and row.damaged:
            cut.damaged.add(holder)
        if dead and not cut.full and len(cut.records) == taken:
            cut.places[holder] = place
            cut.dead.append(holder)
        elif dead:
            cut.full = True
        if cut.full:
            break
    return cut


def _read(cut: JournalBatch, files: list[Segment], place: _Place, limit: int, dead: bool) -> _Place:
    """Read one holder's files from a place on; returns the place after what was read."""
    for file in files:

        def damaged(first: int, last: int, file: Segment = file) -> None:
            what = f"{last - first} bytes from {first} on cannot be read"
            if first == last:
                what = f"records that stood before byte {first} are missing"
            log.error(
                "%s is damaged: %s. What they held is charged at its lease; the file is kept.",
                file.path.name, what,
            )  # fmt: skip
            cut.damaged.add(file.holder)
            cut.broken.add(file.path)

        if file.number < place[0]:
            cut.spent.append(file.path)
            continue
        if file.number > place[0]:
            place = (file.number, 0, place[2])
        size = file.path.stat().st_size
        begin = end = place[1]
        following = place[2]
        if size < begin:
            damaged(size, begin)
        for record in read_records(file.path, begin, damaged, following):
            cut.records.append((file.holder, record))
            end, following = record.end, record.number + 1 & 0xFFFF_FFFF
            if len(cut.records) >= limit or cut.bytes + end - begin >= BATCH_BYTES:
                cut.full = True
                break
        cut.bytes += end - begin
        place = (file.number, end, following)
        if cut.full:
            return place
        final = file is not files[-1] or dead
        if final and max(end, HEAD_BYTES) < size and file.path.stat().st_size == size:
            damaged(end, size)
            place = (file.number, size, None)
        cut.read[file.path] = size
        if file is not files[-1]:
            # A writer begins a segment only after it has ended the one before.
            cut.spent.append(file.path)
    return place


def _is_dead(home: Path, newest: Segment) -> bool:
    return writer_is_dead(newest.path) and not any(
        segment.holder == newest.holder and segment.number > newest.number
        for segment in segments(home)
    )
