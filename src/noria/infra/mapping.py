"""Results in order, of work that is handed in as there is room."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["in_order"]

T = TypeVar("T")


def in_order(
    begin: Callable[[Any], Future[T]],
    cancel: Callable[[Future[T]], None],
    items: Iterable[Any],
    concurrency: int,
) -> Iterator[T]:
    """What came of each item, in their order; what is under way is cancelled where one fails or
    nobody reads on."""
    under_way: deque[Future[T]] = deque()
    try:
        for item in items:
            under_way.append(begin(item))
            if len(under_way) >= concurrency:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            cancel(future)
