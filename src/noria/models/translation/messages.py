"""Anthropic's Messages."""

from __future__ import annotations

from typing import Any, Final

import orjson

from noria.ids import new_span_id
from noria.models.translation.form import Event, Form, Part, Tool, Turn, leave_out, refused
from noria.models.translation.sequence import SequentialWriter
from noria.models.wires.usage import UsageTally, read_usage
from noria.types import Usage

__all__ = [
    "MessagesReader",
    "MessagesWriter",
    "read_reply",
    "read_request",
    "write_reply",
    "write_request",
]

_STOPS: Final = {
    "end_turn": "stop", "max_tokens": "length", "tool_use": "calls", "stop_sequence": "sequence",
    "refusal": "filter", "pause_turn": "stop", "model_context_window_exceeded": "length",
}  # fmt: skip
_REASONS: Final = {
    "stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "filter": "refusal",
    "sequence": "stop_sequence",
}  # fmt: skip
_EFFORTS: Final = {"minimal": "low", "xhigh": "high", "max": "high"}
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384}
_LONGEST_REPLY: Final = 4096
"""The limit of a reply where nobody has set one, which this dialect must have."""
_ABOUT_BILLING: Final = "x-anthropic-billing-header:"
"""Claude Code's first block of instructions. It says something else in each conversation, and would
keep other servers from finding the rest in their prompt cache."""


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request."""
    form = Form([])
    system = fields.get("system")
    if system:
        parts = [part for part in _parts(system) if not part.text.startswith(_ABOUT_BILLING)]
        form.turns.append(Turn("system", parts))
    for message in fields["messages"]:
        role = message["role"]
        if role not in ("user", "assistant", "system"):
            raise refused("messages", f"nobody else knows the role {role}")
        form.turns.append(Turn(role, _parts(message["content"])))
    for tool in fields.get("tools") or ():
        if tool.get("type") not in (None, "custom"):
            form.hosted.append(str(tool["type"]))
            continue
        form.tools.append(
            Tool(
                tool.get("name", ""), tool.get("description") or "", tool.get("input_schema"),
                tool.get("strict"),
            )
        )  # fmt: skip
    choice = fields.get("tool_choice") or {}
    kind = choice.get("type")
    if kind is not None and form.tools:
        form.choice = "=" + str(choice.get("name")) if kind == "tool" else kind
        form.choice = "required" if form.choice == "any" else form.choice
        if choice.get("disable_parallel_tool_use"):
            form.parallel = False
    form.limit = fields.get("max_tokens")
    form.temperature, form.top_p = fields.get("temperature"), fields.get("top_p")
    form.top_k = fields.get("top_k")
    form.stop = list(fields.get("stop_sequences") or ())
    form.stream = bool(fields.get("stream"))
    config = fields.get("output_config") or {}
    effort = config.get("effort")
    form.effort = _EFFORTS.get(str(effort), effort)
    wanted = fields.get("output_format") or config.get("format") or {}
    if wanted.get("type") == "json_schema":
        form.schema = wanted.get("schema") or {}
    thinking = fields.get("thinking") or {}
    if thinking.get("type") == "disabled":
        form.effort = "none"
    elif form.effort is None and isinstance(thinking.get("budget_tokens"), int):
        form.effort = _effort_of(thinking["budget_tokens"])
    return form


def _effort_of(budget: int) -> str:
    """The effort that is written as a budget of so many tokens, or the next below."""
    fitting = [effort for effort, tokens in _BUDGETS.items() if tokens <= budget]
    return fitting[-1] if fitting else "minimal"


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [Part("text", content)] if content else []
    found = []
    for block in content or ():
        kind = block.get("type")
        mark = block.get("cache_control")
        cached = (mark.get("ttl") or "5m") if isinstance(mark, dict) else ""
        match kind:
            case "text":
                part = Part("text", block.get("text") or "")
            case "image" | "document":
                part = _media(kind, block)
            case "thinking":
                part = Part("thinking", block.get("thinking") or "")
                part.signature = block.get("signature") or ""
            case "redacted_thinking":
                part = Part("redacted", data=block.get("data") or "")
            case "tool_use":
                arguments = orjson.dumps(block.get("input") or {}).decode()
                part = Part("call", arguments, id=block.get("id") or "", name=block.get("name", ""))
            case "tool_result":
                part = Part("result", id=block.get("tool_use_id") or "")
                part.parts = _parts(block.get("content"))
                part.failed = bool(block.get("is_error"))
            case "search_result":
                part = Part("text", orjson.dumps(block).decode())
            case _:
                raise refused("messages", f"a block of type {kind} is Anthropic's alone")
        part.cached = cached
        found.append(part)
    return found


def _media(kind: Any, block: dict[str, Any]) -> Part:
    source = block.get("source") or {}
    part = Part(kind, name=block.get("title") or "")
    match source.get("type"):
        case "base64":
            part.data, part.media = source.get("data") or "", source.get("media_type") or ""
        case "url":
            part.url = source.get("url") or ""
        case "text":
            part.kind, part.text = "text", source.get("data") or ""
        case "content":
            parts = _parts(source.get("content"))
            part.kind, part.text = "text", "\n".join(one.text for one in parts)
        case other:
            raise refused("messages", f"a source of type {other} is kept at Anthropic alone")
    return part


def write_request(form: Form, model: str) -> dict[str, Any]:
    """Write a request. Instructions that stand before the conversation go to `system`."""
    turns = list(form.turns)
    leading: list[Part] = []
    while turns and turns[0].role == "system":
        leading += turns.pop(0).parts
    fields: dict[str, Any] = {
        "model": model,
        "max_tokens": form.limit or _LONGEST_REPLY,
        "messages": _merged(turns),
    }
    if leading:
        fields["system"] = [_block(part) for part in leading if part.text]
    if form.tools:
        fields["tools"] = [
            {"name": tool.name, "input_schema": tool.schema or {"type": "object"}}
            | ({"description": tool.description} if tool.description else {})
            for tool in form.tools
        ]
        choice = form.choice or "auto"
        chosen: dict[str, Any] = {"type": {"required": "any"}.get(choice, choice)}
        if choice.startswith("="):
            chosen = {"type": "tool", "name": choice[1:]}
        if form.parallel is False and chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
        if form.choice is not None or form.parallel is False:
            fields["tool_choice"] = chosen
    if form.effort in _BUDGETS and not _has_calls_without_thinking(turns):
        budget = min(_BUDGETS[form.effort], fields["max_tokens"] - 1)
        if budget >= _BUDGETS["minimal"] and not (form.choice or "auto").startswith(("=", "req")):
            fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    thinks = "thinking" in fields
    for name, value in (
        ("temperature", None if thinks else form.temperature), ("top_p", form.top_p),
        ("top_k", None if thinks else form.top_k), ("stop_sequences", form.stop or None),
    ):  # fmt: skip
        if value is not None:
            fields[name] = min(value, 1) if name == "temperature" else value
    leave_out(form, "seed", form.seed, "Anthropic takes none")
    if form.schema:
        fields["output_config"] = {"format": {"type": "json_schema", "schema": form.schema}}
    elif form.schema is not None:
        form.notes.append("response_format json_object: Anthropic takes schemas alone")
    if form.stream:
        fields["stream"] = True
    if form.user is not None:
        fields["metadata"] = {"user_id": form.user}
    return fields


def _has_calls_without_thinking(turns: list[Turn]) -> bool:
    """Whether a tool was called without thinking before it, after which Anthropic refuses to think
    within the same turn."""
    return any(
        turn.role == "assistant"
        and any(part.kind == "call" for part in turn.parts)
        and not any(part.kind in ("thinking", "redacted") and part.signature for part in turn.parts)
        for turn in turns
    )


def _merged(turns: list[Turn]) -> list[dict[str, Any]]:
    """The conversation: turns of one side that follow each other are one, as results of tools and
    what is said beside them must be."""
    messages: list[dict[str, Any]] = []
    for turn in turns:
        role = "user" if turn.role == "system" else turn.role
        blocks = [block for part in turn.parts if (block := _block(part)) is not None]
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _block(part: Part) -> dict[str, Any] | None:
    block: dict[str, Any]
    match part.kind:
        case "text" | "refusal":
            if not part.text:
                return None
            block = {"type": "text", "text": part.text}
        case "image" | "document":
            source = {"type": "base64", "media_type": part.media, "data": part.data}
            block = {"type": part.kind, "source": source}
            if part.url:
                block["source"] = {"type": "url", "url": part.url}
        case "thinking":
            if not part.signature:
                return None  # it is not Anthropic's, which takes back none but its own
            block = {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case "redacted":
            block = {"type": "redacted_thinking", "data": part.data}
        case "call":
            try:
                given = orjson.loads(part.text or "{}")
            except orjson.JSONDecodeError:
                given = {"arguments": part.text}
            given = given if isinstance(given, dict) else {"arguments": given}
            block = {"type": "tool_use", "id": part.id, "name": part.name, "input": given}
        case "result":
            inside = [one for held in part.parts if (one := _block(held)) is not None]
            block = {"type": "tool_result", "tool_use_id": part.id, "content": inside}
            if part.failed:
                block["is_error"] = True
        case _:
            raise refused("messages", f"Anthropic takes no {part.kind}")
    if part.cached:
        block["cache_control"] = {"type": "ephemeral"} | (
            {"ttl": part.cached} if part.cached != "5m" else {}
        )
    return block


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage as Anthropic reports it."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.hour_write_tokens,
            "ephemeral_1h_input_tokens": usage.hour_write_tokens,
        },
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def read_reply(reply: dict[str, Any]) -> list[Event]:
    """Read a whole answer."""
    reader = MessagesReader()
    found: list[Event] = []
    for index, block in enumerate(reply.get("content") or ()):
        found += reader.feed(
            {"type": "content_block_start", "index": index, "content_block": block}
        )
        if block.get("type") == "thinking":
            found.append(Event("thinking", block.get("thinking") or ""))
            found.append(Event("signature", block.get("signature") or ""))
        elif block.get("type") == "tool_use" and not block.get("input"):
            found.append(Event("arguments", "{}", reader.calls - 1))
    found.append(Event("stop", _STOPS.get(reply.get("stop_reason") or "", "stop")))
    usage = read_usage("messages", reply)
    return [*found, Event("usage", usage=usage)] if usage is not None else found


class MessagesReader:
    """Reads the events of a stream."""

    def __init__(self) -> None:
        self.calls = 0
        """How many tools were called."""
        self._blocks: dict[Any, int] = {}
        self._counts = UsageTally("messages")

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What an event says."""
        match event.get("type"):
            case "message_start":
                self._counts.note(event.get("message") or {})
            case "content_block_start":
                return self._start(event.get("index"), event.get("content_block") or {})
            case "content_block_delta":
                return self._delta(event.get("index"), event.get("delta") or {})
            case "message_delta":
                self._counts.note(event)
                reason = (event.get("delta") or {}).get("stop_reason")
                found = [Event("stop", _STOPS.get(reason, "stop"))] if reason else []
                usage = self._counts.usage
                return [*found, Event("usage", usage=usage)] if usage is not None else found
        return []

    def end(self) -> list[Event]:
        """Nothing is left."""
        return []

    def _start(self, index: Any, block: dict[str, Any]) -> list[Event]:
        match block.get("type"):
            case "text":
                return [Event("text", block["text"])] if block.get("text") else []
            case "tool_use":
                self._blocks[index] = self.calls
                self.calls += 1
                number = self._blocks[index]
                call = Event("call", "", number, block.get("id") or "", block.get("name") or "")
                given = block.get("input")
                if not given:
                    return [call]
                return [call, Event("arguments", orjson.dumps(given).decode(), number)]
            case "redacted_thinking":
                return [Event("redacted", block.get("data") or "")]
        return []

    def _delta(self, index: Any, delta: dict[str, Any]) -> list[Event]:
        match delta.get("type"):
            case "text_delta":
                return [Event("text", delta.get("text") or "")]
            case "thinking_delta":
                return [Event("thinking", delta.get("thinking") or "")]
            case "signature_delta":
                return [Event("signature", delta.get("signature") or "")]
            case "input_json_delta":
                number = self._blocks.get(index, 0)
                text = delta.get("partial_json") or ""
                return [Event("arguments", text, number)] if text else []
        return []


