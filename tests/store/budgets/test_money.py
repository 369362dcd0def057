"""Promises 1 and 2 of the store under random interleavings and sudden deaths."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from noria.config import Config, Store
from noria.store import (
    Database,
    Grant,
    Shortage,
    budget_status,
    find_spans,
    grant,
    list_budgets,
    open_database,
    set_budget,
    spend,
)
from noria.types import Budget, Money, Subject, Window
from tests.store.support import ALWAYS, Process, take_in

LIMIT = 1000


class World:
    """Some processes that share one budget, and what their provider is owed."""

    def __init__(self, db: Database) -> None:
        self.db = db
        set_budget(db, Subject.TEAM, "t", Budget(Money(LIMIT), Window.TOTAL))
        self.budget_id = list_budgets(db)[0].id
        self.made = 0
        self.processes: list[Process] = []
        self.free: dict[str, int] = {}
        self.leases: dict[str, int] = {}
        self.open: list[tuple[Process, str, int]] = []
        self.owed = 0

    def start(self) -> None:
        self.made += 1
        process = Process(self.db, f"p{self.made}")
        self.processes.append(process)
        self.free[process.holder] = 0

    def lease(self, process: Process, want: int, least: int) -> None:
        answer = grant(
            self.db, process.holder, self.budget_id, ALWAYS, want=want, least=least, ttl_s=60
        )
        if isinstance(answer, Grant):
            self.leases[process.holder] = answer.lease_id
            self.free[process.holder] += answer.granted
        else:
            assert isinstance(answer, Shortage)
            assert answer.settled + answer.leased + least > LIMIT

    def hold(self, process: Process, amount: int) -> None:
        if 0 < amount <= self.free[process.holder]:
            self.free[process.holder] -= amount
            span = process.hold(amount, [self.leases[process.holder]], team="t")
            self.open.append((process, span, amount))

    def end(self, index: int, share: float) -> None:
        if self.open:
            process, span, amount = self.open.pop(index % len(self.open))
            cost = int(amount * share)
            process.end(span, cost=cost)
            self.free[process.holder] += amount - cost
            self.owed += cost

    def give_back(self, process: Process) -> None:
        amount, self.free[process.holder] = self.free[process.holder], 0
        if amount:
            process.journal.append(
                {"t": "return", "lease": self.leases[process.holder], "amount": amount, "at": 1}
            )

    def die(self, process: Process) -> None:
        process.die()
        self.processes.remove(process)
        self.owed += sum(amount for who, _, amount in self.open if who is process)
        self.open = [entry for entry in self.open if entry[0] is not process]

    def check(self) -> None:
        (status,) = budget_status(self.db)
        assert status.held_nano <= status.leased_nano
        assert status.spent_nano + status.leased_nano <= LIMIT
        with self.db.read() as connection:
            remaining = connection.execute(
                text("SELECT coalesce(sum(remaining_nano), 0) FROM leases")
            ).scalar()
        assert remaining == status.leased_nano
        (row,) = spend(self.db, "team")
        assert row.spent_nano + row.held_nano <= LIMIT

    def close(self) -> None:
        """All die; then the books are those of the provider."""
        for process in list(self.processes):
            self.die(process)
        take_in(self.db)
        self.check()
        (status,) = budget_status(self.db)
        assert (status.spent_nano, status.held_nano, status.leased_nano) == (self.owed, 0, 0)
        assert spend(self.db, "team")[0].spent_nano == self.owed


numbers = st.integers(0, 400)
actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["start", "lease", "lease", "hold", "hold", "hold", "end", "end", "give_back", "die",
             "take_in", "take_in"]
        ),
        numbers, numbers, st.floats(0, 1),
    ),
    max_size=40,
)  # fmt: skip


@contextlib.contextmanager
def world(url: str | None = None) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        db = open_database(Config(home=Path(folder), store=Store(url=url)))
        yield World(db)
        db.close()


@given(actions=actions)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_interleaving_passes_the_limit(actions: list[tuple[str, int, int, float]]) -> None:
    with world() as all_:
        play(all_, actions)


def test_no_interleaving_passes_the_limit_on_postgres(postgres_url: str) -> None:
    random.seed(5)
    kinds = ["start", "lease", "lease", "hold", "hold", "end", "give_back", "die", "take_in"]
    with world(postgres_url) as all_:
        play(
            all_,
            [
                (
                    random.choice(kinds),
                    random.randrange(400),
                    random.randrange(400),
                    random.random(),
                )
                for _ in range(300)
            ],
        )


def play(all_: World, actions: list[tuple[str, int, int, float]]) -> None:
    all_.start()
    for action, a, b, share in actions:
        process = all_.processes[a % len(all_.processes)] if all_.processes else None
        if action == "start":
            all_.start()
        elif action == "take_in":
            before = total(all_.db)
            take_in(all_.db)
            assert total(all_.db) <= before
            all_.check()
        elif action == "end":
            all_.end(a, share)
        elif process is not None:
            if action == "lease":
                all_.lease(process, max(a, b) + 1, min(a, b) + 1)
            elif action == "hold":
                all_.hold(process, b)
            elif action == "give_back":
                all_.give_back(process)
            elif action == "die":
                all_.die(process)
    all_.close()


def total(db: Database) -> int:
    (status,) = budget_status(db)
    return status.spent_nano + status.leased_nano


def test_settled_and_leased_stay_the_same_under_intake(db: Database, process: Process) -> None:
    set_budget(db, Subject.TEAM, "t", Budget(Money(LIMIT), Window.TOTAL))
    lease = process.lease(list_budgets(db)[0].id, 800)
    for cost in (0, 10, 100):
        process.call(cost=cost, hold=100, leases=[lease], team="t")
        process.hold(50, [lease], team="t")
        take_in(db)
        assert total(db) == 800


INTAKE = """
import sys
from pathlib import Path
from noria.config import Config, Store
from noria.store import Intake, open_database
import noria.store.intake.intake as intake
intake.BATCH_RECORDS = 20
db = open_database(Config(home=Path(sys.argv[1]), store=Store(url=sys.argv[2] or None)))
print("up", flush=True)
while True:
    Intake(db, assemble=bytes).take_in()
