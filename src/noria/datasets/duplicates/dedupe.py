"""Leaving out near duplicates, and what an evaluation asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from noria.datasets.duplicates.near import clusters, contaminated, signatures_of
from noria.datasets.row import Row

__all__ = ["Duplicates", "dedupe", "text_of_row"]


@dataclass(slots=True)
class Duplicates:
    """What was left out of a set."""

    rows_in: int = 0
    rows_out: int = 0
    turns_in: int = 0
    turns_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Turns by reason: `near_duplicate`, `in_other_set`, `contaminated`."""

    def as_json(self) -> dict[str, object]:
        """The counts as JSON."""
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "turns_in": self.turns_in,
            "turns_out": self.turns_out,
            "dropped": self.dropped,
        }


def text_of_row(row: Row) -> str:
    """What a row says, its system prompt left out: many rows share one."""
    return "\n".join(
        str(message.get("content") or "")
        for message in (*row.messages, *(row.chosen or ()))
        if message.get("role") != "system"
    )


def question_of_row(row: Row) -> str:
    """The first question of a row."""
    return next((str(one.get("content")) for one in row.messages if one["role"] == "user"), "")


def dedupe(
    rows: Callable[[], Iterable[Row]],
    *,
    threshold: float = 0.8,
    others: Iterable[Row] = (),
    questions: Iterable[str] = (),
) -> tuple[Iterator[Row], Duplicates]:
    """Keep the first of each cluster of near duplicates.

    The rows are read twice, and only their signatures are kept: 512 bytes a row.

    Args:
        rows: gives the rows from the beginning each time it is called.
        threshold: the least similarity (Jaccard, of five words at a time) of duplicates.
        others: rows of other sets; what is near one of them is left out (`in_other_set`).
        questions: of evaluations; a row that asks one of them is left out (`contaminated`).

    Returns:
        The rows that are kept, and the counts, which are complete at once.
    """
    told = Duplicates()
    turns: list[int] = []

    def texts() -> Iterator[str]:
        for row in rows():
            turns.append(len(row.messages) + len(row.chosen or ()) + len(row.rejected or ()))
            yield text_of_row(row)

    found = signatures_of(texts())
    reasons = np.full(len(found), "", dtype="U16")
    first = clusters(found, threshold)
    reasons[first != np.arange(len(found))] = "near_duplicate"
    across = signatures_of(text_of_row(row) for row in others)
    if len(across):
        reasons[contaminated(found, across, threshold)] = "in_other_set"
    asked = signatures_of(questions)
    if len(asked):
        ours = signatures_of(question_of_row(row) for row in rows())
        reasons[contaminated(ours, asked, threshold)] = "contaminated"
    for reason, size in zip(reasons.tolist(), turns, strict=True):
        told.rows_in += 1
        told.turns_in += size
        if reason:
            told.dropped[reason] = told.dropped.get(reason, 0) + size
        else:
            told.rows_out += 1
            told.turns_out += size
    kept = (row for row, reason in zip(rows(), reasons.tolist(), strict=True) if not reason)
    return kept, told
