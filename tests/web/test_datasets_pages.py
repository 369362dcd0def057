"""Data sets and their labelling, as pages of a home."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from noria.datasets import Dataset
from noria.datasets.reviewing import reviews_of
from noria.datasets.row import parse_row
from noria.store import create_key
from noria.types import Label
from tests.support.pages import serve_pages
from tests.support.seed import Seeded, seed
from tests.web.conftest import Site

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Seeded]]:
    seeded = seed(tmp_path_factory.mktemp("learned"), 20)
    rows = [
        parse_row(
            {
                "id": f"r{number}",
                "messages": [
                    {"role": "user", "content": f"Question {number}? {HOSTILE}"},
                    {"role": "assistant", "content": f"Answer {number}."},
                ],
                "label": "confidential" if number == 3 else "public",
            }
        )
        for number in range(25)
    ]
    Dataset.create(seeded.db, "chats", rows)
    with serve_pages(seeded) as (url, door):
        yield Site(url, door, seeded), seeded


@pytest.fixture
def admin(home: tuple[Site, Seeded]) -> Iterator[httpx2.Client]:
    with home[0].sign_in() as client:
        yield client


def test_sets_are_listed_and_read_page_by_page(admin: httpx2.Client) -> None:
    assert "chats" in admin.get("/datasets").text
    first = admin.get("/datasets/chats")
    assert first.status_code == 200
    assert "Question 0?" in first.text
    assert HOSTILE not in first.text
    assert admin.get("/datasets/nothing").status_code == 404


def test_a_row_above_ones_clearance_is_not_shown(home: tuple[Site, Seeded]) -> None:
    site, seeded = home
    _, secret = create_key(seeded.db, admin=True, clearance=Label.INTERNAL)
    with httpx2.Client(base_url=site.url, headers={"Origin": site.url}) as client:
        assert client.post("/signin", data={"key": secret}).status_code == 303
        assert "Answer 3." not in client.get("/datasets/chats").text
        assert client.get("/label/chats?row=3").status_code == 404


def test_only_an_admin_sees_them(home: tuple[Site, Seeded]) -> None:
    with home[0].sign_in("ana") as client:
        assert client.get("/datasets").status_code == 403
        assert client.get("/label/chats").status_code == 403


def test_a_person_decides_and_goes_on(admin: httpx2.Client, home: tuple[Site, Seeded]) -> None:
    page = admin.get("/label/chats").text
    assert "Question 0?" in page
    answer = admin.post("/label/chats", data={"row": "0", "decision": "accept"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/label/chats?row=1")
    edited = {"row": "1", "decision": "edit", "answer": "A better answer.", "tags": "short"}
    assert admin.post("/label/chats", data=edited).status_code == 303
    kept = [one for some in reviews_of(home[1].db, "chats").values() for one in some]
    assert sorted(one.decision for one in kept) == ["accept", "edit"]
    assert any(one.answer == "A better answer." for one in kept)
