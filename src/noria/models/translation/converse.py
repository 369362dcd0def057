"""Amazon Bedrock's Converse, which has the model in its path and streams in frames of its own."""

from __future__ import annotations

from typing import Any, Final

import orjson

from noria.models.translation.form import Event, Form, Part, Role, Tool, Turn, leave_out, refused
from noria.models.translation.sequence import SequentialWriter
from noria.models.wires.eventstream import encode
from noria.models.wires.usage import UsageTally, read_usage
from noria.types import Usage

__all__ = [
    "ConverseReader",
    "ConverseWriter",
    "read_reply",
    "read_request",
    "write_reply",
    "write_request",
]

_STOPS: Final = {
    "end_turn": "stop", "tool_use": "calls", "max_tokens": "length", "stop_sequence": "sequence",
    "guardrail_intervened": "filter", "content_filtered": "filter",
    "model_context_window_exceeded": "length", "malformed_tool_use": "stop",
    "malformed_model_output": "stop",
}  # fmt: skip
_REASONS: Final = {
    "stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "filter": "content_filtered",
    "sequence": "stop_sequence",
}  # fmt: skip
_IMAGES: Final = {
    "image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp",
}  # fmt: skip
_DOCUMENTS: Final = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt",
    "text/markdown": "md", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_SOUNDS: Final = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/flac": "flac"}
