"""Which sets hold somebody's words, and making versions of them without."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, or_, select, update

from noria.datasets.dataset import Dataset, list_datasets, remove_dataset
from noria.datasets.row import Row
from noria.errors import NoriaError
from noria.store.erasing import files_with, scrub
from noria.store.intake.compression import decompress
from noria.store.learning import corrections, dataset_rows, datasets, row_reviews
from noria.store.tables.core import payloads, spans
from noria.store.tables.governance import document_uses
from noria.store.traces.lineage import Redaction, empty_traces

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["Forgotten", "Holding", "Subject", "forget", "holding", "mark_holding"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be forgotten: rows that meet any of these."""

    text: str | None = None
    """A sentence that stands in them."""
    owner: str | None = None
    """A person whose they are."""
    trace: str | None = None
    """The run that they were made of."""
    document: str | None = None
    """A document that was read in the runs that they were made of."""

    def __str__(self) -> str:
        parts = (("text", self.text), ("user", self.owner), ("trace", self.trace),
                 ("document", self.document))  # fmt: skip
        return ", ".join(f"{name} {value!r}" for name, value in parts if value)


@dataclass(frozen=True, slots=True)
class Holding:
    """A version of a set that holds some of it."""

    dataset: Dataset
    rows: list[int]
    """The numbers of its rows that do."""


@dataclass(slots=True)
class Forgotten:
    """What was done."""

    made: list[Dataset] = field(default_factory=list)
    """New versions of sets, without."""
    removed: list[str] = field(default_factory=list)
    """Versions that are gone, as `name@version`."""
    rows: int = 0
    """Rows that the newest versions lost."""
    models: list[str] = field(default_factory=list)
    """Files of models that were made of the versions that held it."""
    record: Redaction = field(default_factory=lambda: Redaction(0, 0, 0))
    left: list[str] = field(default_factory=list)
    """Files of the home in which the text still stands."""

    def as_json(self) -> dict[str, Any]:
        """What `noria data forget --json` prints."""
        return {
            "made": [one.reference for one in self.made],
            "removed": self.removed,
            "rows": self.rows,
            "models": self.models,
            "traces": self.record.traces,
            "left": self.left,
        }


def holding(db: Database, subject: Subject) -> list[Holding]:
    """Every version of every set that holds some of it."""
    traces = _traces_of(db, subject)
    with db.read() as connection:
        names = connection.execute(select(datasets.c.name).distinct()).scalars().all()
    return [
        Holding(dataset, rows)
        for name in sorted(names)
        for dataset in list_datasets(db, name)
        if (rows := sorted(_rows_with(db, dataset, subject, traces)))
    ]


def mark_holding(db: Database, subject: Subject, why: str) -> list[Holding]:
    """Mark every version that holds some of it, so that nothing learns from it any more."""
    found = holding(db, subject)
    with db.write() as connection:
        for one in found:
            connection.execute(
                update(datasets)
                .where(
                    datasets.c.name == one.dataset.name,
                    datasets.c.version == one.dataset.version,
                )
                .values(marked=why)
            )
    return found


def forget(db: Database, subject: Subject) -> Forgotten:
    """Make the next version of each set without it, remove the versions with it, take it out of
    the records of runs, and clear the files of what was deleted.

    What is pending must have been taken in. Journals that a running server writes to are cleared
    as far as they were taken in.

    Raises:
        NoriaError: nothing is named that could be forgotten.
    """
    if not any((subject.text, subject.owner, subject.trace, subject.document)):
        raise NoriaError(
            "Nothing is named that could be forgotten.",
            "Give --text, --user, --trace or --document.",
        )
    done = Forgotten()
    traces = _traces_of(db, subject)
    held = holding(db, subject)
    for one in held:
        if one.dataset.current:
            done.rows += len(one.rows)
            if len(one.rows) < one.dataset.count:
                done.made.append(_without(db, one))
    hashes = {one.dataset.sha256 for one in held} | {one.dataset.reference for one in held}
    done.models = _models_of(db.home, hashes)
    for one in held:
        remove_dataset(db, one.dataset.reference)
        done.removed.append(one.dataset.reference)
    _drop_reviews(db, subject)
    done.record = empty_traces(db, traces)
    _drop_leftovers(db.home)
    scrub(db)
    if subject.text:
        done.left = [str(path.relative_to(db.home)) for path in files_with(db.home, subject.text)]
    return done


