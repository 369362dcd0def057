from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from noria.config import Config
from noria.errors import StoreUnavailable
from noria.ids import new_span_id
from noria.store import (
    Database,
    Intake,
    budget_status,
    counters,
    find_spans,
    find_trace,
    heartbeat,
    list_budgets,
    open_database,
    set_budget,
    spend,
)
from noria.store.journal.writer import segments
from noria.types import Budget, Span, Status, Subject
from tests.store.support import Process, assemble, chat_reply, chat_request, take_in


def only(db: Database) -> Span:
    (span,) = find_spans(db).rows
    return span


def count(db: Database, table: str) -> int:
    with db.read() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture
def budget_id(db: Database) -> int:
    """1,000,000 nano-dollars for the team."""
    set_budget(db, Subject.TEAM, "search", Budget.parse("0.001 USD"))
    return list_budgets(db)[0].id


def money(db: Database) -> tuple[int, int, int]:
    (status,) = budget_status(db)
    return status.spent_nano, status.held_nano, status.leased_nano


def test_a_call_becomes_a_span(db: Database, process: Process) -> None:
    began = time.time_ns()
    span_id = process.call(
        cost=42, team="search", user="ada", app="support", name="ask", parent="f" * 16,
        ttft=3.5, attrs={"finish": "stop"}, request=chat_request("hi"), response=chat_reply("ho"),
    )  # fmt: skip
    assert take_in(db) == 2
    (recorded,) = find_trace(db, span_id)
    assert recorded.request == chat_request("hi")
    assert recorded.response == chat_reply("ho")
    span = recorded.span
    assert span == only(db)
    assert (span.id, span.status, span.kind, span.model) == (span_id, "ok", "chat", "m")
    assert (span.team, span.user, span.app, span.key_id) == ("search", "ada", "support", "key_1")
    assert (span.target, span.name, span.parent_id) == ("acme:big", "ask", "f" * 16)
    assert (span.input_tokens, span.output_tokens, span.cost_nano) == (3, 5, 42)
    assert (span.duration_ms, span.ttft_ms, span.attempts) == (12.5, 3.5, 1)
    assert (span.hold_nano, span.overrun, span.stream) == (0, False, False)
    assert span.attributes == {"finish": "stop"}
    assert began <= span.started_ns <= time.time_ns()
    assert take_in(db) == 0


def test_a_call_under_way_is_open(db: Database, process: Process, budget_id: int) -> None:
    lease = process.lease(budget_id, 1000)
    span_id = process.hold(300, [lease], team="search")
    take_in(db)
    assert (only(db).status, only(db).hold_nano, only(db).input_tokens) == ("open", 300, None)
    assert money(db) == (0, 300, 1000)
    assert find_trace(db, span_id)[0].request == chat_request("hello")
    process.end(span_id, cost=120)
    take_in(db)
    assert (only(db).status, only(db).hold_nano, only(db).cost_nano) == ("ok", 0, 120)
    assert find_trace(db, span_id)[0].response == chat_reply("good day")
    assert find_trace(db, span_id)[0].request == chat_request("hello")
    assert money(db) == (120, 0, 880)


@pytest.mark.parametrize("apart", [False, True])
def test_attempts_hold_and_settle_each(
    db: Database, process: Process, budget_id: int, apart: bool
) -> None:
    def pause() -> None:
        if apart:
            take_in(db)

    lease = process.lease(budget_id, 1000)
    span_id = process.hold(100, [lease], team="search")
    pause()
    append = process.journal.append
    append({"t": "settle", "id": span_id, "n": 0, "cost": 10, "in": 4, "code": "upstream_error"})
    pause()
    append({"t": "attempt", "id": span_id, "n": 1, "target": "local:x", "at": time.time_ns(),
            "hold": 200, "leases": [lease]})  # fmt: skip
    pause()
    append({"t": "attempt", "id": span_id, "n": 2, "target": "local:y", "at": time.time_ns(),
            "hold": 50, "leases": [lease]})  # fmt: skip
    pause()
    if apart:
        assert money(db) == (10, 250, 990)
    process.end(span_id, cost=70, n=1, target="local:x")
    take_in(db)
    span = only(db)
    assert (span.attempts, span.cost_nano, span.target) == (3, 80, "local:x")
    assert (span.input_tokens, span.error_code) == (7, None)
    assert money(db) == (80, 50, 920)
    append({"t": "settle", "id": span_id, "n": 2, "cost": 5})  # the loser of a hedge, late
    take_in(db)
    assert only(db).cost_nano == 85
    assert money(db) == (85, 0, 915)
    assert sum(row.spent_nano for row in spend(db, "team")) == 85
    assert sum(counter.calls for counter in counters(db)) == 1


