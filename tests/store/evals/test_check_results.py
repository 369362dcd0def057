"""Pass rates, their history, and alerts, on SQLite and on Postgres."""

from __future__ import annotations

import pytest

from noria.store import Database
from noria.store.bulk_sql import insert_many
from noria.store.evals.check_results import (
    HOUR_NS,
    CheckHour,
    CheckRate,
    alert_delivered,
    alert_failed,
    check_history,
    check_rates,
    latest_rate,
    list_alerts,
    record_alert,
)

COLUMNS = ("span_id", "trace_id", "at", "app", "check", "outcome", "severity")
START = 500_000 * HOUR_NS


@pytest.fixture
def verdicts(db: Database) -> Database:
    """Ten hours of a check, one verdict every ten minutes: the last hour fails."""
    rows: list[tuple[object, ...]] = []
    for number in range(60):
        outcome = "skip" if number == 5 else "error" if number == 11 else "pass"
        outcome = "fail" if number >= 54 else outcome
        at = START + number * HOUR_NS // 6
        rows.append((f"a{number}", f"t{number}", at, "desk", "good", outcome, "warn"))
    rows.append(("b", "t", START, "desk", "short", "fail", "block"))
    rows.append(("c", "t", START, "shop", "good", "pass", "warn"))
    with db.write() as connection:
        insert_many(connection, "verdicts", COLUMNS, rows)
    return db


def test_rates(verdicts: Database) -> None:
    every = check_rates(verdicts)
    assert [(one.app, one.check) for one in every] == [
        ("desk", "good"),
        ("desk", "short"),
        ("shop", "good"),
    ]
    assert every[0] == CheckRate("desk", "good", 52, 6, 1, 1)
    assert every[0].total == 58
    assert every[0].rate.value == 52 / 58
    (good, *_) = check_rates(verdicts, app="desk", since_ns=START + 9 * HOUR_NS)
    assert (good.passed, good.failed) == (0, 6)


def test_history_by_hour(verdicts: Database) -> None:
    hours = check_history(verdicts, "desk", "good", START)
    assert len(hours) == 10
    assert hours[0] == CheckHour(START, 5, 0, 1, 0)
    assert hours[-1] == CheckHour(START + 9 * HOUR_NS, 0, 6, 0, 0)
    assert len(check_history(verdicts, "desk", "good", START + 9 * HOUR_NS)) == 1
    assert check_history(verdicts, "nobody", "good", 0) == []


def test_the_latest(verdicts: Database) -> None:
    assert latest_rate(verdicts, "desk", "good", most=8) == CheckRate("desk", "good", 2, 6, 0, 0)
    none = latest_rate(verdicts, "desk", "good", since_ns=START + 20 * HOUR_NS)
    assert none.total == 0
    assert (none.rate.lower, none.rate.upper) == (0, 1)


def test_alerts(verdicts: Database) -> None:
    first = record_alert(verdicts, CheckRate("desk", "good", 2, 6, 0, 0), 0.9)
    second = record_alert(verdicts, CheckRate("desk", "short", 0, 9, 0, 0), 0.8)
    alert_failed(verdicts, first.id, "away")
    alert_delivered(verdicts, second.id)
    newest, oldest = list_alerts(verdicts, app="desk")
    assert (newest.check, newest.passed, newest.total, newest.at_least) == ("short", 0, 9, 0.8)
    assert newest.delivered_ns
    assert (oldest.error, oldest.delivered_ns) == ("away", None)
    assert [one.id for one in list_alerts(verdicts, check="good")] == [first.id]
    assert list_alerts(verdicts, app="shop") == []
