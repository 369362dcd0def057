"""Vectors in Qdrant (extra `qdrant`): a server named by `QDRANT_URL`, with its key in
`QDRANT_API_KEY`, or without one a folder of the home, which one process at a time may use."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from noria.errors import ConfigError
from noria.retrieval.stores.base import Hit

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from noria.store import Database

__all__ = ["QdrantVectors"]


class QdrantVectors:
    """The vectors of one index as a collection."""

    def __init__(self, db: Database, index_id: int, dimensions: int) -> None:
        try:
            from qdrant_client import models
        except ImportError:
            raise ConfigError(
                "store: qdrant needs a package that is not installed.",
                "Install it: pip install 'noria[qdrant]'",
            ) from None
        self._models = models
        with _lock:
            self._client = _client(os.environ.get("QDRANT_URL"), str(db.home / "qdrant"))
        # A server answers many at once; a folder is for one thread at a time.
        self._turn: AbstractContextManager[object] = (
            nullcontext() if os.environ.get("QDRANT_URL") else _lock
        )
        # A server may be shared by several installations.
        owner = hashlib.blake2b(str(db).encode(), digest_size=4).hexdigest()
        self._collection = f"noria_{owner}_{index_id}"
        self._dimensions = dimensions
        with self._turn:
            self._make()

    def _make(self) -> None:
        if self._client.collection_exists(self._collection):
            return
        models = self._models
        self._client.create_collection(
            self._collection,
            vectors_config=models.VectorParams(
                size=self._dimensions, distance=models.Distance.COSINE
            ),
        )
        if os.environ.get("QDRANT_URL"):
            self._client.create_payload_index(
                self._collection, "shelf", models.PayloadSchemaType.INTEGER
            )

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        points = [
            self._models.PointStruct(id=chunk, vector=vector.tolist(), payload={"shelf": shelf})
            for chunk, shelf, vector in zip(chunks, shelves, vectors, strict=True)
        ]
        if points:
            with self._turn:
                self._client.upsert(self._collection, points, wait=True)

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        if chunks:
            # by a condition, since to name a point that is not there is an error
            chosen = self._models.Filter(must=[self._models.HasIdCondition(has_id=list(chunks))])
            with self._turn:
                self._client.set_payload(
                    self._collection, {"shelf": shelf}, points=chosen, wait=True
                )

    def remove(self, chunks: Sequence[int]) -> None:
        if chunks:
            points = self._models.PointIdsList(points=list(chunks))
            with self._turn:
                self._client.delete(self._collection, points, wait=True)

    def clear(self) -> None:
        with self._turn:
            self._client.delete_collection(self._collection)
            self._make()

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        models = self._models
        allowed = models.FieldCondition(key="shelf", match=models.MatchAny(any=list(shelves)))
        with self._turn:
            found = self._client.query_points(
                self._collection,
                query=vector.tolist(),
                query_filter=models.Filter(must=[allowed]),
                limit=k,
                with_payload=False,
            )
        return [Hit(int(point.id), point.score) for point in found.points]


_lock = threading.RLock()


@functools.cache
def _client(url: str | None, folder: str) -> QdrantClient:
    """The one client of this process, which holds the folder's lock."""
    from qdrant_client import QdrantClient

    if url:
        return QdrantClient(url=url, api_key=os.environ.get("QDRANT_API_KEY"))
    try:
        client = QdrantClient(path=folder)
    except RuntimeError as busy:
        raise ConfigError(
            f"store: another process uses {folder}, which only one may: {busy}",
            "Run a Qdrant server and set QDRANT_URL.",
        ) from None
    atexit.register(client.close)  # its own finalizer fails once modules are gone
    return client
