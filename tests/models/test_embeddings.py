"""MiniLM in the embedded engine against an independent computation.

`minilm_reference.json` was made with numpy in 64 bits from the published 32-bit weights and
Hugging Face's tokenizer: for each text its number of tokens, the first components of its vector,
and the cosines with the texts before it.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import openai
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
REFERENCE: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("minilm_reference.json").read_text(encoding="utf-8")
)


def embed(client: openai.OpenAI, given: Any, **more: Any) -> openai.types.CreateEmbeddingResponse:
    return client.embeddings.create(model="minilm", input=given, encoding_format="float", **more)


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def test_vectors_are_those_of_the_reference(minilm: openai.OpenAI) -> None:
    reply = embed(minilm, [row["text"] for row in REFERENCE])
    vectors = [entry.embedding for entry in reply.data]
    assert [entry.index for entry in reply.data] == list(range(len(REFERENCE)))
    assert reply.usage.prompt_tokens == sum(row["tokens"] for row in REFERENCE)
    for number, row in enumerate(REFERENCE):
        assert len(vectors[number]) == 384
        assert dot(vectors[number], vectors[number]) == pytest.approx(1, abs=1e-4)
        assert vectors[number][:8] == pytest.approx(row["head"], abs=0.008)
        cosines = [dot(vectors[number], earlier) for earlier in vectors[:number]]
        assert cosines == pytest.approx(row["cosines"], abs=0.02)


def test_base64_holds_the_same_numbers(minilm: openai.OpenAI) -> None:
    plain = embed(minilm, "The wheel turns.").data[0].embedding
    reply = minilm.embeddings.with_raw_response.create(
        model="minilm", input="The wheel turns.", encoding_format="base64"
    )
    packed = json.loads(reply.text)["data"][0]["embedding"]
    assert list(struct.unpack("<384f", base64.b64decode(packed))) == pytest.approx(plain, abs=1e-6)


def test_the_client_s_own_default_works(minilm: openai.OpenAI) -> None:
    reply = minilm.embeddings.create(model="minilm", input=["one", "two"])
    assert [len(entry.embedding) for entry in reply.data] == [384, 384]
    assert reply.usage.model_extra is not None
    assert reply.usage.model_extra["compute_ms"] > 0


def test_token_ids_are_taken_as_they_are(minilm: openai.OpenAI) -> None:
    words = embed(minilm, "hello").data[0].embedding
    ids = embed(minilm, [101, 7592, 102]).data[0].embedding
    several = embed(minilm, [[101, 7592, 102], [101, 2088, 102]])
    assert dot(words, ids) == pytest.approx(1, abs=0.001)
    assert len(several.data) == 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"input": "word " * 2000}, "context_length_exceeded"),
        ({"input": ""}, "invalid_value"),
        ({"input": []}, "invalid_value"),
        ({"input": ["fine", ""]}, "invalid_value"),
        ({"input": [10**9]}, "invalid_value"),
        ({"input": "x", "dimensions": 16}, "invalid_value"),
    ],
)
def test_what_cannot_be_embedded_is_a_400(
    minilm: openai.OpenAI, request_: dict[str, Any], code: str
) -> None:
    given = request_.pop("input")
    with pytest.raises(openai.BadRequestError) as refused:
        embed(minilm, given, **request_)
    assert refused.value.code == code


def test_a_model_that_embeds_does_not_chat(minilm: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="does not chat"):
        minilm.chat.completions.create(model="minilm", messages=[{"role": "user", "content": "x"}])
