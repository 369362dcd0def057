"""The catalogue of resources: no secret is kept or shown, and connections are tried for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.config import Config
from noria.errors import ConfigError, NotFound
from noria.infra.catalogue.entries import (
    add_resource,
    list_resources,
    remove_resource,
)
from noria.infra.catalogue.entries import test_resource as try_resource
from noria.store import Database, open_database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = open_database(Config(home=tmp_path / "home"))
    yield database
    database.close()


def test_a_real_database_answers(db: Database, postgres_url: str) -> None:
    add_resource(db, "orders", "database", postgres_url, owner="sales", grants=["staff"])
    found = try_resource(db, "orders")
    assert found.problem == ""
    assert found.usable_by(None, ["staff"])
    assert found.usable_by("sales", [])
    assert not found.usable_by("other", [])


def test_what_does_not_answer_is_told_without_its_secret(
    db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORDERS_PASSWORD", "hunter2")
    add_resource(db, "gone", "database", "postgresql://u@127.0.0.1:1/x", owner="a",
                 secret="env:ORDERS_PASSWORD")  # fmt: skip
    found = try_resource(db, "gone")
    assert found.problem
    assert "hunter2" not in repr(found)
    add_resource(db, "no-file", "database", f"sqlite:///{tmp_path}/none.db", owner="a")
    assert "no file" in (try_resource(db, "no-file").problem or "")
    assert not (tmp_path / "none.db").exists()
    monkeypatch.delenv("ORDERS_PASSWORD")
    assert "not set" in (try_resource(db, "gone").problem or "")


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("postgresql://u:hunter2@host/x", None),
        ("https://host/?api_key=hunter2", None),
        ("https://host/x", "hunter2"),
        ("nothing", None),
    ],
)
def test_secrets_are_refused_at_the_door(db: Database, address: str, secret: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        add_resource(db, "x", "database", address, owner="a", secret=secret)
    assert "hunter2" not in str(refused.value)
    assert list_resources(db) == []


def test_a_name_is_taken_once(db: Database) -> None:
    add_resource(db, "x", "store", "file:///tmp", owner="a")
    with pytest.raises(ConfigError, match="already"):
        add_resource(db, "x", "store", "file:///tmp", owner="a")
    remove_resource(db, "x")
    with pytest.raises(NotFound):
        remove_resource(db, "x")
