"""Battles that hang together: those of one voter, or on one question, tell less than as many apart.

The covariance adds what the clusters of each kind add to single battles (Cameron, Gelbach and
Miller 2011, multi-way clustering; the corrections for few clusters are theirs).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noria.evals.strength import laplacian

__all__ = ["together", "widest"]

Floats = NDArray[np.float64]
_ROWS = 2048


def together(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    error: Floats,
    cluster: NDArray[np.intp],
    size: int,
) -> Floats:
    """What clusters add to the meat of the sandwich: the squares of their sums of errors, less
    those of their single battles.

    Args:
        first: a contestant of each battle, by its place.
        second: the other.
        error: the battle's weighted result, less what was expected.
        cluster: which one each battle belongs to.
        size: how many contestants there are.

    Returns: contestants x contestants.
    """
    _, place = np.unique(cluster, return_inverse=True)
    count = int(place.max(initial=-1)) + 1
    meat = np.zeros((size, size))
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(0, count + _ROWS, _ROWS))
    for begin, rows in zip(range(0, count, _ROWS), np.split(order, starts[1:-1]), strict=False):
        number = min(_ROWS, count - begin)
        sums = np.zeros(number * size)
        for who, sign in ((first, 1.0), (second, -1.0)):
            where = (place[rows] - begin) * size + who[rows]
            sums += np.bincount(where, sign * error[rows], number * size)
        across = sums.reshape(number, size)
        meat += across.T @ across
    if count > 1:
        meat *= count / (count - 1)
    return np.asarray(meat - laplacian(first, second, error**2, size))


def widest(spread: Floats, more: Sequence[Floats]) -> Floats:
    """The covariance with what each kind of clusters adds; what would narrow it is left out.

    Negative parts (their eigenvalues) come from chance, or from voters who balance their votes.
    """
    added = np.sum(more, axis=0)
    level, axes = np.linalg.eigh((added + added.T) / 2)
    return np.asarray(spread + (axes * np.clip(level, 0, None)) @ axes.T)
