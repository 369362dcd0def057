"""No process is forked while a transaction of SQLite is under way in it.

SQLite keeps the locks of all its connections in the memory of the process. A child that is forked
in the middle of a transaction believes for ever that one of its own connections holds those locks,
and every connection that it opens finds the database locked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["transaction"]

# A thread that forks inside of a transaction of its own would wait for itself.
_PATIENCE_SECONDS = 5.0

_changed = threading.Condition()
_under_way = 0
_forking = False


@contextmanager
def transaction() -> Iterator[None]:
    """Do something with the database; a fork waits for its end, and it for a fork's."""
    global _under_way
    with _changed:
        _changed.wait_for(lambda: not _forking, _PATIENCE_SECONDS)
        _under_way += 1
    try:
        yield
    finally:
        with _changed:
            _under_way -= 1
            _changed.notify_all()


def _before() -> None:
    global _forking
    with _changed:
        _forking = True
        _changed.wait_for(lambda: not _under_way, _PATIENCE_SECONDS)


def _after_in_parent() -> None:
    global _forking
    with _changed:
        _forking = False
        _changed.notify_all()


def _after_in_child() -> None:
    global _changed, _under_way, _forking
    _changed, _under_way, _forking = threading.Condition(), 0, False


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
