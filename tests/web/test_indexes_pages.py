"""The pages of indexes: everyone sees the documents that they may see, and no others."""

from __future__ import annotations

import re
import time
from html import unescape

import httpx2
import pytest
from sqlalchemy import insert, update

from noria.apps.serve.manifest import Manifest, forget_app, write_app
from noria.store import create_key
from noria.store.tables.retrieval import chunks, documents
from tests.support.seed_apps import NOTES, run, shelve
from tests.web.conftest import Site

PEOPLE = {
    # name: (groups, clearance, what they may see)
    "guest": ((), "public", {"terms.html"}),
    "clerk": (("staff",), "internal", {"terms.html", "refunds.md", "staff.md"}),
    "payroll": (("hr",), "confidential", {"terms.html", "refunds.md", "pay.md"}),
    "dismissed": (("hr",), "internal", {"terms.html", "refunds.md"}),
    "owner": (("*",), "restricted", {"terms.html", "refunds.md", "pay.md", "staff.md"}),
}
ALL = PEOPLE["owner"][2]
TEXTS = {"refunds.md": "A plan can be refunded", "terms.html": "These terms hold",
         "pay.md": "the board decides", "staff.md": "second pair of eyes"}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _shelved(site: Site) -> None:
    from noria.types import Label

    shelve(site.seeded)
    for name, (groups, clearance, _) in PEOPLE.items():
        site.seeded.keys[name], site.seeded.secrets[name] = create_key(
            site.seeded.db, user=name, groups=groups, clearance=Label.parse(clearance)
        )


def documents_in(page: str) -> set[str]:
    return set(re.findall(r"/document\?id=([\w.]+)", page))


@pytest.mark.parametrize("name", PEOPLE)
def test_everyone_sees_what_they_may_see(site: Site, name: str) -> None:
    allowed = PEOPLE[name][2]
    with site.sign_in(name) as client:
        page = client.get("/indexes/handbook").text
        assert documents_in(page) == allowed
        found = client.get("/indexes/handbook", params={"q": "refund terms board plan"}).text
        assert documents_in(found) == allowed
        for document in ALL - allowed:
            answer = client.get("/indexes/handbook/document", params={"id": document})
            none = client.get("/indexes/handbook/document", params={"id": "no-such"})
            assert answer.status_code == none.status_code == 404
            for text in (page, found, answer.text):
                assert TEXTS[document] not in text
        for document in allowed:
            answer = client.get("/indexes/handbook/document", params={"id": document})
            assert TEXTS[document] in answer.text
        assert "broken.pdf" not in page


def test_a_search_says_why_a_passage_was_found(admin: httpx2.Client) -> None:
    page = unescape(admin.get("/indexes/handbook", params={"q": "plan refunded"}).text)
    assert "found by its words (1st)" in page
    assert "A plan can be refunded within 30 days" in page
    assert "Nothing that this key may see" in admin.get("/indexes/handbook?q=xyzzyplugh").text
    assert admin.get("/indexes/nothing").status_code == 404


def test_administrators_are_told_what_could_not_be_read(admin: httpx2.Client) -> None:
    listed = admin.get("/indexes").text
    assert "1 unreadable" in listed
    assert "internal" in listed
    page = unescape(admin.get("/indexes/handbook?failed=1").text)
    assert documents_in(page) == {"broken.pdf"}
    assert "not a PDF: the file begins with a line of HTML" in page
    one = unescape(admin.get("/indexes/handbook/document?id=broken.pdf").text)
    assert "It cannot be read." in one


def test_a_document_knows_its_answers_and_who_saw_them(site: Site, admin: httpx2.Client) -> None:
    notes = ({**NOTES[0], "id": "terms.html", "label": "public"},)
    trace = run(site.seeded, time.time_ns(), notes=notes)
    foreign = run(site.seeded, time.time_ns(), notes=notes, owner="ben")
    page = admin.get("/indexes/handbook/document?id=terms.html").text
    assert trace in page
    assert foreign in page
    with site.sign_in("ana") as client:
        page = client.get("/indexes/handbook/document?id=terms.html").text
        assert trace in page
        assert foreign not in page
        assert "ben" not in page


def test_an_index_of_an_app_one_may_not_call_does_not_exist(site: Site) -> None:
    _, site.seeded.secrets["elsewhere"] = create_key(site.seeded.db, models=["local:smollm2"])
    with site.sign_in("elsewhere") as client:
        assert "/indexes/handbook" not in client.get("/indexes").text
        for path in ("", "?q=terms", "/document?id=terms.html"):
            assert client.get(f"/indexes/handbook{path}").status_code == 404


def test_documents_page_through_once_and_stay_light(site: Site, admin: httpx2.Client) -> None:
    hostile = '<img src=x onerror="window.pwned=1">' * 4
    db = site.seeded.db
    shelve(site.seeded, "many", None)
    with db.write() as connection:
        one = connection.execute(
            documents.select().where(documents.c.id == "terms.html").order_by(documents.c.serial)
        ).all()[-1]
        rows = [
            {"index_id": one.index_id, "id": f"{i:04}{hostile}", "title": hostile, "source": "",
             "shelf": one.shelf, "digest": b"", "characters": 1, "chunks": 1, "indexed_ns": 1}
            for i in range(170)
        ]  # fmt: skip
        connection.execute(insert(documents), rows)
        connection.execute(update(chunks).where(chunks.c.index_id == one.index_id)
                           .values(heading=hostile))  # fmt: skip
    seen: list[str] = []
    address: str | None = "/indexes/many"
    while address:
        answer = admin.get(address)
        assert len(answer.content) < 100_000
        assert "<img" not in answer.text
        seen += re.findall(r"/document\?id=(\d{4})%3C", answer.text)
        found = re.search(r'rel="next" href="([^"]+)"', answer.text)
        address = unescape(found[1]) if found else None
    assert seen == [f"{i:04}" for i in range(170)]
    page = admin.get("/indexes/many/document", params={"id": f"0000{hostile}"})
    assert page.status_code == 200
    assert "<img" not in page.text


def test_an_indexing_that_failed_says_why(site: Site, admin: httpx2.Client) -> None:
    home = site.seeded.config.home
    state = {"name": "handbook", "state": "failed", "error": "No file <fits> handbook/**"}
    write_app(home, Manifest("support", "app.py", "ready", indexes=[state]))
    try:
        assert 'class="state failed"' in admin.get("/indexes").text
        page = admin.get("/indexes/handbook").text
        assert "No file &lt;fits&gt; handbook/**" in page
        assert "The last indexing failed." in page
    finally:
        forget_app(home, "support")
    assert 'class="state ready"' in admin.get("/indexes").text
