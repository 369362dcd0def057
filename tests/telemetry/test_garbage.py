"""Whatever bytes and attributes come, a request is read or refused, and a span becomes a record
that the store can keep."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import ApiError
from noria.store import Key
from noria.telemetry import names
from noria.telemetry.otlp import JSON, PROTOBUF, ForeignSpan, read
from noria.telemetry.spans import record_of
from noria.types import Label, SpanKind, Status
from tests.telemetry.support import as_otlp_json, request, span

MOST = 100_000
KEY = Key(
    "key_1", 1, None, "abcd", "search", None, False, None, None, None, None,
    frozenset(), Label.PUBLIC, True, None, 0, None,
)  # fmt: skip
WHOLE = request(span("one", attributes={"a": "text", "b": 5}), span("two")).SerializeToString()
PACKED = gzip.compress(WHOLE)
SPELLED = as_otlp_json(request(span("one", attributes={"a": "text"}))).encode()


def refusal_of(media: str, coding: str | None, body: bytes) -> ApiError | None:
    try:
        read(media, coding, body, MOST)
    except ApiError as refusal:
        return refusal
    return None


def refused_or_read(media: str, coding: str | None, body: bytes) -> None:
    refusal = refusal_of(media, coding, body)
    assert refusal is None or (refusal.status in (400, 413, 415) and str(refusal))


MEDIA = st.sampled_from([PROTOBUF, JSON])
REQUESTS = [(PROTOBUF, None, WHOLE), (PROTOBUF, "gzip", PACKED), (JSON, None, SPELLED)]


@given(st.binary(max_size=2_000), MEDIA, st.sampled_from([None, "gzip"]))
def test_random_bytes(body, media, coding):
    refused_or_read(media, coding, body)


@given(st.data())
def test_a_request_with_some_bytes_changed(data):
    media, coding, whole = data.draw(st.sampled_from(REQUESTS))
    body = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4)) if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    refused_or_read(media, coding, bytes(body))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "resourceSpans": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "resource": ANYTHING,
                    "scopeSpans": st.lists(
                        st.fixed_dictionaries(
                            {},
                            optional={
                                "scope": ANYTHING,
                                "spans": st.lists(
                                    st.dictionaries(
                                        st.sampled_from(
                                            ["traceId", "spanId", "parentSpanId", "name", "links",
                                             "startTimeUnixNano", "attributes", "status", "kind"]
                                        ),
                                        ANYTHING,
                                    ),
                                    max_size=3,
                                ) | ANYTHING,
                            },
                        ),
                        max_size=2,
                    ) | ANYTHING,
                },
            ),
            max_size=2,
        ) | ANYTHING
    },
)  # fmt: skip


@given(SHAPED)
def test_json_of_the_right_shape_with_anything_in_it(content):
    try:
        body = orjson.dumps(content)
    except (orjson.JSONEncodeError, TypeError):
        return  # JSON has no such value
    refused_or_read(JSON, None, body)


def every_name() -> list[str]:
    found: list[str] = []
    for value in vars(names).values():
        if isinstance(value, str) and value:
            found.append(value)
        elif isinstance(value, tuple):
            found += [one for one in value if isinstance(one, str)]
    ends = [
        "0", "0.message.role", "0.message.content", "0.message.contents.0.message_content.type",
        "0.message.tool_calls.0.tool_call.function.name", "0.role", "0.content", "1.prompt.text",
        "0.document.content", "0.embedding.vector", "0.embedding.text", "9999999.role", "x.role",
        "0.tool.json_schema", "0.completion.text",
    ]  # fmt: skip
    return [f"{name}{end}" for name in found for end in (ends if name.endswith(".") else [""])]


VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=30)
    | ANYTHING.map(lambda value: _spelled(value))
    | st.sampled_from(
        [
            '[{"role": 5, "parts": [{"type": 3}, 7, {"type": "tool_call", "arguments": {}}]}]',
            '[{"parts": {"type": "text"}}]',
            "[[[[]]]]",
            "[" * 2_000 + "]" * 2_000,
            "1" * 400,
            '{"model": ["x"], "stream": "yes"}',
        ]
    )
    | st.lists(st.floats() | st.text(max_size=5), max_size=3)
)


def _spelled(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (orjson.JSONEncodeError, TypeError):
        return "null"


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(every_name()) | st.text(max_size=10), VALUES, max_size=12),
    st.sampled_from([*names.KIND_OF_OPERATION, "invoke_agent", None]),
    st.sampled_from([*names.KIND_OF_SPAN, "CHAIN", None]),
    st.booleans(),
)
def test_a_span_with_anything_in_its_attributes(found, operation, kind, content):
    if operation is not None:
        found[names.OPERATION] = operation
    if kind is not None:
        found[names.SPAN_KIND] = kind
    told = ForeignSpan(
        "ab" * 16, "cd" * 8, None, "n", 10**18, 10**18 + 5, True, "m", found,
        [("exception", found)], {"service.name": found}, "scope",
    )  # fmt: skip
    meta, asked, answered = record_of(told, KEY, lambda name: None, content=content)
    orjson.dumps(meta)
    assert meta["kind"] in set(SpanKind)
    assert meta["status"] == Status.ERROR
    for name in ("in", "out", "cached", "reasoning", "cost"):
        assert 0 <= meta.get(name, 0) <= 2**53
    for body in (asked, answered):
        assert not body or orjson.loads(body) is not None or body == b"null"
    if not content:
        assert (asked, answered) == (b"", b"")


@pytest.mark.parametrize(("levels", "status"), [(5, None), (60, 400), (2_000, 400)])
def test_nested_without_end(levels, status):
    value = '{"stringValue": "x"}'
    value = '{"arrayValue": {"values": [' * levels + value + "]}}" * levels
    ids = f'"traceId": "{"ab" * 16}", "spanId": "{"cd" * 8}"'
    one = f'{{{ids}, "attributes": [{{"key": "k", "value": {value}}}]}}'
    body = f'{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{one}]}}]}}]}}'
    refusal = refusal_of(JSON, None, body.encode())
    assert (refusal and refusal.status) == status


def test_what_would_unpack_to_more_than_memory_holds_is_not_unpacked():
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    refused_or_read(PROTOBUF, "gzip", bomb)
    many = gzip.compress(b"x" * 1_000) * 1_000  # members, one after the other
    with pytest.raises(ApiError, match="once unpacked"):
        read(PROTOBUF, "gzip", many, MOST)


def test_bodies_too_large_to_keep_are_left_out_and_named():
    found = {names.SPAN_KIND: "CHAIN", names.INPUT_VALUE: "x" * 2_000_000}
    told = ForeignSpan("ab" * 16, "cd" * 8, None, "n", 1, 2, False, "", found, [], {}, "s")
    meta, asked, _ = record_of(told, KEY, lambda name: None, content=True)
    assert asked == b""
    assert meta["attrs"]["left_out_bytes"] == {"request": 2_000_002}
