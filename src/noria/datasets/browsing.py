"""Pages of a set's rows, read straight off the indexes however many rows there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from noria.datasets.dataset import Dataset
from noria.datasets.row import Row
from noria.errors import NotFound
from noria.store.learning import dataset_rows
from noria.types import Label

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["Numbered", "RowPage", "find_row", "find_rows"]


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row with its number in the set, from 0."""

    number: int
    row: Row
    digest: bytes


@dataclass(frozen=True, slots=True)
class RowPage:
    """Some rows, in order."""

    rows: list[Numbered]
    next: int | None
    """The number to go on from; None at the end."""


def find_rows(
    db: Database,
    dataset: Dataset,
    *,
    clearance: Label,
    start: int = 0,
    limit: int = 20,
    label: Label | None = None,
    language: str | None = None,
    identity: str | None = None,
) -> RowPage:
    """Rows of a set from a number on.

    Args:
        db: the database.
        dataset: the set.
        clearance: rows labelled above it are left out.
        start: the first number.
        limit: at most so many rows.
        label: only rows with this label.
        language: only rows in this language; "" for those whose language is not known.
        identity: only rows whose id is this.
    """
    at = dataset_rows.c
    query = select(at.number, at.offset, at.bytes, at.digest).where(
        at.name == dataset.name,
        at.version == dataset.version,
        at.number >= start,
        at.label <= int(clearance),
    )
    if label is not None:
        query = query.where(at.label == int(label))
    if language is not None:
        query = query.where(at.language == language if language else at.language.is_(None))
    if identity is not None:
        query = query.where(at.id == identity)
    with db.read() as connection:
        found = connection.execute(query.order_by(at.number).limit(limit + 1)).all()
    shown = found[:limit]
    rows = dataset.read((one.offset, one.bytes) for one in shown)
    return RowPage(
        [
            Numbered(one.number, row, bytes(one.digest))
            for one, row in zip(shown, rows, strict=True)
        ],
        found[limit].number if len(found) > limit else None,
    )


def find_row(db: Database, dataset: Dataset, number: int, clearance: Label) -> Numbered:
    """One row.

    Raises:
        NotFound: there is none, or it is labelled above the clearance.
    """
    found = find_rows(db, dataset, clearance=clearance, start=number, limit=1).rows
    if not found or found[0].number != number:
        raise NotFound(f"{dataset.reference} has no row {number} that this key may see.")
    return found[0]
