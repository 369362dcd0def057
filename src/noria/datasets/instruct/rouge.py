"""ROUGE-L against all instructions that are kept, with the decisions of `rouge_score`.

Most pairs are settled by how many words they share, which bounds the longest common subsequence
from above; only the few others are compared word by word.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter

import numpy as np

__all__ = ["RougeFilter", "rouge_l", "words_of"]

_OTHERS = re.compile(r"[^a-z0-9]+")


def words_of(text: str) -> list[str]:
    """The words of a text as `rouge_score`'s tokenizer cuts them, without a stemmer."""
    return _OTHERS.sub(" ", text.lower()).split()


def rouge_l(one: str, other: str) -> float:
    """The F-measure of ROUGE-L (Lin 2004) of two texts, computed as `rouge_score` does."""
    a, b = words_of(one), words_of(other)
    if not a or not b:
        return 0.0
    from rapidfuzz.distance import LCSseq

    return _f_measure(int(LCSseq.similarity(a, b)), len(a), len(b))


def _f_measure(common: int, one: int, other: int) -> float:
    precision, recall = common / one, common / other
    return 2 * precision * recall / (precision + recall) if common else 0.0


class RougeFilter:
    """Instructions that are kept, and the question whether another is too near one of them.

    Args:
        threshold: from this F-measure on another instruction is too near.
    """

    def __init__(self, threshold: float = 0.7) -> None:
        self.threshold = threshold
        self._numbers: dict[str, int] = {}
        self._kept: list[str] = []
        self._lengths = array("I")
        # For each word, and each time that it stands in a text, the texts where it does.
        self._texts_with: dict[tuple[int, int], array[int]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def nearest(self, text: str) -> float:
        """The greatest F-measure with any that is kept, or 0 where all are under the threshold."""
        words = [self._numbers.get(word, -1) for word in words_of(text)]
        if not words or not self._kept:
            return 0.0
        found = [
            np.frombuffer(self._texts_with[one], np.uint32)
            for one in _occurrences(words)
            if one in self._texts_with
        ]
        if not found:
            return 0.0
        shared = np.bincount(np.concatenate(found), minlength=len(self._kept))
        # F = 2 LCS / (m + n), and LCS is at most the number of words that both have. What rounding
        # could move over the line is looked at as well.
        bound = 2.0 * shared / (np.frombuffer(self._lengths, np.uint32) + float(len(words)))
        del found
        from rapidfuzz.distance import LCSseq

        coded = _coded(words)
        best = 0.0
        for number in np.flatnonzero(bound >= self.threshold - 1e-9).tolist():
            other = self._kept[number]
            common = int(LCSseq.similarity(coded, other))
            best = max(best, _f_measure(common, len(other), len(coded)))
        return best if best >= self.threshold else 0.0

    def add(self, text: str) -> None:
        """Keep an instruction."""
        words = [self._numbers.setdefault(word, len(self._numbers)) for word in words_of(text)]
        number = len(self._kept)
        self._kept.append(_coded(words))
        self._lengths.append(len(words))
        for one in _occurrences(words):
            self._texts_with.setdefault(one, array("I")).append(number)


def _occurrences(words: list[int]) -> list[tuple[int, int]]:
    return [(word, time) for word, count in Counter(words).items() for time in range(count)]


def _coded(words: list[int]) -> str:
    """Numbers of words as characters: texts are compared faster than lists. Surrogates are left
    out; a word that is in no kept text is a character that no word has."""
    return "".join(chr(0x10FFFF if word < 0 else word + 0x800 * (word >= 0xD800)) for word in words)
