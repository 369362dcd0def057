"""When tasks are due, and who runs them."""

from __future__ import annotations

import threading

from noria.store import Database
from noria.store.schedules import (
    claim_firing,
    end_firing,
    list_firings,
    miss_firings,
    plan_firing,
    waiting_firings,
)

APP, TASK = "support", "tidy"


def states(db: Database) -> list[tuple[int, str]]:
    return [(firing.due_ns, firing.status) for firing in list_firings(db, APP)]


def test_a_due_time_is_taken_by_one_of_many(db: Database) -> None:
    plan_firing(db, APP, TASK, 1_000)
    plan_firing(db, APP, TASK, 1_000)
    won: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda n=n: won.append(claim_firing(db, APP, TASK, 1_000, f"holder {n}", "t"))
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]
    assert states(db) == [(1_000, "running")]


def test_how_it_ended_is_kept(db: Database) -> None:
    plan_firing(db, APP, TASK, 1_000)
    assert claim_firing(db, APP, TASK, 1_000, "me", "trace 1")
    end_firing(db, APP, TASK, 1_000, None)
    plan_firing(db, APP, TASK, 2_000)
    assert claim_firing(db, APP, TASK, 2_000, "me", "trace 2")
    end_firing(db, APP, TASK, 2_000, "it broke")
    later, earlier = list_firings(db, APP)
    assert (earlier.status, earlier.trace_id, earlier.error) == ("ok", "trace 1", None)
    assert (later.status, later.holder, later.error) == ("error", "me", "it broke")
    assert later.started_ns
    assert later.ended_ns
    assert later.ended_ns >= later.started_ns


def test_a_changed_schedule_drops_what_waited_for_later(db: Database) -> None:
    plan_firing(db, APP, TASK, 5_000)
    plan_firing(db, APP, "other", 5_000)
    plan_firing(db, APP, TASK, 3_000)
    assert waiting_firings(db, APP, TASK) == [3_000]
    assert waiting_firings(db, APP, "other") == [5_000]


def test_what_nobody_ran_is_missed_and_what_ran_stays(db: Database) -> None:
    plan_firing(db, APP, TASK, 1_000)
    claim_firing(db, APP, TASK, 1_000, "me", "t")
    end_firing(db, APP, TASK, 1_000, None)
    plan_firing(db, APP, TASK, 2_000)
    miss_firings(db, APP, TASK, [1_000, 2_000, 3_000])
    assert states(db) == [(3_000, "missed"), (2_000, "missed"), (1_000, "ok")]
    assert not claim_firing(db, APP, TASK, 2_000, "me", "t")


def test_of_many_misses_only_the_latest_are_kept(db: Database) -> None:
    miss_firings(db, APP, TASK, range(1, 251))
    assert [due for due, _ in states(db)][-1] == 201
    assert len(list_firings(db, APP, limit=500)) == 100