def _message(model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{new_span_id()}", "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }  # fmt: skip


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    reply = _message(model)
    content: list[dict[str, Any]] = reply["content"]
    arguments: dict[int, tuple[dict[str, Any], list[str]]] = {}
    for event in events:
        last = content[-1] if content else {}
        match event.kind:
            case "text" | "refusal":
                if last.get("type") != "text":
                    content.append({"type": "text", "text": ""})
                content[-1]["text"] += event.text
            case "thinking":
                if last.get("type") != "thinking":
                    content.append({"type": "thinking", "thinking": "", "signature": ""})
                content[-1]["thinking"] += event.text
            case "signature":
                if last.get("type") == "thinking":
                    last["signature"] += event.text
            case "redacted":
                content.append({"type": "redacted_thinking", "data": event.text})
            case "call":
                block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                content.append(block)
                arguments[event.number] = (block, [])
            case "arguments":
                arguments[event.number][1].append(event.text)
            case "stop":
                reply["stop_reason"] = _REASONS[event.text]
            case "usage":
                if event.usage is not None:
                    reply["usage"] = usage_fields(event.usage)
    for block, pieces in arguments.values():
        try:
            given = orjson.loads("".join(pieces) or "{}")
        except orjson.JSONDecodeError:
            given = {"arguments": "".join(pieces)}
        block["input"] = given if isinstance(given, dict) else {"arguments": given}
    reply["stop_reason"] = reply["stop_reason"] or "end_turn"
    return reply


