"""How an application's process and its host talk: lines of JSON over a pair of sockets.

The process says what it has loaded and how it does; the host says `serve`, `drain` or `stop`. When
either end is closed the other one is gone.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import orjson

__all__ = ["Channel"]

_LONGEST_LINE = 64 * 1024 * 1024


class Channel:
    """One end, in an event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Talk over one end of a pair of sockets."""
        return cls(*await asyncio.open_connection(sock=end, limit=_LONGEST_LINE))

    def say(self, **said: Any) -> None:
        """Tell the other end something; nothing happens if it is gone."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(said) + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """What the other end says next; None when it is gone."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        said: dict[str, Any] = orjson.loads(line)
        return said

    def close(self) -> None:
        """Say no more."""
        self._writer.close()
