"""A budget that is set, lowered, moved or lifted and set again holds at once: what the provider
was owed is never more than what was spent before and the budget allows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from noria.models import assemble
from noria.store import set_budget, take_in
from noria.testing import FakeProvider, Reply
from noria.types import Budget, Subject
from tests.support.door import NANO_PER_TOKEN, Door, chat, wait_until

CENT = 10 * NANO_PER_TOKEN


def owed(fake: FakeProvider) -> int:
    found = fake.owed["small"]
    return (found.input_tokens + found.output_tokens) * NANO_PER_TOKEN


def set_on(door: Door, subject: Subject, name: str, budget: str | None) -> None:
    with door.database() as db:
        set_budget(db, subject, name, Budget.parse(budget) if budget else None)


def spend(door: Door, secret: str, calls: int) -> list[int]:
    """Make calls one after the other until one is refused; gives their statuses."""
    statuses = []
    with door.client(secret) as client:
        for _ in range(calls):
            answer = client.post("/v1/chat/completions", json=chat("Hi", max_tokens=5))
            statuses.append(answer.status_code)
    return statuses


@pytest.fixture(params=["SQLite", "Postgres"])
def two(request: pytest.FixtureRequest, new_door: Callable[..., Door]) -> Door:
    url = request.getfixturevalue("postgres_url") if request.param == "Postgres" else None
    return new_door(workers=2, store_url=url)


def test_a_lowered_budget_binds_what_was_leased(two: Door, fake: FakeProvider) -> None:
    fake.reply = Reply(text="one two three")
    secret = two.key(team="t")
    set_on(two, Subject.TEAM, "t", "100 USD")
    assert set(spend(two, secret, 8)) == {200}
    before = owed(fake)
    set_on(two, Subject.TEAM, "t", "0.001 USD")
    statuses = spend(two, secret, 20)
    assert set(statuses) == {429}
    assert owed(fake) == before
    set_on(two, Subject.TEAM, "t", "100 USD")
    assert set(spend(two, secret, 4)) == {200}


@pytest.mark.parametrize("window", ["", "/day", "/month"])
def test_a_budget_that_is_moved_counts_what_was_spent(
    two: Door, fake: FakeProvider, window: str
) -> None:
    fake.reply = Reply(text="one two three")
    secret = two.key(team="t")
    set_on(two, Subject.TEAM, "t", "100 USD/week")
    spend(two, secret, 5)
    with two.database() as db:
        take_in(db, assemble)
    spent = owed(fake)
    set_on(two, Subject.TEAM, "t", None)
    spend(two, secret, 5)
    assert owed(fake) == 2 * spent
    with two.database() as db:
        take_in(db, assemble)
    set_on(two, Subject.TEAM, "t", f"0.0{2 * spent // CENT} USD{window}")
    assert set(spend(two, secret, 3)) == {429}
    assert two.budget(Subject.TEAM, "t").spent_nano == 2 * spent


def test_calls_under_way_count_in_a_budget_that_is_set(two: Door, fake: FakeProvider) -> None:
    fake.reply = Reply(text="one two three four five", first_delay=4.0)
    before = len(fake.requests)
    secret = two.key(team="t")
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(spend, two, secret, 1) for _ in range(6)]
        wait_until(lambda: len(fake.requests) - before == 6, 30)
        fake.reply = Reply(text="one")
        set_on(two, Subject.TEAM, "t", "0.10 USD")
        assert set(spend(two, secret, 4)) == {429}  # what is under way holds it all
        assert [one.result() for one in running] == [[200]] * 6
    spent = owed(fake)
    wait_until(lambda: two.budget(Subject.TEAM, "t").spent_nano == spent, 20)
    fake.reply = Reply(text="one")
    statuses = spend(two, secret, 10)
    standing = two.budget(Subject.TEAM, "t")
    assert standing.spent_nano == owed(fake) <= max(spent, standing.row.budget.limit)
    assert 429 in statuses


def test_a_budget_that_changes_all_the_time_is_never_passed(two: Door, fake: FakeProvider) -> None:
    """Callers press on while the budget is raised, lowered, moved and lifted; whenever it stands
    still, no more than it allows is spent from then on."""
    fake.reply = Reply(text="one two three")
    secret = two.key(team="t")
    set_on(two, Subject.TEAM, "t", "1 USD")
    stop = threading.Event()

    def press() -> None:
        while not stop.is_set():
            spend(two, secret, 1)

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for budget in ("0.2 USD/day", "2 USD", "0.001 USD", None, "0.5 USD/week", "0.01 USD/week"):
            set_on(two, Subject.TEAM, "t", budget)
            spend(two, secret, 3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    with two.database() as db:
        take_in(db, assemble)
    settled = owed(fake)
    assert set(spend(two, secret, 6)) == {429}
    assert owed(fake) == settled
    assert two.budget(Subject.TEAM, "t").spent_nano == settled
