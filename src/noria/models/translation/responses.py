"""OpenAI's Responses."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson

from noria.ids import new_span_id
from noria.models.translation.form import (
    Event,
    Form,
    Part,
    Role,
    Tool,
    Turn,
    leave_out,
    leave_out_failures,
    leave_out_marks,
    refused,
)
from noria.models.translation.sequence import SequentialWriter
from noria.models.wires.usage import read_usage
from noria.types import Usage

__all__ = [
    "ResponsesReader",
    "ResponsesWriter",
    "read_reply",
    "read_request",
    "write_reply",
    "write_request",
]

_ROLES: Final[dict[str, Role]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request."""
    form = Form([])
    for name in ("previous_response_id", "conversation", "prompt"):
        if fields.get(name):
            raise refused(name, "it is kept at OpenAI alone; send the whole conversation as input")
    if fields.get("instructions"):
        form.turns.append(Turn("system", [Part("text", str(fields["instructions"]))]))
    given = fields.get("input") or ""
    if isinstance(given, str):
        form.turns.append(Turn("user", [Part("text", given)]))
    else:
        for item in given:
            _add(form, item)
    _read_tools(form, fields.get("tools") or ())
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        form.choice = "=" + str(choice.get("name")) if choice.get("name") else "auto"
    else:
        form.choice = choice
    if not form.tools:
        form.choice = None
    form.parallel = fields.get("parallel_tool_calls") if form.tools else None
    form.limit = fields.get("max_output_tokens")
    form.temperature, form.top_p = fields.get("temperature"), fields.get("top_p")
    form.effort = (fields.get("reasoning") or {}).get("effort")
    wanted = (fields.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        form.schema, form.schema_name = wanted.get("schema") or {}, wanted.get("name") or "answer"
    elif wanted.get("type") == "json_object":
        form.schema = {}
    form.stream, form.user = bool(fields.get("stream")), fields.get("user")
    return form


def _read_tools(form: Form, tools: Any, prefix: str = "") -> None:
    for tool in tools:
        kind = tool.get("type")
        if kind == "function":
            form.tools.append(
                Tool(
                    prefix + tool.get("name", ""), tool.get("description") or "",
                    tool.get("parameters"), tool.get("strict"),
                )
            )  # fmt: skip
        elif kind == "custom":
            schema = {
                "type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]
            }  # fmt: skip
            described = tool.get("description") or ""
            form.tools.append(Tool(prefix + tool.get("name", ""), described, schema))
        elif kind == "namespace":
            _read_tools(form, tool.get("tools") or (), f"{tool.get('name')}__")
        else:
            form.hosted.append(str(kind))


def _add(form: Form, item: dict[str, Any]) -> None:
    kind = item.get("type") or "message"
    match kind:
        case "message":
            role = item.get("role") or "user"
            known = _ROLES.get(role)
            if known is None:
                raise refused("input", f"nobody else knows the role {role}")
            form.turns.append(Turn(known, _parts(item.get("content"))))
        case "function_call" | "custom_tool_call":
            name = item.get("name") or ""
            if item.get("namespace"):
                name = f"{item['namespace']}__{name}"
            arguments = item.get("arguments") or "{}"
            if kind == "custom_tool_call":
                arguments = orjson.dumps({"input": item.get("input") or ""}).decode()
            call_id = item.get("call_id") or item.get("id") or ""
            _said(form).parts.append(Part("call", arguments, id=call_id, name=name))
        case "function_call_output" | "custom_tool_call_output":
            result = Part("result", id=item.get("call_id") or "")
            result.parts = _parts(item.get("output"))
            form.turns.append(Turn("user", [result]))
        case "reasoning":
            thought = _texts(item.get("content")) or _texts(item.get("summary"))
            if thought:
                _said(form).parts.append(Part("thinking", thought))
            if item.get("encrypted_content"):
                form.notes.append("encrypted reasoning: no other maker can read it")
        case "item_reference" | "compaction":
            raise refused("input", f"an item of type {kind} is kept at OpenAI alone")
        case "web_search_call" | "additional_tools":
            form.notes.append(f"item {kind}: it belongs to a tool that runs at OpenAI alone")
        case _:
            raise refused("input", f"an item of type {kind} is OpenAI's alone")


def _said(form: Form) -> Turn:
    """The turn of the model that goes on."""
    if not form.turns or form.turns[-1].role != "assistant":
        form.turns.append(Turn("assistant", []))
    return form.turns[-1]


def _texts(parts: Any) -> str:
    return "\n\n".join(part.get("text") or "" for part in parts or () if isinstance(part, dict))


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    found = []
    for part in content:
        match part.get("type"):
            case "input_text" | "output_text" | "text":
                found.append(Part("text", part.get("text") or ""))
            case "refusal":
                found.append(Part("refusal", part.get("refusal") or ""))
            case "input_image":
                found.append(_media("image", part.get("image_url"), part.get("file_id")))
            case "input_file":
                url = part.get("file_data") or part.get("file_url")
                document = _media("document", url, part.get("file_id"))
                document.name = part.get("filename") or ""
                found.append(document)
            case other:
                raise refused("input", f"a part of type {other} is not known elsewhere")
    return found


def _media(kind: Any, url: Any, file_id: Any) -> Part:
    if not isinstance(url, str):
        raise refused("input", f"the file {file_id} is kept at OpenAI alone")
    if url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return Part(kind, data=data, media=head.partition(";")[0])
    return Part(kind, url=url)


def write_request(form: Form, model: str) -> dict[str, Any]:
    """Write a request. Nothing of it is kept at the provider."""
    fields: dict[str, Any] = {"model": model, "input": _items(form), "store": False}
    if form.tools:
        fields["tools"] = [
            {
                "type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.schema or {"type": "object", "properties": {}},
                "strict": bool(tool.strict),
            }
            for tool in form.tools
        ]  # fmt: skip
        if form.choice is not None:
            named = form.choice.startswith("=")
            function = {"type": "function", "name": form.choice[1:]}
            fields["tool_choice"] = function if named else form.choice
        if form.parallel is not None:
            fields["parallel_tool_calls"] = form.parallel
    settings = {
        "max_output_tokens": form.limit, "temperature": form.temperature, "top_p": form.top_p,
        "user": form.user,
    }  # fmt: skip
    fields |= {name: value for name, value in settings.items() if value is not None}
    if form.effort is not None:
        fields["reasoning"] = {"effort": form.effort, "summary": "auto"}
    for name, given in (("stop", form.stop or None), ("seed", form.seed), ("top_k", form.top_k)):
        leave_out(form, name, given, "Responses takes none")
    leave_out_failures(form, "Responses have no word for it but the result")
    leave_out_marks(form, "OpenAI caches by itself")
    if form.schema:
        shape = {"type": "json_schema", "name": form.schema_name, "schema": form.schema}
        fields["text"] = {"format": {**shape, "strict": True}}
    elif form.schema is not None:
        fields["text"] = {"format": {"type": "json_object"}}
    if form.stream:
        fields["stream"] = True
    return fields


def _items(form: Form) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in form.turns:
        said: list[dict[str, Any]] = []
        for part in turn.parts:
            if part.kind == "call":
                items += _message(turn, said)
                said = []
                items.append(
                    {
                        "type": "function_call", "call_id": part.id, "name": part.name,
                        "arguments": part.text or "{}",
                    }
                )  # fmt: skip
            elif part.kind == "result":
                output = [one for held in part.parts if (one := _part(held, "user")) is not None]
                plain = all(one["type"] == "input_text" for one in output)
                items.append(
                    {
                        "type": "function_call_output", "call_id": part.id,
                        "output": "\n\n".join(one["text"] for one in output) if plain else output,
                    }
                )  # fmt: skip
            elif part.kind in ("thinking", "redacted"):
                form.notes.append("thinking: OpenAI takes back none but its own")
            elif (written := _part(part, turn.role)) is not None:
                said.append(written)
        items += _message(turn, said)
    return items


def _message(turn: Turn, said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "message", "role": turn.role, "content": said}] if said else []


