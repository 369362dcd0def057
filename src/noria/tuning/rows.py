"""The rows that a run may learn from, and how they are split.

What a row's label, licence or consent does not allow is refused, by name and count, before
anything is computed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.datasets import Row, read_rows
from noria.datasets.duplicates.dedupe import question_of_row
from noria.errors import NoriaError
from noria.models.sources import sha256_of
from noria.types import Label

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["LearningRows", "read_learning_rows", "split"]

_CLOSED = ("all rights reserved", "proprietary", "no-derivatives", "nd", "noai", "no-ai")
"""Licences, and endings of them, that do not allow learning."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class LearningRows:
    """Rows that may be learned from, with where they came from."""

    name: str
    """`name@version` of a data set, or a file's name."""
    sha256: str
    rows: list[Row]
    label: Label
    """The highest label of any row."""

    def as_json(self) -> dict[str, Any]:
        """What a card says of them."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "rows": len(self.rows),
            "label": str(self.label),
        }


def read_learning_rows(
    named: str, db: Database | None, *, clearance: Label, preferences: bool = False
) -> LearningRows:
    """Read a data set, or a file of rows as `noria data clean` writes it.

    Args:
        named: a set's name (`name`, `name@version`) or a file's path.
        db: the home's database; None where only a file can be meant.
        clearance: the highest label that may be learned from.
        preferences: only rows with a preferred and a rejected answer count.

    Raises:
        NoriaError: there is no such set, a row may not be learned from, or nothing is left.
    """
    path = Path(named)
    if path.is_file():
        name, found, digest = path.name, list(read_rows(path)), sha256_of(path)
    else:
        name, found, digest = _from_set(named, db)
    _refuse_forbidden(name, found, clearance)
    usable = [row for row in found if _teaches(row, preferences)]
    if not usable:
        what = "preferences" if preferences else "answers of an assistant"
        raise NoriaError(
            f"{name} has {len(found)} rows and none with {what}: there is nothing to learn.",
            "See what was dropped: noria data clean IN -o OUT.jsonl --report REPORT.json",
        )
    label = max((row.label for row in usable), default=Label.PUBLIC)
    return LearningRows(name, digest, usable, label)


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Hold out about `share` of the rows, whole clusters of near duplicates at a time.

    Two rows are near each other when their questions or their whole texts are, or when they come
    from the same conversation. A set of fewer than two clusters holds nothing out.

    Returns:
        The rows to learn from and the held-out rows, each in the order of the file.
    """
    groups = _clusters(rows)
    names = sorted(set(groups), key=lambda group: _drawn(rows[group], seed))
    if share <= 0 or len(names) < 2:
        return list(rows), []
    sizes = Counter(groups)
    held: set[int] = set()
    count, goal = 0, max(1, round(share * len(rows)))
    for name in names[:-1]:  # never all of them
        if count + sizes[name] <= goal or not held:
            held.add(name)
            count += sizes[name]
        if count >= goal:
            break
    kept = [row for row, group in zip(rows, groups, strict=True) if group not in held]
    return kept, [row for row, group in zip(rows, groups, strict=True) if group in held]


def _from_set(named: str, db: Database | None) -> tuple[str, list[Row], str]:
    from noria.datasets import Dataset

    if db is None:
        raise NoriaError(f"There is no file {named}.", "`noria data ls` lists the data sets.")
    found = Dataset.open(db, named)
    if found.marked:
        raise NoriaError(
            f"Nothing may learn from {found.reference} any more: {found.marked}.",
            "Use the next version of the set, which `noria data forget` made.",
        )
    return found.reference, list(found.rows()), found.sha256


def _refuse_forbidden(name: str, rows: Sequence[Row], clearance: Label) -> None:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.label > clearance:
            reasons.setdefault(f"labelled {row.label}", []).append(row.id)
        if row.consent == "no":
            reasons.setdefault("whose owner did not consent", []).append(row.id)
        licence = (row.licence or "").strip().lower()
        if licence in _CLOSED or licence.endswith(("-nd", "-nd-4.0", "-nd-3.0")):
            reasons.setdefault(f"under the licence {row.licence!r}", []).append(row.id)
    if reasons:
        told = "; ".join(
            f"{len(ids)} {'row' if len(ids) == 1 else 'rows'} {reason} "
            f"({', '.join(ids[:_NAMED])}{', ...' if len(ids) > _NAMED else ''})"
            for reason, ids in reasons.items()
        )
        raise NoriaError(
            f"{name} may not be learned from: {told}.",
            "Leave those rows out, or, for a label, say --clearance LABEL: the model then "
            "carries that label, and only keys cleared for it may call it.",
        )


def _teaches(row: Row, preferences: bool) -> bool:
    if preferences:
        return row.chosen is not None
    return any(
        one["role"] == "assistant" and one.get("content")
        for one in (*row.messages, *(row.chosen or ()))
    )


_NEAR = 0.6
"""The least similarity of rows that stay together: lower than that of duplicates, since to hold out
too much does no harm, and a near copy on both sides does."""


def _clusters(rows: Sequence[Row]) -> list[int]:
    """For each row the number of the first row of its group."""
    from noria.datasets.duplicates.dedupe import text_of_row
    from noria.datasets.duplicates.near import clusters, signatures_of

    parent = list(range(len(rows)))

    def top(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    def join(one: int, other: int) -> None:
        a, b = sorted((top(one), top(other)))
        parent[b] = a

    for text_of in (text_of_row, question_of_row):
        texts = [text_of(row) for row in rows]
        for number, first in enumerate(clusters(signatures_of(texts), _NEAR)):
            if texts[number]:
                join(number, int(first))
    by_source: dict[str, int] = {}
    for number, row in enumerate(rows):
        conversation = str(
            row.extra.get("conversation") or row.trace_id or row.id.partition("#")[0]
        )
        join(number, by_source.setdefault(conversation, number))
    return [top(number) for number in range(len(rows))]


def _drawn(row: Row, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {row.id}".encode()).digest()
