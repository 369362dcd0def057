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
from tests.support.door import MODEL, NANO_PER_TOKEN, PRICES, Door, chat, wait_until

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


def test_calls_of_another_home_count_that_does_not_know_of_the_budget_yet(
    new_door: Callable[..., Door], fake: FakeProvider, postgres_url: str
) -> None:
    """Two homes on one Postgres: the second begins its calls after the budget was set by the first
    and before it has asked what has changed."""
    ours, theirs = new_door(store_url=postgres_url), new_door(store_url=postgres_url)
    secret = ours.key(team="t")
    for door in (ours, theirs):
        assert spend(door, secret, 2) == [200, 200]
    before = owed(fake)
    asked = len(fake.requests)
    fake.reply = Reply(text="one two three four five", first_delay=4.0)
    set_on(ours, Subject.TEAM, "t", f"{(before + 6 * CENT) / 1e9} USD")
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(spend, theirs, secret, 1) for _ in range(6)]
        wait_until(lambda: len(fake.requests) - asked == 6, 30)
        fake.reply = Reply(text="one")
        assert set(spend(ours, secret, 8)) == {429}  # what is under way holds more than is left
        assert [one.result() for one in running] == [[200]] * 6
    with theirs.database() as db:
        take_in(db, assemble)
    assert ours.budget(Subject.TEAM, "t").spent_nano == owed(fake)


def test_what_was_asked_for_by_an_alias_counts_in_the_budget_of_its_target(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    fake.reply = Reply(text="one two three")
    door = new_door(settings=f'{PRICES}[models.alias]\ntargets = ["{MODEL}"]\n')
    secret = door.key()
    with door.client(secret) as client:
        for _ in range(4):
            asked = chat("Hi", model="alias", max_tokens=5)
            assert client.post("/v1/chat/completions", json=asked).is_success
    set_on(door, Subject.MODEL, MODEL, f"{owed(fake) / 1e9} USD")
    assert spend(door, secret, 2) == [429, 429]
    assert door.budget(Subject.MODEL, MODEL).spent_nano == owed(fake)


def test_a_key_without_money_delays_no_other(
    new_door: Callable[..., Door], fake: FakeProvider
) -> None:
    """A call that waits for money of its own key, which another process may give back, locks
    nothing that others need, not even where the installation's budget is short as well."""
    door = new_door(workers=2)
    set_on(door, Subject.INSTALLATION, "", "2.5 USD")
    poor, rich = door.key(budget="0.12 USD"), door.key(budget="100 USD")
    fake.reply = Reply(text="one", first_delay=4.0)
    with ThreadPoolExecutor(8) as pool:
        held = pool.submit(spend, door, poor, 1)
        wait_until(lambda: len(fake.requests) == 1, 10)
        fake.reply = Reply(text="one")
        short = [pool.submit(spend, door, poor, 1) for _ in range(4)]
        served = 0
        with door.client(rich) as client:
            while not all(one.done() for one in short):
                # It holds nearly all that the installation has left, so that each must ask for it.
                answer = client.post("/v1/chat/completions", json=chat("Hi", max_tokens=900))
                served += answer.is_success
        assert {status for one in short for status in one.result()} == {429}
        assert held.result() == [200]
    assert served >= 5


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
