"""The fake provider's answers in other dialects than OpenAI's chat: Anthropic's Messages, OpenAI's
Responses, Google's generateContent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from noria.testing.answers import Chat, count_tokens
from noria.testing.replies import Reply

__all__ = ["DIALECTS", "GeminiAnswer", "MessagesAnswer", "ResponsesAnswer", "error_in"]

Events = Iterator[tuple[dict[str, Any], int]]


class MessagesAnswer(Chat):
    """An answer in Anthropic's Messages."""

    done = b""

    def __init__(self, request: Mapping[str, Any], reply: Reply, *, with_usage: bool = True):
        super().__init__(_from_messages(request), reply, with_usage=with_usage)

    def _usage(self, output: int) -> dict[str, Any]:
        usage = self.usage
        fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        return {
            "input_tokens": fresh,
            "cache_read_input_tokens": usage.cached_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
            "output_tokens": output,
        }

    @property
    def _stop(self) -> str:
        return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}.get(
            self._choice.finish_reason, self._choice.finish_reason
        )

    def _message(self, content: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        head = {"id": "msg_" + str(self._head["id"])[-8:], "type": "message", "role": "assistant"}
        return {**head, "model": self.model, "content": content, "stop_sequence": None, **fields}

    def plain(self) -> dict[str, Any]:
        """The `message` object."""
        content: list[dict[str, Any]] = [
            {"type": "tool_use", "id": call, "name": name, "input": orjson.loads(text or "{}")}
            for call, name, text in self._calls(0)
        ]
        if not content:
            content = [{"type": "text", "text": "".join(self._choice.pieces)}]
        usage = self._usage(self.usage.output_tokens) if self._with_usage else None
        return self._message(content, stop_reason=self._stop, usage=usage)

    def events(self) -> Events:
        """The events, each with the output tokens that it carries."""
        usage = self._usage(1) if self._with_usage else None
        yield (
            {"type": "message_start", "message": self._message([], stop_reason=None, usage=usage)},
            0,
        )
        yield {"type": "ping"}, 0
        for index, (block, pieces) in enumerate(self._blocks()):
            yield {"type": "content_block_start", "index": index, "content_block": block}, 0
            for delta, tokens in pieces:
                yield {"type": "content_block_delta", "index": index, "delta": delta}, tokens
            yield {"type": "content_block_stop", "index": index}, 0
        delta = {"stop_reason": self._stop, "stop_sequence": None}
        last: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if self._with_usage:
            last["usage"] = self._usage(self.usage.output_tokens)
        yield last, 0
        yield {"type": "message_stop"}, 0

    def _blocks(self) -> Iterator[tuple[dict[str, Any], list[tuple[dict[str, Any], int]]]]:
        if self._choice.pieces:
            yield (
                {"type": "text", "text": ""},
                [
                    ({"type": "text_delta", "text": piece}, count_tokens(piece))
                    for piece in self._choice.pieces
                ],
            )
        for call, name, text in self._calls(0):
            halves = [text[: len(text) // 2], text[len(text) // 2 :]]
            yield (
                {"type": "tool_use", "id": call, "name": name, "input": {}},
                [({"type": "input_json_delta", "partial_json": half}, 1) for half in halves],
            )

    @staticmethod
    def framed(event: dict[str, Any]) -> bytes:
        """An event as it is sent."""
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


class ResponsesAnswer(Chat):
    """An answer in OpenAI's Responses."""

    done = b""

    def __init__(self, request: Mapping[str, Any], reply: Reply, *, with_usage: bool = True):
        super().__init__(_from_responses(request), reply, with_usage=with_usage)
        self._number = 0

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        cut = self._choice.finish_reason == "length" and status != "in_progress"
        usage = self.usage
        counted = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        return {
            "id": "resp_" + str(self._head["id"])[-8:],
            "object": "response",
            "created_at": self._head["created"],
            "model": self.model,
            "status": "incomplete" if cut else status,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "error": None,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": counted if self._with_usage and status != "in_progress" else None,
        }

    def _output(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = [
            {
                "type": "function_call", "id": f"fc_{call}", "call_id": call, "name": name,
                "arguments": text, "status": "completed",
            }
            for call, name, text in self._calls(0)
        ]  # fmt: skip
        text = "".join(self._choice.pieces)
        return calls or [
            {
                "type": "message", "id": "msg_0", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ]  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """The `response` object."""
        return self._response("completed", self._output())

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": f"response.{kind}", "sequence_number": self._number - 1, **fields}

    def events(self) -> Events:
        """The events, each with the output tokens that it carries."""
        begun = self._response("in_progress", [])
        yield self._event("created", response=begun), 0
        yield self._event("in_progress", response=begun), 0
        for index, item in enumerate(self._output()):
            blank: dict[str, Any] = (
                {"content": []} if item["type"] == "message" else {"arguments": ""}
            )
            empty: dict[str, Any] = {**item, **blank}
            yield self._event("output_item.added", output_index=index, item=empty), 0
            at: dict[str, Any] = {"item_id": item["id"], "output_index": index}
            if item["type"] == "message":
                yield from self._text(at, item)
            else:
                text = item["arguments"]
                for half in (text[: len(text) // 2], text[len(text) // 2 :]):
                    yield self._event("function_call_arguments.delta", **at, delta=half), 1
                done = self._event("function_call_arguments.done", **at, arguments=text)
                yield done, 0
            yield self._event("output_item.done", output_index=index, item=item), 0
        last = self._response("completed", self._output())
        yield self._event(last["status"], response=last), 0

    def _text(self, at: dict[str, Any], item: dict[str, Any]) -> Events:
        at = {**at, "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": []}
        yield self._event("content_part.added", **at, part=part), 0
        for piece in self._choice.pieces:
            event = self._event("output_text.delta", **at, delta=piece, logprobs=[])
            yield event, count_tokens(piece)
        text = item["content"][0]["text"]
        yield self._event("output_text.done", **at, text=text, logprobs=[]), 0
        yield self._event("content_part.done", **at, part=item["content"][0]), 0

    @staticmethod
    def framed(event: dict[str, Any]) -> bytes:
        """An event as it is sent."""
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


class GeminiAnswer(Chat):
    """An answer in Google's generateContent."""

    done = b""

    def __init__(self, request: Mapping[str, Any], reply: Reply, *, with_usage: bool = True):
        super().__init__(_from_gemini(request), reply, with_usage=with_usage)

    def _chunk_of(self, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
        usage = self.usage
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish is not None:
            reasons = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}
            candidate["finishReason"] = reasons.get(finish, finish)
        chunk: dict[str, Any] = {
            "candidates": [candidate],
            "modelVersion": self.model,
            "responseId": "fake",
        }
        if self._with_usage:
            chunk["usageMetadata"] = {
                "promptTokenCount": usage.input_tokens,
                "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
                "thoughtsTokenCount": usage.reasoning_tokens,
                "cachedContentTokenCount": usage.cached_tokens,
                "totalTokenCount": usage.input_tokens + usage.output_tokens,
            }
        return chunk

    def _parts(self) -> list[tuple[dict[str, Any], int]]:
        calls: list[tuple[dict[str, Any], int]] = [
            ({"functionCall": {"name": name, "args": orjson.loads(text or "{}")}}, 1)
            for _, name, text in self._calls(0)
        ]
        return calls or [({"text": piece}, count_tokens(piece)) for piece in self._choice.pieces]

    def plain(self) -> dict[str, Any]:
        """The whole answer."""
        parts = [part for part, _ in self._parts()]
        if not self._choice.tool_calls:
            parts = [{"text": "".join(self._choice.pieces)}]
        return self._chunk_of(parts, self._choice.finish_reason)

    def events(self) -> Events:
        """The pieces of the answer, each with the output tokens that it carries."""
        for part, tokens in self._parts():
            yield self._chunk_of([part], None), tokens
        yield self._chunk_of([], self._choice.finish_reason), 0

    @staticmethod
    def framed(event: dict[str, Any]) -> bytes:
        """An event as it is sent."""
        return b"data: %b\n\n" % orjson.dumps(event)


DIALECTS = {"messages": MessagesAnswer, "responses": ResponsesAnswer, "gemini": GeminiAnswer}


def error_in(dialect: str, status: int, body: dict[str, Any]) -> dict[str, Any]:
    """An error in OpenAI's shape, in another dialect."""
    error = body["error"]
    if dialect == "messages":
        kinds = {
            401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error",
            500: "api_error", 529: "overloaded_error",
        }  # fmt: skip
        kind = kinds.get(status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": error["message"]}}
    if dialect == "gemini":
        names = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}
        status_name = names.get(status, "INVALID_ARGUMENT")
        return {"error": {"code": status, "message": error["message"], "status": status_name}}
    return body


def _texts(content: Any) -> str:
    """All text in a content of any dialect."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(filter(None, map(_texts, content)))
    if isinstance(content, Mapping):
        return " ".join(
            _texts(content[name]) for name in ("text", "content", "parts") if content.get(name)
        )
    return ""


def _functions(tools: Any, schema: str) -> list[dict[str, Any]]:
    return [
        {"function": {"name": tool["name"], "parameters": tool.get(schema) or {"type": "object"}}}
        for tool in tools or ()
        if "name" in tool
    ]


def _from_messages(request: Mapping[str, Any]) -> dict[str, Any]:
    said = [{"role": "system", "content": _texts(request.get("system"))}]
    said += [
        {"role": one["role"], "content": _texts(one["content"])} for one in request["messages"]
    ]
    return {
        "model": request.get("model", "fake"),
        "messages": [one for one in said if one["content"]],
        "max_tokens": request.get("max_tokens"),
        "tools": _functions(request.get("tools"), "input_schema"),
    }


def _from_responses(request: Mapping[str, Any]) -> dict[str, Any]:
    given = request.get("input") or ""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    said = [{"role": "system", "content": _texts(request.get("instructions"))}]
    said += [{"role": "user", "content": _texts(item)} for item in items]
    return {
        "model": request.get("model", "fake"),
        "messages": [one for one in said if one["content"]],
        "max_tokens": request.get("max_output_tokens"),
        "tools": _functions(request.get("tools"), "parameters"),
    }


def _from_gemini(request: Mapping[str, Any]) -> dict[str, Any]:
    contents = request["contents"]
    contents = contents if isinstance(contents, list) else [contents]
    said = [{"role": "user", "content": _texts(one)} for one in contents]
    tools = request.get("tools") or ()
    declared = [one for tool in tools for one in tool.get("functionDeclarations") or ()]
    return {
        "model": request.get("model", "fake"),
        "messages": said,
        "max_tokens": (request.get("generationConfig") or {}).get("maxOutputTokens"),
        "tools": _functions(declared, "parameters"),
    }
