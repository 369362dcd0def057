"""Which target is tried next, and when a target is left alone for a while."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from noria.config import Routing
from noria.models import Route, Target

__all__ = ["MOST_PATIENCE_SECONDS", "Breaker", "Breakers", "backoff", "order", "parse_retry_after"]

MOST_PATIENCE_SECONDS: Final = 20.0
"""A server that asks for a longer pause is not asked again: the next target is."""
_LONGEST_SECONDS: Final = 1e9
_MOST_REMEMBERED: Final = 10_000
"""Targets: callers make up names of hosted models as they like."""


class Breaker:
    """Counts a target's failures in a row. After so many it is open: nothing is sent for a
    while, then one call tries again, and the first success closes it."""

    def __init__(self, failures: int, seconds: float) -> None:
        self._most = failures
        self._seconds = seconds
        self._failures = 0
        self._opened = 0.0
        self.open = False
        """Whether calls are being held back."""

    def allows(self) -> bool:
        """Whether a call may be sent now. While open, one call in each period may."""
        if not self.open:
            return True
        now = time.monotonic()
        if now - self._opened < self._seconds:
            return False
        self._opened = now
        return True

    def succeeded(self) -> None:
        """An answer came."""
        self._failures = 0
        self.open = False

    def failed(self) -> None:
        """No answer came, or the server said that it failed."""
        self._failures += 1
        if self._failures >= self._most:
            self.open = True
            self._opened = time.monotonic()


class Breakers:
    """One breaker for each target that was ever tried."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._breakers: dict[str, Breaker] = {}

    def __getitem__(self, target: Target) -> Breaker:
        breaker = self._breakers.get(target.name)
        if breaker is None:
            if len(self._breakers) >= _MOST_REMEMBERED:
                self._forget()
            breaker = Breaker(self._routing.breaker_failures, self._routing.breaker_seconds)
            self._breakers[target.name] = breaker
        return breaker

    def _forget(self) -> None:
        """Forget the targets that have not failed lately; all of them, should all have failed."""
        kept = {name: one for name, one in self._breakers.items() if one.open}
        self._breakers = kept if len(kept) < _MOST_REMEMBERED else {}

    def open_targets(self) -> Iterator[str]:
        """The names of the targets that are left alone at present."""
        return (name for name, breaker in self._breakers.items() if breaker.open)


def order(route: Route) -> tuple[Target, ...]:
    """The targets in the order to try them: the first by weight, the others as they stand."""
    targets = route.targets
    if route.weights is None or len(targets) == 1:
        return targets
    (first,) = random.choices(range(len(targets)), weights=route.weights)  # noqa: S311
    return (targets[first], *targets[:first], *targets[first + 1 :])


def backoff(retry: int, base: float, retry_after: float | None) -> float:
    """Seconds to wait before a further attempt: what the server asked for, else twice as long
    each time, drawn at random between half and the whole so that callers do not come back
    together."""
    if retry_after is not None:
        return min(retry_after, MOST_PATIENCE_SECONDS)
    return float(min(base * 2 ** (retry - 1), MOST_PATIENCE_SECONDS)) * random.uniform(0.5, 1)  # noqa: S311


def parse_retry_after(text: str | None) -> float | None:
    """Seconds from a `Retry-After` header (a number or a date); None where it says nothing."""
    if text is None:
        return None
    try:
        seconds = float(text)
        return None if math.isnan(seconds) else min(max(0.0, seconds), _LONGEST_SECONDS)
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