def _part(part: Part, role: str) -> dict[str, Any] | None:
    kind = "output_text" if role == "assistant" else "input_text"
    match part.kind:
        case "text":
            return {"type": kind, "text": part.text} if part.text else None
        case "refusal":
            return {"type": "refusal", "refusal": part.text}
        case "image":
            url = part.url or f"data:{part.media};base64,{part.data}"
            return {"type": "input_image", "image_url": url}
        case "document" if part.url:
            return {"type": "input_file", "file_url": part.url}
        case "document":
            data = f"data:{part.media};base64,{part.data}"
            return {"type": "input_file", "filename": part.name or "document", "file_data": data}
    raise refused("messages", f"Responses takes no {part.kind}")


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI reports it of a response."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def read_reply(reply: dict[str, Any]) -> list[Event]:
    """Read a whole answer."""
    found: list[Event] = []
    calls = 0
    for item in reply.get("output") or ():
        match item.get("type"):
            case "message":
                for part in item.get("content") or ():
                    if part.get("type") == "refusal":
                        found.append(Event("refusal", part.get("refusal") or ""))
                    elif part.get("text"):
                        found.append(Event("text", part["text"]))
            case "reasoning":
                thought = _texts(item.get("summary")) or _texts(item.get("content"))
                if thought:
                    found.append(Event("thinking", thought))
            case "function_call":
                call_id, name = item.get("call_id") or "", item.get("name") or ""
                found.append(Event("call", "", calls, call_id, name))
                found.append(Event("arguments", item.get("arguments") or "{}", calls))
                calls += 1
    found += _ended(reply, calls)
    return found


