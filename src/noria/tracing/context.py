"""Where work happens: the trace it belongs to, who asked for it, and what it may still be shown to.

The ambient place is a context variable, which tasks and threads inherit: a model that is called, an
index that is searched, a step that runs takes its caller, its parent span and its trace's mark from
there, so that no code between them has to hand these on, and none can forget to.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from noria.errors import ApiError, StoreUnavailable
from noria.ids import new_span_id, new_trace_id
from noria.types import Label, SpanKind, Status, Usage

if TYPE_CHECKING:
    from noria.store import Database, Key

__all__ = ["ActiveSpan", "CallContext", "Trace", "TraceLabels", "blocked_loop", "current", "span"]


@dataclass(slots=True, eq=False)
class Trace:
    """One run, across all processes that work on it."""

    key: Key
    """Whose run it is."""
    id: str = field(default_factory=new_trace_id)
    mark: Label = Label.PUBLIC
    """The highest label of what was read in it, as far as this process knows. Only rises."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of the models that this process called in it."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """Where work happens now."""

    runtime: Runtime
    trace: Trace
    span_id: str | None = None
    """The span that is under way here: the parent of what begins here."""
    app: str | None = None
    """The application whose run it is; its budget applies."""
    content: bool = True
    """Whether inputs and outputs are recorded."""
    counted: bool = False
    """The run was counted in its key's limits when it came in, so what it calls is not."""
    depth: int = 0
    """How many runs of other applications this one is inside of."""
    conversation: str | None = None
    """The conversation that a request from outside goes on with, by its caller's name for it."""

    def within(self, span_id: str) -> CallContext:
        """The place inside a span that began here."""
        return replace(self, span_id=span_id)


current: ContextVar[CallContext | None] = ContextVar("noria_place", default=None)
"""Where the running code is; None outside of any run."""

blocked_loop: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar(
    "noria_stopped", default=None
)
"""The event loop that does nothing until the code here is through; whoever stops one sets it."""

# A forked process has neither the event loop nor the journal of its parent, and one of a pool
# outlives the run in which it was made: it must never work in the name of that run's caller.
os.register_at_fork(after_in_child=lambda: current.set(None))


