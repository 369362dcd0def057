"""noria's spans in the words of OpenTelemetry: what is sent to a collector."""

from __future__ import annotations

import base64
import re
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from noria import __version__
from noria.telemetry import names
from noria.types import Money, SpanKind, Status

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

    from noria.store import Recorded
    from noria.types import Span

__all__ = ["as_json", "export_request"]

_ID = re.compile(r"[0-9a-f]{16}")


def export_request(
    recorded: Iterable[Recorded], resource: Mapping[str, str], *, readable: Container[str]
) -> ExportTraceServiceRequest:
    """One request with these spans.

    Args:
        recorded: finished spans.
        resource: attributes of what sends them, such as `service.name`.
        readable: the traces whose messages go along.
    """
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    request = service.ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.extend(_pairs(resource))
    scope = group.scope_spans.add()
    scope.scope.name = "noria"
    scope.scope.version = __version__
    for one in recorded:
        content = one.span.trace_id in readable
        _fill(scope.spans.add(), one.span, content=content)
        if content:
            scope.spans[-1].attributes.extend(_pairs(_content(one)))
    return request


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """The same in OTLP's JSON, which has ids in hexadecimal where protobuf's has base64."""
    from google.protobuf.json_format import MessageToDict

    content: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    for group in content.get("resourceSpans", ()):
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    return orjson.dumps(content)


def _fill(proto: ProtoSpan, span: Span, *, content: bool) -> None:
    from opentelemetry.proto.trace.v1 import trace_pb2 as trace

    proto.trace_id = bytes.fromhex(span.trace_id)
    proto.span_id = bytes.fromhex(span.id)
    # A caller may have named any text as the parent of its call.
    if span.parent_id and _ID.fullmatch(span.parent_id):
        proto.parent_span_id = bytes.fromhex(span.parent_id)
    model = span.kind in (SpanKind.CHAT, SpanKind.EMBEDDING)
    proto.kind = trace.Span.SPAN_KIND_CLIENT if model else trace.Span.SPAN_KIND_INTERNAL
    proto.start_time_unix_nano = span.started_ns
    proto.end_time_unix_nano = span.started_ns + round((span.duration_ms or 0) * 1e6)
    operation = names.OPERATION_OF_KIND.get(span.kind)
    subject = span.name or span.model
    proto.name = f"{operation} {subject}" if operation and subject else subject or str(span.kind)
    if span.status is Status.OK:
        proto.status.code = trace.Status.STATUS_CODE_OK
    else:
        proto.status.code = trace.Status.STATUS_CODE_ERROR
        # The words of an error may quote what went in.
        proto.status.message = (span.error if content else None) or str(span.status)
    proto.attributes.extend(_pairs(_facts(span, operation)))


def _facts(span: Span, operation: str | None) -> dict[str, Any]:
    """Everything about a span but its content. What is None is left out."""
    provider, _, answered = (span.target or "").partition(":")
    failed = span.status is not Status.OK
    facts: dict[str, Any] = {
        names.OPERATION: operation,
        names.OWN_KIND: str(span.kind),
        names.OWN_STATUS: str(span.status),
        names.OWN_KEY: span.key_id,
        names.OWN_TEAM: span.team,
        names.OWN_USER: span.user,
        names.OWN_APP: span.app,
        names.ERROR_TYPE: (span.error_code or str(span.status)) if failed else None,
    }
    if span.kind in (SpanKind.CHAT, SpanKind.EMBEDDING):
        seconds = None if span.ttft_ms is None else span.ttft_ms / 1000
        facts |= {
            names.PROVIDER: names.WRITTEN_PROVIDERS.get(provider, provider) or None,
            names.REQUEST_MODEL: span.model,
            names.RESPONSE_MODEL: answered or None,
            names.STREAM: span.stream or None,
            names.FIRST_CHUNK_SECONDS: seconds,
            names.INPUT_TOKENS: span.input_tokens,
            names.OUTPUT_TOKENS: span.output_tokens,
            names.CACHED_TOKENS: span.cached_tokens,
            names.REASONING_TOKENS: span.reasoning_tokens,
            names.OWN_COST_USD: float(Money(span.cost_nano).usd),
        }
    elif span.kind is SpanKind.TOOL:
        facts[names.TOOL_NAMES[0]] = span.name
    elif span.kind is SpanKind.APP:
        facts[names.WORKFLOW_NAME] = span.name
    elif span.kind is SpanKind.SEARCH:
        used = span.attributes.get("documents")
        facts[names.FOUND] = [
            {"id": one.get("id"), "score": one.get("score")}
            for one in (used if isinstance(used, list) else ())
        ]
    elif span.kind is SpanKind.CHECK:
        facts[names.EVALUATION_NAME] = span.attributes.get("check")
        facts[names.EVALUATION_LABEL] = span.attributes.get("outcome")
    return facts


