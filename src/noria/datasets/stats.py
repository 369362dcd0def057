"""What a set of conversations is like: counts and histograms, in one pass and constant memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from noria.datasets.row import Row
from noria.retrieval.search.tokens import estimate_tokens

__all__ = ["Statistics", "statistics_of"]

_MOST_VALUES = 50


class Statistics:
    """Counts rows as they pass by. Sizes are in powers of two: bin `k` holds sizes from 2**(k-1)
    up to 2**k - 1, and bin 0 what is empty."""

    def __init__(self) -> None:
        self.rows = 0
        self.turns = 0
        self.characters = 0
        self.tokens = 0
        self.preferences = 0
        self._turns: Counter[int] = Counter()
        self._lengths: Counter[int] = Counter()
        self._values: dict[str, Counter[str]] = {
            name: Counter() for name in ("language", "label", "licence", "consent", "role")
        }

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        texts = [*row.messages, *(row.chosen or ()), *(row.rejected or ())]
        self.turns += len(texts)
        self.preferences += row.chosen is not None
        characters = 0
        for message in texts:
            self._values["role"][str(message.get("role"))] += 1
            content = message.get("content")
            if isinstance(content, str):
                characters += len(content)
                self.tokens += estimate_tokens(content)
        self.characters += characters
        self._turns[len(texts)] += 1
        self._lengths[characters.bit_length()] += 1
        for name in ("language", "licence", "consent"):
            self._values[name][getattr(row, name) or ""] += 1
        self._values["label"][str(row.label)] += 1

    def as_json(self) -> dict[str, Any]:
        """The counts. `tokens` is an estimate without the model's own tokenizer."""
        return {
            "rows": self.rows,
            "turns": self.turns,
            "characters": self.characters,
            "tokens": self.tokens,
            "preferences": self.preferences,
            "turns_per_row": {str(size): self._turns[size] for size in sorted(self._turns)[:200]},
            "characters_per_row": {
                str(1 << bits >> 1): self._lengths[bits] for bits in sorted(self._lengths)
            },
            **{name: dict(one.most_common(_MOST_VALUES)) for name, one in self._values.items()},
        }


def statistics_of(rows: Iterable[Row]) -> dict[str, Any]:
    """Count all rows; the JSON object of `noria data stats`."""
    counted = Statistics()
    for row in rows:
        counted.add(row)
    return counted.as_json()
