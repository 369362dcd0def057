"""OpenAI's chat completions."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from noria.ids import new_span_id
from noria.models.completion import said_in
from noria.models.translation.form import (
    Event,
    Form,
    Part,
    Tool,
    Turn,
    leave_out,
    leave_out_failures,
    leave_out_marks,
    refused,
)
from noria.models.wire import usage_of
from noria.types import Usage

__all__ = ["ChatReader", "ChatWriter", "read_reply", "read_request", "write_reply", "write_request"]

_STOPS: Final = {
    "stop": "stop", "length": "length", "tool_calls": "calls", "function_call": "calls",
    "content_filter": "filter",
}  # fmt: skip
_FINISHES: Final = {
    "stop": "stop", "length": "length", "calls": "tool_calls", "filter": "content_filter",
    "sequence": "stop",
}  # fmt: skip


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request."""
    form = Form([_turn(message) for message in fields["messages"]])
    if (fields.get("n") or 1) != 1:
        raise refused("n", "it gives one answer a call")
    for tool in fields.get("tools") or ():
        function = tool.get("function")
        if not isinstance(function, dict):
            raise refused("tools", f"a tool of type {tool.get('type')} runs nowhere else")
        form.tools.append(
            Tool(
                function.get("name", ""), function.get("description") or "",
                function.get("parameters"), function.get("strict"),
            )
        )  # fmt: skip
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        form.choice = "=" + str((choice.get("function") or {}).get("name"))
    else:
        form.choice = choice
    form.parallel = fields.get("parallel_tool_calls")
    form.limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    form.temperature, form.top_p = fields.get("temperature"), fields.get("top_p")
    form.seed = fields.get("seed")
    stop = fields.get("stop")
    form.stop = [stop] if isinstance(stop, str) else list(stop or ())
    wanted = fields.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        described = wanted.get("json_schema") or {}
        form.schema = described.get("schema") or {}
        form.schema_name = described.get("name") or "answer"
    elif wanted.get("type") == "json_object":
        form.schema = {}
    form.effort = fields.get("reasoning_effort")
    form.stream, form.user = bool(fields.get("stream")), fields.get("user")
    return form


def _turn(message: dict[str, Any]) -> Turn:
    role = message["role"]
    if role in ("tool", "function"):
        result = Part(
            "result", id=message.get("tool_call_id") or "", name=message.get("name") or ""
        )
        result.parts = _parts(message.get("content"))
        return Turn("user", [result])
    parts: list[Part] = []
    thought = message.get("reasoning_content") or message.get("reasoning")
    if role == "assistant":
        for block in message.get("thinking_blocks") or ():
            if block.get("type") == "redacted_thinking":
                parts.append(Part("redacted", data=block.get("data") or ""))
            else:
                signature = block.get("signature") or ""
                parts.append(Part("thinking", block.get("thinking") or "", signature=signature))
        if not parts and isinstance(thought, str) and thought:
            parts.append(Part("thinking", thought))
    parts += _parts(message.get("content"))
    if isinstance(message.get("refusal"), str):
        parts.append(Part("refusal", message["refusal"]))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(
            Part(
                "call", function.get("arguments") or "{}", id=call.get("id") or "",
                name=function.get("name") or "",
            )
        )  # fmt: skip
    if role in ("system", "developer"):
        return Turn("system", parts)
    return Turn("assistant" if role == "assistant" else "user", parts)


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    found = []
    for part in content:
        kind = part.get("type")
        if kind in ("text", "input_text", "output_text"):
            mark = part.get("cache_control")
            cached = (mark.get("ttl") or "5m") if isinstance(mark, dict) else ""
            found.append(Part("text", part.get("text") or "", cached=cached))
        elif kind == "image_url":
            held = part.get("image_url")
            found.append(_media("image", held.get("url") if isinstance(held, dict) else held))
        elif kind == "file":
            held = part.get("file") or {}
            document = _media("document", held.get("file_data") or "")
            document.name = held.get("filename") or ""
            found.append(document)
        elif kind == "refusal":
            found.append(Part("refusal", part.get("refusal") or ""))
        elif kind == "input_audio":
            held = part.get("input_audio") or {}
            media = f"audio/{held.get('format') or 'wav'}"
            found.append(Part("audio", data=held.get("data") or "", media=media))
        else:
            raise refused("messages", f"a part of type {kind} is not known elsewhere")
    return found


