"""Signatures by which near duplicates are found (MinHash: Broder 1997).

A text is the set of its shingles (five words, or eight characters of scripts without spaces). The
share of equal places in two signatures estimates the Jaccard similarity of the sets.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PLACES", "estimated", "jaccard", "shingles", "signatures"]

PLACES = 128
"""Places of a signature; the estimate's standard error at similarity s is sqrt(s (1 - s) / 128)."""
_WORDS = re.compile(r"[^\W_]+")
_WORDS_AT_ONCE = 5
_EMPTY = np.uint32(0xFFFFFFFF)


def shingles(text: str) -> NDArray[np.uint64]:
    """The different shingles of a text, as hashes of 32 bits."""
    words = _WORDS.findall(text.lower())
    if not words:
        return np.zeros(0, np.uint64)
    if sum(map(len, words)) > 16 * len(words):  # no spaces between words
        run = "".join(words)
        words = list(run)
    hashed = np.fromiter((_hash(word) for word in words), np.uint64, len(words))
    size = min(_WORDS_AT_ONCE, len(words))
    mixed = np.zeros(len(words) - size + 1, np.uint64)
    for step in range(size):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + hashed[step : len(words) - size + 1 + step]
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.unique(mixed >> np.uint64(32))


_known: dict[str, int] = {}


def _hash(word: str) -> int:
    found = _known.get(word)
    if found is None:
        if len(_known) > 1_000_000:
            _known.clear()
        data = word.encode("utf-8", "replace")
        found = _known[word] = zlib.crc32(data) | (zlib.adler32(data) << 32)
    return found


def _coefficients() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    random = np.random.default_rng(20231117)
    return (
        random.integers(1, 1 << 32, PLACES, dtype=np.uint64) | np.uint64(1),
        random.integers(0, 1 << 32, PLACES, dtype=np.uint64),
    )


_FACTORS, _SHIFTS = _coefficients()


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The signature of each text, as rows of `PLACES` numbers; an empty text has all ones."""
    found = np.full((len(texts), PLACES), _EMPTY, np.uint32)
    for number, text in enumerate(texts):
        values = shingles(text)
        if len(values):
            # Multiply-shift: the upper half of a product is close to independent of others.
            mixed = (values[:, None] * _FACTORS + _SHIFTS) & np.uint64(0xFFFFFFFF)
            found[number] = mixed.min(axis=0).astype(np.uint32)
    return found


def estimated(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of signatures, row by row."""
    return np.asarray((one == other).mean(axis=-1))


def jaccard(one: str, other: str) -> float:
    """The exact Jaccard similarity of the shingles of two texts."""
    a, b = shingles(one), shingles(other)
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both) if len(a) or len(b) else 1.0
