"""Data sets: named, versioned by what they hold, and never changed once made.

A version is a file of rows in the home and one line for each of them in the store. The version's
name is the beginning of the file's SHA-256, so the same rows are the same version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, func, insert, select, update

from noria.datasets.row import Row, digest_of, parse_row, read_rows
from noria.datasets.stats import Statistics
from noria.errors import NoriaError, NotFound
from noria.store.bulk_sql import insert_many
from noria.store.learning import dataset_rows, datasets
from noria.types import Label, from_nanoseconds

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["Dataset", "list_datasets", "remove_dataset"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION_LENGTH = 12
_BATCH = 5_000
_COLUMNS = (
    "name", "version", "number", "id", "digest", "offset", "bytes", "turns", "label", "source",
    "trace_id", "owner", "licence", "consent", "language", "preference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dataset:
    """One version of a named set of conversations."""

    name: str
    version: str
    sha256: str
    """Of the file of rows."""
    path: Path
    """The file of rows, as JSON lines."""
    at: datetime
    count: int
    """Rows."""
    turns: int
    bytes: int
    label: Label
    """The highest label of any row."""
    current: bool
    """Whether it is the newest version of its name."""
    parents: list[str]
    """What it was made of, as `name@version` or the name of a file."""
    report: dict[str, Any]
    """How it was made (`cleaning` where it was cleaned), and its `statistics`."""
    marked: str | None
    """Why nothing may learn from it any more; None where something may."""

    @classmethod
    def create(
        cls,
        db: Database,
        name: str,
        rows: Iterable[Row],
        *,
        parents: Sequence[str] = (),
        report: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Make a version of a set out of rows, in constant memory: whole, or not at all.

        The same rows again give the version that exists.

        Args:
            db: the database of the home.
            name: letters, digits, `.`, `_` and `-`.
            rows: its conversations, in order.
            parents: what they were made of.
            report: what to keep about how they were made.

        Raises:
            NoriaError: the name cannot be used, there is no row, or the disk is full.
        """
        if not _NAME.fullmatch(name):
            raise NoriaError(
                f"{name!r} is not a name for a data set.",
                "Use letters, digits, dots, dashes and underscores, at most 64 of them.",
            )
        folder = db.home / "datasets" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            sha256, counted = _write(draft / "rows.jsonl", rows)
            if counted.rows == 0:
                raise NoriaError(
                    f"Nothing is left for the data set {name}: it would have no row.",
                    "The report of `noria data clean --report` counts what was dropped, by reason.",
                )
            version = sha256[:_VERSION_LENGTH]
            final = folder / version
            if final.exists():  # the same rows: of this set, or of a making that was killed
                shutil.rmtree(draft)
            else:
                draft.replace(final)
        except OSError as failed:
            raise NoriaError(
                f"The data set {name} cannot be written: {failed.strerror}.",
                "Nothing of it is kept. Free some space on the disk of the home and try again.",
            ) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        told = {**(report or {}), "statistics": counted.as_json()}
        _register(db, name, version, sha256, final / "rows.jsonl", list(parents), told, counted)
        return cls.open(db, f"{name}@{version}")

    @classmethod
    def open(cls, db: Database, reference: str) -> Dataset:
        """Find a set by `name` (its newest version) or `name@version`.

        Raises:
            NotFound: there is none.
        """
        name, _, version = reference.partition("@")
        wanted = select(datasets).where(datasets.c.name == name)
        wanted = wanted.where(
            datasets.c.version.startswith(version, autoescape=True)
            if version
            else datasets.c.current
        )
        with db.read() as connection:
            found = connection.execute(wanted.order_by(datasets.c.serial.desc())).first()
        if found is None:
            raise NotFound(
                f"There is no data set {reference}.",
                "`noria data ls` lists them; `noria data import NAME FILE` makes one.",
            )
        return _of(db, found)

    def rows(self) -> Iterator[Row]:
        """Its rows in order, one at a time."""
        return read_rows(self.path)

    def read(self, places: Iterable[tuple[int, int]]) -> list[Row]:
        """The rows that stand at these offsets of the file, each with its size in bytes."""
        with self.path.open("rb") as file:
            found = []
            for offset, size in places:
                file.seek(offset)
                found.append(parse_row(orjson.loads(file.read(size))))
        return found

    @property
    def reference(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    def as_json(self) -> dict[str, Any]:
        """What `noria data show --json` prints."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "created": self.at.isoformat().replace("+00:00", "Z"),
            "rows": self.count,
            "turns": self.turns,
            "bytes": self.bytes,
            "label": str(self.label),
            "current": self.current,
            "marked": self.marked,
            "parents": self.parents,
            "path": str(self.path),
            "report": self.report,
        }


def list_datasets(db: Database, name: str | None = None) -> list[Dataset]:
    """The newest version of every set, or all versions of one, the newest first."""
    wanted = select(datasets).where(datasets.c.current if name is None else datasets.c.name == name)
    with db.read() as connection:
        found = connection.execute(wanted.order_by(datasets.c.serial.desc())).all()
    return [_of(db, one) for one in found]


def remove_dataset(db: Database, reference: str) -> list[Dataset]:
    """Delete a set with all its versions, or with `name@version` that one: rows, files and all.

    Returns:
        What was deleted.

    Raises:
        NotFound: there is none.
    """
    first = Dataset.open(db, reference)
    gone = [first] if "@" in reference else list_datasets(db, first.name)
    with db.write() as connection:
        for one in gone:
            for table in (dataset_rows, datasets):
                connection.execute(
                    delete(table).where(table.c.name == one.name, table.c.version == one.version)
                )
        _choose_current(connection, first.name)
    for one in gone:
        shutil.rmtree(one.path.parent, ignore_errors=True)
    return gone


def _write(path: Path, rows: Iterable[Row]) -> tuple[str, Statistics]:
    counted, hashed = Statistics(), hashlib.sha256()
    with path.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        for row in rows:
            line = orjson.dumps(row.as_json()) + b"\n"
            hashed.update(line)
            file.write(line)
            counted.add(row)
        file.flush()
        os.fsync(file.fileno())
    return hashed.hexdigest(), counted


def _register(
    db: Database,
    name: str,
    version: str,
    sha256: str,
    path: Path,
    parents: list[str],
    report: Mapping[str, Any],
    counted: Statistics,
) -> None:
    """Add the lines of all rows and at last the version itself, which makes it seen."""
    of_version = (dataset_rows.c.name == name, dataset_rows.c.version == version)
    with db.write() as connection:
        known = connection.execute(
            select(datasets.c.version).where(datasets.c.name == name, datasets.c.version == version)
        ).first()
        if known is None:
            connection.execute(delete(dataset_rows).where(*of_version))
    highest = Label.PUBLIC
    batch: list[tuple[Any, ...]] = []

    def flush() -> None:
        with db.write() as connection:
            insert_many(connection, "dataset_rows", _COLUMNS, batch)
        batch.clear()

    for number, (offset, size, row) in enumerate(_lines(path)):
        highest = max(highest, row.label)
        if known is None:
            batch.append(
                (name, version, number, row.id, digest_of(_all_messages(row)), offset, size,
                 len(row.messages), int(row.label), row.source, row.trace_id, row.owner,
                 row.licence, row.consent, row.language, row.chosen is not None)
            )  # fmt: skip
        if len(batch) >= _BATCH:
            flush()
    flush()
    with db.write() as connection:
        serial = (connection.execute(select(func.max(datasets.c.serial))).scalar() or 0) + 1
        if known is None:
            connection.execute(
                insert(datasets).values(
                    name=name, version=version, serial=serial, sha256=sha256, at=time.time_ns(),
                    rows=counted.rows, turns=counted.turns, bytes=path.stat().st_size,
                    label=int(highest), current=False, parents=orjson.dumps(parents).decode(),
                    report=orjson.dumps(report).decode(),
                )
            )  # fmt: skip
        else:
            connection.execute(
                update(datasets)
                .where(datasets.c.name == name, datasets.c.version == version)
                .values(serial=serial)
            )
        _choose_current(connection, name)


def _all_messages(row: Row) -> list[dict[str, Any]]:
    return [*row.messages, *(row.chosen or ()), *(row.rejected or ())]


def _choose_current(connection: Any, name: str) -> None:
    newest = connection.execute(
        select(func.max(datasets.c.serial)).where(datasets.c.name == name)
    ).scalar()
    connection.execute(
        update(datasets).where(datasets.c.name == name).values(current=datasets.c.serial == newest)
    )


def _lines(path: Path) -> Iterator[tuple[int, int, Row]]:
    offset = 0
    with path.open("rb") as file:
        for line in file:
            yield offset, len(line), parse_row(orjson.loads(line))
            offset += len(line)


def _of(db: Database, found: Any) -> Dataset:
    return Dataset(
        name=found.name,
        version=found.version,
        sha256=found.sha256,
        path=db.home / "datasets" / found.name / found.version / "rows.jsonl",
        at=from_nanoseconds(found.at),
        count=found.rows,
        turns=found.turns,
        bytes=found.bytes,
        label=Label(found.label),
        current=found.current,
        parents=orjson.loads(found.parents),
        report=orjson.loads(found.report),
        marked=found.marked,
    )
