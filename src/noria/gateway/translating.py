"""Calls whose caller and target speak different dialects: the request as the target reads it, the
answer as the caller does, event by event as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from noria.errors import ApiError
from noria.gateway.dialects import error_event
from noria.http.sink import Flow, Headers, ResponseSink
from noria.models.endpoint import Endpoint
from noria.models.refusal import Refusal
from noria.models.translation import READERS, WIRES, WRITERS
from noria.models.translation.form import refused
from noria.models.wire import events, read_json

if TYPE_CHECKING:
    from noria.gateway.request import Request
    from noria.models import Target

__all__ = [
    "PING_SECONDS",
    "TranslatingSink",
    "Translation",
    "as_chat",
    "ping",
    "translate",
    "translated_reply",
]

PING_SECONDS: Final = 20.0
"""After so much silence of a translated stream its caller is told that it goes on."""
_SILENT: Final = ("chat", "completions")
"""Dialects whose callers are told what was used only where they ask."""


def translate(request: Request, targets: Sequence[Target], leave_out: tuple[str, ...]) -> None:
    """Say a request in the dialects of those targets that do not speak its own.

    Args:
        request: the call.
        targets: who may be asked.
        leave_out: how the types of those tools begin that a call may do without.

    Raises:
        ApiError: as `_written` does, where no target can be asked.
    """
    refusal: ApiError | None = None
    for target in targets:
        wire = target.speaking(request.endpoint.wire).wire
        if wire == request.endpoint.wire:
            continue
        if not request.endpoint.is_chat:
            refusal = refused(
                "model", f"{target.provider} speaks {wire} here, which has no such call"
            )
            continue
        try:
            request.said[target.name] = _written(request, target, wire, leave_out)
        except ApiError as untranslatable:
            refusal = untranslatable
    if refusal is not None and not any(map(request.can_ask, targets)):
        raise refusal


def as_chat(request: Request, sink: ResponseSink) -> tuple[Request, ResponseSink]:
    """A call of an application, which speaks OpenAI's chat, by a caller of another dialect.

    Raises:
        ApiError: 400, with the field's name: it cannot be said there.
    """
    from noria.gateway.request import read_request

    wire = request.endpoint.wire
    form = WIRES[wire].read_request(request.fields)
    said = WIRES["chat"].write_request(form, request.model)
    chat = read_request(Endpoint.CHAT, orjson.dumps(said))
    return chat, TranslatingSink(sink, wire, request.model)


def _written(
    request: Request, target: Target, wire: str, leave_out: tuple[str, ...]
) -> tuple[dict[str, Any], list[str]]:
    """A request as a target reads it, and what was left out.

    Raises:
        ApiError: 400, with the field's name: the target cannot do something that is asked for.
    """
    try:
        form = WIRES[request.endpoint.wire].read_request(request.fields)
        capabilities = target.capabilities
        if request.images and target.local and not capabilities.vision:
            raise ApiError(
                400, "cannot_be_translated", f"{target.name} reads no images or files.",
                param="messages",
            )  # fmt: skip
        for kind in form.hosted:
            if not kind.startswith(leave_out):
                raise refused("tools", f"{kind} runs at its maker's servers alone")
        said = WIRES[wire].write_request(form, target.model)
        return said, [*(f"tool {kind}" for kind in form.hosted), *form.notes]
    except (KeyError, TypeError, AttributeError, ValueError) as odd:
        raise ApiError(
            400, "invalid_value",
            f"The request cannot be read as {request.endpoint.wire}: {type(odd).__name__}: {odd}.",
        ) from None  # fmt: skip


def translated_reply(reply: dict[str, Any], wire: str, into: str, model: str) -> bytes:
    """A whole answer of a target, in the caller's dialect.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        said = WIRES[wire].read_reply(reply)
        return orjson.dumps(WIRES[into].write_reply(said, model))
    except (KeyError, TypeError, AttributeError, IndexError) as odd:
        raise ValueError(f"it is odd: {odd!r}") from None


def ping(wire: str) -> bytes:
    """What keeps a caller waiting."""
    if wire == "messages":
        return b'event: ping\ndata: {"type":"ping"}\n\n'
    return b": ping\n\n"


class Translation:
    """One stream on its way from a target's dialect into the caller's.

    Args:
        wire: the target's.
        into: the caller's.
        model: what the caller is told that it is.
        wants_usage: whether the caller is told what was used.
    """

    def __init__(self, wire: str, into: str, model: str, *, wants_usage: bool) -> None:
        self._into = into
        self._reader = READERS[wire]()
        self._writer = WRITERS[into](model)
        self._silent = into in _SILENT and not wants_usage
        self._failure: ApiError | None = None
        """What an application has said in its stream of its own failure."""

    def feed(self, events_: bytes) -> bytes:
        """Whole events in the caller's dialect."""
        found = []
        for data in events(events_):
            value, _ = read_json(data)
            refusal = Refusal.within(value)
            if refusal is not None:
                code = refusal.code or "upstream_error"
                self._failure = ApiError(502, code, refusal.message)
            elif isinstance(value, dict):
                found += [self._write(event) for event in self._reader.feed(value)]
        return b"".join(found)

    def _write(self, event: Any) -> bytes:
        if self._silent and event.kind == "usage":
            return b""
        return self._writer.feed(event)

    def end(self, events_: bytes) -> bytes:
        """The last events, and what ends a stream in the caller's dialect."""
        last = self.feed(events_) + b"".join(map(self._write, self._reader.end()))
        return last + (self._writer.end() if self._failure is None else self.broken(self._failure))

    def broken(self, error: ApiError) -> bytes:
        """What a caller in mid-stream is told when the rest will not come."""
        return error_event(self._into, error)


class TranslatingSink(ResponseSink):
    """Passes an answer in OpenAI's chat on to a caller of another dialect.

    Args:
        sink: the caller's.
        wire: the caller's dialect.
        model: what the caller is told that it is.
    """

    def __init__(self, sink: ResponseSink, wire: str, model: str) -> None:
        self._sink = sink
        self._wire = wire
        self._model = model
        self._stream = Translation("chat", wire, model, wants_usage=True)
        self._rest = b""

    def answer(self, headers: Headers, body: bytes) -> None:
        reply, _ = read_json(body)
        self._sink.answer(headers, translated_reply(reply, "chat", self._wire, self._model))

    def fail(self, headers: Headers, error: ApiError) -> None:
        self._sink.fail(headers, error)

    def begin(self, headers: Headers, flow: Flow) -> None:
        self._sink.begin(headers, flow)

    def write(self, data: bytes) -> None:
        whole, end, self._rest = (self._rest + data).rpartition(b"\n\n")
        said = self._stream.feed(whole + end)
        if said:
            self._sink.write(said)

    def finish(self, last: bytes) -> None:
        self._sink.finish(self._stream.end(self._rest + last))
