"""Battles in columns: what two contestants did, as somebody judged it, without the rows that cannot
be used. Each of those is counted under its reason."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LABELS", "Battles", "Outcome", "Selection"]


class Outcome(enum.IntEnum):
    """How a battle ended, of `model_a` and `model_b`."""

    A = 0
    B = 1
    TIE = 2
    BOTH_BAD = 3
    """A tie in the fit, and counted apart."""


LABELS = {
    "model_a": Outcome.A,
    "model_b": Outcome.B,
    "tie": Outcome.TIE,
    "tie (bothbad)": Outcome.BOTH_BAD,
    "both_bad": Outcome.BOTH_BAD,
}
"""What a row's `winner` may be. Anything else is dropped as `unknown_label`, never a tie."""

_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which battles count. The others are no fault: they are `not_selected`."""

    category: str | None = None
    language: str | None = None
    judge: str | None = None
    since: float | None = None
    """Seconds since the epoch, UTC. A battle without a time is in no window."""
    until: float | None = None
    """Up to this instant, which is not in it."""
    contestants: Collection[str] | None = None
    """Who there is. Battles of others are dropped as `unknown_model`."""

    @property
    def by_time(self) -> bool:
        """Whether times have to be read."""
        return self.since is not None or self.until is not None


@dataclass(frozen=True, slots=True)
class Battles:
    """Battles in the order they came. `first` and `second` are places in `models`."""

    models: list[str]
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    outcome: NDArray[np.int8]
    at: NDArray[np.float64] | None = None
    """Seconds since the epoch, nan where unknown; None if nobody asked for it."""
    weight: NDArray[np.float64] | None = None
    """One over the propensity with which the pair was drawn; None for 1."""
    style: NDArray[np.float64] | None = None
    """What `style.measure` says of the two answers: battles x 2 x measures."""
    clusters: tuple[NDArray[np.intp], ...] = ()
    """Who voted, and on which question, as numbers; only those of the two that repeat."""
    dropped: dict[str, int] = field(default_factory=dict)
    not_selected: int = 0

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], **options: Any) -> Battles:
        """Battles from rows, which may be any iterable; options as `Collector` takes them."""
        from noria.evals.collector import Collector
        from noria.evals.reading import Rows

        collector = Collector(**options)
        source = iter(rows)
        while chunk := list(islice(source, _ROWS)):
            sound = [row for row in chunk if isinstance(row, Mapping)]
            collector.drop("not_an_object", len(chunk) - len(sound))
            collector.add(Rows(sound))
        return collector.battles()
