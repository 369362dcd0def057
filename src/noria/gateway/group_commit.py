"""Group commit: all journal records produced in one event-loop iteration are written with one
`writev`, then their callbacks run.

Nothing may be sent before the record that promises it is written: the hold before the first byte
goes upstream, the end before the last byte goes down. Under load several calls get that far in one
iteration. Their records are written by one system call, and then all of them are sent on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from noria.errors import StoreUnavailable
from noria.store.journal.writer import MOST_FRAMES, Journal

__all__ = ["GroupCommit"]

log = logging.getLogger("noria.gateway")

Act = Callable[[], None]
Refuse = Callable[[StoreUnavailable], None]


class GroupCommit:
    """The records of this turn, and what waits for each of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[bytes, Act, Refuse]] = []

    def after(self, frame: bytes, act: Act, refuse: Refuse) -> None:
        """Write a record at the end of this turn, and then act; neither may raise.

        Args:
            frame: the record, as `journal.frame` made it.
            act: what the record allows.
            refuse: called instead when the journal cannot be written; then nothing of it is left.
        """
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self.end)
        elif len(waiting) == MOST_FRAMES:
            self.end()
        self._waiting.append((frame, act, refuse))

    def end(self) -> None:
        """Write and act now."""
        if not self._waiting:
            return
        frames, acts, refusals = zip(*self._waiting, strict=True)
        self._waiting = []
        try:
            self._journal.write(frames)
        except StoreUnavailable as failed:
            for refuse in refusals:
                refuse(failed)
            return
        for act in acts:
            try:
                act()
            except Exception:
                log.exception("What a record in the journal allows could not be done.")
