"""The conformance suite runs on SQLite and on Postgres: everything that takes `db` runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.config import Config, Store
from noria.store import Database, open_database
from tests.store.support import Process


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """A configuration with an empty home and database."""
    home = tmp_path / "home"
    if request.param == "sqlite":
        return Config(home=home)
    return Config(home=home, store=Store(url=request.getfixturevalue("postgres_url")))


@pytest.fixture
def db(config: Config) -> Iterator[Database]:
    """An open database."""
    database = open_database(config)
    yield database
    database.close()


@pytest.fixture
def process(db: Database) -> Iterator[Process]:
    """A serving process, with a journal and a name among the holders."""
    with Process(db, "worker-1") as running:
        yield running
