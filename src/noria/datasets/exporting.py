"""Rows in the forms that trainers elsewhere read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from noria.datasets.row import Row, write_rows
from noria.errors import NoriaError

__all__ = ["FORMS", "export_rows"]

_FROM = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}
_BATCH = 2_000


def _chat(row: Row) -> dict[str, Any]:
    """OpenAI's fine-tuning form. The label goes along: a mark follows the text into every file."""
    value: dict[str, Any] = {"messages": row.messages, "label": str(row.label)}
    if row.tools:
        value["tools"] = row.tools
    if row.chosen is not None:
        value = {"prompt": row.messages, "chosen": row.chosen, "rejected": row.rejected,
                 "label": str(row.label)}  # fmt: skip
    return value


def _sharegpt(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "conversations": [
            {"from": _FROM[one["role"]], "value": one.get("content") or ""} for one in row.messages
        ],
        "label": str(row.label),
    }


FORMS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "rows": Row.as_json, "chat": _chat, "sharegpt": _sharegpt, "parquet": Row.as_json,
}  # fmt: skip


def export_rows(rows: Iterable[Row], out: Path, form: str) -> int:
    """Write rows to a file, whole or not at all.

    Args:
        rows: what to write.
        out: the file; JSON lines, for `sharegpt` one array, for `parquet` a table in which each
            row's messages are JSON.
        form: one of `FORMS`.

    Returns:
        The number of rows.
    """
    if form == "rows":
        return write_rows(out, rows)
    fresh = out.with_name(f"{out.name}.new")
    try:
        if form == "parquet":
            count = _write_table(fresh, rows)
        else:
            count = _write_lines(fresh, map(FORMS[form], rows), array=form == "sharegpt")
        fresh.replace(out)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return count


def _write_lines(path: Path, values: Iterator[dict[str, Any]], *, array: bool) -> int:
    count = 0
    with path.open("wb") as file:
        for count, value in enumerate(values, 1):
            if array:
                file.write(b"[\n" if count == 1 else b",\n")
            file.write(orjson.dumps(value) + (b"" if array else b"\n"))
        if array:
            file.write(b"\n]\n" if count else b"[]\n")
    return count


def _write_table(path: Path, rows: Iterable[Row]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise NoriaError(
            "pyarrow, which writes Parquet, is not installed.",
            "Install it: pip install 'noria[parquet]'",
        ) from None
    text = pyarrow.string()
    message = pyarrow.struct([("role", text), ("content", text)])
    schema = pyarrow.schema(
        [("id", text), ("messages", pyarrow.list_(message))]
        + [(name, text) for name in ("source", "label", "owner", "licence", "consent", "language")]
        + [("row", text)]  # the whole, as JSON: tools and preferences have no fixed columns
    )
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        batch: list[dict[str, Any]] = []

        def flush() -> None:
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))
            batch.clear()

        for row in rows:
            value = row.as_json()
            value["messages"] = [
                {"role": one["role"], "content": one.get("content")} for one in row.messages
            ]
            batch.append({**{name: value.get(name) for name in schema.names},
                          "row": orjson.dumps(row.as_json()).decode()})  # fmt: skip
            count += 1
            if len(batch) == _BATCH:
                flush()
        flush()
    return count
