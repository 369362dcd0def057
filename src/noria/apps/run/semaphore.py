"""At most so many at the same time, across threads and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

__all__ = ["CrossLoopSemaphore"]


class CrossLoopSemaphore:
    """Lets `limit` in and has the others wait in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            with self._lock:
                waits = turn in self._waiting
                if waits:
                    self._waiting.remove(turn)
            if not waits and not turn.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            turn = self._waiting.popleft()
        try:
            turn.get_loop().call_soon_threadsafe(self._give, turn)
        except RuntimeError:  # its loop was closed
            self._leave()

    def _give(self, turn: asyncio.Future[None]) -> None:
        if turn.done():  # it went away meanwhile
            self._leave()
        else:
            turn.set_result(None)
