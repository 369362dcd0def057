"""The write-ahead journal: what a process promises before it acts, and what came of it.

Each process appends to segments of its own, `journal/<holder>-<number>.wal`. A record is one frame
(`format.py`), written by one system call, which may carry several, so that it survives the death of
the process (and, with `sync`, of the machine). The newest segment is locked for as long as the
process lives: whoever can lock it knows that its writer is dead. This module is on the path of
every request and imports no database.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from noria.errors import NoriaError, StoreUnavailable
from noria.store.journal.format import SegmentHead, encode, frame_head

__all__ = [
    "MOST_FRAMES",
    "Journal",
    "Segment",
    "damaged_segments",
    "keep_damaged",
    "segments",
    "writer_is_dead",
]

_write = os.writev
MOST_FRAMES: Final = 512
"""How many records one system call takes, each in two pieces."""


class Segment(NamedTuple):
    """One file of a journal. Orders by holder, then by number."""

    holder: str
    number: int
    path: Path


class Journal:
    """The writing end of a journal; one for each process.

    Args:
        home: the state folder.
        holder: the name of this process, unique among all that ever lived in this home.
        sync: wait until each record is on the disk.
        segment_bytes: begin another file when this one has grown so long.

    Raises:
        StoreUnavailable: the first segment cannot be made.
    """

    def __init__(
        self, home: Path, holder: str, *, sync: bool = False, segment_bytes: int = 64 * 1024 * 1024
    ) -> None:
        self.folder = home / "journal"
        self.holder = holder
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._end = 0
        self._salt = 0
        self._next = 0
        # Steps of an application run in threads, and each writes its own span.
        self._mutex = threading.Lock()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._number = max((s.number for s in segments(home) if s.holder == holder), default=0)
            self._begin_segment()
        except OSError as failed:
            raise _unwritable(self.folder, failed) from failed
        _journals.add(self)

    def append(self, meta: Mapping[str, Any], *blobs: bytes) -> None:
        """Write one record. When this returns, the death of the process cannot undo it.

        Raises:
            StoreUnavailable: the disk is full or broken, or the journal is closed. Nothing of
                the record is left in the journal.
        """
        self.write((encode(meta, blobs),))

    def write(self, bodies: Sequence[bytes]) -> None:
        """Write records that were encoded before, all of them or none.

        Args:
            bodies: at most `MOST_FRAMES`, as `encode` made them.

        Raises:
            StoreUnavailable: as in `append`.
        """
        if self._fd < 0:
            raise StoreUnavailable(f"The journal of {self.holder} is closed in this process.")
        with self._mutex:
            try:
                if self._end >= self._segment_bytes:
                    self._begin_segment()
                number, size = self._next, 0
                pieces: list[bytes] = []
                for body in bodies:
                    head = frame_head(body, self._salt, number)
                    pieces += (head, body)
                    size += len(head) + len(body)
                    number = number + 1 & 0xFFFF_FFFF
                if _write(self._fd, pieces) != size:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if self._sync:
                    os.fdatasync(self._fd)
                self._end += size
                self._next = number
            except OSError as failed:
                self._take_back()
                raise _unwritable(self.folder, failed) from failed

    def close(self) -> None:
        """Let go of the file, which tells the intake that this holder has ended."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        _journals.discard(self)

    def _begin_segment(self) -> None:
        """Make the next file and lock it before it gets its name, so that nobody ever sees a
        living writer's newest segment unlocked."""
        number = self._number + 1
        path = self.folder / f"{self.holder}-{number:06}.wal"
        unnamed = path.with_suffix(".new")
        fd = os.open(unnamed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        head = SegmentHead.draw(self._next)
        packed = head.pack()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.write(fd, packed) != len(packed):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(unnamed, path)
            if self._sync:
                _sync_folder(self.folder)
        except OSError:
            os.close(fd)
            unnamed.unlink(missing_ok=True)
            raise
        previous, self._fd, self._number, self._end = self._fd, fd, number, len(packed)
        self._salt = head.salt
        if previous >= 0:
            os.close(previous)

    def _take_back(self) -> None:
        """Cut off what a failed write has left behind."""
        try:
            os.ftruncate(self._fd, self._end)
        except OSError:
            # The torn tail stays; a reader stops there, and the next record opens a new segment.
            self._end = self._segment_bytes

    def _forget(self) -> None:
        """In a forked child: the file and its lock belong to the parent alone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def segments(home: Path) -> list[Segment]:
    """All segments in the home, each holder's in the order in which they were written."""
    try:
        names = os.listdir(home / "journal")
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        holder, dash, number = name.removesuffix(".wal").rpartition("-")
        if dash and name.endswith(".wal") and number.isdigit():
            found.append(Segment(holder, int(number), home / "journal" / name))
    return sorted(found)


def keep_damaged(path: Path) -> None:
    """Copy a damaged segment to the folder `damaged` beside the journals, once."""
    kept = path.parent / "damaged" / path.name
    if kept.exists():
        return
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        os.link(path, kept)
    except FileNotFoundError:
        return  # another intake has put it aside
    except FileExistsError:
        return


def damaged_segments(home: Path) -> list[Path]:
    """The damaged segments that were put aside."""
    folder = home / "journal" / "damaged"
    return sorted(folder.glob("*.wal")) if folder.is_dir() else []


def writer_is_dead(path: Path) -> bool:
    """Whether nobody holds this segment open for writing.

    Only a holder's newest segment tells; look for a newer one after this has said True.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_journals):
        journal._forget()


os.register_at_fork(after_in_child=_after_fork)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unwritable(folder: Path, failed: OSError) -> NoriaError:
    return StoreUnavailable(
        f"The journal in {folder} cannot be written: {failed.strerror or failed}.",
        "Free some space on that disk, or set NORIA_HOME to a folder on another one.",
    )
