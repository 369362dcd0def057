"""Faults that the simulator can be told to have: which one, and at which calls."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FAULTS", "Faults"]

FAULTS = (
    "throttled",  # refused, nothing done; asking again helps
    "capacity",  # refused for lack of machines; asking again helps, later
    "partial",  # fewer machines than were asked for, and an answer that says so
    "late",  # carried out, but the answer comes too late to be heard
    "dropped",  # not carried out, and no answer either
    "twice",  # carried out twice; the answer tells of one
    "other_id",  # carried out; the answer names ids that do not exist
    "denied",  # refused for good
)


@dataclass(slots=True)
class Faults:
    """Which call has which fault. Calls that change something are counted from 0."""

    planned: Mapping[int, str] = field(default_factory=dict)
    seed: int | None = None
    """With one, further faults are drawn, the same for the same seed."""
    share: float = 0.0
    """Of the calls that have a drawn fault."""
    drawn: tuple[str, ...] = FAULTS[:-1]

    def of(self, number: int) -> str | None:
        """The fault of a call; None if it has none."""
        if number in self.planned:
            return self.planned[number]
        if self.seed is None:
            return None
        dice = random.Random(f"{self.seed}/{number}")  # noqa: S311 - a simulation
        return dice.choice(self.drawn) if dice.random() < self.share else None
