"""Counts of battles by pair and outcome, kept as votes come. All that Bradley-Terry needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noria.evals.battles import LABELS, Battles, Outcome

__all__ = ["Cells", "Tally", "WinMatrix"]

_FLIPPED = np.array([Outcome.B, Outcome.A, Outcome.TIE, Outcome.BOTH_BAD], np.int8)
_SCORE = np.array([1.0, 0.0, 0.5, 0.5])
_DENSE = 1 << 24
"""Up to so many possible cells they are counted in an array, above that by sorting."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Battles that are alike: the same pair (`first < second`), outcome and weight."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    outcome: NDArray[np.int8]
    weight: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def score(self) -> NDArray[np.float64]:
        """What `first` took of each battle: 1, 0, or a half for ties and both bad."""
        return _SCORE[self.outcome]

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Cells:
        """Some of the cells, or all in another order."""
        return Cells(
            self.first[chosen], self.second[chosen], self.outcome[chosen],
            self.weight[chosen], self.count[chosen],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WinMatrix:
    """Who beat whom how often, ties as half. Rows and columns follow `models`."""

    models: list[str]
    battles: NDArray[np.int64]
    wins: NDArray[np.float64]

    def rate(self, model: str, other: str) -> float | None:
        """The share that `model` took from `other`; None if they never met."""
        row, column = self.models.index(model), self.models.index(other)
        met = self.battles[row, column]
        return float(self.wins[row, column] / met) if met else None


class Tally:
    """Pair counts, one vote at a time or many at once."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._place: dict[str, int] = {}
        self._row: dict[tuple[int, int, int, float], int] | None = {}
        """Where a cell stands; None until that is asked for the first time."""
        self._used = 0
        self._keys = np.zeros((0, 3), np.int64)
        self._weights = np.zeros(0)
        self._counts = np.zeros(0, np.int64)
        self._cells: Cells | None = None

    @classmethod
    def of(cls, battles: Battles) -> Tally:
        """The counts of these battles."""
        tally = cls()
        tally.update(battles)
        return tally

    @classmethod
    def of_counts(
        cls, models_a: Sequence[str], models_b: Sequence[str], counts: NDArray[np.int64]
    ) -> Tally:
        """The counts of pairs that are counted already, each pair once.

        Args:
            models_a: one contestant of each pair.
            models_b: the other.
            counts: pairs x outcomes (wins of a, wins of b, ties, both bad).

        Raises:
            ValueError: a count is negative.
        """
        tally = cls()
        if np.any(counts < 0):
            raise ValueError("a pair cannot have met less often than never")
        tally._names = sorted({*models_a, *models_b})
        tally._place = {model: place for place, model in enumerate(tally._names)}
        first = np.array([tally._place[model] for model in models_a], np.int64)
        second = np.array([tally._place[model] for model in models_b], np.int64)
        pair, outcome = np.nonzero(counts)
        low, high = first[pair], second[pair]
        turned = low > high
        low, high = np.where(turned, high, low), np.where(turned, low, high)
        outcome = np.where(turned, _FLIPPED[outcome], outcome)
        tally._keys = np.stack([low, high, outcome], axis=1)
        tally._weights = np.ones(len(low))
        tally._counts = counts[counts.nonzero()].astype(np.int64)
        tally._used, tally._row = len(low), None
        return tally

    def __len__(self) -> int:
        """How many battles are counted."""
        return int(self._counts[: self._used].sum())

    def add(
        self, model_a: str, model_b: str, winner: str, *, weight: float = 1.0, count: int = 1
    ) -> None:
        """Count a vote. `count=-1` takes back one that was counted before.

        Raises:
            ValueError: `winner` is no label, both are the same contestant, the weight is not
                positive and finite, or there was no such vote to take back.
        """
        if winner not in LABELS:
            raise ValueError(f"winner is {winner!r}; it is one of {', '.join(LABELS)}")
        if model_a == model_b:
            raise ValueError(f"{model_a!r} is on both sides")
        if not 0 < weight < np.inf:
            raise ValueError(f"weight is {weight}, which is not a positive number")
        known = model_a in self._place and model_b in self._place
        if count < 0 and not known:
            raise ValueError(f"{model_a!r} and {model_b!r} have no vote to take back")
        first, second = self._of(model_a), self._of(model_b)
        outcome = int(LABELS[winner])
        if first > second:
            first, second, outcome = second, first, int(_FLIPPED[outcome])
        self._count((first, second, outcome, float(weight)), count)

    def update(self, battles: Battles) -> None:
        """Count many battles."""
        places = np.array([self._of(model) for model in battles.models], np.int64)
        if not len(battles):
            return
        first, second = places[battles.first], places[battles.second]
        turned = first > second
        low, high = np.where(turned, second, first), np.where(turned, first, second)
        outcome = np.where(turned, _FLIPPED[battles.outcome], battles.outcome).astype(np.int64)
        weights, weighed = np.ones(1), np.zeros((), np.int64)
        if battles.weight is not None:
            weights, weighed = np.unique(battles.weight, return_inverse=True)
        size = len(self._names)
        codes = ((low * size + high) * len(Outcome) + outcome) * len(weights) + weighed
        if (possible := size * size * len(Outcome) * len(weights)) <= _DENSE:
            counts = np.bincount(codes, minlength=possible)
            codes = np.flatnonzero(counts)
            counts = counts[codes]
        else:
            codes, counts = np.unique(codes, return_counts=True)
        rest, weighed = np.divmod(codes, len(weights))
        rest, outcome = np.divmod(rest, len(Outcome))
        low, high = np.divmod(rest, size)
        keys = zip(
            low.tolist(), high.tolist(), outcome.tolist(), weights[weighed].tolist(), strict=True
        )
        for key, count in zip(keys, counts.tolist(), strict=True):
            self._count(key, count)

    @property
    def models(self) -> list[str]:
        """The contestants in the order of their names."""
        return sorted(self._names)

    def cells(self) -> Cells:
        """The counts, without those that are zero. `first` and `second` are places in `models`.

        They are in one order whatever order the votes came in, so that the same votes give the
        same figures to the last digit.
        """
        if self._cells is None:
            self._cells = self._in_order()
        return self._cells

    def _in_order(self) -> Cells:
        used = self._used
        there = self._counts[:used] > 0
        keys = self._keys[:used][there]
        rank = np.argsort(np.argsort(np.array(self._names, object), kind="stable"))
        first, second = (rank[keys[:, side]].astype(np.intp) for side in (0, 1))
        outcome, weights = keys[:, 2].astype(np.int8), self._weights[:used][there]
        turned = first > second
        low, high = np.where(turned, second, first), np.where(turned, first, second)
        outcome = np.where(turned, _FLIPPED[outcome], outcome)
        order = np.lexsort((weights, outcome, high, low))
        return Cells(low, high, outcome, weights, self._counts[:used][there]).select(order)

    def outcomes(self) -> NDArray[np.int64]:
        """For each model its wins, losses, ties and both bad."""
        cells = self.cells()
        found = np.zeros((len(self._names), len(Outcome)), np.int64)
        np.add.at(found, (cells.first, cells.outcome), cells.count)
        np.add.at(found, (cells.second, _FLIPPED[cells.outcome]), cells.count)
        return found

    def win_matrix(self) -> WinMatrix:
        """Who beat whom how often."""
        cells, size = self.cells(), len(self._names)
        battles, wins = np.zeros((size, size), np.int64), np.zeros((size, size))
        for row, column, score in _both_ways(cells):
            np.add.at(battles, (row, column), cells.count)
            np.add.at(wins, (row, column), cells.count * score)
        return WinMatrix(self.models, battles, wins)

    def _of(self, model: str) -> int:
        place = self._place.get(model)
        if place is None:
            place = self._place[model] = len(self._names)
            self._names.append(model)
        return place

    def _rows(self) -> dict[tuple[int, int, int, float], int]:
        if self._row is None:
            keys = zip(*self._keys.T.tolist(), self._weights.tolist(), strict=True)
            self._row = {key: row for row, key in enumerate(keys)}
        return self._row

    def _count(self, key: tuple[int, int, int, float], count: int) -> None:
        self._cells = None
        rows = self._rows()
        row = rows.get(key)
        if (0 if row is None else self._counts[row]) + count < 0:
            names = f"{self._names[key[0]]!r} and {self._names[key[1]]!r}"
            raise ValueError(f"{names} have no such vote to take back")
        if row is None:
            row = rows[key] = self._used
            self._used += 1
            if row == len(self._counts):
                more = max(256, row)
                self._keys = np.vstack([self._keys, np.zeros((more, 3), np.int64)])
                self._weights = np.append(self._weights, np.zeros(more))
                self._counts = np.append(self._counts, np.zeros(more, np.int64))
            self._keys[row] = key[:3]
            self._weights[row] = key[3]
        self._counts[row] += count


def _both_ways(
    cells: Cells,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
    yield cells.first, cells.second, cells.score
    yield cells.second, cells.first, 1 - cells.score
