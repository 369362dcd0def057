from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from noria.config import Config, Store
from noria.errors import ConfigError, NoriaError, StoreUnavailable
from noria.store import Database, Generation, create_key, open_database, poll_generation
from noria.store import __all__ as public_names
from noria.store.database import WriteLock
from noria.store.moving import move_store  # noqa: F401 - which knows every table
from noria.store.tables.core import metadata

_TEXT_SEARCH = ("message_text", "chunk_words")


def test_the_migrations_make_the_tables_of_the_schema(db: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def compared(_: object, name: str | None, kind: str, *__: object) -> bool:
        words = kind == "column" and name == "words"
        return kind != "index" and not words and not str(name).startswith(_TEXT_SEARCH)

    with db.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": compared})
        assert compare_metadata(context, metadata) == []


def test_a_home_is_for_its_owner_only(db: Database) -> None:
    assert stat.S_IMODE(db.home.stat().st_mode) == 0o700


def test_an_open_database_opens_again(config: Config, db: Database) -> None:
    create_key(db, name="first")
    again = open_database(config)
    with again.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM keys")).scalar() == 1
    again.close()


def test_a_database_of_a_newer_noria_is_refused(config: Config, db: Database) -> None:
    with db.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NoriaError, match="9999"):
        open_database(config)


def test_processes_that_open_an_empty_home_at_once_all_succeed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from noria.config import Config\n"
        "from noria.store import create_key, open_database\n"
        "db = open_database(Config(home=Path(sys.argv[1]))); create_key(db); db.close()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "home")]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    with open_database(Config(home=tmp_path / "home")).read() as connection:
        assert connection.execute(text("SELECT count(*) FROM keys")).scalar() == 3


def test_a_failed_write_leaves_nothing(db: Database) -> None:
    def fail() -> None:
        with db.write() as connection:
            connection.execute(text("INSERT INTO teams (name, created_ns) VALUES ('a', 1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with db.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM teams")).scalar() == 0


def test_a_reader_sees_one_state(db: Database) -> None:
    count = text("SELECT count(*) FROM teams")
    with db.read() as reader:
        assert reader.execute(count).scalar() == 0
        with db.write() as writer:
            writer.execute(text("INSERT INTO teams (name, created_ns) VALUES ('a', 1)"))
        assert reader.execute(count).scalar() == 0
    with db.read() as reader:
        assert reader.execute(count).scalar() == 1


def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    away = Config(home=tmp_path, store=Store(url="postgresql://nobody@127.0.0.1:9/none"))
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        open_database(away)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "noria.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable):
        open_database(Config(home=tmp_path))


def test_another_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mysql"):
        open_database(Config(home=tmp_path, store=Store(url="mysql://root@host/name")))


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    away = Config(home=tmp_path, store=Store(url="postgresql://nobody:hush-hush@127.0.0.1:9/n"))
    with pytest.raises(StoreUnavailable) as refused:
        open_database(away)
    assert "hush-hush" not in str(refused.value)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "write.lock")
    other = WriteLock(tmp_path / "write.lock")
    entered = threading.Event()
    with lock, lock:
        waiting = threading.Thread(target=lambda: (other.__enter__(), entered.set()))
        waiting.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    waiting.join()


def test_a_child_that_was_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    lock = WriteLock(tmp_path / "write.lock")
    with lock:
        child = os.fork()
        if child == 0:
            os.close(write)
            with lock:  # waits for the parent, and is not told that it has it already
                os.read(read, 1)
            os._exit(0)
    taken = threading.Event()

    def take() -> None:
        with lock:
            taken.set()

    os.write(write, b"x")
    threading.Thread(target=take, daemon=True).start()
    assert taken.wait(10)
    assert os.waitpid(child, 0)[1] == 0
    for end in (read, write):
        os.close(end)


def test_a_lock_is_free_again_though_a_child_lives(tmp_path: Path) -> None:
    read, write = os.pipe()
    lock = WriteLock(tmp_path / "write.lock")
    with lock:
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    taken = threading.Event()

    def take() -> None:
        with WriteLock(tmp_path / "write.lock"):
            taken.set()

    threading.Thread(target=take, daemon=True).start()
    assert taken.wait(10)
    os.close(write)
    os.waitpid(child, 0)
    os.close(read)


def test_changes_are_seen_without_the_database(db: Database) -> None:
    mine = Generation(db.home)
    before, stored = mine.value, poll_generation(db)
    create_key(db)
    assert mine.value == before + 1
    assert poll_generation(db) == stored + 1
    child = os.fork()
    if child == 0:
        Generation(db.home).bump()
        os._exit(0)
    os.waitpid(child, 0)
    assert mine.value == before + 2


def test_the_log_is_cut_once_it_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = open_database(Config(home=tmp_path))
    log = tmp_path / "noria.db-wal"
    create_key(db)
    size = log.stat().st_size
    db.checkpoint()
    assert log.stat().st_size == size
    monkeypatch.setattr("noria.store.database._CHECKPOINT_BYTES", 1)
    db.checkpoint()
    assert log.stat().st_size < size
    db.close()


def test_every_public_name_is_there() -> None:
    import noria.store

    loaded = " ".join(noria.store._NAMES_OF.values()).split()
    assert sorted(public_names) == sorted(loaded)
    assert all(getattr(noria.store, name) is not None for name in public_names)
