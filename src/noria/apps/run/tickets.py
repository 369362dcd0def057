"""What a child process is given to go on with a run: a ticket, pickled along with the work.

The child writes its spans to a journal of its own under the parent's span, and its models and
searches go through a gateway of its own, under the same key and the same mark: what the child reads
binds the whole run, since the mark is kept by the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noria.apps.run.context import RunState, running
from noria.errors import NoriaError
from noria.tracing import CallContext, Trace, current
from noria.types import Label

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Carried", "ContextToken", "ticket"]


@dataclass(frozen=True, slots=True)
class ContextToken:
    """A place and a run, as far as they can be sent."""

    config: Config
    trace_id: str
    key_id: str
    mark: Label
    span_id: str | None
    app: str | None
    content: bool
    counted: bool
    function: str | None
    variant: str | None
    model: str | None

    def redeem(self) -> tuple[CallContext, RunState | None]:
        """The same place in this process, which opens the home for it.

        Raises:
            NoriaError: the key was revoked meanwhile, or is not there any more.
            StoreUnavailable: the database cannot be reached.
        """
        from noria.apps.declare.app import declared
        from noria.apps.run.standalone import open_beside
        from noria.store import find_key_by_id

        opened = open_beside(self.config)
        key = find_key_by_id(opened.db, self.key_id)
        if key.revoked_ns is not None:
            raise NoriaError(f"The key {self.key_id} was revoked while the run was under way.")
        trace = Trace(key, self.trace_id, self.mark)
        context = CallContext(
            opened.gateway, trace, self.span_id, self.app, self.content, counted=self.counted
        )
        for app in declared:
            if app.name == self.app and self.function in app.functions:
                function = app.functions[self.function]
                return context, RunState(function, {}, self.variant, self.model)
        return context, None


def ticket(context: CallContext, run: RunState | None) -> ContextToken:
    """The ticket for a place."""
    return ContextToken(
        context.runtime.config,
        context.trace.id,
        context.trace.key.id,
        context.trace.mark,
        context.span_id,
        context.app,
        context.content,
        context.counted,
        run.function.name if run else None,
        run.variant if run else None,
        run.model if run else None,
    )


class Carried:
    """A piece of work with its ticket."""

    def __init__(self, ticket: ContextToken, work: Callable[..., Any]) -> None:
        self._ticket = ticket
        self._work = work

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context, run = self._ticket.redeem()
        was_here, was_running = current.set(context), running.set(run)
        try:
            return self._work(*args, **kwargs)
        finally:
            running.reset(was_running)
            current.reset(was_here)
