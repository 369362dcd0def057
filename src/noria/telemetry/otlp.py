"""OTLP over HTTP, read: bytes of a request as plain spans.

Protobuf and JSON are the same message; JSON is turned into it, so that both are checked by the same
schema. What cannot be read refuses the whole request; a span that cannot be kept is left out and
counted with its reason, and the others are kept, as the protocol's partial success has it.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from noria.errors import ApiError
from noria.telemetry import names

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

__all__ = [
    "JSON",
    "PROTOBUF",
    "ForeignSpan",
    "Reading",
    "Said",
    "failure",
    "media_of",
    "read",
    "read_log",
    "success",
]

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

MOST_SPANS = 20_000
"""In one request."""
_DEEPEST = 16
_LATEST_NS = 24 * 3600 * 1_000_000_000
_EARLIEST_NS = 946_684_800_000_000_000  # the year 2000
_MOST_NAME = 256


@dataclass(slots=True)
class ForeignSpan:
    """One span of somebody else, as OTLP tells it. Times are UTC nanoseconds since the epoch."""

    trace_id: str
    id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    """What the failure was."""
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    resource: dict[str, Any]
    scope: str


@dataclass(slots=True)
class Said:
    """A record of a log that belongs to a span."""

    trace_id: str
    span_id: str
    name: str
    told: dict[str, Any]


@dataclass(slots=True)
class Reading:
    """The spans of a request, and why others were left out."""

    spans: list[ForeignSpan] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    """How many were left out, by reason."""


def media_of(content_type: str | None) -> str:
    """The encoding that a `Content-Type` names.

    Raises:
        ApiError: 415 when it is none of OTLP's.
    """
    media = (content_type or "").partition(";")[0].strip().lower()
    if media not in (PROTOBUF, JSON):
        raise ApiError(
            415, "unsupported_media_type",
            f"Content-Type must be {PROTOBUF} or {JSON}, not {media[:100] or 'missing'}.",
            param="content-type",
        )  # fmt: skip
    return media


def read(media: str, coding: str | None, body: bytes, most_bytes: int) -> Reading:
    """Read the body of `POST /v1/traces`.

    Args:
        media: `PROTOBUF` or `JSON`.
        coding: the request's `Content-Encoding`.
        body: as it came.
        most_bytes: the most that it may have once unpacked.

    Raises:
        ApiError: 400 when it cannot be read, 413 when it is too large, 415 when it is packed in a
            way that is not known.
    """
    body = _unpack(coding, body, most_bytes)
    reading = Reading()
    request = _from_json(body, reading) if media == JSON else _from_protobuf(body, reading)
    count = sum(len(scope.spans) for group in request.resource_spans for scope in group.scope_spans)
    if count > MOST_SPANS:
        raise ApiError(
            413, "request_too_large",
            f"The request has {count} spans; send at most {MOST_SPANS} at once.",
        )  # fmt: skip
    latest = time.time_ns() + _LATEST_NS
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                problem = _problem(span, latest)
                if problem is None:
                    reading.spans.append(_span(span, resource, scope.scope.name))
                else:
                    reading.rejected[problem] += 1
    return reading


def read_log(media: str, coding: str | None, body: bytes, most_bytes: int) -> list[Said]:
    """Read the body of `POST /v1/logs`: the records that belong to a span.

    Raises:
        ApiError: as `read`.
    """
    from google.protobuf.json_format import ParseDict, ParseError
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

    body = _unpack(coding, body, most_bytes)
    request = service.ExportLogsServiceRequest()
    try:
        if media == JSON:
            content = _loaded(body)
            for scope in _json_scopes(content, "resourceLogs"):
                for record in _lists(scope, "logRecords"):
                    _ids_to_base64(record)
            ParseDict(content, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
    except (DecodeError, ParseError, TypeError, ValueError, RecursionError) as wrong:
        raise ApiError(
            400, "invalid_body",
            f"The body is not an ExportLogsServiceRequest: {str(wrong)[:300]}",
        ) from None  # fmt: skip
    said: list[Said] = []
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records[:MOST_SPANS]:
                if len(record.trace_id) != 16 or len(record.span_id) != 8:
                    continue
                told = _attributes(record.attributes)
                of_record = _value(record.body, 0)
                name = record.event_name or str(told.get(names.EVENT_NAME) or "")
                if isinstance(of_record, dict):
                    told |= of_record
                elif of_record is not None:
                    told.setdefault("content", of_record)
                said.append(Said(record.trace_id.hex(), record.span_id.hex(), name, told))
    return said


def success(media: str, rejected: Counter[str]) -> bytes:
    """The answer to a request that was taken, with what was left out of it."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    answer = service.ExportTraceServiceResponse()
    if rejected:
        answer.partial_success.rejected_spans = rejected.total()
        answer.partial_success.error_message = "; ".join(
            f"{count} {reason}" for reason, count in rejected.most_common()
        )
    if media == JSON:
        return str(MessageToJson(answer, indent=None)).encode()
    return bytes(answer.SerializeToString())


