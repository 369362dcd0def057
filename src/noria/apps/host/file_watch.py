"""Noticing that files have changed, by their times and sizes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FileWatcher"]

_LOOK_SECONDS = 0.5
_SETTLE_SECONDS = 0.1

State = tuple[int, int] | None


class FileWatcher:
    """Files that are looked at twice a second."""

    def __init__(self, files: Iterable[str | Path]) -> None:
        self._known: dict[str, State] = {}
        self.add(files)

    def add(self, files: Iterable[str | Path]) -> None:
        """FileWatcher these as well, from how they are now."""
        for file in files:
            self._known.setdefault(str(file), _state(str(file)))

    async def changed(self) -> None:
        """Wait until one of them has changed and has stayed so for a moment: an editor writes a
        file in several steps."""
        differs = False
        while True:
            pause = _SETTLE_SECONDS if differs else _LOOK_SECONDS
            await asyncio.sleep(pause)
            settled, differs = differs, self._look()
            if settled and not differs:
                return

    def _look(self) -> bool:
        now = {file: _state(file) for file in self._known}
        differs = now != self._known
        self._known = now
        return differs


def _state(file: str) -> State:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
