"""Exact search in memory: every vector of an index as one matrix, kept in step with the database.

On two cores 50,000 vectors of 384 dimensions take about 4 ms, and nothing is ever missed. Each
process that searches holds the matrix; the index's version in the database tells when it is old.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from noria.retrieval.stores.base import Hit
from noria.store import Database
from noria.store.bulk_sql import insert_many, run_many, select_in

__all__ = ["ExactVectors"]

_COLUMNS = ("chunk", "index_id", "shelf", "vector")
_REPLACE = "(chunk) DO UPDATE SET shelf = excluded.shelf"
_READ = 4_096


@dataclass(frozen=True, slots=True)
class _Matrix:
    """The vectors of one version of the index, in the order of their chunks."""

    version: int
    chunks: NDArray[np.int64]
    shelves: NDArray[np.int64]
    vectors: NDArray[np.float32]


class ExactVectors:
    """Vectors in the database's table `chunk_vectors`, searched in memory."""

    def __init__(self, db: Database, index_id: int, dimensions: int) -> None:
        self._db = db
        self._index = index_id
        self._lock = threading.Lock()
        self._matrix = _Matrix(
            -1,
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty((0, dimensions), np.float32),
        )

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        rows = [
            (chunk, self._index, shelf, vector.astype("<f4").tobytes())
            for chunk, shelf, vector in zip(chunks, shelves, vectors, strict=True)
        ]
        with self._changing() as connection:
            insert_many(connection, "chunk_vectors", _COLUMNS, rows, _REPLACE)

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        rows = [(shelf, chunk) for chunk in chunks]
        with self._changing() as connection:
            run_many(connection, "UPDATE chunk_vectors SET shelf = ? WHERE chunk = ?", rows)

    def remove(self, chunks: Sequence[int]) -> None:
        rows = [(chunk,) for chunk in chunks]
        with self._changing() as connection:
            run_many(connection, "DELETE FROM chunk_vectors WHERE chunk = ?", rows)

    def clear(self) -> None:
        with self._changing() as connection:
            connection.execute(
                text("DELETE FROM chunk_vectors WHERE index_id = :index"), {"index": self._index}
            )

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        matrix = self._current()
        allowed = np.isin(matrix.shelves, np.asarray(shelves, np.int64))
        count = int(allowed.sum())
        if count == 0:
            return []
        if count < len(allowed) // 4:
            rows = np.flatnonzero(allowed)
            similar = np.vecdot(matrix.vectors[rows], vector)
        else:
            rows = np.arange(len(allowed))
            # `@` spreads it over all cores, which wait for each other: three times the work
            similar = np.vecdot(matrix.vectors, vector)
            similar[~allowed] = -np.inf
        k = min(k, count)
        best = np.argpartition(-similar, k - 1)[:k]
        best = best[np.lexsort((rows[best], -similar[best]))]
        return [Hit(int(matrix.chunks[rows[at]]), float(similar[at])) for at in best]

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction after which every process reads the index's vectors again."""
        with self._db.write() as connection:
            yield connection
            connection.execute(
                text("UPDATE indexes SET version = version + 1 WHERE serial = :index"),
                {"index": self._index},
            )

    def _current(self) -> _Matrix:
        """The matrix of the version that the database has now."""
        with self._db.read() as connection:
            version = connection.exec_driver_sql(
                f"SELECT version FROM indexes WHERE serial = {self._index}"  # noqa: S608
            ).scalar_one()
            if version != self._matrix.version:
                with self._lock:
                    if version > self._matrix.version:
                        self._matrix = self._refreshed(connection, version)
        return self._matrix

    def _refreshed(self, connection: Connection, version: int) -> _Matrix:
        """The matrix of a version. Only vectors that are not in memory yet are read."""
        old = self._matrix
        listed = connection.exec_driver_sql(
            f"SELECT chunk, shelf FROM chunk_vectors WHERE index_id = {self._index}"  # noqa: S608
            " ORDER BY chunk"
        ).all()
        chunks = np.fromiter((row[0] for row in listed), np.int64, len(listed))
        shelves = np.fromiter((row[1] for row in listed), np.int64, len(listed))
        vectors = np.empty((len(chunks), old.vectors.shape[1]), np.float32)
        known, from_old, to_new = np.intersect1d(
            old.chunks, chunks, assume_unique=True, return_indices=True
        )
        vectors[to_new] = old.vectors[from_old]
        fresh = np.setdiff1d(chunks, known, assume_unique=True)
        places = np.searchsorted(chunks, fresh)
        for begin in range(0, len(fresh), _READ):
            wanted = fresh[begin : begin + _READ]
            rows = dict(
                tuple(row)
                for row in select_in(
                    connection,
                    "SELECT chunk, vector FROM chunk_vectors WHERE chunk IN ?",
                    wanted.tolist(),
                )
            )
            packed = b"".join(rows[chunk] for chunk in wanted.tolist())
            vectors[places[begin : begin + _READ]] = np.frombuffer(packed, "<f4").reshape(
                len(wanted), -1
            )
        return _Matrix(version, chunks, shelves, vectors)
