"""Search by meaning: vectors of the embedded model, made once a text and kept in the home."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from noria.models.engine.llama import LlamaEngine

__all__ = ["Encode", "Meaning", "local_encoder"]

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Gives a vector of length 1 for each text."""

_MODEL = "minilm"
_BATCH = 32
_CHARACTERS = 1_200
"""Of a text that are embedded: the model reads 512 tokens."""


class Meaning:
    """Finds texts by their vectors.

    Args:
        encode: makes vectors.
        path: the file that keeps them; None: they are kept in memory only.
    """

    def __init__(self, encode: Encode, path: Path | None = None) -> None:
        self._encode = encode
        self._path = path
        self._vectors: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._matrix: tuple[tuple[str, ...], Any] | None = None
        self._load()

    def best(self, texts: Sequence[str], question: str, k: int) -> list[tuple[int, float]]:
        """The places of the `k` texts nearest to a question, each with the cosine.

        Nothing where many texts were not learned yet, or the model cannot be loaded: a search does
        not wait for that.
        """
        import numpy as np

        if not texts:
            return []
        with self._lock:
            new = sum(_key(text) not in self._vectors for text in texts)
            if new > _BATCH:
                return []
            try:
                similar = self._known(tuple(texts)) @ self._encode([question])[0]
            except (EngineError, ImportError):
                return []
        places = np.argsort(-similar, kind="stable")[:k]
        return [(int(place), float(similar[place])) for place in places]

    def learn(self, texts: Sequence[str]) -> None:
        """Embed texts now, so that no search waits for it."""
        with self._lock:
            self._known(tuple(texts))

    def _known(self, texts: tuple[str, ...]) -> Any:
        import numpy as np

        if self._matrix is not None and self._matrix[0] == texts:
            return self._matrix[1]
        keys = [_key(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._vectors}
        names = list(new)
        try:
            for start in range(0, len(names), _BATCH):
                part = names[start : start + _BATCH]
                self._vectors |= zip(part, self._encode([new[key] for key in part]), strict=True)
        finally:
            if new and self._vectors:
                self._save()
        matrix = np.stack([self._vectors[key] for key in keys])
        self._matrix = texts, matrix
        return matrix

    def _load(self) -> None:
        if self._path is None or not self._path.exists():
            return
        import zipfile

        import numpy as np

        try:
            with np.load(self._path, allow_pickle=False) as kept:
                self._vectors = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            self._vectors = {}  # they are made again

    def _save(self) -> None:
        if self._path is None:
            return
        import os
        import tempfile

        import numpy as np

        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, keys=list(self._vectors), vectors=np.stack(list(self._vectors.values())))
        os.replace(temporary, self._path)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def local_encoder() -> Encode | None:
    """The embedded model, loaded into this process when it is first used.

    Returns:
        None where its weights were not pulled. Using it raises EngineError where they are damaged.
    """
    from noria.models.local import LOCAL
    from noria.models.weights import Weights

    weights = Weights(models=LOCAL)
    if not weights.present(_MODEL):
        return None

    @cache
    def engine() -> LlamaEngine:
        from noria.models.catalogue import Capabilities
        from noria.models.engine.llama import LlamaEngine, default_threads

        capabilities = Capabilities(chat=False, embeddings=True, context=LOCAL[_MODEL].context)
        return LlamaEngine(
            _MODEL, weights.locate(_MODEL), capabilities, parallel=1, threads=default_threads()
        )

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        answer = engine().embed({"input": [text[:_CHARACTERS] or " " for text in texts]})
        vectors = np.asarray([one["embedding"] for one in answer["data"]], np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)

    return encode
