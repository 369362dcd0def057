"""What is read out of files of each kind, and what is said of those that cannot be read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.plugins import registry
from noria.retrieval.document import Failure, Original, Unreadable
from noria.retrieval.ingest.front_matter import front_matter
from noria.retrieval.ingest.sources import Entry, entries
from noria.types import Label


def load(name: str, data: str | bytes) -> list[Original | Failure]:
    loader = registry().loaders.find(Path(name).suffix)
    return list(loader(data.encode() if isinstance(data, str) else data, name))


def one(name: str, data: str | bytes) -> Original:
    (original,) = load(name, data)
    assert isinstance(original, Original)
    return original


def test_markdown_has_its_title_and_front_matter() -> None:
    text = "---\ntitle: Pay\ngrants: [finance, hr]\nlabel: confidential\nby: me\n---\n# Salaries\n"
    original = one("a/pay.md", text)
    assert (original.id, original.title, original.source) == ("a/pay.md", "Pay", "a/pay.md")
    assert original.label is Label.CONFIDENTIAL
    assert original.grants == {"finance", "hr"}
    assert original.text == "# Salaries\n"
    assert one("pay.md", "# Salaries\n").title == "Salaries"
    assert one("pay.txt", "Salaries").title == "pay"
    assert one("utf16.txt", "Grüße".encode("utf-16")).text == "Grüße"
    assert one("bom.txt", b"\xef\xbb\xbf---\nlabel: internal\n---\nx").label is Label.INTERNAL


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("label: secret", "'secret' is not a label"),
        ("label: [internal]", "label: must be a text"),
        ("label: 2", "label: must be a text"),
        ("grants: {finance: true}", "grants: must be a list"),
        ("grants: [finance, 3]", "grants: 3 is not"),
        ("grants: '*'", "grants: * is not a group"),
        ("label: internal: x", "not YAML in line"),
        ("label: internal\nLABEL: public", "one thing twice"),
        ("label: !!python/object:os.system x", "not YAML"),
    ],
)
def test_front_matter_that_cannot_be_understood_hides_the_document(head: str, why: str) -> None:
    with pytest.raises(Unreadable, match="(?s)" + why.replace("*", r"\*")):
        load("a.md", f"---\n{head}\n---\nText.")


@pytest.mark.parametrize(
    "text",
    ["--- not\nlabel: secret\n---\n", "text\n---\nlabel: secret\n---\n", "---\nA rule.\n---\nText"],
)
def test_what_is_no_front_matter_is_text(text: str) -> None:
    assert front_matter(text) == ({}, text)


# YAML's own writer does not give these line breaks back.
words = st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029")
fields = st.dictionaries(
    st.sampled_from(["title", "label", "grants", "Owner", "date"]),
    st.one_of(
        st.text(words, max_size=20), st.lists(st.text(words, max_size=8), max_size=3), st.integers()
    ),
    max_size=4,
)


@given(fields, st.text(max_size=80), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_front_matter_comes_back_as_it_was_written(
    given_fields: dict[str, object], body: str, newline: str
) -> None:
    import yaml

    head = yaml.safe_dump(given_fields, allow_unicode=True).replace("\n", newline)
    found, text = front_matter(f"---{newline}{head}---{newline}{body}")
    expected = {name.lower(): value for name, value in given_fields.items()}
    assert found == expected
    assert text == body


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader_of_front_matter(text: str) -> None:
    try:
        found, rest = front_matter("---\n" + text)
    except Unreadable:
        return
    assert ("---\n" + text).endswith(rest)
    assert isinstance(found, dict)


def test_html_becomes_markdown_without_what_is_not_text() -> None:
    page = (
        "<html><head><title>The  page</title><style>p{}</style></head><body><nav>Menu</nav>"
        "<h1>Leave</h1><p>Some <b>bold</b> words.</p><script>evil()</script>"
        "<table><tr><th>a</th></tr><tr><td>1</td></tr></table><pre><code>x = 1</code></pre></body>"
    )
    original = one("page.html", page)
    assert original.title == "The page"
    assert "# Leave" in original.text
    assert "| a |" in original.text
    assert "x = 1" in original.text
    assert all(word not in original.text for word in ("evil", "Menu", "p{}"))


def test_pdf() -> None:
    original = one("manual.pdf", pdf("The pump turns the wheel."))
    assert "The pump turns the wheel." in original.text
    assert original.title == "manual"
    for data in (b"", b"not a pdf", pdf("x")[:150]):
        with pytest.raises(Unreadable):
            load("manual.pdf", data)
    with pytest.raises(Unreadable, match="no text; it may be a scan"):
        load("manual.pdf", pdf(""))
    with pytest.raises(Unreadable, match="it is encrypted"):
        load("manual.pdf", encrypted(pdf("secret")))


def test_docx() -> None:
    original = one("memo.docx", docx("Leave", "Twenty-five days."))
    assert original.title == "Leave"
    assert "# Leave" in original.text
    assert "Twenty-five days." in original.text
    for data in (b"", b"PK\x03\x04 broken", zipped({"a.txt": "x"})):
        with pytest.raises(Unreadable, match="not a Word document"):
            load("memo.docx", data)
    with pytest.raises(Unreadable, match="larger than 256 MiB"):
        load("memo.docx", zipped({"word/document.xml": "0" * (257 * 1024 * 1024)}))


def test_each_row_of_a_table_is_a_document() -> None:
    rows = load(
        "faq.csv",
        'id,question,answer,label,grants\n7,How?,So.,internal,"hr, finance"\n,Why?,Because.,,\n'
        "9,What?,That.,secret,\n",
    )
    first, second, third = rows
    assert isinstance(first, Original)
    assert first.id == "faq.csv#7"
    assert first.text == "question: How?\nanswer: So."
    assert (first.label, first.grants) == (Label.INTERNAL, {"hr", "finance"})
    assert isinstance(second, Original)
    assert (second.id, second.label, second.grants) == ("faq.csv#2", Label.PUBLIC, frozenset())
    assert isinstance(third, Failure)
    assert third.id == "faq.csv#9"
    assert [type(row) for row in load("a.tsv", "a\tb\n1\t2\n")] == [Original]


def test_each_line_of_json_is_a_document() -> None:
    rows = load(
        "notes.jsonl",
        '{"id": "a", "text": "One.", "title": "First", "grants": ["hr"], "more": 1}\n\n'
        '{"name": "Two", "size": 3}\nnot json\n[1]\n{"text": 5}\n',
    )
    first, second, *broken = rows
    assert isinstance(first, Original)
    assert (first.id, first.text, first.title) == ("notes.jsonl#a", "One.", "First")
    assert isinstance(second, Original)
    assert second.text == "name: Two\nsize: 3"
    assert [failure.id for failure in broken if isinstance(failure, Failure)] == [
        "notes.jsonl#4",
        "notes.jsonl#5",
        "notes.jsonl#6",
    ]


class _Site(BaseHTTPRequestHandler):
    pages = {
        "/page": ("text/html; charset=utf-8", b"<title>T</title><h1>Hello</h1>"),
        "/notes.md": ("text/plain", b"# Notes\n\nA note."),
        "/image": ("image/png", b"\x89PNG"),
    }

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_error(503)
            return
        if self.path not in self.pages:
            self.send_error(404)
            return
        media, body = self.pages[self.path]
        self.send_response(200)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_addresses_are_fetched_and_what_is_away_is_kept(site: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A")
    names = ("page", "notes.md", "image", "nothing", "away")
    source = ["a.md", *(f"{site}/{name}" for name in names), "http://127.0.0.1:9/refused"]
    found = {entry.id: entry for entry in entries(source, tmp_path)}
    assert len(found) == len(source)
    assert found["a.md"].suffix == ".md"
    assert found[f"{site}/page"].suffix == ".html"
    assert found[f"{site}/notes.md"].suffix == ".md"
    assert found[f"{site}/image"].broken == "nothing reads image/png"
    gone, away, refused = (found[one] for one in (source[4], source[5], source[6]))
    assert (gone.broken, gone.away) == ("the server answered 404", False)
    assert (away.broken, away.away) == ("the server answered 503", True)
    assert isinstance(refused, Entry)
    assert refused.away


def pdf(text: str) -> bytes:
    """The smallest file of one page."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET" if text else ""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode())
    start = out.tell()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    out.write(
        f"xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\n"
        f"startxref\n{start}\n%%EOF\n".encode()
    )
    return out.getvalue()


def encrypted(data: bytes) -> bytes:
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx(heading: str, paragraph: str) -> bytes:
    """A document of a heading and a paragraph."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    return zipped(
        {
            "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
            f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>'
            '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
            f"<w:r><w:t>{heading}</w:t></w:r></w:p>"
            f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p></w:body></w:document>",
            "word/styles.xml": f'<w:styles xmlns:w="{word}"><w:style w:type="paragraph" '
            'w:styleId="Heading1"><w:name w:val="heading 1"/></w:style></w:styles>',
            "word/_rels/document.xml.rels": f'<Relationships xmlns="{package}/relationships">'
            f'<Relationship Id="r1" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        }
    )


def zipped(members: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return out.getvalue()
