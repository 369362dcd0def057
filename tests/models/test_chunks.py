"""Streams put together again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.models.chunks import assemble


def sse(*chunks: dict[str, Any], end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + end


def piece(delta: dict[str, Any], index: int = 0, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def test_a_stream_with_choices_tools_logprobs_and_usage() -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    entry = {"token": "x", "logprob": -0.1}
    stream = sse(
        piece({"role": "assistant", "content": ""}),
        piece({"content": "Hel"}) | {"usage": None},
        piece({"content": "lo"}),
        piece({"role": "assistant", "content": None, "tool_calls": [call]}, 1),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}, 1),
        piece({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}, 1),
        piece({"tool_calls": [call | {"index": 1, "id": "b"}]}, 1),
        {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [entry]}}]},
        {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [entry]}}]},
        piece({}, 0, "stop"),
        piece({}, 1, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    )
    reply = orjson.loads(assemble(stream))
    first, second = reply["choices"]
    assert reply["object"] == "chat.completion"
    assert first["message"] == {"role": "assistant", "content": "Hello"}
    assert first["finish_reason"] == "stop"
    assert first["logprobs"]["content"] == [entry, entry]
    assert second["finish_reason"] == "tool_calls"
    assert [c["id"] for c in second["message"]["tool_calls"]] == ["a", "b"]
    assert second["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert reply["usage"]["total_tokens"] == 3


def test_a_text_that_turns_into_something_else_and_back_is_what_came_last() -> None:
    """A server that breaks the rules breaks nothing else."""
    stream = sse(
        piece({"content": "a"}),
        piece({"content": "b"}),
        piece({"content": ["part"]}),
        piece({"content": ["other"]}),
        piece({"content": {"x": "y"}}),
        piece({"content": "c"}),
        piece({"content": "d"}),
    )
    message = orjson.loads(assemble(stream))["choices"][0]["message"]
    assert message["content"] == "cd"


def test_reasoning_text_is_kept() -> None:
    stream = sse(piece({"reasoning_content": "I th"}), piece({"reasoning_content": "ink"}))
    message = orjson.loads(assemble(stream))["choices"][0]["message"]
    assert message["reasoning_content"] == "I think"


def test_a_torn_tail_comments_and_carriage_returns() -> None:
    whole = sse(piece({"content": "ok"}), end=b"").replace(b"\n", b"\r\n")
    reply = orjson.loads(assemble(b": ping\r\n\r\n" + whole + b'data: {"choi'))
    assert reply["choices"][0]["message"]["content"] == "ok"


@pytest.mark.parametrize("torn", [b"{", b"nothing", b'{"model":"x"},{"model":"y"}', b"\xff", b"7"])
def test_one_event_that_cannot_be_read_costs_no_other(torn: bytes) -> None:
    begin, end = sse(piece({"content": "a"}), end=b""), sse(piece({"content": "b"}))
    reply = orjson.loads(assemble(begin + b"data: " + torn + b"\n\n" + end))
    assert reply["choices"][0]["message"]["content"] == "ab"
    assert reply["model"] == "m"


def test_an_error_in_mid_stream_is_kept() -> None:
    stream = sse(piece({"content": "par"}), {"error": {"message": "lost"}})
    reply = orjson.loads(assemble(stream))
    assert reply["error"] == {"message": "lost"}
    assert reply["choices"][0]["message"]["content"] == "par"


def test_nothing_readable_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no readable chunk"):
        assemble(b"<html>Bad gateway</html>")


@given(st.lists(st.text(max_size=20), min_size=1))
def test_pieces_join_to_the_whole_text(texts: list[str]) -> None:
    reply = orjson.loads(assemble(sse(*(piece({"content": text}) for text in texts))))
    assert reply["choices"][0]["message"]["content"] == "".join(texts)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "index",
                    "tool_calls",
                    "function",
                    "logprobs",
                    "content",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json, max_size=5))
def test_whatever_a_server_sends_is_assembled_or_refused(values: list[Any]) -> None:
    stream = b"".join(b"data: " + orjson.dumps(value) + b"\n\n" for value in values)
    try:
        assert orjson.loads(assemble(stream)) is not None
    except ValueError:
        assert not any(isinstance(value, dict) for value in values)
