"""Which answers a document went into, and taking its text out again."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from noria.errors import NotFound
from noria.ids import new_trace_id
from noria.store import (
    Database,
    Intake,
    answers_of,
    evidence_of,
    find_spans,
    find_trace,
    mark_deleted,
    redact,
)
from noria.store.evals.battles import Battle, Turn, find_battle, record_battle
from noria.store.intake.text_index import RecentBodies, index_text
from noria.store.traces.conversations import add_turn, find_conversation
from noria.types import Label
from tests.store.support import Process, chat_reply, chat_request, take_in

CANARY = "canaryword"


def used(process: Process, document: str = "merger.md", index: str = "deals", **more: str) -> str:
    """A run that searched and answered; returns its trace."""
    trace = more.pop("trace", new_trace_id())
    process.call(
        trace=trace, kind="search", name=index, request=chat_request("what?"),
        response=chat_reply(f"{CANARY} found"), **more,
        attrs={
            "documents": [
                {"id": document, "index": index, "label": "confidential", "title": "The merger",
                 "chunk": chunk, "score": 1.0}
                for chunk in (0, 1)
            ],
            "quoted": CANARY,
        },
    )  # fmt: skip
    process.call(
        trace=trace, request=chat_request(f"notes: {CANARY}"), response=chat_reply("indeed"),
        **more,
    )  # fmt: skip
    return trace


@pytest.fixture
def three(db: Database, process: Process) -> list[str]:
    """Two runs that used the document, and one that used another."""
    traces = [
        used(process, key="key_ada", user="ada", app="support"),
        used(process, key="key_bob", user="bob", app="support"),
        used(process, "menu.md", key="key_bob", user="bob"),
    ]
    take_in(db)
    while index_text(db):
        pass
    return traces


def test_a_document_leads_to_its_answers_and_who_saw_them(db: Database, three: list[str]) -> None:
    found = answers_of(db, "merger.md")
    assert [(one.trace_id, one.user, one.key_id, one.app) for one in found] == [
        (three[1], "bob", "key_bob", "support"),
        (three[0], "ada", "key_ada", "support"),
    ]
    assert {one.label for one in found} == {Label.CONFIDENTIAL}
    assert answers_of(db, "merger.md", "elsewhere") == []
    assert len(answers_of(db, "merger.md", "deals", limit=1)) == 1


def test_a_deletion_marks_the_runs_that_hold_the_text(db: Database, three: list[str]) -> None:
    assert mark_deleted(db, "deals", ["merger.md", "never-used.md"]) == 2
    assert mark_deleted(db, "deals", ["merger.md"]) == 0
    for trace, gone in zip(three, (True, True, False), strict=True):
        (use,) = evidence_of(db, trace).uses
        assert (use.deleted_ns is not None) is gone
        assert use.redacted_ns is None


def test_redacting_takes_the_text_out_of_the_runs_that_used_it(
    db: Database, three: list[str]
) -> None:
    assert len(find_spans(db, text=CANARY).rows) == 6
    gone = redact(db, "merger.md")
    assert (gone.traces, gone.spans) == (2, 4)
    for trace in three[:2]:
        for one in find_trace(db, trace):
            assert (one.request, one.response) == (None, None)
            assert one.span.attributes["redacted"] is True
            assert "quoted" not in one.span.attributes
            assert one.span.input_tokens == 3
        (use,) = evidence_of(db, trace).uses
        assert use.redacted_ns is not None
        assert use.title == "The merger"
    assert {one.trace_id for one in find_spans(db, text=CANARY).rows} == {three[2]}
    assert redact(db, "merger.md").traces == 0, "a second time there is nothing to do"
    assert all(one.redacted_ns for one in answers_of(db, "merger.md"))


def test_battles_keep_the_vote_and_lose_the_texts(db: Database, three: list[str]) -> None:
    turns = [Turn(1, CANARY, CANARY, CANARY, "ok", "ok", trace, None) for trace in three[1:]]
    fought = [Battle("x", "y", "key_bob", winner="tie", turns=(turn,)) for turn in turns]
    for battle in fought:
        record_battle(db, battle)
    redact(db, "merger.md")
    gone, kept = (find_battle(db, battle.id) for battle in fought)
    assert CANARY not in repr(gone)
    assert gone.winner == "tie"
    assert kept.turns == (turns[1],)


def test_words_that_wait_for_the_index_never_get_there(db: Database, process: Process) -> None:
    used(process)
    take_in(db)
    redact(db, "merger.md")
    while index_text(db):
        pass
    assert find_spans(db, text=CANARY).rows == []


def test_words_that_are_still_in_memory_never_get_there(db: Database, process: Process) -> None:
    used(process)
    harmless = process.call(request=chat_request("harmless"))
    stored = RecentBodies()
    Intake(db, assemble=bytes).take_in(stored)
    redact(db, "merger.md")
    assert index_text(db, stored) == 1
    assert find_spans(db, text=CANARY).rows == []
    assert [span.id for span in find_spans(db, text="harmless").rows] == [harmless]


def test_a_conversation_carried_the_text_on(db: Database, process: Process) -> None:
    before = process_run(process, "harmless")
    first = used(process, key="key_ada")
    later = process_run(process, CANARY)
    elsewhere = process_run(process, "harmless")
    for trace in (before, first, later):
        turn(db, "key_ada", "c1", trace)
    turn(db, "key_ada", "c2", elsewhere)
    turn(db, "key_bob", "c1", elsewhere)
    take_in(db)
    gone = redact(db, "merger.md")
    assert (gone.traces, gone.turns) == (2, 2)
    (use,) = evidence_of(db, later).uses
    assert (use.document, use.label) == ("merger.md", Label.CONFIDENTIAL)
    assert use.redacted_ns is not None
    assert find_trace(db, later)[0].request is None
    for trace in (before, elsewhere):
        assert find_trace(db, trace)[0].request is not None
    kept = find_conversation(db, "key_ada", "c1")
    assert kept is not None
    assert [one.trace_id for one in kept.turns] == [before]
    assert kept.label is Label.CONFIDENTIAL


def test_a_document_that_nobody_used_is_named(db: Database, three: list[str]) -> None:
    with pytest.raises(NotFound, match=r"nothing\.md of the index deals"):
        redact(db, "nothing.md", "deals")
    with db.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM payloads")).scalar() == 6


def process_run(process: Process, words: str) -> str:
    trace = new_trace_id()
    process.call(trace=trace, request=chat_request(words), key="key_ada")
    return trace


def turn(db: Database, key: str, name: str, trace: str) -> None:
    add_turn(
        db, key, name, app="support", label=Label.CONFIDENTIAL, trace_id=trace,
        question="what?", answer=CANARY,
    )  # fmt: skip
