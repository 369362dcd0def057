"""One run of one function: what every door does with a call.

    validate -> begin the root span -> call -> blocking checks -> hand out -> other checks

`start` is all that a door needs. The function runs on the event loop that `start` was called on, in
a thread if it does not await, whichever loop the gateway has.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from noria.apps.run.checking import check_later, check_now
from noria.apps.run.context import RunState, running
from noria.apps.run.failures import as_api_error, may_help
from noria.apps.run.serialise import as_json, as_text
from noria.apps.run.sync import from_generator, in_thread
from noria.errors import ApiError
from noria.tracing import ActiveSpan, CallContext, current, span
from noria.types import SpanKind

if TYPE_CHECKING:
    from noria.apps.declare.app import App

__all__ = ["Run", "RunResult", "start"]

_MOST_WAITING = 256


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave."""

    value: Any
    """As the function returned it; a stream of a chat joined, another stream as a list."""
    json: bytes
    """The same as JSON, by the type that the function declares."""
    text: str
    """The same in words: a text as it is, everything else as JSON."""
    trace_id: str


def start(
    app: App,
    function_name: str,
    arguments: Mapping[str, Any],
    context: CallContext,
    *,
    variant: str | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    model: str | None = None,
    unit: str | None = None,
) -> Run:
    """Begin a run on the present event loop.

    Args:
        app: the application.
        function_name: which of its functions.
        arguments: by name, as they come from JSON.
        context: the trace, its key, and the span that the run is a part of.
        variant: which variant; None for the application as it is.
        history: what was said before, for a function that names `history`.
        model: a model to ask instead of the application's own.
        unit: what it was drawn by, while two revisions share the calls.

    Raises:
        ApiError: 404 `function_not_found` or `variant_not_found`, 422 `invalid_arguments`.
    """
    function = app.functions.get(function_name)
    if function is None:
        known = ", ".join(app.functions) or "none"
        raise ApiError(
            404, "function_not_found",
            f"{app.name} has no function {function_name!r}. It has: {known}.",
        )  # fmt: skip
    variant = app.find_variant(variant)
    given = dict(arguments)
    if history is not None and function.takes_history:
        given.setdefault("history", list(history))
    return Run(RunState(function, function.read(given), variant, model), context, unit)


