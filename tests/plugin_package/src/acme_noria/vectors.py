"""Vectors in a file of their own, which SQLite keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.retrieval import Hit

__all__ = ["AcmeVectors"]


class AcmeVectors:
    """The vectors of one index. Every call opens the file, so that any process and thread may."""

    def __init__(self, db: Any, index_id: int, dimensions: int) -> None:
        folder = db.home / "acme"
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{index_id}.db"
        with self._open() as file:
            file.execute(
                "CREATE TABLE IF NOT EXISTS vectors"
                " (chunk INTEGER PRIMARY KEY, shelf INTEGER NOT NULL, vector BLOB NOT NULL)"
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._file, timeout=30)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        rows = [
            (int(chunk), int(shelf), np.asarray(vector, np.float32).tobytes())
            for chunk, shelf, vector in zip(chunks, shelves, vectors, strict=True)
        ]
        with self._open() as file:
            file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        with self._open() as file:
            file.executemany(
                "UPDATE vectors SET shelf = ? WHERE chunk = ?",
                [(shelf, int(chunk)) for chunk in chunks],
            )

    def remove(self, chunks: Sequence[int]) -> None:
        with self._open() as file:
            file.executemany(
                "DELETE FROM vectors WHERE chunk = ?", [(int(chunk),) for chunk in chunks]
            )

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        marks = ", ".join("?" for _ in shelves)
        with self._open() as file:
            rows = file.execute(
                f"SELECT chunk, vector FROM vectors WHERE shelf IN ({marks})", tuple(shelves)
            ).fetchall()
        if not rows:
            return []
        similar = np.stack([np.frombuffer(row[1], np.float32) for row in rows]) @ vector
        return [Hit(rows[at][0], float(similar[at])) for at in np.argsort(-similar)[:k]]

    def clear(self) -> None:
        with self._open() as file:
            file.execute("DELETE FROM vectors")
