"""`noria init` writes an application that works as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noria.apps import load_app
from noria.apps.declare.app import declared
from noria.apps.run import standalone as plain
from noria.errors import NoriaError


@pytest.fixture
def forget():
    before = list(declared)
    yield
    plain.close()
    declared[:] = before


def test_it_writes_and_never_overwrites(run, tmp_path, forget):
    done = run("init", "desk")
    written = [Path(line) for line in done.stdout.split()]
    assert Path("desk/app.py") in written
    assert all((tmp_path / path).is_file() for path in written)
    assert "cd desk" in done.stderr
    (app,) = load_app(tmp_path / "desk" / "app.py")
    assert (app.name, list(app.functions), list(app.indexes)) == (
        "support",
        ["answer"],
        ["handbook"],
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "app.py").write_text("mine")
    with pytest.raises(NoriaError, match="is there already"):
        run("init", "other")
    assert (tmp_path / "other" / "app.py").read_text() == "mine"
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["app.py"]


def test_its_own_parts_do_what_they_say(run, tmp_path, forget):
    run("init")
    load_app(tmp_path / "app.py")
    import sys

    from noria import Document, Label

    module = sys.modules["app"]
    note = Document(
        "r", "Refunds are paid within 14 days.", "Refunds", "refunds.md", 1.0, Label.PUBLIC
    )
    assert module.cite("Refunds are paid within 14 days.", [note]).endswith("days. [1]")
    assert module.cite("Kings ruled France until 1848.", [note]) == "Kings ruled France until 1848."
    assert module.grounded([note], "Refunds are paid within 14 days. [1]")
    assert not module.grounded([note], "Refunds are paid within 15 days. [1]")
    assert not module.grounded([note], "Refunds are paid.")


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_the_batch_answers_from_the_handbook(run, tmp_path, forget):
    run("init")
    run("run", "app.py", "answer", "--in", "questions.jsonl", "--out", "answers.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [row["error"] for row in rows] == [None] * 5
    assert sum("[" in row["output"] for row in rows) >= 2
