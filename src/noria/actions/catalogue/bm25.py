"""Plain BM25 (Robertson and Zaragoza 2009) over a corpus in memory: what retrieval is measured
against."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from noria.words import words_of_question

__all__ = ["Bm25"]

_K1 = 1.2
_B = 0.75


class Bm25:
    """An index of texts.

    Args:
        texts: what is searched, in its order.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words_of_question(text)) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        mean = sum(lengths) / len(lengths) if lengths else 1.0
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, count in enumerate(counts):
            norm = _K1 * (1 - _B + _B * lengths[place] / (mean or 1.0))
            for word, times in count.items():
                self._postings[word].append((place, times * (_K1 + 1) / (times + norm)))
        self._size = len(counts)

    def best(self, question: str, k: int) -> list[int]:
        """The places of the `k` texts that fit a question best, the best first."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(words_of_question(question)):
            having = self._postings.get(word, ())
            rarity = math.log(1 + (self._size - len(having) + 0.5) / (len(having) + 0.5))
            for place, weight in having:
                scores[place] += rarity * weight
        return sorted(scores, key=lambda place: (-scores[place], place))[:k]