class Run:
    """A run under way. It ends when it is through, or when it is cancelled; ask for `result` or
    for `stream`, from the event loop that it was begun on."""

    def __init__(self, this: RunState, context: CallContext, unit: str | None = None) -> None:
        self._unit = unit
        function = this.function
        app = function.app
        self.running = this
        self.trace_id = context.trace.id
        """The trace that it is recorded in."""
        self.span_id: str | None = None
        """Its root span, once it has begun."""
        recording = context.runtime.config.recording.content and context.trace.key.record_content
        self._place = replace(
            context,
            app=app.name,
            content=context.content and recording and app.record_content,
        )
        self._pieces: list[Any] = []
        self._begun = asyncio.Event()
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._read = -1
        """How many pieces were read; -1 while nobody reads."""
        self._task = asyncio.get_running_loop().create_task(self._work())
        self._task.add_done_callback(self._ended)

    async def result(self) -> RunResult:
        """Wait for the whole answer.

        Raises:
            ApiError: the run failed or was refused.
        """
        value = await self._awaited()
        try:
            body = self.running.function.returns.dump_json(value, warnings=False, by_alias=True)
            text = value if isinstance(value, str) else body.decode()
        except Exception as unusable:
            raise ApiError(
                500, "result_not_json",
                f"{self.running.function.full_name} gave a {type(value).__name__}, which has no "
                "form in JSON.",
            ) from unusable  # fmt: skip
        return RunResult(value, body, text, self.trace_id)

    async def stream(self) -> AsyncIterator[str]:
        """The answer's text piece by piece; all at once where the function gives it so. Leaving
        early cancels the run.

        Raises:
            ApiError: the run failed or was refused.
        """
        try:
            async for piece in self.pieces():
                yield piece if isinstance(piece, str) else as_text(piece)
        except Exception as failure:
            raise as_api_error(failure, self.running.function.full_name, self.trace_id) from failure

    async def pieces(self) -> AsyncIterator[Any]:
        """The pieces as the function gave them, and its own exceptions. Otherwise as `stream`."""
        self._read = 0
        try:
            while True:
                while self._read < len(self._pieces):
                    piece = self._pieces[self._read]
                    self._read += 1
                    self._room.set()
                    yield piece
                if self._task.done():
                    break
                self._came.clear()
                await self._came.wait()
            self._task.result()
        finally:
            await self.cancel()

    async def value(self) -> Any:
        """What the function returned, or what it raised."""
        try:
            return await self._task
        except asyncio.CancelledError:
            await self.cancel()
            raise

    async def streams(self) -> bool:
        """Wait until it is known whether the answer comes in pieces."""
        waiting = asyncio.ensure_future(self._begun.wait())
        try:
            await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.cancel()
            raise
        finally:
            waiting.cancel()
        return self._begun.is_set()

    async def cancel(self) -> None:
        """End it, as when the caller has gone; one that has ended stays as it is."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _awaited(self) -> Any:
        try:
            return await self.value()
        except Exception as failure:
            raise as_api_error(failure, self.running.function.full_name, self.trace_id) from failure

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._came.set()
        if task.cancelled():
            self.running.cancelled()
        else:
            task.exception()  # whoever asks is told; nobody has to

    # The work

    async def _work(self) -> Any:
        this = self.running
        function = this.function
        current.set(self._place)
        running.set(this)
        request = as_json(this.arguments)
        with span(SpanKind.APP, function.full_name, request=request, begin=True) as work:
            self.span_id = work.id
            if this.variant is not None:
                work.attributes["variant"] = this.variant
            if (revision := os.environ.get("NORIA_REVISION")) is not None:
                work.attributes["revision"] = revision
                if self._unit is not None:
                    work.attributes["unit"] = self._unit
            if function.gate is None:
                value = await self._attempts(work)
            else:
                async with function.gate:
                    value = await self._attempts(work)
            work.response = as_json(value)
        check_later(this, value, self._place.within(work.id))
        return value

    async def _attempts(self, work: ActiveSpan) -> Any:
        function = self.running.function
        for attempt in range(function.retries + 1):
            if attempt:
                work.attributes["attempts"] = attempt + 1
                self.running.results.clear()
                self.running.notes.clear()
            try:
                return await self._attempt(work)
            except Exception as failure:
                if attempt == function.retries or self._pieces or not may_help(failure):
                    raise
        raise AssertionError("unreachable")

    async def _attempt(self, work: ActiveSpan) -> Any:
        function = self.running.function
        try:
            async with asyncio.timeout(function.timeout) as limit:
                held = any(check.blocks for check in function.checks)
                value = await self._call(work, held)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ApiError(
                504, "app_timeout",
                f"{function.full_name} did not answer within {function.timeout:g} s.",
            ) from None  # fmt: skip
        if held:
            await check_now(self.running, value)
            self._hand_out(value)
        elif not self._pieces and not self._begun.is_set():
            self._hand_out(value)
        return value

    def _hand_out(self, value: Any) -> None:
        self._pieces.append(value)
        self._came.set()

    async def _call(self, work: ActiveSpan, held: bool) -> Any:
        """Call the function, and gather what it gives piece by piece."""
        function = self.running.function
        args, kwargs = function.spread(self.running.arguments)
        if inspect.iscoroutinefunction(function.call):
            value = await function.call(*args, **kwargs)
        elif function.generates:
            value = function.call(*args, **kwargs)
        else:
            value = await in_thread(function.call, *args, **kwargs)
            if inspect.isawaitable(value):
                value = await value
        if isinstance(value, AsyncIterator):
            source = value
        elif inspect.isgenerator(value):
            source = from_generator(cast("Generator[Any, None, None]", value))
        else:
            return value
        if not held:
            self._begun.set()
        pieces = []
        try:
            async for piece in source:
                if work.first_token_ns is None:
                    work.first_token_ns = time.monotonic_ns()
                pieces.append(piece)
                if not held:
                    await self._emit(piece)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
        texts = function.kind == "chat" and all(isinstance(piece, str) for piece in pieces)
        return "".join(pieces) if texts else pieces

    async def _emit(self, piece: Any) -> None:
        self._hand_out(piece)
        while 0 <= self._read < len(self._pieces) - _MOST_WAITING:
            self._room.clear()
            await self._room.wait()
