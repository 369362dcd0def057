"""Making sure that what was deleted is in no file any more.

A deleted row stays in the free pages of SQLite's file and in its log until they are used again,
and a journal keeps what was taken in of it until its segment ends. Here both are cleared.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from noria.store.database import Database
from noria.store.journal.format import HEAD_BYTES
from noria.store.journal.writer import segments
from noria.store.tables.core import journals

__all__ = ["files_with", "scrub"]

_BLOCK = 1 << 20


def scrub(db: Database) -> None:
    """Clear what was deleted out of the database's files, and what was taken in out of the
    journals. Beside a running server too: a journal is read on from where it was left, so the
    bytes before may become zeros.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """
    _clear_journals(db)
    if db.dialect != "sqlite":
        return  # Postgres' files are the server's; its VACUUM clears them in time
    with db.write() as connection:
        connection.exec_driver_sql("INSERT INTO message_text (message_text) VALUES ('optimize')")
    db.vacuum()


def files_with(home: Path, text: str) -> list[Path]:
    """The files of a home in which a text stands, as it is or as JSON spells it."""
    spelled = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    wanted = {one.encode("utf-8", "replace") for one in (text, *spelled)}
    found = []
    for path in sorted(one for one in home.rglob("*") if one.is_file()):
        with suppress(OSError):
            if _holds(path, wanted):
                found.append(path)
    return found


def _holds(path: Path, wanted: set[bytes]) -> bool:
    overlap = max(map(len, wanted))
    tail = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            held = tail + block
            if any(one in held for one in wanted):
                return True
            tail = held[-overlap:]
    return False


def _clear_journals(db: Database) -> None:
    with db.read() as connection:
        taken = {row.holder: row for row in connection.execute(select(journals)).all()}
    for segment in segments(db.home):
        row = taken.get(segment.holder)
        if row is None or segment.number > row.segment:
            continue
        with suppress(FileNotFoundError), segment.path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            end = size if segment.number < row.segment else min(size, row.offset)
            for start in range(HEAD_BYTES, end, _BLOCK):
                file.seek(start)
                file.write(bytes(min(_BLOCK, end - start)))
            file.flush()
            os.fsync(file.fileno())
