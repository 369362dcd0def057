"""What a cleaning pass did: every turn of the input is accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from noria.errors import NoriaError

__all__ = ["Report"]

_MOST_FAULTS = 100


@dataclass(slots=True)
class Report:
    """Counts of a pass. They add up: `turns_in` is `turns_out` and all of `dropped` together."""

    conversations_in: int = 0
    conversations_out: int = 0
    """Rows written: one for each part of a conversation that was split."""
    turns_in: int = 0
    turns_out: int = 0
    """Turns of the input that were written; copies of a system prompt are not counted."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Turns by the reason why they were left out."""
    conversations_dropped: Counter[str] = field(default_factory=Counter)
    """Conversations of which nothing was kept, and pieces that hold none, by reason."""
    masked: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, str]] = field(default_factory=list)
    """The first pieces that could not be read, with where they stand."""
    seconds: float = 0.0
    bytes_in: int = 0

    def note_fault(self, source: str, reason: str) -> None:
        """Count a piece that could not be read."""
        self.conversations_dropped[reason] += 1
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append({"source": source, "reason": reason})

    def check(self) -> None:
        """Fail unless every turn is accounted for.

        Raises:
            NoriaError: turns are missing, or counted twice.
        """
        lost = self.turns_in - self.turns_out - self.dropped.total()
        if lost:
            raise NoriaError(
                f"The pass does not add up: {self.turns_in} turns came in, {self.turns_out} were "
                f"kept and {self.dropped.total()} dropped, which leaves {lost}.",
                "This is a bug in noria; the output was not put in place. Please report it.",
            )

    def as_json(self) -> dict[str, Any]:
        """The report as `noria data clean --json` prints it."""
        return {
            "conversations_in": self.conversations_in,
            "conversations_out": self.conversations_out,
            "turns_in": self.turns_in,
            "turns_out": self.turns_out,
            "dropped": dict(self.dropped.most_common()),
            "seconds": round(self.seconds, 3),
            "bytes_in": self.bytes_in,
            "conversations_dropped": dict(self.conversations_dropped.most_common()),
            "masked": dict(self.masked.most_common()),
            "languages": dict(self.languages.most_common()),
            "faults": self.faults,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Report:
        """A report as it was written, to go on with."""
        counters = ("dropped", "conversations_dropped", "masked", "languages")
        return cls(**{**value, **{name: Counter(value[name]) for name in counters}})
