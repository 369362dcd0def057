"""Reading files: each loader makes documents of the bytes of one file.

A loader is `load(data, name)`, where `name` is the file's path or address. It yields an `Original`
for each document, or a `Failure` for one that cannot be read, and raises `Unreadable` where the
whole file cannot. Plugins add more by their suffix.
"""

from __future__ import annotations

import csv
import io
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import orjson

from noria.retrieval.document import Failure, Original, Unreadable, read_grants, read_label
from noria.retrieval.ingest.front_matter import front_matter

__all__ = ["LOADERS", "Loader"]

Loader = Callable[[bytes, str], Iterator[Original | Failure]]

_MOST_UNZIPPED = 256 * 1024 * 1024
_MOST_CELL = 16 * 1024 * 1024


def _text(data: bytes, name: str) -> Iterator[Original | Failure]:
    text = decoded(data)
    fields, body = front_matter(text)
    title = fields.get("title") or _first_heading(body) or PurePath(name).stem
    yield Original(
        id=name,
        text=body,
        title=str(title),
        source=name,
        label=read_label(fields.get("label")),
        grants=read_grants(fields.get("grants")),
    )


def _html(data: bytes, name: str) -> Iterator[Original | Failure]:
    import turbohtml

    page = turbohtml.parse(data)
    title = page.select_one("title")
    for element in page.select("script, style, nav, template, noscript, svg, iframe"):
        element.decompose()
    text = page.to_markdown()
    named = " ".join(title.text.split()) if title is not None else ""
    yield Original(name, text, named or _first_heading(text) or PurePath(name).stem, name)


def _pdf(data: bytes, name: str) -> Iterator[Original | Failure]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted")
        text = "\n\n".join(page.extract_text() for page in reader.pages)
        title = str((reader.metadata.title if reader.metadata else None) or "").strip()
    except Unreadable:
        raise
    except Exception as broken:  # noqa: BLE001 - damaged files make the library fail in any way
        raise Unreadable(f"it is not a PDF that can be read: {broken}") from None
    if not text.strip():
        raise Unreadable("it has no text; it may be a scan")
    yield Original(name, text, title or PurePath(name).stem, name)


def _docx(data: bytes, name: str) -> Iterator[Original | Failure]:
    import mammoth
    import turbohtml

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(member.file_size for member in packed.infolist()) > _MOST_UNZIPPED:
                raise Unreadable("it is larger than 256 MiB when unpacked")
        html = mammoth.convert_to_html(
            io.BytesIO(data), convert_image=mammoth.images.img_element(lambda _: {})
        ).value
    except Unreadable:
        raise
    except Exception as broken:  # noqa: BLE001 - damaged files make the library fail in any way
        raise Unreadable(f"it is not a Word document that can be read: {broken}") from None
    text = turbohtml.parse(f"<body>{html}</body>").to_markdown()
    yield Original(name, text, _first_heading(text) or PurePath(name).stem, name)


def _csv(data: bytes, name: str) -> Iterator[Original | Failure]:
    csv.field_size_limit(_MOST_CELL)
    lines = io.StringIO(decoded(data), newline="")
    rows = csv.DictReader(lines, delimiter="\t" if name.lower().endswith(".tsv") else ",")
    number = 0
    while True:
        number += 1
        try:
            row = next(rows, None)
        except csv.Error as broken:
            yield Failure(f"{name}#{number}", f"row {number}: {broken}")
            continue
        if row is None:
            return
        row.pop(None, None)  # cells beyond the heading's
        grants = row.get("grants")
        if grants is not None:
            row["grants"] = [group for part in grants.split(",") if (group := part.strip())]
        yield _row(name, number, row)


def _jsonl(data: bytes, name: str) -> Iterator[Original | Failure]:
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as broken:
            yield Failure(f"{name}#{number}", f"line {number} is not JSON: {broken}")
            continue
        if isinstance(row, dict):
            yield _row(name, number, row)
        else:
            yield Failure(f"{name}#{number}", f"line {number} is not a JSON object")


_FIELDS = ("id", "text", "title", "source", "label", "grants")


def _row(name: str, number: int, row: Mapping[str, Any]) -> Original | Failure:
    """A row as a document. Where it has no `text`, all of its other fields are its text."""
    row = {str(field).strip(): value for field, value in row.items()}
    given = {field.lower(): value for field, value in row.items() if field.lower() in _FIELDS}
    identity = f"{name}#{given.get('id') or number}"
    text = given.get("text")
    if text is None:
        text = "\n".join(
            f"{field}: {value if isinstance(value, str) else orjson.dumps(value).decode()}"
            for field, value in row.items()
            if field.lower() not in ("id", "label", "grants") and value not in (None, "")
        )
    try:
        if not isinstance(text, str):
            raise Unreadable("text: must be a text")
        return Original(
            id=identity,
            text=text,
            title=str(given.get("title") or identity),
            source=str(given.get("source") or identity),
            label=read_label(given.get("label") or None),
            grants=read_grants(given.get("grants")),
        )
    except Unreadable as wrong:
        return Failure(identity, str(wrong))


def decoded(data: bytes) -> str:
    """A file's text.

    Raises:
        Unreadable: it is neither UTF-8 nor UTF-16 with a mark.
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as broken:
        raise Unreadable(f"it is not UTF-8: byte {broken.start:,} cannot be read") from None


def _first_heading(text: str) -> str | None:
    for line in text.splitlines()[:50]:
        if line.startswith("# "):
            return line[2:].strip() or None
    return None


LOADERS: dict[str, Loader] = {
    ".md": _text,
    ".markdown": _text,
    ".txt": _text,
    ".rst": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
}
