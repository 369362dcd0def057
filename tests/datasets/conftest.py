"""An empty home on SQLite and on Postgres: everything that takes `db` runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from noria.config import Config, Store
from noria.store import Database, open_database


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An open database."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    database = open_database(Config(home=tmp_path / "home", store=Store(url=url)))
    yield database
    database.close()
