"""An application's answer in OpenAI's shapes, and in those of a streamed REST answer."""

from __future__ import annotations

import time
from typing import Any

import orjson

from noria.errors import ApiError
from noria.types import Usage

__all__ = ["ChatWire", "delta_event", "error_event", "result_event"]


class ChatWire:
    """Writes one answer as a chat completion, whole or in chunks.

    Args:
        model: the name under which the application was asked.
        trace_id: the run's trace.
    """

    def __init__(self, model: str, trace_id: str) -> None:
        self._identity = {
            "id": f"chatcmpl-{trace_id}",
            "created": int(time.time()),
            "model": model,
        }
        head = orjson.dumps(self._identity | {"object": "chat.completion.chunk"})[:-1]
        self._before = b'data: %b,"choices":[{"index":0,"delta":{"content":' % head
        self._after = b'},"finish_reason":null}]}\n\n'
        self._first = True

    def chunk(self, text: str) -> bytes:
        """The next piece of the answer as an event; the first one says who speaks."""
        after = self._after
        if self._first:
            self._first = False
            after = b',"role":"assistant"' + after
        return b"%b%b%b" % (self._before, orjson.dumps(text), after)

    def last(self, usage: Usage | None) -> bytes:
        """The end of a stream; with `usage`, the chunk that says it goes before."""
        chunk: dict[str, Any] = self._identity | {"object": "chat.completion.chunk"}
        ending = chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = [b"data: %b\n\n" % orjson.dumps(ending)]
        if usage is not None:
            said = chunk | {"choices": [], "usage": _usage(usage)}
            events.append(b"data: %b\n\n" % orjson.dumps(said))
        return b"".join([*events, b"data: [DONE]\n\n"])

    def whole(self, text: str, usage: Usage) -> bytes:
        """The whole answer."""
        message = {"role": "assistant", "content": text}
        return orjson.dumps(
            self._identity
            | {
                "object": "chat.completion",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": _usage(usage),
            }
        )


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def delta_event(text: str) -> bytes:
    """A piece of a function's answer."""
    return b"event: delta\ndata: %b\n\n" % orjson.dumps(text)


def result_event(body: bytes) -> bytes:
    """A function's whole result, as JSON."""
    return b"event: result\ndata: %b\n\n" % body


def error_event(error: ApiError) -> bytes:
    """What went wrong in mid-answer."""
    return b"event: error\ndata: %b\n\n" % orjson.dumps(error.body())
