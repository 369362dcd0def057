"""LangChain and LlamaIndex inside a step: their calls are noria's calls."""

from __future__ import annotations

import pytest

from noria.testing import Reply
from noria.types import SpanKind


def by_id(door, trace):
    return {one.id: one for one in door.spans() if one.trace_id == trace}


def test_langchain(example, fake):
    door = example("langchain_step", model="writer")
    fake.by_model["small"] = lambda received: Reply(
        f"For {received.body['messages'][0]['content'].partition(' for ')[2]}"
    )
    with door.client(door.key()) as client:
        answer = client.post("/apps/chain/answer", json={"question": "What is a noria?"})
    assert answer.json() == "For an expert.\n\nFor a child of ten."
    spans = by_id(door, answer.headers["x-noria-trace"])
    calls = [one for one in spans.values() if one.kind is SpanKind.CHAT]
    assert len(calls) == 2
    for call in calls:
        step = spans[call.parent_id]
        assert (step.kind, spans[step.parent_id].kind) == (SpanKind.STEP, SpanKind.APP)
        assert call.app == "chain"
        assert call.cost_nano > 0


@pytest.mark.engine
def test_llama_index(example, fake):
    door = example("llama_index_step", model="writer")

    def first_fact(received) -> Reply:
        text = received.body["messages"][-1]["content"]
        return Reply(next(line for line in text.splitlines() if "Orontes" in line))

    fake.by_model["small"] = first_fact
    with door.client(door.key(), timeout=170) as client:
        for _ in range(2):  # the facts are embedded once
            answer = client.post("/apps/llama/answer", json={"question": "On which river is Hama?"})
            assert "river Orontes" in answer.json(), answer.text
    spans = by_id(door, answer.headers["x-noria-trace"])
    (call,) = [one for one in spans.values() if one.kind is SpanKind.CHAT]
    assert spans[call.parent_id].kind is SpanKind.STEP
    (vector,) = [one for one in spans.values() if one.kind is SpanKind.EMBEDDING]
    assert vector.model == "local:minilm"