def failure(media: str, error: ApiError) -> bytes:
    """The answer to a request that was refused: a `google.rpc.Status`, as the protocol wants."""
    from google.protobuf.json_format import MessageToJson
    from google.rpc.status_pb2 import Status

    status = Status(code=_CODES.get(error.status, 2), message=str(error))
    if media == JSON:
        return str(MessageToJson(status, indent=None)).encode()
    return bytes(status.SerializeToString())


# Those of gRPC that the statuses of HTTP stand for.
_CODES = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}


def _unpack(coding: str | None, body: bytes, most_bytes: int) -> bytes:
    coding = (coding or "identity").strip().lower()
    if coding == "identity":
        unpacked = body
    elif coding == "gzip":
        unpacked = _gunzip(body, most_bytes)
    else:
        raise ApiError(
            415, "unsupported_media_type",
            f"Content-Encoding must be gzip or nothing, not {coding[:100]}.",
            param="content-encoding",
        )  # fmt: skip
    if len(unpacked) > most_bytes:
        raise ApiError(
            413, "request_too_large",
            f"The request has over {most_bytes} bytes once unpacked; send fewer spans at once.",
        )  # fmt: skip
    return unpacked


def _gunzip(body: bytes, most_bytes: int) -> bytes:
    """Unpack all members of a gzip file, and no more than one byte above the limit."""
    parts: list[bytes] = []
    size = 0
    try:
        while body and size <= most_bytes:
            member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            part = member.decompress(body, most_bytes + 1 - size)
            parts.append(part)
            size += len(part)
            if not member.eof and size <= most_bytes:
                raise zlib.error("it ends too early")
            body = member.unused_data
    except zlib.error as broken:
        raise ApiError(400, "invalid_body", f"The body is not whole gzip: {broken}.") from None
    return b"".join(parts)


_UNREADABLE = "that cannot be read"


def _from_protobuf(body: bytes, reading: Reading) -> ExportTraceServiceRequest:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    request = service.ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        return _one_by_one(body, reading)
    return request


def _one_by_one(body: bytes, reading: Reading) -> ExportTraceServiceRequest:
    """Read each span of a request by itself, so that one that is no protobuf (a text cut within a
    character, say) is left out and the others are kept."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    request = service.ExportTraceServiceRequest()
    try:
        for group in _submessages(body, 1):
            resource_spans = request.resource_spans.add()
            for resource in _submessages(group, 1):
                _merge(resource_spans.resource, resource)
            for scope in _submessages(group, 2):
                scope_spans = resource_spans.scope_spans.add()
                for told in _submessages(scope, 1):
                    _merge(scope_spans.scope, told)
                for span in _submessages(scope, 2):
                    try:
                        scope_spans.spans.append(Span.FromString(span))
                    except DecodeError:
                        reading.rejected[_UNREADABLE] += 1
    except (DecodeError, IndexError, ValueError):
        raise ApiError(
            400, "invalid_body", "The body is not an ExportTraceServiceRequest in protobuf."
        ) from None
    return request


def _merge(message: Message, told: bytes) -> None:
    """Read what says where spans come from; nothing where that cannot be read."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(told)
    except DecodeError:
        message.Clear()


def _submessages(body: bytes, wanted: int) -> Iterator[bytes]:
    """The messages of one field of a message (protobuf's encoding: varints, and a length before
    what has one).

    Raises:
        ValueError: it is no message.
        IndexError: it ends too early.
    """
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(body, at)
        elif kind == 2:
            length, at = _varint(body, at)
            if at + length > len(body):
                raise ValueError("it ends too early")
            if tag >> 3 == wanted:
                yield body[at : at + length]
            at += length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError("no such wire type")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number of over ten bytes")


