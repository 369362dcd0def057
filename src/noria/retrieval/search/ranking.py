"""Joining what the words and what the meaning find, and packing it for a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from noria.retrieval.document import Document
from noria.retrieval.search.tokens import cut, estimate_tokens
from noria.types import Label

__all__ = ["Found", "Rank", "pack", "reciprocal_rank_fusion"]

_CONSTANT = 60
"""Of reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): how little the first ranks count
above the next."""


@dataclass(frozen=True, slots=True)
class Rank:
    """Where a chunk came in the search by words and in the search by meaning, from 1."""

    chunk: int
    score: float
    """1 for what both put first."""
    words: int | None
    meaning: int | None
    similarity: float | None
    """The cosine between question and passage."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search found, and how."""

    document: Document
    rank: Rank

    @property
    def label(self) -> Label:
        """The label of the document."""
        return self.document.label

    @property
    def why(self) -> str:
        """How it was found, in words."""
        ways = []
        if self.rank.words is not None:
            ways.append(f"by its words ({_ordinal(self.rank.words)})")
        if self.rank.meaning is not None:
            close = f", similarity {self.rank.similarity:.2f}"
            ways.append(f"by its meaning ({_ordinal(self.rank.meaning)}{close})")
        return "found " + " and ".join(ways)

    def used(self) -> dict[str, Any]:
        """What a span says of the document, for lineage."""
        return {
            "id": self.document.id,
            "index": self.document.index,
            "chunk": self.document.chunk,
            "label": str(self.label),
            "score": round(self.document.score, 4),
            "title": self.document.title,
        }

    def shown(self) -> dict[str, Any]:
        """What a span and a page show of the passage."""
        return self.used() | {
            "source": self.document.source,
            "text": self.document.text,
            "why": self.why,
        }


def reciprocal_rank_fusion(
    words: Iterable[int], meaning: Iterable[tuple[int, float]]
) -> list[Rank]:
    """Join two rankings of chunks by reciprocal rank, the best first.

    Args:
        words: chunks by their words, the best first.
        meaning: chunks by their vectors with the similarity, the best first.
    """
    by_words = {chunk: place for place, chunk in enumerate(words, 1)}
    by_meaning: dict[int, tuple[int, float]] = {}
    for place, (chunk, similarity) in enumerate(meaning, 1):
        by_meaning[chunk] = (place, similarity)
    best = 2 / (_CONSTANT + 1)
    ranks = []
    for chunk in by_words | by_meaning:
        place_words = by_words.get(chunk)
        place_meaning, similar = by_meaning.get(chunk, (None, None))
        score = sum(1 / (_CONSTANT + place) for place in (place_words, place_meaning) if place)
        ranks.append(Rank(chunk, score / best, place_words, place_meaning, similar))
    ranks.sort(key=lambda rank: (-rank.score, rank.meaning or len(ranks), rank.chunk))
    return ranks


def pack(found: Sequence[Found], k: int, budget_tokens: int | None) -> list[Found]:
    """The best passages that fit, in order. One that does not fit makes room for a shorter one
    behind it; the very best is cut rather than left out."""
    if budget_tokens is None:
        return list(found[:k])
    packed: list[Found] = []
    left = budget_tokens
    for one in found:
        if len(packed) == k or left <= 0:
            break
        size = estimate_tokens(str(one.document))
        if size > left and not packed:
            room = left - (size - estimate_tokens(one.document.text))
            text = cut(one.document.text, max(room, 0))
            if not text:
                continue
            one = replace(one, document=replace(one.document, text=text))
            size = left
        if size <= left:
            packed.append(one)
            left -= size
    return packed


def _ordinal(place: int) -> str:
    last = "th" if 10 < place % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{last}"