def test_a_call_that_never_held(db: Database, process: Process) -> None:
    process.journal.append(
        {"t": "span", "id": new_span_id(), "trace": "t" * 32, "kind": "chat", "model": "m",
         "key": "key_1", "at": 1, "content": True, "status": "refused", "ms": 0.2, "cost": 0,
         "code": "budget_exhausted", "error": "no money"},
        chat_request("please"), b"",
    )  # fmt: skip
    take_in(db)
    span = only(db)
    assert (span.status, span.error_code, span.error) == ("refused", "budget_exhausted", "no money")
    assert (span.input_tokens, span.attempts, span.target) == (None, 0, None)
    (recorded,) = find_trace(db, "t" * 32)
    assert (recorded.request, recorded.response) == (chat_request("please"), None)


def test_a_stream_is_put_together(db: Database, process: Process) -> None:
    whole = process.call()
    stream = process.hold(stream=True)
    process.end(stream, sse=True, response=b"data: 1\n\n")
    broken = process.hold(stream=True)
    process.end(broken, sse=True, response=b"broken")
    take_in(db)
    assert find_trace(db, whole)[0].response_media is None
    assert find_trace(db, stream)[0].response == b'{"assembled":"data: 1\\n\\n"}'
    assert find_trace(db, broken)[0].response == b"broken"
    assert find_trace(db, broken)[0].response_media == "text/event-stream"


@pytest.mark.parametrize("apart", [False, True])
def test_content_that_is_not_recorded(db: Database, process: Process, apart: bool) -> None:
    span_id = process.hold(content=False, request=b"secret")
    if apart:
        take_in(db)
    process.end(span_id, response=b"secret")
    take_in(db)
    (recorded,) = find_trace(db, span_id)
    assert (recorded.request, recorded.response) == (None, None)
    assert count(db, "payloads") == count(db, "text_queue") == 0


def test_an_overrun_is_charged_all_the_same(db: Database, process: Process, budget_id: int) -> None:
    lease = process.lease(budget_id, 1000)
    under_way = process.hold(600, [lease], team="search")
    process.call(cost=900, hold=400, leases=[lease], team="search")
    take_in(db)
    assert money(db) == (900, 600, 600)
    process.end(under_way, cost=600)
    take_in(db)
    assert money(db) == (1500, 0, 0)


def test_money_goes_back_through_the_journal_only(
    db: Database, process: Process, budget_id: int
) -> None:
    lease = process.lease(budget_id, 1000)
    process.call(cost=100, leases=[lease])
    process.journal.append({"t": "return", "lease": lease, "amount": 400, "at": time.time_ns()})
    assert money(db) == (0, 0, 1000)
    take_in(db)
    assert money(db) == (100, 0, 500)
    process.journal.append({"t": "return", "lease": lease, "amount": 9999, "at": time.time_ns()})
    take_in(db)
    assert money(db) == (100, 0, 0)


def test_the_dead_lose_their_open_calls_and_leases(
    db: Database, process: Process, budget_id: int
) -> None:
    lease = process.lease(budget_id, 1000)
    early = process.hold(300, [lease], team="search")
    take_in(db)
    late = process.hold(50, [lease], team="search")
    finished = process.call(cost=20, hold=40, leases=[lease], team="search")
    retried = process.hold(60, [lease], team="search")
    process.journal.append({"t": "settle", "id": retried, "n": 0, "cost": 11, "in": 2})
    process.die()
    take_in(db)
    by_id = {span.id: span for span in find_spans(db).rows}
    assert {i: (s.status, s.cost_nano) for i, s in by_id.items()} == {
        early: ("lost", 300), late: ("lost", 50), finished: ("ok", 20), retried: ("lost", 11),
    }  # fmt: skip
    assert by_id[early].input_tokens is by_id[retried].input_tokens is None
    assert money(db) == (381, 0, 0)
    assert segments(db.home) == []
    assert all(count(db, table) == 0 for table in ("holds", "leases", "holders", "journals"))
    assert not heartbeat(db, process.holder, 60)
    (row,) = spend(db, "team")
    assert (row.calls, row.spent_nano, row.held_nano) == (4, 381, 0)
    assert sum(counter.errors for counter in counters(db)) == 3


def test_a_torn_tail_of_the_dead_is_passed_over(db: Database, process: Process) -> None:
    process.call()
    process.die()
    (segment,) = segments(db.home)
    with open(segment.path, "ab") as file:
        file.write(b"\xff\x00\x00\x00torn")
    assert take_in(db) == 2
    assert segments(db.home) == []


def test_an_abandoned_lease_is_charged_whole(
    db: Database, process: Process, budget_id: int, tmp_path: Path
) -> None:
    lease = process.lease(budget_id, 1000)
    process.hold(300, [lease], team="search")
    process.call(cost=100, leases=[lease], team="search")
    take_in(db)
    away = db.home / "journal" / segments(db.home)[0].path.name
    away.rename(tmp_path / away.name)
    with db.write() as connection:
        connection.execute(text("UPDATE holders SET expires_ns = 1"))
    take_in(db)
    assert money(db) == (1000, 0, 0)
    assert not heartbeat(db, process.holder, 60)
    # The journal turns up again, and its holder is dead: nothing is charged twice.
    (tmp_path / away.name).rename(away)
    process.die()
    take_in(db)
    assert money(db) == (1000, 0, 0)
    assert sorted(span.status for span in find_spans(db).rows) == [Status.LOST, Status.OK]


