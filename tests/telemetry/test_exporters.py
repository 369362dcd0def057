"""What exporters really send: attributes of Vercel's AI SDK, OpenLLMetry, MLflow and others,
messages in events and in the log, models with colons, and spans that are broken."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from noria.errors import NotFound
from noria.store import find_trace
from noria.types import SpanKind
from tests.telemetry.support import JSON, PROTOBUF, request, span

CASES = Path(__file__).parents[3] / "shared" / "cases" / "otlp"


@pytest.fixture(scope="module")
def client(door, secret):
    with door.client(secret) as client:
        yield client


def told(door, trace_id: str):
    """The spans of a trace, by name, with what went in and out."""
    door.spans()  # takes in
    with door.database() as db:
        found = find_trace(db, trace_id)
    return {
        one.span.name: (
            one.span,
            json.loads(one.request) if one.request else None,
            json.loads(one.response) if one.response else None,
        )
        for one in found
    }


def send(client, name: str, attributes: dict[str, Any], **more: Any) -> str:
    made = span(name, attributes=attributes, **more)
    answer = client.post("/v1/traces", content=request(made).SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    assert answer.content == b""
    return made.trace_id.hex()


def post_case(client, name: str, *, fresh: str) -> Any:
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    text = path.read_text()
    now = time.time_ns()
    text = text.replace("5b8efff798038103d269b633813fc6", fresh)
    text = text.replace("1796100000000000000", str(now)).replace("1796100000500000000", str(now))
    text = text.replace("1796100000100000000", str(now))
    return client.post("/v1/traces", content=text, headers=JSON)


@pytest.fixture
def fresh() -> str:
    return secrets.token_hex(15)


def test_a_call_of_vercels_sdk_is_a_call(door, client, fresh):
    assert post_case(client, "vercel-no-operation.json", fresh=fresh).status_code == 200
    ((call, asked, answered),) = told(door, f"{fresh}01").values()
    assert (call.kind, call.input_tokens, call.output_tokens) == (SpanKind.CHAT, 1000, 500)
    assert call.target == "openai:gpt-4o-mini"
    assert call.cost_nano == 450_000  # 1000 at 0.15 and 500 at 0.60 dollars a million
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert answered["choices"][0]["message"]["content"] == "Hello"


def test_a_colon_in_a_models_name_does_not_hide_its_provider(door, client, fresh):
    assert post_case(client, "model-with-colon.json", fresh=fresh).status_code == 200
    ((one, *_),) = told(door, f"{fresh}03").values()
    ((two, *_),) = told(door, f"{fresh}04").values()
    assert one.target == "ollama:llama3.2:3b"
    assert two.target == "aws.bedrock:anthropic.claude-sonnet-4-5-20250929-v1:0"


def test_half_a_surrogate_pair_loses_nothing(door, client, fresh):
    assert post_case(client, "lone-surrogate.json", fresh=fresh).status_code == 200
    assert "good" in told(door, f"{fresh}05")
    assert "cut" in told(door, f"{fresh}06")


def test_messages_in_an_event_of_the_span_are_kept(door, client, fresh):
    assert post_case(client, "content-in-events.json", fresh=fresh).status_code == 200
    ((_, asked, _),) = told(door, f"{fresh}07").values()
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("media", ["protobuf", "json"])
def test_one_broken_span_does_not_lose_its_batch(door, client, media):
    good, bad = span("good one"), span("broken one", attributes={"text": "a" * 20 + "XX"})
    if media == "protobuf":
        body = request(bad, good).SerializeToString().replace(b"aXX", b"a\xf0\x9f")
        answer = client.post("/v1/traces", content=body, headers=PROTOBUF)
    else:

        def as_json(one, start):
            return {
                "traceId": one.trace_id.hex(), "spanId": one.span_id.hex(), "name": one.name,
                "startTimeUnixNano": start, "endTimeUnixNano": start,
            }  # fmt: skip

        spans = [as_json(bad, "yesterday"), as_json(good, str(time.time_ns()))]
        content = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        answer = client.post("/v1/traces", json=content)
    assert answer.status_code == 200
    assert "good one" in told(door, good.trace_id.hex())
    with pytest.raises(NotFound):
        told(door, bad.trace_id.hex())


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"operation.name": "ai.streamText.doStream f", "ai.model.id": "m"}, SpanKind.CHAT),
        ({"ai.operationId": "ai.embed.doEmbed", "ai.model.id": "m"}, SpanKind.EMBEDDING),
        ({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "f"}, SpanKind.TOOL),
        ({"ai.operationId": "ai.generateText", "ai.usage.promptTokens": 10}, SpanKind.APP),
        ({"llm.request.type": "chat", "gen_ai.system": "OpenAI"}, SpanKind.CHAT),
        ({"llm.request.type": "embedding"}, SpanKind.EMBEDDING),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "f"}, SpanKind.TOOL),
        ({"traceloop.span.kind": "workflow"}, SpanKind.APP),
        ({"mlflow.spanType": "CHAT_MODEL"}, SpanKind.CHAT),
        ({"gen_ai.system": "mistral_ai", "gen_ai.request.model": "m"}, SpanKind.CHAT),
        (
            {"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.agent.name": "a"},
            SpanKind.APP,
        ),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"}, SpanKind.APP),
    ],
)
def test_the_kind_of_work_is_inferred(door, client, attributes, kind):
    trace = send(client, "work", attributes)
    ((found, *_),) = told(door, trace).values()
    assert found.kind is kind


def test_vercels_legacy_telemetry_is_read_whole(door, client):
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": [
            {"type": "tool-call", "toolCallId": "c1", "toolName": "w", "args": {"in": "Ulm"}}]},
        {"role": "tool", "content": [
            {"type": "tool-result", "toolCallId": "c1", "toolName": "w", "result": "sun"}]},
    ]  # fmt: skip
    calls = [{"toolCallId": "c2", "toolName": "w", "args": '{"in": "Bonn"}'}]
    trace = send(
        client, "ai.streamText.doStream",
        {
            "operation.name": "ai.streamText.doStream", "ai.operationId": "ai.streamText.doStream",
            "ai.model.id": "gpt-4o-mini", "ai.model.provider": "openai.chat",
            "ai.prompt.messages": json.dumps(prompt), "ai.response.toolCalls": json.dumps(calls),
            "ai.response.finishReason": "tool-calls", "ai.usage.promptTokens": 7,
            "ai.usage.completionTokens": 3, "ai.response.msToFirstChunk": 120.5,
        },
    )  # fmt: skip
    ((found, asked, answered),) = told(door, trace).values()
    assert (found.target, found.ttft_ms) == ("openai:gpt-4o-mini", 120.5)
    assert (found.input_tokens, found.output_tokens) == (7, 3)
    assert [one["role"] for one in asked["messages"]] == ["system", "user", "assistant", "tool"]
    assert asked["messages"][3] == {"role": "tool", "tool_call_id": "c1", "content": "sun"}
    choice = answered["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {
        "name": "w",
        "arguments": '{"in": "Bonn"}',
    }


def test_a_tool_shows_what_it_was_given(door, client):
    trace = send(
        client, "weather",
        {
            "openinference.span.kind": "TOOL", "tool.parameters": '{"type": "object"}',
            "input.value": '{"in": "Ulm"}', "input.mime_type": "application/json",
        },
    )  # fmt: skip
    ((_, asked, _),) = told(door, trace).values()
    assert asked == {"in": "Ulm"}


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"gen_ai.usage.reasoning_tokens": 4}, {"reasoning_tokens": 4}),
        ({"gen_ai.is_streaming": True}, {"stream": True}),
        ({"gen_ai.cost.total_cost": 0.25}, {"cost_nano": 250_000_000}),
        (
            {"mlflow.chat.tokenUsage": '{"input_tokens": 8, "output_tokens": 2}'},
            {"input_tokens": 8, "output_tokens": 2},
        ),
        (
            {"gen_ai.usage.raw": '{"prompt_tokens": 8, "completion_tokens": 2}'},
            {"input_tokens": 8, "output_tokens": 2},
        ),
    ],
)
def test_other_names_of_figures_are_read(door, client, attributes, wanted):
    trace = send(client, "chat", {"gen_ai.operation.name": "chat"} | attributes)
    ((found, *_),) = told(door, trace).values()
    assert {name: getattr(found, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    "attributes",
    [
        {"traceloop.entity.input": '{"q": 1}', "traceloop.entity.output": '"a"'},
        {"mlflow.spanInputs": '{"q": 1}', "mlflow.spanOutputs": '"a"'},
        {
            "gen_ai.operation.name": "execute_tool",
            "tool_arguments": '{"q": 1}',
            "tool_response": "a",
        },
    ],
)
def test_what_went_in_and_out_is_read_under_other_names(door, client, attributes):
    trace = send(client, "work", attributes)
    ((_, asked, answered),) = told(door, trace).values()
    assert (asked, answered) == ({"q": 1}, "a")


def test_a_model_newer_than_the_prices_is_priced_as_the_one_asked_for_or_unknown(door, client):
    usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
    asked = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"} | usage
    near = {"gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "zeta-2099"}
    ((found, *_),) = told(door, send(client, "a", asked | near)).values()
    assert found.cost_nano == 450_000
    ((found, *_),) = told(
        door, send(client, "b", asked | {"gen_ai.request.model": "zeta"})
    ).values()
    assert found.attributes["cost_unknown"] is True


def test_metrics_are_accepted_and_dropped(client):
    assert client.post("/v1/metrics", content=b"", headers=PROTOBUF).content == b""
    assert client.post("/v1/metrics", content=b"{}", headers=JSON).json() == {}


def log_records(trace_id: str, span_id: str, *records: tuple[str, Any]) -> dict[str, Any]:
    def value(of: Any) -> Any:
        if isinstance(of, dict):
            pairs = [{"key": key, "value": value(one)} for key, one in of.items()]
            return {"kvlistValue": {"values": pairs}}
        return {"stringValue": of}

    made = [
        {
            "timeUnixNano": str(time.time_ns()), "traceId": trace_id, "spanId": span_id,
            "attributes": [{"key": "event.name", "value": {"stringValue": name}}],
            "body": value(body),
        }
        for name, body in records
    ]  # fmt: skip
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": made}]}]}


@pytest.mark.parametrize("first", ["log", "span"])
def test_messages_in_the_log_go_into_their_span(door, client, first):
    made = span("chat m", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})
    trace, identity = made.trace_id.hex(), made.span_id.hex()
    log = log_records(
        trace, identity,
        ("gen_ai.user.message", {"content": "Hi"}),
        ("gen_ai.choice", {"finish_reason": "stop", "message": {"content": "Hello"}}),
    )  # fmt: skip
    if first == "log":
        assert client.post("/v1/logs", json=log).json() == {}
    answer = client.post("/v1/traces", content=request(made).SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    if first == "span":
        assert client.post("/v1/logs", json=log).json() == {}
    ((_, asked, answered),) = told(door, trace).values()
    assert asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert answered["choices"][0]["message"]["content"] == "Hello"
