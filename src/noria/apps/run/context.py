"""The run that code is in: whose function it is, and what the checks of it will look at."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noria.apps.declare.app import App
    from noria.apps.declare.function import Function
    from noria.retrieval import Document

__all__ = ["RunState", "running"]


@dataclass(slots=True, eq=False)
class RunState:
    """One run of one function."""

    function: Function
    arguments: dict[str, Any]
    """As received, by name."""
    variant: str | None = None
    model: str | None = None
    """A model to be used instead of the application's own."""
    outer: RunState | None = None
    """The run that called this one."""
    results: dict[str, list[Any]] = field(default_factory=dict)
    """What steps gave, in the order in which they ended, by the step's name."""
    notes: list[Document] = field(default_factory=list)
    """Every document that a search handed out."""
    elsewhere: dict[object, Callable[[], None]] = field(default_factory=dict)
    """Work under way in other processes, and what ends each when this run is cancelled."""

    @property
    def app(self) -> App:
        """The application whose run it is."""
        return self.function.app

    def stepped(self, name: str, result: Any) -> None:
        """Keep the result of a step, if a check will want it."""
        run: RunState | None = self
        while run is not None:
            if name in run.function.wanted:
                run.results.setdefault(name, []).append(result)
            run = run.outer

    def searched(self, documents: Sequence[Document]) -> None:
        """Keep what a search handed out, if a check will want it."""
        run: RunState | None = self
        while run is not None:
            if "notes" in run.function.wanted:
                run.notes.extend(documents)
            run = run.outer

    def cancelled(self) -> None:
        """End what it has under way in other processes."""
        for end in tuple(self.elsewhere.values()):
            end()


running: ContextVar[RunState | None] = ContextVar("noria_running", default=None)
"""The run that code is in; None outside of any."""
