"""Vectors of texts: through the gateway, in batches, several on the way at once."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noria.errors import ApiError
from noria.gateway.local_client import complete
from noria.models.endpoint import Endpoint
from noria.tracing import CallContext

__all__ = ["embed_texts"]

_ATTEMPTS = 4


async def embed_texts(
    context: CallContext, model: str, texts: Sequence[str]
) -> NDArray[np.float32]:
    """A vector of length 1 for each text. A text that is too long for the model is represented by
    its beginning.

    Raises:
        ApiError: the call was refused or failed.
    """
    try:
        return await _asked(context, model, texts)
    except ApiError as refused:
        if refused.code != "context_length_exceeded":
            raise
    return np.concatenate([await _shortened(context, model, text) for text in texts])


async def _shortened(context: CallContext, model: str, text: str) -> NDArray[np.float32]:
    while True:
        try:
            return await _asked(context, model, [text])
        except ApiError as refused:
            if refused.code != "context_length_exceeded" or len(text) < 2:
                raise
        text = text[: len(text) * 3 // 4]


async def _asked(context: CallContext, model: str, texts: Sequence[str]) -> NDArray[np.float32]:
    request = {"model": model, "input": list(texts), "encoding_format": "base64"}
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = await complete(context, Endpoint.EMBEDDINGS, request)
            break
        except ApiError as refused:
            passing = refused.status in (429, 503) and refused.code != "budget_exhausted"
            if not passing or attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(refused.retry_after or 2 ** (attempt - 1))
    vectors = np.empty((len(texts), 0), np.float32)
    for entry in answer["data"]:
        vector = _vector(entry["embedding"])
        if not vectors.size:
            vectors = np.zeros((len(texts), len(vector)), np.float32)
        vectors[entry["index"]] = vector
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _vector(given: str | list[float]) -> NDArray[np.float32]:
    """An embedding in either of the two formats: some servers do not know base64."""
    if isinstance(given, str):
        return np.frombuffer(base64.b64decode(given), "<f4")
    return np.asarray(given, np.float32)