"""


def start_intake(config: Config) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", INTAKE, str(config.home), config.store.url or ""],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    return child


def test_a_killed_intake_loses_and_doubles_nothing(config: Config, db: Database) -> None:
    """Twenty times the intake process is killed at some instant of its work."""
    random.seed(11)
    set_budget(db, Subject.TEAM, "t", Budget(Money(10**9), Window.TOTAL))
    budget_id = list_budgets(db)[0].id
    owed, ids = 0, set()
    process = Process(db, "p0", segment_bytes=20_000)
    lease = process.lease(budget_id, 10**6)
    for round_ in range(20):
        child = start_intake(config)
        deadline = time.monotonic() + random.uniform(0.0, 0.15)
        while time.monotonic() < deadline or len(ids) < (round_ + 1) * 20:
            cost = random.randrange(100)
            ids.add(process.call(cost=cost, hold=100, leases=[lease], team="t"))
            owed += cost
        if round_ % 5 == 4:
            ids.add(process.hold(100, [lease], team="t"))
            owed += 100
            process.die()
            process = Process(db, f"p{round_ + 1}", segment_bytes=20_000)
            lease = process.lease(budget_id, 10**6)
        child.send_signal(signal.SIGKILL)
        child.wait()
    process.die()
    take_in(db)
    found: list[str] = []
    cursor = None
    while True:
        page = find_spans(db, limit=500, cursor=cursor)
        found += [span.id for span in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(ids)
    (status,) = budget_status(db)
    assert (status.spent_nano, status.leased_nano) == (owed, 0)
    assert spend(db, "team")[0].calls == len(ids)
    assert spend(db, "team")[0].spent_nano == owed


def test_two_intakes_at_once_take_each_record_once(config: Config, db: Database) -> None:
    children = [start_intake(config) for _ in range(2)]
    try:
        with Process(db, "w", segment_bytes=20_000) as process:
            ids = {process.call(cost=1, team="t") for _ in range(400)}
    finally:
        for child in children:
            child.kill()
            child.wait()
    take_in(db)
    assert {span.id for span in find_spans(db, limit=1000).rows} == ids
    (row,) = spend(db, "team")
    assert (row.calls, row.spent_nano) == (400, 400)


def test_two_homes_share_one_postgres(new_postgres_url: Callable[[], str], tmp_path: Path) -> None:
    url = new_postgres_url()
    homes = [
        open_database(Config(home=tmp_path / name, store=Store(url=url))) for name in ("a", "b")
    ]
    set_budget(homes[0], Subject.TEAM, "t", Budget(Money(LIMIT), Window.TOTAL))
    budget_id = list_budgets(homes[1])[0].id

    def work(number: int) -> tuple[int, list[str]]:
        db = homes[number % 2]
        spent, ids = 0, []
        with Process(db, f"p{number}") as process:
            for _ in range(15):
                answer = grant(db, process.holder, budget_id, ALWAYS, want=20, least=5, ttl_s=60)
                if isinstance(answer, Grant):
                    cost = answer.granted // 2
                    ids.append(
                        process.call(
                            cost=cost, hold=answer.granted, leases=[answer.lease_id], team="t"
                        )
                    )
                    spent += cost
                take_in(db)
                (status,) = budget_status(db)
                assert status.spent_nano + status.leased_nano <= LIMIT
        return spent, ids

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, range(4)))
    for db in homes:
        take_in(db)
    (status,) = budget_status(homes[0])
    assert (status.spent_nano, status.leased_nano) == (sum(spent for spent, _ in done), 0)
    ids = sorted(span_id for _, made in done for span_id in made)
    assert sorted(span.id for span in find_spans(homes[1], limit=500).rows) == ids
    for db in homes:
        db.close()


def test_a_full_disk_under_the_database_loses_nothing(tmp_path: Path) -> None:
    """SQLite may not grow: the batch fails whole, and is taken in once there is space."""
    from noria.errors import StoreUnavailable

    db = open_database(Config(home=tmp_path / "home"))
    with Process(db, "w") as process:
        ids = {process.call(request=random.randbytes(4000)) for _ in range(50)}
        with db.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable):
            take_in(db)
        assert find_spans(db).rows == []
        with db.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
        assert take_in(db) == 100
    assert {span.id for span in find_spans(db).rows} == ids
    db.close()
