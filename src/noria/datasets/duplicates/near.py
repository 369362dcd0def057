"""Near duplicates among many texts: bands of their signatures, sorted, then compared.

Two texts meet where a band of their signatures is equal (locality-sensitive hashing); 32 bands of
four places let 99.9 % of the pairs at a similarity of 0.8 meet. Pairs that meet are kept where the
estimate from the whole signature reaches the threshold. Bands are sorted one at a time, so that a
million texts take their signatures and one column of keys.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from noria.datasets.duplicates.minhash import PLACES, estimated, signatures

__all__ = ["clusters", "contaminated", "signatures_of"]

_ROWS = 4
_BANDS = PLACES // _ROWS
_CHUNK = 10_000


def signatures_of(texts: Iterable[str]) -> NDArray[np.uint32]:
    """The signatures of any number of texts, which are read once."""
    parts: list[NDArray[np.uint32]] = []
    some: list[str] = []
    for text in texts:
        some.append(text)
        if len(some) == _CHUNK:
            parts.append(signatures(some))
            some = []
    parts.append(signatures(some))
    return np.concatenate(parts)


def clusters(found: NDArray[np.uint32], threshold: float = 0.8) -> NDArray[np.int64]:
    """Which cluster of near duplicates each text belongs to.

    Args:
        found: the signatures.
        threshold: the least estimated similarity of two texts that belong together.

    Returns:
        For each text the number of the first text of its cluster.
    """
    first = np.arange(len(found), dtype=np.int64)
    for band in range(_BANDS):
        keys = _keys(found, band)
        order = np.argsort(keys, kind="stable")
        same = keys[order[1:]] == keys[order[:-1]]
        left, right = order[:-1][same], order[1:][same]
        # Each text of a bucket is held against the one before it and against the bucket's first.
        starts = np.maximum.accumulate(np.where(np.r_[True, ~same], np.arange(len(order)), 0))
        heads = order[starts[1:][same]]
        for one, other in ((left, right), (heads, right)):
            _join(first, found, one, other, threshold)
    return _roots(first)


def contaminated(
    found: NDArray[np.uint32], against: NDArray[np.uint32], threshold: float = 0.8
) -> NDArray[np.bool_]:
    """Which texts are near duplicates of any text of another set."""
    hit = np.zeros(len(found), np.bool_)
    for band in range(_BANDS):
        ours, theirs = _keys(found, band), _keys(against, band)
        order = np.argsort(theirs, kind="stable")
        begin = np.searchsorted(theirs[order], ours, "left")
        end = np.searchsorted(theirs[order], ours, "right")
        for number in np.flatnonzero((end > begin) & ~hit):
            others = against[order[begin[number] : end[number]]]
            if (estimated(others, found[number]) >= threshold).any():
                hit[number] = True
    return hit


def _keys(found: NDArray[np.uint32], band: int) -> NDArray[np.uint64]:
    columns = found[:, band * _ROWS : (band + 1) * _ROWS].astype(np.uint64)
    key = columns[:, 0]
    for column in columns.T[1:]:
        key = (key * np.uint64(0x9E3779B97F4A7C15)) ^ (key >> np.uint64(31)) ^ column
    return key


def _join(
    first: NDArray[np.int64],
    found: NDArray[np.uint32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    threshold: float,
) -> None:
    open_pairs = first[left] != first[right]
    left, right = left[open_pairs], right[open_pairs]
    for start in range(0, len(left), _CHUNK):
        a, b = left[start : start + _CHUNK], right[start : start + _CHUNK]
        near = estimated(found[a], found[b]) >= threshold
        for one, other in zip(a[near].tolist(), b[near].tolist(), strict=True):
            x, y = _root(first, one), _root(first, other)
            if x != y:
                first[max(x, y)] = min(x, y)


def _root(first: NDArray[np.int64], number: int) -> int:
    while (above := int(first[number])) != number:
        first[number] = first[above]
        number = above
    return number


def _roots(first: NDArray[np.int64]) -> NDArray[np.int64]:
    while not np.array_equal(above := first[first], first):
        first = above
    return first
