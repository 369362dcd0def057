"""Embeddings without a model: equal inputs have equal unit vectors."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from noria.testing.answers import count_tokens
from noria.testing.replies import Reply
from noria.types import Usage

__all__ = ["embeddings"]


def embeddings(
    request: Mapping[str, Any], reply: Reply, *, with_usage: bool = True
) -> tuple[dict[str, Any], Usage]:
    """The embeddings object and what it costs. Equal inputs have equal unit vectors."""
    given = request.get("input", "")
    alone = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
    inputs = [given] if alone else list(given)
    size = int(request.get("dimensions") or 8)
    vectors = [_vector(orjson.dumps(each), size) for each in inputs]
    if request.get("encoding_format") == "base64":
        encoded: list[Any] = [
            base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors
        ]
    else:
        encoded = list(vectors)
    counted = sum(count_tokens(each) if isinstance(each, str) else len(each) for each in inputs)
    usage = reply.usage or Usage(input_tokens=counted)
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(encoded)
        ],
        "model": str(request.get("model", "fake")),
    }
    if with_usage:
        answer["usage"] = {
            "prompt_tokens": usage.input_tokens,
            "total_tokens": usage.input_tokens,
        }
    return answer, usage


def _vector(seed: bytes, size: int) -> list[float]:
    noise = hashlib.shake_128(seed).digest(2 * size)
    raw = [value / 32768 for value in struct.unpack(f"<{size}h", noise)]
    length = sum(value * value for value in raw) ** 0.5 or 1.0
    return [value / length for value in raw]