def _loaded(body: bytes) -> Any:
    """JSON, in which a lone half of a surrogate pair (a text that was cut within a character)
    becomes U+FFFD."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"\\u" not in body:
            raise
        text = json.dumps(json.loads(body), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _from_json(body: bytes, reading: Reading) -> ExportTraceServiceRequest:
    from google.protobuf.json_format import ParseDict, ParseError
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    request = service.ExportTraceServiceRequest()
    broken = (ParseError, TypeError, ValueError, RecursionError)
    try:
        content = _loaded(body)
        apart = [_lists(scope, "spans") for scope in _json_scopes(content, "resourceSpans")]
        for scope in _json_scopes(content, "resourceSpans"):
            scope.pop("spans", None)
        ParseDict(content, request, ignore_unknown_fields=True)
    except (orjson.JSONDecodeError, json.JSONDecodeError) as malformed:
        raise ApiError(400, "invalid_body", f"The body is not JSON: {malformed}.") from None
    except broken as wrong:
        raise ApiError(
            400, "invalid_body",
            f"The body is not an ExportTraceServiceRequest in JSON: {str(wrong)[:300]}",
        ) from None  # fmt: skip
    problem = ""
    scopes = (scope for group in request.resource_spans for scope in group.scope_spans)
    for scope, spans in zip(scopes, apart, strict=True):
        for span in spans:
            try:
                _ids_to_base64(span)
                scope.spans.append(ParseDict(span, Span(), ignore_unknown_fields=True))
            except broken as wrong:
                problem = problem or str(wrong)[:300]
                reading.rejected[_UNREADABLE] += 1
    if problem and not any(
        scope.spans for group in request.resource_spans for scope in group.scope_spans
    ):
        raise ApiError(400, "invalid_body", f"None of the spans can be read: {problem}")
    return request


def _json_scopes(content: Any, name: str) -> Iterator[dict[str, Any]]:
    if not isinstance(content, dict):
        raise TypeError("it must be an object")
    for group in _lists(content, name):
        yield from _lists(group, name.replace("resource", "scope"))


def _lists(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise TypeError(f"{name} must be a list of objects")
    return found


def _ids_to_base64(span: dict[str, Any]) -> None:
    """OTLP writes ids in hexadecimal, where the JSON of protobuf has base64."""
    for holder in (span, *_lists(span, "links")):
        for name in ("traceId", "spanId", "parentSpanId"):
            value = holder.get(name)
            if value is None:
                continue
            try:
                holder[name] = base64.b64encode(binascii.unhexlify(value)).decode()
            except (binascii.Error, TypeError):
                raise ValueError(f"{name} must be hexadecimal, not {str(value)[:50]!r}") from None


def _problem(span: ProtoSpan, latest: int) -> str | None:
    """Why a span cannot be kept."""
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return "without a trace id of 16 bytes"
    if len(span.span_id) != 8 or not any(span.span_id):
        return "without a span id of 8 bytes"
    if span.parent_span_id and len(span.parent_span_id) != 8:
        return "with a parent id that has not 8 bytes"
    if not _EARLIEST_NS <= span.start_time_unix_nano <= latest:
        return "with a start outside of this century, or after tomorrow"
    if span.end_time_unix_nano > latest:
        return "with an end after tomorrow"
    return None


def _span(span: ProtoSpan, resource: dict[str, Any], scope: str) -> ForeignSpan:
    parent = span.parent_span_id
    return ForeignSpan(
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent_id=parent.hex() if any(parent) else None,
        name=span.name[:_MOST_NAME],
        start_ns=span.start_time_unix_nano,
        end_ns=max(span.end_time_unix_nano, span.start_time_unix_nano),
        failed=span.status.code == 2,
        message=span.status.message,
        attributes=_attributes(span.attributes),
        events=[(event.name, _attributes(event.attributes)) for event in span.events[:100]],
        resource=resource,
        scope=scope[:_MOST_NAME],
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value, 0) for pair in pairs}


def _value(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth > _DEEPEST:
        return None
    if kind == "array_value":
        return [_value(one, depth + 1) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind)
