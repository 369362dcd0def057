"""Moving a home from SQLite to Postgres: killed at every step, and while it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from noria.config import Config, load
from noria.errors import ConfigError, StoreUnavailable
from noria.store import Database, create_key, list_keys, open_database
from noria.store.moving import move_store
from noria.testing import FakeProvider
from noria.types import Budget
from tests.support.door import Door


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Database]:
    db = open_database(Config(home=tmp_path / "home"))
    for number in range(30):
        create_key(db, team=f"Zoë-{number % 7}", user=f"u{number}", budget=Budget.parse("5 USD"))
    with db.write() as connection:
        for number in range(2500):
            connection.execute(
                text("INSERT INTO latencies VALUES (1, :at, :model, 3, 1)"),
                {"at": number, "model": "a_B\x00é"[number % 3 :]},
            )
    yield db
    db.close()


def moved_to(home: Database, url: str) -> Callable[[], None]:
    return lambda: (home.home / "store-url").write_text(url)


def test_a_move_that_is_killed_at_any_step_goes_on(home: Database, postgres_url: str) -> None:
    before = list_keys(home)
    step = 0
    while True:
        target, seen = Database(postgres_url, home.home), 0

        def kill(*_: object, at: int = step + 1) -> None:
            nonlocal seen
            seen += 1
            if seen == at:
                raise Killed

        try:
            moved = move_store(home, target, moved_to(home, postgres_url), kill)
            break
        except Killed:
            step += 1
            # It still counts: writing goes on.
            create_key(home, team="meanwhile", name=str(step)) if step % 10 == 0 else None
        finally:
            target.close()
    assert step > 40
    assert moved.rows["latencies"] == 2500
    assert moved.rows["keys"] == len(before) + step // 10
    with pytest.raises(StoreUnavailable, match="moved"):
        create_key(home, team="late")
    switched = open_database(Config(home=home.home))
    assert switched.dialect == "postgresql"
    key, _ = create_key(switched, team="new")  # its number is a new one
    assert {one.id for one in list_keys(switched)} >= {one.id for one in before} | {key.id}
    switched.close()


def test_rows_that_change_and_go_meanwhile_are_caught_up(home: Database, postgres_url: str) -> None:
    target = Database(postgres_url, home.home)
    changed = False

    def change(table: str, *_: object) -> None:
        nonlocal changed
        if table == "users" and not changed:  # after keys and latencies
            changed = True
            with home.write() as connection:
                connection.execute(text("DELETE FROM latencies WHERE start_ns < 100"))
                connection.execute(text("UPDATE latencies SET calls = 9 WHERE start_ns = 500"))

    moved = move_store(home, target, moved_to(home, postgres_url), change)
    assert changed
    assert moved.rows["latencies"] == 2400
    with target.read() as connection:
        query = text("SELECT calls FROM latencies WHERE start_ns = 500")
        assert connection.execute(query).scalar() == 9
    target.close()


def test_a_database_with_records_is_refused(
    home: Database, postgres_url: str, tmp_path: Path
) -> None:
    target = Database(postgres_url, home.home)
    target.migrate()
    create_key(target, team="another home")
    with pytest.raises(ConfigError, match="holds records"):
        move_store(home, target, lambda: None)
    target.close()


def test_a_home_moves_while_it_serves(tmp_path: Path, postgres_url: str) -> None:
    import os
    import subprocess
    import sys

    import httpx2

    with FakeProvider() as provider:
        door = Door(tmp_path, provider).start()
        try:
            key = door.key(budget="10 USD", team="a")

            def ask() -> int:
                answer = httpx2.post(
                    f"{door.url}/v1/chat/completions",
                    headers={"authorization": f"Bearer {key}"},
                    json={"model": "fake:small", "messages": [{"role": "user", "content": "x"}],
                          "max_tokens": 5},
                    timeout=30,
                )  # fmt: skip
                return answer.status_code

            assert [ask() for _ in range(5)] == [200] * 5
            environ = {k: v for k, v in os.environ.items() if not k.startswith("NORIA_")}
            told = subprocess.run(
                [sys.executable, "-m", "noria.cli", "store", "move", "--to", postgres_url],
                cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert told.returncode == 0, told.stderr
            assert "verified" in told.stderr
            statuses = [ask() for _ in range(10)]
            assert statuses[-1] == 200
            answered = 5 + statuses.count(200)
            assert load(tmp_path / "noria.toml", environ={}).store_url == postgres_url
            assert len(door.spans(status="ok")) == answered
        finally:
            door.stop()
