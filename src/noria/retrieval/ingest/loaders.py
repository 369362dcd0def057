"""Reading files: each loader makes documents of the bytes of one file.

A loader is `load(data, name)`, where `name` is the file's path or address. It yields an `Original`
for each document, or a `Failure` for one that cannot be read, and raises `Unreadable` where the
whole file cannot. Plugins add more by their suffix.
"""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from noria.retrieval.document import Failure, Original, Unreadable, read_grants, read_label
from noria.retrieval.ingest.access_fields import resembles_access, unread_line
from noria.retrieval.ingest.front_matter import front_matter
from noria.retrieval.ingest.rows import read_csv, read_jsonl
from noria.retrieval.ingest.text import decoded

__all__ = ["LOADERS", "Loader"]

Loader = Callable[[bytes, str], Iterator[Original | Failure]]

_MOST_UNZIPPED = 256 * 1024 * 1024


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

    fields: dict[str, Any] = {}
    if _MATTER_FIRST.match(data):
        fields, body = front_matter(decoded(data))
        data = "\ufeff".encode() + body.encode()
    page = turbohtml.parse(data)
    for element in page.select("meta"):
        named = element.attrs.get("name") or element.attrs.get("property") or ""
        if resembles_access(str(named)):
            raise Unreadable(f"it has <meta name={named!r}>, which is not read")
    title = page.select_one("title")
    # A browser shows a formula once; the page has it as MathML, as TeX and drawn.
    for formula in page.select(".katex, .katex-display"):
        tex = formula.select_one('annotation[encoding="application/x-tex"]')
        if tex is not None:
            formula.set_text(f"${tex.text.strip()}$")
    for element in page.select(_UNSHOWN):
        element.decompose()
    comments = "\n".join(_COMMENT.findall(data[:65536].decode("utf-8", "replace")))
    for shown in (comments, page.text, page.to_text()):
        found = unread_line(shown)
        if found is not None:
            raise Unreadable(f"{found!r} looks like an access field and is not read")
    text = page.to_markdown()
    heading = " ".join(title.text.split()) if title is not None else ""
    yield Original(
        name,
        text,
        str(fields.get("title") or heading or _first_heading(text) or PurePath(name).stem),
        name,
        read_label(fields.get("label")),
        read_grants(fields.get("grants")),
    )


_MATTER_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n")
_COMMENT = re.compile(r"<!--(.{0,1000}?)-->", re.DOTALL)
_UNSHOWN = (
    "script, style, nav, template, noscript, svg, iframe, [hidden], [aria-hidden=true],"
    ' [style*="display:none"], [style*="display: none"], input[type=hidden]'
)


def _pdf(data: bytes, name: str) -> Iterator[Original | Failure]:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted")
        for named in reader.metadata or ():
            if resembles_access(named.lstrip("/")):
                raise Unreadable(f"it has the property {named!r}, which is not read")
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
        html = mammoth.convert_to_html(
            _plain_docx(data), convert_image=mammoth.images.img_element(lambda _: {})
        ).value
    except Unreadable:
        raise
    except Exception as broken:  # noqa: BLE001 - damaged files make the library fail in any way
        raise Unreadable(f"it is not a Word document that can be read: {broken}") from None
    text = turbohtml.parse(f"<body>{html}</body>").to_markdown()
    yield Original(name, text, _first_heading(text) or PurePath(name).stem, name)


def _plain_docx(data: bytes) -> io.BytesIO:
    """A Word document whose fields (a date, a client's name) are the text that they show.

    Raises:
        Unreadable: it is too large, or one of its properties looks like an access field.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as packed, zipfile.ZipFile(made, "w") as plain:
        if sum(member.file_size for member in packed.infolist()) > _MOST_UNZIPPED:
            raise Unreadable("it is larger than 256 MiB when unpacked")
        for member in packed.infolist():
            content = packed.read(member)
            if member.filename.startswith("docProps/"):
                for name in _PROPERTY.findall(content):
                    if resembles_access(name.decode("utf-8", "replace")):
                        raise Unreadable(f"it has the property {name!r}, which is not read")
            elif member.filename.startswith("word/") and member.filename.endswith(".xml"):
                content = _FIELD.sub(b"", content)
            plain.writestr(member.filename, content)
    made.seek(0)
    return made


_FIELD = re.compile(rb"</?w:(?:fldSimple|smartTag|customXml)\b[^>]*>")
_PROPERTY = re.compile(rb"<property\b[^>]*\bname=\"([^\"]{1,200})\"")


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
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_jsonl,
}