_FORMATS: Final = {"image": _IMAGES, "document": _DOCUMENTS, "audio": _SOUNDS}


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request; the model and whether it is a stream stand in its path."""
    form = Form([])
    if fields.get("system"):
        form.turns.append(Turn("system", _parts(fields["system"])))
    for message in fields["messages"]:
        role: Role = "assistant" if message["role"] == "assistant" else "user"
        form.turns.append(Turn(role, _parts(message["content"])))
    config = fields.get("toolConfig") or {}
    for tool in config.get("tools") or ():
        described = tool.get("toolSpec")
        if described is not None:
            schema = (described.get("inputSchema") or {}).get("json")
            said = described.get("description") or ""
            strict = described.get("strict")
            form.tools.append(Tool(described.get("name", ""), said, schema, strict))
        elif "cachePoint" not in tool:
            form.hosted += list(tool)
    choice = config.get("toolChoice") or {}
    if "tool" in choice:
        form.choice = f"={choice['tool'].get('name')}"
    elif choice:
        form.choice = "required" if "any" in choice else "auto"
    limits = fields.get("inferenceConfig") or {}
    form.limit = limits.get("maxTokens")
    form.temperature, form.top_p = limits.get("temperature"), limits.get("topP")
    form.stop = list(limits.get("stopSequences") or ())
    more = fields.get("additionalModelRequestFields") or {}
    form.top_k = more.get("top_k")
    return form


def _parts(blocks: Any) -> list[Part]:
    found: list[Part] = []
    for block in blocks:
        kind = next(iter(block), "")
        held = block.get(kind)
        match kind:
            case "text":
                found.append(Part("text", held))
            case "image" | "document" | "audio":
                found.append(_media(kind, held))
            case "toolUse":
                arguments = orjson.dumps(held.get("input") or {}).decode()
                found.append(Part("call", arguments, id=held["toolUseId"], name=held["name"]))
            case "toolResult":
                result = Part("result", id=held["toolUseId"], parts=_parts(held["content"]))
                result.failed = held.get("status") == "error"
                found.append(result)
            case "json":
                found.append(Part("text", orjson.dumps(held).decode()))
            case "reasoningContent" if "redactedContent" in held:
                found.append(Part("redacted", data=held["redactedContent"]))
            case "reasoningContent":
                thought = held.get("reasoningText") or {}
                signature = thought.get("signature") or ""
                found.append(Part("thinking", thought.get("text") or "", signature=signature))
            case "cachePoint":
                if found:
                    found[-1].cached = held.get("ttl") or "5m"
            case _:
                raise refused("messages", f"a block of {kind} is Bedrock's alone")
    return found


def _media(kind: Any, held: dict[str, Any]) -> Part:
    source = held.get("source") or {}
    if "text" in source:
        return Part("text", source["text"])
    if "bytes" not in source:
        raise refused("messages", f"the {kind} is kept at Amazon alone")
    known = {value: name for name, value in reversed(_FORMATS[kind].items())}
    media = known.get(held.get("format") or "", "application/octet-stream")
    return Part(kind, data=source["bytes"], media=media, name=held.get("name") or "")


def write_request(form: Form, model: str) -> dict[str, Any]:
    """Write a request. What a system says after the conversation has begun is said by its user."""
    turns = list(form.turns)
    leading: list[Part] = []
    while turns and turns[0].role == "system":
        leading += turns.pop(0).parts
    fields: dict[str, Any] = {"messages": _merged(turns)}
    if leading:
        fields["system"] = _blocks(leading)
    if form.tools and form.choice != "none":
        fields["toolConfig"] = _tool_config(form)
    elif form.tools:
        form.notes.append("tools: Bedrock cannot be told to call none, and is offered none")
    limits = {
        "maxTokens": form.limit, "temperature": form.temperature, "topP": form.top_p,
        "stopSequences": form.stop or None,
    }  # fmt: skip
    limits = {name: value for name, value in limits.items() if value is not None}
    if limits:
        fields["inferenceConfig"] = limits
    if form.top_k is not None:
        fields["additionalModelRequestFields"] = {"top_k": form.top_k}
    if form.schema:
        said = orjson.dumps(form.schema).decode()
        shape = {"name": form.schema_name, "schema": said}
        fields["outputConfig"] = {
            "textFormat": {"type": "json_schema", "structure": {"jsonSchema": shape}}
        }
    elif form.schema is not None:
        form.notes.append("response_format json_object: Bedrock takes schemas alone")
    leave_out(form, "seed", form.seed, "Bedrock takes none")
    leave_out(form, "user", form.user, "Bedrock takes none")
    leave_out(form, "reasoning effort", form.effort, "each model of Bedrock has its own field")
    leave_out(form, "parallel tool calls", form.parallel, "Bedrock leaves it to the model")
    return fields


def _tool_config(form: Form) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tools": [
            {
                "toolSpec": {"name": tool.name}
                | ({"description": tool.description} if tool.description else {})
                | {"inputSchema": {"json": tool.schema or {"type": "object"}}}
            }
            for tool in form.tools
        ]
    }
    if form.choice is not None and form.choice.startswith("="):
        config["toolChoice"] = {"tool": {"name": form.choice[1:]}}
    elif form.choice is not None:
        config["toolChoice"] = {"any": {}} if form.choice == "required" else {"auto": {}}
    return config


def _merged(turns: list[Turn]) -> list[dict[str, Any]]:
    """The conversation: Bedrock refuses two messages of one side that follow each other."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn.role == "assistant" else "user"
        blocks = _blocks(turn.parts)
        if blocks and messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})
    return messages


