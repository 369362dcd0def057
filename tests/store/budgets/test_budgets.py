from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from noria.config import Config
from noria.errors import NotFound
from noria.store import (
    Database,
    Generation,
    Grant,
    Shortage,
    budget_status,
    create_key,
    grant,
    grant_all,
    heartbeat,
    list_budgets,
    register_holder,
    set_budget,
    sync_budgets,
)
from noria.types import Budget, Subject, Window, nanoseconds, utc_now
from tests.store.support import ALL_SEEN, ALWAYS, Process, take_in

TOTAL = Budget.parse("0.000001 USD")
"""1,000 nano-dollars, for good."""


def configured(config: Config, **sections: Any) -> Config:
    return Config.model_validate(
        config.model_dump(exclude={"budgets", "teams", "users"}) | sections
    )


def names(db: Database) -> set[tuple[str, str, str]]:
    return {(str(row.subject), row.name, str(row.budget)) for row in list_budgets(db)}


def test_the_file_says_which_budgets_there_are(config: Config, db: Database) -> None:
    sections = {
        "budgets": {
            "installation": "100 USD/month",
            "models": {"big": "1 USD"},
            "apps": {"support": "2 USD/week"},
        },
        "teams": {"search": {"budget": "20 USD/day"}, "law": {}},
        "users": {"ada": {"budget": "3 USD/day"}},
    }
    sync_budgets(db, configured(config, **sections))
    assert names(db) == {
        ("installation", "", "100 USD/month"),
        ("model", "big", "1 USD"),
        ("app", "support", "2 USD/week"),
        ("team", "search", "20 USD/day"),
        ("user", "ada", "3 USD/day"),
    }
    key, _ = create_key(db, budget=Budget.parse("5 USD"))
    set_budget(db, Subject.TEAM, "law", Budget.parse("7 USD"))
    generation = Generation(db.home).value
    sync_budgets(db, configured(config, teams={"search": {"budget": "25 USD/day"}}))
    assert names(db) == {
        ("team", "search", "25 USD/day"),
        ("team", "law", "7 USD"),
        ("key", key.id, "5 USD"),
    }
    assert Generation(db.home).value > generation


def test_an_unchanged_file_changes_nothing(config: Config, db: Database) -> None:
    same = configured(config, teams={"search": {"budget": "20 USD/day"}})
    sync_budgets(db, same)
    generation = Generation(db.home).value
    sync_budgets(db, same)
    assert Generation(db.home).value == generation


def test_a_budget_keeps_its_id(db: Database) -> None:
    set_budget(db, Subject.TEAM, "a", TOTAL)
    (before,) = list_budgets(db)
    set_budget(db, Subject.TEAM, "a", None)
    assert list_budgets(db) == []
    set_budget(db, Subject.TEAM, "a", Budget.parse("2 USD/day"))
    (after,) = list_budgets(db)
    assert after.id == before.id


@pytest.fixture
def budget_id(db: Database) -> int:
    set_budget(db, Subject.TEAM, "search", TOTAL)
    return list_budgets(db)[0].id


def test_a_grant_never_passes_the_limit(db: Database, process: Process, budget_id: int) -> None:
    def ask(want: int, least: int) -> Grant | Shortage:
        return grant(db, process.holder, budget_id, ALWAYS, want=want, least=least, ttl_s=60)

    first = ask(600, 10)
    assert first == Grant(first.lease_id, 600, 400, 1)
    second = ask(600, 10)
    assert second == Grant(first.lease_id, 10, 390, 1)
    assert ask(600, 391) == Shortage(0, 610, 1000)
    assert ask(390, 390) == Grant(first.lease_id, 390, 0, 1)
    assert ask(1, 1) == Shortage(0, 1000, 1000)


