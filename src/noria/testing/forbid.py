"""The switch that keeps tests away from real providers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FORBID_REAL_REQUESTS", "forbid_real_requests"]

FORBID_REAL_REQUESTS = "NORIA_FORBID_REAL_REQUESTS"
"""The environment variable behind the switch: while it is set to anything, noria opens no
connection to a model server that is not on this machine, and raises `RealRequestForbidden`."""


@contextmanager
def forbid_real_requests() -> Iterator[None]:
    """Forbid requests to real providers within the block, in child processes started there too."""
    before = os.environ.get(FORBID_REAL_REQUESTS)
    os.environ[FORBID_REAL_REQUESTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORBID_REAL_REQUESTS]
        else:
            os.environ[FORBID_REAL_REQUESTS] = before
