"""Data sets: versions by what they hold, provenance, and files of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.datasets import Dataset, Row, list_datasets, read_rows, remove_dataset, write_rows
from noria.errors import NoriaError, NotFound
from noria.store import Database
from noria.types import Label


def row(question: str, **fields: object) -> Row:
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": f"About {question}."},
    ]
    return Row(id=question, messages=messages, **fields)  # type: ignore[arg-type]


def test_a_version_is_what_it_holds(db: Database) -> None:
    first = Dataset.create(db, "talk", [row("a"), row("b", label=Label.CONFIDENTIAL)])
    assert (first.count, first.turns, first.label, first.current) == (
        2,
        4,
        Label.CONFIDENTIAL,
        True,
    )
    second = Dataset.create(db, "talk", [row("a")], parents=[first.reference])
    assert second.version != first.version
    assert Dataset.open(db, "talk").version == second.version
    assert [one.id for one in Dataset.open(db, first.reference).rows()] == ["a", "b"]
    again = Dataset.create(db, "talk", [row("a"), row("b", label=Label.CONFIDENTIAL)])
    assert again.version == first.version
    assert again.current
    assert len(list_datasets(db, "talk")) == 2
    assert [one.reference for one in list_datasets(db)] == [again.reference]
    assert first.path.stat().st_mode & 0o077 == 0


def test_a_set_without_rows_or_with_a_bad_name_is_refused_and_leaves_nothing(db: Database) -> None:
    with pytest.raises(NoriaError, match="no row"):
        Dataset.create(db, "talk", [])
    with pytest.raises(NoriaError, match="not a name"):
        Dataset.create(db, "../talk", [row("a")])
    assert list_datasets(db) == []
    assert not list((db.home / "datasets").rglob("*.jsonl"))


def test_removing_takes_rows_and_files(db: Database) -> None:
    first = Dataset.create(db, "talk", [row("a")])
    second = Dataset.create(db, "talk", [row("b")])
    remove_dataset(db, second.reference)
    assert Dataset.open(db, "talk").version == first.version
    remove_dataset(db, "talk")
    assert not first.path.exists()
    with pytest.raises(NotFound):
        Dataset.open(db, "talk")


def test_a_file_of_rows_round_trips_and_a_bad_line_is_named(tmp_path: Path) -> None:
    rows = [
        row("a", source="trace:1", owner="ada", licence="CC0", consent="yes", language="en"),
        row("b", label=Label.INTERNAL, extra={"tags": ["x"]}),
    ]
    path = tmp_path / "rows.jsonl"
    assert write_rows(path, rows) == 2
    assert list(read_rows(path)) == rows
    with path.open("a") as file:
        file.write('{"messages": [{"role": "robot", "content": "x"}]}\n')
    with pytest.raises(NoriaError, match=r"line 3 .*messages\[0\]\.role"):
        list(read_rows(path))


def test_an_unknown_label_hides(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"messages":[{"role":"user","content":"x"}],"label":"secret-ish"}\n')
    assert next(read_rows(path)).label is Label.RESTRICTED
