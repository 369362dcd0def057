"""HTTP server: accepts connections, hands requests to a handler, drains on shutdown."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from noria.config import Config
from noria.http.connection import Cancellable, ServerConnection, date_line
from noria.http.request import HTTPRequest, RequestLimits

__all__ = ["HTTPServer", "Handler"]

_TICK_SECONDS: Final = 0.5
_BACKLOG: Final = 2048


class Handler(Protocol):
    """Answers the requests of a reception."""

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> Cancellable | None:
        """Begin to answer one request; what is returned is cancelled if its client goes away."""


class HTTPServer:
    """Accepts connections and gives each request to who answers it.

    Args:
        config: where it listens, and its limits.
        answerer: takes the requests.
    """

    def __init__(self, config: Config, answerer: Handler) -> None:
        self.bounds = RequestLimits.of(config.limits)
        self.take = answerer.take
        self._most_lanes = config.limits.connections
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.date_line = date_line()
        self.closing = False
        self.address: tuple[str, int] = (config.server.host, config.server.port)
        """Where it listens, once it is open."""
        self._lanes: set[ServerConnection] = set()
        self._emptied = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self.address = listener.getsockname()[:2]
        self._server = await self._loop.create_server(
            lambda: ServerConnection(self), sock=listener, backlog=_BACKLOG
        )
        self._ticking = self._loop.create_task(self._tick())

    def accept_no_more(self) -> None:
        """Let nobody else in; connections close when what is asked on them is answered."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for lane in tuple(self._lanes):
            if lane.idle:
                lane.close()

    async def close(self, patience: float) -> None:
        """Accept no more, let running calls end for `patience` seconds, then cut them."""
        self.accept_no_more()
        try:
            async with asyncio.timeout(patience):
                await self._until_empty()
        except TimeoutError:
            for lane in tuple(self._lanes):
                lane.abort()
            await self._until_empty()
        self._ticking.cancel()

    async def _until_empty(self) -> None:
        self._emptied.clear()
        if self._lanes:
            await self._emptied.wait()

    def enter(self, lane: ServerConnection) -> bool:
        """Count a connection in; False when there are too many."""
        self._lanes.add(lane)
        return len(self._lanes) <= self._most_lanes

    def leave(self, lane: ServerConnection) -> None:
        """Count a connection out."""
        self._lanes.discard(lane)
        if not self._lanes:
            self._emptied.set()

    async def _tick(self) -> None:
        """One timer for all connections: deadlines, and the Date header of this second."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.date_line = date_line()
            now = self.now()
            for lane in tuple(self._lanes):
                if now > lane.deadline:
                    lane.expire()
