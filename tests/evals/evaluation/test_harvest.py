"""Golden sets out of recorded runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noria.store.tables.governance import feedback
from noria.testing import FakeProvider, Reply
from tests.evals.evaluation.test_gate import APP
from tests.evals.evaluation.test_run import noria
from tests.support.door import PRICES, Door


@pytest.fixture
def home(tmp_path: Path, fake: FakeProvider) -> Door:
    door = Door(tmp_path, fake, PRICES)
    (tmp_path / "app.py").write_text(APP)
    texts = ["first", "second", "first", "third"]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    fake.reply = lambda received: Reply(
        text="no" if "third" in str(received.body) else "yes please"
    )
    done = noria(
        door, "run", "app.py", "reply", "--in", "in.jsonl", "--out", "out.jsonl",
        "--concurrency", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return door


def harvest(home: Door, *more: str) -> list[dict[str, str]]:
    done = noria(home, "data", "from-traces", "--app", "desk", "--out", "golden.jsonl", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (home.folder / "golden.jsonl").open()]


def test_runs_become_rows_once_and_by_their_checks(home: Door) -> None:
    rows = harvest(home)
    assert sorted(row["text"] for row in rows) == ["first", "second", "third"]
    assert all(len(row["id"]) == 32 and "expected" not in row for row in rows)
    (fallen,) = harvest(home, "--check", "polite=fail", "--expected")
    assert (fallen["text"], fallen["expected"]) == ("third", "no")
    assert len(harvest(home, "--limit", "2")) == 2
    assert harvest(home, "--function", "other") == []


def test_what_people_disliked_becomes_a_set_that_the_gate_reads(home: Door) -> None:
    (fallen,) = harvest(home, "--check", "polite=fail")
    with home.database() as db, db.write() as connection:
        connection.execute(
            feedback.insert().values(
                id="f1", trace_id=fallen["id"], at=1, key_id="k", score=-1.0, comment="rude"
            )
        )
    rows = harvest(home, "--feedback", "down")
    assert [row["text"] for row in rows] == ["third"]
    assert harvest(home, "--feedback", "up") == []
    harvest(home, "--feedback", "down")
    gate = noria(home, "eval", "gate", "app.py", "--data", "golden.jsonl", "--json")
    assert json.loads(gate.stdout)["checks"]["polite"] == {"passed": 0, "rows": 1}


def test_a_check_without_an_outcome_is_refused(home: Door) -> None:
    done = noria(home, "data", "from-traces", "--app", "desk", "--out", "x", "--check", "polite")
    assert done.returncode == 2
    assert "polite" in done.stderr
