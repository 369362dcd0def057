"""What people decide about rows, how far they agree, and the version that follows from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import func, select

from noria.datasets.dataset import Dataset
from noria.datasets.row import Row, digest_of
from noria.errors import NoriaError
from noria.evals.reliability import krippendorff_alpha
from noria.store.database import insert_into
from noria.store.learning import corrections, dataset_rows, row_reviews
from noria.types import Label

if TYPE_CHECKING:
    from noria.store import Database

__all__ = [
    "DECISIONS", "Agreement", "Review", "agreement", "apply_reviews", "correct", "next_row",
    "review", "reviews_of",
]  # fmt: skip

DECISIONS = ("accept", "reject", "edit", "chosen", "rejected")
"""`edit` gives another answer; `chosen` and `rejected` say which side of a preference is better."""


@dataclass(frozen=True, slots=True)
class Review:
    """What one person decided about one row."""

    person: str
    decision: str
    answer: str | None
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two or more people agree on the rows that several of them decided about."""

    rows: int
    """Decided about by anybody."""
    shared: int
    """Decided about by two or more."""
    equal: int
    """Of those, on which all decided the same."""
    alpha: float | None
    """Krippendorff's alpha: 1 is full agreement, 0 that of chance; None with too few rows."""


def digest_of_row(row: Row) -> bytes:
    """What a review of a row is kept under: what it says."""
    return digest_of([*row.messages, *(row.chosen or ()), *(row.rejected or ())])


def review(
    db: Database,
    dataset: Dataset,
    number: int,
    person: str,
    decision: str,
    *,
    answer: str | None = None,
    tags: Sequence[str] = (),
) -> None:
    """Keep what a person decided about a row; another decision takes the place of the first.

    Raises:
        NoriaError: there is no such row or decision, or it does not go with the row.
    """
    if decision not in DECISIONS:
        raise NoriaError(f"{decision!r} is not a decision.", f"Use one of {', '.join(DECISIONS)}.")
    found = _find(db, dataset, number)
    if (decision in ("chosen", "rejected")) and not found.preference:
        raise NoriaError(f"Row {number} of {dataset.reference} is no choice between two answers.")
    if decision == "edit" and not (answer or "").strip():
        raise NoriaError("An edit needs the answer as it should be.")
    values = {
        "at": time.time_ns(), "decision": decision,
        "answer": answer if decision == "edit" else None,
        "tags": orjson.dumps(sorted({tag.strip() for tag in tags if tag.strip()})).decode(),
    }  # fmt: skip
    with db.write() as connection:
        statement = insert_into(connection, row_reviews).values(
            name=dataset.name, digest=found.digest, person=person, **values
        )
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["name", "digest", "person"], set_=values
            )
        )


def reviews_of(db: Database, name: str) -> dict[bytes, list[Review]]:
    """All decisions about rows of a set, by what the rows say."""
    with db.read() as connection:
        found = connection.execute(
            select(row_reviews).where(row_reviews.c.name == name).order_by(row_reviews.c.at)
        ).all()
    reviews: dict[bytes, list[Review]] = {}
    for one in found:
        reviews.setdefault(bytes(one.digest), []).append(
            Review(one.person, one.decision, one.answer, orjson.loads(one.tags))
        )
    return reviews


def next_row(
    db: Database,
    dataset: Dataset,
    person: str,
    after: int = -1,
    clearance: Label = Label.RESTRICTED,
) -> int | None:
    """The first row after `after` that a person may see and has not decided about; None where
    there is none."""
    mine = select(row_reviews.c.digest).where(
        row_reviews.c.name == dataset.name, row_reviews.c.person == person
    )
    with db.read() as connection:
        return connection.execute(
            select(func.min(dataset_rows.c.number)).where(
                dataset_rows.c.name == dataset.name,
                dataset_rows.c.version == dataset.version,
                dataset_rows.c.number > after,
                dataset_rows.c.label <= int(clearance),
                dataset_rows.c.digest.not_in(mine),
            )
        ).scalar()


