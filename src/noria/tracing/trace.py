"""One run, across all processes that work on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from noria.ids import new_trace_id
from noria.types import Label, Usage

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["Trace"]


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