def _content(one: Recorded) -> dict[str, Any]:
    """What went in and out, by the conventions' names. Other kinds have OpenInference's."""
    asked, answered = _loaded(one.request), _loaded(one.response)
    if one.span.kind is not SpanKind.CHAT or not isinstance(asked, dict):
        return {
            names.INPUT_VALUE: _text(one.request),
            names.INPUT_MIME: names.JSON_MIME if one.request else None,
            names.OUTPUT_VALUE: _text(one.response),
            names.OUTPUT_MIME: names.JSON_MIME if one.response else None,
        }
    choices = answered.get("choices") if isinstance(answered, dict) else None
    replies = [
        {
            "role": "assistant",
            "parts": _parts(choice.get("message")),
            "finish_reason": str(choice.get("finish_reason") or "stop"),
        }
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
    ]
    sent = asked.get("messages")
    messages = [
        {"role": str(message.get("role")), "parts": _parts(message)}
        for message in (sent if isinstance(sent, list) else ())
        if isinstance(message, dict)
    ]
    return {
        names.INPUT_MESSAGES: orjson.dumps(messages).decode() if messages else None,
        names.OUTPUT_MESSAGES: orjson.dumps(replies).decode() if replies else None,
    }


def _parts(message: object) -> list[dict[str, Any]]:
    """One of OpenAI's messages as parts."""
    if not isinstance(message, dict):
        return []
    content = message.get("content")
    if message.get("role") == "tool":
        identity = message.get("tool_call_id")
        return [{"type": "tool_call_response", "id": identity, "result": content}]
    parts: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        if isinstance(part, dict) and part.get("type") == "text":
            if part.get("text"):
                parts.append({"type": "text", "content": part["text"]})
        elif isinstance(part, dict):
            parts.append({"type": str(part.get("type"))})  # an image is named, not sent
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            arguments = _loaded(str(function.get("arguments") or "").encode())
            name = function.get("name")
            parts.append(
                {"type": "tool_call", "id": call.get("id"), "name": name, "arguments": arguments}
            )
    return parts


def _pairs(values: Mapping[str, Any]) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    return [
        KeyValue(key=name, value=_any(value)) for name, value in values.items() if value is not None
    ]


def _any(value: Any) -> AnyValue:
    from opentelemetry.proto.common.v1 import common_pb2 as common

    if isinstance(value, bool):
        return common.AnyValue(bool_value=value)
    if isinstance(value, int):
        return common.AnyValue(int_value=value)
    if isinstance(value, float):
        return common.AnyValue(double_value=value)
    if isinstance(value, list):
        return common.AnyValue(array_value=common.ArrayValue(values=[_any(one) for one in value]))
    if isinstance(value, dict):
        return common.AnyValue(kvlist_value=common.KeyValueList(values=_pairs(value)))
    return common.AnyValue(string_value=str(value))


def _loaded(body: bytes | None) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None


def _text(body: bytes | None) -> str | None:
    return body.decode("utf-8", "replace") if body else None
