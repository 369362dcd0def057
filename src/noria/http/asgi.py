"""Everything that is not hot: one request of a lane as a call of an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from noria.http.connection import ServerConnection
from noria.http.request import HTTPRequest

__all__ = ["ASGIApp", "run_asgi"]

Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


async def run_asgi(
    app: ASGIApp, incoming: HTTPRequest, lane: ServerConnection, state: dict[str, Any]
) -> None:
    """Answer one request with an ASGI application; `state` is what it is told of the request.

    An application that raises before it has answered becomes a plain 500; after that the
    connection is cut, so that half an answer is never taken for a whole one.
    """
    path, _, query = incoming.target.partition(b"?")
    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": incoming.version,
        "method": incoming.method.decode("ascii"),
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": incoming.headers,
        "client": lane.client,
        "server": lane.server,
        "state": state,
    }
    answer = _Answer(incoming, lane)
    await app(scope, answer.receive, answer.send)
    answer.close()


class _Answer:
    """The two callables that an ASGI application is given."""

    def __init__(self, incoming: HTTPRequest, lane: ServerConnection) -> None:
        self._incoming = incoming
        self._lane = lane
        self._given = False
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._started = self._ended = False

    async def receive(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self._incoming.content(), "more_body": False}
        # A client that goes away cancels the task, so this is only reached by an application
        # that waits for more than there is.
        await self._lane.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = (message["status"], list(message.get("headers", ())))
            return
        assert self._head is not None, "an ASGI application sent a body before its start"
        status, headers = self._head
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        if self._started:
            if body:
                self._lane.write(body)
        elif more:
            self._started = True
            self._lane.start(status, [h for h in headers if h[0].lower() != b"content-length"])
            if body:
                self._lane.write(body)
        else:
            keep = [h for h in headers if h[0].lower() != b"content-length"]
            self._ended = True
            self._lane.send(status, keep, body)
            self._lane.done()
            return
        if not more:
            self._ended = True
            self._lane.finish(b"")
        else:
            await self._lane.drain()

    def close(self) -> None:
        """Make sure that the answer has an end."""
        if not self._ended:
            self._lane.abort()
