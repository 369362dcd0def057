"""A mark follows the text into the files that noria writes, and whoever reads them obeys it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from noria.store import raise_mark
from noria.store.traces.conversations import add_turn
from noria.testing import FakeProvider, Reply
from noria.types import Label
from tests.evals.evaluation.test_gate import APP
from tests.evals.evaluation.test_run import noria
from tests.support.door import PRICES, Door, chat

SECRET = "The merger is called BLUEHERON."
CLEARED = '[providers.weak]\nbase_url = "{url}"\nclearance = "internal"\n'


@pytest.fixture
def weak() -> Iterator[FakeProvider]:
    with FakeProvider(Reply(text="please")) as provider:
        yield provider


@pytest.fixture
def home(tmp_path: Path, fake: FakeProvider, weak: FakeProvider) -> Door:
    door = Door(tmp_path, fake, CLEARED.format(url=weak.url) + PRICES)
    toml = tmp_path / "noria.toml"
    toml.write_text(toml.read_text().replace("prompt_allowance", 'clearance = "restricted"\n'
                                             "prompt_allowance"))  # fmt: skip
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": SECRET}) + "\n")
    fake.reply = Reply(text="please")
    return door


def test_a_golden_set_carries_the_mark_and_the_gate_obeys_it(
    home: Door, weak: FakeProvider
) -> None:
    done = noria(home, "run", "app.py", "reply", "--in", "in.jsonl", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    (ran,) = [json.loads(line) for line in (home.folder / "out.jsonl").open()]
    with home.database() as db:
        raise_mark(db, ran["trace_id"], Label.CONFIDENTIAL)
    done = noria(home, "data", "from-traces", "--app", "desk", "--out", "golden.jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in (home.folder / "golden.jsonl").open()]
    assert (row["text"], row["label"]) == (SECRET, "confidential")
    (home.folder / "app.py").write_text(APP.replace("fake:small", "weak:small"))
    done = noria(home, "eval", "gate", "app.py", "--data", "golden.jsonl", "--json")
    assert json.loads(done.stdout)["checks"]["answered"] == {"passed": 0, "rows": 1}
    assert SECRET not in str([received.body for received in weak.requests])


def test_a_question_of_a_set_goes_to_whoever_is_cleared(home: Door, weak: FakeProvider) -> None:
    question = {"question_id": 1, "turns": [SECRET], "label": "confidential"}
    (home.folder / "q.jsonl").write_text(json.dumps(question) + "\n")
    noria(home, "eval", "run", "weak:small", "--questions", "q.jsonl")
    assert weak.requests == []


def test_a_label_that_is_none_is_refused(home: Door) -> None:
    (home.folder / "golden.jsonl").write_text(json.dumps({"text": "x", "label": "secret"}) + "\n")
    done = noria(home, "eval", "gate", "app.py", "--data", "golden.jsonl")
    assert done.returncode != 0
    assert "line 1" in done.stderr
    assert "secret" in done.stderr


def test_a_model_called_within_a_marked_conversation_must_be_cleared(
    new_door: Callable[..., Door], weak: FakeProvider
) -> None:
    door = new_door(CLEARED.format(url=weak.url))
    secret = door.key(clearance=Label.RESTRICTED)
    with door.client(secret) as client:
        assert client.post("/v1/chat/completions", json=chat(model="weak:small")).is_success
        key_id = door.spans()[0].key_id
        assert key_id is not None
        with door.database() as db:
            add_turn(db, key_id, "talk", app="desk", label=Label.CONFIDENTIAL, trace_id="0" * 32,
                     question="?", answer=SECRET)  # fmt: skip
        before = len(weak.requests)
        answer = client.post(
            "/v1/chat/completions",
            json=chat(SECRET, model="weak:small"),
            headers={"x-noria-conversation": "talk"},
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "label_exceeds_clearance")
    assert len(weak.requests) == before
