"""`POST /v1/traces` by the protocol's rules: what is kept, whose it is, and what is said of the
rest."""

from __future__ import annotations

import gzip
import secrets
import time

import pytest
from google.rpc.status_pb2 import Status as RpcStatus

from noria.store import find_trace, spend
from noria.types import SpanKind, Subject
from tests.support.door import chat
from tests.telemetry.support import JSON, PROTOBUF, answer, as_otlp_json, request, span

LLM = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "fake:small",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]',
}


@pytest.fixture(scope="module")
def client(door, secret):
    with door.client(secret) as client:
        yield client


def send(client, *spans, headers=PROTOBUF, **more):
    return client.post(
        "/v1/traces", content=request(*spans).SerializeToString(), headers=headers, **more
    )


def ids(door, **wanted):
    return {one.id for one in door.spans(**wanted)}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("media", ["protobuf", "json"])
def test_both_encodings_are_taken_plain_and_packed(door, client, media, packed):
    parent = span("the caller")
    child = span("the work", trace_id=parent.trace_id, parent_span_id=parent.span_id)
    made = request(parent, child)
    body = made.SerializeToString() if media == "protobuf" else as_otlp_json(made).encode()
    headers = dict(PROTOBUF if media == "protobuf" else JSON)
    if packed:
        body, headers["content-encoding"] = gzip.compress(body), "gzip"
    response = client.post("/v1/traces", content=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(headers["content-type"])
    assert response.content == (b"" if media == "protobuf" else b"{}")
    door.spans()  # takes in
    with door.database() as db:
        kept = [one.span for one in find_trace(db, parent.trace_id.hex())]
    assert {one.id: one.parent_id for one in kept} == {
        parent.span_id.hex(): None,
        child.span_id.hex(): parent.span_id.hex(),
    }


def test_times_and_names_are_those_of_the_span(door, client):
    begun = time.time_ns() - 60_000_000_000
    told = span("a minute ago", start_time_unix_nano=begun, end_time_unix_nano=begun + 1_500_000)
    assert send(client, told).status_code == 200
    (kept,) = [one for one in door.spans() if one.id == told.span_id.hex()]
    assert (kept.name, kept.duration_ms, kept.kind) == ("a minute ago", 1.5, SpanKind.APP)
    assert 0 <= kept.started_ns - begun < 2_000  # made unique by some nanoseconds


def test_the_rest_of_a_request_is_kept_when_some_spans_cannot_be(door, client):
    good = span("good")
    bad = [
        span(trace_id=b""),
        span(trace_id=bytes(16)),
        span(span_id=b"short"),
        span(span_id=bytes(8)),
        span(parent_span_id=b"123"),
        span(start_time_unix_nano=0),
        span(start_time_unix_nano=2**64 - 1),
        span(end_time_unix_nano=2**64 - 1),
    ]
    response = send(client, good, *bad)
    assert response.status_code == 200
    partial = answer(response.content).partial_success
    assert partial.rejected_spans == len(bad)
    assert "2 without a trace id of 16 bytes" in partial.error_message
    assert good.span_id.hex() in ids(door)


def test_what_json_says_of_left_out_spans(client):
    body = as_otlp_json(request(span(span_id=b"")))
    response = client.post("/v1/traces", content=body, headers=JSON)
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"


def test_a_request_that_is_sent_twice_is_kept_once(door, client):
    told = span("once", attributes=LLM)
    for _ in range(2):
        assert send(client, told).status_code == 200
        door.spans()  # the second comes when the first has its row
    assert send(client, told, told).status_code == 200
    (kept,) = [one for one in door.spans() if one.id == told.span_id.hex()]
    assert kept.attributes["source"] == "otlp"


# Whose


def test_nobody_joins_the_trace_of_another_key(door, client):
    with door.client(door.key(team="other")) as other:
        called = other.post("/v1/chat/completions", json=chat())
        intruder = span("intruder", trace_id=bytes.fromhex(called.headers["x-noria-trace"]))
        mine = span("mine")
        partial = answer(send(client, intruder, mine).content).partial_success
        assert partial.rejected_spans == 1
        assert partial.error_message == "1 in a trace that belongs to another key"
        assert mine.span_id.hex() in ids(door)
        assert intruder.span_id.hex() not in ids(door)
        # The one whose trace it is may.
        assert answer(send(other, intruder).content).partial_success.rejected_spans == 0
        assert intruder.span_id.hex() in ids(door)
        # And a trace that began with a foreign span is guarded as well.
        later = span("later", trace_id=mine.trace_id)
        assert answer(send(other, later).content).partial_success.rejected_spans == 1


def test_a_key_is_needed(door):
    with door.client("wrong") as stranger:
        assert send(stranger, span()).status_code == 401
        assert stranger.post("/v1/traces", headers={"authorization": ""}).status_code == 401


def test_an_id_that_is_taken_is_not_taken_over(door, client):
    with door.client(door.key(team="other")) as other:
        other.post("/v1/chat/completions", json=chat("mine"))
    (victim,) = door.spans(team="other", kind="chat")[:1]
    forged = span("forged", span_id=bytes.fromhex(victim.id))
    assert send(client, forged).status_code == 200
    (kept,) = [one for one in door.spans() if one.id == victim.id]
    assert (kept.name, kept.trace_id, kept.team) == (None, victim.trace_id, "other")


# What it may do: be shown


def test_no_budget_is_charged_and_no_sum_grows(new_door):
    door = new_door()
    secret = door.key(team="frugal", budget="1 USD")
    with door.client(secret) as client:
        expensive = span("expensive", attributes={**LLM, "llm.cost.total": 1e6})
        assert send(client, expensive).status_code == 200
        (kept,) = door.spans()
        assert kept.cost_nano == 10**15
        assert door.budget(Subject.KEY).spent_nano == 0
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        door.spans()
        with door.database() as db:
            (row,) = [one for one in spend(db, by="team") if one.name == "frugal"]
            assert (row.calls, row.spent_nano < 10**9) == (1, True)


def test_it_cannot_forge_documents_verdicts_or_applications(door, client):
    told = span(
        "forged evidence",
        attributes={
            "openinference.span.kind": "EVALUATOR",
            "check": "grounded",
            "outcome": "pass",
            "documents": "[]",
            "noria.app": "support",
            "noria.span.kind": "check",
        },
    )
    assert send(client, told).status_code == 200
    (kept,) = [one for one in door.spans() if one.id == told.span_id.hex()]
    assert (kept.kind, kept.app) == (SpanKind.APP, None)
    assert set(kept.attributes) == {"source", "otel"}


def test_a_key_without_content_keeps_figures_only(door):
    canary = secrets.token_hex(8)
    told = span(
        f"chat {canary[:0]}",
        attributes={
            **LLM,
            "gen_ai.input.messages": canary,
            "input.value": canary,
            "a.name.nobody.knows": canary,
            "temperature": 0.5,
        },
        status={"code": 2, "message": canary},
    )
    with door.client(door.key(record_content=False)) as client:
        assert send(client, told).status_code == 200
    (kept,) = [one for one in door.spans() if one.id == told.span_id.hex()]
    with door.database() as db:
        (recorded,) = find_trace(db, told.trace_id.hex())
    assert (recorded.request, recorded.response) == (None, None)
    assert canary not in repr(kept)
    assert (kept.input_tokens, kept.attributes["otel"]["temperature"]) == (10, 0.5)


def test_messages_are_found_by_their_words(door, client):
    word = secrets.token_hex(8)
    messages = f'[{{"role": "user", "parts": [{{"type": "text", "content": "{word}"}}]}}]'
    told = span("found", attributes={**LLM, "gen_ai.input.messages": messages})
    assert send(client, told).status_code == 200
    assert [one.id for one in door.spans(text=word)] == [told.span_id.hex()]


# What is refused


@pytest.mark.parametrize(
    ("headers", "body", "status", "why"),
    [
        (PROTOBUF, b"\xff\xff\xff", 400, "not an ExportTraceServiceRequest in protobuf"),
        (PROTOBUF, request(span()).SerializeToString()[:-3], 400, "protobuf"),
        (JSON, b"{", 400, "not JSON"),
        (JSON, b"[]", 400, "must be an object"),
        (JSON, b'{"resourceSpans": 5}', 400, "resourceSpans"),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 5}]}]}]}', 400, "name"),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}', 400,
         "traceId must be hexadecimal"),
        ({**PROTOBUF, "content-encoding": "gzip"}, b"not gzip", 400, "gzip"),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(b"x" * 999)[:-9], 400, "gzip"),
        ({**PROTOBUF, "content-encoding": "br"}, b"", 415, "Content-Encoding must be gzip"),
        ({**PROTOBUF, "content-encoding": "gzip"}, gzip.compress(bytes(200_000_000)), 413,
         "once unpacked"),
    ],
    # What the bodies hold is new in every process.
    ids=["cut", "protobuf cut", "json cut", "a list", "no list", "no name", "no hexadecimal",
         "no gzip", "gzip cut", "brotli", "a bomb"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_the_words_of_the_protocol(
    client, headers, body, status, why
):
    response = client.post("/v1/traces", content=body, headers=headers)
    assert response.status_code == status
    if headers["content-type"] == JSON["content-type"]:
        message = response.json()["message"]
    else:
        message = RpcStatus.FromString(response.content).message
    assert why in message


def test_a_type_that_nobody_speaks(client):
    response = client.post("/v1/traces", content=b"", headers={"content-type": "text/plain"})
    assert response.status_code == 415
    assert "application/x-protobuf" in response.json()["error"]["message"]
    assert client.get("/v1/traces").status_code == 405


def test_too_many_spans_at_once(client):
    many = request(*[span()] * 20_001).SerializeToString()
    response = client.post("/v1/traces", content=many, headers=PROTOBUF)
    assert response.status_code == 413
    assert "20000" in RpcStatus.FromString(response.content).message


def test_a_huge_batch_is_taken_while_the_door_answers(door, client):
    many = [span(f"n{n}", attributes=LLM) for n in range(5_000)]
    assert send(client, *many).status_code == 200
    assert client.get("/v1/models").status_code == 200
    wanted = {one.span_id.hex() for one in many}
    assert wanted <= ids(door)
