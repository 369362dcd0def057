"""What an application's process answers with: calls that the doors send, made into runs."""

from __future__ import annotations

import asyncio
import difflib
import hmac
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import orjson

from noria.apps.declare.app import App
from noria.apps.run.run import start
from noria.apps.serve.callers import CallerKeys
from noria.apps.serve.chat_format import ChatWire, delta_event, error_event, result_event
from noria.apps.serve.conversation import ConversationState, read_chat, refuse_options
from noria.apps.serve.envelope import CallEnvelope
from noria.apps.serve.manifest import app_secret
from noria.errors import ApiError, StoreUnavailable, internal_error
from noria.gateway.core import Gateway
from noria.gateway.request import read_object
from noria.http.connection import Cancellable, ServerConnection
from noria.http.request import HTTPRequest
from noria.tracing import ActiveSpan, CallContext, Trace
from noria.types import Label, SpanKind

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["AppDoor"]

log = logging.getLogger("noria.apps")

_STRANGER = ApiError(401, "invalid_api_key", "This endpoint accepts internal requests only.")
_EVENTS = [(b"content-type", b"text/event-stream")]


class AppDoor:
    """Answers the doors' calls of the applications of one file.

    Args:
        apps: the applications.
        gateway: the core of this process.
        db: the store.
    """

    def __init__(self, apps: Sequence[App], gateway: Gateway, db: Database) -> None:
        self._apps = {app.name: app for app in apps}
        self._gateway = gateway
        self._db = db
        self._visitors = CallerKeys(db)
        self._credential = b"Bearer " + app_secret(gateway.config.home).encode()

    def take(self, incoming: HTTPRequest, lane: ServerConnection) -> Cancellable:
        """Begin to answer one call of a door."""
        return self._gateway.loop.create_task(self._respond(incoming, lane))

    def admit(self, incoming: HTTPRequest) -> None:
        """Let the body come: only noria's own doors reach this socket, and they are asked for
        their secret before it is read."""
        if not self._is_door(incoming):
            raise _STRANGER

    def explain(self, incoming: HTTPRequest | None, error: ApiError) -> dict[str, Any]:
        """Say it as noria's own doors read it."""
        return error.body()

    def _is_door(self, incoming: HTTPRequest) -> bool:
        return hmac.compare_digest(incoming.header(b"authorization") or b"", self._credential)

    async def _respond(self, incoming: HTTPRequest, lane: ServerConnection) -> None:
        if not self._is_door(incoming):
            lane.fail([], _STRANGER)
            return
        lane.acknowledge()
        visit, body = CallEnvelope.unpack(incoming.content())
        try:
            await self._receive(visit, body, lane)
            return
        except ApiError as refusal:
            error = refusal
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a call of %s failed", visit.app)
            error = internal_error()
        if lane.answering:
            lane.finish(error_event(error))
        else:
            lane.fail([], error)

    async def _receive(self, visit: CallEnvelope, body: bytes, lane: ServerConnection) -> None:
        app = self._apps.get(visit.app)
        if app is None:
            raise ApiError(404, "app_not_found", f"{visit.app} is not in this file any more.")
        key = await self._visitors.find(visit.key)
        trace = Trace(key, visit.trace, Label(visit.mark))
        context = CallContext(
            self._gateway,
            trace,
            visit.parent,
            app.name,
            self._gateway.config.recording.content and key.record_content and app.record_content,
            counted=True,
            depth=visit.depth,
        )
        talk = ConversationState(
            self._db, self._gateway.labels, trace, app.name, visit.conversation
        )
        if visit.function is None:
            await self._chat(app, visit, body, context, talk, lane)
        else:
            await self._call(app, visit.function, visit, body, context, talk, lane)

    async def _chat(
        self,
        app: App,
        visit: CallEnvelope,
        body: bytes,
        context: CallContext,
        talk: ConversationState,
        lane: ServerConnection,
    ) -> None:
        """Answer a chat request with the application's chat function."""
        function = app.answers
        if function is None:
            raise ApiError(
                404, "function_not_found",
                f"{app.name} has no chat function, so it answers to no chat. It has: "
                f"{', '.join(app.functions) or 'none'}.",
                param="model",
            )  # fmt: skip
        request = orjson.loads(body)
        with _noting(context, function.full_name, body):
            refuse_options(request)
            question, said = read_chat(request["messages"])
            await talk.begin(said)
            run = start(
                app,
                function.name,
                {"question": question},
                context,
                variant=visit.variant,
                history=talk.history,
                unit=visit.unit,
            )
        wire = ChatWire(request["model"], run.trace_id)
        if not visit.stream:
            text = (await run.result()).text
            await talk.end(question, text)
            lane.answer([], wire.whole(text, context.trace.usage))
            return
        answer = ""
        async for piece in _paced(run.stream(), lane):
            answer += piece
            lane.write(wire.chunk(piece))
        await talk.end(question, answer)
        wants_usage = (request.get("stream_options") or {}).get("include_usage")
        lane.finish(wire.last(context.trace.usage if wants_usage else None))

    async def _call(
        self,
        app: App,
        name: str,
        visit: CallEnvelope,
        body: bytes,
        context: CallContext,
        talk: ConversationState,
        lane: ServerConnection,
    ) -> None:
        """Call a function with the arguments of a JSON object."""
        with _noting(context, f"{app.name}.{name}", body):
            arguments = _arguments(body)
            _check_name(app, name)
            chat = app.functions[name].kind == "chat"
            await talk.begin()
            run = start(
                app,
                name,
                arguments,
                context,
                variant=visit.variant,
                history=talk.history if chat and talk.name is not None else None,
                unit=visit.unit,
            )
        if visit.stream:
            async for piece in _paced(run.stream(), lane):
                lane.write(delta_event(piece))
        result = await run.result()
        if chat:
            await talk.end(str(arguments["question"]), result.text)
        if visit.stream:
            lane.finish(result_event(result.json))
        else:
            lane.answer([], result.json)


@contextmanager
def _noting(context: CallContext, name: str, body: bytes) -> Iterator[None]:
    """Record a call that is refused before there is a run."""
    work = ActiveSpan(context, SpanKind.APP, name, request=body)
    try:
        yield
    except ApiError as refusal:
        with suppress(StoreUnavailable):
            work.end(refusal)
        raise


def _check_name(app: App, name: str) -> None:
    if name not in app.functions:
        near = difflib.get_close_matches(name, app.functions, n=3, cutoff=0.4)
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else (f"It has: {', '.join(app.functions) or 'none'}.")
        )
        raise ApiError(404, "function_not_found", f"{app.name} has no function {name!r}. {hint}")


async def _paced(pieces: AsyncIterator[str], lane: ServerConnection) -> AsyncIterator[str]:
    """The pieces of an answer, at the pace at which the door takes them. What fails before the
    first of them is an answer of its own."""
    async with aclosing(pieces):  # type: ignore[type-var]
        async for piece in pieces:
            if not lane.answering:
                lane.start(200, _EVENTS)
            yield piece
            await lane.drain()
    if not lane.answering:
        lane.start(200, _EVENTS)


def _arguments(body: bytes) -> dict[str, Any]:
    return read_object(body, "The arguments") if body.strip() else {}
