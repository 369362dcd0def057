"""Calls of a model from the same process: through the gateway like any other, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from noria.errors import ApiError, NoriaError, internal_error
from noria.http.sink import BufferedSink
from noria.models.endpoint import Endpoint
from noria.models.refusal import Refusal
from noria.models.wire import events, read_json
from noria.tracing import blocked_loop

if TYPE_CHECKING:
    from noria.tracing import CallContext

__all__ = ["collect", "complete", "stream"]


async def complete(
    context: CallContext, endpoint: Endpoint, fields: dict[str, Any]
) -> dict[str, Any]:
    """Make a call and wait for its whole answer. May be called on any event loop.

    Args:
        context: where the call is made: its key pays, its trace is gone on with.
        endpoint: which call.
        fields: the request of OpenAI's wire.

    Raises:
        ApiError: the call was refused or failed.
        NoriaError: the gateway's own event loop is stopped until this is through.
    """
    pieces = [piece async for piece in _pieces(context, endpoint, orjson.dumps(fields))]
    answer: dict[str, Any]
    answer, _ = read_json(b"".join(pieces))
    return answer


async def stream(context: CallContext, fields: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Make a chat call and give each event of its stream. May be called on any event loop.

    Raises:
        ApiError: the call was refused, failed, or broke off.
    """
    rest = b""
    async for piece in _pieces(context, Endpoint.CHAT, orjson.dumps(fields | {"stream": True})):
        whole, end, rest = (rest + piece).rpartition(b"\n\n")
        for data in events(whole + end):
            event, _ = read_json(data)
            refusal = Refusal.within(event)
            if refusal is not None:
                raise ApiError(502, refusal.code or "upstream_error", refusal.message)
            if isinstance(event, dict):
                yield event


async def _pieces(context: CallContext, endpoint: Endpoint, body: bytes) -> AsyncIterator[bytes]:
    """The bytes of an answer as they come. Leaving early cancels the call."""
    if context.runtime.loop is asyncio.get_running_loop():
        async for piece in _local_pieces(context, endpoint, body):
            yield piece
        return
    if blocked_loop.get() is context.runtime.loop:
        raise NoriaError(
            "The blocking form of a model call would deadlock: it was called from the event loop "
            "that it has to wait for.",
            "Use `await` and the name without _sync, or run the plain function with: "
            "await asyncio.to_thread(...)",
        )
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    async def carry() -> None:
        last: BaseException | None = None
        try:
            async for piece in _local_pieces(context, endpoint, body):
                loop.call_soon_threadsafe(queue.put_nowait, piece)
        except BaseException as failure:  # noqa: BLE001 - it is raised on the other side
            last = failure
        with suppress(RuntimeError):  # The loop of whoever asked may be closed: nobody waits.
            loop.call_soon_threadsafe(queue.put_nowait, last)

    carrying = asyncio.run_coroutine_threadsafe(carry(), context.runtime.loop)
    try:
        while (came := await queue.get()) is not None:
            if isinstance(came, BaseException):
                raise came
            yield came
    finally:
        carrying.cancel()


async def _local_pieces(
    context: CallContext, endpoint: Endpoint, body: bytes
) -> AsyncIterator[bytes]:
    sink = BufferedSink()
    async for piece in collect(
        context.runtime.call(endpoint, context.trace.key, body, sink, context), sink
    ):
        yield piece


async def collect(call: Coroutine[Any, Any, None], sink: BufferedSink) -> AsyncIterator[bytes]:
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


def _explain(call: asyncio.Future[None], sink: BufferedSink) -> None:
    """A call that ended without an answer must not leave its caller waiting."""
    if call.cancelled():
        sink.fail([], ApiError(502, "cancelled", "The call was cancelled."))
    elif call.exception() is not None:
        sink.fail([], internal_error())
