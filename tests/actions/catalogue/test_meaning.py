"""Search by meaning, joined with the search by words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.actions.catalogue import Catalogue, Part
from noria.actions.catalogue.meaning import Meaning
from noria.errors import EngineError
from tests.actions.support import operation

PART = Part.of(
    "shop", [operation("create_bucket"), operation("delete_bucket"), operation("x_queue")]
)
TOPICS = {"pail": 0, "bucket": 0, "line": 1, "queue": 1}


class Encoder:
    """Knows two topics; counts what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.broken = False

    def __call__(self, texts: Sequence[str]) -> Any:
        if self.broken:
            raise EngineError("damaged")
        self.texts += texts
        found = np.full((len(texts), 2), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word, topic in TOPICS.items():
                found[row, topic] += word in text
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_what_shares_no_word_is_found_by_its_meaning(tmp_path: Path) -> None:
    encode, path = Encoder(), tmp_path / "home" / "vectors.npz"
    assert Catalogue([PART]).search("a waiting line", 1) == []
    found = Catalogue([PART], Meaning(encode, path))
    assert found.search("a waiting line", 1)[0].name == "x_queue"
    made = len(encode.texts)
    # They are kept: only the question is embedded by the next process.
    again = Catalogue([PART], Meaning(encode, path))
    assert again.search("a waiting line", 1)[0].name == "x_queue"
    assert len(encode.texts) == made + 1


def test_a_search_neither_waits_for_many_texts_nor_fails_without_the_model(tmp_path: Path) -> None:
    many = Part.of("many", [operation(f"make_thing_{i}") for i in range(100)])
    encode = Encoder()
    meaning = Meaning(encode, tmp_path / "vectors.npz")
    found = Catalogue([many], meaning)
    assert found.search("thing", 5)
    assert encode.texts == []
    meaning.learn(found.told())
    assert len(encode.texts) == 100
    encode.broken = True
    assert found.search("thing", 5)


def test_a_damaged_file_of_vectors_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    path.write_bytes(b"PK\x03\x04 cut off")
    found = Catalogue([PART], Meaning(Encoder(), path))
    assert found.search("a waiting line", 1)[0].name == "x_queue"
