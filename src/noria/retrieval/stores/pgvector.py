"""Vectors in Postgres with pgvector: a table of half-precision vectors for each index, with an HNSW
index that goes on looking until enough of what it finds stands on the reader's shelves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from noria.errors import ConfigError
from noria.retrieval.stores.base import Hit
from noria.store import Database
from noria.store.bulk_sql import run_many

__all__ = ["PgVectors", "has_pgvector"]

_LEAST_CANDIDATES = 64
_MOST_CANDIDATES = 1_000


def has_pgvector(db: Database) -> bool:
    """Whether the database is a Postgres that has pgvector installed."""
    if db.dialect != "postgresql":
        return False
    with db.read() as connection:
        found = connection.execute(
            text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        ).scalar()
    return found is not None


class PgVectors:
    """The vectors of one index in the table `vectors_<index>`."""

    def __init__(self, db: Database, index_id: int, dimensions: int) -> None:
        self._db = db
        self._table = f"vectors_{index_id}"
        if db.dialect != "postgresql":
            raise ConfigError(
                "store: pgvector needs Postgres, and this home's database is SQLite.",
                'Leave store out, or set store.url = "postgresql://..." in noria.toml.',
            )
        try:
            with db.write() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(7766279631452241919)"))
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                connection.execute(
                    text(
                        f"CREATE TABLE IF NOT EXISTS {self._table} (chunk BIGINT PRIMARY KEY,"
                        f" shelf BIGINT NOT NULL, vector halfvec({int(dimensions)}) NOT NULL)"
                    )
                )
                connection.execute(
                    text(
                        f"CREATE INDEX IF NOT EXISTS {self._table}_nearest ON {self._table}"
                        " USING hnsw (vector halfvec_ip_ops)"
                    )
                )
                connection.execute(
                    text(f"CREATE INDEX IF NOT EXISTS {self._table}_shelf ON {self._table} (shelf)")
                )
        except DBAPIError as refused:
            raise ConfigError(
                f"store: pgvector cannot be used: {str(refused.orig).strip()}",
                "Install pgvector in the database, or search in memory: store='exact'.",
            ) from None

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        rows = [
            (chunk, shelf, _literal(vector))
            for chunk, shelf, vector in zip(chunks, shelves, vectors, strict=True)
        ]
        with self._db.write() as connection:
            run_many(
                connection,
                f"INSERT INTO {self._table} (chunk, shelf, vector) VALUES (?, ?, ?)"  # noqa: S608
                " ON CONFLICT (chunk) DO UPDATE SET shelf = excluded.shelf",
                rows,
            )

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        rows = [(shelf, chunk) for chunk in chunks]
        with self._db.write() as connection:
            run_many(connection, f"UPDATE {self._table} SET shelf = ? WHERE chunk = ?", rows)  # noqa: S608

    def remove(self, chunks: Sequence[int]) -> None:
        rows = [(chunk,) for chunk in chunks]
        with self._db.write() as connection:
            run_many(connection, f"DELETE FROM {self._table} WHERE chunk = ?", rows)  # noqa: S608

    def clear(self) -> None:
        with self._db.write() as connection:
            connection.execute(text(f"TRUNCATE {self._table}"))

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        candidates = min(max(k, _LEAST_CANDIDATES), _MOST_CANDIDATES)
        with self._db.read() as connection:
            connection.exec_driver_sql(
                f"SET LOCAL hnsw.ef_search = {candidates};"
                " SET LOCAL hnsw.iterative_scan = strict_order;"
                " SET LOCAL hnsw.max_scan_tuples = 1000000"
            )
            rows = connection.exec_driver_sql(
                f"SELECT chunk, vector <#> %s::halfvec AS far FROM {self._table}"  # noqa: S608
                " WHERE shelf = ANY(%s) ORDER BY far LIMIT %s",
                (_literal(vector), list(shelves), k),
            ).all()
        return [Hit(chunk, -far) for chunk, far in rows]


def _literal(vector: NDArray[np.float32]) -> str:
    return orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY).decode()
