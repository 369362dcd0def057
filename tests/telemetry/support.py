"""Requests of OTLP, as a client makes them."""

from __future__ import annotations

import secrets
import time
from typing import Any

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def span(name: str = "work", **fields: Any) -> Span:
    """One span that is right unless `fields` make it wrong."""
    now = time.time_ns()
    attributes = fields.pop("attributes", {})
    given = {
        "trace_id": secrets.token_bytes(16),
        "span_id": secrets.token_bytes(8),
        "start_time_unix_nano": now - 1_000_000,
        "end_time_unix_nano": now,
        **fields,
    }
    made = Span(name=name, **given)
    made.attributes.extend(
        KeyValue(key=key, value=_value(value)) for key, value in attributes.items()
    )
    return made


def request(*spans: Span) -> service.ExportTraceServiceRequest:
    """One request with these spans."""
    made = service.ExportTraceServiceRequest()
    made.resource_spans.add().scope_spans.add().spans.extend(spans)
    return made


def as_otlp_json(made: service.ExportTraceServiceRequest) -> str:
    """The request in JSON, with the ids in hexadecimal as OTLP has them."""
    text = str(MessageToJson(made))
    for group in made.resource_spans:
        for scope in group.scope_spans:
            for one in scope.spans:
                for identity in (one.trace_id, one.span_id, one.parent_span_id):
                    if identity:
                        text = text.replace(_base64(identity), identity.hex())
    return text


def answer(body: bytes) -> service.ExportTraceServiceResponse:
    """A response in protobuf."""
    return service.ExportTraceServiceResponse.FromString(body)


def _base64(identity: bytes) -> str:
    import base64

    return base64.b64encode(identity).decode()


def _value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
