"""`noria index`: an application's documents from the terminal, with a fake model that embeds."""

from __future__ import annotations

import json

import pytest

from noria.config import load
from noria.errors import NoriaError, NotFound
from noria.store import create_key, open_database
from noria.types import Label

APP = """
from noria import App

app = App("support", model="fake:chat")
docs = app.index("handbook", "handbook/*", embed="fake:embedder")
other = app.index("prices", lambda: [{"id": "p", "text": "Cheese is dear."}], embed="fake:embedder")
"""


@pytest.fixture
def built(home, run, fake_provider):
    """A folder with an application whose indexes were made."""
    folder = home.parent
    (folder / "noria.toml").write_text(
        f'[providers.fake]\nbase_url = "{fake_provider.url}"\nclearance = "restricted"\n'
    )
    (folder / "handbook").mkdir()
    (folder / "handbook" / "leave.md").write_text("# Leave\n\nTwenty-five days of holiday a year.")
    (folder / "handbook" / "pay.md").write_text(
        "---\ngrants: [finance]\nlabel: internal\n---\n# Pay\n\nThe salary of the cook."
    )
    (folder / "handbook" / "bad.md").write_bytes(b"\xff\xfe\xfa")
    (folder / "app.py").write_text(APP)
    return run("index", "build", "app.py")


def test_build_says_what_was_done_and_what_could_not_be_read(built, run, run_json):
    assert built.exit_code == 0
    assert "handbook: 2 documents, 2 passages. 2 new" in built.stderr
    assert "bad.md: it is not UTF-8" in built.stderr
    assert "prices: 1 document, 1 passage." in built.stderr
    (report,) = run_json("index", "build", "app.py", "--index", "handbook")
    assert (report["unchanged"], report["embedded"]) == (2, 0)
    assert report["failed"][0]["id"] == "handbook/bad.md"
    with pytest.raises(NoriaError, match="no index nothing"):
        run("index", "build", "app.py", "--index", "nothing")


def test_ls_and_show(built, run, run_json):
    first, second = run_json("index", "ls")
    assert (first["name"], second["name"]) == ("handbook", "prices")
    assert (first["app"], first["documents"], first["failed"]) == ("support", 2, 1)
    assert (first["labels"], first["groups"]) == (["public", "internal"], ["finance"])
    assert "handbook" in run("index", "ls").stdout
    shown = run_json("index", "show", "handbook")
    labels = {row["id"]: row["label"] for row in shown["documents_shown"]}
    assert labels == {
        "handbook/bad.md": None,
        "handbook/leave.md": "public",
        "handbook/pay.md": "internal",
    }
    assert "finance" in run("index", "show", "handbook").stdout
    assert "holiday" in run("index", "show", "handbook", "handbook/leave.md").stdout
    (passage,) = run_json("index", "show", "handbook", "handbook/pay.md")["passages"]
    assert passage["heading"] == "Pay"
    with pytest.raises(NotFound, match="no index nothing"):
        run("index", "show", "nothing")
    with pytest.raises(NotFound, match=r"no document x\.md"):
        run("index", "show", "handbook", "x.md")


def test_search_is_for_whoever_asks_and_who_says_who_it_was(built, run, run_json, monkeypatch):
    db = open_database(load())
    _, secret = create_key(db, user="ada", groups=("hr",), clearance=Label.RESTRICTED)
    db.close()
    found = run_json("index", "search", "handbook", "salary of the cook")
    assert "handbook/pay.md" in {row["id"] for row in found}
    assert all(row["why"].startswith("found by its ") for row in found)
    assert "Pay" in run("index", "search", "handbook", "salary", "-k", "1").stdout
    monkeypatch.setenv("NORIA_KEY", secret)
    found = run_json("index", "search", "handbook", "salary of the cook")
    assert {row["id"] for row in found} == {"handbook/leave.md"}
    assert len(run_json("index", "who", "handbook/pay.md")) == 2
    answers = run_json("index", "who", "handbook/leave.md")
    assert answers[0]["user"] == "ada"
    assert "ada" in run("index", "who", "handbook/leave.md").stdout
    assert run_json("index", "who", "handbook/bad.md") == []


def test_rm_takes_a_document_out(built, run, run_json):
    run("index", "search", "handbook", "holiday")
    run("index", "rm", "handbook", "handbook/leave.md")
    found = run_json("index", "search", "handbook", "days of holiday")
    assert "handbook/leave.md" not in {row["id"] for row in found}
    (answer,) = run_json("index", "who", "handbook/leave.md")
    assert answer["deleted_at"] is not None
    with pytest.raises(NotFound, match="no document nothing"):
        run("index", "rm", "handbook", "nothing")


def test_a_list_is_a_bare_array(built, run):
    assert isinstance(json.loads(run("index", "ls", "--json").stdout), list)
