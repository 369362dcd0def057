"""What a child process is given to go on with a run: a ticket, pickled along with the work.

The child writes its spans to a journal of its own under the parent's span, and its models and
searches go through a gateway of its own, under the same key and the same mark: what the child reads
binds the whole run, since the mark is kept by the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noria.apps.running import Running, running
from noria.errors import NoriaError
from noria.gateway.tracing import Place, Trace, here
from noria.types import Label

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Carried", "Ticket", "ticket"]


@dataclass(frozen=True, slots=True)
class Ticket:
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

    def redeem(self) -> tuple[Place, Running | None]:
        """The same place in this process, which opens the home for it.

        Raises:
            NoriaError: the key was revoked meanwhile, or is not there any more.
            StoreUnavailable: the database cannot be reached.
        """
        from noria.apps.app import declared
        from noria.apps.plain import open_beside
        from noria.store import find_key_by_id

        opened = open_beside(self.config)
        key = find_key_by_id(opened.db, self.key_id)
        if key.revoked_ns is not None:
            raise NoriaError(f"The key {self.key_id} was revoked while the run was under way.")
        trace = Trace(key, self.trace_id, self.mark)
        place = Place(
            opened.gateway, trace, self.span_id, self.app, self.content, counted=self.counted
        )
        for app in declared:
            if app.name == self.app and self.function in app.functions:
                function = app.functions[self.function]
                return place, Running(function, {}, self.variant, self.model)
        return place, None


def ticket(place: Place, run: Running | None) -> Ticket:
    """The ticket for a place."""
    return Ticket(
        place.gateway.config,
        place.trace.id,
        place.trace.key.id,
        place.trace.mark,
        place.span_id,
        place.app,
        place.content,
        place.counted,
        run.function.name if run else None,
        run.variant if run else None,
        run.model if run else None,
    )


class Carried:
    """A piece of work with its ticket."""

    def __init__(self, ticket: Ticket, work: Callable[..., Any]) -> None:
        self._ticket = ticket
        self._work = work

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        place, run = self._ticket.redeem()
        was_here, was_running = here.set(place), running.set(run)
        try:
            return self._work(*args, **kwargs)
        finally:
            running.reset(was_running)
            here.reset(was_here)