def test_many_at_once_get_no_more_than_there_is(
    db: Database, process: Process, budget_id: int
) -> None:
    def ask(number: int) -> int:
        holder = f"other-{number}"
        register_holder(db, holder, number, 60, ALL_SEEN)
        answer = grant(db, holder, budget_id, ALWAYS, want=300, least=70, ttl_s=60)
        return answer.granted if isinstance(answer, Grant) else 0

    with ThreadPoolExecutor(8) as pool:
        granted = list(pool.map(ask, range(16)))
    assert 1000 - 70 < sum(granted) <= 1000
    (status,) = budget_status(db)
    assert status.leased_nano == sum(granted)


def test_all_or_nothing(db: Database, process: Process, budget_id: int) -> None:
    set_budget(db, Subject.USER, "ada", Budget.parse("0.0000001 USD"))
    small = next(row.id for row in list_budgets(db) if row.subject is Subject.USER)
    wishes = [(small, ALWAYS, 101, 101), (budget_id, ALWAYS, 500, 500)]
    answers = grant_all(db, process.holder, wishes, 60)
    assert answers[0] == Shortage(0, 0, 100)
    assert all(status.leased_nano == 0 for status in budget_status(db))
    answers = grant_all(db, process.holder, [(small, ALWAYS, 100, 1), wishes[1]], 60)
    assert [answer.granted for answer in answers if isinstance(answer, Grant)] == [100, 500]


def test_only_a_registered_process_is_granted(db: Database, budget_id: int) -> None:
    with pytest.raises(NotFound):
        grant(db, "nobody", budget_id, ALWAYS, want=1, least=1, ttl_s=60)
    assert not heartbeat(db, "nobody", 60)
    register_holder(db, "somebody", 1, 60, ALL_SEEN)
    assert heartbeat(db, "somebody", 60)
    with pytest.raises(NotFound):
        grant(db, "somebody", budget_id + 1, ALWAYS, want=1, least=1, ttl_s=60)


def test_a_lifted_budget_gives_all_that_is_wanted(
    db: Database, process: Process, budget_id: int
) -> None:
    set_budget(db, Subject.TEAM, "search", None)
    answer = grant(db, process.holder, budget_id, ALWAYS, want=5000, least=1, ttl_s=60)
    assert isinstance(answer, Grant)
    assert answer.granted == 5000


def test_a_lower_limit_holds_at_once(db: Database, process: Process, budget_id: int) -> None:
    process.lease(budget_id, 300)
    set_budget(db, Subject.TEAM, "search", Budget.parse("0.0000002 USD"))
    answer = grant(db, process.holder, budget_id, ALWAYS, want=1, least=1, ttl_s=60)
    assert answer == Shortage(0, 300, 200)


def test_a_budget_set_late_counts_what_was_spent_before(db: Database, process: Process) -> None:
    process.call(cost=900, team="search")
    process.call(cost=50, team="other")
    take_in(db)
    set_budget(db, Subject.TEAM, "search", Budget.parse("0.000001 USD/day"))
    set_budget(db, Subject.INSTALLATION, "", Budget.parse("0.000001 USD/month"))
    team, everything = list_budgets(db)
    for row, left in ((team, 100), (everything, 50)):
        start = nanoseconds(row.budget.window.start(utc_now()))
        answer = grant(db, process.holder, row.id, start, want=left, least=left, ttl_s=60)
        assert isinstance(answer, Grant)
        assert answer.left == 0


def test_each_window_has_its_own_money(db: Database, process: Process) -> None:
    set_budget(db, Subject.TEAM, "search", Budget.parse("0.000001 USD/day"))
    (row,) = list_budgets(db)
    today = nanoseconds(Window.DAY.start(utc_now()))
    yesterday = today - 86_400_000_000_000
    old, new = process.lease(row.id, 1000, yesterday), process.lease(row.id, 1000, today)
    process.call(cost=7, leases=[old], hold=10)
    process.call(cost=9, leases=[new], hold=10)
    take_in(db)
    (status,) = budget_status(db)
    assert (status.spent_nano, status.leased_nano) == (9, 991)
    assert status.window_start == Window.DAY.start(utc_now())