def test_a_living_process_here_is_never_given_up(
    db: Database, process: Process, budget_id: int
) -> None:
    process.lease(budget_id, 1000)
    with db.write() as connection:
        connection.execute(text("UPDATE holders SET expires_ns = 1"))
    take_in(db)
    assert money(db) == (0, 0, 1000)
    assert heartbeat(db, process.holder, 60)


def test_full_segments_go_once_they_are_read(db: Database) -> None:
    with Process(db, "w", segment_bytes=2000) as process:
        ids = {process.call() for _ in range(40)}
        assert len(segments(db.home)) > 5
        assert take_in(db) == 80
        assert len(segments(db.home)) == 1
        ids.add(process.call())
        assert take_in(db) == 2
    assert {span.id for span in find_spans(db).rows} == ids


def test_more_than_one_batch(db: Database, process: Process, monkeypatch: Any) -> None:
    monkeypatch.setattr("noria.store.intake.intake.BATCH_RECORDS", 7)
    ids = {process.call() for _ in range(30)}
    process.die()
    assert take_in(db) == 60
    assert {span.id for span in find_spans(db).rows} == ids
    assert segments(db.home) == []


def test_spans_that_begin_at_one_instant(db: Database, process: Process) -> None:
    instant = time.time_ns()
    first = [process.call(at=instant) for _ in range(3)]
    take_in(db)
    second = [process.call(at=instant) for _ in range(3)]
    under_way = process.hold(5, at=instant)
    take_in(db)
    assert {span.id for span in find_spans(db).rows} == {*first, *second, under_way}
    process.end(under_way)
    take_in(db)
    assert all(span.started_ns - instant < 10 for span in find_spans(db).rows)
    assert all(span.status == "ok" for span in find_spans(db).rows)


def test_hostile_texts_and_numbers_are_recorded(db: Database, process: Process) -> None:
    process.call(model="nul \0 byte", error="\0", response=b"\xff\xfe not json",
                 **{"in": 2**63 - 1, "out": 2**60})  # fmt: skip
    process.call(request=b"[" * 5000)
    assert take_in(db) == 4
    assert len(find_spans(db).rows) == 2


def test_a_record_that_cannot_be_kept_is_left_out_alone(db: Database, process: Process) -> None:
    good = [process.call() for _ in range(5)]
    process.call(name={"not": "a text"})
    process.journal.append({"t": "hold"})
    process.journal.append({"t": "end", "id": "unknown", "status": "ok"})
    process.journal.append({"t": "from a newer noria"})
    good += [process.call() for _ in range(5)]
    take_in(db)
    assert {span.id for span in find_spans(db).rows} >= set(good)


def test_journals_wait_for_a_database_that_is_away(
    config: Config, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The database disappears and comes back; what was recorded meanwhile arrives once."""
    db = open_database(config)
    intake = Intake(db, assemble=assemble)
    with Process(db, "w") as process:
        ids = [process.call()]
        assert intake.take_in() == 2
        with unreachable(db):
            ids += [process.call() for _ in range(5)]
            with pytest.raises(StoreUnavailable):
                intake.take_in()
        ids += [process.call()]
        assert intake.take_in() == 12
    assert sorted(span.id for span in find_spans(db).rows) == sorted(ids)
    db.close()


class unreachable:
    """Takes the database away: SQLite's file, or every connection to Postgres."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def __enter__(self) -> None:
        self.db.close()
        if self.db.dialect == "sqlite":
            self.file = Path(str(self.db.engine.url.database))
            self.file.rename(self.file.with_suffix(".away"))
            self.file.mkdir()
        else:
            self._allow(False)

    def __exit__(self, *_: object) -> None:
        if self.db.dialect == "sqlite":
            self.file.rmdir()
            self.file.with_suffix(".away").rename(self.file)
        else:
            self._allow(True)

    def _allow(self, allowed: bool) -> None:
        from sqlalchemy import create_engine

        name = self.db.engine.url.database
        engine = create_engine(
            self.db.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"))
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                ),
                {"name": name},
            )
        engine.dispose()


def test_the_loop_takes_in_until_it_is_stopped(db: Database, process: Process) -> None:
    stop = threading.Event()
    loop = threading.Thread(target=Intake(db, assemble=assemble).run, args=(stop,))
    loop.start()
    try:
        span_id = process.call(request=chat_request("what is a noria"))
        deadline = time.monotonic() + 30
        while not find_spans(db, text="noria").rows and time.monotonic() < deadline:
            stop.wait(0.02)
        assert [span.id for span in find_spans(db, text="noria").rows] == [span_id]
    finally:
        stop.set()
        loop.join()
