"""Google's generateContent."""

from __future__ import annotations

from typing import Any, Final

import orjson

from noria.ids import new_span_id
from noria.models.translation.form import (
    Event,
    Form,
    Part,
    Tool,
    Turn,
    leave_out,
    leave_out_marks,
    refused,
)
from noria.models.translation.sequence import SequentialWriter
from noria.models.wires.usage import UsageTally
from noria.types import Usage

__all__ = [
    "GeminiReader",
    "GeminiWriter",
    "read_reply",
    "read_request",
    "write_reply",
    "write_request",
]

_STOPS: Final = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop",
                 "MALFORMED_FUNCTION_CALL": "stop", "OTHER": "stop"}  # fmt: skip
"""All other reasons are filters."""
_REASONS: Final = {
    "stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP", "filter": "SAFETY", "sequence": "STOP",
}  # fmt: skip
_BUDGETS: Final = {"none": 0, "minimal": 512, "low": 2048, "medium": 8192, "high": 24576}
_FOREIGN: Final = "skip_thought_signature_validator"
"""What Google takes in place of a signature of thinking that it did not make."""
_UNKNOWN_TO_SCHEMAS: Final = ("$schema", "$id", "additionalProperties", "strict", "$comment")


def read_request(fields: dict[str, Any]) -> Form:
    """Read a request."""
    form = Form([])
    names: dict[str, list[str]] = {}
    system = fields.get("systemInstruction") or fields.get("system_instruction")
    if system:
        form.turns.append(Turn("system", _parts(system, names)))
    contents = fields["contents"]
    for content in contents if isinstance(contents, list) else [contents]:
        role = content.get("role") if isinstance(content, dict) else "user"
        parts = _parts(content, names)
        form.turns.append(Turn("assistant" if role == "model" else "user", parts))
    for tool in fields.get("tools") or ():
        declared = tool.get("functionDeclarations") or tool.get("function_declarations")
        for function in declared or ():
            schema = function.get("parametersJsonSchema") or function.get("parameters")
            described = function.get("description") or ""
            form.tools.append(Tool(function.get("name", ""), described, _lowered(schema)))
        form.hosted += [
            name for name in tool if name not in ("functionDeclarations", "function_declarations")
        ]
    config = (fields.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode = config.get("mode")
    if mode and form.tools:
        form.choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
        allowed = config.get("allowedFunctionNames") or ()
        if form.choice == "required" and len(list(allowed)) == 1:
            form.choice = f"={next(iter(allowed))}"
    _read_config(form, fields.get("generationConfig") or {})
    form.stream = bool(fields.get("stream"))
    return form


def _read_config(form: Form, config: dict[str, Any]) -> None:
    if (config.get("candidateCount") or 1) != 1:
        raise refused("generationConfig.candidateCount", "it gives one answer a call")
    form.limit = config.get("maxOutputTokens")
    form.temperature, form.top_p = config.get("temperature"), config.get("topP")
    form.top_k, form.seed = config.get("topK"), config.get("seed")
    form.stop = list(config.get("stopSequences") or ())
    if config.get("responseMimeType") == "application/json":
        schema = config.get("responseJsonSchema") or _lowered(config.get("responseSchema"))
        form.schema = schema or {}
    thinking = config.get("thinkingConfig") or {}
    level, budget = thinking.get("thinkingLevel"), thinking.get("thinkingBudget")
    if isinstance(level, str):
        form.effort = level.lower()
    elif budget == 0:
        form.effort = "none"


def _parts(content: Any, names: dict[str, list[str]]) -> list[Part]:
    """The parts of a content. Google's calls need no ids: a result is that of the first call of its
    name which has none yet."""
    if isinstance(content, str):
        return [Part("text", content)]
    found = []
    for part in content.get("parts") or ():
        signature = part.get("thoughtSignature") or ""
        called = part.get("functionCall")
        answered = part.get("functionResponse")
        inline = part.get("inlineData") or part.get("inline_data")
        held = part.get("fileData") or part.get("file_data")
        if called is not None:
            call_id = called.get("id") or f"call_{new_span_id()}"
            names.setdefault(called.get("name", ""), []).append(call_id)
            arguments = orjson.dumps(called.get("args") or {}).decode()
            one = Part("call", arguments, id=call_id, name=called.get("name", ""))
            one.signature = signature
        elif answered is not None:
            waiting = names.get(answered.get("name", "")) or []
            given = answered.get("id")
            call_id = given or (waiting[0] if waiting else f"call_{new_span_id()}")
            if call_id in waiting:
                waiting.remove(call_id)
            one = Part("result", id=call_id, name=answered.get("name", ""))
            one.parts = [Part("text", _result_text(answered.get("response")))]
        elif inline is not None:
            media = inline.get("mimeType") or inline.get("mime_type") or ""
            one = Part(_kind_of(media), data=inline.get("data") or "", media=media)
        elif held is not None:
            media = held.get("mimeType") or ""
            one = Part(_kind_of(media), url=held.get("fileUri") or "", media=media)
        elif "text" in part:
            kind: Any = "thinking" if part.get("thought") else "text"
            one = Part(kind, part["text"] or "", signature=signature if part.get("thought") else "")
        else:
            raise refused("contents", f"a part with {', '.join(part)} is Google's alone")
        found.append(one)
    return found


def _result_text(response: Any) -> str:
    """A tool's result: the text that it is wrapped around, where it is only that."""
    if isinstance(response, dict) and len(response) == 1:
        value = next(iter(response.values()))
        if isinstance(value, str) and ("output" in response or "result" in response):
            return value
    return orjson.dumps(response).decode()


def _kind_of(media: str) -> Any:
    kind = media.partition("/")[0]
    return kind if kind in ("image", "audio") else "document"


def _lowered(schema: Any) -> Any:
    """A schema in JSON Schema's words: Google writes its types in capitals."""
    if isinstance(schema, list):
        return [_lowered(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        name: value.lower() if name == "type" and isinstance(value, str) else _lowered(value)
        for name, value in schema.items()
        if name != "nullable"
    }
    if schema.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def write_request(form: Form, model: str) -> dict[str, Any]:
    """Write a request; the model and whether it is a stream stand in its path."""
    fields: dict[str, Any] = {"contents": _contents(form)}
    leading = [part for turn in form.turns if turn.role == "system" for part in turn.parts]
    if leading:
        fields["systemInstruction"] = {"parts": [{"text": part.text} for part in leading]}
    if form.tools:
        fields["tools"] = [
            {
                "functionDeclarations": [
                    {"name": tool.name, "description": tool.description}
                    | ({"parametersJsonSchema": tool.schema} if tool.schema else {})
                    for tool in form.tools
                ]
            }
        ]
        if form.choice is not None:
            mode = {"none": "NONE", "auto": "AUTO"}.get(form.choice, "ANY")
            config: dict[str, Any] = {"mode": mode}
            if form.choice.startswith("="):
                config["allowedFunctionNames"] = [form.choice[1:]]
            fields["toolConfig"] = {"functionCallingConfig": config}
    config = {}
    for name, value in (
        ("maxOutputTokens", form.limit), ("temperature", form.temperature), ("topP", form.top_p),
        ("topK", form.top_k), ("seed", form.seed), ("stopSequences", form.stop or None),
    ):  # fmt: skip
        if value is not None:
            config[name] = value
    if form.schema is not None:
        config["responseMimeType"] = "application/json"
        if form.schema:
            config["responseJsonSchema"] = form.schema
    if form.effort in _BUDGETS:
        budget = _BUDGETS[form.effort]
        config["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": budget > 0}
    if config:
        fields["generationConfig"] = config
    leave_out_marks(form, "Google caches by itself")
    leave_out(form, "user", form.user, "Google takes none")
    leave_out(form, "parallel tool calls", form.parallel, "Google leaves it to the model")
    return fields


def _contents(form: Form) -> list[dict[str, Any]]:
    names = {
        part.id: part.name for turn in form.turns for part in turn.parts if part.kind == "call"
    }
    contents: list[dict[str, Any]] = []
    for turn in form.turns:
        if turn.role == "system":
            continue
        role = "model" if turn.role == "assistant" else "user"
        parts = [one for part in turn.parts if (one := _part(part, names, form)) is not None]
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _part(part: Part, names: dict[str, str], form: Form) -> dict[str, Any] | None:
    match part.kind:
        case "text" | "refusal":
            return {"text": part.text} if part.text else None
        case "image" | "document" | "audio":
            if part.url:
                return {"fileData": {"fileUri": part.url, "mimeType": part.media or "image/*"}}
            return {"inlineData": {"mimeType": part.media, "data": part.data}}
        case "call":
            try:
                given = orjson.loads(part.text or "{}")
            except orjson.JSONDecodeError:
                given = {"arguments": part.text}
            called = {"functionCall": {"id": part.id, "name": part.name, "args": given}}
            return {**called, "thoughtSignature": part.signature or _FOREIGN}
        case "result":
            said = "\n".join(one.text for one in part.parts if one.kind == "text")
            key = "error" if part.failed else "output"
            name = part.name or names.get(part.id, "tool")
            return {"functionResponse": {"id": part.id, "name": name, "response": {key: said}}}
        case "thinking" | "redacted":
            form.notes.append("thinking: Google takes back none but its own")
    return None


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage as Google reports it."""
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }


def read_reply(reply: dict[str, Any]) -> list[Event]:
    """Read a whole answer."""
    reader = GeminiReader()
    return reader.feed(reply) + reader.end()


class GeminiReader:
    """Reads the pieces of a stream. Each may say what was used so far, also after the stop."""

    def __init__(self) -> None:
        self._calls = 0
        self._counts = UsageTally("gemini")

    def feed(self, event: dict[str, Any]) -> list[Event]:
        """What a piece says."""
        found: list[Event] = []
        candidates = event.get("candidates") or ()
        for candidate in candidates:
            if candidate.get("index"):
                continue
            for part in (candidate.get("content") or {}).get("parts") or ():
                self._add(found, part)
            reason = candidate.get("finishReason")
            if reason:
                stop = _STOPS.get(reason, "filter")
                found.append(Event("stop", "calls" if stop == "stop" and self._calls else stop))
        if not candidates and (event.get("promptFeedback") or {}).get("blockReason"):
            found.append(Event("stop", "filter"))
        self._counts.note(event)
        return found

    def end(self) -> list[Event]:
        """What was used, once."""
        usage = self._counts.usage
        return [Event("usage", usage=usage)] if usage is not None else []

    def _add(self, found: list[Event], part: dict[str, Any]) -> None:
        called = part.get("functionCall")
        if called is not None:
            number, self._calls = self._calls, self._calls + 1
            call_id = called.get("id") or f"call_{new_span_id()}"
            found.append(Event("call", "", number, call_id, called.get("name") or ""))
            arguments = orjson.dumps(called.get("args") or {}).decode()
            found.append(Event("arguments", arguments, number))
        elif part.get("text"):
            found.append(Event("thinking" if part.get("thought") else "text", part["text"]))


class GeminiWriter(SequentialWriter):
    """Writes an answer as pieces. A call is one piece: Google's come whole."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._head = {"modelVersion": model, "responseId": new_span_id()}
        self._call: tuple[str, str] | None = None
        self._arguments: list[str] = []
        self._reason = "STOP"
        self._usage: Usage | None = None

    def _write(self, event: Event) -> bytes:
        found = b""
        if self._call is not None and event.kind not in ("arguments", "usage"):
            found = self._called()
        match event.kind:
            case "text" | "refusal":
                found += self._piece([{"text": event.text}])
            case "thinking":
                found += self._piece([{"text": event.text, "thought": True}])
            case "call":
                self._call, self._arguments = (event.id, event.name), []
            case "arguments":
                self._arguments.append(event.text)
            case "stop":
                self._reason = _REASONS[event.text]
            case "usage":
                self._usage = event.usage
        return found

    def _finish(self) -> bytes:
        found = self._called() if self._call is not None else b""
        return found + self._piece([], self._reason)

    def _called(self) -> bytes:
        assert self._call is not None
        call_id, name = self._call
        self._call = None
        return self._piece([_call_part(call_id, name, "".join(self._arguments))])

    def _piece(self, parts: list[dict[str, Any]], reason: str | None = None) -> bytes:
        return b"data: %b\n\n" % orjson.dumps(_chunk(self._head, parts, reason, self._usage))


def _call_part(call_id: str, name: str, text: str) -> dict[str, Any]:
    try:
        given = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        given = {"arguments": text}
    return {"functionCall": {"id": call_id, "name": name, "args": given}}


def _chunk(
    head: dict[str, Any], parts: list[dict[str, Any]], reason: str | None, usage: Usage | None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    chunk = {"candidates": [candidate], **head}
    if usage is not None:
        chunk["usageMetadata"] = usage_fields(usage)
    return chunk


def write_reply(events: list[Event], model: str) -> dict[str, Any]:
    """Write a whole answer."""
    parts: list[dict[str, Any]] = []
    calls: list[tuple[str, str, list[str]]] = []
    reason, usage = "STOP", None
    for event in events:
        match event.kind:
            case "text" | "refusal":
                parts.append({"text": event.text})
            case "thinking":
                parts.append({"text": event.text, "thought": True})
            case "call":
                calls.append((event.id, event.name, []))
            case "arguments":
                calls[event.number][2].append(event.text)
            case "stop":
                reason = _REASONS[event.text]
            case "usage":
                usage = event.usage
    parts += [_call_part(call_id, name, "".join(text)) for call_id, name, text in calls]
    head = {"modelVersion": model, "responseId": new_span_id()}
    return _chunk(head, parts, reason, usage)