def _media(kind: Any, url: Any) -> Part:
    if not isinstance(url, str):
        raise refused("messages", f"it has no address of its {kind}")
    if url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return Part(kind, data=data, media=head.partition(";")[0])
    return Part(kind, url=url)


def write_request(form: Form, model: str) -> dict[str, Any]:
    """Write a request."""
    fields: dict[str, Any] = {"model": model, "messages": _messages(form)}
    if form.tools:
        fields["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name}
                | ({"description": tool.description} if tool.description else {})
                | {"parameters": tool.schema or {"type": "object", "properties": {}}}
                | ({"strict": tool.strict} if tool.strict is not None else {}),
            }
            for tool in form.tools
        ]
        if form.choice is not None:
            named = form.choice.startswith("=")
            function = {"type": "function", "function": {"name": form.choice[1:]}}
            fields["tool_choice"] = function if named else form.choice
        if form.parallel is not None:
            fields["parallel_tool_calls"] = form.parallel
    settings = {
        "max_tokens": form.limit, "temperature": form.temperature, "top_p": form.top_p,
        "seed": form.seed, "stop": form.stop or None, "user": form.user,
    }  # fmt: skip
    fields |= {name: value for name, value in settings.items() if value is not None}
    if form.schema:
        described = {"name": form.schema_name, "schema": form.schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": described}
    elif form.schema is not None:
        fields["response_format"] = {"type": "json_object"}
    if form.stream:
        fields["stream"] = True
    leave_out(form, "top_k", form.top_k, "OpenAI's chat has none")
    leave_out(form, "reasoning effort", form.effort, "not every server of OpenAI's chat takes one")
    leave_out_failures(form, "OpenAI's chat has no word for it but the result")
    leave_out_marks(form, "servers of OpenAI's chat cache by themselves")
    return fields


def _messages(form: Form) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in form.turns:
        results = [part for part in turn.parts if part.kind == "result"]
        for result in results:
            said = _content(result.parts, form)
            messages.append({"role": "tool", "tool_call_id": result.id, "content": said or ""})
        rest = [part for part in turn.parts if part.kind != "result"]
        if not rest:
            continue
        message: dict[str, Any] = {"role": turn.role}
        calls = [part for part in rest if part.kind == "call"]
        said = _content([part for part in rest if part.kind != "call"], form)
        if said is not None or not calls:
            message["content"] = said if said is not None else ""
        else:
            message["content"] = None
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": call.text or "{}"},
                }
                for call in calls
            ]  # fmt: skip
        thought = "".join(part.text for part in rest if part.kind == "thinking")
        if thought:
            message["reasoning_content"] = thought
        messages.append(message)
    return messages


def _content(parts: list[Part], form: Form) -> str | list[dict[str, Any]] | None:
    """Text where that is all there is, which every server takes."""
    found: list[dict[str, Any]] = []
    for part in parts:
        if part.kind in ("text", "refusal"):
            found.append({"type": "text", "text": part.text})
        elif part.kind == "image":
            url = part.url or f"data:{part.media};base64,{part.data}"
            found.append({"type": "image_url", "image_url": {"url": url}})
        elif part.kind == "document":
            held = {"filename": part.name or "document", "file_data": part.url}
            if part.data:
                held["file_data"] = f"data:{part.media};base64,{part.data}"
            found.append({"type": "file", "file": held})
        elif part.kind == "audio":
            held = {"data": part.data, "format": part.media.rpartition("/")[2]}
            found.append({"type": "input_audio", "input_audio": held})
        elif part.kind == "redacted":
            form.notes.append("redacted thinking: no other maker can read it")
        elif part.kind == "thinking" and part.signature:
            form.notes.append("signature of thinking: it binds to its own maker")
    if not found:
        return None
    if all(part["type"] == "text" for part in found):
        return "\n\n".join(part["text"] for part in found)
    return found


def read_reply(reply: dict[str, Any]) -> list[Event]:
    """Read a whole answer."""
    reader = ChatReader()
    choices = reply.get("choices")
    choice = next((one for one in choices or () if isinstance(one, dict)), {})
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {**call, "index": number} for number, call in enumerate(calls) if isinstance(call, dict)
        ]
    return reader.feed(
        {
            "choices": [{"delta": delta, "finish_reason": choice.get("finish_reason") or "stop"}],
            "usage": reply.get("usage"),
        }
    )


