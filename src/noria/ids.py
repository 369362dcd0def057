"""Ids of spans and traces. They sort by time.

A span id is 64 bits: 52 of microseconds (until the year 2112), made to rise with every id of this
process, and 12 that tell processes apart. A trace id adds 64 random bits. Both are the sizes of
OpenTelemetry, so that foreign spans keep their own ids.
"""

from __future__ import annotations

import os
import random
import time
from typing import Final

__all__ = ["new_span_id", "new_trace_id"]

_random: Final = random.Random()  # noqa: S311 - ids are not secrets
_tag = ""
_last = 0
_endings: Final[list[str]] = []
_MOST_ENDINGS: Final = 256


def _seed() -> None:
    global _tag
    _random.seed()
    _tag = f"{_random.getrandbits(12):03x}"
    _endings.clear()


_seed()
os.register_at_fork(after_in_child=_seed)


def new_span_id() -> str:
    """A new id of 16 hexadecimal digits, greater than every earlier one of this process."""
    global _last
    now = time.time_ns() // 1000
    if now <= _last:
        now = _last + 1
    _last = now
    return "%013x" % now + _tag  # noqa: UP031 - half the time of an f-string


def new_trace_id(first: str | None = None) -> str:
    """A new id of 32 hexadecimal digits, greater than every earlier one of this process.

    Args:
        first: the new id of the span that begins the trace, which the trace's then begins with.
    """
    try:
        ending = _endings.pop()
    except IndexError:
        # Drawn many at once, since each call of a model takes one.
        ending, *more = _random.randbytes(8 * _MOST_ENDINGS).hex(" ", 8).split()
        _endings.extend(more)
    return (first or new_span_id()) + ending
