"""What an evaluation of calls found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noria.actions.evaluating.counting import Counted, Graded, Official

__all__ = ["CallReport"]


@dataclass(frozen=True, slots=True)
class CallReport:
    """The four numbers, the official metric beside them, and what every row was."""

    name: str
    form: str
    """`bfcl`, `apibench` or `traces`."""
    model: str
    """Who chose; `retrieval` where none did."""
    counted: Counted
    official: Official | None = None
    as_said: Counted | None = None
    """The numbers of what the model said, before each argument had to have a source."""
    retrieved: Mapping[int, float] = field(default_factory=dict)
    """k -> the share of rows whose right operation is among the k that were retrieved."""
    failed: int = 0
    """Rows without an answer: the model's call failed. They count as wrong."""
    graded: tuple[Graded, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As programs read it."""
        return {
            "set": self.name,
            "form": self.form,
            "model": self.model,
            **self.counted.as_json(),
            "as_said": self.as_said.as_json() if self.as_said else None,
            "retrieved_at": {str(k): share for k, share in self.retrieved.items()},
            "failed": self.failed,
            "official": self.official.as_json() if self.official else None,
            "wrong": [
                {"row": one.row, "category": one.category, "why": one.why}
                for one in self.graded
                if one.why
            ],
        }