class ChatReader:
    """Reads the chunks of a stream."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        """The order of the calls, by the index that the server gives them."""

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What a chunk says of its first choice."""
        found: list[Event] = []
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index"):
                continue
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._add(found, delta)
            finish = choice.get("finish_reason")
            if isinstance(finish, str):
                stop = _STOPS.get(finish, "stop")
                found.append(Event("stop", "calls" if self._calls and stop == "stop" else stop))
        usage = usage_of(event)
        if usage is not None:
            found.append(Event("usage", usage=usage))
        return found

    def end(self) -> list[Event]:
        """Nothing is left."""
        return []

    def _add(self, found: list[Event], delta: dict[str, Any]) -> None:
        said, thought = said_in(delta.get("content")) if delta.get("content") else ("", "")
        more = delta.get("reasoning_content") or delta.get("reasoning")
        thought += more if isinstance(more, str) else ""
        if thought:
            found.append(Event("thinking", thought))
        if said:
            found.append(Event("text", said))
        if isinstance(delta.get("refusal"), str) and delta["refusal"]:
            found.append(Event("refusal", delta["refusal"]))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if not isinstance(call, dict):
                continue
            function = call.get("function")
            function = function if isinstance(function, dict) else {}
            given = call.get("index")
            given = given if isinstance(given, int) else len(self._calls)
            number = self._calls.get(given)
            if number is None:
                number = self._calls[given] = len(self._calls)
                call_id = call.get("id") or f"call_{new_span_id()}"
                name = function.get("name") or ""
                found.append(Event("call", number=number, id=str(call_id), name=str(name)))
            arguments = function.get("arguments")
            if isinstance(arguments, dict | list):
                arguments = orjson.dumps(arguments).decode()
            if isinstance(arguments, str) and arguments:
                found.append(Event("arguments", arguments, number))


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI's chat reports it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    said, thought = [], []
    calls: list[dict[str, Any]] = []
    finish, usage = "stop", None
    for event in events:
        if event.kind == "text":
            said.append(event.text)
        elif event.kind == "thinking":
            thought.append(event.text)
        elif event.kind == "refusal":
            message["refusal"] = (message["refusal"] or "") + event.text
        elif event.kind == "call":
            calls.append(
                {
                    "id": event.id, "type": "function",
                    "function": {"name": event.name, "arguments": ""},
                }
            )  # fmt: skip
        elif event.kind == "arguments":
            calls[event.number]["function"]["arguments"] += event.text
        elif event.kind == "stop":
            finish = _FINISHES[event.text]
        elif event.kind == "usage":
            usage = event.usage
    if said or not calls:
        message["content"] = "".join(said)
    if thought:
        message["reasoning_content"] = "".join(thought)
    if calls:
        message["tool_calls"] = calls
    reply: dict[str, Any] = {
        "id": f"chatcmpl-{new_span_id()}", "object": "chat.completion", "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }  # fmt: skip
    if usage is not None:
        reply["usage"] = usage_fields(usage)
    return reply


class ChatWriter:
    """Writes an answer as chunks."""

    def __init__(self, model: str) -> None:
        self._head = {
            "id": f"chatcmpl-{new_span_id()}", "object": "chat.completion.chunk",
            "created": int(time.time()), "model": model,
        }  # fmt: skip
        self._begun = False

    def feed(self, event: Event) -> bytes:
        """A chunk."""
        finish = None
        delta: dict[str, Any] = {}
        match event.kind:
            case "text":
                delta["content"] = event.text
            case "thinking":
                delta["reasoning_content"] = event.text
            case "refusal":
                delta["refusal"] = event.text
            case "call":
                function = {"name": event.name, "arguments": ""}
                called = {"id": event.id, "type": "function", "function": function}
                delta["tool_calls"] = [{"index": event.number, **called}]
            case "arguments":
                delta["tool_calls"] = [
                    {"index": event.number, "function": {"arguments": event.text}}
                ]
            case "stop":
                finish = _FINISHES[event.text]
            case "usage":
                assert event.usage is not None
                chunk = {**self._head, "choices": [], "usage": usage_fields(event.usage)}
                return b"data: %b\n\n" % orjson.dumps(chunk)
            case _:
                return b""
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: %b\n\n" % orjson.dumps({**self._head, "choices": [choice]})

    def end(self) -> bytes:
        """The mark of the end."""
        return b"data: [DONE]\n\n"
