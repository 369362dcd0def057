"""HTTP server: accepts connections, hands requests to a handler, drains on shutdown."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable
from itertools import islice
from typing import Any, Final, Protocol

from noria.config import Config
from noria.errors import ApiError
from noria.http.connection import Cancellable, ServerConnection, date_line
from noria.http.request import HTTPRequest, RequestLimits

__all__ = ["HTTPServer", "Handler"]

_TICK_SECONDS: Final = 0.5
_BACKLOG: Final = 2048
_FILES_FOR_OTHERS: Final = 256
"""Of what a process may open: databases, journals, connections to providers."""
_MOST_LOOKED_AT: Final = 64


class Handler(Protocol):
    """Answers the requests of a reception."""

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> Cancellable | None:
        """Begin to answer one request; what is returned is cancelled if its client goes away."""

    def admit(self, incoming: HTTPRequest) -> Awaitable[object] | None:
        """Look at the head of a request whose body is still to come: whether its sender may have
        so much of noria. None when it may; else what has to be waited for, which raises the
        refusal.

        Raises:
            ApiError: it is refused at once.
        """

    def explain(self, incoming: HTTPRequest | None, error: ApiError) -> dict[str, Any]:
        """What a client is told of a failure, in its own dialect."""


class HTTPServer:
    """Accepts connections and gives each request to who answers it.

    Args:
        config: where it listens, and its limits.
        answerer: takes the requests.
    """

    def __init__(self, config: Config, answerer: Handler) -> None:
        self.bounds = RequestLimits.of(config.limits)
        self.take = answerer.take
        self.admit = answerer.admit
        self.explain = answerer.explain
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Without a file left for it, a connection could not even be refused.
        self._most_lanes = max(1, min(config.limits.connections, soft - _FILES_FOR_OTHERS))
        self._held: dict[bytes, int] = {}
        """Bytes in hand for each peer."""
        self._held_in_all = 0
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.date_line = date_line()
        self.closing = False
        self.address: tuple[str, int] = (config.server.host, config.server.port)
        """Where it listens, once it is open."""
        self._lanes: set[ServerConnection] = set()
        self._strangers: dict[ServerConnection, None] = {}
        """Those of them that have shown no key, the oldest first."""
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
        """Count a connection in; False when there are too many and none makes way."""
        if len(self._lanes) >= self._most_lanes and not self._make_room():
            self._lanes.add(lane)
            return False
        self._lanes.add(lane)
        self._strangers[lane] = None
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been open longest without showing a key, and has nothing
        to wait for, so that slow ones cannot keep everybody else out."""
        now = self.now()
        for lane in islice(self._strangers, _MOST_LOOKED_AT):
            if lane.makes_way(now):
                self.leave(lane)
                lane.abort()
                return True
        return False

    def know(self, lane: ServerConnection) -> None:
        """A connection has shown a key."""
        self._strangers.pop(lane, None)

    def hold(self, peer: bytes, length: int) -> None:
        """Count bytes of a request that is not answered yet.

        Raises:
            ApiError: 503, and they are not counted.
        """
        held = self._held.get(peer, 0) + length
        bounds = self.bounds
        if held > bounds.peer_bytes or self._held_in_all + length > bounds.bytes_in_hand:
            raise ApiError(
                503, "too_many_bytes",
                "Too many bytes of requests are in hand. Send fewer at the same time.",
                retry_after=1,
            )  # fmt: skip
        self._held[peer] = held
        self._held_in_all += length

    def release(self, peer: bytes, length: int) -> None:
        """Bytes that were held are not any more."""
        self._held_in_all -= length
        held = self._held[peer] - length
        if held:
            self._held[peer] = held
        else:
            del self._held[peer]

    def leave(self, lane: ServerConnection) -> None:
        """Count a connection out."""
        self._lanes.discard(lane)
        self._strangers.pop(lane, None)
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