def _without(db: Database, one: Holding) -> Dataset:
    gone = set(one.rows)
    return Dataset.create(
        db,
        one.dataset.name,
        (row for number, row in enumerate(one.dataset.rows()) if number not in gone),
        parents=one.dataset.parents,
        report={name: value for name, value in one.dataset.report.items() if name != "statistics"}
        | {"forgotten_rows": len(gone)},
    )


def _traces_of(db: Database, subject: Subject) -> set[str]:
    """The runs that are meant: by id, by the person who asked, by what they read, by what was
    said in them."""
    found: set[str] = {subject.trace} if subject.trace else set()
    with db.read() as connection:
        if subject.owner:
            query = select(spans.c.trace_id).where(spans.c.user == subject.owner).distinct()
            found |= set(connection.execute(query).scalars())
        if subject.document:
            query = select(document_uses.c.trace_id).where(
                document_uses.c.document == subject.document
            )
            found |= set(connection.execute(query).scalars())
        if subject.text:
            found |= _saying(connection, subject.text)
    return found


def _saying(connection: Any, text: str) -> set[str]:
    """The runs in whose bodies a text stands; every body is read, since the words of an index are
    not enough to tell."""
    wanted = {text.encode(), orjson.dumps(text)[1:-1]}
    after = -1
    found: set[str] = set()
    while True:
        rows = connection.execute(
            select(payloads.c.at, payloads.c.request, payloads.c.response, spans.c.trace_id)
            .join(spans, spans.c.at == payloads.c.at)
            .where(payloads.c.at > after)
            .order_by(payloads.c.at)
            .limit(500)
        ).all()
        if not rows:
            return found
        for row in rows:
            bodies = (decompress(row.request) or b"") + b"\n" + (decompress(row.response) or b"")
            if any(one in bodies for one in wanted):
                found.add(row.trace_id)
        after = rows[-1].at


def _rows_with(db: Database, dataset: Dataset, subject: Subject, traces: Iterable[str]) -> set[int]:
    numbers: set[int] = set()
    wanted = list(traces)
    of_version = (
        dataset_rows.c.name == dataset.name,
        dataset_rows.c.version == dataset.version,
    )
    with db.read() as connection:
        for start in range(0, max(len(wanted), 1), 500):
            some = wanted[start : start + 500]
            query = select(dataset_rows.c.number).where(
                *of_version,
                or_(
                    dataset_rows.c.trace_id.in_(some),
                    dataset_rows.c.owner == subject.owner
                    if subject.owner
                    else dataset_rows.c.trace_id.in_(some),
                ),
            )
            numbers |= set(connection.execute(query).scalars())
    if subject.text:
        numbers |= set(_saying_rows(dataset.rows(), subject.text))
    return numbers


def _saying_rows(rows: Iterable[Row], text: str) -> Iterator[int]:
    escaped = orjson.dumps(text)[1:-1]
    for number, row in enumerate(rows):
        if escaped in orjson.dumps(row.as_json()) or any(
            text in str(message.get("content") or "") for message in row.messages
        ):
            yield number


def _drop_reviews(db: Database, subject: Subject) -> None:
    """Reviews and corrections by or with what is forgotten."""
    conditions: list[tuple[Any, Callable[[Any], Any]]] = [
        (row_reviews, lambda table: table.c.answer),
        (corrections, lambda table: table.c.answer),
    ]
    with db.write() as connection:
        for table, column in conditions:
            if subject.text:
                connection.execute(
                    delete(table).where(column(table).contains(subject.text, autoescape=True))
                )
            if subject.owner:
                connection.execute(delete(table).where(table.c.person == subject.owner))


def _drop_leftovers(home: Path) -> None:
    """Drafts of sets whose making was killed."""
    for draft in (home / "datasets").glob("*/.new-*"):
        shutil.rmtree(draft, ignore_errors=True)


def _models_of(home: Path, hashes: set[str]) -> list[str]:
    """Cards of models in the home that name one of these versions."""
    found = []
    for card in sorted(home.glob("models/**/card.json")):
        text = card.read_text("utf-8", "replace")
        if any(one in text for one in hashes):
            found.append(str(card.parent.relative_to(home)))
    return found
