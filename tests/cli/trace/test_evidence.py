"""`noria trace show` says which documents a run used; `noria trace redact` takes their text out."""

from __future__ import annotations

import pytest

from noria.config import load
from noria.errors import NotFound
from noria.store import open_database, raise_mark
from noria.store.keys.keys import create_key
from noria.store.traces.feedback import add_feedback
from noria.types import Label
from tests.store.support import Process, chat_request
from tests.store.traces.test_lineage import CANARY, used


@pytest.fixture
def trace(home):
    """A run that searched as system, was checked, and was spoken of."""
    db = open_database(load())
    key, _ = create_key(db, user="ada")
    with Process(db, "worker-1") as process:
        trace = used(process, key=key.id, user="ada")
        process.call(
            trace=trace, kind="search", name="deals", request=chat_request("all?"),
            attrs={
                "as_system": True,
                "documents": [
                    {"id": "board.md", "index": "deals", "label": "restricted", "title": "Board"}
                ],
            },
        )  # fmt: skip
        process.call(
            trace=trace, kind="check", name="grounded", request=b"{}",
            attrs={"check": "grounded", "outcome": "fail", "severity": "warn", "reason": "no"},
        )  # fmt: skip
    raise_mark(db, trace, Label.RESTRICTED)
    add_feedback(db, key, trace, -1.0, "not what I asked")
    db.close()
    return trace


def test_show_tells_documents_checks_and_feedback(trace, run, run_json):
    shown = run_json("trace", "show", trace)
    assert shown["mark"] == "restricted"
    assert [(one["id"], one["label"], one["as_system"]) for one in shown["documents"]] == [
        ("merger.md", "confidential", False),
        ("board.md", "restricted", True),
    ]
    assert [(one["check"], one["outcome"]) for one in shown["checks"]] == [("grounded", "fail")]
    assert shown["feedback"][0]["comment"] == "not what I asked"
    told = run("trace", "show", trace).stdout
    for words in (
        "mark: restricted",
        "deals/merger.md  (confidential, The merger)",
        "deals/board.md  (restricted, Board, searched as system)",
        "fail   grounded (warn): no",
        "-1  ada: not what I asked",
    ):
        assert words in told


def test_redact_asks_and_takes_the_text_out(trace, run, run_json):
    assert run("trace", "redact", "--document", "merger.md", input="n\n").exit_code == 1
    assert CANARY in run("trace", "show", trace).stdout
    gone = run_json("trace", "redact", "--document", "merger.md", "--yes")
    assert gone == {"traces": 1, "spans": 4, "turns": 0}
    told = run("trace", "show", trace).stdout
    assert CANARY not in told
    assert "redacted" in told
    assert run_json("trace", "show", trace)["documents"][0]["redacted_at"]
    with pytest.raises(NotFound, match=r"nothing\.md"):
        run("trace", "redact", "--document", "nothing.md")
