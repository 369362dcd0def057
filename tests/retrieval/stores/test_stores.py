"""One suite for every vector store: what it must do, on real databases."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from noria.config import Config, Store
from noria.plugins import registry
from noria.retrieval import VectorStore
from noria.store import Database, open_database

DIMENSIONS = 32
STORES = ("exact on SQLite", "exact on Postgres", "pgvector on Postgres", "qdrant", "lancedb")
PACKAGES = {"qdrant": "qdrant_client", "lancedb": "lancedb"}


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, str]]:
    """A database with the row of an index, and the name of a store."""
    name, _, on = request.param.partition(" on ")
    if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed; it is an extra")
    store = Store(url=request.getfixturevalue("postgres_url")) if on == "Postgres" else Store()
    db = open_database(Config(home=tmp_path / "home", store=store))
    with db.write() as connection:
        for number in (1, 2):
            connection.execute(
                text(
                    "INSERT INTO indexes (serial, name, source, model, store, settings, version)"
                    f" VALUES ({number}, 'index{number}', '', '', '', '', 0)"
                )
            )
    yield db, name
    db.close()


@pytest.fixture
def store(opened: tuple[Database, str]) -> VectorStore:
    return open_store(*opened)


def open_store(db: Database, name: str, index: int = 1) -> VectorStore:
    made: VectorStore = registry().vector_stores.find(name)(db, index, DIMENSIONS)
    return made


def unit(count: int, seed: int = 1) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest(
    vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, allowed: list[int]
) -> list[int]:
    return sorted(allowed, key=lambda at: -float(vectors[at] @ query))[:k]


def test_the_nearest_are_found_in_order_with_their_cosine(store: VectorStore) -> None:
    vectors = unit(300)
    store.put(range(1, 301), [1] * 300, vectors)
    for query in unit(10, seed=2):
        hits = store.search(query, 10, [1])
        expected = nearest(vectors, query, 10, list(range(300)))
        assert len({hit.chunk - 1 for hit in hits} & set(expected)) >= 9
        for hit in hits:
            assert hit.similarity == pytest.approx(float(vectors[hit.chunk - 1] @ query), abs=2e-3)
        similar = [hit.similarity for hit in hits]
        assert similar == sorted(similar, reverse=True)


@pytest.mark.parametrize("share", [2, 10, 100])
def test_what_stands_on_other_shelves_takes_no_place(store: VectorStore, share: int) -> None:
    """However few stand on the reader's shelves, as many as wanted of them are found."""
    vectors = unit(300)
    shelves = [2 if number % share == 0 else 1 for number in range(300)]
    store.put(range(1, 301), shelves, vectors)
    mine = [at for at in range(300) if shelves[at] == 2]
    for query in unit(5, seed=3):
        hits = [hit.chunk - 1 for hit in store.search(query, 20, [2])]
        assert set(hits) <= set(mine)
        assert len(hits) == min(20, len(mine))
        expected = nearest(vectors, query, 20, mine)
        assert len(set(hits) & set(expected)) >= 0.9 * len(expected)


def test_several_shelves_and_none(store: VectorStore) -> None:
    vectors = unit(60)
    store.put(range(1, 61), [number % 3 for number in range(60)], vectors)
    assert len(store.search(vectors[0], 60, [0, 1])) == 40
    assert len(store.search(vectors[0], 60, [0, 1, 2, 9])) == 60
    assert store.search(vectors[0], 60, [9]) == []
    assert store.search(vectors[0], 60, []) == []


def test_moving_is_seen_by_the_next_search(store: VectorStore) -> None:
    vectors = unit(20)
    store.put(range(1, 21), [1] * 20, vectors)
    assert len(store.search(vectors[0], 20, [1])) == 20
    store.move([1, 2, 99], 7)
    assert {hit.chunk for hit in store.search(vectors[0], 20, [7])} == {1, 2}
    assert {1, 2}.isdisjoint(hit.chunk for hit in store.search(vectors[0], 20, [1]))


def test_removing_is_seen_by_the_next_search(store: VectorStore) -> None:
    vectors = unit(20)
    store.put(range(1, 21), [1] * 20, vectors)
    assert store.search(vectors[4], 1, [1])[0].chunk == 5
    store.remove([5, 99])
    assert 5 not in {hit.chunk for hit in store.search(vectors[4], 20, [1])}
    assert len(store.search(vectors[4], 20, [1])) == 19


def test_what_is_put_again_stands_there_once(store: VectorStore) -> None:
    vectors = unit(10)
    store.put(range(1, 11), [1] * 10, vectors)
    store.put(range(1, 11), [2] * 10, vectors)
    assert store.search(vectors[0], 20, [1]) == []
    assert len(store.search(vectors[0], 20, [2])) == 10


def test_nothing_is_put_moved_or_removed(store: VectorStore) -> None:
    store.put([], [], unit(0))
    store.move([], 1)
    store.remove([])
    assert store.search(unit(1)[0], 5, [1]) == []


def test_clearing_forgets_everything_and_it_goes_on(store: VectorStore) -> None:
    vectors = unit(10)
    store.put(range(1, 11), [1] * 10, vectors)
    store.clear()
    assert store.search(vectors[0], 20, [1]) == []
    store.put([11], [1], vectors[:1])
    assert [hit.chunk for hit in store.search(vectors[0], 20, [1])] == [11]


def test_another_opening_sees_it_and_another_index_does_not(opened: tuple[Database, str]) -> None:
    first, again, other = open_store(*opened), open_store(*opened), open_store(*opened, index=2)
    vectors = unit(10)
    first.put(range(1, 11), [1] * 10, vectors)
    assert len(again.search(vectors[0], 20, [1])) == 10
    first.remove([1])
    first.put([12], [1], vectors[:1])
    assert again.search(vectors[0], 1, [1])[0].chunk == 12
    assert other.search(vectors[0], 20, [1]) == []
