"""Calls of a model from the same process: through the gateway like any other, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from noria.errors import ApiError, NoriaError
from noria.gateway.endpoint import Endpoint
from noria.gateway.sink import Collector
from noria.gateway.tracing import stopped

if TYPE_CHECKING:
    from noria.gateway.tracing import Place

__all__ = ["collect", "complete", "stream"]


async def complete(place: Place, endpoint: Endpoint, fields: dict[str, Any]) -> dict[str, Any]:
    """Make a call and wait for its whole answer. May be called on any event loop.

    Args:
        place: where the call is made: its key pays, its trace is gone on with.
        endpoint: which call.
        fields: the request of OpenAI's wire.

    Raises:
        ApiError: the call was refused or failed.
        NoriaError: the gateway's own event loop is stopped until this is through.
    """
    pieces = [piece async for piece in _pieces(place, endpoint, orjson.dumps(fields))]
    answer: dict[str, Any] = orjson.loads(b"".join(pieces))
    return answer


async def stream(place: Place, fields: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Make a chat call and give each event of its stream. May be called on any event loop.

    Raises:
        ApiError: the call was refused, failed, or broke off.
    """
    rest = b""
    async for piece in _pieces(place, Endpoint.CHAT, orjson.dumps(fields | {"stream": True})):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                continue
            event = orjson.loads(data)
            if "error" in event:
                error = event["error"]
                raise ApiError(502, error.get("code") or "upstream_error", str(error["message"]))
            yield event


async def _pieces(place: Place, endpoint: Endpoint, body: bytes) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come. Leaving early cancels the call."""
    if place.gateway.loop is asyncio.get_running_loop():
        async for piece in _local_pieces(place, endpoint, body):
            yield piece
        return
    if stopped.get() is place.gateway.loop:
        raise NoriaError(
            "A model was asked without awaiting it, in an async function, which stops all that it "
            "is waiting for.",
            "Write `await` and the name without _sync, or call the plain function that asks the "
            "model with: await asyncio.to_thread(...)",
        )
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    async def carry() -> None:
        last: BaseException | None = None
        try:
            async for piece in _local_pieces(place, endpoint, body):
                loop.call_soon_threadsafe(queue.put_nowait, piece)
        except BaseException as failure:  # noqa: BLE001 - it is raised on the other side
            last = failure
        with suppress(RuntimeError):  # The loop of whoever asked may be closed: nobody waits.
            loop.call_soon_threadsafe(queue.put_nowait, last)

    carrying = asyncio.run_coroutine_threadsafe(carry(), place.gateway.loop)
    try:
        while (came := await queue.get()) is not None:
            if isinstance(came, BaseException):
                raise came
            yield came
    finally:
        carrying.cancel()


async def _local_pieces(place: Place, endpoint: Endpoint, body: bytes) -> AsyncIterator[bytes]:
    sink = Collector()
    async for piece in collect(
        place.gateway.call(endpoint, place.trace.key, body, sink, place), sink
    ):
        yield piece


async def collect(call: Coroutine[Any, Any, None], sink: Collector) -> AsyncIterator[bytes]:
    """The pieces that a call of this event loop puts into a sink. Leaving early cancels it.

    Raises:
        ApiError: the call was refused or failed.
    """
    calling = asyncio.ensure_future(call)
    calling.add_done_callback(lambda done: _explain(done, sink))
    try:
        async for piece in sink.pieces():
            yield piece
    finally:
        if not calling.done():
            calling.cancel()
        await asyncio.wait([calling])


def _explain(call: asyncio.Future[None], sink: Collector) -> None:
    """A call that ended without an answer must not leave its caller waiting."""
    if call.cancelled():
        sink.fail([], ApiError(502, "cancelled", "The call was cancelled."))
    elif call.exception() is not None:
        sink.fail([], ApiError(500, "internal_error", "noria failed to answer; its log says why."))