def _blocks(parts: list[Part]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        block = _block(part, number)
        if block is None:
            continue
        found.append(block)
        if part.cached:
            point = {"type": "default"} | ({"ttl": part.cached} if part.cached != "5m" else {})
            found.append({"cachePoint": point})
    return found


def _block(part: Part, number: int) -> dict[str, Any] | None:
    match part.kind:
        case "text" | "refusal":
            return {"text": part.text} if part.text else None
        case "image" | "document" | "audio":
            if part.url:
                raise refused("messages", f"Bedrock fetches no {part.kind} from an address")
            known = _FORMATS[part.kind].get(part.media)
            if known is None:
                raise refused("messages", f"Bedrock reads no {part.kind} of type {part.media}")
            held: dict[str, Any] = {"format": known, "source": {"bytes": part.data}}
            if part.kind == "document":
                held["name"] = _document_name(part.name) or f"document {number + 1}"
            return {part.kind: held}
        case "thinking":
            if not part.signature:
                return None  # it is not of Bedrock's, which take back none but their own
            thought = {"text": part.text, "signature": part.signature}
            return {"reasoningContent": {"reasoningText": thought}}
        case "redacted":
            return {"reasoningContent": {"redactedContent": part.data}}
        case "call":
            called = {"toolUseId": part.id, "name": part.name, "input": _object(part.text)}
            return {"toolUse": called}
        case "result":
            inside = _blocks(part.parts) or [{"text": ""}]
            result: dict[str, Any] = {"toolUseId": part.id, "content": inside}
            return {"toolResult": result | ({"status": "error"} if part.failed else {})}


def _document_name(name: str) -> str:
    """A name as Bedrock takes it: letters, digits, single spaces, hyphens and brackets."""
    kept = "".join(
        one if one.isascii() and (one.isalnum() or one in "-()[]") else " " for one in name
    )
    return kept.strip()[:200]


def _object(text: str) -> dict[str, Any]:
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        given = text
    return given if isinstance(given, dict) else {"arguments": given}


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage as Bedrock reports it."""
    kept = usage.cached_tokens + usage.cache_write_tokens
    fields: dict[str, Any] = {
        "inputTokens": usage.input_tokens - kept,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
    if usage.cache_write_tokens:
        hour = usage.hour_write_tokens
        written = (("1h", hour), ("5m", usage.cache_write_tokens - hour))
        fields["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": count} for ttl, count in written if count
        ]
    return fields


def read_reply(reply: dict[str, Any]) -> list[Event]:
    """Read a whole answer."""
    found: list[Event] = []
    calls = 0
    message = (reply.get("output") or {}).get("message") or {}
    for part in _parts(message.get("content") or ()):
        if part.kind == "call":
            found.append(Event("call", "", calls, part.id, part.name))
            found.append(Event("arguments", part.text, calls))
            calls += 1
        elif part.kind == "thinking":
            found.append(Event("thinking", part.text))
            if part.signature:
                found.append(Event("signature", part.signature))
        elif part.kind in ("text", "redacted"):
            kind: Any = part.kind
            found.append(Event(kind, part.text or part.data))
        else:
            found.append(Event("text", f"[{part.kind} {part.media}]"))
    found.append(Event("stop", _STOPS.get(reply.get("stopReason") or "", "stop")))
    usage = read_usage("converse", reply)
    return [*found, Event("usage", usage=usage)] if usage is not None else found


class ConverseReader:
    """Reads the events of a stream: each message's payload under its type."""

    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}
        self._counts = UsageTally("converse")

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What an event says."""
        kind = next(iter(event), "")
        held = event.get(kind) or {}
        at = held.get("contentBlockIndex")
        match kind:
            case "contentBlockStart":
                called = (held.get("start") or {}).get("toolUse")
                if called is not None:
                    number = self._calls[at] = len(self._calls)
                    return [Event("call", "", number, called["toolUseId"], called["name"])]
            case "contentBlockDelta":
                return self._delta(at, held.get("delta") or {})
            case "messageStop":
                return [Event("stop", _STOPS.get(held.get("stopReason") or "", "stop"))]
            case "metadata":
                self._counts.note(held)
        return []

    def end(self) -> list[Event]:
        """What was used."""
        usage = self._counts.usage
        return [Event("usage", usage=usage)] if usage is not None else []

    def _delta(self, at: Any, delta: dict[str, Any]) -> list[Event]:
        if "text" in delta:
            return [Event("text", delta["text"])]
        if "toolUse" in delta:
            text = delta["toolUse"].get("input") or ""
            return [Event("arguments", text, self._calls.get(at, 0))] if text else []
        thought = delta.get("reasoningContent") or {}
        for name, kind in _THOUGHT.items():
            if name in thought:
                return [Event(kind, thought[name])]
        return []


_THOUGHT: Final[dict[str, Any]] = {
    "text": "thinking", "signature": "signature", "redactedContent": "redacted",
}  # fmt: skip


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    content: list[dict[str, Any]] = []
    arguments: dict[int, list[str]] = {}
    called: dict[int, dict[str, Any]] = {}
    reply: dict[str, Any] = {"stopReason": "end_turn", "metrics": {"latencyMs": 0}}
    for event in events:
        last = content[-1] if content else {}
        match event.kind:
            case "text" | "refusal":
                if "text" not in last:
                    content.append({"text": ""})
                content[-1]["text"] += event.text
            case "thinking":
                if "reasoningText" not in last.get("reasoningContent", {}):
                    content.append({"reasoningContent": {"reasoningText": {"text": ""}}})
                content[-1]["reasoningContent"]["reasoningText"]["text"] += event.text
            case "signature":
                thought = last.get("reasoningContent", {}).get("reasoningText")
                if thought is not None:
                    thought["signature"] = thought.get("signature", "") + event.text
            case "redacted":
                content.append({"reasoningContent": {"redactedContent": event.text}})
            case "call":
                called[event.number] = {"toolUseId": event.id, "name": event.name}
                arguments[event.number] = []
                content.append({"toolUse": called[event.number]})
            case "arguments":
                arguments[event.number].append(event.text)
            case "stop":
                reply["stopReason"] = _REASONS[event.text]
            case "usage":
                if event.usage is not None:
                    reply["usage"] = usage_fields(event.usage)
    for number, held in called.items():
        held["input"] = _object("".join(arguments[number]))
    return reply | {"output": {"message": {"role": "assistant", "content": content}}}


class ConverseWriter(SequentialWriter):
    """Writes an answer as frames. A block ends when another begins."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._begun = False
        self._open = ""
        self._index = -1
        self._reason = "end_turn"
        self._usage: Usage | None = None

    def _write(self, event: Event) -> bytes:
        found = b"" if self._begun else self._begin()
        match event.kind:
            case "text" | "refusal":
                found += self._block("text") + self._delta({"text": event.text})
            case "thinking":
                found += self._block("thinking")
                found += self._delta({"reasoningContent": {"text": event.text}})
            case "signature":
                if self._open == "thinking":
                    found += self._delta({"reasoningContent": {"signature": event.text}})
            case "redacted":
                found += self._close() + self._block("redacted")
                found += self._delta({"reasoningContent": {"redactedContent": event.text}})
            case "call":
                called = {"toolUse": {"toolUseId": event.id, "name": event.name}}
                found += self._close() + self._block(f"call {event.number}")
                at = {"contentBlockIndex": self._index}
                found += frame("contentBlockStart", {"start": called, **at})
            case "arguments":
                found += self._delta({"toolUse": {"input": event.text}})
            case "stop":
                self._reason = _REASONS[event.text]
            case "usage":
                self._usage = event.usage
        return found

    def _finish(self) -> bytes:
        found = (b"" if self._begun else self._begin()) + self._close()
        found += frame("messageStop", {"stopReason": self._reason})
        metadata: dict[str, Any] = {"metrics": {"latencyMs": 0}}
        if self._usage is not None:
            metadata["usage"] = usage_fields(self._usage)
        return found + frame("metadata", metadata)

    def _begin(self) -> bytes:
        self._begun = True
        return frame("messageStart", {"role": "assistant"})

    def _block(self, kind: str) -> bytes:
        if self._open == kind:
            return b""
        found = self._close()
        self._open = kind
        self._index += 1
        return found

    def _delta(self, delta: dict[str, Any]) -> bytes:
        at = {"contentBlockIndex": self._index}
        return frame("contentBlockDelta", {"delta": delta, **at})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return frame("contentBlockStop", {"contentBlockIndex": self._index})


def frame(kind: str, payload: dict[str, Any]) -> bytes:
    """One event as it is sent."""
    headers = {
        ":event-type": kind, ":content-type": "application/json", ":message-type": "event",
    }  # fmt: skip
    return encode(headers, orjson.dumps(payload))
