from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.store import Database, counters, list_budgets, overview, set_budget, spend
from noria.store.intake.rollups import DAY_NS, HOUR_NS, bucket_ms, bucket_of, percentile
from noria.store.traces.reports import by_app, tally
from noria.types import Budget, Subject, Window
from tests.store.support import Process, take_in

DAY = 1_700_006_400 * 1_000_000_000
"""The first instant of 2023-11-15."""


@pytest.fixture
def recorded(db: Database, process: Process) -> Database:
    def call(hours: int, model: str, team: str | None, cost: int, **more: object) -> None:
        process.call(
            at=DAY + hours * HOUR_NS + 5, model=model, team=team, user="ada", cost=cost,
            **{"in": 10, "out": 2} | more,
        )  # fmt: skip

    call(1, "big", "law", 100, ms=100.0)
    call(2, "big", "search", 50, ms=200.0)
    call(2, "small", "search", 3, ms=10.0)
    call(25, "small", None, 4, status="error")
    call(47, "big", "law", 70, ms=400.0)
    call(50, "small", "law", 1, kind="app")
    take_in(db)
    return db


def test_spend_by_each(recorded: Database) -> None:
    def rows(by: str, **more: int) -> list[tuple[str, int, int, int]]:
        return [
            (row.name, row.calls, row.input_tokens, row.spent_nano)
            for row in spend(recorded, by, **more)  # type: ignore[arg-type]
        ]

    assert rows("model") == [("big", 3, 30, 220), ("small", 2, 30, 8)]
    assert rows("team") == [("law", 2, 30, 171), ("search", 2, 20, 53), ("", 1, 10, 4)]
    assert rows("user") == [("ada", 5, 60, 228)]
    assert rows("key") == [("key_1", 5, 60, 228)]
    assert rows("day") == [
        ("2023-11-17", 0, 10, 1), ("2023-11-16", 2, 20, 74), ("2023-11-15", 3, 30, 153),
    ]  # fmt: skip
    assert rows("team", since_ns=DAY + 2 * HOUR_NS, until_ns=DAY + 26 * HOUR_NS) == [
        ("search", 2, 20, 53), ("", 1, 10, 4),
    ]  # fmt: skip
    assert rows("model", since_ns=DAY + 46 * HOUR_NS) == [("big", 1, 10, 70), ("small", 0, 10, 1)]
    assert rows("model", since_ns=DAY + HOUR_NS, until_ns=DAY + 2 * HOUR_NS) == [
        ("big", 1, 10, 100)
    ]
    assert rows("day", until_ns=DAY) == []


def test_spend_shows_what_is_held_and_allowed(db: Database, process: Process) -> None:
    set_budget(db, Subject.TEAM, "law", Budget.parse("0.000001 USD"))
    set_budget(db, Subject.TEAM, "idle", Budget.parse("2 USD/month"))
    lease = process.lease(list_budgets(db)[0].id, 500)
    process.call(cost=20, hold=30, leases=[lease], team="law")
    process.hold(100, [lease], team="law")
    take_in(db)
    law, idle = spend(db, "team")
    assert (law.name, law.spent_nano, law.held_nano, law.limit_nano) == ("law", 20, 100, 1000)
    assert (law.window, law.window_spent_nano) == (Window.TOTAL, 20)
    assert (idle.name, idle.calls, idle.limit_nano) == ("idle", 0, 2_000_000_000)
    assert (idle.window, idle.window_spent_nano) == (Window.MONTH, 0)
    (today,) = spend(db, "day")
    assert (today.spent_nano, today.held_nano, today.limit_nano) == (20, 100, None)


def test_the_overview(recorded: Database) -> None:
    seen = overview(recorded, DAY, DAY + 3 * HOUR_NS - 1)
    assert (seen.calls, seen.errors, seen.cost_nano) == (3, 0, 153)
    assert [bucket.calls for bucket in seen.series] == [0, 1, 2]
    assert seen.series[0].p50_ms is None
    assert seen.series[1].p50_ms == pytest.approx(100, rel=0.06)
    assert seen.p99_ms == pytest.approx(200, rel=0.06)
    assert [(group.name, group.calls, group.cost_nano) for group in seen.by_model] == [
        ("big", 2, 150), ("small", 1, 3),
    ]  # fmt: skip
    assert [(group.name, group.output_tokens) for group in seen.by_team] == [
        ("law", 2), ("search", 4),
    ]  # fmt: skip
    assert seen.by_model_series == {"big": [0, 100, 50], "small": [0, 0, 3]}
    days = overview(recorded, DAY, DAY + 2 * DAY_NS, "day")
    assert [(bucket.calls, bucket.errors) for bucket in days.series] == [(3, 0), (2, 1)]
    nothing = overview(recorded, 0, HOUR_NS)
    assert (nothing.calls, nothing.p50_ms, nothing.by_model) == (0, None, [])


def test_the_counters(recorded: Database) -> None:
    assert [(c.model, c.kind, c.calls, c.errors, c.cost_nano) for c in counters(recorded)] == [
        ("big", "chat", 3, 0, 220), ("small", "app", 1, 0, 1), ("small", "chat", 2, 1, 7),
    ]  # fmt: skip


@given(st.lists(st.floats(0.01, 1e7), min_size=1, max_size=50), st.sampled_from([0.5, 0.99]))
def test_a_percentile_is_within_a_bucket_of_the_true_one(
    durations: list[float], share: float
) -> None:
    found = percentile([(bucket_of(ms), 1) for ms in durations], share)
    assert found is not None
    rank = share * len(durations)
    true = sorted(durations)[min(len(durations) - 1, max(0, -int(-rank // 1) - 1))]
    assert bucket_ms(bucket_of(true)) <= found * 1.0001
    assert found <= bucket_ms(bucket_of(true) + 1) * 1.0001
    assert percentile([], share) is None


def test_applications_and_teams_over_time(db: Database, process: Process) -> None:
    def span(hours: int, kind: str, app: str | None, cost: int = 0, **more: object) -> None:
        process.call(at=DAY + hours * HOUR_NS + 5, kind=kind, app=app, cost=cost,
                     model="big" if kind == "chat" else None, team="law",
                     **{"in": 10, "out": 2} | more)  # fmt: skip

    span(1, "app", "desk", **{"in": None, "out": None})
    span(1, "chat", "desk", 100)
    span(1, "step", "desk", **{"in": None, "out": None})
    span(3, "app", "desk", status="error", **{"in": None, "out": None})
    span(3, "chat", None, 40)
    take_in(db)
    (desk,) = by_app(db, DAY, DAY + 4 * HOUR_NS)
    assert (desk.name, desk.runs, desk.errors, desk.calls) == ("desk", 2, 1, 1)
    assert (desk.cost_nano, desk.input_tokens, desk.output_tokens) == (100, 10, 2)
    assert desk.series == [0, 1, 0, 1]
    assert by_app(db, DAY + 4 * HOUR_NS, DAY + 8 * HOUR_NS) == []
    shown = overview(db, DAY, DAY + 4 * HOUR_NS)
    assert shown.by_team_series == {"law": [0, 100, 0, 40]}
    assert [(row.name, row.spent_nano) for row in spend(db, "app")] == [("desk", 100), ("", 40)]
    assert tally(db, "kind") == {"app": 2, "chat": 2, "step": 1}
    assert tally(db, "app") == {"desk": 2}
    assert tally(db, "model") == {"big": 2}
    assert tally(db, "team", key_id="key_none") == {}