def _ended(reply: dict[str, Any], calls: int) -> list[Event]:
    stop = "calls" if calls else "stop"
    if reply.get("status") == "incomplete":
        reason = (reply.get("incomplete_details") or {}).get("reason")
        stop = "filter" if reason == "content_filter" else "length"
    usage = read_usage("responses", reply)
    found = [Event("stop", stop)]
    return [*found, Event("usage", usage=usage)] if usage is not None else found


class ResponsesReader:
    """Reads the events of a stream."""

    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What an event says."""
        kind, piece = event.get("type"), event.get("delta")
        text = piece if isinstance(piece, str) else ""
        match kind:
            case "response.output_text.delta":
                return [Event("text", text)]
            case "response.refusal.delta":
                return [Event("refusal", text)]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return [Event("thinking", text)]
            case "response.output_item.added":
                item = event.get("item") or {}
                if item.get("type") == "function_call":
                    number = self._calls[event.get("output_index")] = len(self._calls)
                    call_id, name = item.get("call_id") or "", item.get("name") or ""
                    return [Event("call", "", number, call_id, name)]
            case "response.function_call_arguments.delta":
                number = self._calls.get(event.get("output_index"), 0)
                return [Event("arguments", text, number)] if text else []
            case "response.completed" | "response.incomplete":
                return _ended(event.get("response") or {}, len(self._calls))
        return []

    def end(self) -> list[Event]:
        """Nothing is left."""
        return []


def _response(model: str, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"resp_{new_span_id()}", "object": "response", "created_at": int(time.time()),
        "status": status, "error": None, "incomplete_details": None, "instructions": None,
        "max_output_tokens": None, "metadata": {}, "model": model, "output": output,
        "parallel_tool_calls": True, "previous_response_id": None, "temperature": None,
        "tool_choice": "auto", "tools": [], "top_p": None, "truncation": "disabled", "usage": None,
    }  # fmt: skip


class ResponsesWriter(SequentialWriter):
    """Writes an answer as events. An item is closed when another begins."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.response = _response(model, "in_progress", [])
        self._number = 0
        self._begun = False
        self._item: dict[str, Any] | None = None
        """The item that is being written."""
        self._kind = ""
        self._text: list[str] = []
        self._stop = "stop"

    def _write(self, event: Event) -> bytes:
        found = b"" if self._begun else self._begin()
        match event.kind:
            case "text":
                found += self._open("text", _empty_message())
                found += self._piece("output_text.delta", event.text, content_index=0, logprobs=[])
            case "refusal":
                found += self._open("refusal", _empty_message())
                found += self._piece("refusal.delta", event.text, content_index=0)
            case "thinking":
                item = {"type": "reasoning", "id": f"rs_{new_span_id()}", "summary": []}
                found += self._open("thinking", item)
                found += self._piece("reasoning_summary_text.delta", event.text, summary_index=0)
            case "call":
                found += self._close()
                item = {
                    "type": "function_call", "id": f"fc_{new_span_id()}", "call_id": event.id,
                    "name": event.name, "arguments": "", "status": "in_progress",
                }  # fmt: skip
                found += self._open(f"call {event.number}", item)
            case "arguments":
                found += self._piece("function_call_arguments.delta", event.text)
            case "stop":
                self._stop = event.text
            case "usage":
                if event.usage is not None:
                    self.response["usage"] = usage_fields(event.usage)
        return found

    def _finish(self) -> bytes:
        found = (b"" if self._begun else self._begin()) + self._close()
        cut = {"length": "max_output_tokens", "filter": "content_filter"}.get(self._stop)
        status = "incomplete" if cut else "completed"
        self.response["status"] = status
        if cut:
            self.response["incomplete_details"] = {"reason": cut}
        return found + self._event(status, response=self.response)

    def _event(self, kind: str, **fields: Any) -> bytes:
        name = f"response.{kind}"
        said = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(said))

    def _begin(self) -> bytes:
        self._begun = True
        created = self._event("created", response=self.response)
        return created + self._event("in_progress", response=self.response)

    @property
    def _at(self) -> dict[str, Any]:
        assert self._item is not None
        return {"item_id": self._item["id"], "output_index": len(self.response["output"])}

    def _open(self, kind: str, item: dict[str, Any]) -> bytes:
        if self._kind == kind:
            return b""
        found = self._close()
        self._item, self._kind, self._text = item, kind, []
        index = len(self.response["output"])
        found += self._event("output_item.added", output_index=index, item=item)
        if kind in ("text", "refusal"):
            found += self._event(
                "content_part.added", **self._at, content_index=0, part=_part_of(kind, "")
            )
        elif kind == "thinking":
            part = {"type": "summary_text", "text": ""}
            found += self._event(
                "reasoning_summary_part.added", **self._at, summary_index=0, part=part
            )
        return found

    def _piece(self, kind: str, text: str, **fields: Any) -> bytes:
        if self._item is None:
            return b""
        self._text.append(text)
        return self._event(kind, **self._at, **fields, delta=text)

    def _close(self) -> bytes:
        item, kind = self._item, self._kind
        if item is None:
            return b""
        text, at = "".join(self._text), self._at
        if kind in ("text", "refusal"):
            part = _part_of(kind, text)
            item = {**item, "status": "completed", "content": [part]}
            if kind == "text":
                found = self._event(
                    "output_text.done", **at, content_index=0, text=text, logprobs=[]
                )
            else:
                found = self._event("refusal.done", **at, content_index=0, refusal=text)
            found += self._event("content_part.done", **at, content_index=0, part=part)
        elif kind == "thinking":
            part = {"type": "summary_text", "text": text}
            item = {**item, "summary": [part]}
            found = self._event("reasoning_summary_text.done", **at, summary_index=0, text=text)
            found += self._event("reasoning_summary_part.done", **at, summary_index=0, part=part)
        else:
            item = {**item, "arguments": text or "{}", "status": "completed"}
            found = self._event("function_call_arguments.done", **at, arguments=text or "{}")
        index = len(self.response["output"])
        found += self._event("output_item.done", output_index=index, item=item)
        self.response["output"].append(item)
        self._item, self._kind = None, ""
        return found


def _empty_message() -> dict[str, Any]:
    return {
        "type": "message", "id": f"msg_{new_span_id()}", "status": "in_progress",
        "role": "assistant", "content": [],
    }  # fmt: skip


def _part_of(kind: str, text: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    writer = ResponsesWriter(model)
    for event in events:
        writer.feed(event)
    writer.end()
    return writer.response
