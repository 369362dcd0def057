"""Answers in OpenAI's format, made from a request and the `Reply` that is due.

A token is a word with the white space before it, which is enough to count, to truncate and to
stream by. Everything is a pure function of its input.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from noria.testing.replies import Reply, ToolCall
from noria.testing.samples import instance
from noria.types import Usage

__all__ = ["Chat", "count_tokens", "error_body", "model_list"]

_DEFAULT_TEXT = "Hello from the fake provider, which says what it is told to say."
_TOKEN = re.compile(r"\s*\S+|\s+$")
_serial = itertools.count(1)


def count_tokens(text: str) -> int:
    """How many tokens the fake provider sees in a text."""
    return len(_TOKEN.findall(text))


@dataclass(frozen=True, slots=True)
class _Choice:
    pieces: Sequence[str]
    tool_calls: Sequence[ToolCall]
    finish_reason: str


class Chat:
    """The answer to one chat request, plain and as a stream."""

    done = b"data: [DONE]\n\n"
    """What ends a stream."""

    def __init__(self, request: Mapping[str, Any], reply: Reply, *, with_usage: bool = True):
        self.model = str(request.get("model", "fake"))
        self._reply = reply
        self._request = request
        self._with_usage = with_usage
        self._head = {
            "id": f"chatcmpl-fake{next(_serial):08x}",
            "created": int(time.time()),
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }
        self._choice = _choose(request, reply)
        self._n = int(request.get("n") or 1)
        counted = Usage(_prompt_tokens(request), self._n * self._tokens_of_choice())
        self.usage = reply.usage or counted

    def plain(self) -> dict[str, Any]:
        """The `chat.completion` object."""
        choice = self._choice
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if choice.tool_calls else "".join(choice.pieces),
            "refusal": None,
            "annotations": [],
        }
        if choice.tool_calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
                for call_id, name, text in self._calls(0)
            ]
        choices = [
            {
                "index": index,
                "message": message,
                "logprobs": self._logprobs(choice.pieces),
                "finish_reason": choice.finish_reason,
            }
            for index in range(self._n)
        ]
        answer = {**self._head, "object": "chat.completion", "choices": choices}
        if self._with_usage:
            answer["usage"] = _usage(self.usage)
        return answer

    @staticmethod
    def framed(event: dict[str, Any]) -> bytes:
        """An event as it is sent."""
        return b"data: %b\n\n" % orjson.dumps(event)

    def events(self) -> Iterator[tuple[dict[str, Any], int]]:
        """The `chat.completion.chunk` objects, each with the output tokens that it carries."""
        role: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if self._choice.tool_calls:
            role["content"] = None
        for index in range(self._n):
            yield self._chunk(index, role), 0
        for piece in self._choice.pieces:
            for index in range(self._n):
                chunk = self._chunk(index, {"content": piece}, logprobs=self._logprobs([piece]))
                yield chunk, count_tokens(piece)
        for index in range(self._n):
            yield from self._tool_events(index)
        for index in range(self._n):
            yield self._chunk(index, {}, finish_reason=self._choice.finish_reason), 0
        if self._asks_usage and self._with_usage:
            last = {**self._head, "object": "chat.completion.chunk", "choices": []}
            yield {**last, "usage": _usage(self.usage)}, 0

    @property
    def _asks_usage(self) -> bool:
        return bool((self._request.get("stream_options") or {}).get("include_usage"))

    def _tool_events(self, index: int) -> Iterator[tuple[dict[str, Any], int]]:
        for position, (call_id, name, arguments) in enumerate(self._calls(index)):
            opening = {
                "index": position,
                "id": call_id,
                "type": "function",
                "function": {"name": name, "arguments": ""},
            }
            yield self._chunk(index, {"tool_calls": [opening]}), count_tokens(name)
            for piece in _TOKEN.findall(arguments):
                part = {"index": position, "function": {"arguments": piece}}
                yield self._chunk(index, {"tool_calls": [part]}), 1

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        chunk = {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [
                {
                    "index": index,
                    "delta": delta,
                    "logprobs": logprobs,
                    "finish_reason": finish_reason,
                }
            ],
        }
        if self._asks_usage and self._with_usage:
            chunk["usage"] = None
        return chunk

    def _calls(self, index: int) -> list[tuple[str, str, str]]:
        """Id, name and arguments of each tool call."""
        return [
            (
                call.id or f"call_{self._head['id'][-8:]}{index}{position}",  # type: ignore[index]
                call.name,
                _arguments(call),
            )
            for position, call in enumerate(self._choice.tool_calls)
        ]

    def _tokens_of_choice(self) -> int:
        calls = sum(
            count_tokens(c.name) + count_tokens(_arguments(c)) for c in self._choice.tool_calls
        )
        return sum(map(count_tokens, self._choice.pieces)) + calls

    def _logprobs(self, pieces: Sequence[str]) -> dict[str, Any] | None:
        if not self._request.get("logprobs"):
            return None
        content = [
            {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}
            for piece in pieces
            for token in _TOKEN.findall(piece)
        ]
        return {"content": content, "refusal": None}


def _choose(request: Mapping[str, Any], reply: Reply) -> _Choice:
    calls = reply.tool_calls or (() if reply.whole_text is not None else _wanted_calls(request))
    if calls:
        return _Choice((), calls, reply.finish_reason or "tool_calls")
    text = reply.whole_text
    if text is None:
        text = _wanted_text(request)
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    tokens = _TOKEN.findall(text)
    if limit is not None and len(tokens) > limit:
        kept = tokens[:limit]
        return _Choice(_cut(kept, reply.chunks), (), reply.finish_reason or "length")
    if isinstance(reply.chunks, Sequence):
        return _Choice(reply.chunks, (), reply.finish_reason or "stop")
    return _Choice(_cut(tokens, reply.chunks), (), reply.finish_reason or "stop")


def _cut(tokens: Sequence[str], chunks: Sequence[str] | int | None) -> Sequence[str]:
    """Join tokens to as many pieces as are wanted."""
    if not isinstance(chunks, int) or chunks >= len(tokens):
        return tokens
    bounds = [len(tokens) * i // chunks for i in range(chunks + 1)]
    return ["".join(tokens[a:b]) for a, b in itertools.pairwise(bounds)]


def _wanted_text(request: Mapping[str, Any]) -> str:
    wanted = request.get("response_format") or {}
    match wanted.get("type"):
        case "json_object":
            return orjson.dumps({"reply": _DEFAULT_TEXT}).decode()
        case "json_schema":
            return orjson.dumps(instance(wanted.get("json_schema", {}).get("schema", {}))).decode()
        case _:
            return _DEFAULT_TEXT


def _wanted_calls(request: Mapping[str, Any]) -> Sequence[ToolCall]:
    functions = [tool["function"] for tool in request.get("tools") or [] if "function" in tool]
    choice = request.get("tool_choice")
    if isinstance(choice, Mapping):
        name = choice.get("function", {}).get("name")
        functions = [function for function in functions if function.get("name") == name]
    elif choice != "required":
        return ()
    return [
        ToolCall(function["name"], instance(function.get("parameters", {"type": "object"})))
        for function in functions[:1]
    ]


def _arguments(call: ToolCall) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return orjson.dumps(dict(call.arguments)).decode()


def _prompt_tokens(request: Mapping[str, Any]) -> int:
    total = 3
    for message in request.get("messages") or []:
        content = message.get("content") or ""
        parts = [content] if isinstance(content, str) else [p.get("text", "") for p in content]
        total += 4 + sum(map(count_tokens, parts))
    if request.get("tools"):
        total += count_tokens(orjson.dumps(request["tools"], option=orjson.OPT_INDENT_2).decode())
    return total


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def model_list(names: Sequence[str]) -> dict[str, Any]:
    """What `/v1/models` answers."""
    models = [
        {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"}
        for name in names
    ]
    return {"object": "list", "data": models}


def error_body(status: int, message: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kinds = {401: "authentication_error", 429: "rate_limit_error", 404: "not_found_error"}
    codes = {401: "invalid_api_key", 429: "rate_limit_exceeded", 404: "not_found"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {
        "error": {
            "message": message or f"The fake provider was told to answer {status}.",
            "type": kind,
            "param": None,
            "code": codes.get(status),
        }
    }
