"""A stream on its way through: the same whatever the pieces it comes in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noria.gateway.stream import StreamRelay

TEXTS = st.lists(st.text(max_size=12), max_size=8)


def chunk(**fields: Any) -> bytes:
    return b"data: " + orjson.dumps({"object": "chat.completion.chunk", **fields}) + b"\n\n"


def delta(text: str | None, finish: str | None = None) -> bytes:
    content = {} if text is None else {"content": text}
    return chunk(choices=[{"index": 0, "delta": content, "finish_reason": finish}], usage=None)


USAGE = chunk(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
DONE = b"data: [DONE]\n\n"


def relayed(stream: bytes, cuts: list[int], *, wants_usage: bool) -> tuple[StreamRelay, bytes]:
    relay = StreamRelay(wants_usage=wants_usage, choices=1)
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    pieces = zip([0, *places], [*places, len(stream)], strict=True)
    sent = b"".join([relay.feed(stream[start:end]) for start, end in pieces])
    relay.end()
    return relay, sent


@given(TEXTS, st.lists(st.integers(min_value=0), max_size=20), st.booleans(), st.booleans())
def test_pieces_make_no_difference(
    texts: list[str], cuts: list[int], wants_usage: bool, carriage_returns: bool
) -> None:
    events = b"".join(map(delta, texts)) + delta(None, "stop")
    stream = events + USAGE + DONE
    if carriage_returns:
        stream = stream.replace(b"\n", b"\r\n")
    relay, sent = relayed(stream, cuts, wants_usage=wants_usage)
    assert relay.complete
    assert relay.error is None
    assert relay.usage is not None
    assert (relay.usage.input_tokens, relay.usage.output_tokens) == (7, 3)
    assert sent == events + (USAGE if wants_usage else b"")
    assert b"".join(relay.kept).startswith(events)
    assert relay.written().pieces == sum(bool(text) for text in texts)


@given(
    st.lists(st.text(max_size=6), min_size=5, max_size=12),
    st.lists(
        st.tuples(st.integers(min_value=0), st.integers(0, 2), st.sampled_from(b'"{},:\n\\ax')),
        max_size=3,
    ),
)
def test_events_that_come_together_are_read_as_one_by_one(
    texts: list[str], edits: list[tuple[int, int, int]]
) -> None:
    first, ending = delta("a"), delta(None, "stop") + USAGE + DONE
    events = bytearray(b"".join(map(delta, texts)))
    for place, removed, put in edits:
        place %= len(events)
        events[place : place + removed] = bytes([put])
    same_together_as_alone(first, bytes(events), ending)


def same_together_as_alone(first: bytes, events: bytes, ending: bytes) -> StreamRelay:
    stream = first + events + ending
    each = [end + 2 for end in range(len(stream)) if stream[end : end + 2] == b"\n\n"]
    together, sent = relayed(stream, [len(first)], wants_usage=False)
    alone, sent_alone = relayed(stream, each, wants_usage=False)
    assert sent == sent_alone
    assert together.error == alone.error
    assert together.usage == alone.usage
    assert b"".join(together.kept) == b"".join(alone.kept)
    return together


def alike(*contents: bytes, opening: bytes = b"{", usage: bytes = b"null") -> bytes:
    """Events that differ in what stands as their content, whether it is JSON or not."""
    event = b'data: %b"choices":[{"index":0,"delta":{"content":%b}}],"usage":%b}\n\n'
    return b"".join(event % (opening, content, usage) for content in contents)


@pytest.mark.parametrize(
    "events",
    [
        alike(b'"a"', b'["b"', b'"c"]', b'"d","e"', b'"f"'),
        alike(b'"a"', b'"b', b'c"', b'"d","e"', b'"f"'),
        alike(b'"a"', b'"b"', b'"c"\n', b'"d"', b'"e"'),
        alike(*[b'"a"'] * 6, opening=b"{\n"),
        alike(*[b'"a"'] * 6, opening=b'{"n":01,'),
        alike(*[b'"a"'] * 6)[6:],
        alike(*[b'"a"'] * 6).replace(b"data: ", b"dada: "),
    ],
)
def test_what_is_broken_is_found_among_events_that_are_alike(events: bytes) -> None:
    assert same_together_as_alone(delta("a"), events, DONE).error


@pytest.mark.parametrize(
    "events",
    [
        alike(b'"a"', b"null", b"7", b'["b"]', b'"c"'),
        alike(*[b'"a\\"\\u00e9"'] * 6),
        alike(*[b'"a"'] * 6, usage=b'{"prompt_tokens":1,"completion_tokens":2}'),
        alike(*[b'"a"'] * 6, opening=b'{"content":"b",'),
        alike(*[b'"a"'] * 6).replace(b"data: ", b"data:"),
        alike(*[b'"a"'] * 6).replace(b"data: ", b"event: chunk\ndata: "),
        alike(*[b'"a"'] * 6).replace(b"[{", b"[\ndata: {"),
    ],
)
def test_what_is_unusual_is_passed_on_among_events_that_are_alike(events: bytes) -> None:
    assert same_together_as_alone(delta("a"), events, DONE).complete


SCRAPS = (
    b"data: ", b"data:", b"event: x\n", b":", b"\n", b"\n\n", b"\r\n", b"\r", b"[DONE]",
    b'"content":', b'"a"', b"{", USAGE, USAGE[6:], delta("b"), delta("b")[:-2], delta(None, "stop"),
)  # fmt: skip
NOISE = st.lists(st.sampled_from(SCRAPS) | st.binary(max_size=20), max_size=12).map(b"".join)


@example(noise=b"\n", cuts=[])
@example(noise=b"data: [DONE]\n\n\n", cuts=[])
@given(NOISE, st.lists(st.integers(min_value=0), max_size=8))
def test_whatever_comes_it_ends_as_complete_or_as_an_error(noise: bytes, cuts: list[int]) -> None:
    relay, _ = relayed(delta("a") + noise, cuts, wants_usage=False)
    assert relay.complete != (relay.error is not None)


@given(TEXTS)
def test_a_stream_without_an_end_is_an_error_and_what_came_is_kept(texts: list[str]) -> None:
    events = b"".join(map(delta, texts))
    relay, sent = relayed(events, [], wants_usage=False)
    assert relay.error
    assert sent == events == b"".join(relay.kept)


def test_an_end_without_done_counts_when_the_choice_has_finished() -> None:
    relay, _ = relayed(delta("a") + delta(None, "stop"), [], wants_usage=False)
    assert relay.complete


def test_an_error_in_mid_stream_is_not_passed_on() -> None:
    secret = chunk(error={"message": "key sk-secret is wrong"})
    relay, sent = relayed(delta("a") + secret, [], wants_usage=False)
    assert relay.error
    assert b"secret" not in sent
    assert b"secret" not in relay.error.encode()


def test_comments_and_named_events_pass() -> None:
    stream = b": ping\n\nevent: message\n" + delta("a") + delta(None, "stop") + DONE
    relay, sent = relayed(stream, [], wants_usage=False)
    assert relay.complete
    assert relay.written().pieces == 1
    assert sent == stream[: -len(DONE)]


@given(
    TEXTS, st.sampled_from([b'data: {"choices": [{}', b"data: {}}", b"data: 5", b"not an event"])
)
def test_what_came_before_a_broken_event_is_passed_on_and_no_more(
    texts: list[str], broken: bytes
) -> None:
    events = delta("a") + b"".join(map(delta, texts))
    relay, sent = relayed(
        events + broken + b"\n\n" + delta("b"), [len(delta("a"))], wants_usage=False
    )
    assert relay.error
    assert sent == events
