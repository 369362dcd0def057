"""Spans that a client tells of: kept once, summed nowhere, and never in the way of noria's own."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from noria.ids import new_span_id, new_trace_id
from noria.store import Database, counters, find_spans, find_trace, trace_owners
from noria.store.traces.exports import (
    Exporting,
    claim_exports,
    export_counts,
    finish_exports,
    release_exports,
    set_exporting,
    trim_exports,
)
from noria.store.traces.trace import add_up
from tests.store.support import Process, chat_reply, chat_request, take_in


def tell(process: Process, **more: Any) -> str:
    """Write what a client says of a span; returns its id."""
    meta: dict[str, Any] = {
        "t": "foreign", "id": new_span_id(), "trace": new_trace_id(), "kind": "chat",
        "key": "key_2", "at": time.time_ns(), "ms": 5.0, "status": "ok", "content": True,
        "in": 7, "out": 9, "cost": 1_000, "attrs": {"source": "otlp"},
    } | more  # fmt: skip
    process.journal.append(meta, chat_request("told"), chat_reply("so"))
    return str(meta["id"])


def test_it_is_kept_and_not_summed(db: Database, process: Process) -> None:
    tell(process)
    process.call(cost=5)
    take_in(db)
    rows = find_spans(db).rows
    assert sorted((one.cost_nano, one.input_tokens) for one in rows) == [(5, 3), (1_000, 7)]
    assert [(one.calls, one.cost_nano) for one in counters(db)] == [(1, 5)]


@pytest.mark.parametrize("between", [True, False], ids=["in two batches", "in one batch"])
def test_told_twice_it_is_kept_once_as_it_was(
    db: Database, process: Process, between: bool
) -> None:
    span_id = tell(process, name="first")
    if between:
        take_in(db)
    tell(process, id=span_id, name="second", attrs={})
    take_in(db)
    (kept,) = find_spans(db).rows
    assert (kept.name, kept.attributes) == ("first", {"source": "otlp"})


@pytest.mark.parametrize("between", [True, False], ids=["in two batches", "in one batch"])
def test_it_gives_way_to_a_span_of_noria_with_its_id(
    db: Database, process: Process, between: bool
) -> None:
    """Ids of noria can be guessed: whoever tells of one beforehand must not see the call."""
    span_id, trap = new_span_id(), new_trace_id()
    tell(process, id=span_id, trace=trap)
    if between:
        take_in(db)
    process.hold(id=span_id, request=chat_request("secret"))
    if between:
        take_in(db)
    process.end(span_id, cost=5, response=chat_reply("secret"))
    take_in(db)
    (kept,) = find_spans(db).rows
    assert (kept.key_id, kept.cost_nano, kept.status) == ("key_1", 5, "ok")
    assert kept.trace_id != trap
    (recorded,) = find_trace(db, kept.trace_id)
    assert (recorded.request, recorded.response) == (chat_request("secret"), chat_reply("secret"))


def test_it_does_not_touch_a_call_under_way(db: Database, process: Process) -> None:
    span_id = process.hold(request=chat_request("secret"))
    take_in(db)
    tell(process, id=span_id)
    take_in(db)
    process.end(span_id, cost=5)
    take_in(db)
    (kept,) = find_spans(db).rows
    assert (kept.key_id, kept.cost_nano, kept.input_tokens) == ("key_1", 5, 3)


def test_a_call_that_is_told_of_from_several_sides_is_summed_once(
    db: Database, process: Process
) -> None:
    trace = new_trace_id()
    root = tell(process, trace=trace, kind="app", cost=0, **{"in": 0, "out": 0})
    outside = tell(process, trace=trace, parent=root)
    tell(process, trace=trace, parent=outside)
    tell(process, trace=trace, parent=root)  # another call
    take_in(db)
    (run,) = add_up(db, find_spans(db, roots_only=True).rows)
    assert (run.cost_nano, run.input_tokens, run.output_tokens) == (2_000, 14, 18)


def test_spans_of_one_instant_all_have_a_place(db: Database, process: Process) -> None:
    at = time.time_ns()
    told = {tell(process, at=at) for _ in range(50)}
    take_in(db)
    assert {one.id for one in find_spans(db).rows} == told


def test_spans_whose_instants_collide_are_placed_in_a_few_rounds(
    db: Database, process: Process
) -> None:
    """The same instants three times: looks for a place do not grow with the run of taken ones."""
    instant, looks = time.time_ns(), list[str]()

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "max(at)" in statement:
            looks.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        for _ in range(3):
            for _ in range(400):
                tell(process, at=instant)
            take_in(db)
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    with db.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM spans")).scalar() == 1_200
    assert 0 < len(looks) <= 10


def test_whose_traces_are(db: Database, process: Process) -> None:
    theirs, mine = new_trace_id(), new_trace_id()
    tell(process, trace=theirs, at=time.time_ns() - 10**9)
    process.call(trace=mine)
    take_in(db)
    owners = trace_owners(db, [theirs, mine, new_trace_id()])
    assert owners == {theirs: "key_2", mine: "key_1"}


# The queue of what is exported


def test_nothing_is_queued_while_nothing_is_exported(db: Database, process: Process) -> None:
    process.call()
    take_in(db)
    assert claim_exports(db, 10, 60) == []


def test_what_ended_is_queued_once_and_what_others_told_is_not(
    db: Database, process: Process
) -> None:
    set_exporting(db, Exporting.OWN)
    under_way = process.hold()
    ended = process.call()
    tell(process)
    take_in(db)
    (claimed,) = claim_exports(db, 10, 60)
    assert (claimed.span.id, claimed.response) == (ended, chat_reply("good day"))
    assert claim_exports(db, 10, 60) == []  # somebody is at it
    finish_exports(db, [claimed.span.started_ns])
    process.end(under_way)
    take_in(db)
    assert [one.span.id for one in claim_exports(db, 10, 60)] == [under_way]
    assert export_counts(db) == (1, 0)


def test_all_is_queued_when_asked(db: Database, process: Process) -> None:
    set_exporting(db, Exporting.EVERYTHING)
    told = tell(process)
    take_in(db)
    assert [one.span.id for one in claim_exports(db, 10, 60)] == [told]


def test_what_nobody_finished_is_claimed_again(db: Database, process: Process) -> None:
    set_exporting(db, Exporting.OWN)
    process.call()
    take_in(db)
    (claimed,) = claim_exports(db, 10, 60)
    assert len(claim_exports(db, 10, 0)) == 1  # its claim is over
    release_exports(db, [claimed.span.started_ns])
    assert len(claim_exports(db, 10, 60)) == 1


def test_the_queue_is_bounded_and_counts_what_it_drops(db: Database, process: Process) -> None:
    set_exporting(db, Exporting.OWN)
    calls = [process.call() for _ in range(5)]
    take_in(db)
    assert trim_exports(db, 3) == 2
    assert [one.span.id for one in claim_exports(db, 10, 60)] == calls[2:]
    assert export_counts(db) == (0, 2)


def test_the_queue_is_emptied_when_exporting_ends(db: Database, process: Process) -> None:
    set_exporting(db, Exporting.OWN)
    process.call()
    take_in(db)
    set_exporting(db, Exporting.NOTHING)
    assert claim_exports(db, 10, 60) == []
