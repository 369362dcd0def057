"""`noria trace replay`: the same call again, by its own key, under the labels it had."""

from __future__ import annotations

import json

import pytest

from noria.config import load
from noria.errors import NoriaError, NotFound
from noria.models import assemble
from noria.store import create_key, find_spans, open_database, owner_key, raise_mark, take_in
from noria.testing import Reply
from noria.types import Label
from tests.cli.test_records import CONFIG

VAULT = """
[providers.vault]
base_url = "{url}"
clearance = "confidential"
[prices."vault:big"]
input = 2.0
output = 8.0
"""


@pytest.fixture
def acme(home, fake_provider):
    (home.parent / "noria.toml").write_text((CONFIG + VAULT).format(url=fake_provider.url))
    return fake_provider


@pytest.fixture
def asked(acme, run):
    """A call that was made; gives its trace."""
    acme.queue(Reply(text="As deep\nas it must be."))
    run("chat", input="How deep is the well?")
    return newest().trace_id


def newest():
    db = open_database(load())
    take_in(db, assemble)
    (span,) = find_spans(db, limit=1, kind="chat").rows
    db.close()
    return span


def mark(trace, label):
    db = open_database(load())
    raise_mark(db, trace, label)
    db.close()


def test_a_call_is_made_again_and_compared(asked, acme, run, run_json):
    acme.queue(Reply(text="As deep\nas a river."))
    told = run_json("trace", "replay", asked)
    assert told["replay_of"] == asked
    assert told["before"]["answer"] == "As deep\nas it must be."
    assert told["after"]["answer"] == "As deep\nas a river."
    assert told["after"]["cost_nano"] > 0
    assert told["before"]["models"] == told["after"]["models"] == ["acme:big"]
    assert not told["same"]
    first, second = acme.requests
    assert first.body["messages"] == second.body["messages"]
    again = run_json("trace", "show", told["trace_id"])["spans"]
    assert again[0]["attributes"]["replay_of"] == asked
    acme.queue(Reply(text="As deep\nas it must be."))
    assert "The answers are the same." in run("trace", "replay", asked).stdout


def test_another_model_can_be_asked(asked, acme, run):
    acme.queue(Reply(text="As deep\nas a river."))
    told = run("trace", "replay", asked, "--model", "vault:big").stdout
    assert "-as it must be." in told
    assert "+as a river." in told
    assert "vault:big" in told


def test_labels_still_bind(asked, acme, run):
    mark(asked, Label.CONFIDENTIAL)
    acme.forget()
    with pytest.raises(NoriaError, match=r"label_exceeds_clearance.*confidential.*acme:big"):
        run("trace", "replay", asked)
    assert not acme.requests
    run("trace", "replay", asked, "--model", "vault:big")
    assert len(acme.requests) == 1


def test_a_key_runs_its_own_traces_again(asked, acme, run, monkeypatch, home):
    db = open_database(load())
    secrets = {
        name: create_key(db, name=name, admin=name == "admin", clearance=clearance)[1]
        for name, clearance in (
            ("other", Label.RESTRICTED), ("admin", Label.RESTRICTED), ("public", Label.PUBLIC),
        )
    }  # fmt: skip
    owner = owner_key(home, db).read_text().strip()
    db.close()
    acme.forget()
    monkeypatch.setenv("NORIA_KEY", secrets["other"])
    with pytest.raises(NotFound, match="of this key"):
        run("trace", "replay", asked)
    assert not acme.requests
    for secret in (secrets["admin"], owner):
        monkeypatch.setenv("NORIA_KEY", secret)
        run("trace", "replay", asked)
    monkeypatch.setenv("NORIA_KEY", secrets["public"])
    run("chat", input="mine")
    mine = newest().trace_id
    run("trace", "replay", mine)
    mark(mine, Label.INTERNAL)
    with pytest.raises(NoriaError, match="cleared for public only"):
        run("trace", "replay", mine, "--model", "vault:big")


def test_what_cannot_be_run_again_is_said(acme, run, home, monkeypatch):
    db = open_database(load())
    _, secret = create_key(db, record_content=False)
    db.close()
    monkeypatch.setenv("NORIA_KEY", secret)
    run("chat", input="not kept")
    with pytest.raises(NoriaError, match="was not recorded"):
        run("trace", "replay", newest().trace_id)
    with pytest.raises(NotFound):
        run("trace", "replay", "0" * 32)


APP = """
import json
from pathlib import Path
from noria import App

app = App("desk", model="acme:big")
app.variant("brief", model="vault:big")
papers = app.index(
    "papers", source=lambda: json.loads((Path(__file__).parent / "papers.json").read_text()),
    embed="acme:embed-small",
)

@app.chat
async def answer(question: str) -> str:
    await papers.search("something else", k=1)
    notes = await papers.search(question, k=2)
    return await app.model.ask("From the notes.", question=question, notes=notes)
"""


@pytest.fixture
def answered(acme, home, run):
    """A run of an application, whose document has changed since; gives its trace."""
    folder = home.parent
    (folder / "desk.py").write_text(APP)
    write_paper(folder, "The well is forty fathoms deep.")
    (folder / "in.jsonl").write_text('{"question": "How deep is the well?"}\n')
    files = ("--in", str(folder / "in.jsonl"), "--out", str(folder / "out.jsonl"))
    run("run", "desk.py", "answer", *files)
    write_paper(folder, "The well was filled in.")
    (folder / "again.jsonl").write_text('{"question": "What is new?"}\n')
    run("run", "desk.py", "answer", "--in", "again.jsonl", "--out", str(folder / "more.jsonl"))
    acme.forget()
    (row,) = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    return row["trace_id"]


def write_paper(folder, text):
    paper = {"id": "well.md", "title": "The well", "text": text}
    (folder / "papers.json").write_text(json.dumps([paper]))


def test_a_run_is_made_again_with_the_documents_it_had(answered, acme, run_json):
    told = run_json("trace", "replay", answered, "--app", "desk.py", "--model", "vault:big")
    assert told["before"]["models"] == ["acme:big"]
    assert told["after"]["models"] == ["vault:big"]
    (asked,) = [one for one in acme.requests if "messages" in one.body]
    assert "forty fathoms" in str(asked.body)
    assert "filled in" not in str(asked.body)
    shown = run_json("trace", "show", told["trace_id"])
    searches = [one for one in shown["spans"] if one["kind"] == "search"]
    assert [bool(one["attributes"]["recorded_in"]) for one in searches] == [True, True]
    assert {one["id"] for one in shown["documents"]} == {"well.md"}
    roots = [one for one in shown["spans"] if one["parent_id"] is None]
    assert [one["attributes"]["replay_of"] for one in roots] == [answered]


def test_a_run_made_again_is_bound_by_the_labels_it_had(answered, acme, run, home, run_json):
    shown = run_json("trace", "show", answered)
    root = next(one["id"] for one in shown["spans"] if one["kind"] == "app")
    call = next(one["id"] for one in shown["spans"] if one["kind"] == "chat")
    mark(answered, Label.CONFIDENTIAL)
    with pytest.raises(NoriaError, match="label_exceeds_clearance"):
        run("trace", "replay", call)  # it was told what the run had read
    assert not [one for one in acme.requests if "messages" in one.body]
    with pytest.raises(NoriaError, match="Name its file"):
        run("trace", "replay", root)
    run("trace", "replay", root, "--app", "desk.py")
    run("trace", "redact", "--document", "well.md", "--yes")
    with pytest.raises(NoriaError, match="was redacted"):
        run("trace", "replay", root, "--app", "desk.py")