class MessagesWriter(SequentialWriter):
    """Writes an answer as events. A block is closed when another begins."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model
        self._begun = False
        self._open = ""
        """The kind of the block that is open; of a call, with its number."""
        self._index = -1
        self._reason = "end_turn"
        self._usage: Usage | None = None
        self._written = 0

    def _write(self, event: Event) -> bytes:
        found = b"" if self._begun else self._begin()
        match event.kind:
            case "text" | "refusal":
                found += self._block("text", {"type": "text", "text": ""})
                found += self._delta({"type": "text_delta", "text": event.text})
            case "thinking":
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                found += self._block("thinking", empty)
                found += self._delta({"type": "thinking_delta", "thinking": event.text})
            case "signature":
                if self._open == "thinking":
                    found += self._delta({"type": "signature_delta", "signature": event.text})
            case "redacted":
                block = {"type": "redacted_thinking", "data": event.text}
                found += self._close() + self._block("redacted", block)
            case "call":
                called = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                found += self._block(f"call {event.number}", called)
            case "arguments":
                found += self._delta({"type": "input_json_delta", "partial_json": event.text})
            case "stop":
                self._reason = _REASONS[event.text]
            case "usage":
                self._usage = event.usage
        self._written += len(event.text)
        return found

    def _finish(self) -> bytes:
        found = (b"" if self._begun else self._begin()) + self._close()
        usage = {"output_tokens": self._written // 4}
        if self._usage is not None:
            usage = usage_fields(self._usage)
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        found += _event("message_delta", {"delta": delta, "usage": usage})
        return found + _event("message_stop", {})

    def _begin(self) -> bytes:
        self._begun = True
        return _event("message_start", {"message": _message(self._model)})

    def _block(self, kind: str, empty: dict[str, Any]) -> bytes:
        if self._open == kind:
            return b""
        found = self._close()
        self._open = kind
        self._index += 1
        return found + _event("content_block_start", {"index": self._index, "content_block": empty})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", {"index": self._index})


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))
