"""What went in and out of a foreign span, in the shapes that noria records: a chat as OpenAI's
request and response, everything else as plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from noria.telemetry import names
from noria.types import SpanKind

__all__ = ["bodies", "parameters"]

_MOST_LISTED = 1_000
"""Messages of one call, parts of one message, texts of one embedding."""
Attributes = Mapping[str, Any]


def bodies(kind: SpanKind, model: str | None, found: Attributes) -> tuple[bytes, bytes]:
    """The request and the response of a span; empty where nothing was told."""
    if kind is SpanKind.CHAT:
        asked, answered = _chat(model, found)
    elif kind is SpanKind.EMBEDDING:
        asked, answered = _embedding(model, found)
    elif kind is SpanKind.SEARCH:
        asked, answered = _search(found)
    else:
        asked, answered = None, None
        if kind is SpanKind.TOOL:
            asked = _parsed(_first(found, names.TOOL_ARGUMENTS))
            answered = _parsed(_first(found, names.TOOL_RESULT))
    if asked is None:
        asked = _plain(found, names.INPUT_VALUE, names.INPUT_MIME)
    if answered is None:
        answered = _plain(found, names.OUTPUT_VALUE, names.OUTPUT_MIME)
    if asked is None and answered is None:  # an agent tells its messages as a model does
        asked, answered = _chat(model, found)
    return _dumped(asked), _dumped(answered)


def parameters(found: Attributes) -> dict[str, Any]:
    """What was asked beside the messages, as OpenInference tells it."""
    told = _parsed(_first(found, names.PARAMETERS))
    return told if isinstance(told, dict) else {}


# A call of a chat model


def _chat(model: str | None, found: Attributes) -> tuple[Any, Any]:
    sent = (
        _structured(found, names.INSTRUCTIONS, names.INPUT_MESSAGES)
        or [_openinference(one) for one in _listed(found, names.LLM_INPUT)]
        or [_flat(one) for one in _listed(found, names.FLAT_PROMPT)]
        or _prompts(found)
    )
    choices = (
        _choices(found)
        or [_choice(_openinference(one), None) for one in _listed(found, names.LLM_OUTPUT)]
        or [
            _choice(_flat(one), one.get("finish_reason"))
            for one in _listed(found, names.FLAT_COMPLETION)
        ]
        or [
            _choice({"role": "assistant", "content": one.get("completion.text")}, None)
            for one in _listed(found, names.LLM_CHOICES)
        ]
    )
    if not sent and not choices:
        return None, None
    asked: dict[str, Any] = {**parameters(found), "model": model, "messages": sent}
    tools = _parsed(found.get(names.TOOL_DEFINITIONS)) or [
        _parsed(one.get("tool.json_schema")) for one in _listed(found, names.LLM_TOOLS)
    ]
    if tools:
        asked["tools"] = tools
    for index, choice in enumerate(choices):
        choice["index"] = index
        choice["finish_reason"] = choice["finish_reason"] or _first(found, names.FINISH)
    answered = {"model": _first(found, names.RESPONSE_MODELS) or model, "choices": choices}
    return asked, answered if choices else None


def _structured(found: Attributes, instructions: str, messages: str) -> list[dict[str, Any]]:
    """The messages as GenAI has them: a role and parts each."""
    sent: list[dict[str, Any]] = []
    parts = _parsed(found.get(instructions))
    if isinstance(parts, list) and parts:
        sent.append(_of_parts("system", parts))
    elif isinstance(parts, str):
        sent.append({"role": "system", "content": parts})
    for one in _dicts(_parsed(found.get(messages))):
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
            "content": _text(part.get("result", part.get("response"))),
        }
        for part in _dicts(parts)
        if part.get("type") == "tool_call_response"
    ]
    others = [part for part in _dicts(parts) if part.get("type") != "tool_call_response"]
    message = _of_parts(role, others)
    if isinstance(name, str):
        message["name"] = name
    return [message, *results] if others or not results else [*results]


def _of_parts(role: str, parts: Iterable[Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role}
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in _dicts(parts):
        kind = part.get("type")
        if kind == "text":
            content.append({"type": "text", "text": _text(part.get("content"))})
        elif kind == "tool_call":
            calls.append(_call(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind == "reasoning":
            message["reasoning_content"] = _text(part.get("content"))
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
            _of_parts(str(one.get("role", "assistant")), _dicts(one.get("parts"))),
            one.get("finish_reason"),
        )
        for one in _dicts(_parsed(found.get(names.OUTPUT_MESSAGES)))
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
    for part in _listed(one, "message.contents."):
        kind = str(part.get("message_content.type", "text"))
        if kind == "text":
            content.append({"type": kind, "text": _text(part.get("message_content.text"))})
        elif kind == "reasoning":
            message["reasoning_content"] = _text(part.get("message_content.text"))
        elif kind == "image":
            url = part.get("message_content.image.image.url")
            content.append({"type": "image_url", "image_url": {"url": url}})
        else:
            content.append({"type": kind})
    if not content and one.get("message.content") is not None:
        content = [{"type": "text", "text": _text(one["message.content"])}]
    calls = [
        _call(
            call.get("tool_call.id"),
            call.get("tool_call.function.name"),
            call.get("tool_call.function.arguments"),
        )
        for call in _listed(one, "message.tool_calls.")
    ]
    return _filled(message, content, calls)


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    """A message of the conventions before they had parts: `role`, `content`, `tool_calls.0...`."""
    calls = [
        _call(call.get("id"), call.get("name"), call.get("arguments"))
        for call in _listed(one, "tool_calls.")
    ]
    content = [{"type": "text", "text": _text(one["content"])}] if "content" in one else []
    return _filled({"role": str(one.get("role", "user"))}, content, calls)


def _prompts(found: Attributes) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": _text(one.get("prompt.text"))}
        for one in _listed(found, names.LLM_PROMPTS)
    ]


def _call(identity: object, name: object, arguments: object) -> dict[str, Any]:
    return {
        "id": str(identity or ""),
        "type": "function",
        "function": {"name": str(name or ""), "arguments": _text(arguments)},
    }


# Other kinds


def _embedding(model: str | None, found: Attributes) -> tuple[Any, Any]:
    given = _listed(found, names.EMBEDDINGS)
    texts = [one["embedding.text"] for one in given if "embedding.text" in one]
    asked = {"model": model, "input": texts} if texts else None
    vectors = [
        {"object": "embedding", "index": index, "embedding": one["embedding.vector"]}
        for index, one in enumerate(given)
        if isinstance(one.get("embedding.vector"), list)
    ]
    return asked, {"object": "list", "model": model, "data": vectors} if vectors else None


def _search(found: Attributes) -> tuple[Any, Any]:
    query = _first(found, names.QUERY)
    if query is None:
        query = found.get(names.INPUT_VALUE)
    documents: Any = _parsed(found.get(names.FOUND))
    for beginning in names.RETRIEVED:
        documents = documents or [
            {name.removeprefix("document."): _parsed(value) for name, value in one.items()}
            for one in _listed(found, beginning)
        ]
    return (None if query is None else {"query": query}), documents or None


def _plain(found: Attributes, value: str, mime: str) -> Any:
    text = found.get(value)
    return _parsed(text) if found.get(mime) == names.JSON_MIME else text


# Attributes


def _first(found: Attributes, of: Iterable[str]) -> Any:
    return next((found[name] for name in of if found.get(name) is not None), None)


def _listed(found: Mapping[str, Any], beginning: str) -> list[dict[str, Any]]:
    """The entries of a list that was flattened to `BEGINNING0.name`, `BEGINNING1.name`, ..."""
    entries: dict[int, dict[str, Any]] = {}
    for name, value in found.items():
        if not name.startswith(beginning):
            continue
        number, _, rest = name[len(beginning) :].partition(".")
        if number.isascii() and number.isdigit() and len(number) < 7:
            entries.setdefault(int(number), {})[rest] = value
    return [entries[number] for number in sorted(entries)[:_MOST_LISTED]]


def _dicts(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [one for one in value[:_MOST_LISTED] if isinstance(one, dict)]


def _parsed(value: Any) -> Any:
    """JSON in a text as what it says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else _dumped(value).decode()


def _dumped(value: object) -> bytes:
    return b"" if value is None else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
