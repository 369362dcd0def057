"""What went in and out of a foreign span, in the shapes that noria records: a chat as OpenAI's
request and response, everything else as plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from noria.telemetry import names
from noria.telemetry.attributes import MOST_LISTED, dicts, dumped, first, listed, parsed, text_of
from noria.types import SpanKind

__all__ = ["bodies", "parameters", "tells_messages", "with_events"]

Attributes = Mapping[str, Any]


def bodies(kind: SpanKind, model: str | None, found: Attributes) -> tuple[bytes, bytes]:
    """The request and the response of a span; empty where nothing was told."""
    if kind is SpanKind.CHAT:
        asked, answered = _chat(model, found)
        if asked is None:
            asked, answered = _vercel(model, found)
    elif kind is SpanKind.EMBEDDING:
        asked, answered = _embedding(model, found)
    elif kind is SpanKind.SEARCH:
        asked, answered = _search(found)
    else:
        asked, answered = None, None
        if kind is SpanKind.TOOL:
            asked = parsed(first(found, names.TOOL_ARGUMENTS))
            if asked is None:
                asked = _plain(found, names.INPUT_VALUE, names.INPUT_MIME)
            if asked is None:
                asked = parsed(found.get(names.TOOL_SCHEMA))
            answered = parsed(first(found, names.TOOL_RESULT))
    if asked is None:
        asked = _plain(found, names.INPUT_VALUE, names.INPUT_MIME)
    if answered is None:
        answered = _plain(found, names.OUTPUT_VALUE, names.OUTPUT_MIME)
    if asked is None:
        asked = parsed(first(found, names.INPUTS_AS_JSON))
    if answered is None:
        answered = parsed(first(found, names.OUTPUTS_AS_JSON))
    if asked is None and answered is None:  # an agent may tell its messages as a model does
        told = _told(found, names.AGENT_INPUT)
        asked = {"messages": told} if told else _chat(model, found)[0]
        answered = parsed(found.get(names.AGENT_OUTPUT)) or _chat(model, found)[1]
    return dumped(asked), dumped(answered)


def parameters(found: Attributes) -> dict[str, Any]:
    """What was asked beside the messages, as OpenInference tells it."""
    told = parsed(first(found, names.PARAMETERS))
    return told if isinstance(told, dict) else {}


# A call of a chat model


def _chat(model: str | None, found: Attributes) -> tuple[Any, Any]:
    sent = (
        [*_instructions(found), *_told(found, names.INPUT_MESSAGES)]
        or [_openinference(one) for one in listed(found, names.LLM_INPUT)]
        or [_flat(one) for one in listed(found, names.FLAT_PROMPT)]
        or _prompts(found)
    )
    choices = (
        _choices(found)
        or [_choice(_openinference(one), None) for one in listed(found, names.LLM_OUTPUT)]
        or [
            _choice(_flat(one), one.get("finish_reason"))
            for one in listed(found, names.FLAT_COMPLETION)
        ]
        or [
            _choice({"role": "assistant", "content": one.get("completion.text")}, None)
            for one in listed(found, names.LLM_CHOICES)
        ]
    )
    if not sent and not choices:
        return None, None
    asked: dict[str, Any] = {**parameters(found), "model": model, "messages": sent}
    tools = [_tool(one) for one in dicts(parsed(found.get(names.TOOL_DEFINITIONS)))] or [
        parsed(one.get("tool.json_schema")) for one in listed(found, names.LLM_TOOLS)
    ]
    if tools:
        asked["tools"] = tools
    for index, choice in enumerate(choices):
        choice["index"] = index
        finish = choice["finish_reason"] or first(found, names.FINISH)
        choice["finish_reason"] = names.FINISH_REASONS.get(str(finish), finish)
    answered = {"model": first(found, names.RESPONSE_MODELS) or model, "choices": choices}
    return asked, answered if choices else None


def _vercel(model: str | None, found: Attributes) -> tuple[Any, Any]:
    """A call as Vercel's AI SDK tells it: messages in its own parts, the answer in pieces."""
    sent: list[dict[str, Any]] = []
    for one in dicts(parsed(found.get("ai.prompt.messages"))):
        sent += _vercel_message(one)
    text, calls = found.get("ai.response.text"), parsed(found.get("ai.response.toolCalls"))
    whole = found.get("ai.response.object")
    if not sent and text is None and not calls and whole is None:
        return None, None
    message: dict[str, Any] = {"role": "assistant", "content": text_of(text or whole) or None}
    if made := [
        _call(one.get("toolCallId"), one.get("toolName"), one.get("input", one.get("args")))
        for one in dicts(calls)
    ]:
        message["tool_calls"] = made
    if thought := found.get("ai.response.reasoning"):
        message["reasoning_content"] = text_of(thought)
    asked: dict[str, Any] = {"model": model, "messages": sent}
    tools = parsed(found.get("ai.prompt.tools"))
    if isinstance(tools, list) and tools:
        asked["tools"] = [parsed(one) for one in tools[:MOST_LISTED]]
    if message["content"] is None and "tool_calls" not in message:
        return asked, None
    finish = str(found.get("ai.response.finishReason") or "stop").replace("-", "_")
    answer = first(found, names.RESPONSE_MODELS) or model
    return asked, {"model": answer, "choices": [_choice(message, finish)]}


