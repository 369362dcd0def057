"""Vectors in LanceDB (extra `lancedb`): the folder `lancedb` of the home, or `LANCEDB_URI`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noria.errors import ConfigError
from noria.retrieval.stores.base import Hit

if TYPE_CHECKING:
    from noria.store import Database

__all__ = ["LanceVectors"]


class LanceVectors:
    """The vectors of one index as a table."""

    def __init__(self, db: Database, index_id: int, dimensions: int) -> None:
        try:
            import lancedb
            import pyarrow
        except ImportError:
            raise ConfigError(
                "store: lancedb needs packages that are not installed.",
                "Install them: pip install 'noria[lancedb]'",
            ) from None
        self._arrow = pyarrow
        self._schema = pyarrow.schema(
            [
                pyarrow.field("chunk", pyarrow.int64()),
                pyarrow.field("shelf", pyarrow.int64()),
                pyarrow.field("vector", pyarrow.list_(pyarrow.float32(), dimensions)),
            ]
        )
        folder = os.environ.get("LANCEDB_URI") or str(db.home / "lancedb")
        # Other processes write to it as well: look for what is new at every search.
        connection = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        self._table: Any = connection.create_table(
            f"index_{index_id}", schema=self._schema, exist_ok=True
        )

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        if not chunks:
            return
        flat = self._arrow.array(np.ascontiguousarray(vectors, np.float32).ravel())
        rows = self._arrow.table(
            [
                self._arrow.array(chunks, self._arrow.int64()),
                self._arrow.array(shelves, self._arrow.int64()),
                self._arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            ],
            schema=self._schema,
        )
        merge = self._table.merge_insert("chunk")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        if chunks:
            self._table.update(where=f"chunk IN ({_listed(chunks)})", values={"shelf": shelf})

    def remove(self, chunks: Sequence[int]) -> None:
        if chunks:
            self._table.delete(f"chunk IN ({_listed(chunks)})")

    def clear(self) -> None:
        self._table.delete("true")

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        if not shelves:
            return []
        found = (
            self._table.search(vector.tolist())
            .distance_type("cosine")
            .where(f"shelf IN ({_listed(shelves)})", prefilter=True)
            .select(["chunk", "_distance"])
            .limit(k)
            .to_arrow()
        )
        return [
            Hit(chunk, 1 - far)
            for chunk, far in zip(
                found["chunk"].to_pylist(), found["_distance"].to_pylist(), strict=True
            )
        ]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)
