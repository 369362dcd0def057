"""What a vector store must do, whoever makes it.

A store is registered by name in a plugin:

    def register(registry):
        registry.vector_stores.add("acme", AcmeVectors)

and is opened, for one index, as `AcmeVectors(db, index_id, dimensions)`. The chunks themselves,
with their texts, stay in noria's database, which is also asked again about each hit; a store that
is behind can miss something but never show what it should not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from noria.store import Database

__all__ = ["Hit", "Opener", "VectorStore"]


class Hit(NamedTuple):
    """A chunk and the cosine between its vector and the question's."""

    chunk: int
    similarity: float


class VectorStore(Protocol):
    """The vectors of one index. Methods block, and are called from several threads."""

    def put(
        self, chunks: Sequence[int], shelves: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        """Keep the vectors of chunks. A chunk's vector never changes: what is embedded anew is a
        new chunk. To put one again is no mistake.

        Args:
            chunks: their numbers.
            shelves: the shelf on which each stands.
            vectors: one row of length 1 for each.
        """

    def move(self, chunks: Sequence[int], shelf: int) -> None:
        """Put chunks on another shelf; those that are not there are left out."""

    def remove(self, chunks: Sequence[int]) -> None:
        """Forget chunks; those that are not there are left out."""

    def search(self, vector: NDArray[np.float32], k: int, shelves: Sequence[int]) -> list[Hit]:
        """The `k` chunks nearest to a vector of length 1 that stand on one of the shelves, the
        nearest first. What stands elsewhere must not take a place among them."""

    def clear(self) -> None:
        """Forget everything."""


Opener = Callable[["Database", int, int], VectorStore]
"""Opens the vectors of an index: the database, the index's number, the dimensions."""