def _vercel_message(one: dict[str, Any]) -> list[dict[str, Any]]:
    role, content = str(one.get("role", "user")), one.get("content")
    if not isinstance(content, list):
        return [{"role": role, "content": content}]
    parts: list[dict[str, Any]] = []
    for part in dicts(content):
        kind = part.get("type")
        if kind in ("text", "reasoning"):
            parts.append({"type": kind, "content": part.get("text")})
        elif kind == "tool-call":
            given = part.get("input", part.get("args"))
            named = {"id": part.get("toolCallId"), "name": part.get("toolName")}
            parts.append({"type": "tool_call", **named, "arguments": given})
        elif kind == "tool-result":
            came = part.get("output", part.get("result"))
            told = {"id": part.get("toolCallId"), "result": came}
            parts.append({"type": "tool_call_response", **told})
        else:
            parts.append({"type": str(kind)})
    return _split(role, parts, None)


def with_events(found: Attributes, events: Iterable[tuple[str, Attributes]]) -> Attributes:
    """The attributes of a span with what its events, or the log, tell of messages. What stands in
    the span itself is left as it is."""
    more: dict[str, Any] = {}
    sent: list[dict[str, Any]] = []
    replies: list[dict[str, Any]] = []
    for name, told in events:
        if name == names.DETAILS or name in names.FLAT_EVENTS:
            more |= {key: value for key, value in told.items() if key.startswith(names.CONTENT)}
            flat = names.FLAT_EVENTS.get(name)
            if flat is not None and isinstance(messages := parsed(told.get(flat)), list):
                (sent if flat == "gen_ai.prompt" else replies).extend(map(_said, dicts(messages)))
        elif name in names.ROLE_OF_EVENT:
            sent.append(_said({"role": names.ROLE_OF_EVENT[name], **told}))
        elif name == names.CHOICE_EVENT:
            message = parsed(told.get("message"))
            said = message if isinstance(message, dict) else told
            reply = _said({"role": "assistant", **said, "tool_calls": said.get("tool_calls")})
            replies.append({**reply, "finish_reason": told.get("finish_reason")})
    if sent:
        more.setdefault(names.INPUT_MESSAGES, sent)
    if replies:
        more.setdefault(names.OUTPUT_MESSAGES, replies)
    return {**more, **found} if more else found


def tells_messages(event: str) -> bool:
    """Whether an event of this name tells messages of a call."""
    return (
        event in (names.DETAILS, names.CHOICE_EVENT)
        or event in names.FLAT_EVENTS
        or event in names.ROLE_OF_EVENT
    )


def _said(told: Mapping[str, Any]) -> dict[str, Any]:
    """A message as OpenAI's API has it, as one of GenAI's parts."""
    content, parts = parsed(told.get("content")), list[dict[str, Any]]()
    role = str(told.get("role", "user"))
    if role == "tool" and "parts" not in told:
        answered = {"id": told.get("id", told.get("tool_call_id")), "result": content}
        return {"role": role, "parts": [{"type": "tool_call_response", **answered}]}
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict):
            parts.append({"type": str(part.get("type")), "content": part.get("text")})
        elif part is not None:
            parts.append({"type": "text", "content": text_of(part)})
    for call in dicts(parsed(told.get("tool_calls"))):
        function = parsed(call.get("function"))
        named = function if isinstance(function, dict) else call
        made = {"name": named.get("name"), "arguments": named.get("arguments")}
        parts.append({"type": "tool_call", "id": call.get("id"), **made})
    given = told.get("parts")
    return {"role": role, "parts": given if isinstance(given, list) else parts}


def _instructions(found: Attributes) -> list[dict[str, Any]]:
    """The system message, where it is told apart from the others."""
    parts = parsed(found.get(names.INSTRUCTIONS))
    if isinstance(parts, str) and parts:
        return [{"role": "system", "content": parts}]
    return [_of_parts("system", parts)] if isinstance(parts, list) and parts else []


def _told(found: Attributes, messages: str) -> list[dict[str, Any]]:
    """Messages as GenAI has them: a role and parts each."""
    sent: list[dict[str, Any]] = []
    for one in dicts(parsed(found.get(messages))):
        role, parts = str(one.get("role", "user")), one.get("parts")
        if isinstance(parts, list):
            sent += _split(role, parts, one.get("name"))
        else:
            sent.append({"role": role, "content": one.get("content")})
    return sent


def _split(role: str, parts: list[Any], name: object) -> list[dict[str, Any]]:
    """The result of each tool is a message of its own for OpenAI; the rest is one."""
    results = [
        {
            "role": "tool",
            "tool_call_id": str(part.get("id", "")),
            "content": text_of(part.get("result", part.get("response"))),
        }
        for part in dicts(parts)
        if part.get("type") == "tool_call_response"
    ]
    others = [part for part in dicts(parts) if part.get("type") != "tool_call_response"]
    message = _of_parts(role, others)
    if isinstance(name, str):
        message["name"] = name
    return [message, *results] if others or not results else [*results]