class TraceLabels:
    """High-water marks, kept by the store: what one process reads binds all on the trace."""

    def __init__(self, db: Database, take_in: Callable[[], int]) -> None:
        self._db = db
        self._take_in = take_in

    async def join(self, key: Key, trace_id: str) -> Trace | None:
        """The trace with this id, if it is one of the same key.

        Nothing is said of traces of others: to whoever asks they do not exist.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store import trace_owner

        owner = await self._ask(trace_owner, self._db, trace_id)
        if owner is None:  # it may have begun just now
            await self._ask(self._take_in)
            owner = await self._ask(trace_owner, self._db, trace_id)
        if owner != key.id:
            return None
        trace = Trace(key, trace_id)
        await self.current(trace)
        return trace

    async def current(self, trace: Trace) -> Label:
        """A trace's mark now.

        Raises:
            ApiError: 503 when the store does not answer; nothing may be sent on a guess.
        """
        from noria.store import mark_of

        label = await self._ask(mark_of, self._db, trace.id)
        trace.mark = max(trace.mark, label)
        return trace.mark

    async def after(self, key: Key, trace_ids: Iterable[str | None]) -> Trace:
        """A new trace that is told what came of others: its mark begins at the highest of theirs.

        Args:
            key: whose the new trace is.
            trace_ids: the others, whoever they belong to; None for what was not recorded.

        Raises:
            ApiError: 503 when the store does not answer.
        """
        from noria.store import marks_of

        trace = Trace(key)
        known = [trace_id for trace_id in trace_ids if trace_id]
        if known:
            marks = await self._ask(marks_of, self._db, known)
            await self.raise_to(trace, max(marks.values(), default=Label.PUBLIC))
        return trace

    async def raise_to(self, trace: Trace, label: Label) -> None:
        """Raise a trace's mark, before the text with this label is handed out.

        Raises:
            ApiError: 503 when the store does not answer: then the text must not be handed out.
        """
        from noria.store import raise_mark

        if label > trace.mark:
            await self._ask(raise_mark, self._db, trace.id, label)
            trace.mark = max(trace.mark, label)

    @staticmethod
    async def _ask(question: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(question, *arguments)
        except StoreUnavailable as away:
            raise ApiError(
                503, "store_unavailable",
                f"The mark of this trace cannot be kept: {away.message}",
                retry_after=2,
            ) from None  # fmt: skip


@dataclass(slots=True)
class ActiveSpan:
    """A span under way. What is set here until it ends is recorded with it."""

    context: CallContext | None
    """Where it began; None outside of any run, where nothing is recorded."""
    kind: SpanKind
    name: str
    request: bytes = b""
    """What went in, as JSON."""
    response: bytes = b""
    """What came out, as JSON."""
    attributes: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.OK
    error: BaseException | str | None = None
    stream: bool = False
    model: str | None = None
    first_token_ns: int | None = None
    """When the first piece of a stream went to the caller (monotonic clock)."""
    id: str = field(default_factory=new_span_id)
    at_ns: int = field(default_factory=time.time_ns)
    started_ns: int = field(default_factory=time.monotonic_ns)
    _open: bool = False

    def begin(self) -> None:
        """Write that it began, so that it is seen while it runs and known as lost if it never ends.

        Raises:
            StoreUnavailable: the journal cannot be written.
        """
        if self.context is None:
            return
        self._open = True
        self.context.runtime.journal.append(
            {"t": "begin", **self._identity(self.context)}, self._content(self.request)
        )

    def end(self, failure: BaseException | None = None) -> None:
        """Write how it ended.

        Raises:
            StoreUnavailable: the journal cannot be written.
        """
        if failure is not None:
            self.error = failure
            cancelled = isinstance(failure, (asyncio.CancelledError, GeneratorExit))
            self.status = Status.CANCELLED if cancelled else Status.ERROR
            if isinstance(failure, ApiError) and failure.status in (401, 403, 429):
                self.status = Status.REFUSED
        context = self.context
        if context is None:
            return
        milliseconds = (time.monotonic_ns() - self.started_ns) // 1000 / 1000
        meta: dict[str, Any] = {"t": "end", "id": self.id, "n": None}
        if not self._open:
            meta = {"t": "span", **self._identity(context)}
        meta |= {"status": self.status, "ms": milliseconds, "cost": 0}
        if self.first_token_ns is not None:
            meta["ttft"] = (self.first_token_ns - self.started_ns) // 1000 / 1000
        if self.attributes:
            meta["attrs"] = self.attributes
        if self.error is not None:
            meta["code"], meta["error"] = _told(self.error, content=context.content)
        blobs: tuple[bytes, ...] = (self._content(self.response),)
        if not self._open:
            blobs = (self._content(self.request), *blobs)
        context.runtime.journal.append(meta, *blobs)

    def _content(self, body: bytes) -> bytes:
        return body if self.context is not None and self.context.content else b""

    def _identity(self, context: CallContext) -> dict[str, Any]:
        key = context.trace.key
        meta: dict[str, Any] = {
            "id": self.id,
            "trace": context.trace.id,
            "parent": context.span_id,
            "kind": self.kind,
            "name": self.name,
            "key": key.id,
            "at": self.at_ns,
            "content": context.content,
        }
        if self.model is not None:
            meta["model"] = self.model
        if key.team is not None:
            meta["team"] = key.team
        if key.user is not None:
            meta["user"] = key.user
        if context.app is not None:
            meta["app"] = context.app
        if self.stream:
            meta["stream"] = True
        return meta


@contextmanager
def span(
    kind: SpanKind, name: str, *, request: bytes = b"", begin: bool = False
) -> Iterator[ActiveSpan]:
    """Do a piece of work under the ambient place; what is done inside has it as its parent.

    Outside of any run nothing is recorded.

    Args:
        kind: what it is.
        name: what it is called, such as `support.clean`.
        request: what goes in, as JSON.
        begin: write its beginning too, for work that may take long.

    Raises:
        StoreUnavailable: the journal cannot be written.
    """
    context = current.get()
    work = ActiveSpan(context, kind, name, request)
    if context is None:
        yield work
        return
    if begin:
        work.begin()
    token = current.set(context.within(work.id))
    try:
        yield work
    except BaseException as failure:
        work.end(failure)
        raise
    else:
        work.end()
    finally:
        current.reset(token)


def _told(error: BaseException | str, *, content: bool) -> tuple[str, str]:
    """The code and the words of an error. What code of others says may quote what went in, so it
    is left out where that is not recorded."""
    if isinstance(error, ApiError):
        return error.code, error.message
    if isinstance(error, str):
        return "failed", error if content else "not recorded"
    return type(error).__name__, str(error)[:2000] if content else "not recorded"
