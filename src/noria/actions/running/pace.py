"""The time that runs go by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """A clock, and how to wait."""

    clock: Callable[[], int] = time.time_ns
    """UTC nanoseconds since the epoch."""
    pause: Callable[[float], None] = time.sleep
    """Waits some seconds."""

    def until(self, at_ns: int) -> None:
        """Wait until an instant has come."""
        while (left := at_ns - self.clock()) > 0:
            self.pause(left / 1_000_000_000)