def _of_parts(role: str, parts: Iterable[Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role}
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in dicts(parts):
        kind = part.get("type")
        if kind == "text":
            content.append({"type": "text", "text": text_of(part.get("content"))})
        elif kind == "tool_call":
            calls.append(_call(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind == "reasoning":
            message["reasoning_content"] = text_of(part.get("content"))
        else:
            content.append({key: part[key] for key in ("type", "modality", "uri") if key in part})
    return _filled(message, content, calls)


def _filled(
    message: dict[str, Any], content: list[dict[str, Any]], calls: list[dict[str, Any]]
) -> dict[str, Any]:
    if len(content) == 1 and content[0]["type"] == "text":
        message["content"] = content[0]["text"]
    else:
        message["content"] = content or None
    if calls:
        message["tool_calls"] = calls
    return message


def _choices(found: Attributes) -> list[dict[str, Any]]:
    return [
        _choice(
            _of_parts(str(one.get("role", "assistant")), dicts(one.get("parts"))),
            one.get("finish_reason"),
        )
        for one in dicts(parsed(found.get(names.OUTPUT_MESSAGES)))
    ]


def _choice(message: dict[str, Any], finish: object) -> dict[str, Any]:
    return {"index": 0, "message": message, "finish_reason": finish}


def _openinference(one: dict[str, Any]) -> dict[str, Any]:
    """A message that was flattened to `message.role`, `message.contents.0...`, and so on."""
    message: dict[str, Any] = {"role": str(one.get("message.role", "user"))}
    for name in ("name", "tool_call_id"):
        if isinstance(one.get(f"message.{name}"), str):
            message[name] = one[f"message.{name}"]
    content: list[dict[str, Any]] = []
    for part in listed(one, "message.contents."):
        kind = str(part.get("message_content.type", "text"))
        if kind == "text":
            content.append({"type": kind, "text": text_of(part.get("message_content.text"))})
        elif kind == "reasoning":
            message["reasoning_content"] = text_of(part.get("message_content.text"))
        elif kind == "image":
            url = part.get("message_content.image.image.url")
            content.append({"type": "image_url", "image_url": {"url": url}})
        else:
            content.append({"type": kind})
    if not content and one.get("message.content") is not None:
        content = [{"type": "text", "text": text_of(one["message.content"])}]
    calls = [
        _call(
            call.get("tool_call.id"),
            call.get("tool_call.function.name"),
            call.get("tool_call.function.arguments"),
        )
        for call in listed(one, "message.tool_calls.")
    ]
    return _filled(message, content, calls)


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    """A message of the conventions before they had parts: `role`, `content`, `tool_calls.0...`."""
    calls = [
        _call(call.get("id"), call.get("name"), call.get("arguments"))
        for call in listed(one, "tool_calls.")
    ]
    content = [{"type": "text", "text": text_of(one["content"])}] if "content" in one else []
    return _filled({"role": str(one.get("role", "user"))}, content, calls)


def _prompts(found: Attributes) -> list[dict[str, Any]]:
    whole = found.get(names.LLM_PROMPTS.rstrip("."))
    texts = whole if isinstance(whole, list) else []
    texts = texts or [one.get("prompt.text") for one in listed(found, names.LLM_PROMPTS)]
    return [{"role": "user", "content": text_of(one)} for one in texts[:MOST_LISTED]]


def _tool(told: dict[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI describes it; GenAI leaves one level out."""
    if "function" in told or told.get("type") != "function":
        return told
    inner = {name: value for name, value in told.items() if name != "type"}
    return {"type": "function", "function": inner}


def _call(identity: object, name: object, arguments: object) -> dict[str, Any]:
    return {
        "id": str(identity or ""),
        "type": "function",
        "function": {"name": str(name or ""), "arguments": text_of(arguments)},
    }


# Other kinds


def _embedding(model: str | None, found: Attributes) -> tuple[Any, Any]:
    given = listed(found, names.EMBEDDINGS)
    texts = [one["embedding.text"] for one in given if "embedding.text" in one]
    asked = {"model": model, "input": texts} if texts else None
    vectors = [
        {"object": "embedding", "index": index, "embedding": one["embedding.vector"]}
        for index, one in enumerate(given)
        if isinstance(one.get("embedding.vector"), list)
    ]
    return asked, {"object": "list", "model": model, "data": vectors} if vectors else None


def _search(found: Attributes) -> tuple[Any, Any]:
    query = first(found, names.QUERY)
    if query is None:
        query = found.get(names.INPUT_VALUE)
    documents: Any = parsed(found.get(names.FOUND))
    for beginning in names.RETRIEVED:
        documents = documents or [
            {name.removeprefix("document."): parsed(value) for name, value in one.items()}
            for one in listed(found, beginning)
        ]
    return (None if query is None else {"query": query}), documents or None


def _plain(found: Attributes, value: str, mime: str) -> Any:
    text = found.get(value)
    return parsed(text) if found.get(mime) == names.JSON_MIME else text
