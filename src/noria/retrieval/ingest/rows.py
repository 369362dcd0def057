"""Reading tables and JSON lines: every row is a document."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from noria.retrieval.document import Failure, Original, Unreadable, read_grants, read_label
from noria.retrieval.ingest.access_fields import access_fields, plain_name, resembles_access
from noria.retrieval.ingest.text import decoded

__all__ = ["read_csv", "read_jsonl"]

_MOST_CELL = 16 * 1024 * 1024
_DELIMITERS = ",;\t|"
_FIELDS = ("id", "text", "title", "source", "label", "grants")


def read_csv(data: bytes, name: str) -> Iterator[Original | Failure]:
    """Read a table whose first line names its columns.

    The columns are separated by what a line `sep=;` before them says, else by the separator that
    makes most columns of the heading. Where a column says who may read a row, a row that has more
    or fewer cells than there are columns is a failure: its cells may stand in the wrong columns.

    Raises:
        Unreadable: two columns have one name, or one looks like an access field and is not read.
    """
    csv.field_size_limit(_MOST_CELL)
    text = decoded(data)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:
        delimiter, text = first.strip()[4], rest
    else:
        delimiter = _delimiter(first, "\t" if name.lower().endswith(".tsv") else ",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    columns: list[str] | None = None
    guarded = False
    for number, row in enumerate(_rows(rows), 0):
        if isinstance(row, str):
            if columns is None:
                raise Unreadable(f"its heading cannot be read: {row}")
            yield Failure(f"{name}#{number}", f"row {number}: {row}")
        elif columns is None:
            columns = [column.strip() for column in row]
            named = access_fields(_columns(columns), "its heading")
            guarded = "label" in named or "grants" in named
        elif number == 1 and not guarded and any(map(resembles_access, row)):
            raise Unreadable("its second line looks like a heading with an access field")
        elif guarded and len(row) != len(columns):
            yield Failure(
                f"{name}#{number}",
                f"row {number} has {len(row)} cells and the heading {len(columns)}",
            )
        else:
            cells: dict[str, Any] = dict(zip(columns, row, strict=False))
            for column in columns:
                if plain_name(column) == "grants":
                    groups = (cells.get(column) or "").split(",")
                    cells[column] = [group.strip() for group in groups if group.strip()]
            yield _document(name, number, cells)


def _delimiter(heading: str, usual: str) -> str:
    """What separates the columns of a heading: the usual one unless another makes more of them."""
    counts = {one: len(next(csv.reader([heading], delimiter=one), [])) for one in _DELIMITERS}
    best = max(counts, key=lambda one: counts[one])
    return best if counts[best] > counts[usual] else usual


def _columns(names: list[str]) -> dict[str, None]:
    """The columns as fields.

    Raises:
        Unreadable: one stands there twice.
    """
    plain = [plain_name(name) for name in names]
    for name in plain:
        if name and plain.count(name) > 1 and (name in _FIELDS or resembles_access(name)):
            raise Unreadable(f"its heading has {name} twice")
    return dict.fromkeys(names)


def _rows(rows: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """The rows that have something in them; what is wrong with one in its place."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error as broken:
            yield str(broken)
            continue
        if row is None:
            return
        if row:
            yield row


def read_jsonl(data: bytes, name: str) -> Iterator[Original | Failure]:
    """Read a file with a JSON object on each line. A line that cannot be read is a failure, and so
    is one that says a field twice."""
    for number, line in enumerate(decoded(data).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object, parse_constant=_no_number)
        except (json.JSONDecodeError, RecursionError, ValueError) as broken:
            yield Failure(f"{name}#{number}", f"line {number} is not JSON: {broken}")
        except Unreadable as wrong:
            yield Failure(f"{name}#{number}", f"line {number}: {wrong}")
        else:
            if isinstance(row, dict):
                yield _document(name, number, row)
            else:
                yield Failure(f"{name}#{number}", f"line {number} is not a JSON object")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise Unreadable("it says one thing twice")
    return made


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _document(name: str, number: int, row: Mapping[str, Any]) -> Original | Failure:
    """A row as a document. Where it has no `text`, all of its other fields are its text."""
    identity = f"{name}#{number}"
    try:
        given = access_fields(row, "it")
        if given.get("id") not in (None, ""):
            identity = f"{name}#{given['id']}"
        text = given.get("text")
        if text is None:
            text = "\n".join(
                f"{str(field).strip()}: {value if isinstance(value, str) else _json(value)}"
                for field, value in row.items()
                if plain_name(field) not in ("id", "label", "grants") and value not in (None, "")
            )
        if not isinstance(text, str):
            raise Unreadable("text: must be a text")
        label = given.get("label")
        return Original(
            id=identity,
            text=text,
            title=str(given.get("title") or identity),
            source=str(given.get("source") or identity),
            label=read_label(None if label == "" else label),
            grants=read_grants(given.get("grants")),
        )
    except Unreadable as wrong:
        return Failure(identity, str(wrong))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