def agreement(db: Database, name: str) -> Agreement:
    """How far the people who reviewed a set agree; an edited row counts as accepted."""
    every = reviews_of(db, name)
    shared = [reviews for reviews in every.values() if len(reviews) > 1]
    decided = [
        {one.person: "accept" if one.decision == "edit" else one.decision for one in reviews}
        for reviews in shared
    ]
    people = sorted({person for reviews in decided for person in reviews})
    ratings = [[reviews.get(person) for reviews in decided] for person in people]
    alpha = krippendorff_alpha(ratings) if len(shared) >= 2 else None
    equal = sum(len(set(reviews.values())) == 1 for reviews in decided)
    return Agreement(len(every), len(shared), equal, alpha)


def apply_reviews(db: Database, dataset: Dataset) -> Dataset:
    """Make the next version of a set: without what was rejected, with answers as they were edited
    and the tags. Where people disagree, a row is kept if no more rejected than accepted it; the
    last edit counts. What nobody looked at stays.

    Raises:
        NoriaError: nobody decided about a row of it, or none would be left.
    """
    reviews = reviews_of(db, dataset.name)
    counts = {"rejected": 0, "edited": 0, "accepted": 0}
    if not reviews:
        raise NoriaError(
            f"Nobody has decided about a row of {dataset.name} yet.",
            f"Open /label/{dataset.name} in the browser, or `noria data label {dataset.name}`.",
        )

    def rows() -> Iterator[Row]:
        for row in dataset.rows():
            decided = reviews.get(digest_of_row(row), [])
            changed = _decided(row, decided, counts)
            if changed is not None:
                yield changed

    return Dataset.create(
        db, dataset.name, rows(), parents=[dataset.reference], report={"reviewed": counts}
    )


def correct(db: Database, trace_id: str, key_id: str, person: str, answer: str) -> None:
    """Keep what a recorded answer should have been; `from-traces` makes rows of it.

    Raises:
        NoriaError: there is no text.
    """
    if not answer.strip():
        raise NoriaError("A correction needs the answer as it should have been.")
    values = {"at": time.time_ns(), "key_id": key_id, "answer": answer.strip()}
    with db.write() as connection:
        statement = insert_into(connection, corrections).values(
            trace_id=trace_id, person=person, **values
        )
        connection.execute(
            statement.on_conflict_do_update(index_elements=["trace_id", "person"], set_=values)
        )


def _find(db: Database, dataset: Dataset, number: int) -> Any:
    with db.read() as connection:
        found = connection.execute(
            select(dataset_rows).where(
                dataset_rows.c.name == dataset.name,
                dataset_rows.c.version == dataset.version,
                dataset_rows.c.number == number,
            )
        ).first()
    if found is None:
        raise NoriaError(f"{dataset.reference} has no row {number}.")
    return found


def _decided(row: Row, reviews: Sequence[Review], counts: dict[str, int]) -> Row | None:
    if not reviews:
        return row
    rejects = sum(one.decision == "reject" for one in reviews)
    if rejects > len(reviews) - rejects:
        counts["rejected"] += 1
        return None
    tags = sorted({tag for one in reviews for tag in one.tags})
    if tags:
        row = replace(row, extra={**row.extra, "tags": tags})
    swaps = sum(one.decision == "rejected" for one in reviews)
    if swaps > len(reviews) - swaps and row.chosen is not None:
        row = replace(row, chosen=row.rejected, rejected=row.chosen)
    edits = [one.answer for one in reviews if one.answer]
    if edits:
        counts["edited"] += 1
        return _edited(row, edits[-1])
    counts["accepted"] += 1
    return row


def _edited(row: Row, answer: str) -> Row:
    if row.chosen is not None:
        return replace(row, chosen=[*row.chosen[:-1], {**row.chosen[-1], "content": answer}])
    last = max(
        (number for number, one in enumerate(row.messages) if one["role"] == "assistant"),
        default=None,
    )
    if last is None:
        return replace(row, messages=[*row.messages, {"role": "assistant", "content": answer}])
    messages = list(row.messages)
    messages[last] = {**messages[last], "content": answer}
    return replace(row, messages=messages)
