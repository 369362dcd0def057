"""The context of running code: the trace it belongs to, who asked, and what it may still see.

It is a context variable, which tasks and threads inherit: a model that is called, an index that is
searched, a step that runs takes its caller, its parent span and its trace's label from there, so
that no code between them has to pass these on, and none can forget to.
"""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from noria.tracing.trace import Trace

if TYPE_CHECKING:
    from noria.config import Config
    from noria.http import ResponseSink
    from noria.models import Endpoint
    from noria.store import Journal, Key
    from noria.tracing.labels import TraceLabels

__all__ = ["CallContext", "Runtime", "blocked_loop", "current"]


class Runtime(Protocol):
    """What running code needs of the gateway it runs under; `gateway.Gateway` implements it."""

    @property
    def config(self) -> Config:
        """The settings of the home."""

    @property
    def journal(self) -> Journal:
        """Where spans are recorded."""

    @property
    def labels(self) -> TraceLabels:
        """The high-water marks of traces."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which calls are made."""

    async def call(
        self,
        endpoint: Endpoint,
        key: Key,
        raw: bytes,
        sink: ResponseSink,
        context: CallContext | None = None,
    ) -> None:
        """Answer one call into `sink`; see `Gateway.call`."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """Context of the running code: trace, caller, parent span, app."""

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
    agent: str | None = None
    """The coding agent whose call it is; the budget of an application of that name applies."""

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
