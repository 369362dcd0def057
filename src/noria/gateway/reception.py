"""What listens on a socket: connections come in, requests are answered, all leave at the end."""

from __future__ import annotations

import abc
import asyncio
import socket

from noria.config import Config
from noria.gateway.incoming import Bounds, Incoming
from noria.gateway.lane import Cancellable, Lane, date_line

__all__ = ["Reception"]

_TICK_SECONDS = 0.5
_BACKLOG = 2048


class Reception(abc.ABC):
    """Accepts connections and has each request answered by `respond`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.bounds = Bounds.of(config.limits)
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.date_line = date_line()
        self.closing = False
        self.address: tuple[str, int] = (config.server.host, config.server.port)
        """Where it listens, once it is open."""
        self._lanes: set[Lane] = set()
        self._emptied = asyncio.Event()
        self._server: asyncio.Server | None = None

    def take(self, incoming: Incoming, lane: Lane) -> Cancellable | None:
        """Begin to answer one request; what is returned is cancelled if its client goes away."""
        return self.loop.create_task(self.respond(incoming, lane))

    @abc.abstractmethod
    async def respond(self, incoming: Incoming, lane: Lane) -> None:
        """Answer one request."""

    async def open(self, listener: socket.socket) -> None:
        """Begin to accept connections."""
        self.address = listener.getsockname()[:2]
        self._server = await self.loop.create_server(
            lambda: Lane(self), sock=listener, backlog=_BACKLOG
        )
        self._ticking = self.loop.create_task(self._tick())

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

    def enter(self, lane: Lane) -> bool:
        """Count a connection in; False when there are too many."""
        self._lanes.add(lane)
        return len(self._lanes) <= self.config.limits.connections

    def leave(self, lane: Lane) -> None:
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
