"""A span under way: what is done inside it has it as its parent, and its end is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from noria.errors import ApiError
from noria.ids import new_span_id
from noria.tracing.context import CallContext, current
from noria.types import SpanKind, Status

__all__ = ["ActiveSpan", "span"]


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
